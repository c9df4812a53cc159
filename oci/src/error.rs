//! Why a text or some bytes are not what they should be.

use error_class::{Class, Classified};

/// Every way in which input to this crate is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not `algorithm:hex` with a known algorithm and the length it asks for.
    #[error("`{0}` is not a digest: expected `sha256:` and 64, or `sha512:` and 128, lower-case hex digits")]
    Digest(String),
    /// Not a repository name by the distribution specification's grammar.
    #[error(
        "`{0}` is not a repository name: lower-case letters and digits, separated by `.`, `_`, `__`, `-` or `/`"
    )]
    RepositoryName(String),
    /// Not a tag by the distribution specification's grammar.
    #[error(
        "`{0}` is not a tag: at most 128 letters, digits, `_`, `.` and `-`, not starting with `.` or `-`"
    )]
    Tag(String),
    /// The part before the first slash is not a host with an optional port.
    #[error(
        "`{0}` is not a registry host: expected a name in lower case or an address in its usual form, then a port from 1 to 65535 without leading zeros, if any"
    )]
    RegistryHost(String),
    /// The address of Docker Hub's registry, which is a second name for the same images.
    #[error("`{0}` names Docker Hub by its address: write `docker.io` instead of `registry-1.docker.io`")]
    HubEndpoint(String),
    /// The whole is not an image reference.
    #[error("`{0}` is not an image reference: expected `[host[:port]/]name[:tag][@digest]`")]
    Reference(String),
    /// Not a `type/subtype` media type.
    #[error("`{0}` is not a media type")]
    MediaType(String),
    /// Not `os/architecture[/variant]`.
    #[error("`{0}` is not a platform: expected `os/architecture[/variant]`")]
    Platform(String),
    /// The manifest is not JSON, or lacks a required member.
    #[error("the manifest is not valid")]
    ManifestJson(#[source] serde_json::Error),
    /// The manifest's own `mediaType` and the one it was sent with differ.
    #[error("the manifest says `{inside}` of itself but was sent as `{outside}`")]
    MediaTypeMismatch {
        /// The `mediaType` member.
        inside: String,
        /// The `Content-Type` it came with.
        outside: String,
    },
    /// The bytes hold neither an image manifest nor an index.
    #[error("the manifest's kind is unknown: it has neither `config` and `layers` nor `manifests`")]
    ManifestKind,
    /// Both an image manifest's and an index's members are there, which lets two readers see two things.
    #[error("the manifest is ambiguous: it has both `manifests` and `config` or `layers`")]
    ManifestAmbiguous,
    /// `schemaVersion` is not 2.
    #[error("the manifest has schemaVersion {0}, only 2 is supported")]
    SchemaVersion(u64),
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Digest(_)
            | Self::RepositoryName(_)
            | Self::Tag(_)
            | Self::RegistryHost(_)
            | Self::HubEndpoint(_)
            | Self::Reference(_)
            | Self::MediaType(_)
            | Self::Platform(_) => Class::Usage,
            Self::ManifestJson(_)
            | Self::MediaTypeMismatch { .. }
            | Self::ManifestKind
            | Self::ManifestAmbiguous
            | Self::SchemaVersion(_) => Class::Refused,
        }
    }
}
