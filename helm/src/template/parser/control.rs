//! Text, actions and control structures.

use std::fmt;
use std::mem;
use std::rc::Rc;

use super::{Parsed, Parser};
use crate::template::ast::{Branch, Node};
use crate::template::token::quote::unquoted;
use crate::template::token::{Keyword, Kind, Token};

/// What stands between two actions or in one.
pub(super) enum Piece {
    Node(Node),
    /// `{{else}}`
    Else,
    /// `{{end}}`
    End,
}

/// What ends a list of nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Terminator {
    Else,
    End,
}

impl<'a> Parser<'a> {
    /// A whole file, definitions included, which stand only here.
    pub(super) fn file(&mut self) -> Parsed<Vec<Node>> {
        let mut body = Vec::new();
        loop {
            match self.peek().kind {
                Kind::End => return Ok(body),
                Kind::LeftDelimiter => {
                    let delimiter = self.next();
                    let token = self.next_after_space();
                    if token.kind == Kind::Keyword(Keyword::Define) {
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

    /// `{{define "name"}}...{{end}}`, whose keyword is passed.
    fn definition(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        self.enter()?;
        let outer = mem::take(&mut self.frame);
        let token = self.next_after_space();
        let name = self.template_name(token, CONTEXT)?;
        self.expect(Kind::RightDelimiter, CONTEXT)?;
        let (body, terminator) = self.list()?;
        if terminator != Terminator::End {
            return Err(self.error(format!("unexpected {terminator} in {CONTEXT}")));
        }
        self.add(name, body)?;
        self.frame = outer;
        self.leave();
        Ok(())
    }

    /// Nodes up to `{{end}}` or `{{else}}`.
    fn list(&mut self) -> Parsed<(Vec<Node>, Terminator)> {
        let mut nodes = Vec::new();
        while self.peek_after_space().kind != Kind::End {
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

    // From here to `branch` and back is a circle: results are handed on as they come, which keeps the stack of
    // a deeply nested template small.
    fn piece(&mut self) -> Parsed<Piece> {
        self.count(1)?;
        let token = self.next_after_space();
        match token.kind {
            Kind::Text => Ok(Piece::Node(Node::Text(token.text.into()))),
            Kind::LeftDelimiter => {
                self.frame.action_line = token.line;
                let piece = self.action();
                self.frame.action_line = 0;
                piece
            }
            _ => Err(self.unexpected(token, "input")),
        }
    }

    /// An action whose left delimiter is passed.
    fn action(&mut self) -> Parsed<Piece> {
        let token = self.next_after_space();
        let Kind::Keyword(keyword) = token.kind else {
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

    /// A pipeline whose value is printed; `token` is its first.
    fn plain(&mut self, token: Token<'a>) -> Parsed<Piece> {
        self.back(token);
        Ok(Piece::Node(Node::Action(self.pipeline("command", Kind::RightDelimiter)?)))
    }

    /// A control structure whose keyword, `context`, is passed.
    fn control(&mut self, context: &'static str, node: fn(Branch) -> Node) -> Parsed<Piece> {
        self.branch(context).map(|branch| Piece::Node(node(branch)))
    }

    /// `{{end}}`, whose keyword is passed.
    fn end(&mut self) -> Parsed<Piece> {
        self.expect(Kind::RightDelimiter, "end")?;
        Ok(Piece::End)
    }

    /// `{{break}}` or `{{continue}}`, whose keyword is passed.
    fn jump(&mut self, node: Node, word: &str) -> Parsed<Piece> {
        self.expect(Kind::RightDelimiter, &format!("{{{{{word}}}}}"))?;
        if self.frame.ranges == 0 {
            return Err(self.error(format!("{{{{{word}}}}} outside {{{{range}}}}")));
        }
        Ok(Piece::Node(node))
    }

    /// `{{else}}`, whose keyword is passed. The word after it in `{{else if` is left to whom it concerns.
    fn otherwise(&mut self) -> Parsed<Piece> {
        if !matches!(self.peek_after_space().kind, Kind::Keyword(Keyword::If | Keyword::With)) {
            self.expect(Kind::RightDelimiter, "else")?;
        }
        Ok(Piece::Else)
    }

    /// `{{if}}`, `{{with}}` or `{{range}}` to its end, whose keyword is passed.
    fn branch(&mut self, context: &'static str) -> Parsed<Branch> {
        self.enter()?;
        let outer_variables = self.frame.variables.len();
        let pipeline = self.pipeline(context, Kind::RightDelimiter)?;
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

    /// What follows an `{{else}}`: `{{else if}}` stands for `{{else}}{{if}}` with one `{{end}}` for both.
    fn alternative(&mut self, context: &'static str) -> Parsed<Vec<Node>> {
        let chained = match (context, self.peek().kind) {
            ("if", Kind::Keyword(Keyword::If)) => Node::If,
            ("with", Kind::Keyword(Keyword::With)) => Node::With,
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

    /// `{{block "name" pipeline}}...{{end}}`, whose keyword is passed: a definition and its call.
    fn block(&mut self) -> Parsed<Piece> {
        const CONTEXT: &str = "block clause";
        self.enter()?;
        let token = self.next_after_space();
        let name = self.template_name(token, CONTEXT)?;
        let pipeline = self.pipeline(CONTEXT, Kind::RightDelimiter)?;
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

    /// `{{template "name" pipeline}}`, whose keyword is passed.
    fn template(&mut self) -> Parsed<Piece> {
        const CONTEXT: &str = "template clause";
        let token = self.next_after_space();
        let name = self.template_name(token, CONTEXT)?;
        let next = self.next_after_space();
        let argument = if next.kind == Kind::RightDelimiter {
            None
        } else {
            self.back(next);
            Some(self.pipeline(CONTEXT, Kind::RightDelimiter)?)
        };
        Ok(Piece::Node(Node::Template { position: token.position, name, argument }))
    }

    fn template_name(&self, token: Token<'a>, context: &str) -> Parsed<Rc<str>> {
        if !matches!(token.kind, Kind::Str | Kind::RawString) {
            return Err(self.unexpected(token, context));
        }
        let name = unquoted(token.text).ok_or_else(|| self.error("invalid syntax"))?;
        // Go has names of any bytes; nothing but a mistake makes one that is not text.
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
