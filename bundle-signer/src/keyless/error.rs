//! Why a keyless signature, an identity or a trusted root is refused.

mod class;

/// What this module's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// Every way in which the verification of a keyless signature can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An identity without a subject or an issuer would accept anyone.
    #[error("an identity needs a subject and an issuer")]
    IdentityEmpty,
    /// The subject's pattern is no regular expression, or one that grows too large.
    #[error("the subject's pattern is not usable")]
    Pattern(#[source] Box<regex::Error>),
    /// The subject's pattern or the issuer is longer than any identity needs.
    #[error("the identity is too long: {0} bytes")]
    IdentityTooLarge(usize),

    /// The trusted root is larger than any list of authorities.
    #[error("the trusted root is too large: {0} bytes")]
    RootTooLarge(usize),
    /// The trusted root is not JSON of the expected shape.
    #[error("the trusted root is malformed")]
    Root(#[source] serde_json::Error),
    /// The trusted root is of another kind or version.
    #[error("the trusted root has media type `{}`, expected `{}`", .0.escape_debug(), super::root::MEDIA_TYPES[0])]
    RootVersion(String),
    /// Without this kind of authority nothing can be verified.
    #[error("the trusted root names no {0}")]
    RootLacks(&'static str),
    /// A key or a certificate in the trusted root is malformed or of a kind that is not supported.
    #[error("the trusted root has a key, a certificate or a period that is not usable")]
    RootMaterial(#[source] Box<sigstore::Error>),

    /// The bundle is larger than any signature needs.
    #[error("the signature is too large: {0} bytes")]
    TooLarge(usize),
    /// The bundle is not JSON of the expected shape.
    #[error("the signature is not a sigstore bundle")]
    Malformed(#[source] serde_json::Error),
    /// The bundle's members are of the right shape, but not what they should be.
    #[error("the sigstore bundle has an invalid field")]
    Member(#[source] Box<sigstore::types::Error>),
    /// The bundle breaks a rule of its version.
    #[error("the sigstore bundle does not conform to its version")]
    Structure(#[source] Box<sigstore::bundle::Error>),
    /// More of something than a signature needs.
    #[error("the sigstore bundle has {found} {what}, more than the {limit} that are read")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many may be.
        limit: usize,
    },
    /// The bundle does not have exactly one certificate, chain or key.
    #[error("the sigstore bundle does not hold exactly one of a certificate, a chain and a key")]
    Material,
    /// The bundle is signed by a key, and keys are the trust file's matter.
    #[error("the signature is by a key, not by a certificate")]
    ByKey,
    /// The bundle does not have exactly one of a message signature and an envelope.
    #[error("the sigstore bundle does not hold exactly one signature")]
    Content,
    /// No log entry, so nothing public shows that the signature was made.
    #[error("the signature is not in a transparency log")]
    NotLogged,
    /// A log entry with neither an inclusion proof nor a promise.
    #[error("log entry {0} comes without a proof that it is in the log")]
    NotProven(usize),

    /// The signature is over something else.
    #[error("the signature is for a different artifact")]
    OtherArtifact(#[source] Box<sigstore::Error>),
    /// The signature does not verify with the certificate's key.
    #[error("the signature does not verify with the key of its certificate")]
    BadSignature(#[source] Box<sigstore::Error>),
    /// The certificate is not by a trusted authority, or was not valid at the signing time.
    #[error("the signing certificate is refused")]
    Certificate(#[source] Box<sigstore::Error>),
    /// The log entry is not proven, or is for another signature.
    #[error("the log entry is refused")]
    LogEntry(#[source] Box<sigstore::Error>),
    /// The entry's log is not in the trusted root.
    #[error("the log `{0}` is not in the trusted root")]
    UnknownLog(String),
    /// The checkpoint is signed by another trusted log than the one that the entry names.
    #[error("the checkpoint is not the one of the log `{0}` that the entry names")]
    OtherLog(String),
    /// The log was not in use when the signature was made.
    #[error("the log `{log}` was not in use at {time}")]
    LogNotInUse {
        /// Its address.
        log: String,
        /// The signing time.
        time: super::Time,
    },
    /// A timestamp is refused, or nothing proves when the signature was made.
    #[error("the signing time is not proven")]
    Timestamp(#[source] Box<sigstore::Error>),
    /// The certificate names no email address and no URI.
    #[error("the signing certificate has no supported subject")]
    NoSubject,
    /// The certificate does not say who vouched for the subject.
    #[error("the signing certificate has no issuer")]
    NoIssuer,
    /// Somebody else signed.
    #[error("the signature is by `{}`, expected `{expected}`", found.escape_debug())]
    Subject {
        /// Who did.
        found: String,
        /// Who was to.
        expected: String,
    },
    /// The signer was vouched for by somebody else.
    #[error("the certificate's issuer is `{}`, expected `{expected}`", found.escape_debug())]
    Issuer {
        /// By whom.
        found: String,
        /// By whom it was to be.
        expected: String,
    },
    /// Somebody signed who is none of those that are trusted.
    #[error("the signature is by `{}`, issued by `{}`, which is not a trusted identity", subject.escape_debug(), issuer.escape_debug())]
    Stranger {
        /// Who did.
        subject: String,
        /// Who vouched.
        issuer: String,
    },
    /// Something that this version cannot verify.
    #[error("the sigstore bundle uses an unsupported feature")]
    Unsupported(#[source] Box<sigstore::Error>),
    /// The library answered without having checked everything.
    #[error("a part of the signature was not checked")]
    Unchecked,

    /// A layer that is no signature of cosign's first format.
    #[error("`{}` is not the media type of a cosign signature", .0.escape_debug())]
    LayerMediaType(String),
    /// An annotation that a keyless signature needs.
    #[error("the signature has no annotation `{0}`")]
    LayerLacks(&'static str),
    /// An annotation that does not decode.
    #[error("the signature's annotation `{0}` is malformed")]
    LayerAnnotation(&'static str),
    /// The certificate annotation is not exactly one certificate.
    #[error("the signature's certificate annotation is not one PEM certificate")]
    LayerCertificate(#[source] Box<crate::Error>),
    /// A log entry of a kind that does not bind what the bundle format needs.
    #[error("the signature's log entry is `{}`, which is not supported", .0.escape_debug())]
    LayerEntry(String),
    /// The signed text is not cosign's.
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
    /// Whether the signature is good, but somebody else's.
    #[must_use]
    pub fn is_of_another(&self) -> bool {
        matches!(self, Self::Subject { .. } | Self::Issuer { .. } | Self::Stranger { .. })
    }

    /// What to do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::ByKey => Some("name its public key in the trust file"),
            Self::Subject { .. } | Self::Issuer { .. } | Self::Stranger { .. } => {
                Some("if this signer is the right one, name it in the trust file: `identities`")
            }
            Self::UnknownLog(_) | Self::LogNotInUse { .. } | Self::Certificate(_) | Self::Timestamp(_) => {
                Some("if the signature is newer than the trusted root, give a newer `trusted_root.json`")
            }
            Self::OtherArtifact(_) | Self::LayerImage(_) | Self::BadSignature(_) | Self::LogEntry(_) => {
                Some("do not use the artifact: the signature was made for something else, or was changed")
            }
            Self::LayerLacks(_) => {
                Some("ask its publisher to sign with cosign 2 or newer, or trust a key of theirs")
            }
            _ => None,
        }
    }

    /// Sorts the library's refusals, so that callers and tests can tell them apart.
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
