//! Floats: `src/internal/strconv/ftoa.go` and `fmtFloat` of Go's `format.go`.

use crate::budget::Failure;

use super::printer::{Mark, Printer};

/// The exact decimal expansion of a float64 has at most 1074 decimal places and 767 significant digits. All further
/// digits are zeros, which the standard library does not need to produce.
const MOST_DIGITS: usize = 1100;

/// A decimal number, 0.d1d2d3... times 10^`point`. Zero has no digits.
struct Decimal {
    digits: String,
    point: i32,
}

/// `strconv.FormatFloat` with 64 bits and a verb of `e E f g G b x X`. Without a precision, the result is the shortest
/// text that reads back as the same number.
#[must_use]
pub fn format(value: f64, verb: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let magnitude = value.abs();
    let text = match verb {
        'b' => binary(magnitude),
        'x' | 'X' => hexadecimal(magnitude, verb, precision),
        'e' | 'E' => {
            let decimal = Decimal::of(magnitude, precision.map(|places| places + 1));
            let places = precision.unwrap_or_else(|| decimal.digits.len().saturating_sub(1));
            decimal.exponential(places, verb)
        }
        'g' | 'G' => general(magnitude, verb, precision),
        _ => fixed(magnitude, precision),
    };
    format!("{sign}{text}")
}

fn fixed(magnitude: f64, precision: Option<usize>) -> String {
    if let Some(places) = precision {
        let exact = places.min(MOST_DIGITS);
        return format!("{magnitude:.exact$}{}", "0".repeat(places - exact));
    }
    let decimal = Decimal::of(magnitude, None);
    let places = i32::try_from(decimal.digits.len()).unwrap_or(0) - decimal.point;
    decimal.fixed(usize::try_from(places).unwrap_or(0))
}

fn general(magnitude: f64, verb: char, precision: Option<usize>) -> String {
    let wanted = precision.map(|digits| digits.max(1));
    let decimal = Decimal::of(magnitude, wanted);
    let count = decimal.digits.len();
    let point = usize::try_from(decimal.point).unwrap_or(0);
    let mut digits = wanted.unwrap_or(count);
    let mut threshold = if digits > count && count >= point { count } else { digits };
    if wanted.is_none() {
        threshold = 6;
    }
    let exponent = decimal.point - 1;
    if exponent < -4 || i64::from(exponent) >= i64::try_from(threshold).unwrap_or(i64::MAX) {
        digits = digits.min(count);
        return decimal.exponential(digits.saturating_sub(1), if verb == 'g' { 'e' } else { 'E' });
    }
    if i64::try_from(digits).unwrap_or(i64::MAX) > i64::from(decimal.point) {
        digits = count;
    }
    let places = i64::try_from(digits).unwrap_or(0) - i64::from(decimal.point);
    decimal.fixed(usize::try_from(places).unwrap_or(0))
}

impl Decimal {
    /// The shortest digits that read back as `magnitude`, or `digits` of them, rounded half to even; without trailing
    /// zeros.
    fn of(magnitude: f64, digits: Option<usize>) -> Self {
        if magnitude == 0.0 {
            return Self { digits: String::new(), point: 0 };
        }
        let text = match digits {
            None => format!("{magnitude:e}"),
            Some(digits) => format!("{magnitude:.*e}", digits.saturating_sub(1).min(MOST_DIGITS)),
        };
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let point = exponent.parse::<i32>().unwrap_or(0) + 1;
        Self { digits: digits.trim_end_matches('0').to_owned(), point }
    }

    /// The digit at `index`, or zero past the end.
    fn digit(&self, index: i64) -> char {
        let index = usize::try_from(index).ok();
        index.and_then(|index| self.digits.as_bytes().get(index)).map_or('0', |byte| char::from(*byte))
    }

    /// `%e` with `places` decimal places.
    fn exponential(&self, places: usize, verb: char) -> String {
        let mut out = String::new();
        out.push(self.digit(0));
        if places > 0 {
            out.push('.');
            let tail = self.digits.get(1..).unwrap_or_default();
            out.push_str(tail.get(..places.min(tail.len())).unwrap_or_default());
            out.push_str(&"0".repeat(places.saturating_sub(tail.len())));
        }
        let exponent = if self.digits.is_empty() { 0 } else { self.point - 1 };
        let sign = if exponent < 0 { '-' } else { '+' };
        out.push_str(&format!("{verb}{sign}{:02}", exponent.unsigned_abs()));
        out
    }

    /// `%f` with `places` decimal places.
    fn fixed(&self, places: usize) -> String {
        let point = i64::from(self.point);
        let mut out = String::new();
        if point > 0 {
            out.extend((0..point).map(|index| self.digit(index)));
        } else {
            out.push('0');
        }
        if places > 0 {
            out.push('.');
            let places = i64::try_from(places).unwrap_or(0);
            out.extend((0..places).map(|place| self.digit(point + place)));
        }
        out
    }
}

/// Mantissa and binary exponent: the number is `mantissa * 2^(exponent - 52)`.
fn parts(magnitude: f64) -> (u64, i32) {
    let bits = magnitude.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let biased = i32::try_from((bits >> 52) & 0x7ff).unwrap_or(0);
    if biased == 0 { (fraction, -1022) } else { (fraction | 1 << 52, biased - 1023) }
}

/// `%b`
fn binary(magnitude: f64) -> String {
    let (mantissa, exponent) = parts(magnitude);
    format!("{mantissa}p{:+}", exponent - 52)
}

/// `%x`
fn hexadecimal(magnitude: f64, verb: char, precision: Option<usize>) -> String {
    let (mut mantissa, mut exponent) = parts(magnitude);
    if mantissa == 0 {
        exponent = 0;
    }
    mantissa <<= 8;
    while mantissa != 0 && mantissa & (1 << 60) == 0 {
        mantissa <<= 1;
        exponent -= 1;
    }
    if let Some(digits) = precision.filter(|digits| *digits < 15) {
        let shift = digits * 4;
        let dropped = (mantissa << shift) & ((1 << 60) - 1);
        mantissa >>= 60 - shift;
        if dropped | (mantissa & 1) > 1 << 59 {
            mantissa += 1;
        }
        mantissa <<= 60 - shift;
        if mantissa & (1 << 61) != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let upper = verb == 'X';
    let mut out = format!("0{verb}{}", (mantissa >> 60) & 1);
    let fraction = (mantissa << 4) >> 4 & ((1 << 60) - 1);
    let mut digits = if upper { format!("{fraction:015X}") } else { format!("{fraction:015x}") };
    match precision {
        None => digits.truncate(digits.trim_end_matches('0').len()),
        Some(wanted) if wanted < digits.len() => digits.truncate(wanted),
        Some(wanted) => digits.push_str(&"0".repeat(wanted - digits.len())),
    }
    if !digits.is_empty() {
        out.push('.');
        out.push_str(&digits);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    out.push_str(&format!("{}{sign}{:02}", if upper { 'P' } else { 'p' }, exponent.unsigned_abs()));
    out
}

/// Prints a float; returns false if floats have no such verb.
pub(super) fn print(printer: &mut Printer<'_>, value: f64, verb: char) -> Result<bool, Failure> {
    let (form, default) = match verb {
        'v' => ('g', None),
        'b' | 'g' | 'G' | 'x' | 'X' => (verb, None),
        'f' | 'F' => ('f', Some(6)),
        'e' | 'E' => (verb, Some(6)),
        _ => return Ok(false),
    };
    let flags = printer.flags;
    let precision = flags.precision.or(default);
    let text = format(value, form, precision);
    let mut number = text.trim_start_matches(['-', '+']).to_owned();
    let sign = match () {
        () if text.starts_with('-') => "-",
        () if flags.has(Mark::Plus) => "+",
        () if flags.has(Mark::Space) => " ",
        () => "",
    };
    if !value.is_finite() {
        // `NaN` and infinities are never padded with zeros, and an infinity always has a sign.
        let sign = if sign.is_empty() && value.is_infinite() { "+" } else { sign };
        printer.pad_with_spaces(format!("{sign}{number}").as_bytes())?;
        return Ok(true);
    }
    if flags.has(Mark::Sharp) && form != 'b' {
        number = with_point(&number, form, precision);
    }
    let width = flags.width.unwrap_or(0);
    // Zeros go between sign and digits.
    if !sign.is_empty()
        && flags.has(Mark::Zero)
        && !flags.has(Mark::Minus)
        && width > number.len() + sign.len()
    {
        printer.write(sign.as_bytes())?;
        printer.fill(width - number.len() - sign.len())?;
        printer.write(number.as_bytes())?;
    } else {
        printer.pad(format!("{sign}{number}").as_bytes())?;
    }
    Ok(true)
}

/// The flag `#`: always a point, and trailing zeros up to the precision.
fn with_point(number: &str, form: char, precision: Option<usize>) -> String {
    let mut wanted = match form {
        'g' | 'G' | 'x' => precision.unwrap_or(6),
        _ => 0,
    };
    let split = match form {
        'x' | 'X' => number.find(['p', 'P']),
        _ => number.find(['e', 'E']),
    };
    let (head, tail) = number.split_at(split.unwrap_or(number.len()));
    let mut out = head.to_owned();
    // Go counts every digit from the first nonzero one on.
    let counted =
        head.chars().filter(|character| *character != '.').skip_while(|character| *character == '0');
    wanted = wanted.saturating_sub(counted.count());
    if !head.contains('.') {
        if head == "0" {
            wanted = wanted.saturating_sub(1);
        }
        out.push('.');
    }
    out.push_str(&"0".repeat(wanted));
    out.push_str(tail);
    out
}
