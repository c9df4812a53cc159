//! The sender's log on a drive, in files beside the volumes. `docs/bundle-format.md` describes them for people.
//!
//! ```text
//! log/checkpoint               the signed state (C2SP tlog-checkpoint)
//! log/tile/...                 its tiles and entries (C2SP tlog-tiles)
//! log/consistency-from-SIZE    that it goes on from what a site acknowledged (body of C2SP tlog-witness)
//! log/witness/SITE             what that site cosigned (C2SP tlog-cosignature)
//! trusted_root.json            the log's key, for stock verifiers
//! ```
//!
//! None of it is covered by the drive's signature, nor needs to be: the log's own signature covers it, by a key that the
//! trust file names. The drive's manifest names the log, and the log names the set, in an entry whose index is the
//! drive's number: a set with another log, and a log with another set, are both told.
//!
//! - [`mod@write`]: from the sender's log to the drive; [`examine`]: from the drive to a [`Finding`] or an [`Alarm`]

mod alarm;
pub mod examine;
mod files;
pub mod refusal;
pub mod write;

use oci::Digest;
use serde::Deserialize;

pub use alarm::{Alarm, AlarmKind, Whose};
pub use examine::{Finding, Known};
pub use refusal::DriveLogError;
pub use write::{CarriedLog, SenderLog};

pub(crate) use files::{Publish, create_folder, publish, read_file};

/// The log's folder beside the volumes.
pub const FOLDER: &str = "log";
/// The log's key for stock verifiers, beside the volumes.
pub const TRUSTED_ROOT: &str = "trusted_root.json";
/// The folder of cosigned checkpoints within the log's.
const WITNESS: &str = "witness";
/// What a proof's file name begins with.
const CONSISTENCY: &str = "consistency-from-";

/// A longer `trusted_root.json` is none of ours.
const MOST_TRUSTED_ROOT: u64 = 64 << 10;

/// What is looked at in an entry: an event that says that a set was written. It may have more members, and other
/// entries may look any way they like.
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

/// Whether an entry of a log says that this set was written to a drive.
fn is_of_set(entry: &[u8], set: &str) -> bool {
    // Most entries do not have the digest at all, and need not be parsed.
    let within = entry.windows(set.len()).any(|part| part == set.as_bytes());
    within
        && serde_json::from_slice::<Packed>(entry).is_ok_and(|packed| {
            packed.event == "pack"
                && packed.outcome.result == "success"
                && packed.object.digests.iter().any(|digest| digest == set)
        })
}

/// A file name for a name that may hold any character.
pub(crate) fn file_name(origin: &str) -> String {
    Digest::sha256(origin.as_bytes()).hex().to_owned()
}

/// Whether a name can be a folder's on any medium.
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
    fn names_of_sites_are_no_paths() {
        assert!(is_file_name("site-0a.airlock.local"));
        for bad in ["", "..", ".a", "a/b", "-a", "ä", "a b", &"a".repeat(129)] {
            assert!(!is_file_name(bad), "{bad}");
        }
    }
}
