//! `html js urlquery`: escape the printed form of their arguments.

use gostd::fmt;
use gostd::value::Value;

use crate::function::{Arguments, Failure, Scope};

/// `evalArgs`: nil is printed as in an action.
fn text(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Vec<u8>, Failure> {
    let values: Vec<Value> = arguments
        .0
        .iter()
        .map(|value| if matches!(value, Value::Nil) { "<no value>".into() } else { value.clone() })
        .collect();
    let printed = fmt::sprint(scope, &values)?;
    Ok(printed.bytes().unwrap_or_default().to_vec())
}

pub(super) fn html(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let mut out = Vec::new();
    for byte in text(scope, arguments)? {
        match byte {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            _ => out.push(byte),
        }
    }
    scope.produce(out.len())?;
    Ok(Value::string(out))
}

pub(super) fn js(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let text = text(scope, arguments)?;
    let mut out = Vec::new();
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' | '\'' | '"' => {
                    out.push(b'\\');
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                '<' | '>' | '&' | '=' | '\0'..' ' => {
                    out.extend_from_slice(format!("\\u{:04X}", u32::from(character)).as_bytes());
                }
                // Go checks only non-ASCII characters for whether they are printable.
                '\u{7f}' => out.push(0x7f),
                _ if fmt::is_print(character) => {
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => out.extend_from_slice(format!("\\u{:04X}", u32::from(character)).as_bytes()),
            }
        }
        out.extend_from_slice(chunk.invalid());
    }
    scope.produce(out.len())?;
    Ok(Value::string(out))
}

/// `url.QueryEscape`
pub(super) fn urlquery(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let mut out = String::new();
    for byte in text(scope, arguments)? {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    scope.produce(out.len())?;
    Ok(Value::from(out))
}
