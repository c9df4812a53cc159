//! Parses pipelines, commands and operands.

use std::rc::Rc;

use super::{Parsed, Parser, number};
use crate::template::ast::{Command, Expression, Operand, Pipeline};
use crate::template::token::quote::{quoted, unquoted};
use crate::template::token::{Keyword, Token, TokenKind};

impl<'a> Parser<'a> {
    /// Parses a pipeline, and the token `end` after it.
    pub(super) fn pipeline(&mut self, context: &'static str, end: TokenKind) -> Parsed<Pipeline> {
        let position = self.peek_after_space().position;
        let (variables, assigns) = self.declarations(context)?;
        let mut commands = Vec::new();
        loop {
            let token = self.next_after_space();
            if token.kind == end {
                break;
            }
            if !begins_operand(token.kind) {
                return Err(self.unexpected(token, context));
            }
            self.back(token);
            commands.push(self.command()?);
        }
        self.check_commands(&commands, context)?;
        commands.shrink_to_fit();
        Ok(Pipeline { position, variables, assigns, commands })
    }

    /// The variables before `:=` or `=`, if any, and whether it is `=`.
    fn declarations(&mut self, context: &'static str) -> Parsed<(Vec<Rc<str>>, bool)> {
        let mut variables = Vec::new();
        loop {
            let variable = self.peek_after_space();
            if variable.kind != TokenKind::Variable {
                return Ok((variables, false));
            }
            self.next();
            let neighbour = self.peek();
            let next = self.peek_after_space();
            let is_comma = next.kind == TokenKind::Character && next.text == ",";
            if !is_comma && !matches!(next.kind, TokenKind::Assign | TokenKind::Declare) {
                // An operand. The space after it distinguishes `$x .y` from `$x.y`.
                if neighbour.kind == TokenKind::Space {
                    self.back(neighbour);
                }
                self.back(variable);
                return Ok((variables, false));
            }
            self.next_after_space();
            self.count(1)?;
            variables.push(variable.text.into());
            // An assignment declares its variable too: only the evaluator detects that the variable does not exist.
            self.frame.variables.declare(variable.text);
            if !is_comma {
                return Ok((variables, next.kind == TokenKind::Assign));
            }
            self.check_comma(context, variables.len())?;
        }
    }

    /// Checks a comma after `count` variables: only `range` allows two.
    fn check_comma(&mut self, context: &'static str, count: usize) -> Parsed<()> {
        if context != "range" || count > 1 {
            return Err(self.error(format!("too many declarations in {context}")));
        }
        let next = self.peek_after_space().kind;
        if matches!(next, TokenKind::Variable | TokenKind::RightDelimiter | TokenKind::RightParenthesis) {
            return Ok(());
        }
        Err(self.error("range can only initialize variables"))
    }

    fn check_commands(&self, commands: &[Command], context: &'static str) -> Parsed<()> {
        if commands.is_empty() {
            return Err(self.error(format!("missing value for {context}")));
        }
        for (index, command) in commands.iter().enumerate().skip(1) {
            let is_constant =
                command.operands.first().is_some_and(|operand| operand.expression.is_constant());
            if is_constant {
                let stage = index + 1;
                return Err(self.error(format!("non executable command in pipeline stage {stage}")));
            }
        }
        Ok(())
    }

    /// Parses operands up to a pipe, which is consumed, or the end of the pipeline, which is not.
    fn command(&mut self) -> Parsed<Command> {
        self.count(1)?;
        let position = self.peek_after_space().position;
        let mut operands = Vec::new();
        loop {
            self.peek_after_space();
            if let Some(operand) = self.operand()? {
                operands.push(operand);
            }
            let token = self.next();
            match token.kind {
                TokenKind::Space => {}
                TokenKind::RightDelimiter | TokenKind::RightParenthesis => {
                    self.back(token);
                    break;
                }
                TokenKind::Pipe => break,
                _ => return Err(self.unexpected(token, "operand")),
            }
        }
        if operands.is_empty() {
            return Err(self.error("empty command"));
        }
        operands.shrink_to_fit();
        Ok(Command { position, operands })
    }

    // `operand`, `parenthesis`, `pipeline` and `command` call each other recursively, so small functions keep the stack
    // small.
    /// Parses a term and the fields after it; `None` if there is no term.
    fn operand(&mut self) -> Parsed<Option<Operand>> {
        self.count(1)?;
        let token = self.next_after_space();
        let term = match token.kind {
            TokenKind::LeftParenthesis => self.parenthesis()?,
            kind if begins_operand(kind) => self.term(token)?,
            _ => {
                self.back(token);
                return Ok(None);
            }
        };
        if self.peek_is_field() { self.with_fields(term).map(Some) } else { Ok(Some(term)) }
    }

    /// Parses the fields after `term`, and checks that they are allowed there.
    fn with_fields(&mut self, term: Operand) -> Parsed<Operand> {
        // As in Go, the position of the operand is that of its second part.
        let position = self.peek().position;
        let mut names = Vec::new();
        while self.peek_is_field() {
            self.count(1)?;
            names.push(name_of(self.next()));
        }
        names.shrink_to_fit();
        let expression = match term.expression {
            Expression::Field(mut fields) => {
                fields.append(&mut names);
                fields.shrink_to_fit();
                Expression::Field(fields)
            }
            Expression::Variable { name, .. } => Expression::Variable { name, fields: names },
            constant if constant.is_constant() => {
                let text = quoted(&constant.to_string());
                return Err(self.error(format!("unexpected . after term {text}")));
            }
            expression => {
                let operand = Box::new(Operand { position: term.position, expression });
                Expression::Chain { operand, fields: names }
            }
        };
        Ok(Operand { position, expression })
    }

    /// The operand of a single token.
    fn term(&mut self, token: Token<'a>) -> Parsed<Operand> {
        let expression = match token.kind {
            TokenKind::Identifier if !(self.functions)(token.text) => {
                return Err(self.error(format!("function {} not defined", quoted(token.text))));
            }
            TokenKind::Identifier => Expression::Function(token.text.into()),
            TokenKind::Variable if !self.frame.variables.has(token.text) => {
                return Err(self.error(format!("undefined variable {}", quoted(token.text))));
            }
            TokenKind::Variable => Expression::Variable { name: token.text.into(), fields: Vec::new() },
            TokenKind::Field => Expression::Field(vec![name_of(token)]),
            TokenKind::Bool => Expression::Bool(token.text == "true"),
            TokenKind::CharacterConstant | TokenKind::Complex | TokenKind::Number => {
                Expression::Number(number::number(token).map_err(|message| self.error(message))?)
            }
            TokenKind::Str | TokenKind::RawString => self.string(token)?,
            TokenKind::Keyword(Keyword::Nil) => Expression::Nil,
            _ => Expression::Dot,
        };
        Ok(Operand { position: token.position, expression })
    }

    /// Parses a pipeline whose left parenthesis is consumed.
    fn parenthesis(&mut self) -> Parsed<Operand> {
        self.enter()?;
        let pipeline = self.pipeline("parenthesized pipeline", TokenKind::RightParenthesis)?;
        self.leave();
        Ok(Operand { position: pipeline.position, expression: Expression::Pipeline(pipeline) })
    }

    fn peek_is_field(&mut self) -> bool {
        self.peek().kind == TokenKind::Field
    }

    fn string(&self, token: Token<'a>) -> Parsed<Expression> {
        let bytes = unquoted(token.text).ok_or_else(|| self.error("invalid syntax"))?;
        let quoted = token.text.into();
        Ok(match String::from_utf8(bytes) {
            Ok(text) => Expression::Str { quoted, text: text.into() },
            Err(error) => Expression::Binary { quoted, bytes: error.into_bytes().into() },
        })
    }
}

impl Expression {
    /// Whether it can neither be called nor have fields.
    fn is_constant(&self) -> bool {
        match self {
            Self::Dot
            | Self::Nil
            | Self::Bool(_)
            | Self::Number(_)
            | Self::Str { .. }
            | Self::Binary { .. } => true,
            Self::Function(_)
            | Self::Field(_)
            | Self::Variable { .. }
            | Self::Pipeline(_)
            | Self::Chain { .. } => false,
        }
    }
}

fn begins_operand(kind: TokenKind) -> bool {
    matches!(
        kind,
        TokenKind::Bool
            | TokenKind::CharacterConstant
            | TokenKind::Complex
            | TokenKind::Keyword(Keyword::Dot | Keyword::Nil)
            | TokenKind::Field
            | TokenKind::Identifier
            | TokenKind::Number
            | TokenKind::RawString
            | TokenKind::Str
            | TokenKind::Variable
            | TokenKind::LeftParenthesis
    )
}

/// The name in a field token, without the dot.
fn name_of(token: Token<'_>) -> Rc<str> {
    token.text.trim_start_matches('.').into()
}
