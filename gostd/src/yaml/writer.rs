//! Writes YAML byte for byte as go-yaml's emitter, a port of libyaml, does: v2 for `toYaml`, v3 for `toYamlPretty`.

use super::order::{natural, natural_v3};
use super::style::{Context, analyze, means_other, means_other_v3};
use crate::budget::{Budget, Failure};
use crate::json::number::general_64;
use crate::json::tree::{Number, Scalar, Sink};
use crate::json::writer::{Output, numeral, replace_invalid};

/// The version of go-yaml that writes, and the steps before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `sigs.k8s.io/yaml.Marshal`, without the effect of its detour through JSON on strings.
    V2,
    /// `sigs.k8s.io/yaml.Marshal`, with the effect of its detour through JSON on strings.
    Marshal,
    /// go-yaml v3 with an indentation of 2.
    V3,
}

impl Dialect {
    /// Whether the first key goes before the second.
    #[must_use]
    pub fn order(self) -> fn(&str, &str) -> bool {
        if self == Self::V3 { natural_v3 } else { natural }
    }

    /// The column after which lines fold.
    fn width(self) -> usize {
        if self == Self::V3 { usize::MAX } else { 80 }
    }

    fn means_other(self) -> fn(&str) -> bool {
        if self == Self::V3 { means_other_v3 } else { means_other }
    }
}

/// A list or map being written.
#[derive(Clone, Copy)]
struct Level {
    indent: usize,
    list: bool,
}

/// Writes YAML.
pub(crate) struct Writer<'a> {
    pub(super) output: Output<'a>,
    pub(super) dialect: Dialect,
    /// Characters on this line.
    pub(super) column: usize,
    /// libyaml's `whitespace`: the last character written is a separator.
    pub(super) whitespace: bool,
    /// libyaml's `indention`: this line holds only indentation and indicators.
    pub(super) indention: bool,
    levels: Vec<Level>,
    after_key: bool,
}

impl<'a> Writer<'a> {
    /// A writer without output.
    pub(crate) fn new(dialect: Dialect, scope: Option<&'a Budget<'a>>) -> Self {
        Self {
            output: Output::new(scope),
            dialect,
            column: 0,
            whitespace: true,
            indention: true,
            levels: Vec::new(),
            after_key: false,
        }
    }

    /// The document, which ends with a line break.
    pub(crate) fn finish(mut self) -> Result<String, Failure> {
        self.indent(0)?;
        Ok(self.output.text)
    }

    pub(super) fn put(&mut self, c: char) {
        self.output.text.push(c);
        self.column += 1;
    }

    pub(super) fn line_break(&mut self) {
        self.output.text.push('\n');
        self.column = 0;
    }

    /// Whether the line is long enough to be folded.
    pub(super) fn over_wide(&self) -> bool {
        self.column > self.dialect.width()
    }

    /// libyaml's `yaml_emitter_write_indent`.
    pub(super) fn indent(&mut self, indent: usize) -> Result<(), Failure> {
        if !self.indention || self.column > indent || self.column == indent && !self.whitespace {
            self.line_break();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.indention = true;
        self.output.account()
    }

    /// libyaml's `yaml_emitter_write_indicator`; the flags describe the indicator itself.
    pub(super) fn indicator(&mut self, text: &str, separated: bool, whitespace: bool, indention: bool) {
        if separated && !self.whitespace {
            self.put(' ');
        }
        text.chars().for_each(|c| self.put(c));
        self.whitespace = whitespace;
        self.indention &= indention;
    }

    /// The indentation of the innermost level.
    fn current(&self) -> Option<usize> {
        self.levels.last().map(|level| level.indent)
    }

    /// Writes the dash of a list element.
    fn begin(&mut self) -> Result<(), Failure> {
        if let Some(level) = self.levels.last().copied()
            && level.list
        {
            self.indent(level.indent)?;
            self.indicator("-", true, false, true);
        }
        Ok(())
    }

    fn open(&mut self, list: bool, length: usize) -> Result<(), Failure> {
        self.begin()?;
        let in_map = std::mem::take(&mut self.after_key);
        if length == 0 {
            self.indicator(if list { "[" } else { "{" }, true, true, false);
            self.indicator(if list { "]" } else { "}" }, false, false, false);
        }
        // go-yaml v2 does not indent a list below its key; v3 does.
        let aligned = list && in_map && !self.indention && self.dialect != Dialect::V3;
        let indent = match self.current() {
            None => 0,
            Some(indent) if aligned => indent,
            Some(indent) => indent + 2,
        };
        self.levels.push(Level { indent, list });
        self.output.account()
    }

    fn raw(&mut self, text: &str) {
        self.indicator(text, true, false, false);
    }

    /// Writes a number. In v2, numbers went through JSON, so whole numbers that fit 64 bits are integers again.
    fn number(&mut self, number: Number) -> Result<(), Failure> {
        let text = match (self.dialect, number) {
            (Dialect::V3, Number::Float(number)) if number.is_nan() => ".nan".to_owned(),
            (Dialect::V3, Number::Float(number)) if number.is_infinite() => {
                if number > 0.0 { ".inf" } else { "-.inf" }.to_owned()
            }
            (Dialect::V3, Number::Float(number)) => general_64(number),
            (_, Number::Float(number)) => {
                let json = numeral(Number::Float(number))?;
                if json == "-0" {
                    "0".to_owned()
                } else if json.parse::<i64>().is_ok() || json.parse::<u64>().is_ok() {
                    json
                } else {
                    general_64(number)
                }
            }
            (_, other) => numeral(other)?,
        };
        self.raw(&text);
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Failure> {
        let indent = self.current().unwrap_or_default() + 2;
        if self.dialect == Dialect::Marshal {
            let text = super::detour::through_json(text)?;
            return self.string(&text, indent, Context::Value);
        }
        self.string(text, indent, Context::Value)
    }

    fn string(&mut self, text: &str, indent: usize, context: Context) -> Result<(), Failure> {
        let form = analyze(text, self.dialect == Dialect::V3).form(text, context, self.dialect.means_other());
        self.formed(text, form, indent, context)
    }
}

impl Sink for Writer<'_> {
    fn scalar(&mut self, scalar: Scalar<'_>) -> Result<(), Failure> {
        if let (Dialect::V3, Scalar::Bytes(bytes)) = (self.dialect, scalar) {
            self.open_list(bytes.len())?;
            for byte in bytes {
                self.scalar(Scalar::Number(Number::Int(i64::from(*byte))))?;
            }
            return self.close();
        }
        self.begin()?;
        self.after_key = false;
        match scalar {
            Scalar::Null => self.raw("null"),
            Scalar::Bool(value) => self.raw(if value { "true" } else { "false" }),
            Scalar::Number(number) => self.number(number)?,
            Scalar::Text(text) => self.text(text)?,
            Scalar::Binary(bytes) if self.dialect == Dialect::V3 => {
                self.raw("!!binary");
                self.text(&super::detour::base64(bytes, true))?;
            }
            Scalar::Binary(bytes) => self.text(&replace_invalid(bytes))?,
            Scalar::Bytes(bytes) => self.text(&super::detour::base64(bytes, false))?,
        }
        self.output.account()
    }

    fn key(&mut self, key: &str) -> Result<(), Failure> {
        let indent = self.current().unwrap_or_default();
        let read = if self.dialect == Dialect::Marshal { super::detour::key(key)? } else { key.into() };
        self.indent(indent)?;
        // libyaml writes a key that has several lines or is longer than 128 bytes in its explicit form.
        if analyze(&read, false).multiline || read.len() > 128 {
            self.indicator("?", true, false, true);
            self.string(&read, indent + 2, Context::Value)?;
            self.indent(indent)?;
            self.indicator(":", true, false, true);
        } else {
            self.string(&read, indent + 2, Context::SimpleKey)?;
            self.indicator(":", false, false, false);
        }
        self.after_key = true;
        Ok(())
    }

    fn open_list(&mut self, length: usize) -> Result<(), Failure> {
        self.open(true, length)
    }

    fn open_map(&mut self, length: usize) -> Result<(), Failure> {
        self.open(false, length)
    }

    fn close(&mut self) -> Result<(), Failure> {
        self.levels.pop();
        self.after_key = false;
        Ok(())
    }
}
