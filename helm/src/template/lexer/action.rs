//! The tokens between `{{` and `}}`.

use super::{Lexer, RIGHT, is_space};
use crate::template::token::letters::in_name;
use crate::template::token::{Keyword, LexError, Token, TokenKind};

impl<'a> Lexer<'a> {
    pub(super) fn inside(&mut self) -> Token<'a> {
        if let Some(is_trimming) = self.right_delimiter_here() {
            if self.parentheses > 0 {
                return self.error(LexError::UnclosedParenthesis);
            }
            return self.right_delimiter(is_trimming);
        }
        let Some(character) = self.next() else {
            return self.error(LexError::UnclosedAction);
        };
        match character {
            ' ' | '\t' | '\r' | '\n' => self.space(),
            '=' => self.emit(TokenKind::Assign),
            ':' if self.accept("=") => self.emit(TokenKind::Declare),
            ':' => self.error(LexError::LoneColon),
            '|' => self.emit(TokenKind::Pipe),
            '"' => self.quoted('"', TokenKind::Str, LexError::UnterminatedString),
            '\'' => self.quoted('\'', TokenKind::CharacterConstant, LexError::UnterminatedCharacter),
            '`' => self.raw_string(),
            '$' => self.name_after_sign(TokenKind::Variable, TokenKind::Variable),
            '.' if self.peek().is_some_and(|next| !next.is_ascii_digit()) => {
                self.name_after_sign(TokenKind::Keyword(Keyword::Dot), TokenKind::Field)
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.position = self.start;
                self.number()
            }
            '(' => {
                self.parentheses += 1;
                self.emit(TokenKind::LeftParenthesis)
            }
            ')' if self.parentheses == 0 => self.error(LexError::StrayParenthesis),
            ')' => {
                self.parentheses -= 1;
                self.emit(TokenKind::RightParenthesis)
            }
            _ if in_name(character) => self.word(),
            '!'..='~' => self.emit(TokenKind::Character),
            _ => self.error(LexError::Unrecognized(character)),
        }
    }

    /// Reads a run of spaces, of which the first is consumed; the last may belong to a trimming delimiter.
    fn space(&mut self) -> Token<'a> {
        while self.peek().is_some_and(is_space) {
            self.position += 1;
        }
        if self.has_trimming_delimiter_at(self.position - 1) {
            self.position -= 1;
            if self.position == self.start {
                return self.right_delimiter(true);
            }
        }
        self.emit(TokenKind::Space)
    }

    /// Reads a field or variable whose sign is consumed; `bare` if nothing follows the sign.
    fn name_after_sign(&mut self, bare: TokenKind, named: TokenKind) -> Token<'a> {
        if self.is_at_terminator() {
            return self.emit(bare);
        }
        self.skip_name();
        match self.unexpected_character() {
            Some(error) => self.error(error),
            None => self.emit(named),
        }
    }

    fn word(&mut self) -> Token<'a> {
        self.skip_name();
        if let Some(error) = self.unexpected_character() {
            return self.error(error);
        }
        let word = self.source.get(self.start..self.position).unwrap_or_default();
        let kind = match Keyword::of(word) {
            Some(Keyword::Break) if !self.words.has_break => TokenKind::Identifier,
            Some(Keyword::Continue) if !self.words.has_continue => TokenKind::Identifier,
            Some(keyword) => TokenKind::Keyword(keyword),
            None if word == "true" || word == "false" => TokenKind::Bool,
            None => TokenKind::Identifier,
        };
        self.emit(kind)
    }

    fn skip_name(&mut self) {
        let rest = self.rest();
        let length = rest.find(|character| !in_name(character)).unwrap_or(rest.len());
        self.position += length;
    }

    /// The character after a name, if it is not allowed there.
    fn unexpected_character(&self) -> Option<LexError> {
        if self.is_at_terminator() { None } else { self.peek().map(LexError::BadCharacter) }
    }

    /// Whether a name may end here. In `$x+2` it may not, in case Go ever adds arithmetic.
    fn is_at_terminator(&self) -> bool {
        self.peek().is_none_or(|next| is_space(next) || matches!(next, '.' | ',' | '|' | ':' | ')' | '('))
            || self.rest().starts_with(RIGHT)
    }

    /// Reads a string or character constant whose first quote is consumed.
    fn quoted(&mut self, quote: char, kind: TokenKind, error: LexError) -> Token<'a> {
        loop {
            match self.next() {
                Some('\\') if self.next().is_some_and(|escaped| escaped != '\n') => {}
                None | Some('\\' | '\n') => return self.error(error),
                Some(character) if character == quote => return self.emit(kind),
                Some(_) => {}
            }
        }
    }

    fn raw_string(&mut self) -> Token<'a> {
        let Some(length) = self.rest().find('`') else {
            return self.error(LexError::UnterminatedRawString);
        };
        self.position += length + 1;
        self.emit(TokenKind::RawString)
    }

    /// Reads the characters of a number; the parser checks whether it is valid.
    fn number(&mut self) -> Token<'a> {
        if !self.skip_number() {
            return self.error(LexError::BadNumber);
        }
        if !matches!(self.peek(), Some('+' | '-')) {
            return self.emit(TokenKind::Number);
        }
        let is_complex = self.skip_number()
            && self.source.get(self.start..self.position).is_some_and(|text| text.ends_with('i'));
        if is_complex { self.emit(TokenKind::Complex) } else { self.error(LexError::BadNumber) }
    }

    /// Skips the characters of a number. If a letter or digit follows, skips that too and returns false.
    fn skip_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        let mut exponent = "eE";
        if self.accept("0") {
            if self.accept("xX") {
                (digits, exponent) = ("0123456789abcdefABCDEF_", "pP");
            } else if self.accept("oO") {
                (digits, exponent) = ("01234567_", "");
            } else if self.accept("bB") {
                (digits, exponent) = ("01_", "");
            }
        }
        self.accept_all(digits);
        if self.accept(".") {
            self.accept_all(digits);
        }
        if self.accept(exponent) {
            self.accept("+-");
            self.accept_all("0123456789_");
        }
        self.accept("i");
        let is_whole = !self.peek().is_some_and(in_name);
        if !is_whole {
            self.next();
        }
        is_whole
    }

    fn accept(&mut self, set: &str) -> bool {
        let is_accepted = self.peek().is_some_and(|next| set.contains(next));
        if is_accepted {
            self.next();
        }
        is_accepted
    }

    fn accept_all(&mut self, set: &str) {
        while self.accept(set) {}
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.position += character.len_utf8();
        Some(character)
    }
}
