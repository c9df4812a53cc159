//! Percent-encoding, which depends on the part of the URL.

use gostd::fmt;

/// The part of a URL, which determines the characters to escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// After the authority.
    Path,
    /// Host and port.
    Host,
    /// The zone of an IPv6 address (RFC 6874).
    Zone,
    /// User or password.
    User,
    /// After the `#`.
    Fragment,
}

/// Decodes all escapes.
///
/// # Errors
/// Go's error text for an escape or a byte that is not allowed.
pub(crate) fn unescape(text: &[u8], part: Part) -> Result<Vec<u8>, String> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    let in_host = matches!(part, Part::Host | Part::Zone);
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            if in_host && byte.is_ascii() && must_escape(byte, part) {
                let quoted = fmt::quote(&[byte]);
                return Err(format!("invalid character {quoted} in host name"));
            }
            plain.push(byte);
            rest = after;
            continue;
        }
        let escaped = rest.get(..3).unwrap_or(rest);
        let invalid = || format!("invalid URL escape {}", fmt::quote(escaped));
        let &[_, high, low] = escaped else { return Err(invalid()) };
        let (Some(high), Some(low)) = (hexadecimal(high), hexadecimal(low)) else { return Err(invalid()) };
        let decoded = high << 4 | low;
        // In a host only non-ASCII bytes may be escaped; in a zone only characters that are also allowed unescaped.
        let wrong = match part {
            Part::Host => high < 8,
            Part::Zone => decoded != b' ' && must_escape(decoded, Part::Host),
            Part::Path | Part::User | Part::Fragment => false,
        };
        if wrong && decoded != b'%' {
            return Err(invalid());
        }
        plain.push(decoded);
        rest = rest.get(3..).unwrap_or_default();
    }
    Ok(plain)
}

/// Escapes the bytes that are not allowed in `part`.
pub(crate) fn escape(text: &[u8], part: Part) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for byte in text {
        if must_escape(*byte, part) {
            escaped.extend(format!("%{byte:02X}").into_bytes());
        } else {
            escaped.push(*byte);
        }
    }
    escaped
}

fn hexadecimal(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn must_escape(byte: u8, part: Part) -> bool {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        return false;
    }
    let allowed: &[u8] = match part {
        Part::Path => b"$&+,/:;=@",
        Part::Host | Part::Zone => b"!$&'()*+,;=:[]<>\"",
        Part::User => b"$&+,;=",
        Part::Fragment => b"$&+,/:;=?@!()*",
    };
    !allowed.contains(&byte)
}
