//! TOML as Helm reads and writes it: the output format and the errors of BurntSushi/toml 1.6 (TOML 1.1).
//!
//! - `read`: text to values; `tables`: where each key may be defined; `scan`: characters and lines; `scalar`: strings,
//!   numbers, dates
//! - `write`: values to text

mod read;
mod scalar;
mod scan;
mod tables;
mod write;

pub(crate) use read::read;
pub(crate) use write::write;

/// The maximum nesting of arrays and tables, unless `Limits::value_depth` is lower. It fits a stack of 2 MiB, also in a
/// debug build. Known charts use less than a tenth of it.
const DEPTH: usize = 250;

/// A text as Go's `%q` quotes it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        if letter == '\'' { out.push('\'') } else { escaped(letter, '"', &mut out) }
    }
    out.push('"');
    out
}

/// A character as Go's `%q` quotes it. Go represents the end of the text as a NUL character.
fn quoted_char(letter: Option<char>) -> String {
    let mut out = String::from("'");
    escaped(letter.unwrap_or('\0'), '\'', &mut out);
    out.push('\'');
    out
}

fn escaped(letter: char, quote: char, out: &mut String) {
    match letter {
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{b}' => out.push_str("\\v"),
        '\u{c}' => out.push_str("\\f"),
        '\0'..=' ' | '\u{7f}' if letter != ' ' => out.push_str(&format!("\\x{:02x}", u32::from(letter))),
        _ if letter == quote => out.extend(['\\', letter]),
        '\u{80}'..='\u{a0}' => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
        _ => out.push(letter),
    }
}

/// A key as written in a table header: its parts, quoted where necessary.
fn dotted<K: AsRef<str>>(parts: &[K]) -> String {
    let parts: Vec<String> = parts.iter().map(|part| key(part.as_ref())).collect();
    parts.join(".")
}

fn key(part: &str) -> String {
    let bare = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if bare && !part.is_empty() { part.to_owned() } else { basic(part) }
}

/// A basic string.
fn basic(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}' | '\u{7f}' => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => out.push(letter),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
