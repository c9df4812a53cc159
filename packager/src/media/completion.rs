//! The completion mark, which `pack` writes next to the volumes.

use std::path::Path;

use oci::Digest;
use serde::{Deserialize, Serialize};

use super::Beneath;

/// The maximum size of a completion mark.
const MOST_MARK: u64 = 64 << 10;

/// The mark that `pack` writes next to the volumes after it has read them back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Completion {
    /// The set.
    pub set: Digest,
    /// The time after the last volume was read back, RFC 3339.
    pub completed_at: String,
    /// Whether the medium was read back.
    pub read_back: bool,
    /// The program that wrote it.
    pub created_by: String,
}

/// Reads a mark. The mark is not signed, and anyone who had the drive may have made it. So pipes, links and huge files are
/// not read, and other characters in the time, which could put any text into a report, are refused.
pub(super) fn read_mark(folder: &Path, name: &str) -> Option<Completion> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let bytes = Beneath::open(folder).ok()?.read(Path::new(name), MOST_MARK).ok()??;
    let mark: Completion = serde_json::from_slice(&bytes).ok()?;
    let of_time = |byte: u8| byte.is_ascii_digit() || b"TZ:.+-".contains(&byte);
    (mark.completed_at.len() <= 40 && mark.completed_at.bytes().all(of_time)).then_some(mark)
}

/// The completion mark's file name.
#[must_use]
pub fn mark_name(name: &str) -> String {
    format!("{name}.complete.json")
}
