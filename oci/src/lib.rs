//! The types of the OCI image specification: digests, names, references, media types, descriptors, manifests and indexes.
//!
//! The shared vocabulary of every stage. Text and bytes go in, checked values come out; nothing here
//! reads a file or opens a connection. A value that exists is valid: each type has one fallible
//! constructor, and manifests keep the exact bytes they were parsed from, because a digest is over bytes.
//!
//! - [`digest`]: `sha256:` and `sha512:` digests and the streaming [`Hasher`]
//! - [`name`]: repository names; [`tag`]: tags; [`mod@reference`]: references, which combine both with a registry host
//! - [`media_type`]: the media types that matter here
//! - [`descriptor`]: [`Descriptor`] and [`Platform`]
//! - [`pattern`]: patterns of repository names and of tags
//! - [`manifest`]: image manifests and indexes, OCI and Docker alike
//! - [`distribution`]: the response bodies of the distribution protocol, shared by client and server
//!
//! `bytes -> Manifest -> Descriptor* -> Digest`

pub mod descriptor;
pub mod digest;
pub mod distribution;
pub mod error;
pub mod manifest;
pub mod media_type;
pub mod name;
pub mod pattern;
pub mod reference;
pub mod tag;

pub use descriptor::{Descriptor, Platform};
pub use digest::{Algorithm, Digest, Hasher};
pub use error::Error;
pub use manifest::{Content, ImageManifest, Index, Manifest};
pub use media_type::MediaType;
pub use name::RepositoryName;
pub use pattern::{RepositoryPattern, TagPattern};
pub use reference::{Reference, RegistryHost, Selector};
pub use tag::Tag;
