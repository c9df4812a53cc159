//! The class of each error.

use error_class::{Class, Classified};

use super::{Error, is_full};

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Io { source, .. } => source.class(),
            Self::Database(source) => {
                if is_full(source) {
                    Class::NoRoom
                } else {
                    Class::Other
                }
            }
            Self::Commit(source) => source.downcast_ref::<Self>().map_or(Class::Other, Classified::class),
            Self::Absent(_) | Self::NotWaiting { .. } => Class::Missing,
            Self::NotAStore(_) | Self::NotABackup(_) | Self::NotEmpty(_) => Class::Usage,
            Self::NamesGone(_)
            | Self::DigestMismatch { .. }
            | Self::DescriptorSize { .. }
            | Self::TagImmutable { .. }
            | Self::Protected(_)
            | Self::TooManyNaming { .. }
            | Self::InboxFull { .. } => Class::Refused,
            Self::QuotaExceeded { .. } => Class::NoRoom,
            Self::Closed
            | Self::NoDatabase(_)
            | Self::JournalShort { .. }
            | Self::Version { .. }
            | Self::InUse { .. }
            | Self::Locked(_)
            | Self::ReadOnly(_)
            | Self::Unfinished(_)
            | Self::BlobMissing { .. }
            | Self::ManifestMissing { .. }
            | Self::UploadBusy(_)
            | Self::UploadGone(_)
            | Self::UploadQuota { .. }
            | Self::PartialBusy { .. }
            | Self::Scrubbing(_)
            | Self::DiskFails(_)
            | Self::ChangesTooQuickly
            | Self::Invalid(_)
            | Self::Rules(_)
            | Self::HalvesDiffer { .. }
            | Self::Random => Class::Other,
        }
    }
}
