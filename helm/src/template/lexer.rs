//! Cuts a template's source into tokens, after Go's `text/template/parse/lex.go`. Delimiters are `{{` and `}}`.

use crate::template::ast::Position;
use crate::template::token::{Fault, Kind, Token};

mod action;

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const COMMENT_START: &str = "/*";
const COMMENT_END: &str = "*/";
/// A minus and the space between it and what the action says.
const MARKER_LENGTH: usize = 2;

/// Reads tokens off a source, which is shorter than 4 GiB.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    source: &'a str,
    /// Where the token being read begins.
    start: usize,
    /// Where reading goes on.
    position: usize,
    /// The line of `counted`.
    line: u32,
    /// Up to where lines have been counted.
    counted: usize,
    is_inside: bool,
    parentheses: usize,
    words: LoopWords,
}

/// Whether `break` and `continue` are keywords: a function of that name takes the word away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoopWords {
    pub(crate) has_break: bool,
    pub(crate) has_continue: bool,
}

impl<'a> Lexer<'a> {
    /// Reads `source` from its beginning.
    pub(crate) fn new(source: &'a str, words: LoopWords) -> Self {
        Self { source, start: 0, position: 0, line: 1, counted: 0, is_inside: false, parentheses: 0, words }
    }

    /// The next token. After the end comes the end; what comes after a fault has no meaning.
    pub(crate) fn token(&mut self) -> Token<'a> {
        if self.is_inside { self.inside() } else { self.outside() }
    }

    /// Text up to an action, comments left out, or the delimiter that opens the action.
    fn outside(&mut self) -> Token<'a> {
        loop {
            let Some(length) = self.rest().find(LEFT) else {
                self.position = self.source.len();
                return self.emit(if self.position > self.start { Kind::Text } else { Kind::End });
            };
            if length > 0 {
                let delimiter = self.position + length;
                let is_trimmed = has_left_marker(self.from(delimiter + LEFT.len()));
                let text = self.rest().get(..length).unwrap_or_default();
                let text = if is_trimmed { text.trim_end_matches(is_space) } else { text };
                self.position += text.len();
                let token = self.emit(Kind::Text);
                self.skip_to(delimiter);
                if !token.text.is_empty() {
                    return token;
                }
            }
            if let Some(token) = self.left_delimiter() {
                return token;
            }
        }
    }

    /// The delimiter that stands here, or none when it opened a comment, which is then passed.
    fn left_delimiter(&mut self) -> Option<Token<'a>> {
        let delimiter_end = self.position + LEFT.len();
        let marker = if has_left_marker(self.from(delimiter_end)) { MARKER_LENGTH } else { 0 };
        if self.from(delimiter_end + marker).starts_with(COMMENT_START) {
            self.skip_to(delimiter_end + marker);
            return self.comment().err();
        }
        self.position = delimiter_end;
        let token = self.emit(Kind::LeftDelimiter);
        self.skip_to(delimiter_end + marker);
        self.is_inside = true;
        self.parentheses = 0;
        Some(token)
    }

    /// Passes a comment and its closing delimiter; the error is a token.
    fn comment(&mut self) -> Result<(), Token<'a>> {
        self.position += COMMENT_START.len();
        let Some(length) = self.rest().find(COMMENT_END) else {
            return Err(self.fault(Fault::UnclosedComment));
        };
        self.position += length + COMMENT_END.len();
        let Some(is_trimming) = self.right_delimiter_here() else {
            return Err(self.fault(Fault::CommentEndsEarly));
        };
        let marker = if is_trimming { MARKER_LENGTH } else { 0 };
        self.skip_to(self.position + marker + RIGHT.len());
        if is_trimming {
            self.skip_spaces();
        }
        Ok(())
    }

    /// The delimiter that closes an action, which stands here.
    fn right_delimiter(&mut self, is_trimming: bool) -> Token<'a> {
        if is_trimming {
            self.skip_to(self.position + MARKER_LENGTH);
        }
        self.position += RIGHT.len();
        let token = self.emit(Kind::RightDelimiter);
        if is_trimming {
            self.skip_spaces();
        }
        self.is_inside = false;
        token
    }

    /// Whether a closing delimiter stands here, and if so whether it trims.
    fn right_delimiter_here(&self) -> Option<bool> {
        if self.has_trimming_delimiter_at(self.position) {
            return Some(true);
        }
        self.rest().starts_with(RIGHT).then_some(false)
    }

    fn has_trimming_delimiter_at(&self, position: usize) -> bool {
        let mut characters = self.from(position).chars();
        characters.next().is_some_and(is_space)
            && characters.next() == Some('-')
            && characters.as_str().starts_with(RIGHT)
    }

    /// The token from `start` to `position`; the next one begins there.
    fn emit(&mut self, kind: Kind) -> Token<'a> {
        let text = self.source.get(self.start..self.position).unwrap_or_default();
        let passed = self.source.get(self.counted..self.start).unwrap_or_default();
        let lines = passed.matches('\n').count();
        self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.counted = self.start;
        // The parser has refused sources that a position cannot count.
        let position = Position::try_from(self.start).unwrap_or(Position::MAX);
        self.start = self.position;
        Token { kind, position, line: self.line, text }
    }

    fn fault(&mut self, fault: Fault) -> Token<'a> {
        self.emit(Kind::Fault(fault))
    }

    fn skip_to(&mut self, position: usize) {
        self.position = position;
        self.start = position;
    }

    fn skip_spaces(&mut self) {
        self.skip_to(self.source.len() - self.rest().trim_start_matches(is_space).len());
    }

    fn rest(&self) -> &'a str {
        self.from(self.position)
    }

    fn from(&self, position: usize) -> &'a str {
        self.source.get(position..).unwrap_or_default()
    }
}

/// Only these four count as space for Go's templates.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

fn has_left_marker(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| rest.starts_with(is_space))
}

#[cfg(test)]
mod tests;
