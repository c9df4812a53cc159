//! Writes the four forms of a scalar, folded where libyaml folds them.

use std::fmt::Write as _;

use super::style::{Context, Form, is_break, is_printable};
use super::writer::Writer;
use crate::budget::Failure;

impl Writer<'_> {
    /// Writes `text` in its form; lines after the first are indented by `indent`.
    pub(super) fn formed(
        &mut self,
        text: &str,
        form: Form,
        indent: usize,
        context: Context,
    ) -> Result<(), Failure> {
        let fold = context == Context::Value;
        match form {
            Form::Plain => {
                if !self.whitespace {
                    self.put(' ');
                }
                self.flowing(text, fold, indent, false)?;
            }
            Form::Single => {
                self.indicator("'", true, false, false);
                self.flowing(text, fold, indent, true)?;
                self.indicator("'", false, false, false);
            }
            Form::Double => {
                self.indicator("\"", true, false, false);
                self.escaped(text, fold, indent)?;
                self.indicator("\"", false, false, false);
            }
            Form::Literal => return self.literal(text, indent),
        }
        self.whitespace = false;
        self.indention = false;
        Ok(())
    }

    /// Writes a plain scalar, or the text between single quotes.
    fn flowing(&mut self, text: &str, fold: bool, indent: usize, quoted: bool) -> Result<(), Failure> {
        let (mut spaces, mut breaks) = (false, false);
        let mut first = true;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let next = chars.peek().copied();
            if c == ' ' {
                let inner = !quoted || !first && next.is_some();
                if fold && !spaces && self.over_wide() && inner && next != Some(' ') {
                    self.indent(indent)?;
                } else {
                    self.put(c);
                }
                spaces = true;
            } else if is_break(c) {
                if !breaks && c == '\n' {
                    self.line_break();
                }
                self.break_as(c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.indent(indent)?;
                }
                if quoted && c == '\'' {
                    self.put('\'');
                }
                self.put(c);
                self.indention = false;
                spaces = false;
                breaks = false;
            }
            first = false;
        }
        Ok(())
    }

    fn break_as(&mut self, c: char) {
        if c == '\n' {
            self.line_break();
        } else {
            self.output.text.push(c);
            self.column = 0;
        }
    }

    /// Writes the text between double quotes.
    fn escaped(&mut self, text: &str, fold: bool, indent: usize) -> Result<(), Failure> {
        // For every character, go-yaml checks the start of the text for a byte order mark, so one at the start escapes
        // all.
        let all = text.starts_with('\u{feff}');
        let mut spaces = false;
        let mut first = true;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if all || !is_printable(c) || is_break(c) || c == '"' || c == '\\' {
                self.escape(c);
                spaces = false;
            } else if c == ' ' {
                let next = chars.peek().copied();
                if fold && !spaces && self.over_wide() && !first && next.is_some() {
                    self.indent(indent)?;
                    if next == Some(' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(c);
                }
                spaces = true;
            } else {
                self.put(c);
                spaces = false;
            }
            first = false;
        }
        Ok(())
    }

    fn escape(&mut self, c: char) {
        let mut text = String::from("\\");
        text.push(match c {
            '\0' => '0',
            '\u{7}' => 'a',
            '\u{8}' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\u{b}' => 'v',
            '\u{c}' => 'f',
            '\r' => 'r',
            '\u{1b}' => 'e',
            '"' | '\\' => c,
            '\u{85}' => 'N',
            '\u{a0}' => '_',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            _ => {
                let code = u32::from(c);
                // Writing to a string cannot fail.
                let _ = match code {
                    0..=0xff => write!(text, "x{code:02X}"),
                    0x100..=0xffff => write!(text, "u{code:04X}"),
                    _ => write!(text, "U{code:08X}"),
                };
                text.chars().for_each(|c| self.put(c));
                return;
            }
        });
        text.chars().for_each(|c| self.put(c));
    }

    /// Writes `|`, with the indentation and chomping indicators that the first and last lines require.
    fn literal(&mut self, text: &str, indent: usize) -> Result<(), Failure> {
        self.indicator("|", true, false, false);
        if text.starts_with(|c| c == ' ' || is_break(c)) {
            self.indicator("2", false, false, false);
        }
        let mut last = text.chars().rev();
        match (last.next(), last.next()) {
            (Some(end), before) if is_break(end) => {
                if before.is_none_or(is_break) {
                    self.indicator("+", false, false, false);
                }
            }
            _ => self.indicator("-", false, false, false),
        }
        self.line_break();
        self.indention = true;
        self.whitespace = true;
        let mut breaks = true;
        for c in text.chars() {
            if is_break(c) {
                self.break_as(c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.indent(indent)?;
                }
                self.put(c);
                self.indention = false;
                breaks = false;
            }
        }
        Ok(())
    }
}
