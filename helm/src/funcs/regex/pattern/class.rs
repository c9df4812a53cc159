//! Classes in brackets.

use super::escape::{self, push_literal};

/// Translates the class at the start of `text`, and returns the rest after it.
///
/// # Errors
/// Go's error text.
pub(crate) fn translate(text: &str) -> Result<(String, &str), String> {
    let mut rest = text.get(1..).unwrap_or_default();
    let mut pattern = String::from("[");
    if let Some(after) = rest.strip_prefix('^') {
        pattern.push('^');
        rest = after;
    }
    let mut first = true;
    loop {
        // A closing bracket in first position is a literal character.
        if !first && let Some(after) = rest.strip_prefix(']') {
            pattern.push(']');
            return Ok((pattern, after));
        }
        first = false;
        if let Some((named, after)) = named(rest)? {
            pattern.push_str(named);
            rest = after;
        } else if rest.starts_with('\\')
            && let Some((class, after)) = escape::class(rest)?
        {
            pattern.push_str(&class);
            rest = after;
        } else {
            rest = range(text, rest, &mut pattern)?;
        }
    }
}

/// `[:alpha:]` and the like, if `text` begins with one.
fn named(text: &str) -> Result<Option<(&str, &str)>, String> {
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
        "upper", "word", "xdigit",
    ];
    let Some(length) = text.strip_prefix("[:").and_then(|inside| inside.find(":]")) else { return Ok(None) };
    let (class, rest) = text.split_at_checked(length + 4).unwrap_or((text, ""));
    let name = class.get(2..length + 2).unwrap_or_default();
    if NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
        Ok(Some((class, rest)))
    } else {
        Err(format!("invalid character class range: `{class}`"))
    }
}

/// Translates one character, or a range of two characters with a hyphen.
fn range<'a>(class: &str, text: &'a str, pattern: &mut String) -> Result<&'a str, String> {
    let (low, mut rest) = character(class, text)?;
    push_literal(pattern, low);
    if rest.starts_with('-') && rest.len() >= 2 && !rest.starts_with("-]") {
        let (high, after) = character(class, rest.get(1..).unwrap_or_default())?;
        if high < low {
            let shown = text.get(..text.len() - after.len()).unwrap_or(text);
            return Err(format!("invalid character class range: `{shown}`"));
        }
        pattern.push('-');
        push_literal(pattern, high);
        rest = after;
    }
    Ok(rest)
}

fn character<'a>(class: &str, text: &'a str) -> Result<(char, &'a str), String> {
    match text.chars().next() {
        None => Err(format!("missing closing ]: `{class}`")),
        Some('\\') => escape::character(text),
        Some(character) => Ok((character, text.get(character.len_utf8()..).unwrap_or_default())),
    }
}
