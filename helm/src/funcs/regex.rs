//! Sprig's regular expressions: Go's syntax and semantics on the `regex` crate.
//!
//! [`pattern`] turns Go's syntax into the crate's. Both match the leftmost-first way in linear time; the
//! program's size is bounded, and each search is accounted for by text times pattern.

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
    /// The names of the groups, in order; empty for those without.
    names: Vec<String>,
    /// How many nodes it has, repetitions counted out.
    size: u64,
    empty: bool,
}

/// Why there is no expression.
enum Unusable {
    /// Go would say so too.
    Syntax(String),
    /// It would cost too much here.
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
        // Enough that the clock is asked for every expression: compiling is slow.
        scope.step(1024 + source.len() as u64)?;
        let text = std::str::from_utf8(source)
            .map_err(|_| Unusable::Syntax(format!("invalid UTF-8: `{}`", String::from_utf8_lossy(source))))?;
        // Three bytes can name a class of six hundred ranges.
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
            // All else that could be wrong was found in translation.
            regex::Error::Syntax(_) => Unusable::Syntax(format!("expression nests too deeply: `{text}`")),
            _ => Unusable::Costly(Failure::Limit("regex_bytes")),
        })?;
        Ok(Self { regex, names: translated.names, size: translated.size, empty: source.is_empty() })
    }

    /// Accounts for a walk over `text`.
    fn account(&self, scope: &Scope<'_>, text: &[u8]) -> Result<(), Failure> {
        scope.step(1 + (text.len() as u64).saturating_mul(self.size) / 64)
    }

    /// The next match at or after `from`; none of its ends is within a code point of `text`.
    fn at<'t>(
        &self,
        scope: &Scope<'_>,
        text: &'t [u8],
        from: usize,
    ) -> Result<Option<Captures<'t>>, Failure> {
        let mut from = from;
        loop {
            // A search may look at all that is left, for each match again.
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

    /// Up to `limit` matches, all if it is negative, as Go's `allMatches` walks them.
    fn all<'t>(&self, scope: &Scope<'_>, text: &'t [u8], limit: i64) -> Result<Vec<Captures<'t>>, Failure> {
        self.account(scope, text)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut found, mut from, mut before) = (Vec::new(), 0, None);
        while found.len() < limit && from <= text.len() {
            let Some(captures) = self.at(scope, text, from)? else { break };
            let range = captures.get(0).map_or(0..0, |whole| whole.range());
            // An empty match right after another one does not count.
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

/// How many bytes the code point at `from` has; 1 at the end.
fn width(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let near = rest.get(..4).unwrap_or(rest);
    super::runes::runes(near).next().map_or(1, |(_, source)| source.len())
}

fn whole<'t>(captures: &Captures<'t>) -> &'t [u8] {
    captures.get(0).map_or(b"", |found| found.as_bytes())
}

type Used = fn(&Scope<'_>, Arguments<'_>, &Expression) -> Result<Value, Failure>;

fn must(scope: &Scope<'_>, arguments: Arguments<'_>, used: Used) -> Result<Value, Failure> {
    let expression = Expression::new(scope, arguments.bytes(0)).map_err(Unusable::returned)?;
    used(scope, arguments, &expression)
}

fn may(scope: &Scope<'_>, arguments: Arguments<'_>, used: Used) -> Result<Value, Failure> {
    let source = arguments.bytes(0);
    let expression = Expression::new(scope, source).map_err(|unusable| unusable.panicked(source))?;
    used(scope, arguments, &expression)
}

/// The only one that takes a wrong expression for one without matches.
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
    text::give(scope, captures.as_ref().map_or(b"".as_slice(), whole))
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
    text::give_all(scope, found.iter().map(whole))
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

/// The text with something put in the place of each match.
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
        return text::give_all(scope, [source]);
    }
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut parts, mut from, mut end) = (Vec::new(), 0, 0);
    for captures in expression.all(scope, source, limit)? {
        if parts.len() + 1 >= most {
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
    text::give_all(scope, parts)
}

fn quote_meta(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let mut quoted = Vec::new();
    for byte in arguments.bytes(0) {
        if br"\.+*?()|[]{}^$".contains(byte) {
            quoted.push(b'\\');
        }
        quoted.push(*byte);
    }
    text::give(scope, quoted)
}
