//! The class of each error.

use error_class::{Class, Classified};

use super::{Error, HeaderDefect};
use crate::media::OtherFile;

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Io { source, .. } => source.class(),
            Self::Store(error) => error.class(),
            Self::Sign(error) => error.class(),
            Self::Log(error) => error.class(),
            Self::Alarm(alarm) => alarm.class(),
            Self::NoVolume(_) | Self::MissingVolumes { .. } | Self::NotInStore(_) => Class::Missing,
            Self::NoSpace { .. } | Self::FileTooLarge { .. } => Class::NoRoom,
            Self::VolumeTooSmall { .. }
            | Self::WouldOverwrite(_)
            | Self::NoTrust
            | Self::NotVolume(OtherFile { is_named: true, .. }) => Class::Usage,
            Self::NotVolume(OtherFile { is_named: false, .. })
            | Self::Signature(_)
            | Self::Unsigned
            | Self::OtherSet { .. }
            | Self::Head { .. }
            | Self::HeadTruncated(_)
            | Self::Version { .. }
            | Self::ManifestTooLarge { .. }
            | Self::ManifestDigest { .. }
            | Self::OtherSignature(_)
            | Self::ManifestJson(_)
            | Self::DuplicateInManifest(_)
            | Self::Inconsistent(_)
            | Self::Incomplete(_)
            | Self::TooMany { .. }
            | Self::VolumeCount { .. }
            | Self::TrailingBytes { .. }
            | Self::Truncated { .. }
            | Self::Header { .. }
            | Self::Padding { .. }
            | Self::Content { .. }
            | Self::DecompressionBomb { .. }
            | Self::WrongSize { .. }
            | Self::Compression { .. }
            | Self::Bundles(_)
            | Self::StoreDamaged { .. }
            | Self::Oci(_) => Class::Refused,
            Self::Locked(_)
            | Self::TargetBusy { .. }
            | Self::OtherVolume { .. }
            | Self::NotInserted { .. }
            | Self::ReadBack(_)
            | Self::Unlogged(_) => Class::Other,
        }
    }
}

impl Classified for HeaderDefect {
    fn class(&self) -> Class {
        Class::Refused
    }
}
