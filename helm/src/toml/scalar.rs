//! TOML strings, numbers, dates and booleans.
//!
//! Source: BurntSushi/toml 1.6 `lex.go`, `parse.go`.

use std::rc::Rc;

use gostd::time::{Zone, parse};
use gostd::value::Value;

use super::scan::{Scanner, SyntaxError};
use super::{quoted, quoted_char};
use crate::funcs::dates::Instant;

/// Reads a value that is neither an array nor a table. `first` is its first character, which is consumed already.
///
/// # Errors
/// The error text of `BurntSushi/toml`.
pub(super) fn scalar(scanner: &mut Scanner<'_>, first: Option<char>) -> Result<Value, SyntaxError> {
    match first {
        Some(quote @ ('"' | '\'')) => string(scanner, quote).map(Value::from),
        Some('0'..='9') => number(scanner, scanner.position() - 1),
        Some('-' | '+') => signed(scanner),
        Some('.') => Err(scanner.error("floats must start with a digit, not '.'")),
        Some('i' | 'n') => special(scanner),
        Some(letter) if letter.is_alphabetic() => boolean(scanner, scanner.position() - letter.len_utf8()),
        None => Err(scanner.error_at(None, "unexpected EOF; expected value")),
        Some('\n') => Err(scanner.error_before("expected value but found '\\n' instead")),
        other => Err(scanner.error(format!("expected value but found {} instead", quoted_char(other)))),
    }
}

/// `inf`, `nan`, or an invalid word. Go backs up only one character before it reports that word.
fn special(scanner: &mut Scanner<'_>) -> Result<Value, SyntaxError> {
    let start = scanner.position() - 1;
    let mut word = scanner.position() - 1;
    for (one, other) in [('n', 'f'), ('a', 'n')] {
        if scanner.accept(one)? {
            word = scanner.position() - 1;
            if scanner.accept(other)? {
                return float(scanner, &scanner.since(start));
            }
        }
    }
    boolean(scanner, word)
}

fn boolean(scanner: &mut Scanner<'_>, start: usize) -> Result<Value, SyntaxError> {
    scanner.take_while(char::is_alphabetic)?;
    match scanner.since(start).as_str() {
        "true" => Ok(true.into()),
        "false" => Ok(false.into()),
        other => {
            let seen = scanner.peek()?;
            Err(scanner
                .error_at(seen.or(Some(' ')), format!("expected value but found {} instead", quoted(other))))
        }
    }
}

fn signed(scanner: &mut Scanner<'_>) -> Result<Value, SyntaxError> {
    let start = scanner.position() - 1;
    let first = scanner.next()?;
    match first {
        Some(letter @ ('i' | 'n')) => {
            let (one, other) = if letter == 'i' { ('n', 'f') } else { ('a', 'n') };
            if scanner.accept(one)? && scanner.accept(other)? {
                return float(scanner, &scanner.since(start));
            }
            Err(scanner.error(format!("invalid float: '{}'", scanner.since(start))))
        }
        Some('0') if matches!(scanner.peek()?, Some('b' | 'o' | 'x')) => {
            let base = scanner.peek()?.unwrap_or_default();
            let text = format!("cannot use sign with non-decimal numbers: '{}{base}'", scanner.since(start));
            Err(scanner.error(text))
        }
        Some('.') => Err(scanner.error("floats must start with a digit, not '.'")),
        Some('0'..='9') => decimal(scanner, start),
        other => Err(scanner.error_at(other, format!("expected a digit but got {}", quoted_char(other)))),
    }
}

fn number(scanner: &mut Scanner<'_>, start: usize) -> Result<Value, SyntaxError> {
    let zero = scanner.since(start) == "0";
    if zero && let Some(base @ ('b' | 'o' | 'x')) = scanner.peek()? {
        scanner.next()?;
        let (radix, name) = match base {
            'b' => (2, "a binary"),
            'o' => (8, "an octal"),
            _ => (16, "a hexadecimal"),
        };
        let next = scanner.peek()?;
        if !next.is_some_and(|letter| letter.is_digit(radix)) {
            let next = next.unwrap_or('\0');
            return Err(scanner.error(format!("not {name} number: '{}{next}'", scanner.since(start))));
        }
        scanner.take_while(|letter| letter.is_digit(radix) || letter == '_')?;
        return integer(scanner, &scanner.since(start));
    }
    if !(zero && matches!(scanner.peek()?, Some('-' | ':'))) {
        scanner.take_while(|letter| letter.is_ascii_digit())?;
        if matches!(scanner.peek()?, Some('-' | ':')) {
            scanner.take_while(|letter| letter.is_ascii_digit() || "-:Tt .Zz+".contains(letter))?;
            return date(scanner, scanner.since(start).trim());
        }
    }
    decimal(scanner, start)
}

fn decimal(scanner: &mut Scanner<'_>, start: usize) -> Result<Value, SyntaxError> {
    scanner.take_while(|letter| letter.is_ascii_digit() || letter == '_')?;
    if matches!(scanner.peek()?, Some('.' | 'e' | 'E')) {
        scanner.take_while(|letter| letter.is_ascii_digit() || "_.-+eE".contains(letter))?;
        return float(scanner, &scanner.since(start));
    }
    integer(scanner, &scanner.since(start))
}

/// Whether each underscore is between digits.
fn has_valid_underscores(text: &str) -> bool {
    let mut digit = false;
    for letter in text.chars() {
        if letter == '_' && !digit {
            return false;
        }
        digit = letter.is_ascii_hexdigit();
    }
    digit || matches!(text, "nan" | "+nan" | "-nan" | "inf" | "+inf" | "-inf")
}

fn has_leading_zero(text: &str) -> bool {
    match text.as_bytes() {
        [b'0', b'b' | b'o' | b'x', ..] => false,
        [b'0', _, ..] | [b'-' | b'+', b'0', _, ..] => true,
        _ => false,
    }
}

fn integer(scanner: &Scanner<'_>, text: &str) -> Result<Value, SyntaxError> {
    let invalid = |reason: &str| scanner.error(format!("Invalid integer {}: {reason}", quoted(text)));
    if !has_valid_underscores(text) {
        return Err(invalid("underscores must be surrounded by digits"));
    }
    if has_leading_zero(text) {
        return Err(invalid("cannot have leading zeroes"));
    }
    let plain = text.replace('_', "");
    let parsed = match plain.get(..2) {
        Some("0b") => i64::from_str_radix(plain.get(2..).unwrap_or_default(), 2),
        Some("0o") => i64::from_str_radix(plain.get(2..).unwrap_or_default(), 8),
        Some("0x") => i64::from_str_radix(plain.get(2..).unwrap_or_default(), 16),
        _ => plain.parse(),
    };
    parsed.map(Value::Int64).map_err(|_| scanner.error(format!("{text} is out of range for int64")))
}

fn float(scanner: &Scanner<'_>, text: &str) -> Result<Value, SyntaxError> {
    let invalid = |reason: &str| scanner.error(format!("Invalid float {}: {reason}", quoted(text)));
    let mut parts = text.split(['.', 'e', 'E']).filter(|part| !part.is_empty());
    if !parts.clone().all(has_valid_underscores) {
        return Err(invalid("underscores must be surrounded by digits"));
    }
    if parts.next().is_some_and(has_leading_zero) {
        return Err(invalid("cannot have leading zeroes"));
    }
    let ends =
        text.split('.').skip(1).any(|after| !after.starts_with(|letter: char| letter.is_ascii_digit()));
    if ends {
        return Err(invalid("'.' must be followed by one or more digits"));
    }
    let plain = text.replace('_', "");
    match plain.parse::<f64>() {
        Ok(number) if number.is_infinite() && !plain.ends_with("inf") => {
            Err(scanner.error(format!("{text} is out of range for float64")))
        }
        Ok(number) => Ok(Value::Float64(number)),
        Err(_) => Err(scanner.error(format!("Invalid float value: {}", quoted(text)))),
    }
}

fn date(scanner: &Scanner<'_>, text: &str) -> Result<Value, SyntaxError> {
    let text = text.replace('z', "Z").replace(['t', ' '], "T");
    for (layout, kind) in [
        ("2006-01-02T15:04:05.999999999Z07:00", None),
        ("2006-01-02T15:04:05.999999999", Some("datetime-local")),
        ("2006-01-02", Some("date-local")),
        ("15:04:05.999999999", Some("time-local")),
        ("2006-01-02T15:04Z07:00", None),
        ("2006-01-02T15:04", Some("datetime-local")),
        ("15:04", Some("time-local")),
    ] {
        let Ok(time) = parse(layout, &text) else { continue };
        if lacks_zero(&text, layout) {
            break;
        }
        let time = match kind {
            Some(kind) => time.within(Zone::Fixed(kind.into(), 0)),
            None => time,
        };
        return Ok(Value::Object(Rc::new(Instant(time))));
    }
    Err(scanner.error(format!("invalid datetime: {}", quoted(&text))))
}

/// Go's layouts accept numbers without leading zeros. TOML does not, so separators must be at the positions of the
/// layout.
fn lacks_zero(text: &str, layout: &str) -> bool {
    let fixed = layout.bytes().zip(text.bytes()).take_while(|(wanted, _)| !matches!(wanted, b'.' | b'Z'));
    fixed.into_iter().any(|(wanted, got)| !wanted.is_ascii_digit() && wanted != got)
}

/// Reads a string of any kind, after its first quote.
fn string(scanner: &mut Scanner<'_>, quote: char) -> Result<String, SyntaxError> {
    let raw = quote == '\'';
    if scanner.peek()? == Some(quote) {
        let mut ahead = *scanner;
        ahead.next()?;
        if ahead.peek()? == Some(quote) {
            ahead.next()?;
            *scanner = ahead;
            return lines(scanner, quote);
        }
    }
    line(scanner, quote, raw)
}

/// Reads a single-line string; keys may be such strings, too.
///
/// # Errors
/// The error text of `BurntSushi/toml`.
pub(super) fn line(scanner: &mut Scanner<'_>, quote: char, raw: bool) -> Result<String, SyntaxError> {
    let start = scanner.position();
    loop {
        match scanner.next()? {
            None if raw => return Err(scanner.error_at(None, "unexpected EOF; expected \"'\"")),
            None => return Err(scanner.error_at(None, "unexpected EOF; expected '\"'")),
            Some('\n' | '\r') => return Err(scanner.error_before("strings cannot contain newlines")),
            Some('\\') if !raw => escape(scanner, start)?,
            Some(letter) if letter == quote => break,
            Some(_) => {}
        }
    }
    let text = scanner.since(start);
    let text = text.get(..text.len() - 1).unwrap_or_default();
    if raw { Ok(text.to_owned()) } else { unescaped(scanner, text) }
}

/// Reads a string between triple quotes. One or two additional quotes at its end belong to its content.
fn lines(scanner: &mut Scanner<'_>, quote: char) -> Result<String, SyntaxError> {
    let raw = quote == '\'';
    let triple: String = [quote; 3].iter().collect();
    let start = scanner.position();
    loop {
        match scanner.next()? {
            None if raw => return Err(scanner.error_at(None, "unexpected EOF; expected \"'''\"")),
            None => return Err(scanner.error_at(None, "unexpected EOF; expected '\"\"\"'")),
            Some('\\') if !raw => {
                if !matches!(scanner.peek()?, Some('\n' | '\r')) {
                    escape(scanner, start)?;
                }
            }
            Some(letter) if letter == quote => {
                let mut ahead = *scanner;
                if !(ahead.accept(quote)? && ahead.accept(quote)?) {
                    continue;
                }
                if ahead.peek()? != Some(quote) {
                    *scanner = ahead;
                    break;
                }
                let read = ahead.since(start);
                let five = [quote; 5].iter().collect::<String>();
                if read.ends_with(&five) && (raw || !read.ends_with(&format!("\\{five}"))) {
                    let around = if raw { '"' } else { '\'' };
                    return Err(ahead.error(format!("unexpected {around}{triple}{triple}{around}")));
                }
            }
            Some(_) => {}
        }
    }
    let text = scanner.since(start);
    let text = text.get(..text.len() - 3).unwrap_or_default();
    let text = text.strip_prefix('\n').or_else(|| text.strip_prefix("\r\n")).unwrap_or(text);
    if raw { Ok(text.to_owned()) } else { unescaped(scanner, &joined(text)) }
}

/// Checks the escape sequence after a backslash.
fn escape(scanner: &mut Scanner<'_>, start: usize) -> Result<(), SyntaxError> {
    let letter = scanner.next()?;
    let (digits, words) = match letter {
        Some('e' | 'b' | 't' | 'n' | 'f' | 'r' | '"' | ' ' | '\t' | '\\') => return Ok(()),
        Some('x') => (2, "two hexadecimal digits after '\\x'"),
        Some('u') => (4, "four hexadecimal digits after '\\u'"),
        Some('U') => (8, "eight hexadecimal digits after '\\U'"),
        Some(letter) => return Err(scanner.error(format!("invalid escape in string '\\{letter}'"))),
        None => return Err(scanner.error_before("invalid escape in string '\\\0'")),
    };
    for _ in 0..digits {
        let digit = scanner.next()?;
        if !digit.is_some_and(|digit| digit.is_ascii_hexdigit()) {
            let read = quoted(&scanner.since(start));
            return Err(scanner.error_at(digit, format!("expected {words}, but got {read} instead")));
        }
    }
    Ok(())
}

/// Removes backslashes at line ends and the whitespace after them.
fn joined(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let trimmed = after.trim_start_matches([' ', '\t', '\r', '\n']);
        let blank = after.get(..after.len() - trimmed.len()).unwrap_or_default();
        if blank.contains('\n') {
            rest = trimmed;
            continue;
        }
        out.push('\\');
        // Copy the escaped character with its backslash: a second backslash must not start an escape.
        let mut letters = after.chars();
        if let Some(escaped) = letters.next() {
            out.push(escaped);
        }
        rest = letters.as_str();
    }
    out.push_str(rest);
    out
}

fn unescaped(scanner: &Scanner<'_>, text: &str) -> Result<String, SyntaxError> {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        let digits = match letters.next() {
            Some('b') => {
                out.push('\u{8}');
                continue;
            }
            Some('t') => {
                out.push('\t');
                continue;
            }
            Some('n') => {
                out.push('\n');
                continue;
            }
            Some('f') => {
                out.push('\u{c}');
                continue;
            }
            Some('r') => {
                out.push('\r');
                continue;
            }
            Some('e') => {
                out.push('\u{1b}');
                continue;
            }
            Some(letter @ ('"' | '\\')) => {
                out.push(letter);
                continue;
            }
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            other => return Err(scanner.error(format!("invalid escape: '\\{}'", other.unwrap_or_default()))),
        };
        let code: String = letters.by_ref().take(digits).collect();
        let letter = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
        let invalid = || scanner.error(format!("Escaped character '\\u{code}' is not valid UTF-8."));
        out.push(letter.ok_or_else(invalid)?);
    }
    Ok(out)
}
