//! The class of each error.

use error_class::{Class, Classified};

use super::Error;

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::IdentityEmpty
            | Self::IdentityTooLarge(_)
            | Self::Pattern(_)
            | Self::Root(_)
            | Self::RootLacks(_)
            | Self::RootMaterial(_)
            | Self::RootTooLarge(_)
            | Self::RootVersion(_) => Class::Usage,
            Self::TooLarge(_)
            | Self::Malformed(_)
            | Self::Member(_)
            | Self::Structure(_)
            | Self::TooMany { .. }
            | Self::Material
            | Self::ByKey
            | Self::Content
            | Self::NotLogged
            | Self::NotProven(_)
            | Self::OtherArtifact(_)
            | Self::BadSignature(_)
            | Self::Certificate(_)
            | Self::LogEntry(_)
            | Self::UnknownLog(_)
            | Self::OtherLog(_)
            | Self::LogNotInUse { .. }
            | Self::Timestamp(_)
            | Self::NoSubject
            | Self::NoIssuer
            | Self::Subject { .. }
            | Self::Issuer { .. }
            | Self::UnknownIdentity { .. }
            | Self::Unsupported(_)
            | Self::Unchecked
            | Self::LayerMediaType(_)
            | Self::LayerLacks(_)
            | Self::LayerAnnotation(_)
            | Self::LayerCertificate(_)
            | Self::LayerEntry(_)
            | Self::LayerPayload(_)
            | Self::LayerType(_)
            | Self::LayerImage(_) => Class::Refused,
        }
    }
}
