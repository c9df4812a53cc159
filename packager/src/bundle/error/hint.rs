//! The hints for errors.

use super::Error;
use crate::media::OtherFile;

impl Error {
    /// What to do about the error, if something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Signature(error) | Self::Sign(error) => error.hint(),
            Self::Log(refusal) => refusal.hint(),
            Self::Alarm(alarm) => Some(alarm.hint()),
            Self::NoTrust => {
                Some("give --trust FILE with the keys that you accept; create one with `airlock keys trust`")
            }
            Self::Unsigned => Some("pack it again with --key, or ask the sender to do so"),
            Self::NoVolume(_) | Self::NotVolume(OtherFile { is_named: true, .. }) => {
                Some("give the folder that contains the `*.tar` volumes, or the volumes themselves")
            }
            Self::NotVolume(OtherFile { is_named: false, .. }) => {
                Some("copy the volume itself to the medium: links are not followed")
            }
            Self::OtherSet { .. } => {
                Some("import one set at a time: name each of its volumes in the command")
            }
            Self::MissingVolumes { .. } => Some("add the folders that contain them to the command"),
            Self::Truncated { .. } | Self::HeadTruncated(_) => {
                Some("the copy is incomplete: copy the volume again, or pack again")
            }
            Self::NotInStore(_) | Self::Incomplete(_) => {
                Some("at the sender, run `airlock mirror` again with this lock, then pack again")
            }
            Self::StoreDamaged { .. } => {
                Some("run `airlock store check`, then `airlock store rebuild` and `airlock mirror`")
            }
            Self::NoSpace { .. } => Some("use a larger medium, or free space"),
            Self::FileTooLarge { .. } | Self::VolumeTooSmall { .. } => Some("choose another --volume-size"),
            Self::NotInserted { .. } => Some("insert its medium, then run the same command again to resume"),
            Self::ReadBack(_) => Some("the medium is bad: use another one, and run the same command again"),
            Self::TargetBusy { .. } => Some("wait for it to end, or use another folder"),
            Self::TooMany { what: "volumes", .. } => Some("choose a larger --volume-size"),
            Self::TooMany { .. } | Self::ManifestTooLarge { .. } => {
                Some("split the mirror file: no reader accepts a set of this size")
            }
            Self::WouldOverwrite(_) => Some("use an empty folder, or remove the old volumes"),
            Self::Head { .. }
            | Self::ManifestDigest { .. }
            | Self::OtherSignature(_)
            | Self::VolumeCount { .. }
            | Self::TrailingBytes { .. }
            | Self::Header { .. }
            | Self::Padding { .. }
            | Self::Content { .. }
            | Self::Compression { .. }
            | Self::DecompressionBomb { .. }
            | Self::WrongSize { .. } => Some(
                "the drive was changed after it was written, or is damaged: do not use it, and ask for a new one",
            ),
            _ => None,
        }
    }
}
