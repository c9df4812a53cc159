//! The class of each error.

use error_class::{Class, Classified};

use super::{Error, WrongContent};

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Client(error)
            | Self::Fetch { source: error, .. }
            | Self::Certificates { source: error, .. } => error.class(),
            Self::Several(all) => gravest(all),
            Self::Store(error) => error.class(),
            Self::Render { source, .. } => source.class(),
            Self::Evidence { source, .. } => source.class(),
            Self::ChartArchive { source, .. } => source.class().or(Class::Refused),
            Self::File { source, .. } => file(source),
            Self::NotBySigner { source, .. } => source.class(),
            Self::NoSpace { .. } => Class::NoRoom,
            Self::Clash(_) | Self::FileName(_) => Class::Usage,
            Self::Content(_)
            | Self::Provenance { .. }
            | Self::NoProvenance(_)
            | Self::ChartTooLarge(_)
            | Self::RenderedYaml { .. }
            | Self::Document { .. }
            | Self::Unverified { .. }
            | Self::Eks { .. }
            | Self::Shape { .. }
            | Self::DocumentKind { .. }
            | Self::Oci(_)
            | Self::Url { .. }
            | Self::TooMany { .. }
            | Self::Incomplete(_)
            | Self::Unsupported { .. }
            | Self::Checksum { .. }
            | Self::Archive { .. }
            | Self::NoChart(_)
            | Self::EmptyBundle(_)
            | Self::Unsigned { .. } => Class::Refused,
            Self::NotFound(_)
            | Self::Missing { .. }
            | Self::MissingReferrer { .. }
            | Self::NoPlatform { .. }
            | Self::Layer { .. }
            | Self::ArchiveLacks { .. }
            | Self::ArchiveChoice { .. } => Class::Missing,
            Self::RemoteSchema { .. } | Self::Died => Class::Other,
        }
    }
}

impl Classified for WrongContent {
    fn class(&self) -> Class {
        Class::Refused
    }
}

/// An error without an OS error code is about the content, such as a file that is not an archive.
fn file(source: &std::io::Error) -> Class {
    let from_system = source.raw_os_error().is_some();
    source.class().or(if from_system { Class::Other } else { Class::Refused })
}

/// The most severe class, in this order: an alarm, refused content, no space, usage, missing content, the network.
fn gravest(all: &[Error]) -> Class {
    let classes: Vec<Class> = all.iter().map(Classified::class).collect();
    let order = [Class::Alarm, Class::Refused, Class::NoRoom, Class::Usage, Class::Missing, Class::Network];
    order.into_iter().find(|class| classes.contains(class)).unwrap_or(Class::Other)
}
