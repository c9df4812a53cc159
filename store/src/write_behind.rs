//! Write-back that starts while a file still grows, so that the flush at its end is short.

use std::fs::File;
use std::num::NonZeroU64;

use rustix::fs::{Advice, fadvise};

/// Write-back starts each time that a file passes a multiple of so many bytes.
const WINDOW: u64 = 8 << 20;

/// Asks the system to begin writing what `file` got, when its growth from `before` to `after` bytes filled a
/// window. Nothing waits here and no error is taken: a flush in the background would use up the error that the
/// flush at the end has to see.
///
/// On Linux the advice that pages are not needed starts their write-back without waiting (`mm/fadvise.c`); pages
/// on their way to the disk stay in memory.
pub fn write_behind(file: &File, before: u64, after: u64) {
    let (begin, end) = (before / WINDOW * WINDOW, after / WINDOW * WINDOW);
    if let Some(length) = NonZeroU64::new(end - begin) {
        // Only a hint: the flush at the end does the rest.
        let _ = fadvise(file, begin, Some(length), Advice::DontNeed);
    }
}
