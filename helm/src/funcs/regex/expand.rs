//! Replacement templates of Go's `regexp.Expand`: `$1`, `$name`, `${1}x`, `$$`.

use regex::bytes::Captures;

use crate::funcs::runes;

/// A piece of a template.
pub(crate) enum Piece<'a> {
    /// Literal text.
    Literal(&'a [u8]),
    /// A group by number.
    Number(usize),
    /// A group by name; `$1x` refers to the group `1x`.
    Name(&'a [u8]),
}

/// Parses a template into its pieces.
pub(crate) fn parse(template: &[u8]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
        pieces.push(Piece::Literal(rest.get(..at).unwrap_or_default()));
        let after = rest.get(at + 1..).unwrap_or_default();
        if let [b'$', after @ ..] = after {
            pieces.push(Piece::Literal(b"$"));
            rest = after;
        } else if let Some((name, after)) = reference(after) {
            pieces.push(number(name).map_or(Piece::Name(name), Piece::Number));
            rest = after;
        } else {
            pieces.push(Piece::Literal(b"$"));
            rest = after;
        }
    }
    pieces.push(Piece::Literal(rest));
    pieces
}

/// The longest name, with or without braces, and the rest after it.
fn reference(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (braced, text) = match text.strip_prefix(b"{") {
        Some(inside) => (true, inside),
        None => (false, text),
    };
    let of_name = |rune: char| rune == '_' || runes::is_letter(rune) || runes::is_digit(rune);
    let length =
        runes::runes(text).take_while(|(rune, _)| of_name(*rune)).map(|(_, source)| source.len()).sum();
    let (name, after) = text.split_at_checked(length)?;
    if name.is_empty() {
        return None;
    }
    Some((name, if braced { after.strip_prefix(b"}")? } else { after }))
}

fn number(name: &[u8]) -> Option<usize> {
    if name.len() > 9 || (name.len() > 1 && name.starts_with(b"0")) {
        return None;
    }
    name.iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + usize::from(byte - b'0')))
}

/// Appends the template, with the groups of one match filled in.
pub(crate) fn append(pieces: &[Piece<'_>], captures: &Captures<'_>, names: &[String], result: &mut Vec<u8>) {
    for piece in pieces {
        let group = match piece {
            Piece::Literal(text) => Some(*text),
            Piece::Number(number) => captures.get(*number).map(|found| found.as_bytes()),
            Piece::Name(name) => names
                .iter()
                .enumerate()
                .filter(|(_, known)| known.as_bytes() == *name)
                .find_map(|(index, _)| captures.get(index + 1))
                .map(|found| found.as_bytes()),
        };
        result.extend_from_slice(group.unwrap_or_default());
    }
}
