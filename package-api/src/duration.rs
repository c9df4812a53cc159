//! Durations in the format of Go's `time.ParseDuration`: `24h`, `1h30m`, `1.5s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::Error;

/// The longest accepted duration: a century.
const MAX: Duration = Duration::from_hours(100 * 366 * 24);

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
        let nanos = gostd::time::duration::parse(text).ok().and_then(|nanos| u64::try_from(nanos).ok());
        let duration = nanos.map(Duration::from_nanos).filter(|duration| *duration <= MAX);
        duration.map(Self).ok_or_else(|| Error::Duration(text.to_owned()))
    }
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
