//! The OCI distribution protocol, both ends: server and client.
//!
//! The server serves a [`store::Store`] on the network; the client transfers content between a store and other registries.
//! This crate is asynchronous. The store is not, so the server calls it on the blocking pool.
//!
//! Invariants:
//! - Manifest bytes and their media type are served exactly as they were pushed; nothing is compressed or
//!   converted.
//! - A digest in a response was checked against the bytes when they were received.
//! - The memory of a stream has a fixed bound.
//!
//! - [`server`]: the distribution specification's server
//! - [`client`]: the client
//! - [`error`]: the errors of the server
//!
//! `request -> Route -> Action -> store -> response`

pub mod client;
pub mod error;
pub mod server;

pub use error::Error;

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
