//! Starts write-back while a file still grows, so that the final flush is short.

use std::fs::File;
use std::num::NonZeroU64;

use rustix::fs::{Advice, fadvise};

/// Write-back starts each time a file grows past a multiple of this size.
const WINDOW: u64 = 8 << 20;

/// Asks the system to start writing the new bytes of `file`, when its growth from `before` to `after` bytes filled a
/// window. This neither waits nor consumes errors: a background flush would consume the error that the final flush must
/// report.
///
/// On Linux, advising that pages are not needed starts their write-back without waiting (`mm/fadvise.c`); pages
/// under write-back stay in memory.
pub fn write_behind(file: &File, before: u64, after: u64) {
    let (begin, end) = (before / WINDOW * WINDOW, after / WINDOW * WINDOW);
    if let Some(length) = NonZeroU64::new(end - begin) {
        // Only a hint: the final flush does the rest.
        let _ = fadvise(file, begin, Some(length), Advice::DontNeed);
    }
}
