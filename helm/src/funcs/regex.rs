//! Sprig's regular expressions: Go's syntax and semantics on the `regex` crate.
//!
//! [`pattern`] translates Go's syntax into that of the crate. Both use leftmost-first semantics and linear time. The
//! size of the program is limited, and each search is accounted for by the length of the text times the size of the
//! pattern.

mod expand;
mod pattern;

use gostd::fmt;
use gostd::value::{Element, List, Value};
use regex::bytes::{Captures, Regex, RegexBuilder};

use super::text;
use crate::function::Parameter::{Int, Str};
use crate::function::{Arguments, Failure, Function, Scope};

/// The functions of this group.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "mustRegexFind", parameters: &[Str, Str], rest: None, body: must_find },
    Function { name: "mustRegexFindAll", parameters: &[Str, Str, Int], rest: None, body: must_find_all },
    Function { name: "mustRegexMatch", parameters: &[Str, Str], rest: None, body: must_match },
    Function { name: "mustRegexReplaceAll", parameters: &[Str, Str, Str], rest: None, body: must_replace },
    Function {
        name: "mustRegexReplaceAllLiteral",
        parameters: &[Str, Str, Str],
        rest: None,
        body: must_replace_literal,
    },
    Function { name: "mustRegexSplit", parameters: &[Str, Str, Int], rest: None, body: must_split },
    Function { name: "regexFind", parameters: &[Str, Str], rest: None, body: find },
    Function { name: "regexFindAll", parameters: &[Str, Str, Int], rest: None, body: find_all },
    Function { name: "regexMatch", parameters: &[Str, Str], rest: None, body: matches },
    Function { name: "regexQuoteMeta", parameters: &[Str], rest: None, body: quote_meta },
    Function { name: "regexReplaceAll", parameters: &[Str, Str, Str], rest: None, body: replace },
    Function {
        name: "regexReplaceAllLiteral",
        parameters: &[Str, Str, Str],
        rest: None,
        body: replace_literal,
    },
    Function { name: "regexSplit", parameters: &[Str, Str, Int], rest: None, body: split },
];

/// A compiled expression.
struct Expression {
    regex: Regex,
    /// The names of the groups, in order; empty for groups without a name.
    names: Vec<String>,
    /// The number of nodes, with repetitions expanded.
    size: u64,
    empty: bool,
}

/// The reason why an expression cannot be used.
enum Unusable {
    /// It is invalid in Go too: Go's error text.
    Syntax(String),
    /// It exceeds a limit.
    Costly(Failure),
}

impl From<Failure> for Unusable {
    fn from(failure: Failure) -> Self {
        Self::Costly(failure)
    }
}

impl Unusable {
    /// The error of the `must` functions.
    fn returned(self) -> Failure {
        match self {
            Self::Syntax(text) => format!("error parsing regexp: {text}").into(),
            Self::Costly(failure) => failure,
        }
    }

    /// The panic of Go's `MustCompile`.
    fn panicked(self, source: &[u8]) -> Failure {
        let plain = std::str::from_utf8(source).ok().filter(|text| {
            !text.chars().any(|rune| rune == '`' || (rune.is_control() && rune != '\t') || rune == '\u{FEFF}')
        });
        let quoted = plain.map_or_else(|| fmt::quote(source), |text| format!("`{text}`"));
        match self {
            Self::Syntax(text) => format!("regexp: Compile({quoted}): error parsing regexp: {text}").into(),
            Self::Costly(failure) => failure,
        }
    }
}

impl Expression {
    fn new(scope: &Scope<'_>, source: &[u8]) -> Result<Self, Unusable> {
        // Compiling is slow, so the deadline is checked for every expression: 1024 steps ensure that.
        scope.step(1024 + source.len() as u64)?;
        let text = std::str::from_utf8(source)
            .map_err(|_| Unusable::Syntax(format!("invalid UTF-8: `{}`", String::from_utf8_lossy(source))))?;
        // Three bytes can stand for a class of six hundred ranges.
        if text.len() > scope.limits.regex_bytes / 32 {
            return Err(Unusable::Costly(Failure::Limit("regex_bytes")));
        }
        let translated = pattern::translate(text).map_err(Unusable::Syntax)?;
        if translated.size > scope.limits.regex_bytes as u64 {
            return Err(Unusable::Costly(Failure::Limit("regex_bytes")));
        }
        let built = RegexBuilder::new(&translated.pattern)
            .nest_limit(1100)
            .size_limit(scope.limits.regex_bytes)
            .dfa_size_limit(scope.limits.regex_bytes)
            .build();
        let regex = built.map_err(|error| match error {
            // The translation has already found all other errors.
            regex::Error::Syntax(_) => Unusable::Syntax(format!("expression nests too deeply: `{text}`")),
            _ => Unusable::Costly(Failure::Limit("regex_bytes")),
        })?;
        Ok(Self { regex, names: translated.names, size: translated.size, empty: source.is_empty() })
    }

    /// Accounts for a search of `text`.
    fn account(&self, scope: &Scope<'_>, text: &[u8]) -> Result<(), Failure> {
        scope.step(1 + (text.len() as u64).saturating_mul(self.size) / 64)
    }

    /// The next match at or after `from` that does not begin within a code point of `text`.
    fn at<'t>(
        &self,
        scope: &Scope<'_>,
        text: &'t [u8],
        from: usize,
    ) -> Result<Option<Captures<'t>>, Failure> {
        let mut from = from;
        loop {
            // Each search may scan the whole rest of the text.
            scope.step(1 + (text.len().saturating_sub(from) >> 10) as u64)?;
            let Some(captures) = self.regex.captures_at(text, from) else { return Ok(None) };
            let whole = captures.get(0).map_or(0..0, |found| found.range());
            let within = text.get(whole.start).is_some_and(|byte| byte & 0xC0 == 0x80)
                && std::str::from_utf8(text).is_ok();
            if !within {
                return Ok(Some(captures));
            }
            from = whole.start + 1;
        }
    }

    /// Up to `limit` matches, or all if it is negative, as in Go's `allMatches`.
    fn all<'t>(&self, scope: &Scope<'_>, text: &'t [u8], limit: i64) -> Result<Vec<Captures<'t>>, Failure> {
        self.account(scope, text)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut found, mut from, mut before) = (Vec::new(), 0, None);
        while found.len() < limit && from <= text.len() {
            let Some(captures) = self.at(scope, text, from)? else { break };
            let range = captures.get(0).map_or(0..0, |whole| whole.range());
            // As in Go, an empty match right after another match does not count.
            let counts = !(range.end == from && before == Some(range.start));
            from = if range.end == from { from + width(text, from) } else { range.end };
            before = Some(range.end);
            if counts {
                scope.step(1)?;
                found.push(captures);
            }
        }
        Ok(found)
    }
}

/// The length of the code point at `from` in bytes; 1 at the end.
fn width(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let near = rest.get(..4).unwrap_or(rest);
    super::runes::runes(near).next().map_or(1, |(_, source)| source.len())
}

fn whole<'t>(captures: &Captures<'t>) -> &'t [u8] {
    captures.get(0).map_or(b"", |found| found.as_bytes())
}

type Operation = fn(&Scope<'_>, Arguments<'_>, &Expression) -> Result<Value, Failure>;

fn must(scope: &Scope<'_>, arguments: Arguments<'_>, operation: Operation) -> Result<Value, Failure> {
    let expression = Expression::new(scope, arguments.bytes(0)).map_err(Unusable::returned)?;
    operation(scope, arguments, &expression)
}

fn may(scope: &Scope<'_>, arguments: Arguments<'_>, operation: Operation) -> Result<Value, Failure> {
    let source = arguments.bytes(0);
    let expression = Expression::new(scope, source).map_err(|unusable| unusable.panicked(source))?;
    operation(scope, arguments, &expression)
}

/// `regexMatch`, the only function for which an invalid expression has no matches.
fn matches(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    match Expression::new(scope, arguments.bytes(0)) {
        Ok(expression) => matched(scope, arguments, &expression),
        Err(Unusable::Syntax(_)) => Ok(false.into()),
        Err(Unusable::Costly(failure)) => Err(failure),
    }
}

fn must_match(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    must(scope, arguments, matched)
}

fn matched(scope: &Scope<'_>, arguments: Arguments<'_>, expression: &Expression) -> Result<Value, Failure> {
    expression.account(scope, arguments.bytes(1))?;
    Ok(expression.at(scope, arguments.bytes(1), 0)?.is_some().into())
}

fn find(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    may(scope, arguments, found)
}

fn must_find(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    must(scope, arguments, found)
}

fn found(scope: &Scope<'_>, arguments: Arguments<'_>, expression: &Expression) -> Result<Value, Failure> {
    expression.account(scope, arguments.bytes(1))?;
    let captures = expression.at(scope, arguments.bytes(1), 0)?;
    text::string(scope, captures.as_ref().map_or(b"".as_slice(), whole))
}

fn find_all(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    may(scope, arguments, all_found)
}

fn must_find_all(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    must(scope, arguments, all_found)
}

fn all_found(scope: &Scope<'_>, arguments: Arguments<'_>, expression: &Expression) -> Result<Value, Failure> {
    let found = expression.all(scope, arguments.bytes(1), arguments.int(2))?;
    if found.is_empty() {
        return Ok(Value::List(List::nil(Element::Str)));
    }
    text::strings(scope, found.iter().map(whole))
}

fn replace(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    may(scope, arguments, replaced)
}

fn must_replace(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    must(scope, arguments, replaced)
}

fn replaced(scope: &Scope<'_>, arguments: Arguments<'_>, expression: &Expression) -> Result<Value, Failure> {
    let template = expand::parse(arguments.bytes(2));
    rewritten(scope, arguments, expression, |captures, result| {
        expand::append(&template, captures, &expression.names, result);
    })
}

fn replace_literal(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    may(scope, arguments, replaced_literally)
}

fn must_replace_literal(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    must(scope, arguments, replaced_literally)
}

fn replaced_literally(
    scope: &Scope<'_>,
    arguments: Arguments<'_>,
    expression: &Expression,
) -> Result<Value, Failure> {
    rewritten(scope, arguments, expression, |_, result| result.extend_from_slice(arguments.bytes(2)))
}

/// The text with each match replaced by what `put` appends.
fn rewritten(
    scope: &Scope<'_>,
    arguments: Arguments<'_>,
    expression: &Expression,
    put: impl Fn(&Captures<'_>, &mut Vec<u8>),
) -> Result<Value, Failure> {
    let source = arguments.bytes(1);
    let (mut result, mut from) = (Vec::new(), 0);
    for captures in expression.all(scope, source, -1)? {
        let range = captures.get(0).map_or(0..0, |whole| whole.range());
        let before = result.len();
        result.extend_from_slice(source.get(from..range.start).unwrap_or_default());
        put(&captures, &mut result);
        scope.produce(result.len() - before)?;
        from = range.end;
    }
    let rest = source.get(from..).unwrap_or_default();
    scope.produce(rest.len())?;
    result.extend_from_slice(rest);
    Ok(Value::string(result))
}

fn split(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    may(scope, arguments, parted)
}

fn must_split(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    must(scope, arguments, parted)
}

fn parted(scope: &Scope<'_>, arguments: Arguments<'_>, expression: &Expression) -> Result<Value, Failure> {
    let (source, limit) = (arguments.bytes(1), arguments.int(2));
    if limit == 0 {
        return Ok(Value::List(List::nil(Element::Str)));
    }
    if source.is_empty() && !expression.empty {
        return text::strings(scope, [source]);
    }
    let max_parts = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut parts, mut from, mut end) = (Vec::new(), 0, 0);
    for captures in expression.all(scope, source, limit)? {
        if parts.len() + 1 >= max_parts {
            break;
        }
        let range = captures.get(0).map_or(0..0, |whole| whole.range());
        end = range.start;
        if range.end != 0 {
            parts.push(source.get(from..end).unwrap_or_default());
        }
        from = range.end;
    }
    if end != source.len() {
        parts.push(source.get(from..).unwrap_or_default());
    }
    text::strings(scope, parts)
}

fn quote_meta(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let mut quoted = Vec::new();
    for byte in arguments.bytes(0) {
        if br"\.+*?()|[]{}^$".contains(byte) {
            quoted.push(b'\\');
        }
        quoted.push(*byte);
    }
    text::string(scope, quoted)
}
