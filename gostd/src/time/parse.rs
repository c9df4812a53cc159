//! Parses an instant with a Go layout: `time.ParseInLocation` with the local zone, which is UTC.

use super::layout::{Element, Offset, next};
use super::{Civil, MONTHS, Time, WEEKDAYS, Zone, days_in, leap, quote};

/// The reason why an element does not match. Go's error quotes both texts for `Bad`, and names the field for `Range`.
enum Misfit {
    Bad,
    Range(&'static str),
}

/// The parts read so far.
#[derive(Default)]
struct Parts {
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: u32,
    /// `Some(true)` after noon.
    afternoon: Option<bool>,
    utc: bool,
    offset: Option<i32>,
    abbreviation: Option<String>,
}

/// `time.ParseInLocation(layout, value, time.Local)`
///
/// # Errors
/// Go's error text.
pub fn parse(layout: &str, value: &str) -> Result<Time, String> {
    let parts = read(layout.as_bytes(), value.as_bytes())?;
    let about = |text: &str| format!("parsing time {}: {text}", quote(value.as_bytes()));
    build(parts).map_err(about)
}

fn read(all_layout: &[u8], all_value: &[u8]) -> Result<Parts, String> {
    let (mut layout, mut value) = (all_layout, all_value);
    let mut parts = Parts::default();
    let mismatch = |element: &[u8], at: &[u8]| {
        let (value, layout) = (quote(all_value), quote(all_layout));
        format!("parsing time {value} as {layout}: cannot parse {} as {}", quote(at), quote(element))
    };
    loop {
        let (before, found) = next(layout);
        value = skip(value, before).map_err(|at| mismatch(before, at))?;
        let Some((element, length)) = found else { break };
        let text = layout.get(before.len()..before.len() + length).unwrap_or_default();
        layout = layout.get(before.len() + length..).unwrap_or_default();
        match parts.take(element, value, layout) {
            Ok(rest) => value = rest,
            Err(Misfit::Bad) => return Err(mismatch(text, value)),
            Err(Misfit::Range(what)) => {
                return Err(format!("parsing time {}: {what} out of range", quote(all_value)));
            }
        }
    }
    if value.is_empty() {
        return Ok(parts);
    }
    Err(format!("parsing time {}: extra text: {}", quote(all_value), quote(value)))
}

/// `value` without `prefix`; a run of spaces matches any other run.
fn skip<'v>(mut value: &'v [u8], mut prefix: &[u8]) -> Result<&'v [u8], &'v [u8]> {
    while let Some((&wanted, rest)) = prefix.split_first() {
        if wanted == b' ' {
            if value.first().is_some_and(|byte| *byte != b' ') {
                return Err(value);
            }
            prefix = without_spaces(prefix);
            value = without_spaces(value);
            continue;
        }
        match value.split_first() {
            Some((&byte, after)) if byte == wanted => value = after,
            _ => return Err(value),
        }
        prefix = rest;
    }
    Ok(value)
}

fn without_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|byte| **byte == b' ').count();
    text.get(spaces..).unwrap_or_default()
}

impl Parts {
    /// Removes one element from `value`; `layout` is the layout after the element.
    fn take<'v>(&mut self, element: Element, value: &'v [u8], layout: &[u8]) -> Result<&'v [u8], Misfit> {
        match element {
            Element::LongWeekday => name(&WEEKDAYS, 0, value).map(|(_, rest)| rest),
            Element::Weekday => name(&WEEKDAYS, 3, value).map(|(_, rest)| rest),
            Element::LongYear | Element::Year => self.take_year(element, value),
            Element::LongMonth | Element::Month | Element::NumMonth | Element::ZeroMonth => {
                self.take_month(element, value)
            }
            Element::Day | Element::UnderDay | Element::ZeroDay => {
                let value = if element == Element::UnderDay { one_space_less(value) } else { value };
                let (day, rest) = number(value, element == Element::ZeroDay)?;
                self.day = Some(day);
                Ok(rest)
            }
            Element::UnderYearDay => self.take_year_day(one_space_less(one_space_less(value)), false),
            Element::ZeroYearDay => self.take_year_day(value, true),
            Element::Hour | Element::Hour12 | Element::ZeroHour12 => {
                let (hour, rest) = number(value, element == Element::ZeroHour12)?;
                self.hour = within(hour, if element == Element::Hour { 23 } else { 12 }, "hour")?;
                Ok(rest)
            }
            Element::Minute | Element::ZeroMinute => {
                let (minute, rest) = number(value, element == Element::ZeroMinute)?;
                self.minute = within(minute, 59, "minute")?;
                Ok(rest)
            }
            Element::Second | Element::ZeroSecond => {
                let (second, rest) = number(value, element == Element::ZeroSecond)?;
                self.second = within(second, 59, "second")?;
                self.take_optional_fraction(rest, layout)
            }
            Element::UpperPm => self.take_half(value, [b"AM", b"PM"]),
            Element::LowerPm => self.take_half(value, [b"am", b"pm"]),
            Element::Abbreviation => self.take_abbreviation(value),
            Element::Offset(form) => self.take_offset(form, value),
            Element::Fraction(_, digits) => {
                let (text, rest) = value.split_at_checked(digits + 1).ok_or(Misfit::Bad)?;
                self.nanos = nanos(text)?;
                Ok(rest)
            }
            Element::TrimmedFraction(..) => self.take_fraction(value),
        }
    }

    fn take_year<'v>(&mut self, element: Element, value: &'v [u8]) -> Result<&'v [u8], Misfit> {
        let width = if element == Element::LongYear { 4 } else { 2 };
        let (text, rest) = value.split_at_checked(width).ok_or(Misfit::Bad)?;
        // Go's atoi accepts a sign, but Go requires a long year to begin with a digit.
        let (sign, digits) = match text.split_first() {
            Some((b'-', digits)) if width == 2 => (-1, digits),
            Some((b'+', digits)) if width == 2 => (1, digits),
            _ => (1, text),
        };
        let year = sign * decimal(digits)?;
        self.year = match (width, year) {
            (2, 69..) => year + 1900,
            (2, _) => year + 2000,
            _ => year,
        };
        Ok(rest)
    }

    fn take_month<'v>(&mut self, element: Element, value: &'v [u8]) -> Result<&'v [u8], Misfit> {
        let (month, rest) = match element {
            Element::LongMonth => name(&MONTHS, 0, value).map(|(month, rest)| (month + 1, rest)),
            Element::Month => name(&MONTHS, 3, value).map(|(month, rest)| (month + 1, rest)),
            _ => number(value, element == Element::ZeroMonth),
        }?;
        if month == 0 {
            return Err(Misfit::Range("month"));
        }
        self.month = Some(within(month, 12, "month")?);
        Ok(rest)
    }

    fn take_year_day<'v>(&mut self, value: &'v [u8], fixed: bool) -> Result<&'v [u8], Misfit> {
        let count = value.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 || fixed && count != 3 {
            return Err(Misfit::Bad);
        }
        let (digits, rest) = value.split_at_checked(count).ok_or(Misfit::Bad)?;
        self.year_day = Some(decimal(digits)?);
        Ok(rest)
    }

    fn take_half<'v>(&mut self, value: &'v [u8], names: [&[u8; 2]; 2]) -> Result<&'v [u8], Misfit> {
        let (text, rest) = value.split_at_checked(2).ok_or(Misfit::Bad)?;
        self.afternoon = Some(text == names[1]);
        if names.iter().any(|name| text == *name) { Ok(rest) } else { Err(Misfit::Bad) }
    }

    /// Reads a fraction after the seconds even if the layout has none.
    fn take_optional_fraction<'v>(&mut self, value: &'v [u8], layout: &[u8]) -> Result<&'v [u8], Misfit> {
        let in_layout =
            matches!(next(layout).1, Some((Element::Fraction(..) | Element::TrimmedFraction(..), _)));
        if in_layout { Ok(value) } else { self.take_fraction(value) }
    }

    /// A separator and any number of digits, or nothing.
    fn take_fraction<'v>(&mut self, value: &'v [u8]) -> Result<&'v [u8], Misfit> {
        let [b'.' | b',', digits @ ..] = value else { return Ok(value) };
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Ok(value);
        }
        let (text, rest) = value.split_at_checked(count + 1).ok_or(Misfit::Bad)?;
        self.nanos = nanos(text)?;
        Ok(rest)
    }

    fn take_offset<'v>(&mut self, form: Offset, value: &'v [u8]) -> Result<&'v [u8], Misfit> {
        if form.zulu
            && let [b'Z', rest @ ..] = value
        {
            self.utc = true;
            return Ok(rest);
        }
        let parts = usize::from(form.parts);
        let width = 1 + 2 * parts + if form.colon { parts - 1 } else { 0 };
        let (text, rest) = value.split_at_checked(width).ok_or(Misfit::Bad)?;
        let (&sign, text) = text.split_first().ok_or(Misfit::Bad)?;
        let mut numbers = [0; 3];
        for (slot, chunk) in numbers.iter_mut().zip(text.chunks(if form.colon { 3 } else { 2 })) {
            let (digits, colon) = chunk.split_at_checked(2).ok_or(Misfit::Bad)?;
            if !matches!(colon, b"" | b":") {
                return Err(Misfit::Bad);
            }
            *slot = i32::try_from(decimal(digits)?).map_err(|_| Misfit::Bad)?;
        }
        let [hours, minutes, seconds] = numbers;
        for (number, most, what) in [
            (hours, 24, "time zone offset hour"),
            (minutes, 60, "time zone offset minute"),
            (seconds, 60, "time zone offset second"),
        ] {
            within(i64::from(number), most, what)?;
        }
        let size = (hours * 60 + minutes) * 60 + seconds;
        self.offset = Some(match sign {
            b'+' => size,
            b'-' => -size,
            _ => return Err(Misfit::Bad),
        });
        Ok(rest)
    }

    fn take_abbreviation<'v>(&mut self, value: &'v [u8]) -> Result<&'v [u8], Misfit> {
        if let Some(rest) = value.strip_prefix(b"UTC") {
            self.utc = true;
            return Ok(rest);
        }
        let length = abbreviation(value).ok_or(Misfit::Bad)?;
        let (text, rest) = value.split_at_checked(length).ok_or(Misfit::Bad)?;
        self.abbreviation = Some(String::from_utf8_lossy(text).into_owned());
        Ok(rest)
    }
}

/// The length of the zone name at the start of `value`: Go's `parseTimeZone`.
fn abbreviation(value: &[u8]) -> Option<usize> {
    if value.len() < 3 {
        return None;
    }
    if value.starts_with(b"ChST") || value.starts_with(b"MeST") {
        return Some(4);
    }
    if let Some(rest) = value.strip_prefix(b"GMT") {
        return Some(3 + signed_hours(rest));
    }
    if matches!(value, [b'+' | b'-', ..]) {
        return Some(signed_hours(value)).filter(|length| *length > 0);
    }
    match value.iter().take(6).take_while(|byte| byte.is_ascii_uppercase()).count() {
        5 if value.get(4) == Some(&b'T') => Some(5),
        4 if value.get(3) == Some(&b'T') || value.starts_with(b"WITA") => Some(4),
        3 => Some(3),
        _ => None,
    }
}

/// The length of a sign and a number up to 23, or 0.
fn signed_hours(value: &[u8]) -> usize {
    let [b'+' | b'-', digits @ ..] = value else { return 0 };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digits = digits.get(..count).unwrap_or_default();
    match decimal(digits) {
        Ok(0..=23) if count > 0 => count + 1,
        _ => 0,
    }
}

fn build(mut parts: Parts) -> Result<Time, &'static str> {
    match parts.afternoon {
        Some(true) if parts.hour < 12 => parts.hour += 12,
        Some(false) if parts.hour == 12 => parts.hour = 0,
        _ => {}
    }
    let (month, day) = match parts.year_day {
        Some(year_day) => from_year_day(&parts, year_day)?,
        None => (parts.month.unwrap_or(1), parts.day.unwrap_or(1)),
    };
    if day < 1 || day > days_in(month, parts.year) {
        return Err("day out of range");
    }
    let Parts { year, hour, minute, second, nanos, .. } = parts;
    let civil = Civil { year, month, day, hour, minute, second };
    if parts.utc {
        return Ok(Time::date(civil, nanos, Zone::Utc));
    }
    let fixed = |name: String, seconds: i32| Time::date(civil, nanos, Zone::Fixed(name.into(), seconds));
    Ok(match (parts.offset, parts.abbreviation) {
        (None | Some(0), None) => Time::date(civil, nanos, Zone::Local),
        (Some(offset), name) => fixed(name.unwrap_or_default(), offset),
        // In the zone UTC an abbreviation alone has no known offset; only `GMT+n` defines one.
        (None, Some(name)) => {
            let hours: i32 = name.strip_prefix("GMT").and_then(|hours| hours.parse().ok()).unwrap_or(0);
            let shown = Time::date(civil, nanos, Zone::Utc);
            shown.within(Zone::Fixed(name.into(), hours * 3600))
        }
    })
}

/// Month and day from the day of the year. They must match the month and day in the text, if any.
fn from_year_day(parts: &Parts, year_day: i64) -> Result<(i64, i64), &'static str> {
    let length = if leap(parts.year) { 366 } else { 365 };
    if year_day < 1 || year_day > length {
        return Err("day-of-year out of range");
    }
    let (mut month, mut day) = (1, year_day);
    while day > days_in(month, parts.year) {
        day -= days_in(month, parts.year);
        month += 1;
    }
    if parts.month.is_some_and(|given| given != month) {
        return Err("day-of-year does not match month");
    }
    if parts.day.is_some_and(|given| given != day) {
        return Err("day-of-year does not match day");
    }
    Ok((month, day))
}

fn one_space_less(value: &[u8]) -> &[u8] {
    value.strip_prefix(b" ").unwrap_or(value)
}

/// One or two digits; exactly two if `fixed`.
fn number(value: &[u8], fixed: bool) -> Result<(i64, &[u8]), Misfit> {
    match value {
        [tens, ones, rest @ ..] if tens.is_ascii_digit() && ones.is_ascii_digit() => {
            Ok((i64::from(tens - b'0') * 10 + i64::from(ones - b'0'), rest))
        }
        [digit, rest @ ..] if digit.is_ascii_digit() && !fixed => Ok((i64::from(digit - b'0'), rest)),
        _ => Err(Misfit::Bad),
    }
}

fn within(number: i64, most: i64, what: &'static str) -> Result<i64, Misfit> {
    if number <= most { Ok(number) } else { Err(Misfit::Range(what)) }
}

fn decimal(digits: &[u8]) -> Result<i64, Misfit> {
    let text = std::str::from_utf8(digits).map_err(|_| Misfit::Bad)?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_err(|_| Misfit::Bad)
    } else {
        Err(Misfit::Bad)
    }
}

/// A separator and digits; those after the ninth are dropped.
fn nanos(text: &[u8]) -> Result<u32, Misfit> {
    let Some((b'.' | b',', digits)) = text.split_first() else { return Err(Misfit::Bad) };
    let digits = digits.get(..9).unwrap_or(digits);
    let scale = 10_u32.pow(u32::try_from(9 - digits.len()).unwrap_or_default());
    Ok(u32::try_from(decimal(digits)?).unwrap_or_default() * scale)
}

/// The index of the name that `value` starts with, ignoring case. Only the first `width` letters count; 0 means all.
fn name<'v>(names: &[&str], width: usize, value: &'v [u8]) -> Result<(i64, &'v [u8]), Misfit> {
    for (index, name) in names.iter().enumerate() {
        let name = if width == 0 { name } else { name.get(..width).unwrap_or(name) };
        if let Some((start, rest)) = value.split_at_checked(name.len())
            && start.eq_ignore_ascii_case(name.as_bytes())
        {
            return Ok((i64::try_from(index).unwrap_or_default(), rest));
        }
    }
    Err(Misfit::Bad)
}
