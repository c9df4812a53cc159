//! The effect of `sigs.k8s.io/yaml.Marshal` on strings: it writes JSON, which go-yaml reads back.

use std::borrow::Cow;

use base64::Engine as _;

use super::reader::readable;
use crate::budget::Failure;
use crate::json::writer::quote;

/// A string as go-yaml reads it back from JSON.
///
/// # Errors
/// It holds a character that JSON does not escape and libyaml rejects.
pub(crate) fn through_json(text: &str) -> Result<Cow<'_, str>, Failure> {
    // JSON escapes the control characters below the space.
    if text.chars().any(|c| c >= ' ' && !readable(c)) {
        return Err("yaml: control characters are not allowed".into());
    }
    Ok(if text.contains('\u{85}') { Cow::Owned(fold_next_lines(text)) } else { Cow::Borrowed(text) })
}

/// A key, which must also be short enough for libyaml to recognize it as a key.
///
/// # Errors
/// It is too long, or holds a character that a string may not hold.
pub(crate) fn key(text: &str) -> Result<Cow<'_, str>, Failure> {
    /// The number of characters, including quotes, within which libyaml looks for the colon.
    const LONGEST: usize = 1024;
    let read = through_json(text)?;
    let mut long = text.contains('\u{85}');
    // JSON needs at most six characters for one.
    if text.len() > LONGEST / 6 - 1 {
        let mut quoted = String::new();
        quote(&mut quoted, text, true);
        long |= quoted.chars().count() > LONGEST;
    }
    if long { Err("yaml: did not find expected ',' or '}'".into()) } else { Ok(read) }
}

/// Folds U+0085, the only line break that JSON does not escape: a single one becomes a space, n in a row become n - 1
/// line feeds. Spaces around it are removed.
fn fold_next_lines(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut parts = text.split('\u{85}');
    folded.push_str(parts.next().unwrap_or_default());
    let mut breaks = 0;
    let parts: Vec<&str> = parts.collect();
    let last = parts.len().saturating_sub(1);
    folded.truncate(folded.trim_end_matches(' ').len());
    for (index, part) in parts.into_iter().enumerate() {
        breaks += 1;
        let start = part.trim_start_matches(' ');
        let whole = if index == last { start } else { start.trim_end_matches(' ') };
        if whole.is_empty() && index != last {
            continue;
        }
        match breaks {
            1 => folded.push(' '),
            more => folded.extend(std::iter::repeat_n('\n', more - 1)),
        }
        folded.push_str(whole);
        breaks = 0;
    }
    folded
}

/// Standard base64; with `lines`, in lines of 70 characters as in go-yaml's `!!binary`.
pub(crate) fn base64(bytes: &[u8], lines: bool) -> String {
    const WIDTH: usize = 70;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    if !lines || text.len() < WIDTH {
        return text;
    }
    let mut broken = String::with_capacity(text.len() + text.len() / WIDTH + 1);
    for (index, c) in text.chars().enumerate() {
        broken.push(c);
        if (index + 1) % WIDTH == 0 || index + 1 == text.len() {
            broken.push('\n');
        }
    }
    broken
}
