//! Builds trees from a template's source, with the checks and error texts of Go's `text/template/parse/parse.go`.

use std::collections::HashMap;
use std::rc::Rc;

use gostd::limits::Limits;

use crate::function::Failure;
use crate::template::ast::{Node, Position, Tree};
use crate::template::lexer::{Lexer, LoopWords};
use crate::template::token::{LexError, Token, TokenKind};

mod control;
mod number;
mod pipeline;

/// The reason why a template is rejected before it runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SyntaxError {
    /// The error text of Go's parser.
    #[error("template: {file}:{line}: {message}")]
    Malformed { file: Rc<str>, line: u32, message: String },
    /// A limit was exceeded: the name of a field of [`Limits`].
    #[error("template: {file}:{line}: exceeds the limit `{limit}`")]
    Limit { file: Rc<str>, line: u32, limit: &'static str },
}

type Parsed<T> = Result<T, SyntaxError>;

/// The trees of `source`: first the one named `file`, then those of `define` and `block`, in the order in which they
/// end. No two have the same name.
///
/// # Errors
/// The source has a syntax error, calls a function that `functions` does not know, or exceeds a limit.
pub(crate) fn parse(
    file: &str,
    source: &str,
    functions: &dyn Fn(&str) -> bool,
    limits: &Limits,
) -> Result<Vec<Tree>, SyntaxError> {
    let mut parser = Parser::new(file, source, functions, limits);
    if Position::try_from(source.len()).is_err() {
        return Err(parser.limit_error("file_bytes"));
    }
    let body = parser.file()?;
    parser.add(Rc::clone(&parser.file), body)?;
    let mut trees = parser.trees;
    if let Some(own) = trees.iter().position(|tree| *tree.name == *file) {
        trees.get_mut(..=own).unwrap_or_default().rotate_right(1);
    }
    Ok(trees)
}

/// Parses one file.
struct Parser<'a> {
    file: Rc<str>,
    source: Rc<str>,
    functions: &'a dyn Fn(&str) -> bool,
    limits: &'a Limits,
    lexer: Lexer<'a>,
    frame: Frame<'a>,
    trees: Vec<Tree>,
    /// The index of a tree by its name, and whether that tree is empty.
    index: HashMap<Rc<str>, (usize, bool)>,
    depth: usize,
    nodes: usize,
}

/// The state that Go's parser keeps for each tree.
#[derive(Default)]
struct Frame<'a> {
    /// Tokens put back, the next one last.
    pending: Vec<Token<'a>>,
    /// The line of the last token from the lexer, which errors name.
    line: u32,
    /// The line of the current action; 0 outside of actions.
    action_line: u32,
    variables: Variables<'a>,
    /// The number of open ranges.
    ranges: usize,
    nodes: usize,
}

/// The variables in scope, except `$`. They are counted by name, so that the cost of a lookup does not depend on their
/// number.
#[derive(Default)]
struct Variables<'a> {
    names: Vec<&'a str>,
    counts: HashMap<&'a str, usize>,
}

impl<'a> Parser<'a> {
    fn new(file: &str, source: &'a str, functions: &'a dyn Fn(&str) -> bool, limits: &'a Limits) -> Self {
        let words = LoopWords { has_break: !functions("break"), has_continue: !functions("continue") };
        Self {
            file: file.into(),
            source: source.into(),
            functions,
            limits,
            lexer: Lexer::new(source, words),
            frame: Frame::default(),
            trees: Vec::new(),
            index: HashMap::new(),
            depth: 0,
            nodes: 0,
        }
    }

    /// Adds a finished tree. An empty tree is replaced by any other with its name; a second one that is not empty is an
    /// error.
    fn add(&mut self, name: Rc<str>, mut body: Vec<Node>) -> Parsed<()> {
        body.shrink_to_fit();
        let tree = Tree {
            name: Rc::clone(&name),
            file: Rc::clone(&self.file),
            source: Rc::clone(&self.source),
            body,
            nodes: self.frame.nodes,
        };
        let is_empty = tree.is_empty();
        match self.index.get(&name).copied() {
            None => {
                self.index.insert(name, (self.trees.len(), is_empty));
                self.trees.push(tree);
            }
            Some((index, true)) => {
                self.index.insert(name, (index, is_empty));
                if let Some(before) = self.trees.get_mut(index) {
                    *before = tree;
                }
            }
            Some((_, false)) if is_empty => {}
            Some((_, false)) => {
                let name = super::token::quote::quoted(&name);
                return Err(self.error(format!("template: multiple definition of template {name}")));
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Token<'a> {
        if let Some(token) = self.frame.pending.pop() {
            return token;
        }
        let token = self.lexer.token();
        self.frame.line = token.line;
        token
    }

    fn back(&mut self, token: Token<'a>) {
        self.frame.pending.push(token);
    }

    fn peek(&mut self) -> Token<'a> {
        let token = self.next();
        self.back(token);
        token
    }

    fn next_after_space(&mut self) -> Token<'a> {
        loop {
            let token = self.next();
            if token.kind != TokenKind::Space {
                return token;
            }
        }
    }

    fn peek_after_space(&mut self) -> Token<'a> {
        let token = self.next_after_space();
        self.back(token);
        token
    }

    fn expect(&mut self, kind: TokenKind, context: &str) -> Parsed<Token<'a>> {
        let token = self.next_after_space();
        if token.kind == kind { Ok(token) } else { Err(self.unexpected(token, context)) }
    }

    /// Accounts for `count` nodes, before they are created.
    fn count(&mut self, count: usize) -> Parsed<()> {
        self.nodes = self.nodes.saturating_add(count);
        self.frame.nodes = self.frame.nodes.saturating_add(count);
        if self.nodes > self.limits.syntax_nodes { Err(self.limit_error("syntax_nodes")) } else { Ok(()) }
    }

    /// Enters a parenthesis, control structure or definition; `leave` ends it.
    fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > self.limits.syntax_depth { Err(self.limit_error("syntax_depth")) } else { Ok(()) }
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }

    fn error(&self, message: impl Into<String>) -> SyntaxError {
        SyntaxError::Malformed { file: Rc::clone(&self.file), line: self.frame.line, message: message.into() }
    }

    fn limit_error(&self, limit: &'static str) -> SyntaxError {
        SyntaxError::Limit { file: Rc::clone(&self.file), line: self.frame.line, limit }
    }

    fn unexpected(&self, token: Token<'a>, context: &str) -> SyntaxError {
        let TokenKind::Error(error) = token.kind else {
            return self.error(format!("unexpected {token} in {context}"));
        };
        let line = self.frame.action_line;
        if line == 0 || line == token.line {
            return self.error(token.to_string());
        }
        // Go avoids the text `action in action`.
        let joint = if error == LexError::UnclosedAction { "" } else { " in action" };
        self.error(format!("{token}{joint} started at {}:{line}", self.file))
    }
}

impl<'a> Variables<'a> {
    fn declare(&mut self, name: &'a str) {
        self.names.push(name);
        *self.counts.entry(name).or_default() += 1;
    }

    fn has(&self, name: &str) -> bool {
        name == "$" || self.counts.get(name).is_some_and(|count| *count > 0)
    }

    fn len(&self) -> usize {
        self.names.len()
    }

    fn truncate(&mut self, length: usize) {
        for name in self.names.drain(length..) {
            if let Some(count) = self.counts.get_mut(name) {
                *count -= 1;
            }
        }
    }
}

impl From<SyntaxError> for Failure {
    fn from(error: SyntaxError) -> Self {
        match error {
            SyntaxError::Malformed { .. } => Self::Message(error.to_string()),
            SyntaxError::Limit { limit, .. } => Self::Limit(limit),
        }
    }
}

#[cfg(test)]
mod tests;
