//! Why a key, a signature or a trust file is refused.

mod class;
mod hint;

use crate::Format;

/// Every way in which a call to this crate can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not PEM at all.
    #[error("the key is not PEM")]
    Pem(#[source] pem::PemError),
    /// Longer than any key.
    #[error("the key file is too large: {0} bytes")]
    PemTooLarge(usize),
    /// Text around the block, or more than one.
    #[error("the key is not exactly one PEM block")]
    PemShape,
    /// PEM of another kind.
    #[error("the PEM block is `{}`, expected `{expected}`", found.escape_debug())]
    PemKind {
        /// What it is.
        found: String,
        /// What is needed.
        expected: &'static str,
    },
    /// The public key is of another kind than those that verify.
    #[error("the public key is not an ECDSA P-256 key, nor one on P-384 or of RSA with 2048 to 8192 bits")]
    PublicKey,
    /// The public key's numbers are not on the curve.
    #[error("the public key is not a point on its curve")]
    PublicKeyPoint,
    /// The private key is not ECDSA P-256 in PKCS#8.
    #[error("the private key is not an ECDSA P-256 key in PKCS#8")]
    PrivateKey,
    /// The private key lacks its public half. Go and OpenSSL always write it; RFC 5915 leaves it out at will.
    #[error("the private key file does not hold the public key")]
    PrivateKeyWithoutPublic,
    /// The private key is of a kind that is not made or imported here.
    #[error("the private key is neither ECDSA P-256 nor Ed25519")]
    PrivateKeyKind,
    /// The private key signs logs.
    #[error("the private key is Ed25519, which signs logs and notes, not images and drives")]
    PrivateKeyForLogs,
    /// A `pkcs11:` URI that cannot be followed.
    #[error("invalid `pkcs11:` URI: {0}")]
    Pkcs11Uri(&'static str),
    /// A `pkcs11:` URI with the PIN in it.
    #[error(
        "the `pkcs11:` URI contains the PIN, which every user of this machine can read in the list of processes"
    )]
    PinInUri,
    /// This build cannot ask tokens.
    #[error(
        "this build of airlock cannot load PKCS#11 modules: it is linked statically, or was built without `hsm`"
    )]
    NoTokens,
    /// No module is named.
    #[error("no PKCS#11 module is named")]
    NoModule,
    /// The module or the token fails.
    #[cfg(feature = "hsm")]
    #[error("the token fails to {act}")]
    Token {
        /// What was asked of it.
        act: &'static str,
        /// What it says.
        #[source]
        source: Box<cryptoki::error::Error>,
    },
    /// The token refuses the PIN.
    #[error("the token refuses the PIN")]
    Pin,
    /// The token locked the PIN.
    #[error("the token has locked the PIN after too many wrong ones")]
    PinLocked,
    /// No token, or several, fit the URI.
    #[error("{0} tokens fit the `pkcs11:` URI, expected one")]
    TokenCount(usize),
    /// No key, or several, in the token fit the URI.
    #[error("{count} {kind} keys in the token fit the `pkcs11:` URI, expected one")]
    TokenKeyCount {
        /// How many.
        count: usize,
        /// Private or public.
        kind: &'static str,
    },
    /// The token's key is on another curve.
    #[error("the token's key is not an ECDSA P-256 key")]
    TokenKeyKind,
    /// The token gave a signature that its public key does not verify.
    #[error("the token's signature does not match its public key")]
    TokenSignature,
    /// A key in a token cannot be written to a file.
    #[error("the private key cannot be exported from its token")]
    TokenKeeps,
    /// The private key lies open.
    #[error("the private key is not encrypted: its PEM block is `{0}`")]
    PrivateKeyPlain(&'static str),
    /// The encrypted key's JSON is not cosign's.
    #[error("the encrypted key is malformed")]
    Sealed(#[source] serde_json::Error),
    /// The encrypted key uses something that cosign does not.
    #[error("the encrypted key uses `{}`, which is not supported", .0.escape_debug())]
    SealedMethod(String),
    /// Base64 within the encrypted key or the bundle does not decode, or not to the right length.
    #[error("`{0}` is not valid base64, or has the wrong length")]
    Base64(&'static str),
    /// The password does not open the key.
    #[error("the password does not open the private key")]
    Password,
    /// The system gave no random bytes, or ring failed to sign.
    #[error("the crypto library failed")]
    Crypto,
    /// The trust file is larger than any list of keys.
    #[error("the trust file is too large: {0} bytes")]
    TrustTooLarge(usize),
    /// The trust file is not what it should be.
    #[error("the trust file is malformed")]
    Trust(#[source] Box<serde_saphyr::Error>),
    /// The trust file is of another kind or version.
    #[error("the trust file has {field} `{}`, expected `{expected}`", found.escape_debug())]
    TrustKind {
        /// Which member.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// The trust file names no key and no identity.
    #[error("the trust file names no key and no identity")]
    TrustEmpty,
    /// A key's name is empty, long, or would not show as it is.
    #[error("`{}` is not a name for a key: 1 to 128 printable characters", .0.escape_debug())]
    TrustName(String),
    /// One of the trust file's keys is no public key.
    #[error("the trust file's key `{name}` is refused")]
    TrustKey {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// One of the trust file's identities, or the root that it is verified under, cannot be used.
    #[error("the trust file's identity `{name}` is refused")]
    TrustIdentity {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<crate::keyless::Error>,
    },
    /// One of the trust file's identities does not say who it is, or says it twice.
    #[error("the trust file's identity `{name}` needs exactly one of `{one}` and `{other}`")]
    TrustIdentityText {
        /// Its name.
        name: String,
        /// The one member.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// The file of a trusted root that an identity names cannot be read.
    #[error("the trusted root `{}` that the trust file names cannot be read", path.escape_debug())]
    TrustRootFile {
        /// The path, as the trust file has it.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A member of the trust file has a value that it cannot have.
    #[error("the trust file's {member} `{}` is not {expected}", value.escape_debug())]
    TrustMember {
        /// Which member.
        member: &'static str,
        /// What it says.
        value: String,
        /// What it should say.
        expected: &'static str,
    },
    /// The key was revoked.
    #[error("the key `{key}` was revoked on {date}: {}", reason.escape_debug())]
    RevokedKey {
        /// Its name in the trust file.
        key: String,
        /// Why.
        reason: String,
        /// When.
        date: String,
    },
    /// The trust file's rules do not allow it.
    #[error("the trust file's rules do not allow it: {0}")]
    NotAllowed(String),
    /// The trust file names something twice.
    #[error("the trust file has `{0}` twice")]
    TrustTwice(String),
    /// The bundle is larger than any signature needs.
    #[error("the signature is too large: {0} bytes")]
    BundleTooLarge(usize),
    /// The bundle is not JSON of the expected shape.
    #[error("the signature is not a sigstore bundle with a message signature by key")]
    Bundle(#[source] serde_json::Error),
    /// The bundle is of another version.
    #[error("the signature has media type `{}`, expected a sigstore bundle v0.3", .0.escape_debug())]
    BundleVersion(String),
    /// The bundle has a certificate, and what is asked knows keys alone.
    #[error("the signature is by a certificate, and the trust file has no identity for it")]
    BundleCertificate,
    /// A drive's manifest is signed by certificate.
    #[error("the signature is by a certificate, and drives are signed by keys")]
    DriveCertificate,
    /// A signature by certificate does not count.
    #[error(transparent)]
    Keyless(Box<crate::keyless::Error>),
    /// The bundle does not say which key signed.
    #[error("the signature does not name the key that made it")]
    BundleWithoutKey,
    /// The bundle holds an attestation, or nothing.
    #[error("the sigstore bundle does not hold the signature of a file")]
    BundleContent,
    /// The bundle hashes with something else.
    #[error("the signature is over `{}`, expected `SHA2_256`", .0.escape_debug())]
    DigestAlgorithm(String),
    /// No trusted key made the signature.
    #[error("the signature is by a key that is not trusted, with hint `{0}`")]
    UntrustedKey(String),
    /// The trust file does not have the log.
    #[error("the log `{}` is not trusted", .0.escape_debug())]
    UnknownLog(String),
    /// The signed bytes are others.
    #[error("the signature is for different content")]
    OtherBytes,
    /// The signature is wrong.
    #[error("the signature by `{0}` does not verify")]
    BadSignature(String),
    /// Evidence is larger than the limit.
    #[error("the evidence is too large: {0} bytes")]
    EvidenceTooLarge(usize),
    /// The policy does not take signatures of this format.
    #[error("the signature is {0}, a format that is not accepted here")]
    FormatRefused(Format),
    /// The format names no key, and none that is trusted fits.
    #[error("no trusted key made the signature")]
    NoKeyFits,
    /// A trusted key said what it may not say.
    #[error("`{key}` may not sign `{}`", predicate_type.escape_debug())]
    RoleRefused {
        /// The name of the key or identity.
        key: String,
        /// What it said.
        predicate_type: String,
    },
    /// A simple-signing payload is malformed.
    #[error("the signed payload is not cosign's")]
    Payload(#[source] serde_json::Error),
    /// A simple-signing payload is of another type.
    #[error("the signed payload is a `{}`, expected cosign's image signature", .0.escape_debug())]
    PayloadKind(String),
    /// The signature is about another image.
    #[error("the signature is about `{}`, not about `{expected}`", found.escape_debug())]
    OtherImage {
        /// The first image that it is about.
        found: String,
        /// The image that is looked at.
        expected: String,
    },
    /// The signature is about this image under another name.
    #[error("the image is signed as `{}`, not as `{expected}`", found.escape_debug())]
    OtherName {
        /// The name that is signed.
        found: String,
        /// The name that is looked at.
        expected: String,
    },
    /// The signature binds no name, though one is asked for.
    #[error("the signature does not contain the image's name")]
    NameMissing,
    /// The statement says something else.
    #[error("the statement is a `{}`, expected `{expected}`", found.escape_debug())]
    PredicateType {
        /// What it is.
        found: String,
        /// What is asked for.
        expected: String,
    },
    /// A signed statement is malformed.
    #[error("the signed statement is not an in-toto statement")]
    Statement(#[source] serde_json::Error),
    /// A signed statement is of another type.
    #[error("the signed statement is of type `{}`, expected in-toto 1 or 0.1", .0.escape_debug())]
    StatementKind(String),
    /// A statement is about nothing.
    #[error("the signed statement has no subject")]
    NoSubject,
    /// An annotation of ours is not of its form.
    #[error("the signed annotation `{0}` is malformed")]
    Annotation(&'static str),
    /// What should be an image's name is not one.
    #[error("`{}` is not an image's name: a registry and a repository, without tag and digest", .0.escape_debug())]
    ImageName(String),
    /// An envelope is malformed.
    #[error("the attestation is not a DSSE envelope")]
    Envelope(#[source] serde_json::Error),
    /// An envelope holds something else than a statement.
    #[error("the envelope holds `{}`, expected an in-toto statement", .0.escape_debug())]
    EnvelopeKind(String),
    /// An envelope has no signature, or several.
    #[error("the envelope has {0} signatures, expected one")]
    SignatureCount(usize),
    /// An envelope names another key than its bundle, or than the one that made the signature.
    #[error("the envelope names the key `{}`, which is not the one that signed", .0.escape_debug())]
    KeyId(String),
    /// The bundle holds the signature of a file, or nothing.
    #[error("the sigstore bundle does not hold a statement")]
    BundleWithoutStatement,
    /// A manifest cannot be made or read.
    #[error("the manifest is malformed")]
    Manifest(#[source] oci::Error),
    /// Under a tag of signatures there is something else.
    #[error("the signature tag points to an index")]
    NotAttached,
    /// A manifest has more signatures than are read.
    #[error("the manifest has too many layers: {0}")]
    TooManyLayers(usize),
    /// A referrer is listed under an image that it is not about.
    #[error("the bundle's manifest does not refer to `{expected}`")]
    OtherSubject {
        /// The image.
        expected: String,
    },
    /// A signature of the Notary Project.
    #[error("it is a notation signature in {0}, and only those of cosign and airlock are verified")]
    Notation(&'static str),
    /// A bundle's manifest has several layers.
    #[error("the bundle's manifest has {0} layers, expected one")]
    ReferrerLayers(usize),
    /// A bundle has more log entries than are read.
    #[error("the bundle has too many log entries: {0}")]
    TooManyLogEntries(usize),
    /// A log entry is malformed.
    #[error("the log entry is malformed")]
    LogEntry(#[source] serde_json::Error),
    /// A log entry is of another kind.
    #[error("the log entry is a `{}`, expected `hashedrekord 0.0.2`", .0.escape_debug())]
    LogKind(String),
    /// No log entry, though one is asked for.
    #[error("the signature is not in a transparency log")]
    NotLogged,
    /// No log entry is of an accepted log.
    #[error("the signature is not in an accepted transparency log")]
    OtherLog,
    /// The log has another entry there.
    #[error("the log entry is not about this signature")]
    LogBody,
    /// The proof is not about the state that the log signed.
    #[error("the proof of the log entry is not about the state that the log signed")]
    LogRoot,
    /// The entry is not in the tree.
    #[error("log entry {index} is not in the log of {size} entries, or is a different entry")]
    LogIndex {
        /// The entry.
        index: u64,
        /// How many there are.
        size: u64,
    },
    /// A proof is longer than any tree is high.
    #[error("the proof of the log entry is too long: {0} hashes")]
    LogProofLength(usize),
    /// A checkpoint or a proof does not hold.
    #[error("the proof of the log entry is not valid")]
    Log(#[source] tlog::Error),
    /// A log's name is not a host.
    #[error("`{}` is not a log that a trusted root can name: it takes a key for checkpoints, and a host in lower case", .0.escape_debug())]
    LogName(String),
    /// A manifest of EKS Anywhere is refused.
    #[error(transparent)]
    Eksa(#[from] crate::eksa::Refusal),
}
