//! The forms in which a string can be written in YAML: the analysis of libyaml's emitter before it writes a scalar.

use super::scalar::{Resolved, resolve};

/// The form of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Plain,
    /// `'...'`
    Single,
    /// `"..."`
    Double,
    /// `|`
    Literal,
}

/// The context of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    /// A key on one line with its value.
    SimpleKey,
    /// Anywhere else.
    Value,
}

/// The forms that the text of a scalar allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "libyaml's own independent flags")]
pub(crate) struct Analysis {
    /// It has line breaks.
    pub multiline: bool,
    plain: bool,
    single: bool,
    literal: bool,
}

/// Whether the character is a line break in YAML 1.1.
pub(crate) fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether libyaml writes the character unescaped, in a context where breaks are allowed.
pub(crate) fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// libyaml's `yaml_emitter_analyze_scalar`, in block context. go-yaml v3 allows tabs in literals.
pub(crate) fn analyze(text: &str, literal_tabs: bool) -> Analysis {
    let mut allowed = Analysis { multiline: false, plain: true, single: true, literal: true };
    let Some(first) = text.chars().next() else {
        return Analysis { literal: false, ..allowed };
    };
    let (mut special, mut tabs) = (false, false);
    let mut indicator = text.starts_with("---") || text.starts_with("...");
    let (mut break_space, mut space_break) = (false, false);
    let mut previous: Option<char> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let followed = chars.peek().is_none_or(|next| is_blank(*next));
        let preceded = previous.is_none_or(|c| is_blank(c) || is_break(c));
        indicator |= match (previous, c) {
            (
                None,
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                | '`',
            ) => true,
            (None, '?' | '-') | (_, ':') => followed,
            (Some(_), '#') => preceded,
            _ => false,
        };
        if c == '\t' && literal_tabs {
            tabs = true;
        } else {
            special |= !is_printable(c);
        }
        allowed.multiline |= is_break(c);
        break_space |= c == ' ' && previous.is_some_and(is_break);
        space_break |= is_break(c) && previous == Some(' ');
        previous = Some(c);
    }
    let edge = |c: char| c == ' ' || is_break(c);
    let trailing_space = text.ends_with(' ');
    if edge(first) || text.ends_with(edge) || allowed.multiline || indicator {
        allowed.plain = false;
    }
    if trailing_space {
        allowed.literal = false;
    }
    if break_space || tabs {
        allowed.plain = false;
        allowed.single = false;
    }
    if space_break || special {
        allowed = Analysis { plain: false, single: false, literal: false, ..allowed };
    }
    allowed
}

impl Analysis {
    /// The form that go-yaml chooses for the text in this context.
    pub(crate) fn form(self, text: &str, context: Context, means_other: fn(&str) -> bool) -> Form {
        let key = context == Context::SimpleKey;
        let wanted = if key && self.multiline {
            Form::Double
        } else if text.contains('\n') {
            Form::Literal
        } else if means_other(text) {
            Form::Double
        } else {
            Form::Plain
        };
        match wanted {
            Form::Plain if self.plain => Form::Plain,
            Form::Plain if self.single => Form::Single,
            Form::Literal if self.literal && !key => Form::Literal,
            _ => Form::Double,
        }
    }
}

/// Whether the text, unquoted, would not be read as this string: go-yaml v2.
pub(crate) fn means_other(text: &str) -> bool {
    resolve(text) != Resolved::Text || is_base60(text)
}

/// The same for go-yaml v3, which also accepts signs in octal numbers.
pub(crate) fn means_other_v3(text: &str) -> bool {
    let octal = || {
        let plain = text.replace('_', "");
        let digits = plain.strip_prefix("0o").filter(|digits| digits.starts_with(['+', '-']));
        digits.is_some_and(|digits| i64::from_str_radix(digits, 8).is_ok())
    };
    means_other(text) || octal()
}

/// Whether the text is a number in base 60, such as `1:20`: `^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$`.
fn is_base60(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let number = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (number, fraction) = number.split_once('.').unwrap_or((number, ""));
    let Some((first, rest)) = number.split_once(':') else { return false };
    let sixtieth = |part: &str| match part.as_bytes() {
        [digit] | [b'0'..=b'5', digit] => digit.is_ascii_digit(),
        _ => false,
    };
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && digits(fraction)
        && rest.split(':').all(sixtieth)
}
