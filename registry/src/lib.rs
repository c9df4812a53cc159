//! The OCI distribution protocol, both ends: server and client.
//!
//! The server puts a [`store::Store`] on the network; the client moves content between a store and other
//! registries. This is the only crate of the two ends that is asynchronous: the store is not, and is called on
//! the blocking pool.
//!
//! Invariants:
//! - Manifest bytes and their media type are served exactly as they were pushed; nothing is compressed or
//!   converted.
//! - A digest in an answer was checked against the bytes when they came in.
//! - What a stream holds in memory has a fixed bound.
//!
//! - [`server`]: the distribution specification's server
//! - [`client`]: the client
//! - [`error`]: why either fails
//!
//! `request -> Route -> Action -> store -> answer`

pub mod client;
pub mod error;
pub mod server;

pub use error::Error;

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
