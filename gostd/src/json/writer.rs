//! Writes JSON byte for byte as Go's `encoding/json`: compact, indented, with or without HTML escapes.

use std::fmt::Write as _;

use base64::Engine as _;

use super::number;
use super::tree::{Number, Scalar, Sink};
use crate::budget::{Budget, Failure};

/// The Go function whose output is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `json.Marshal`
    Compact,
    /// `json.MarshalIndent` with two spaces.
    Indented,
    /// An encoder with `SetEscapeHTML(false)`.
    Raw,
}

/// The text written so far, accounted for as it grows.
pub struct Output<'a> {
    /// The text so far.
    pub text: String,
    counted: usize,
    scope: Option<&'a Budget<'a>>,
}

impl<'a> Output<'a> {
    /// An empty output. Without a scope, it has no limit.
    #[must_use]
    pub fn new(scope: Option<&'a Budget<'a>>) -> Self {
        Self { text: String::new(), counted: 0, scope }
    }

    /// Accounts for the text written since the last call.
    ///
    /// # Errors
    /// A limit is exceeded, as in [`Budget::produce`].
    pub fn account(&mut self) -> Result<(), Failure> {
        let new = self.text.len() - self.counted;
        self.counted = self.text.len();
        self.scope.map_or(Ok(()), |scope| scope.produce(new))
    }
}

struct Level {
    close: char,
    empty: bool,
}

/// Writes JSON.
pub struct Writer<'a> {
    output: Output<'a>,
    style: Style,
    levels: Vec<Level>,
    after_key: bool,
}

impl<'a> Writer<'a> {
    /// A writer without output.
    #[must_use]
    pub fn new(style: Style, scope: Option<&'a Budget<'a>>) -> Self {
        Self { output: Output::new(scope), style, levels: Vec::new(), after_key: false }
    }

    /// The JSON text.
    #[must_use]
    pub fn finish(self) -> String {
        self.output.text
    }

    /// Writes the comma, line break and indentation that go before an element or key.
    fn separate(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.after_key) {
            return Ok(());
        }
        let depth = self.levels.len();
        if let Some(level) = self.levels.last_mut() {
            if !level.empty {
                self.output.text.push(',');
            }
            level.empty = false;
            self.line(depth);
        }
        self.output.account()
    }

    fn line(&mut self, depth: usize) {
        if self.style == Style::Indented {
            self.output.text.push('\n');
            self.output.text.extend(std::iter::repeat_n("  ", depth));
        }
    }

    fn open(&mut self, open: char, close: char) -> Result<(), Failure> {
        self.separate()?;
        self.output.text.push(open);
        self.levels.push(Level { close, empty: true });
        Ok(())
    }
}

impl Sink for Writer<'_> {
    fn scalar(&mut self, scalar: Scalar<'_>) -> Result<(), Failure> {
        self.separate()?;
        let html = self.style != Style::Raw;
        let text = &mut self.output.text;
        match scalar {
            Scalar::Null => text.push_str("null"),
            Scalar::Bool(value) => text.push_str(if value { "true" } else { "false" }),
            Scalar::Number(number) => text.push_str(&numeral(number)?),
            Scalar::Text(value) => quote(text, value, html),
            Scalar::Binary(bytes) => quote(text, &replace_invalid(bytes), html),
            Scalar::Bytes(bytes) => {
                text.push('"');
                base64::engine::general_purpose::STANDARD.encode_string(bytes, text);
                text.push('"');
            }
        }
        self.output.account()
    }

    fn key(&mut self, key: &str) -> Result<(), Failure> {
        self.separate()?;
        quote(&mut self.output.text, key, self.style != Style::Raw);
        self.output.text.push_str(if self.style == Style::Indented { ": " } else { ":" });
        self.after_key = true;
        self.output.account()
    }

    fn open_list(&mut self, _: usize) -> Result<(), Failure> {
        self.open('[', ']')
    }

    fn open_map(&mut self, _: usize) -> Result<(), Failure> {
        self.open('{', '}')
    }

    fn close(&mut self) -> Result<(), Failure> {
        if let Some(level) = self.levels.pop() {
            if !level.empty {
                self.line(self.levels.len());
            }
            self.output.text.push(level.close);
        }
        self.output.account()
    }
}

/// A number's JSON text.
///
/// # Errors
/// An infinity or NaN has no JSON text.
pub fn numeral(number: Number) -> Result<String, Failure> {
    match number {
        Number::Int(number) => Ok(number.to_string()),
        Number::Uint(number) => Ok(number.to_string()),
        Number::Float(number) if number.is_finite() => Ok(number::json(number)),
        Number::Float(number) => Err(format!("json: unsupported value: {}", not_finite(number)).into()),
    }
}

/// Go's name for a number that JSON cannot represent.
#[must_use]
pub fn not_finite(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    }
}

/// Appends `value` in quotes.
pub fn quote(text: &mut String, value: &str, html: bool) {
    text.reserve(value.len() + 2);
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '<' | '>' | '&' if html => escape(text, c),
            // U+FFFD is not escaped, neither from the input nor as a replacement.
            '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => escape(text, c),
            _ => text.push(c),
        }
    }
    text.push('"');
}

fn escape(text: &mut String, c: char) {
    // Writing to a string cannot fail.
    let _ = write!(text, "\\u{:04x}", u32::from(c));
}

/// Converts bytes to text. Each byte that is not valid UTF-8 becomes U+FFFD, as in Go's `range` over a string.
#[must_use]
pub fn replace_invalid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(std::iter::repeat_n('\u{fffd}', chunk.invalid().len()));
    }
    text
}
