//! The errors of parsing text and bytes.

use error_class::{Class, Classified};

/// Every reason to reject input to this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not `algorithm:hex` with a known algorithm and its hex length.
    #[error("`{0}` is not a digest: expected `sha256:` and 64, or `sha512:` and 128, lower-case hex digits")]
    Digest(String),
    /// Not a repository name according to the distribution specification's grammar.
    #[error(
        "`{0}` is not a repository name: expected lower-case letters and digits, separated by `.`, `_`, `__`, `-` or `/`"
    )]
    RepositoryName(String),
    /// Not a tag according to the distribution specification's grammar.
    #[error(
        "`{0}` is not a tag: expected at most 128 letters, digits, `_`, `.` and `-`, not starting with `.` or `-`"
    )]
    Tag(String),
    /// A pattern of repository names is malformed.
    #[error(
        "`{0}` is not a pattern of repository names: expected for example `team-a/app`, `team-a/*` (one segment) or `team-a/**` (any number of segments)"
    )]
    RepositoryPattern(String),
    /// A pattern of tags is malformed.
    #[error(
        "`{0}` is not a pattern of tags: expected at most 128 letters, digits, `_`, `.`, `-` and single `*`, such as `v*`"
    )]
    TagPattern(String),
    /// The part before the first slash is not a host with an optional port.
    #[error(
        "`{0}` is not a registry host: expected a lower-case host name or an IP address in canonical form, optionally followed by `:` and a port from 1 to 65535 without leading zeros"
    )]
    RegistryHost(String),
    /// The address of Docker Hub's registry, which would be a second name for the same images.
    #[error("`{0}` names Docker Hub by its address: use `docker.io` instead of `registry-1.docker.io`")]
    HubEndpoint(String),
    /// Not an image reference.
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
    /// The manifest's own `mediaType` differs from the media type it was sent with.
    #[error("the manifest declares media type `{inside}` but was sent as `{outside}`")]
    MediaTypeMismatch {
        /// The `mediaType` member.
        inside: String,
        /// The `Content-Type` it was sent with.
        outside: String,
    },
    /// The bytes are neither an image manifest nor an index.
    #[error("the manifest's kind is unknown: it has neither `config` and `layers` nor `manifests`")]
    ManifestKind,
    /// The manifest has the members of an image manifest and of an index, so two readers could see two things.
    #[error("the manifest is ambiguous: it has both `manifests` and `config` or `layers`")]
    ManifestAmbiguous,
    /// `schemaVersion` is not 2.
    #[error("the manifest has schemaVersion {0}, but only 2 is supported")]
    SchemaVersion(u64),
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Digest(_)
            | Self::RepositoryName(_)
            | Self::Tag(_)
            | Self::RepositoryPattern(_)
            | Self::TagPattern(_)
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
