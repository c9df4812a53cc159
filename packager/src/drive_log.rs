//! The sender's log on a drive, in files next to the volumes. `docs/bundle-format.md` describes them.
//!
//! ```text
//! log/checkpoint               the signed state (C2SP tlog-checkpoint)
//! log/tile/...                 its tiles and entries (C2SP tlog-tiles)
//! log/consistency-from-SIZE    proof that it continues the state that a site acknowledged (body of C2SP tlog-witness)
//! log/witness/SITE             the checkpoint that this site cosigned (C2SP tlog-cosignature)
//! trusted_root.json            the log's key, for standard verifiers
//! ```
//!
//! The drive's signature does not cover these files, and need not: the log's own signature covers them, with a key in the
//! trust file. The drive's manifest names the log, and the log names the set, in an entry whose index is the drive's
//! number. A set with another log and a log with another set are both detected.
//!
//! - `replay`: refuses older logs and drives
//! - [`mod@write`]: writes the sender's log to the drive; [`examine`]: verifies the log on the drive, and returns a
//!   [`Finding`] or an [`Alarm`]; `claimed`: what a drive states about its log, for display only

mod alarm;
pub(crate) mod claimed;
pub mod examine;
mod files;
pub mod refusal;
mod replay;
pub mod write;

use oci::Digest;
use serde::Deserialize;

pub use alarm::{Alarm, AlarmKind, LogOwner};
pub use examine::{Finding, KnownLog};
pub use refusal::DriveLogError;
pub use write::{SenderLog, WrittenLog};

pub(crate) use files::{Publish, create_folder, publish, read_file};

/// The log's folder, next to the volumes.
pub const FOLDER: &str = "log";
/// The log's key for standard verifiers, next to the volumes.
pub const TRUSTED_ROOT: &str = "trusted_root.json";
/// The folder of cosigned checkpoints in the log's folder.
const WITNESS: &str = "witness";
/// The prefix of a proof's file name.
const CONSISTENCY: &str = "consistency-from-";

/// The maximum number of cosigned checkpoints that are read.
const MOST_WITNESSES: usize = 100;
/// The maximum size of `trusted_root.json`.
const MOST_TRUSTED_ROOT: u64 = 64 << 10;

/// The fields that are read from an entry: an event that a set was written. It may have more fields, and other entries may
/// have any form.
#[derive(Deserialize)]
struct Packed {
    event: String,
    object: PackedObject,
    outcome: PackedOutcome,
}

#[derive(Deserialize)]
struct PackedObject {
    digests: Vec<String>,
}

#[derive(Deserialize)]
struct PackedOutcome {
    result: String,
}

/// Whether an entry of a log records that this set was written to a drive.
fn is_of_set(entry: &[u8], set: &str) -> bool {
    // Most entries do not contain the digest, and need not be parsed.
    let within = entry.windows(set.len()).any(|part| part == set.as_bytes());
    within
        && serde_json::from_slice::<Packed>(entry).is_ok_and(|packed| {
            packed.event == "pack"
                && packed.outcome.result == "success"
                && packed.object.digests.iter().any(|digest| digest == set)
        })
}

/// A file name for a name with arbitrary characters.
pub(crate) fn file_name(origin: &str) -> String {
    Digest::sha256(origin.as_bytes()).hex().to_owned()
}

/// Whether a name is a valid folder name on any medium.
pub(crate) fn is_file_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(good) && !name.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_successful_pack_of_the_set_is_its_entry() {
        let set = Digest::sha256(b"set").to_string();
        let entry = |event: &str, result: &str, digest: &str| {
            format!(
                r#"{{"actor":{{}},"event":"{event}","object":{{"digests":["{digest}"],"kind":"set","name":"{set}"}},"outcome":{{"result":"{result}"}}}}"#
            )
        };
        let other = Digest::sha256(b"other").to_string();
        assert!(is_of_set(entry("pack", "success", &set).as_bytes(), &set));
        for entry in [
            entry("import", "success", &set),
            entry("pack", "failed", &set),
            entry("pack", "success", &other),
            set.clone(),
            format!("[\"{set}\"]"),
            String::new(),
        ] {
            assert!(!is_of_set(entry.as_bytes(), &set), "{entry}");
        }
    }

    #[test]
    fn names_of_sites_are_not_paths() {
        assert!(is_file_name("site-0a.airlock.local"));
        for bad in ["", "..", ".a", "a/b", "-a", "ä", "a b", &"a".repeat(129)] {
            assert!(!is_file_name(bad), "{bad}");
        }
    }
}
