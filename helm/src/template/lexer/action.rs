//! The tokens between `{{` and `}}`.

use super::{Lexer, RIGHT, is_space};
use crate::template::token::letters::in_name;
use crate::template::token::{Fault, Keyword, Kind, Token};

impl<'a> Lexer<'a> {
    pub(super) fn inside(&mut self) -> Token<'a> {
        if let Some(is_trimming) = self.right_delimiter_here() {
            if self.parentheses > 0 {
                return self.fault(Fault::UnclosedParenthesis);
            }
            return self.right_delimiter(is_trimming);
        }
        let Some(character) = self.next() else {
            return self.fault(Fault::UnclosedAction);
        };
        match character {
            ' ' | '\t' | '\r' | '\n' => self.space(),
            '=' => self.emit(Kind::Assign),
            ':' if self.accept("=") => self.emit(Kind::Declare),
            ':' => self.fault(Fault::LoneColon),
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', Kind::Str, Fault::UnterminatedString),
            '\'' => self.quoted('\'', Kind::CharacterConstant, Fault::UnterminatedCharacter),
            '`' => self.raw_string(),
            '$' => self.name_after_sign(Kind::Variable, Kind::Variable),
            '.' if self.peek().is_some_and(|next| !next.is_ascii_digit()) => {
                self.name_after_sign(Kind::Keyword(Keyword::Dot), Kind::Field)
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.position = self.start;
                self.number()
            }
            '(' => {
                self.parentheses += 1;
                self.emit(Kind::LeftParenthesis)
            }
            ')' if self.parentheses == 0 => self.fault(Fault::StrayParenthesis),
            ')' => {
                self.parentheses -= 1;
                self.emit(Kind::RightParenthesis)
            }
            _ if in_name(character) => self.word(),
            '!'..='~' => self.emit(Kind::Character),
            _ => self.fault(Fault::Unrecognized(character)),
        }
    }

    /// A run of spaces, of which the first is passed; the last may belong to a trimming delimiter.
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
        self.emit(Kind::Space)
    }

    /// A field or variable whose sign is passed; `bare` when nothing follows the sign.
    fn name_after_sign(&mut self, bare: Kind, named: Kind) -> Token<'a> {
        if self.is_at_terminator() {
            return self.emit(bare);
        }
        self.pass_name();
        match self.offender() {
            Some(fault) => self.fault(fault),
            None => self.emit(named),
        }
    }

    fn word(&mut self) -> Token<'a> {
        self.pass_name();
        if let Some(fault) = self.offender() {
            return self.fault(fault);
        }
        let word = self.source.get(self.start..self.position).unwrap_or_default();
        let kind = match Keyword::of(word) {
            Some(Keyword::Break) if !self.words.has_break => Kind::Identifier,
            Some(Keyword::Continue) if !self.words.has_continue => Kind::Identifier,
            Some(keyword) => Kind::Keyword(keyword),
            None if word == "true" || word == "false" => Kind::Bool,
            None => Kind::Identifier,
        };
        self.emit(kind)
    }

    fn pass_name(&mut self) {
        let rest = self.rest();
        let length = rest.find(|character| !in_name(character)).unwrap_or(rest.len());
        self.position += length;
    }

    /// What stands after a name and may not.
    fn offender(&self) -> Option<Fault> {
        if self.is_at_terminator() { None } else { self.peek().map(Fault::BadCharacter) }
    }

    /// Whether a name may end here. `$x+2` may not, lest arithmetic be added one day.
    fn is_at_terminator(&self) -> bool {
        self.peek().is_none_or(|next| is_space(next) || matches!(next, '.' | ',' | '|' | ':' | ')' | '('))
            || self.rest().starts_with(RIGHT)
    }

    /// A string or character constant whose first quote is passed.
    fn quoted(&mut self, quote: char, kind: Kind, fault: Fault) -> Token<'a> {
        loop {
            match self.next() {
                Some('\\') if self.next().is_some_and(|escaped| escaped != '\n') => {}
                None | Some('\\' | '\n') => return self.fault(fault),
                Some(character) if character == quote => return self.emit(kind),
                Some(_) => {}
            }
        }
    }

    fn raw_string(&mut self) -> Token<'a> {
        let Some(length) = self.rest().find('`') else {
            return self.fault(Fault::UnterminatedRawString);
        };
        self.position += length + 1;
        self.emit(Kind::RawString)
    }

    /// A number as far as its characters tell; the parser finds out whether it is one.
    fn number(&mut self) -> Token<'a> {
        if !self.pass_number() {
            return self.fault(Fault::BadNumber);
        }
        if !matches!(self.peek(), Some('+' | '-')) {
            return self.emit(Kind::Number);
        }
        let is_complex = self.pass_number()
            && self.source.get(self.start..self.position).is_some_and(|text| text.ends_with('i'));
        if is_complex { self.emit(Kind::Complex) } else { self.fault(Fault::BadNumber) }
    }

    /// False when a letter or digit follows, which is passed too.
    fn pass_number(&mut self) -> bool {
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
