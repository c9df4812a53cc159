//! Go strings, which may hold any bytes: counting, truncating and printing in hexadecimal.

use crate::budget::Failure;

use super::printer::{Mark, Printer};

/// The number of characters; a byte that is not valid UTF-8 counts as one.
pub(super) fn count(bytes: &[u8]) -> usize {
    if bytes.is_ascii() {
        return bytes.len();
    }
    bytes.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum()
}

/// The first `precision` characters.
pub(super) fn cut(bytes: &[u8], precision: Option<usize>) -> &[u8] {
    let Some(mut left) = precision else { return bytes };
    let mut end = 0;
    for chunk in bytes.utf8_chunks() {
        let sizes = chunk.valid().chars().map(char::len_utf8).chain(chunk.invalid().iter().map(|_| 1));
        for size in sizes {
            if left == 0 {
                return bytes.get(..end).unwrap_or(bytes);
            }
            left -= 1;
            end += size;
        }
    }
    bytes
}

/// `%x` and `%X` of a string: `fmtSbx`.
pub(super) fn hex(printer: &mut Printer<'_>, bytes: &[u8], upper: bool) -> Result<(), Failure> {
    let flags = printer.flags;
    let bytes = bytes.get(..flags.precision.unwrap_or(usize::MAX).min(bytes.len())).unwrap_or(bytes);
    let (space, sharp) = (flags.has(Mark::Space), flags.has(Mark::Sharp));
    let per_byte = if space && sharp { 4 } else { 2 };
    let between = if space { bytes.len().saturating_sub(1) } else { 0 };
    let prefix = if sharp && !space && !bytes.is_empty() { 2 } else { 0 };
    let missing = flags.width.unwrap_or(0).saturating_sub(bytes.len() * per_byte + between + prefix);
    if missing > 0 && (bytes.is_empty() || !flags.has(Mark::Minus)) {
        printer.fill(missing)?;
    }
    let start = if upper { b"0X" } else { b"0x" };
    for (index, byte) in bytes.iter().enumerate() {
        if space && index > 0 {
            printer.write(b" ")?;
        }
        if sharp && (space || index == 0) {
            printer.write(start)?;
        }
        let text = if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
        printer.write(text.as_bytes())?;
    }
    if missing > 0 && !bytes.is_empty() && flags.has(Mark::Minus) {
        printer.fill(missing)?;
    }
    Ok(())
}
