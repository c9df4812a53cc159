//! Go's `time`: instants with a zone, layouts, durations. It reads neither the clock nor files of the host: zones come
//! from the compiled-in IANA database, and "Local" is UTC.
//!
//! Source: Go's package `time` (`time.go`, `format.go`, `zoneinfo.go`), release 1.26.

use std::rc::Rc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub mod duration;
mod format;
mod layout;
mod parse;

pub use format::format;
pub use parse::parse;

/// Seconds from 0001-01-01, Go's zero time, to 1970-01-01.
const ZERO_TO_EPOCH: i64 = 62_135_596_800;
const DAY: i64 = 86_400;
const NANOS: i64 = 1_000_000_000;

/// Months by their English names.
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Days of the week by their English names, from Sunday.
pub const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A `time.Time`.
#[derive(Clone)]
pub struct Time {
    /// Seconds since 1970-01-01 UTC.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
    /// The zone it is shown in.
    pub zone: Zone,
}

/// A `*time.Location`.
#[derive(Clone)]
pub enum Zone {
    /// `time.UTC`
    Utc,
    /// `time.Local`, which is UTC here.
    Local,
    /// `time.FixedZone`: a name, perhaps empty, and seconds east of Greenwich.
    Fixed(Rc<str>, i32),
    /// A zone of the IANA database.
    Named(Rc<str>, TimeZone),
}

/// The offset of a zone at one instant.
pub struct Offset {
    /// Its abbreviation; empty for a fixed zone without a name.
    pub name: Rc<str>,
    /// Seconds east of Greenwich.
    pub seconds: i32,
    /// Whether daylight saving is in force.
    pub saving: bool,
}

/// A date and a time of day without a zone. Fields out of range are normalised as Go does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// The year, which may be negative.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    /// 0 to 23.
    pub hour: i64,
    /// 0 to 59.
    pub minute: i64,
    /// 0 to 59.
    pub second: i64,
}

impl Zone {
    /// `time.LoadLocation`.
    #[must_use]
    pub fn load(name: &str) -> Option<Self> {
        match name {
            "" | "UTC" => Some(Self::Utc),
            "Local" => Some(Self::Local),
            _ => {
                let zone = TimeZone::get(name).ok()?;
                // Go opens a file of this name, so the case must match.
                if zone.iana_name() == Some(name) { Some(Self::Named(name.into(), zone)) } else { None }
            }
        }
    }

    /// The name that `Location.String` gives.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Utc => "UTC",
            Self::Local => "Local",
            Self::Fixed(name, _) | Self::Named(name, _) => name,
        }
    }

    /// The offset in force `seconds` after 1970-01-01 UTC.
    #[must_use]
    pub fn lookup(&self, seconds: i64) -> Offset {
        match self {
            Self::Utc | Self::Local => Offset { name: "UTC".into(), seconds: 0, saving: false },
            Self::Fixed(name, seconds) => Offset { name: name.clone(), seconds: *seconds, saving: false },
            Self::Named(_, zone) => {
                let clamped = seconds.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
                let info = zone.to_offset_info(Timestamp::from_second(clamped).unwrap_or_default());
                Offset {
                    name: info.abbreviation().into(),
                    seconds: info.offset().seconds(),
                    saving: info.dst().is_dst(),
                }
            }
        }
    }
}

impl Time {
    /// `time.Time{}`: 0001-01-01 00:00:00 UTC.
    #[must_use]
    pub fn zero() -> Self {
        Self { seconds: -ZERO_TO_EPOCH, nanos: 0, zone: Zone::Utc }
    }

    /// `time.Unix`, in the local zone.
    #[must_use]
    pub fn unix(seconds: i64, nanos: u32) -> Self {
        Self { seconds, nanos, zone: Zone::Local }
    }

    /// `time.Date`.
    #[must_use]
    pub fn date(civil: Civil, nanos: u32, zone: Zone) -> Self {
        let unix = civil.seconds();
        let offset = i64::from(zone.lookup(unix).seconds);
        let mut seconds = unix.wrapping_sub(offset);
        // Near a change of offset the guess is looked up again, as Go does.
        let again = i64::from(zone.lookup(seconds).seconds);
        if offset != 0 && again != offset {
            seconds = unix.wrapping_sub(again);
        }
        Self { seconds, nanos, zone }
    }

    /// `Time.IsZero`.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.seconds == -ZERO_TO_EPOCH && self.nanos == 0
    }

    /// The offset of its zone at this instant.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.zone.lookup(self.seconds)
    }

    /// Date and time of day in its zone.
    #[must_use]
    pub fn civil(&self) -> Civil {
        Civil::from_seconds(self.seconds.wrapping_add(i64::from(self.offset().seconds)))
    }

    /// The same instant in another zone.
    #[must_use]
    pub fn within(&self, zone: Zone) -> Self {
        Self { zone, ..self.clone() }
    }

    /// `Time.Add`.
    #[must_use]
    pub fn add(&self, nanos: i64) -> Self {
        let sum = i64::from(self.nanos) + nanos.rem_euclid(NANOS);
        let seconds = self.seconds.wrapping_add(nanos.div_euclid(NANOS)).wrapping_add(sum / NANOS);
        Self { seconds, nanos: u32::try_from(sum % NANOS).unwrap_or_default(), zone: self.zone.clone() }
    }

    /// `Time.Sub`, which saturates.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> i64 {
        saturate(self.total() - earlier.total())
    }

    /// Nanoseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn total(&self) -> i128 {
        i128::from(self.seconds) * i128::from(NANOS) + i128::from(self.nanos)
    }

    /// `Time.Truncate`: multiples of `step` count from the zero time.
    #[must_use]
    pub fn truncate(&self, step: i64) -> Self {
        if step <= 0 { self.clone() } else { self.add(self.remainder(step).wrapping_neg()) }
    }

    /// `Time.Round`.
    #[must_use]
    pub fn round(&self, step: i64) -> Self {
        if step <= 0 {
            return self.clone();
        }
        let rest = self.remainder(step);
        let half = i128::from(rest) * 2 < i128::from(step);
        self.add(if half { rest.wrapping_neg() } else { step - rest })
    }

    fn remainder(&self, step: i64) -> i64 {
        let total = self.total() + i128::from(ZERO_TO_EPOCH) * i128::from(NANOS);
        saturate(total.rem_euclid(i128::from(step)))
    }

    /// `Time.YearDay`
    #[must_use]
    pub fn year_day(&self) -> i64 {
        self.civil().year_day()
    }

    /// `Time.Weekday`: 0 is Sunday.
    #[must_use]
    pub fn weekday(&self) -> i64 {
        self.civil().weekday()
    }

    /// What `%v` prints.
    #[must_use]
    pub fn print(&self) -> String {
        format(self, "2006-01-02 15:04:05.999999999 -0700 MST")
    }
}

impl Civil {
    /// The date and time of day `seconds` after 1970-01-01 00:00:00.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Self {
        let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month, day, hour: rest / 3600, minute: rest / 60 % 60, second: rest % 60 }
    }

    /// Days since 1970-01-01; the month may be out of range.
    fn days(self) -> i64 {
        // As above, days_from_civil. Years beyond a few billion are meaningless and wrap.
        let year = self.year.wrapping_add((self.month.wrapping_sub(1)).div_euclid(12));
        let month = self.month.wrapping_sub(1).rem_euclid(12) + 1;
        let year = if month <= 2 { year.wrapping_sub(1) } else { year };
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5;
        let days = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
        era.wrapping_mul(146_097)
            .wrapping_add(days)
            .wrapping_sub(719_468)
            .wrapping_add(self.day)
            .wrapping_sub(1)
    }

    /// Seconds since 1970-01-01 00:00:00 on the same clock.
    #[must_use]
    pub fn seconds(self) -> i64 {
        let clock = self.hour.wrapping_mul(3600).wrapping_add(self.minute.wrapping_mul(60));
        self.days().wrapping_mul(DAY).wrapping_add(clock).wrapping_add(self.second)
    }

    fn year_day(self) -> i64 {
        self.days() - Self { month: 1, day: 1, ..self }.days() + 1
    }

    fn weekday(self) -> i64 {
        (self.days() + 4).rem_euclid(7)
    }
}

/// The number of days in a month from 1 to 12.
fn days_in(month: i64, year: i64) -> i64 {
    match month {
        2 if leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn saturate(nanos: i128) -> i64 {
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

/// Quotes a text as the errors of Go's `time` do: every byte that is not ASCII becomes an escape in hexadecimal.
fn quote(text: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for &byte in text {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=b'~' | 0x7f => quoted.push(char::from(byte)),
            _ => quoted.push_str(&format!("\\x{byte:02x}")),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests;
