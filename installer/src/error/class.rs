//! The class of each error.

use error_class::{Class, Classified};
use error_text::kube_class;

use super::Error;

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Kube { source, .. } => kube_class(source),
            Self::Pull { source, .. } => source.class(),
            Self::Chart(error) => error.class(),
            Self::Failed { source, .. } => source.class(),
            Self::Timeout { .. } => Class::Network,
            Self::NoChart { .. } | Self::NoRevision { .. } => Class::Missing,
            Self::Digest { .. } | Self::NotAChart { .. } | Self::Refused { .. } => Class::Refused,
            Self::Rights { .. }
            | Self::Location { .. }
            | Self::Document { .. }
            | Self::UnknownKind { .. }
            | Self::Foreign { .. }
            | Self::ForeignDefinition { .. }
            | Self::Moved { .. }
            | Self::Invalid { .. }
            | Self::Conflict { .. }
            | Self::NotReady { .. }
            | Self::ObjectFailed { .. }
            | Self::Vanished { .. }
            | Self::Hook { .. }
            | Self::NotGone { .. }
            | Self::Record { .. }
            | Self::RecordTooLarge { .. }
            | Self::Changed { .. }
            | Self::Busy { .. }
            | Self::Earlier { .. }
            | Self::Random
            | Self::Render => Class::Other,
        }
    }
}
