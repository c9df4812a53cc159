//! Untrusted text, made safe to display: names of logs, users and sets, annotations, messages of servers.
//!
//! Invisible characters could hide text, forge lines, or reverse the reading order: control characters (also U+0080 to
//! U+009F, which terminals obey), direction controls, line separators, and characters without a width. They are replaced
//! by their escape sequences. All outputs share this module, so that none of them misses a character.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Whether a character is invisible.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
                | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Whether a text has no invisible characters, as names require.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(is_hidden)
}

/// Escapes a text of several lines; line breaks and tabs stay.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_hidden(c) && c != '\n' && c != '\t', |c, out| out.extend(c.escape_unicode()))
}

/// Escapes a text into a single line.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden, |c, out| out.extend(c.escape_unicode()))
}

/// Escapes a message and indents all lines but the first, so that they cannot be mistaken for another message.
#[must_use]
pub fn message(text: &str) -> String {
    shown(text).trim_end_matches('\n').replace('\n', "\n  ")
}

/// Escapes a JSON document: the value is the same, without invisible characters.
#[must_use]
pub fn json(document: &str) -> Cow<'_, str> {
    // Line breaks and tabs between values stay; within strings, JSON has escaped them already.
    let is_raw = |c: char| is_hidden(c) && !matches!(c, '\n' | '\r' | '\t');
    escaped(document, is_raw, |c, out| {
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

/// Writes a JSON document to another writer, escaped by [`json`].
pub struct JsonWriter<W>(pub W);

impl<W: Write> Write for JsonWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let whole = match std::str::from_utf8(bytes) {
            Ok(_) => bytes.len(),
            Err(error) if error.valid_up_to() > 0 => error.valid_up_to(),
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        };
        let text = std::str::from_utf8(&bytes[..whole]).unwrap_or_default();
        self.0.write_all(json(text).as_bytes())?;
        Ok(whole)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn escaped(text: &str, is_wanted: impl Fn(char) -> bool, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.chars().any(&is_wanted) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_wanted(c) { escape(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a14_no_character_that_hides_forges_or_reverses_text_gets_through() {
        let kept = "ä ✓ 日本 עברית\u{301} 👍";
        assert_eq!((shown(kept).as_ref(), line(kept).as_ref()), (kept, kept));
        assert!(matches!(shown(kept), Cow::Borrowed(_)) && is_plain(kept));
        assert_eq!(shown("a\n\tb\u{1b}[2J\r\u{9b}\u{202e}"), "a\n\tb\\u{1b}[2J\\u{d}\\u{9b}\\u{202e}");
        assert_eq!(line("a\nb\u{2028}\u{200b}\u{feff}"), "a\\u{a}b\\u{2028}\\u{200b}\\u{feff}");
        assert_eq!(message("one\nhint: two\n"), "one\n  hint: two");
        for c in '\0'..=char::MAX {
            let text = c.to_string();
            assert_eq!(is_plain(&text), line(&text) == text, "{:x}", c as u32);
            assert!(is_plain(&line(&text)) && is_plain(&shown(&text).replace(['\n', '\t'], "")));
        }
    }

    #[test]
    fn a14_json_keeps_its_value_and_hides_nothing() {
        for c in ['\u{7f}', '\u{9b}', '\u{202e}', '\u{2028}', '\u{e0041}', '\u{1b}', '"', '\\', 'ä'] {
            let value = format!("a{c}b");
            let quoted = format!(
                "{{\n\t\"x\": \"{}\"}}",
                value.replace('\\', "\\\\").replace('"', "\\\"").replace('\u{1b}', "\\u001b")
            );
            let safe = json(&quoted);
            assert!(is_plain(&safe.replace(['\n', '\t'], "")), "{safe}");
            assert_eq!(unescaped(&safe), unescaped(&quoted));
        }
    }

    /// The text as UTF-16, with `\u` escapes decoded.
    fn unescaped(text: &str) -> Vec<u16> {
        let mut units = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(hex) = rest.strip_prefix("\\u").and_then(|rest| rest.get(..4)) {
                units.push(u16::from_str_radix(hex, 16).unwrap());
                rest = &rest[6..];
            } else {
                units.extend(c.encode_utf16(&mut [0; 2]).iter());
                rest = &rest[c.len_utf8()..];
            }
        }
        units
    }
}
