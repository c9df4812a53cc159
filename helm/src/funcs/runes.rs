//! Go's runes: text as code points, in which a byte that is not valid UTF-8 counts as U+FFFD. Also the simple
//! one-to-one case mappings and the general categories of Go's `unicode`.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// The code points of `bytes`, each with its source bytes.
pub(crate) fn runes(bytes: &[u8]) -> impl Iterator<Item = (char, &[u8])> {
    bytes.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid();
        let good = valid.char_indices().map(move |(at, rune)| {
            (rune, valid.as_bytes().get(at..at + rune.len_utf8()).unwrap_or_default())
        });
        good.chain(chunk.invalid().chunks(1).map(|byte| (char::REPLACEMENT_CHARACTER, byte)))
    })
}

/// Go's `strings.Map`: replaces each rune.
pub(crate) fn map(bytes: &[u8], mut change: impl FnMut(char) -> char) -> String {
    runes(bytes).map(|(rune, _)| change(rune)).collect()
}

/// Go's `strings.TrimFunc`.
pub(crate) fn trim(bytes: &[u8], cut: impl Fn(char) -> bool) -> &[u8] {
    let (mut at, mut start, mut end) = (0, None, 0);
    for (rune, source) in runes(bytes) {
        if !cut(rune) {
            start.get_or_insert(at);
            end = at + source.len();
        }
        at += source.len();
    }
    bytes.get(start.unwrap_or(0)..end).unwrap_or_default()
}

/// A sorted list of inclusive ranges.
type Table = LazyLock<Vec<(char, char)>>;

static LETTER: Table = LazyLock::new(|| table(r"\p{L}"));
static UPPER: Table = LazyLock::new(|| table(r"\p{Lu}"));
static LOWER: Table = LazyLock::new(|| table(r"\p{Ll}"));
static TITLE: Table = LazyLock::new(|| table(r"\p{Lt}"));
static DIGIT: Table = LazyLock::new(|| table(r"\p{Nd}"));
static NUMBER: Table = LazyLock::new(|| table(r"\p{N}"));
static PUNCTUATION: Table = LazyLock::new(|| table(r"\p{P}"));

fn table(class: &str) -> Vec<(char, char)> {
    match regex_syntax::parse(class).map(regex_syntax::hir::Hir::into_kind) {
        Ok(HirKind::Class(Class::Unicode(class))) => {
            class.iter().map(|range| (range.start(), range.end())).collect()
        }
        _ => Vec::new(),
    }
}

fn within(table: &Table, rune: char) -> bool {
    let after = table.partition_point(|(start, _)| *start <= rune);
    after.checked_sub(1).and_then(|index| table.get(index)).is_some_and(|(_, end)| rune <= *end)
}

/// `unicode.IsLetter`
pub(crate) fn is_letter(rune: char) -> bool {
    if rune.is_ascii() { rune.is_ascii_alphabetic() } else { within(&LETTER, rune) }
}

/// `unicode.IsUpper`
pub(crate) fn is_upper(rune: char) -> bool {
    if rune.is_ascii() { rune.is_ascii_uppercase() } else { within(&UPPER, rune) }
}

/// `unicode.IsLower`
pub(crate) fn is_lower(rune: char) -> bool {
    if rune.is_ascii() { rune.is_ascii_lowercase() } else { within(&LOWER, rune) }
}

/// `unicode.IsTitle`
pub(crate) fn is_title(rune: char) -> bool {
    !rune.is_ascii() && within(&TITLE, rune)
}

/// `unicode.IsDigit`
pub(crate) fn is_digit(rune: char) -> bool {
    if rune.is_ascii() { rune.is_ascii_digit() } else { within(&DIGIT, rune) }
}

/// `unicode.IsNumber`
pub(crate) fn is_number(rune: char) -> bool {
    if rune.is_ascii() { rune.is_ascii_digit() } else { within(&NUMBER, rune) }
}

/// `unicode.IsPunct`
pub(crate) fn is_punctuation(rune: char) -> bool {
    within(&PUNCTUATION, rune)
}

/// `unicode.ToUpper`
pub(crate) fn to_upper(rune: char) -> char {
    match rune {
        // Greek with iota subscript: the full mapping has two letters; the simple mapping is the title case.
        '\u{1F80}'..='\u{1F87}' | '\u{1F90}'..='\u{1F97}' | '\u{1FA0}'..='\u{1FA7}' => shifted(rune, 8),
        '\u{1FB3}' | '\u{1FC3}' | '\u{1FF3}' => shifted(rune, 9),
        _ => single(rune.to_uppercase(), rune),
    }
}

/// `unicode.ToLower`
pub(crate) fn to_lower(rune: char) -> char {
    if rune == '\u{130}' { 'i' } else { single(rune.to_lowercase(), rune) }
}

/// `unicode.ToTitle`
pub(crate) fn to_title(rune: char) -> char {
    match rune {
        '\u{1C4}'..='\u{1C6}' => '\u{1C5}',
        '\u{1C7}'..='\u{1C9}' => '\u{1C8}',
        '\u{1CA}'..='\u{1CC}' => '\u{1CB}',
        '\u{1F1}'..='\u{1F3}' => '\u{1F2}',
        '\u{10D0}'..='\u{10FA}' | '\u{10FD}'..='\u{10FF}' => rune,
        _ => to_upper(rune),
    }
}

fn single(mut mapped: impl Iterator<Item = char>, rune: char) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(mapped), None) => mapped,
        _ => rune,
    }
}

fn shifted(rune: char, by: u32) -> char {
    char::from_u32(u32::from(rune) + by).unwrap_or(rune)
}
