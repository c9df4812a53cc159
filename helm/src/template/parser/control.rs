//! Text, actions and control structures.

use std::fmt;
use std::mem;
use std::rc::Rc;

use super::{Parsed, Parser};
use crate::template::ast::{Branch, Node};
use crate::template::token::quote::unquoted;
use crate::template::token::{Keyword, Token, TokenKind};

/// A piece of a template: an action or the text between two actions.
pub(super) enum Piece {
    Node(Node),
    /// `{{else}}`
    Else,
    /// `{{end}}`
    End,
}

/// The end of a list of nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Terminator {
    Else,
    End,
}

impl<'a> Parser<'a> {
    /// Parses a whole file, including definitions, which are allowed only at this level.
    pub(super) fn file(&mut self) -> Parsed<Vec<Node>> {
        let mut body = Vec::new();
        loop {
            match self.peek().kind {
                TokenKind::End => return Ok(body),
                TokenKind::LeftDelimiter => {
                    let delimiter = self.next();
                    let token = self.next_after_space();
                    if token.kind == TokenKind::Keyword(Keyword::Define) {
                        self.definition()?;
                        continue;
                    }
                    self.back(token);
                    self.back(delimiter);
                }
                _ => {}
            }
            match self.piece()? {
                Piece::Node(node) => body.push(node),
                Piece::Else => return Err(self.error(format!("unexpected {}", Terminator::Else))),
                Piece::End => return Err(self.error(format!("unexpected {}", Terminator::End))),
            }
        }
    }

    /// Parses `{{define "name"}}...{{end}}`, whose keyword is consumed.
    fn definition(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        self.enter()?;
        let outer = mem::take(&mut self.frame);
        let token = self.next_after_space();
        let name = self.template_name(token, CONTEXT)?;
        self.expect(TokenKind::RightDelimiter, CONTEXT)?;
        let (body, terminator) = self.list()?;
        if terminator != Terminator::End {
            return Err(self.error(format!("unexpected {terminator} in {CONTEXT}")));
        }
        self.add(name, body)?;
        self.frame = outer;
        self.leave();
        Ok(())
    }

    /// Parses nodes up to `{{end}}` or `{{else}}`.
    fn list(&mut self) -> Parsed<(Vec<Node>, Terminator)> {
        let mut nodes = Vec::new();
        while self.peek_after_space().kind != TokenKind::End {
            let terminator = match self.piece()? {
                Piece::Node(node) => {
                    nodes.push(node);
                    continue;
                }
                Piece::Else => Terminator::Else,
                Piece::End => Terminator::End,
            };
            nodes.shrink_to_fit();
            return Ok((nodes, terminator));
        }
        Err(self.error("unexpected EOF"))
    }

    // `piece`, `action`, `branch` and `list` call each other recursively. They return results directly, which keeps the
    // stack of a deeply nested template small.
    fn piece(&mut self) -> Parsed<Piece> {
        self.count(1)?;
        let token = self.next_after_space();
        match token.kind {
            TokenKind::Text => Ok(Piece::Node(Node::Text(token.text.into()))),
            TokenKind::LeftDelimiter => {
                self.frame.action_line = token.line;
                let piece = self.action();
                self.frame.action_line = 0;
                piece
            }
            _ => Err(self.unexpected(token, "input")),
        }
    }

    /// Parses an action whose left delimiter is consumed.
    fn action(&mut self) -> Parsed<Piece> {
        let token = self.next_after_space();
        let TokenKind::Keyword(keyword) = token.kind else {
            return self.plain(token);
        };
        match keyword {
            Keyword::Block => self.block(),
            Keyword::Break => self.jump(Node::Break, "break"),
            Keyword::Continue => self.jump(Node::Continue, "continue"),
            Keyword::Else => self.otherwise(),
            Keyword::End => self.end(),
            Keyword::If => self.control("if", Node::If),
            Keyword::Range => self.control("range", Node::Range),
            Keyword::Template => self.template(),
            Keyword::With => self.control("with", Node::With),
            Keyword::Define | Keyword::Dot | Keyword::Nil => self.plain(token),
        }
    }

    /// Parses a pipeline whose value is printed; `token` is its first token.
    fn plain(&mut self, token: Token<'a>) -> Parsed<Piece> {
        self.back(token);
        Ok(Piece::Node(Node::Action(self.pipeline("command", TokenKind::RightDelimiter)?)))
    }

    /// Parses a control structure whose keyword, `context`, is consumed.
    fn control(&mut self, context: &'static str, node: fn(Branch) -> Node) -> Parsed<Piece> {
        self.branch(context).map(|branch| Piece::Node(node(branch)))
    }

    /// Parses `{{end}}`, whose keyword is consumed.
    fn end(&mut self) -> Parsed<Piece> {
        self.expect(TokenKind::RightDelimiter, "end")?;
        Ok(Piece::End)
    }

    /// Parses `{{break}}` or `{{continue}}`, whose keyword is consumed.
    fn jump(&mut self, node: Node, word: &str) -> Parsed<Piece> {
        self.expect(TokenKind::RightDelimiter, &format!("{{{{{word}}}}}"))?;
        if self.frame.ranges == 0 {
            return Err(self.error(format!("{{{{{word}}}}} outside {{{{range}}}}")));
        }
        Ok(Piece::Node(node))
    }

    /// Parses `{{else}}`, whose keyword is consumed. In `{{else if`, the caller parses the second keyword.
    fn otherwise(&mut self) -> Parsed<Piece> {
        if !matches!(self.peek_after_space().kind, TokenKind::Keyword(Keyword::If | Keyword::With)) {
            self.expect(TokenKind::RightDelimiter, "else")?;
        }
        Ok(Piece::Else)
    }

    /// Parses `{{if}}`, `{{with}}` or `{{range}}` to its end; the keyword is consumed.
    fn branch(&mut self, context: &'static str) -> Parsed<Branch> {
        self.enter()?;
        let outer_variables = self.frame.variables.len();
        let pipeline = self.pipeline(context, TokenKind::RightDelimiter)?;
        let is_range = context == "range";
        self.frame.ranges += usize::from(is_range);
        let (body, terminator) = self.list()?;
        self.frame.ranges -= usize::from(is_range);
        let otherwise = match terminator {
            Terminator::End => None,
            Terminator::Else => Some(self.alternative(context)?),
        };
        self.frame.variables.truncate(outer_variables);
        self.leave();
        Ok(Branch { pipeline, body, otherwise })
    }

    /// Parses the nodes after `{{else}}`. `{{else if}}` means `{{else}}{{if}}` with a single `{{end}}` for both.
    fn alternative(&mut self, context: &'static str) -> Parsed<Vec<Node>> {
        let chained = match (context, self.peek().kind) {
            ("if", TokenKind::Keyword(Keyword::If)) => Node::If,
            ("with", TokenKind::Keyword(Keyword::With)) => Node::With,
            _ => {
                let (nodes, terminator) = self.list()?;
                if terminator != Terminator::End {
                    return Err(self.error(format!("expected end; found {terminator}")));
                }
                return Ok(nodes);
            }
        };
        self.count(1)?;
        self.next();
        Ok(vec![chained(self.branch(context)?)])
    }

    /// Parses `{{block "name" pipeline}}...{{end}}`, whose keyword is consumed: a definition and its call.
    fn block(&mut self) -> Parsed<Piece> {
        const CONTEXT: &str = "block clause";
        self.enter()?;
        let token = self.next_after_space();
        let name = self.template_name(token, CONTEXT)?;
        let pipeline = self.pipeline(CONTEXT, TokenKind::RightDelimiter)?;
        let outer = mem::take(&mut self.frame);
        let (body, terminator) = self.list()?;
        if terminator != Terminator::End {
            self.frame = outer;
            return Err(self.error(format!("unexpected {terminator} in {CONTEXT}")));
        }
        self.add(Rc::clone(&name), body)?;
        self.frame = outer;
        self.leave();
        Ok(Piece::Node(Node::Template { position: token.position, name, argument: Some(pipeline) }))
    }

    /// Parses `{{template "name" pipeline}}`, whose keyword is consumed.
    fn template(&mut self) -> Parsed<Piece> {
        const CONTEXT: &str = "template clause";
        let token = self.next_after_space();
        let name = self.template_name(token, CONTEXT)?;
        let next = self.next_after_space();
        let argument = if next.kind == TokenKind::RightDelimiter {
            None
        } else {
            self.back(next);
            Some(self.pipeline(CONTEXT, TokenKind::RightDelimiter)?)
        };
        Ok(Piece::Node(Node::Template { position: token.position, name, argument }))
    }

    fn template_name(&self, token: Token<'a>, context: &str) -> Parsed<Rc<str>> {
        if !matches!(token.kind, TokenKind::Str | TokenKind::RawString) {
            return Err(self.unexpected(token, context));
        }
        let name = unquoted(token.text).ok_or_else(|| self.error("invalid syntax"))?;
        // In Go a name can have any bytes, but only by mistake is one not UTF-8.
        let name = String::from_utf8(name).map_err(|_| self.error("template name is not valid UTF-8"))?;
        Ok(name.into())
    }
}

impl fmt::Display for Terminator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Else => "{{else}}",
            Self::End => "{{end}}",
        })
    }
}
