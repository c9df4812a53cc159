//! Durations in the format of Go's `time.ParseDuration`: `24h`, `1h30m`, `1.5s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::Error;

/// The longest accepted duration: a century, in seconds.
const MAX_SECONDS: f64 = 100.0 * 366.0 * 86_400.0;

/// A duration that is not negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(Duration);

impl GoDuration {
    /// The duration as a standard library type.
    #[must_use]
    pub fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for GoDuration {
    type Err = Error;

    /// # Errors
    /// [`Error::Duration`].
    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = || Error::Duration(text.to_owned());
        let mut rest = text.strip_prefix('+').unwrap_or(text);
        if rest == "0" {
            return Ok(Self::default());
        }
        let mut seconds = 0.0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refused)?;
            let (number, after) = rest.split_at(digits);
            let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_end);
            // Like Go, Rust's float parser accepts `.5` and `5.` and rejects an empty text.
            let number: f64 = number.parse().map_err(|_| refused())?;
            seconds += number * unit_seconds(unit).ok_or_else(refused)?;
            rest = after;
        }
        if text.trim_start_matches('+').is_empty() || seconds > MAX_SECONDS {
            return Err(refused());
        }
        Duration::try_from_secs_f64(seconds).map(Self).map_err(|_| refused())
    }
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_s_formats_are_parsed() {
        for (text, millis) in [
            ("24h", 86_400_000),
            ("1h30m", 5_400_000),
            ("10s", 10_000),
            ("1.5s", 1_500),
            (".5s", 500),
            ("5.s", 5_000),
            ("100ms", 100),
            ("0", 0),
            ("+1m", 60_000),
            ("1h1h", 7_200_000),
        ] {
            assert_eq!(text.parse::<GoDuration>().unwrap().get(), Duration::from_millis(millis), "{text}");
        }
    }

    #[test]
    fn what_go_rejects_is_rejected_and_so_are_negative_and_endless_durations() {
        for text in
            ["", "+", "5", "1d", "h", ".s", "1h ", " 1h", "1 h", "-1h", "1.2.3s", "999999999h", "1e3s"]
        {
            assert_eq!(text.parse::<GoDuration>(), Err(Error::Duration(text.to_owned())), "{text}");
        }
    }
}
