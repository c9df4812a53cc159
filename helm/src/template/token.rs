//! The tokens that the lexer passes to the parser, after the items of Go's `text/template/parse/lex.go`.

use std::fmt;

use crate::template::ast::Position;

pub(crate) mod letters;
pub(crate) mod quote;

/// A piece of a template's source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind,
    pub(crate) position: Position,
    /// The line on which it begins, from 1.
    pub(crate) line: u32,
    /// Its source text.
    pub(crate) text: &'a str,
}

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// The rest of the source cannot be read.
    Error(LexError),
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

/// The words that are not functions; in Go a single dot and `nil` are keywords too.
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

/// The reason why the lexer stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LexError {
    UnclosedComment,
    CommentEndsEarly,
    UnclosedAction,
    UnclosedParenthesis,
    StrayParenthesis,
    LoneColon,
    /// A character that begins no token.
    Unrecognized(char),
    /// A character that is not allowed after a name.
    BadCharacter(char),
    /// The text of the token is the part that was read.
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

/// A token as Go's errors name it.
impl fmt::Display for Token<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TokenKind::Error(LexError::BadNumber) => {
                write!(formatter, "bad number syntax: {}", quote::quoted(self.text))
            }
            TokenKind::Error(error) => error.fmt(formatter),
            TokenKind::End => formatter.write_str("EOF"),
            TokenKind::Keyword(_) => write!(formatter, "<{}>", self.text),
            // Go counts bytes here, but truncates runes.
            _ if self.text.len() > 10 => {
                let head: String = self.text.chars().take(10).collect();
                write!(formatter, "{}...", quote::quoted(&head))
            }
            _ => formatter.write_str(&quote::quoted(self.text)),
        }
    }
}

impl fmt::Display for LexError {
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
