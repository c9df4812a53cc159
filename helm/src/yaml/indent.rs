//! Indents what granit-parser wants indented and libyaml does not: the later lines of a quoted scalar. Spaces at
//! the start of such a line are folded away, so the value is the same.

use std::borrow::Cow;

use super::error::{Error, Problem};

/// Bytes that all repairs of one text may read: each reads it from the start.
const MOST_READ: usize = 16 << 20;
/// The deepest indentation that is given.
const MOST_INDENT: usize = 1000;

/// Calls `read` with the text, and again with it repaired for as long as that helps.
pub(crate) fn repairing<T>(text: &str, read: impl Fn(&str) -> Result<T, Error>) -> Result<T, Error> {
    let first = read(text);
    let Err(Error { problem: Problem::Unindented, mut line, .. }) = first else { return first };
    let mut repaired = Cow::Borrowed(text);
    for _ in 0..MOST_READ / text.len().max(1) {
        repaired = indented(&repaired, line).into();
        match read(&repaired) {
            Err(Error { problem: Problem::Unindented, line: next, .. }) if next > line => line = next,
            Err(Error { problem: Problem::Unindented, .. }) => break,
            result => return result,
        }
    }
    first
}

/// The text with the lines from `line` (from 1) to the next that has a quote indented past the node that
/// begins above them.
fn indented(text: &str, line: usize) -> String {
    let mut repaired = String::with_capacity(text.len() + 64);
    let mut indent = 0;
    let mut within = true;
    for (index, source) in text.split_inclusive('\n').enumerate() {
        let blank = source.trim().is_empty();
        if index + 1 < line {
            if !blank {
                indent = source.chars().take_while(|c| matches!(c, ' ' | '-' | '?')).count() + 1;
            }
        } else if within && !blank {
            repaired.extend(std::iter::repeat_n(' ', indent.min(MOST_INDENT)));
            within = !source.contains(['"', '\'']);
        }
        repaired.push_str(source);
    }
    repaired
}

#[cfg(test)]
mod tests {
    use crate::Limits;
    use crate::yaml::parse;

    #[test]
    fn quoted_scalars_may_go_on_at_any_indentation() {
        let text = "a:\n  - b: 'one\ntwo\n\nthree'\n    c: \"x\n  y's\nz\"\n";
        let value = parse(text, &Limits::default()).unwrap();
        assert_eq!(value, serde_json::json!({"a": [{"b": "one two\nthree", "c": "x y's z"}]}));
    }
}
