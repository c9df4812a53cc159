//! Hints on how to fix an error.

use super::Error;

impl Error {
    /// How to fix the error, if known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UntrustedKey(_) => Some(
                "if you trust its owner, get the public key through a different channel than the drive and add it with `airlock keys trust`",
            ),
            Self::UnknownLog(_) => Some(
                "if you trust its owner, get the log's key through a different channel than the drive and add it to `logs` of the trust file",
            ),
            Self::OtherBytes | Self::BadSignature(_) => Some(
                "do not use the drive, and request a new one: it is damaged, or it was changed after it was signed",
            ),
            Self::NotAllowed(_) => Some("run `airlock trust check FILE` to see what the trust file requires"),
            Self::TrustMember { .. } => Some("run `airlock trust schema` to see the format of trust files"),
            Self::DriveCertificate | Self::BundleWithoutKey => {
                Some("sign with a key: `cosign sign-blob --key cosign.key`")
            }
            Self::BundleCertificate => Some(
                "if you trust the signer, add it to `identities` of the trust file: `airlock keys add --certificate-identity ...`",
            ),
            Self::Keyless(error) => error.hint(),
            Self::TrustIdentity { source, .. } => source.hint(),
            Self::TrustRootFile { .. } => Some(
                "give a path relative to the trust file, or the text of `trusted_root.json` instead of a path",
            ),
            Self::BundleContent => Some("sign with `cosign sign-blob`, not `cosign attest-blob`"),
            Self::Bundle(_) | Self::BundleVersion(_) => {
                Some("sign with cosign 3, or with cosign 2 and `--new-bundle-format`")
            }
            Self::BundleWithoutStatement => Some("sign images with `cosign sign`, not `cosign sign-blob`"),
            Self::NameMissing => Some(
                "sign with `airlock`, or accept signatures without a name: `cosign sign` 3 does not sign the name",
            ),
            Self::OtherLog | Self::NotLogged => Some(
                "get the log's key from its operator, never from the place where the signature is stored",
            ),
            Self::TrustKey { source, .. } => source.hint(),
            Self::Eksa(refusal) => refusal.hint(),
            Self::Trust(_) | Self::TrustKind { .. } | Self::TrustEmpty => {
                Some("create a trust file with `airlock keys trust`")
            }
            _ => self.key_hint(),
        }
    }

    /// Hints for errors of keys.
    fn key_hint(&self) -> Option<&'static str> {
        match self {
            Self::Password => Some("set AIRLOCK_KEY_PASSWORD, or use --password-file"),
            Self::PemKind { found, expected }
                if expected.ends_with("PUBLIC KEY") && found.contains("PRIVATE") =>
            {
                Some("this is the private key: give the public key, and keep the private key secret")
            }
            Self::PemKind { found, .. } if found == "PUBLIC KEY" => {
                Some("this is the public key: sign with the private key")
            }
            Self::PemKind { found, .. } if found == "ENCRYPTED PRIVATE KEY" => {
                Some("decrypt it with `openssl pkcs8 -in FILE -out PLAIN`, import PLAIN, and delete it")
            }
            Self::PemShape => {
                Some("give one PEM block from its BEGIN line to its END line, and nothing else")
            }
            Self::PrivateKeyPlain(_) | Self::PrivateKeyWithoutPublic => {
                Some("convert it to an encrypted key file with `airlock keys import FILE NAME`")
            }
            Self::PrivateKeyForLogs => {
                Some("generate a key for images and drives with `airlock keys generate`")
            }
            Self::PrivateKeyKind => {
                Some("use an ECDSA P-256 key, which cosign, EKS Anywhere and stock verifiers all support")
            }
            Self::PinInUri => Some(
                "use `pin-source=file:/PATH`, --password-file, --password-fd, AIRLOCK_KEY_PASSWORD, or the prompt",
            ),
            Self::TokensUnsupported => Some(
                "build airlock with `--features hsm` and a dynamically linked C library: see docs/signing.md",
            ),
            Self::NoModule => Some("add `?module-path=/PATH` to the URI, or set AIRLOCK_PKCS11_MODULE"),
            Self::TokenCount(_) => Some("select the token with `token=LABEL` or `serial=NUMBER`"),
            Self::TokenKeyCount { .. } => Some(
                "select the key with `object=LABEL` and `id=%01`; the token must also hold its public key",
            ),
            Self::Pin => Some(
                "check the PIN before the next attempt: tokens lock themselves after a few wrong attempts",
            ),
            Self::Pem(_) | Self::PemKind { .. } | Self::PublicKey | Self::PrivateKey => {
                Some("generate a key pair with `airlock keys generate` or `cosign generate-key-pair`")
            }
            _ => None,
        }
    }
}
