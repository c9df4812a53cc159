//! Integers: `fmtInteger`, `fmtC`, `fmtQc` and `fmtUnicode` of Go's `format.go`.

use crate::budget::Failure;

use super::printer::{Mark, Printer};
use super::quote;

/// Prints the two's complement `bits`; returns false if integers have no such verb.
pub(super) fn print(printer: &mut Printer<'_>, bits: u64, signed: bool, verb: char) -> Result<bool, Failure> {
    match verb {
        'v' if printer.flags.has(Mark::SharpV) && !signed => {
            let sharp = printer.flags.has(Mark::Sharp);
            printer.flags.set(Mark::Sharp, true);
            let result = number(printer, bits, signed, 'x');
            printer.flags.set(Mark::Sharp, sharp);
            result?;
        }
        'v' | 'd' | 'b' | 'o' | 'O' | 'x' | 'X' => number(printer, bits, signed, verb)?,
        'c' => printer.pad(character(bits).encode_utf8(&mut [0; 4]).as_bytes())?,
        'q' => {
            let quoted = quote::quote_character(character(bits), printer.flags.has(Mark::Plus));
            printer.pad(quoted.as_bytes())?;
        }
        'U' => unicode(printer, bits)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn number(printer: &mut Printer<'_>, bits: u64, signed: bool, verb: char) -> Result<(), Failure> {
    let flags = printer.flags;
    let negative = signed && bits.cast_signed() < 0;
    let magnitude = if negative { bits.wrapping_neg() } else { bits };
    let sign = match () {
        () if negative => "-",
        () if flags.has(Mark::Plus) => "+",
        () if flags.has(Mark::Space) => " ",
        () => "",
    };
    let width = flags.width.unwrap_or(0);
    let digits_wanted = match flags.precision {
        // Go prints only padding for a zero with precision 0.
        Some(0) if magnitude == 0 => return printer.pad_with_spaces(b""),
        Some(precision) => precision,
        None if flags.has(Mark::Zero) && !flags.has(Mark::Minus) => width.saturating_sub(sign.len()),
        None => 0,
    };
    let digits = match verb {
        'b' => format!("{magnitude:b}"),
        'o' | 'O' => format!("{magnitude:o}"),
        'x' => format!("{magnitude:x}"),
        'X' => format!("{magnitude:X}"),
        _ => magnitude.to_string(),
    };
    let zeros = digits_wanted.saturating_sub(digits.len());
    let prefix = match verb {
        'O' if flags.has(Mark::Sharp) && zeros == 0 && !digits.starts_with('0') => "0o0",
        'O' => "0o",
        'b' if flags.has(Mark::Sharp) => "0b",
        'o' if flags.has(Mark::Sharp) && zeros == 0 && !digits.starts_with('0') => "0",
        'x' if flags.has(Mark::Sharp) => "0x",
        'X' if flags.has(Mark::Sharp) => "0X",
        _ => "",
    };
    // A directive can ask for at most a million zeros (`tooLarge`), and `pad` accounts for them.
    let text = [sign, prefix, &"0".repeat(zeros), &digits].concat();
    printer.pad_with_spaces(text.as_bytes())
}

fn unicode(printer: &mut Printer<'_>, bits: u64) -> Result<(), Failure> {
    let digits = format!("{bits:X}");
    let zeros = printer.flags.precision.unwrap_or(0).max(4).saturating_sub(digits.len());
    let mut text = ["U+", &"0".repeat(zeros), &digits].concat();
    if printer.flags.has(Mark::Sharp)
        && let Some(character) = u32::try_from(bits).ok().and_then(char::from_u32)
        && quote::is_print(character)
    {
        text.push_str(&format!(" '{character}'"));
    }
    printer.pad_with_spaces(text.as_bytes())
}

/// The character with this code point, or U+FFFD if there is none.
fn character(bits: u64) -> char {
    u32::try_from(bits).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}
