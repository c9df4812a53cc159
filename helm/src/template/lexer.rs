//! Splits a template's source into tokens, after Go's `text/template/parse/lex.go`. Delimiters are `{{` and `}}`.

use crate::template::ast::Position;
use crate::template::token::{LexError, Token, TokenKind};

mod action;

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const COMMENT_START: &str = "/*";
const COMMENT_END: &str = "*/";
/// A minus sign, and the space between it and the content of the action.
const MARKER_LENGTH: usize = 2;

/// Reads tokens from a source, which is shorter than 4 GiB.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    source: &'a str,
    /// The start of the current token.
    start: usize,
    /// The position at which reading continues.
    position: usize,
    /// The line at `counted`.
    line: u32,
    /// The position up to which lines have been counted.
    counted: usize,
    is_inside: bool,
    parentheses: usize,
    words: LoopWords,
}

/// Whether `break` and `continue` are keywords: a function with that name takes precedence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoopWords {
    pub(crate) has_break: bool,
    pub(crate) has_continue: bool,
}

impl<'a> Lexer<'a> {
    /// A lexer at the start of `source`.
    pub(crate) fn new(source: &'a str, words: LoopWords) -> Self {
        Self { source, start: 0, position: 0, line: 1, counted: 0, is_inside: false, parentheses: 0, words }
    }

    /// The next token. The end repeats; tokens after an error have no meaning.
    pub(crate) fn token(&mut self) -> Token<'a> {
        if self.is_inside { self.inside() } else { self.outside() }
    }

    /// Text up to an action, without comments, or the delimiter that opens the action.
    fn outside(&mut self) -> Token<'a> {
        loop {
            let Some(length) = self.rest().find(LEFT) else {
                self.position = self.source.len();
                return self.emit(if self.position > self.start { TokenKind::Text } else { TokenKind::End });
            };
            if length > 0 {
                let delimiter = self.position + length;
                let is_trimmed = has_left_marker(self.from(delimiter + LEFT.len()));
                let text = self.rest().get(..length).unwrap_or_default();
                let text = if is_trimmed { text.trim_end_matches(is_space) } else { text };
                self.position += text.len();
                let token = self.emit(TokenKind::Text);
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

    /// Reads the delimiter at this position; skips a comment and returns `None` if the delimiter opens one.
    fn left_delimiter(&mut self) -> Option<Token<'a>> {
        let delimiter_end = self.position + LEFT.len();
        let marker = if has_left_marker(self.from(delimiter_end)) { MARKER_LENGTH } else { 0 };
        if self.from(delimiter_end + marker).starts_with(COMMENT_START) {
            self.skip_to(delimiter_end + marker);
            return self.comment().err();
        }
        self.position = delimiter_end;
        let token = self.emit(TokenKind::LeftDelimiter);
        self.skip_to(delimiter_end + marker);
        self.is_inside = true;
        self.parentheses = 0;
        Some(token)
    }

    /// Skips a comment and its closing delimiter; the error is a token.
    fn comment(&mut self) -> Result<(), Token<'a>> {
        self.position += COMMENT_START.len();
        let Some(length) = self.rest().find(COMMENT_END) else {
            return Err(self.error(LexError::UnclosedComment));
        };
        self.position += length + COMMENT_END.len();
        let Some(is_trimming) = self.right_delimiter_here() else {
            return Err(self.error(LexError::CommentEndsEarly));
        };
        let marker = if is_trimming { MARKER_LENGTH } else { 0 };
        self.skip_to(self.position + marker + RIGHT.len());
        if is_trimming {
            self.skip_spaces();
        }
        Ok(())
    }

    /// Reads the delimiter at this position that closes an action.
    fn right_delimiter(&mut self, is_trimming: bool) -> Token<'a> {
        if is_trimming {
            self.skip_to(self.position + MARKER_LENGTH);
        }
        self.position += RIGHT.len();
        let token = self.emit(TokenKind::RightDelimiter);
        if is_trimming {
            self.skip_spaces();
        }
        self.is_inside = false;
        token
    }

    /// `Some` if a closing delimiter is at this position: whether it trims.
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
    fn emit(&mut self, kind: TokenKind) -> Token<'a> {
        let text = self.source.get(self.start..self.position).unwrap_or_default();
        // Counting on from the previous token keeps the lexer linear.
        let passed = self.source.get(self.counted..self.start).unwrap_or_default();
        let lines = passed.matches('\n').count();
        self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.counted = self.start;
        // The parser rejects sources that are too long for a position.
        let position = Position::try_from(self.start).unwrap_or(Position::MAX);
        self.start = self.position;
        Token { kind, position, line: self.line, text }
    }

    fn error(&mut self, error: LexError) -> Token<'a> {
        self.emit(TokenKind::Error(error))
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

/// Whether the character is one of the four that Go's templates treat as space.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

fn has_left_marker(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| rest.starts_with(is_space))
}

#[cfg(test)]
mod tests;
