//! Go's string and character constants, after `strconv/quote.go`.

use std::str::Chars;

use super::letters::is_printable;

/// The meaning of one character or escape in a constant.
#[derive(Clone, Copy)]
enum Unit {
    /// A character.
    Character(char),
    /// A byte by its number, which in a string need not be UTF-8.
    Byte(u8),
}

/// `text` as `%q` and `strconv.Quote` print it.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if is_printable(character) => quoted.push(character),
            '\u{7}' => quoted.push_str(r"\a"),
            '\u{8}' => quoted.push_str(r"\b"),
            '\u{c}' => quoted.push_str(r"\f"),
            '\n' => quoted.push_str(r"\n"),
            '\r' => quoted.push_str(r"\r"),
            '\t' => quoted.push_str(r"\t"),
            '\u{b}' => quoted.push_str(r"\v"),
            _ => {
                let number = u32::from(character);
                quoted.push_str(&match number {
                    0..=0x7f => format!(r"\x{number:02x}"),
                    0x80..=0xffff => format!(r"\u{number:04x}"),
                    _ => format!(r"\U{number:08x}"),
                });
            }
        }
    }
    quoted.push('"');
    quoted
}

/// The bytes of the string constant `quoted`, which includes its quotes; `None` if it is invalid in Go.
pub(crate) fn unquoted(quoted: &str) -> Option<Vec<u8>> {
    if let Some(raw) = quoted.strip_prefix('`') {
        // Go removes carriage returns from raw strings.
        return Some(raw.strip_suffix('`')?.bytes().filter(|byte| *byte != b'\r').collect());
    }
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while !rest.as_str().is_empty() {
        match unit(&mut rest, '"')? {
            Unit::Character(character) => bytes.extend(character.encode_utf8(&mut [0; 4]).bytes()),
            Unit::Byte(byte) => bytes.push(byte),
        }
    }
    Some(bytes)
}

/// The code of the character constant `quoted`, which includes its quotes.
///
/// # Errors
/// Go's error text for an invalid constant.
pub(crate) fn character(quoted: &str) -> Result<u32, String> {
    let mut rest = quoted.strip_prefix('\'').unwrap_or_default().chars();
    let unit = unit(&mut rest, '\'').ok_or("invalid syntax")?;
    if rest.as_str() != "'" {
        return Err(format!("malformed character constant: {quoted}"));
    }
    Ok(match unit {
        Unit::Character(character) => character.into(),
        Unit::Byte(byte) => byte.into(),
    })
}

fn unit(rest: &mut Chars<'_>, quote: char) -> Option<Unit> {
    let first = rest.next()?;
    if first == quote || first == '\n' {
        return None;
    }
    if first != '\\' {
        return Some(Unit::Character(first));
    }
    let escape = rest.next()?;
    Some(match escape {
        'a' => Unit::Byte(7),
        'b' => Unit::Byte(8),
        'f' => Unit::Byte(12),
        'n' => Unit::Byte(b'\n'),
        'r' => Unit::Byte(b'\r'),
        't' => Unit::Byte(b'\t'),
        'v' => Unit::Byte(11),
        'x' => Unit::Byte(u8::try_from(digits(rest, 2, 16, 0)?).ok()?),
        'u' => Unit::Character(char::from_u32(digits(rest, 4, 16, 0)?)?),
        'U' => Unit::Character(char::from_u32(digits(rest, 8, 16, 0)?)?),
        '0'..='7' => Unit::Byte(u8::try_from(digits(rest, 2, 8, escape.to_digit(8)?)?).ok()?),
        '\\' => Unit::Character('\\'),
        '\'' | '"' if escape == quote => Unit::Character(quote),
        _ => return None,
    })
}

/// Appends `count` digits to `number`.
fn digits(rest: &mut Chars<'_>, count: usize, base: u32, mut number: u32) -> Option<u32> {
    for _ in 0..count {
        number = number.checked_mul(base)?.checked_add(rest.next()?.to_digit(base)?)?;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(quoted: &str) -> Option<String> {
        unquoted(quoted).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn string_constants_have_the_meaning_of_go() {
        assert_eq!(text(r#""a\tb\n\\\"\a\b\f\r\v""#).unwrap(), "a\tb\n\\\"\u{7}\u{8}\u{c}\r\u{b}");
        assert_eq!(text(r#""\x41\101\u00e9\U0001F600é""#).unwrap(), "AAé😀é");
        assert_eq!(text("`a\\n\r\n`").unwrap(), "a\\n\n");
        assert_eq!(unquoted(r#""\xff\377""#).unwrap(), [0xff, 0xff]);
        assert_eq!(text(r#""""#).unwrap(), "");
    }

    #[test]
    fn invalid_string_constants_are_rejected() {
        for quoted in [
            r#""\'""#,
            r#""\q""#,
            r#""\x4""#,
            r#""\xg1""#,
            r#""\400""#,
            r#""\18""#,
            r#""\ud800""#,
            r#""\U00110000""#,
            r#""\UFFFFFFFF""#,
        ] {
            assert_eq!(unquoted(quoted), None, "{quoted}");
        }
    }

    #[test]
    fn character_constants_have_the_meaning_of_go() {
        for (quoted, number) in [
            ("'a'", 97),
            ("'é'", 233),
            (r"'\n'", 10),
            (r"'\''", 39),
            (r"'\xff'", 255),
            (r"'\101'", 65),
            ("'\"'", 34),
            (r"'\U0001F600'", 0x1f600),
        ] {
            assert_eq!(character(quoted), Ok(number), "{quoted}");
        }
        assert_eq!(character("''").unwrap_err(), "invalid syntax");
        assert_eq!(character("'\\\"'").unwrap_err(), "invalid syntax");
        assert_eq!(character("'ab'").unwrap_err(), "malformed character constant: 'ab'");
    }

    #[test]
    fn quoting_escapes_unprintable_characters() {
        assert_eq!(
            quoted("a\"\\\n\t\u{1}\u{7f}é\u{a0}\u{200b}😀\u{e0001}"),
            r#""a\"\\\n\t\x01\x7fé\u00a0\u200b😀\U000e0001""#
        );
    }
}
