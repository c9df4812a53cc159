//! What the lexer hands to the parser, after the items of Go's `text/template/parse/lex.go`.

use std::fmt;

use crate::template::ast::Position;

pub(crate) mod letters;
pub(crate) mod quote;

/// A piece of a template's source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) position: Position,
    /// The line it begins in, from 1.
    pub(crate) line: u32,
    /// The source it was read from.
    pub(crate) text: &'a str,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The source cannot be read on.
    Fault(Fault),
    /// The source ends outside of an action.
    End,
    /// Text between actions.
    Text,
    LeftDelimiter,
    RightDelimiter,
    LeftParenthesis,
    RightParenthesis,
    /// A run of spaces: in actions they separate arguments.
    Space,
    /// `=`
    Assign,
    /// `:=`
    Declare,
    /// `|`
    Pipe,
    /// Any other printable ASCII character, such as a comma.
    Character,
    Bool,
    /// `'a'`
    CharacterConstant,
    Number,
    /// `1+2i`
    Complex,
    /// `"a"`
    Str,
    /// `` `a` ``
    RawString,
    /// `.a`
    Field,
    /// `a`: a function.
    Identifier,
    /// `$` or `$a`
    Variable,
    Keyword(Keyword),
}

/// The words that are not functions; Go takes the lone dot and `nil` for such words too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Dot,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

/// Why the lexer stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    UnclosedComment,
    CommentEndsEarly,
    UnclosedAction,
    UnclosedParenthesis,
    StrayParenthesis,
    LoneColon,
    /// No token begins with it.
    Unrecognized(char),
    /// No name goes on with it.
    BadCharacter(char),
    /// The token's text is what was read of it.
    BadNumber,
    UnterminatedCharacter,
    UnterminatedString,
    UnterminatedRawString,
}

impl Keyword {
    /// The keyword spelled `word`.
    pub(crate) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "block" => Self::Block,
            "break" => Self::Break,
            "continue" => Self::Continue,
            "define" => Self::Define,
            "else" => Self::Else,
            "end" => Self::End,
            "if" => Self::If,
            "nil" => Self::Nil,
            "range" => Self::Range,
            "template" => Self::Template,
            "with" => Self::With,
            _ => return None,
        })
    }
}

/// As Go's errors name a token.
impl fmt::Display for Token<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Fault(Fault::BadNumber) => {
                write!(formatter, "bad number syntax: {}", quote::quoted(self.text))
            }
            Kind::Fault(fault) => fault.fmt(formatter),
            Kind::End => formatter.write_str("EOF"),
            Kind::Keyword(_) => write!(formatter, "<{}>", self.text),
            // Go measures bytes but cuts runes.
            _ if self.text.len() > 10 => {
                let head: String = self.text.chars().take(10).collect();
                write!(formatter, "{}...", quote::quoted(&head))
            }
            _ => formatter.write_str(&quote::quoted(self.text)),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::UnclosedComment => "unclosed comment",
            Self::CommentEndsEarly => "comment ends before closing delimiter",
            Self::UnclosedAction => "unclosed action",
            Self::UnclosedParenthesis => "unclosed left paren",
            Self::StrayParenthesis => "unexpected right paren",
            Self::LoneColon => "expected :=",
            Self::BadNumber => "bad number syntax",
            Self::UnterminatedCharacter => "unterminated character constant",
            Self::UnterminatedString => "unterminated quoted string",
            Self::UnterminatedRawString => "unterminated raw quoted string",
            Self::Unrecognized(character) => {
                let name = letters::code_point(*character);
                return write!(formatter, "unrecognized character in action: {name}");
            }
            Self::BadCharacter(character) => {
                return write!(formatter, "bad character {}", letters::code_point(*character));
            }
        })
    }
}
