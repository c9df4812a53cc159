//! The class of each error.

use error_class::{Class, Classified};

use super::Error;

impl Classified for Error {
    // Several variants to a line: with one line for each, the groups would be hard to see.
    #[rustfmt::skip]
    fn class(&self) -> Class {
        use Error as E;
        match self {
            // Keys and trust files are named by users, who can correct them.
            E::Pem(_) | E::PemTooLarge(_) | E::PemShape | E::PemKind { .. } | E::PublicKey
            | E::PublicKeyPoint | E::PrivateKey | E::PrivateKeyWithoutPublic | E::PrivateKeyKind
            | E::PrivateKeyForLogs | E::PrivateKeyPlain(_) | E::Sealed(_) | E::SealedMethod(_)
            | E::LogName(_) | E::TokenKeyKind | E::TokenKeyNotExportable
            | E::Trust(_) | E::TrustKind { .. } | E::TrustEmpty | E::TrustMember { .. } | E::TrustName(_)
            | E::TrustIdentity { .. } | E::TrustIdentityText { .. } | E::TrustTwice(_)
            | E::TrustTooLarge(_) | E::ImageName(_) | E::Password
            | E::Pkcs11Uri(_) | E::PinInUri | E::TokensUnsupported | E::NoModule | E::Pin | E::TokenCount(_)
            | E::TokenKeyCount { .. } => Class::Usage,
            E::TrustRootFile { source, .. } => source.class().or(Class::Usage),
            E::Keyless(error) => error.class(),
            E::Eksa(error) => error.class(),
            E::RevokedKey { .. } | E::NotAllowed(_) | E::BundleTooLarge(_) | E::Bundle(_)
            | E::BundleVersion(_) | E::BundleCertificate | E::DriveCertificate | E::BundleWithoutKey
            | E::BundleContent | E::DigestAlgorithm(_) | E::UntrustedKey(_) | E::UnknownLog(_)
            | E::OtherBytes | E::BadSignature(_) | E::EvidenceTooLarge(_) | E::FormatRefused(_)
            | E::NoKeyFits | E::RoleRefused { .. } | E::Payload(_) | E::PayloadKind(_)
            | E::OtherImage { .. } | E::OtherName { .. } | E::NameMissing | E::PredicateType { .. }
            | E::Statement(_) | E::StatementKind(_) | E::NoSubject | E::Annotation(_) | E::Envelope(_)
            | E::EnvelopeKind(_) | E::SignatureCount(_) | E::KeyId(_) | E::BundleWithoutStatement
            | E::Manifest(_) | E::NotAttached | E::TooManyLayers(_) | E::OtherSubject { .. }
            | E::Notation(_) | E::ReferrerLayers(_) | E::TooManyLogEntries(_) | E::LogEntry(_)
            | E::LogKind(_) | E::NotLogged | E::OtherLog | E::LogBody | E::LogRoot | E::LogIndex { .. }
            | E::LogProofLength(_) | E::Log(_) => Class::Refused,
            #[cfg(feature = "hsm")]
            E::Token { .. } => Class::Other,
            E::PinLocked | E::TokenSignature | E::Base64(_) | E::Crypto => Class::Other,
            E::TrustKey { source, .. } => source.class(),
        }
    }
}
