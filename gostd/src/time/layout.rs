//! The elements of a Go layout: `nextStdChunk` of Go's `time/format.go`.

/// One element of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    /// `MST`
    Abbreviation,
    Offset(Offset),
    /// `.000`: the separator and the number of digits.
    Fraction(u8, usize),
    /// `.999`
    TrimmedFraction(u8, usize),
}

/// How an offset from UTC is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offset {
    /// UTC is written as `Z`.
    pub(super) zulu: bool,
    /// Colons separate the parts.
    pub(super) colon: bool,
    /// 1: hours; 2: hours and minutes; 3: hours, minutes and seconds.
    pub(super) parts: u8,
}

/// Where one word is a prefix of another, the longer one comes first.
const WORDS: [(&str, Element); 33] = [
    ("January", Element::LongMonth),
    ("Jan", Element::Month),
    ("Monday", Element::LongWeekday),
    ("Mon", Element::Weekday),
    ("MST", Element::Abbreviation),
    ("002", Element::ZeroYearDay),
    ("01", Element::ZeroMonth),
    ("02", Element::ZeroDay),
    ("03", Element::ZeroHour12),
    ("04", Element::ZeroMinute),
    ("05", Element::ZeroSecond),
    ("06", Element::Year),
    ("15", Element::Hour),
    ("1", Element::NumMonth),
    ("2006", Element::LongYear),
    ("2", Element::Day),
    ("_2", Element::UnderDay),
    ("__2", Element::UnderYearDay),
    ("3", Element::Hour12),
    ("4", Element::Minute),
    ("5", Element::Second),
    ("PM", Element::UpperPm),
    ("pm", Element::LowerPm),
    ("-070000", offset(false, false, 3)),
    ("-07:00:00", offset(false, true, 3)),
    ("-0700", offset(false, false, 2)),
    ("-07:00", offset(false, true, 2)),
    ("-07", offset(false, false, 1)),
    ("Z070000", offset(true, false, 3)),
    ("Z07:00:00", offset(true, true, 3)),
    ("Z0700", offset(true, false, 2)),
    ("Z07:00", offset(true, true, 2)),
    ("Z07", offset(true, false, 1)),
];

const fn offset(zulu: bool, colon: bool, parts: u8) -> Element {
    Element::Offset(Offset { zulu, colon, parts })
}

/// The text before the first element, and the element with its length in the layout; `None` if no element is left.
pub(super) fn next(layout: &[u8]) -> (&[u8], Option<(Element, usize)>) {
    for at in 0..layout.len() {
        let (before, rest) = layout.split_at(at);
        // `_2006` is an underscore and a year.
        if rest.starts_with(b"_2006") {
            return (layout.get(..=at).unwrap_or_default(), Some((Element::LongYear, 4)));
        }
        if let Some(found) = word(rest).or_else(|| fraction(rest)) {
            return (before, Some(found));
        }
    }
    (layout, None)
}

fn word(rest: &[u8]) -> Option<(Element, usize)> {
    let (text, element) = WORDS.iter().find(|(text, _)| rest.starts_with(text.as_bytes()))?;
    let follows = rest.get(text.len());
    // The `Mon` in `Month` is not an element.
    let short = matches!(element, Element::Month | Element::Weekday);
    if short && follows.is_some_and(u8::is_ascii_lowercase) { None } else { Some((*element, text.len())) }
}

fn fraction(rest: &[u8]) -> Option<(Element, usize)> {
    let (&separator, digits) = rest.split_first()?;
    let &kind = digits.first()?;
    if !matches!(separator, b'.' | b',') || !matches!(kind, b'0' | b'9') {
        return None;
    }
    let count = digits.iter().take_while(|byte| **byte == kind).count();
    if digits.get(count).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    // Go keeps the count in twelve bits.
    let kept = count & 0xfff;
    let element = if kind == b'0' {
        Element::Fraction(separator, kept)
    } else {
        Element::TrimmedFraction(separator, kept)
    };
    Some((element, count + 1))
}
