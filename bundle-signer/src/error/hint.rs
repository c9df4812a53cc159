//! What to do about an error.

use super::Error;

impl Error {
    /// What to do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UntrustedKey(_) => Some(
                "if you trust its owner, get the public key by another way than the drive and add it with `airlock keys trust`",
            ),
            Self::UnknownLog(_) => Some(
                "if you trust its owner, get the log's key by another way than the drive and add it to `logs` of the trust file",
            ),
            Self::OtherBytes | Self::BadSignature(_) => Some(
                "the drive was changed after it was signed, or is damaged: do not use it, ask for a new one",
            ),
            Self::NotAllowed(_) => Some("`airlock trust check FILE` tells what a trust file asks for"),
            Self::TrustMember { .. } => Some("`airlock trust schema` prints what a trust file can say"),
            Self::DriveCertificate | Self::BundleWithoutKey => {
                Some("sign with a key: `cosign sign-blob --key cosign.key`")
            }
            Self::BundleCertificate => Some(
                "if you trust the signer, name it under `identities` of the trust file: `airlock keys add --certificate-identity ...`",
            ),
            Self::Keyless(error) => error.hint(),
            Self::TrustIdentity { source, .. } => source.hint(),
            Self::TrustRootFile { .. } => Some(
                "give the path beside the trust file, or put the text of `trusted_root.json` in its place",
            ),
            Self::BundleContent => Some("sign with `cosign sign-blob`, not `cosign attest-blob`"),
            Self::Bundle(_) | Self::BundleVersion(_) => {
                Some("cosign 2 writes this format with `--new-bundle-format`, cosign 3 by itself")
            }
            Self::BundleWithoutStatement => Some("sign images with `cosign sign`, not `cosign sign-blob`"),
            Self::NameMissing => {
                Some("`cosign sign` 3 signs no name: use `airlock`, or accept signatures without one")
            }
            Self::OtherLog | Self::NotLogged => {
                Some("the log's key comes from its operator, never from beside the signature")
            }
            Self::TrustKey { source, .. } => source.hint(),
            Self::Eksa(refusal) => refusal.hint(),
            Self::Trust(_) | Self::TrustKind { .. } | Self::TrustEmpty => {
                Some("make a trust file with `airlock keys trust`")
            }
            _ => self.key_hint(),
        }
    }

    /// The same of keys.
    fn key_hint(&self) -> Option<&'static str> {
        match self {
            Self::Password => Some("set AIRLOCK_KEY_PASSWORD, or use --password-file"),
            Self::PemKind { found, expected }
                if expected.ends_with("PUBLIC KEY") && found.contains("PRIVATE") =>
            {
                Some("this is the private key: give the public one, and keep the private one to yourself")
            }
            Self::PemKind { found, .. } if found == "PUBLIC KEY" => {
                Some("this is the public key: signing needs the private one")
            }
            Self::PemKind { found, .. } if found == "ENCRYPTED PRIVATE KEY" => Some(
                "`openssl pkcs8 -in FILE -out PLAIN` takes OpenSSL's password away; then import it, and remove PLAIN",
            ),
            Self::PemShape => {
                Some("give one PEM block from its BEGIN line to its END line, and nothing else")
            }
            Self::PrivateKeyPlain(_) | Self::PrivateKeyWithoutPublic => {
                Some("`airlock keys import FILE NAME` makes an encrypted key file of it")
            }
            Self::PrivateKeyForLogs => Some("make a key for images and drives with `airlock keys generate`"),
            Self::PrivateKeyKind => {
                Some("cosign, EKS Anywhere and stock verifiers have ECDSA P-256 in common: make such a key")
            }
            Self::PinInUri => Some(
                "give `pin-source=file:/PATH`, --password-file, --password-fd or AIRLOCK_KEY_PASSWORD, or be asked",
            ),
            Self::NoTokens => Some(
                "build it with `--features hsm` and a C library that is not linked in: docs/signing.md says how",
            ),
            Self::NoModule => Some("add `?module-path=/PATH` to the URI, or set AIRLOCK_PKCS11_MODULE"),
            Self::TokenCount(_) => Some("name the token by `token=LABEL` or `serial=NUMBER`"),
            Self::TokenKeyCount { .. } => {
                Some("name the key by `object=LABEL` and `id=%01`; its public key must be there, too")
            }
            Self::Pin => Some("it was tried once: tokens lock themselves after a few wrong ones"),
            Self::Pem(_) | Self::PemKind { .. } | Self::PublicKey | Self::PrivateKey => {
                Some("make a key pair with `airlock keys generate` or `cosign generate-key-pair`")
            }
            _ => None,
        }
    }
}
