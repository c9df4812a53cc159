//! Formats an instant with a Go layout: `Time.Format`.

use super::layout::{Element, Offset, next};
use super::{Civil, MONTHS, Time, WEEKDAYS};

/// `Time.Format`
#[must_use]
pub fn format(time: &Time, layout: &str) -> String {
    let offset = time.offset();
    let civil = Civil::from_seconds(time.seconds.wrapping_add(i64::from(offset.seconds)));
    let mut out: Vec<u8> = Vec::with_capacity(layout.len() + 10);
    let mut rest = layout.as_bytes();
    loop {
        let (before, found) = next(rest);
        out.extend_from_slice(before);
        let Some((element, length)) = found else { break };
        rest = rest.get(before.len() + length..).unwrap_or_default();
        let text = match element {
            Element::Abbreviation if offset.name.is_empty() => {
                signed(offset.seconds, Offset { zulu: false, colon: false, parts: 2 })
            }
            Element::Abbreviation => offset.name.to_string(),
            Element::Offset(form) => signed(offset.seconds, form),
            Element::Fraction(separator, digits) => fraction(time.nanos, separator, digits, false),
            Element::TrimmedFraction(separator, digits) => fraction(time.nanos, separator, digits, true),
            other => field(other, civil),
        };
        out.extend_from_slice(text.as_bytes());
    }
    // Elements are ASCII, so the result is UTF-8 if the layout is.
    String::from_utf8_lossy(&out).into_owned()
}

fn field(element: Element, civil: Civil) -> String {
    let hour12 = if civil.hour % 12 == 0 { 12 } else { civil.hour % 12 };
    match element {
        Element::LongMonth => name(&MONTHS, civil.month - 1).into(),
        Element::Month => name(&MONTHS, civil.month - 1).chars().take(3).collect(),
        Element::NumMonth => civil.month.to_string(),
        Element::ZeroMonth => padded(civil.month, 2),
        Element::LongWeekday => name(&WEEKDAYS, civil.weekday()).into(),
        Element::Weekday => name(&WEEKDAYS, civil.weekday()).chars().take(3).collect(),
        Element::Day => civil.day.to_string(),
        Element::UnderDay => format!("{:2}", civil.day),
        Element::ZeroDay => padded(civil.day, 2),
        Element::UnderYearDay => format!("{:3}", civil.year_day()),
        Element::ZeroYearDay => padded(civil.year_day(), 3),
        Element::Hour => padded(civil.hour, 2),
        Element::Hour12 => hour12.to_string(),
        Element::ZeroHour12 => padded(hour12, 2),
        Element::Minute => civil.minute.to_string(),
        Element::ZeroMinute => padded(civil.minute, 2),
        Element::Second => civil.second.to_string(),
        Element::ZeroSecond => padded(civil.second, 2),
        Element::LongYear => padded(civil.year, 4),
        Element::Year => padded(civil.year.abs() % 100, 2),
        Element::UpperPm => if civil.hour >= 12 { "PM" } else { "AM" }.into(),
        Element::LowerPm => if civil.hour >= 12 { "pm" } else { "am" }.into(),
        // Written by the caller, who knows zone and nanoseconds.
        Element::Abbreviation | Element::Offset(_) | Element::Fraction(..) | Element::TrimmedFraction(..) => {
            String::new()
        }
    }
}

pub(crate) fn name(names: &[&'static str], index: i64) -> &'static str {
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
}

/// Go's `appendInt`: zeros on the left, the sign not counted.
fn padded(number: i64, width: usize) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{:0width$}", number.unsigned_abs())
}

fn signed(seconds: i32, form: Offset) -> String {
    if seconds == 0 && form.zulu {
        return "Z".into();
    }
    // As in Go, the sign is that of the whole minutes.
    let minutes = seconds / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    let rest = if minutes < 0 { -seconds } else { seconds } % 60;
    let minutes = minutes.abs();
    let colon = if form.colon { ":" } else { "" };
    let mut text = format!("{sign}{:02}", minutes / 60);
    if form.parts > 1 {
        text.push_str(&format!("{colon}{:02}", minutes % 60));
    }
    if form.parts > 2 {
        text.push_str(&format!("{colon}{}", padded(i64::from(rest), 2)));
    }
    text
}

fn fraction(nanos: u32, separator: u8, digits: usize, trim: bool) -> String {
    if trim && (digits == 0 || nanos == 0) {
        return String::new();
    }
    let mut text = format!("{}{nanos:09}", char::from(separator));
    text.truncate(1 + digits.min(9));
    if trim {
        let kept = text.trim_end_matches('0').len();
        text.truncate(if kept == 1 { 0 } else { kept });
    }
    text
}
