//! Repairs text that granit-parser rejects and libyaml accepts: continuation lines of a quoted scalar without
//! indentation, and `\'` in double quotes. Spaces at the start of such a line are folded away, so the value is the
//! same.

use super::error::{Error, Problem};

/// Maximum number of bytes that all repairs of one text may read. Each repair reads the text from the start.
const MOST_READ: usize = 16 << 20;
/// The largest indentation that a repair adds.
const MOST_INDENT: usize = 1000;

/// The reader's problem for `\'` in double quotes, reported at the opening quote.
const ESCAPE: Problem = Problem::Syntax("found unknown escape character");

/// Calls `read` with the text, and then with repaired text for as long as a repair helps.
pub(crate) fn repairing<T>(text: &str, read: impl Fn(&str) -> Result<T, Error>) -> Result<T, Error> {
    let first = read(text);
    let Err(error) = &first else { return first };
    let mut unindented = 0;
    let mut repaired = repair(text, error, &mut unindented);
    for _ in 0..MOST_READ / text.len().max(1) {
        let Some(text) = repaired else { break };
        let error = match read(&text) {
            Err(error) => error,
            result => return result,
        };
        repaired = repair(&text, &error, &mut unindented);
        if repaired.is_none() && error.problem != Problem::Unindented {
            return Err(error);
        }
    }
    first
}

/// Repairs the cause of `error`; `None` if that is not possible. `line` is the last line that was indented.
fn repair(text: &str, error: &Error, line: &mut usize) -> Option<String> {
    if error.problem == Problem::Unindented && error.line > *line {
        *line = error.line;
        return Some(indented(text, error.line));
    }
    if error.problem == ESCAPE { unescaped(text, error.line, error.column) } else { None }
}

/// Replaces each `\'` by `'` in the double-quoted scalar that begins at this position; libyaml accepts both.
fn unescaped(text: &str, line: usize, column: usize) -> Option<String> {
    let before: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let start = text.get(before..)?.char_indices().nth(column.checked_sub(1)?).map(|(at, _)| before + at)?;
    let (before, scalar) = text.split_at_checked(start)?;
    let mut rest = scalar.strip_prefix('"')?;
    let mut repaired = String::with_capacity(text.len());
    repaired.push_str(before);
    repaired.push('"');
    while let Some((plain, after)) = rest.split_once(['"', '\\']) {
        repaired.push_str(plain);
        if rest.as_bytes().get(plain.len()) == Some(&b'"') {
            repaired.push('"');
            rest = after;
            break;
        }
        let escape = after.chars().next()?;
        if escape != '\'' {
            repaired.push('\\');
        }
        repaired.push(escape);
        rest = after.get(escape.len_utf8()..)?;
    }
    repaired.push_str(rest);
    (repaired.len() < text.len()).then_some(repaired)
}

/// Indents the lines from `line` (counted from 1) to the next line with a quote, further than the node that begins
/// above them.
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
    fn quoted_scalars_may_continue_at_any_indentation() {
        let text = "a:\n  - b: 'one\ntwo\n\nthree'\n    c: \"x\n  y's\nz\"\n";
        let value = parse(text, &Limits::default()).unwrap();
        assert_eq!(value, serde_json::json!({"a": [{"b": "one two\nthree", "c": "x y's z"}]}));
    }

    #[test]
    fn h10_an_escaped_apostrophe_in_double_quotes_is_an_apostrophe() {
        let text = "a: \"it\\'s \\\\\\' \\\"\\'\"\nb: ['x', \"\\'\", 'y\\']\nc: \"\u{e9}\\'\n  d\"\n# \\'\n";
        let value = parse(text, &Limits::default()).unwrap();
        assert_eq!(value, serde_json::json!({"a": "it's \\' \"'", "b": ["x", "'", "y\\"], "c": "\u{e9}' d"}));
        for text in ["a: \"\\'\\z\"", "a: \"\\z\\'\"", "a: \"\\'", "a: \"\\"] {
            assert!(parse(text, &Limits::default()).is_err(), "{text}");
        }
    }
}
