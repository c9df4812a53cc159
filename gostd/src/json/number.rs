//! Floating-point numbers in the forms of Go's `strconv.FormatFloat` and `encoding/json`.

/// The shortest digits that read back as the same number, without sign, and the decimal exponent of the first one.
fn digits(scientific: &str) -> (String, i32) {
    let scientific = scientific.trim_start_matches('-');
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    (mantissa.replace('.', ""), exponent.parse().unwrap_or_default())
}

fn sign(negative: bool) -> &'static str {
    if negative { "-" } else { "" }
}

fn plain(digits: &str, exponent: i32) -> String {
    let point = exponent + 1;
    if point <= 0 {
        let zeros = usize::try_from(-point).unwrap_or_default();
        return format!("0.{}{digits}", "0".repeat(zeros));
    }
    let point = usize::try_from(point).unwrap_or_default();
    match digits.split_at_checked(point) {
        Some((whole, "")) => whole.to_owned(),
        Some((whole, part)) => format!("{whole}.{part}"),
        None => format!("{digits}{}", "0".repeat(point - digits.len())),
    }
}

fn exponential(digits: &str, exponent: i32, width: usize) -> String {
    let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, ""));
    let point = if rest.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{first}{point}{rest}e{sign}{:0width$}", exponent.unsigned_abs())
}

fn general(scientific: &str, negative: bool) -> String {
    let (digits, exponent) = digits(scientific);
    let body = if (-4..SHORTEST_PRECISION).contains(&exponent) {
        plain(&digits, exponent)
    } else {
        exponential(&digits, exponent, 2)
    };
    format!("{}{body}", sign(negative))
}

/// From this exponent on, or below -4, Go's shortest general form is the exponential one.
const SHORTEST_PRECISION: i32 = 6;

/// `FormatFloat(number, 'g', -1, 64)` of a finite number.
#[must_use]
pub fn general_64(number: f64) -> String {
    general(&format!("{number:e}"), number.is_sign_negative())
}

/// `FormatFloat(number, 'g', -1, 32)`, with which `sigs.k8s.io/yaml` turns numbers into keys.
#[expect(clippy::cast_possible_truncation, reason = "Go rounds to 32 bits in the same way")]
#[must_use]
pub fn general_32(number: f64) -> String {
    let number = number as f32;
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    general(&format!("{number:e}"), number.is_sign_negative())
}

/// What `encoding/json` prints for a finite number.
#[must_use]
pub fn json(number: f64) -> String {
    let (digits, exponent) = digits(&format!("{number:e}"));
    let size = number.abs();
    let body = if size != 0.0 && !(1e-6..1e21).contains(&size) {
        // Go shortens e-09 to e-9; positive exponents have at least two digits here.
        exponential(&digits, exponent, 1)
    } else {
        plain(&digits, exponent)
    };
    format!("{}{body}", sign(number.is_sign_negative()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_those_of_go() {
        for (number, general, plain) in [
            (0.0, "0", "0"),
            (-0.0, "-0", "-0"),
            (1.0, "1", "1"),
            (100_000.0, "100000", "100000"),
            (1e6, "1e+06", "1000000"),
            (1_234_567.0, "1.234567e+06", "1234567"),
            (123_456_789.0, "1.23456789e+08", "123456789"),
            (1e20, "1e+20", "100000000000000000000"),
            (1e21, "1e+21", "1e+21"),
            (0.0001, "0.0001", "0.0001"),
            (0.000_01, "1e-05", "0.00001"),
            (1e-7, "1e-07", "1e-7"),
            (-2.5e-10, "-2.5e-10", "-2.5e-10"),
            (0.1, "0.1", "0.1"),
            (1.5e300, "1.5e+300", "1.5e+300"),
        ] {
            assert_eq!(general_64(number), general);
            assert_eq!(json(number), plain);
        }
        assert_eq!(general_32(1.1), "1.1");
        assert_eq!(general_32(16_777_217.0), "1.6777216e+07");
    }
}
