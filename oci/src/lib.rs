//! What an image is: digests, names, references, media types, descriptors, manifests and indexes.
//!
//! The shared vocabulary of every stage. Text and bytes go in, checked values come out; nothing here
//! reads a file or opens a connection. A value that exists is valid: each type has one fallible
//! constructor, and manifests keep the exact bytes they were parsed from, because a digest is over bytes.
//!
//! - [`digest`]: `sha256:` and `sha512:` digests and the streaming [`Hasher`]
//! - [`name`]: repository names; [`tag`]: tags; [`mod@reference`]: both with a registry in front
//! - [`media_type`]: media types with a meaning here
//! - [`descriptor`]: [`Descriptor`] and [`Platform`]
//! - [`manifest`]: image manifests and indexes, OCI and Docker alike
//! - [`distribution`]: the shape of the distribution protocol's answers, used by both of its ends
//!
//! `bytes -> Manifest -> Descriptor* -> Digest`

pub mod descriptor;
pub mod digest;
pub mod distribution;
pub mod error;
pub mod manifest;
pub mod media_type;
pub mod name;
pub mod reference;
pub mod tag;

pub use descriptor::{Descriptor, Platform};
pub use digest::{Algorithm, Digest, Hasher};
pub use error::Error;
pub use manifest::{Content, ImageManifest, Index, Manifest};
pub use media_type::MediaType;
pub use name::RepositoryName;
pub use reference::{Reference, RegistryHost, Selector};
pub use tag::Tag;
