//! Errors of keyless signatures, identities and trusted roots.

mod class;

/// The result of this module's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Every way in which the verification of a keyless signature can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An identity without a subject or an issuer would accept anyone.
    #[error("an identity needs a subject and an issuer")]
    IdentityEmpty,
    /// A pattern is not a regular expression, or compiles to a very large one.
    #[error("the identity has an invalid pattern")]
    Pattern(#[source] Box<regex::Error>),
    /// Subject and issuer are longer than any identity needs.
    #[error("the identity is too long: {0} bytes")]
    IdentityTooLarge(usize),

    /// The trusted root is larger than any list of CAs and logs.
    #[error("the trusted root is too large: {0} bytes")]
    RootTooLarge(usize),
    /// The trusted root is not JSON of the expected shape.
    #[error("the trusted root is malformed")]
    Root(#[source] serde_json::Error),
    /// The trusted root is of another kind or version.
    #[error("the trusted root has media type `{}`, expected `{}`", .0.escape_debug(), super::root::MEDIA_TYPES[0])]
    RootVersion(String),
    /// The trusted root lacks a service without which nothing can be verified.
    #[error("the trusted root has no {0}")]
    RootLacks(&'static str),
    /// A key or a certificate in the trusted root is malformed or unsupported.
    #[error("the trusted root has an invalid or unsupported key, certificate or validity period")]
    RootMaterial(#[source] Box<sigstore::Error>),

    /// The bundle is larger than any signature needs.
    #[error("the signature is too large: {0} bytes")]
    TooLarge(usize),
    /// The bundle is not JSON of the expected shape.
    #[error("the signature is not a sigstore bundle")]
    Malformed(#[source] serde_json::Error),
    /// A field of the bundle has an invalid value.
    #[error("the sigstore bundle has an invalid field")]
    Member(#[source] Box<sigstore::types::Error>),
    /// The bundle breaks a rule of its version.
    #[error("the sigstore bundle does not conform to its version")]
    Structure(#[source] Box<sigstore::bundle::Error>),
    /// The bundle exceeds a limit.
    #[error("the sigstore bundle has {found} {what}, more than the limit of {limit}")]
    TooMany {
        /// The kind of item.
        what: &'static str,
        /// The number of items.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The bundle does not have exactly one certificate, chain or key.
    #[error("the sigstore bundle does not hold exactly one of a certificate, a chain and a key")]
    Material,
    /// The bundle is signed by a key, which a trust file must list.
    #[error("the signature is by a key, not by a certificate")]
    ByKey,
    /// The bundle does not have exactly one of a message signature and an envelope.
    #[error("the sigstore bundle does not hold exactly one signature")]
    Content,
    /// No log entry, so nothing public shows that the signature was made.
    #[error("the signature is not in a transparency log")]
    NotLogged,
    /// A log entry with neither an inclusion proof nor a promise.
    #[error("log entry {0} has no proof that it is in the log")]
    NotProven(usize),

    /// The signature is for another artifact.
    #[error("the signature is for a different artifact")]
    OtherArtifact(#[source] Box<sigstore::Error>),
    /// The signature does not verify with the certificate's key.
    #[error("the signature does not verify with the key of its certificate")]
    BadSignature(#[source] Box<sigstore::Error>),
    /// The certificate is not by a trusted CA, or was not valid at the signing time.
    #[error("the signing certificate is not valid")]
    Certificate(#[source] Box<sigstore::Error>),
    /// The log entry is not proven, or is for another signature.
    #[error("the log entry is not valid")]
    LogEntry(#[source] Box<sigstore::Error>),
    /// The entry's log is not in the trusted root.
    #[error("the log `{0}` is not in the trusted root")]
    UnknownLog(String),
    /// The checkpoint is not signed by the log that the entry names.
    #[error("the checkpoint is not signed by the log `{0}` that the entry names")]
    OtherLog(String),
    /// The log was not in use when the signature was made.
    #[error("the log `{log}` was not in use at {time}")]
    LogNotInUse {
        /// Its address.
        log: String,
        /// The signing time.
        time: super::Time,
    },
    /// A timestamp is invalid, or nothing proves when the signature was made.
    #[error("the signing time is not proven")]
    Timestamp(#[source] Box<sigstore::Error>),
    /// The certificate names no email address and no URI.
    #[error("the signing certificate has no supported subject")]
    NoSubject,
    /// The certificate names no OIDC issuer.
    #[error("the signing certificate has no issuer")]
    NoIssuer,
    /// Another subject signed.
    #[error("the signature is by `{}`, expected `{expected}`", found.escape_debug())]
    Subject {
        /// The signer.
        found: String,
        /// The expected signer.
        expected: String,
    },
    /// The certificate names another OIDC issuer.
    #[error("the certificate's issuer is `{}`, expected `{expected}`", found.escape_debug())]
    Issuer {
        /// The issuer.
        found: String,
        /// The expected issuer.
        expected: String,
    },
    /// The signer is none of the trusted identities.
    #[error("the signature is by `{}`, issued by `{}`, which is not a trusted identity", subject.escape_debug(), issuer.escape_debug())]
    UnknownIdentity {
        /// The signer.
        subject: String,
        /// The issuer.
        issuer: String,
    },
    /// A feature that this version cannot verify.
    #[error("the sigstore bundle uses an unsupported feature")]
    Unsupported(#[source] Box<sigstore::Error>),
    /// The library returned without checking everything.
    #[error("a part of the signature was not checked")]
    Unchecked,

    /// A layer that is not a signature in cosign's first format.
    #[error("`{}` is not the media type of a cosign signature", .0.escape_debug())]
    LayerMediaType(String),
    /// An annotation that a keyless signature needs is missing.
    #[error("the signature has no annotation `{0}`")]
    LayerLacks(&'static str),
    /// An annotation that does not decode.
    #[error("the signature's annotation `{0}` is malformed")]
    LayerAnnotation(&'static str),
    /// The certificate annotation is not exactly one certificate.
    #[error("the signature's certificate annotation is not one PEM certificate")]
    LayerCertificate(#[source] Box<crate::Error>),
    /// A log entry of a kind that does not cover everything that the bundle format needs.
    #[error("the signature's log entry is `{}`, which is not supported", .0.escape_debug())]
    LayerEntry(String),
    /// The signed text is not a cosign payload.
    #[error("the signed text is not a cosign image payload")]
    LayerPayload(#[source] serde_json::Error),
    /// The signed text is of another kind.
    #[error("the signed text has type `{}`, expected `cosign container image signature`", .0.escape_debug())]
    LayerType(String),
    /// The signed text names another image.
    #[error("the signature is for the image `{}`", .0.escape_debug())]
    LayerImage(String),
}

impl Error {
    /// Whether the signature is valid, but by another identity.
    #[must_use]
    pub fn is_identity_mismatch(&self) -> bool {
        matches!(self, Self::Subject { .. } | Self::Issuer { .. } | Self::UnknownIdentity { .. })
    }

    /// How to fix the error, if known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::ByKey => Some("add its public key to the trust file"),
            Self::Subject { .. } | Self::Issuer { .. } | Self::UnknownIdentity { .. } => {
                Some("if you trust this signer, add it to `identities` of the trust file")
            }
            Self::UnknownLog(_) | Self::LogNotInUse { .. } | Self::Certificate(_) | Self::Timestamp(_) => {
                Some("if the signature is newer than the trusted root, use a newer `trusted_root.json`")
            }
            Self::OtherArtifact(_) | Self::LayerImage(_) | Self::BadSignature(_) | Self::LogEntry(_) => {
                Some("do not use the artifact: the signature was made for something else, or was changed")
            }
            Self::LayerLacks(_) => {
                Some("ask the publisher to sign with cosign 2 or newer, or trust a key of the publisher")
            }
            _ => None,
        }
    }

    /// Maps the library's errors to variants, so that callers and tests can distinguish them.
    pub(super) fn of_library(error: sigstore::Error) -> Self {
        use sigstore::Error as Library;
        match error {
            Library::Bundle(error) => Self::Structure(Box::new(error)),
            Library::Types(error) => Self::Member(Box::new(error)),
            error @ Library::ArtifactMismatch(_) => Self::OtherArtifact(Box::new(error)),
            error @ Library::SignatureInvalid(_) => Self::BadSignature(Box::new(error)),
            error @ Library::Certificate(_) => Self::Certificate(Box::new(error)),
            error @ Library::TransparencyLog(_) => Self::LogEntry(Box::new(error)),
            error @ Library::Timestamp(_) => Self::Timestamp(Box::new(error)),
            error => Self::Unsupported(Box::new(error)),
        }
    }
}
