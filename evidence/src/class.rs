//! The class of each error.

use error_class::{Class, Classified};

use crate::Error;

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Overwritten(_) | Self::Died => Class::Other,
            Self::Client(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Read { source, .. } | Self::File { source, .. } => source.class(),
            // The statement to sign is from the user.
            Self::Sign(bundle_signer::Error::EvidenceTooLarge(_))
            | Self::Requirement(_)
            | Self::Keyless(_) => Class::Usage,
            Self::NotFound(_) => Class::Missing,
            Self::Content(_) | Self::Oci(_) => Class::Refused,
            Self::Sign(error) => error.class(),
        }
    }
}
