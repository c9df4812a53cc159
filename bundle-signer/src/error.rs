//! Why a key, a signature or a trust file is refused.

/// Every way in which a call to this crate can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not PEM at all.
    #[error("the key is not PEM")]
    Pem(#[source] pem::PemError),
    /// PEM of another kind.
    #[error("the PEM block is `{found}`, expected `{expected}`")]
    PemKind {
        /// What it is.
        found: String,
        /// What is needed.
        expected: &'static str,
    },
    /// The public key is not ECDSA P-256.
    #[error("the public key is not an ECDSA P-256 key")]
    PublicKey,
    /// The private key is not ECDSA P-256 in PKCS#8.
    #[error("the private key is not an ECDSA P-256 key in PKCS#8")]
    PrivateKey,
    /// The encrypted key's JSON is not cosign's.
    #[error("the encrypted key is malformed")]
    Sealed(#[source] serde_json::Error),
    /// The encrypted key uses something that cosign does not.
    #[error("the encrypted key uses `{0}`, which is not supported")]
    SealedMethod(String),
    /// Base64 within the encrypted key or the bundle does not decode.
    #[error("base64 of `{0}` does not decode")]
    Base64(&'static str),
    /// The password does not open the key.
    #[error("the password does not open the private key")]
    Password,
    /// The system gave no random bytes, or ring failed to sign.
    #[error("the crypto library failed")]
    Crypto,
    /// The trust file is not what it should be.
    #[error("the trust file is malformed")]
    Trust(#[source] Box<serde_saphyr::Error>),
    /// The trust file is of another kind or version.
    #[error("the trust file has {field} `{found}`, expected `{expected}`")]
    TrustKind {
        /// Which member.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// The trust file names no key.
    #[error("the trust file names no key")]
    TrustEmpty,
    /// The trust file names something twice.
    #[error("the trust file has `{0}` twice")]
    TrustTwice(String),
    /// The bundle is larger than any signature needs.
    #[error("the signature has {0} bytes, more than any sigstore bundle needs")]
    BundleTooLarge(usize),
    /// The bundle is not JSON of the expected shape.
    #[error("the signature is not a sigstore bundle with a message signature by key")]
    Bundle(#[source] serde_json::Error),
    /// The bundle is of another version.
    #[error("the signature has media type `{0}`, expected a sigstore bundle v0.3")]
    BundleVersion(String),
    /// The bundle hashes with something else.
    #[error("the signature is over `{0}`, expected `SHA2_256`")]
    DigestAlgorithm(String),
    /// No trusted key made the signature.
    #[error("the signature is by a key that is not trusted, with hint `{0}`")]
    UntrustedKey(String),
    /// The signed bytes are others.
    #[error("the signature is over other bytes than these")]
    OtherBytes,
    /// The signature is wrong.
    #[error("the signature by `{0}` does not verify")]
    BadSignature(String),
}

impl Error {
    /// What to do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UntrustedKey(_) => Some(
                "if you trust its owner, get the public key by another way than the drive and add it with `airlock keys trust`",
            ),
            Self::OtherBytes | Self::BadSignature(_) => Some(
                "the drive was changed after it was signed, or is damaged: do not use it, ask for a new one",
            ),
            Self::Password => Some("set AIRLOCK_KEY_PASSWORD, or use --password-file"),
            Self::Pem(_) | Self::PemKind { .. } | Self::PublicKey | Self::PrivateKey => {
                Some("make a key pair with `airlock keys generate` or `cosign generate-key-pair`")
            }
            Self::Trust(_) | Self::TrustKind { .. } | Self::TrustEmpty => {
                Some("make a trust file with `airlock keys trust`")
            }
            _ => None,
        }
    }
}
