//! Errors of keys, signatures and trust files.

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
    /// Text around the block, or more than one block.
    #[error("the key file does not contain exactly one PEM block")]
    PemShape,
    /// PEM of another kind.
    #[error("the PEM block is `{}`, expected `{expected}`", found.escape_debug())]
    PemKind {
        /// The label of the block.
        found: String,
        /// The expected label.
        expected: &'static str,
    },
    /// The public key is of an unsupported kind.
    #[error("unsupported public key, expected ECDSA P-256, ECDSA P-384, or RSA with 2048 to 8192 bits")]
    PublicKey,
    /// The public key's point is not on the curve.
    #[error("the public key is not a point on its curve")]
    PublicKeyPoint,
    /// The private key is not ECDSA P-256 in PKCS#8.
    #[error("the private key is not an ECDSA P-256 key in PKCS#8")]
    PrivateKey,
    /// The private key lacks its public half. Go and OpenSSL always write it; in RFC 5915 it is optional.
    #[error("the private key file does not contain the public key")]
    PrivateKeyWithoutPublic,
    /// The private key is of an unsupported kind.
    #[error("the private key is neither ECDSA P-256 nor Ed25519")]
    PrivateKeyKind,
    /// The private key signs logs.
    #[error("the private key is Ed25519, which signs logs and notes, not images and drives")]
    PrivateKeyForLogs,
    /// The `pkcs11:` URI is invalid.
    #[error("invalid `pkcs11:` URI: {0}")]
    Pkcs11Uri(&'static str),
    /// The `pkcs11:` URI contains the PIN.
    #[error(
        "the `pkcs11:` URI contains the PIN, which every user of this machine can see in the process list"
    )]
    PinInUri,
    /// This build does not support tokens.
    #[error(
        "this build of airlock cannot load PKCS#11 modules: it is linked statically, or was built without `hsm`"
    )]
    TokensUnsupported,
    /// No PKCS#11 module is given.
    #[error("no PKCS#11 module given")]
    NoModule,
    /// An operation of the PKCS#11 module or the token failed.
    #[cfg(feature = "hsm")]
    #[error("cannot {action}")]
    Token {
        /// The operation, as a verb.
        action: &'static str,
        /// The error of the module.
        #[source]
        source: Box<cryptoki::error::Error>,
    },
    /// The token rejected the PIN.
    #[error("the token rejected the PIN")]
    Pin,
    /// The token has locked the PIN.
    #[error("the token has locked the PIN after too many wrong attempts")]
    PinLocked,
    /// No token, or several, match the URI.
    #[error("{0} tokens match the `pkcs11:` URI, expected one")]
    TokenCount(usize),
    /// No key in the token, or several, match the URI.
    #[error("{count} {kind} keys in the token match the `pkcs11:` URI, expected one")]
    TokenKeyCount {
        /// The number of keys.
        count: usize,
        /// Private or public.
        kind: &'static str,
    },
    /// The token's key is of another kind, or on another curve.
    #[error("the token's key is not an ECDSA P-256 key")]
    TokenKeyKind,
    /// The token returned a signature that its public key does not verify.
    #[error("the token's signature does not match its public key")]
    TokenSignature,
    /// A key in a token cannot be written to a file.
    #[error("the private key cannot be exported from its token")]
    TokenKeyNotExportable,
    /// The private key is not encrypted.
    #[error("the private key is not encrypted: its PEM block is `{0}`")]
    PrivateKeyPlain(&'static str),
    /// The encrypted key's JSON does not have cosign's format.
    #[error("the encrypted key is malformed")]
    Sealed(#[source] serde_json::Error),
    /// The encrypted key uses an algorithm that cosign does not use.
    #[error("the encrypted key uses `{}`, which is not supported", .0.escape_debug())]
    SealedMethod(String),
    /// Base64 within the encrypted key or the bundle is invalid, or decodes to a wrong length.
    #[error("`{0}` is not valid base64, or has the wrong length")]
    Base64(&'static str),
    /// The password does not decrypt the key.
    #[error("the password does not open the private key")]
    Password,
    /// The system provided no random bytes, or ring failed to sign.
    #[error("the crypto library failed")]
    Crypto,
    /// The trust file is larger than any list of keys.
    #[error("the trust file is too large: {0} bytes")]
    TrustTooLarge(usize),
    /// The trust file is malformed.
    #[error("the trust file is malformed")]
    Trust(#[source] Box<serde_saphyr::Error>),
    /// The trust file is of another kind or version.
    #[error("the trust file has {field} `{}`, expected `{expected}`", found.escape_debug())]
    TrustKind {
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// The expected value.
        expected: &'static str,
    },
    /// The trust file has no keys and no identities.
    #[error("the trust file names no key and no identity")]
    TrustEmpty,
    /// A name is empty, too long, or has unprintable characters.
    #[error("invalid name `{}`, expected 1 to 128 printable characters", .0.escape_debug())]
    TrustName(String),
    /// A key of the trust file is not a valid public key.
    #[error("the key `{name}` of the trust file is invalid")]
    TrustKey {
        /// Its name.
        name: String,
        /// The cause.
        #[source]
        source: Box<Error>,
    },
    /// An identity of the trust file, or its trusted root, cannot be used.
    #[error("the identity `{name}` of the trust file is invalid")]
    TrustIdentity {
        /// Its name.
        name: String,
        /// The cause.
        #[source]
        source: Box<crate::keyless::Error>,
    },
    /// An identity of the trust file has neither or both of two fields.
    #[error("the identity `{name}` of the trust file needs exactly one of `{one}` and `{other}`")]
    TrustIdentityText {
        /// Its name.
        name: String,
        /// The one field.
        one: &'static str,
        /// The other field.
        other: &'static str,
    },
    /// The file of an identity's trusted root cannot be read.
    #[error("cannot read the trusted root `{}` of the trust file", path.escape_debug())]
    TrustRootFile {
        /// The path, as in the trust file.
        path: String,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// A field of the trust file has an invalid value.
    #[error("the trust file has {member} `{}`, expected {expected}", value.escape_debug())]
    TrustMember {
        /// The field.
        member: &'static str,
        /// Its value.
        value: String,
        /// The expected value.
        expected: &'static str,
    },
    /// The key was revoked.
    #[error("the key `{key}` was revoked on {date}: {}", reason.escape_debug())]
    RevokedKey {
        /// Its name in the trust file.
        key: String,
        /// The reason.
        reason: String,
        /// The date of the revocation.
        date: String,
    },
    /// The rules of the trust file are not met.
    #[error("the rules of the trust file are not met: {0}")]
    NotAllowed(String),
    /// The trust file contains something twice.
    #[error("the trust file contains `{0}` twice")]
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
    /// The bundle has a certificate, but no identity is trusted.
    #[error("the signature is by a certificate, but the trust file has no identity for it")]
    BundleCertificate,
    /// A drive's manifest is signed by certificate.
    #[error("the signature is by a certificate, but drives must be signed by a key")]
    DriveCertificate,
    /// A signature by certificate is refused.
    #[error(transparent)]
    Keyless(Box<crate::keyless::Error>),
    /// The bundle does not say which key signed.
    #[error("the signature does not name the key that made it")]
    BundleWithoutKey,
    /// The bundle holds an attestation, or nothing.
    #[error("the sigstore bundle does not hold the signature of a file")]
    BundleContent,
    /// The bundle uses another hash algorithm.
    #[error("the signature covers a digest of type `{}`, expected `SHA2_256`", .0.escape_debug())]
    DigestAlgorithm(String),
    /// No trusted key made the signature.
    #[error("the signature is by an untrusted key with hint `{0}`")]
    UntrustedKey(String),
    /// The trust file does not contain the log.
    #[error("the log `{}` is not trusted", .0.escape_debug())]
    UnknownLog(String),
    /// Other bytes were signed.
    #[error("the signature is for different content")]
    OtherBytes,
    /// The signature is wrong.
    #[error("the signature by `{0}` does not verify")]
    BadSignature(String),
    /// Evidence is larger than the limit.
    #[error("the evidence is too large: {0} bytes")]
    EvidenceTooLarge(usize),
    /// The policy does not accept signatures of this format.
    #[error("the signature is {0}, a format that is not accepted here")]
    FormatRefused(Format),
    /// The format names no key, and no trusted key verifies the signature.
    #[error("no trusted key made the signature")]
    NoKeyFits,
    /// A trusted key signed a statement that it may not sign.
    #[error("`{key}` may not sign `{}`", predicate_type.escape_debug())]
    RoleRefused {
        /// The name of the key or identity.
        key: String,
        /// The type of the statement.
        predicate_type: String,
    },
    /// A simple-signing payload is malformed.
    #[error("the signed payload is not a cosign payload")]
    Payload(#[source] serde_json::Error),
    /// A simple-signing payload is of another type.
    #[error("the signed payload is a `{}`, expected cosign's image signature", .0.escape_debug())]
    PayloadKind(String),
    /// The signature is about another image.
    #[error("the signature is about `{}`, not about `{expected}`", found.escape_debug())]
    OtherImage {
        /// The first image that it is about.
        found: String,
        /// The image that is verified.
        expected: String,
    },
    /// The signature is about this image under another name.
    #[error("the image is signed as `{}`, not as `{expected}`", found.escape_debug())]
    OtherName {
        /// The signed name.
        found: String,
        /// The name that is verified.
        expected: String,
    },
    /// The signature contains no name, although one is required.
    #[error("the signature does not contain the image's name")]
    NameMissing,
    /// The statement is of another type.
    #[error("the statement is a `{}`, expected `{expected}`", found.escape_debug())]
    PredicateType {
        /// The type of the statement.
        found: String,
        /// The expected type.
        expected: String,
    },
    /// A signed statement is malformed.
    #[error("the signed statement is not an in-toto statement")]
    Statement(#[source] serde_json::Error),
    /// A signed statement is of another type.
    #[error("the signed statement is of type `{}`, expected in-toto 1 or 0.1", .0.escape_debug())]
    StatementKind(String),
    /// A signed statement has no subject.
    #[error("the signed statement has no subject")]
    NoSubject,
    /// An annotation that airlock defines is malformed.
    #[error("the signed annotation `{0}` is malformed")]
    Annotation(&'static str),
    /// Not an image name.
    #[error("invalid image name `{}`, expected a registry and a repository, without tag and digest", .0.escape_debug())]
    ImageName(String),
    /// An envelope is malformed.
    #[error("the attestation is not a DSSE envelope")]
    Envelope(#[source] serde_json::Error),
    /// An envelope holds something other than a statement.
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
    /// A signature tag points to something other than signatures.
    #[error("the signature tag points to an index")]
    NotAttached,
    /// A manifest has more signatures than are read.
    #[error("the manifest has too many layers: {0}")]
    TooManyLayers(usize),
    /// A referrer is listed under an image that it does not refer to.
    #[error("the bundle's manifest does not refer to `{expected}`")]
    OtherSubject {
        /// The image.
        expected: String,
    },
    /// A signature of the Notary Project.
    #[error("notation signatures ({0}) are not supported: only those of cosign and airlock are verified")]
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
    /// No log entry, although one is required.
    #[error("the signature is not in a transparency log")]
    NotLogged,
    /// No log entry is of an accepted log.
    #[error("the signature is not in an accepted transparency log")]
    OtherLog,
    /// The log entry is for another signature.
    #[error("the log entry is not for this signature")]
    LogBody,
    /// The proof is for another state than the log signed.
    #[error("the proof of the log entry does not match the checkpoint that the log signed")]
    LogRoot,
    /// The entry is not in the tree.
    #[error("log entry {index} is not in the log of {size} entries, or is a different entry")]
    LogIndex {
        /// The entry.
        index: u64,
        /// The number of entries.
        size: u64,
    },
    /// A proof has more hashes than any tree has levels.
    #[error("the proof of the log entry is too long: {0} hashes")]
    LogProofLength(usize),
    /// A checkpoint or a proof is invalid.
    #[error("the proof of the log entry is not valid")]
    Log(#[source] tlog::Error),
    /// A trusted root cannot list the log.
    #[error("a trusted root cannot list the log `{}`: the log needs a key for checkpoints, and a lower-case host as its name", .0.escape_debug())]
    LogName(String),
    /// A manifest of EKS Anywhere is refused.
    #[error(transparent)]
    Eksa(#[from] crate::eksa::Refusal),
}
