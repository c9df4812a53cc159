//! Prints a tree as source, as Go's `Node.String` does for errors, and computes locations.

use std::fmt::{Display, Formatter, Result, Write};

use crate::template::ast::{Branch, Command, Expression, Node, Number, Operand, Pipeline, Position, Tree};
use crate::template::token::quote::quoted;

/// A location in a source, printed as `line:column`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// From 1.
    pub(crate) line: usize,
    /// Bytes from the start of the line, from 0.
    pub(crate) column: usize,
}

/// The location of `position` in the file of `tree`, as in Go's `Tree.ErrorContext`.
pub(crate) fn location(tree: &Tree, position: Position) -> Location {
    let position = usize::try_from(position).unwrap_or(usize::MAX);
    let before = tree.source.get(..position).unwrap_or(&tree.source);
    let column = before.len() - before.rfind('\n').map_or(0, |line_break| line_break + 1);
    Location { line: before.matches('\n').count() + 1, column }
}

impl Display for Location {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

impl Display for Node {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Action(pipeline) => write!(formatter, "{{{{{pipeline}}}}}"),
            Self::If(branch) => write_branch(formatter, "if", branch),
            Self::With(branch) => write_branch(formatter, "with", branch),
            Self::Range(branch) => write_branch(formatter, "range", branch),
            Self::Template { name, argument, .. } => {
                write!(formatter, "{{{{template {}", quoted(name))?;
                if let Some(argument) = argument {
                    write!(formatter, " {argument}")?;
                }
                formatter.write_str("}}")
            }
            Self::Break => formatter.write_str("{{break}}"),
            Self::Continue => formatter.write_str("{{continue}}"),
        }
    }
}

impl Display for Pipeline {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        for (index, variable) in self.variables.iter().enumerate() {
            formatter.write_str(if index > 0 { ", " } else { "" })?;
            formatter.write_str(variable)?;
        }
        if !self.variables.is_empty() {
            formatter.write_str(if self.assigns { " = " } else { " := " })?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            formatter.write_str(if index > 0 { " | " } else { "" })?;
            command.fmt(formatter)?;
        }
        Ok(())
    }
}

impl Display for Command {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        for (index, operand) in self.operands.iter().enumerate() {
            formatter.write_str(if index > 0 { " " } else { "" })?;
            write_enclosed(formatter, operand)?;
        }
        Ok(())
    }
}

/// As in Go, a pipeline itself has no parentheses: they belong to the node that contains it.
impl Display for Operand {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        self.expression.fmt(formatter)
    }
}

impl Display for Expression {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        match self {
            Self::Dot => formatter.write_char('.'),
            Self::Nil => formatter.write_str("nil"),
            Self::Bool(value) => value.fmt(formatter),
            Self::Number(number) => number.fmt(formatter),
            Self::Str { quoted, .. } | Self::Binary { quoted, .. } => formatter.write_str(quoted),
            Self::Function(name) => formatter.write_str(name),
            Self::Field(names) => names.iter().try_for_each(|name| write!(formatter, ".{name}")),
            Self::Variable { name, fields } => {
                formatter.write_str(name)?;
                fields.iter().try_for_each(|field| write!(formatter, ".{field}"))
            }
            Self::Pipeline(pipeline) => pipeline.fmt(formatter),
            Self::Chain { operand, fields } => {
                write_enclosed(formatter, operand)?;
                fields.iter().try_for_each(|field| write!(formatter, ".{field}"))
            }
        }
    }
}

impl Display for Number {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        formatter.write_str(&self.text)
    }
}

fn write_branch(formatter: &mut Formatter<'_>, word: &str, branch: &Branch) -> Result {
    write!(formatter, "{{{{{word} {}}}}}", branch.pipeline)?;
    branch.body.iter().try_for_each(|node| node.fmt(formatter))?;
    if let Some(nodes) = &branch.otherwise {
        formatter.write_str("{{else}}")?;
        nodes.iter().try_for_each(|node| node.fmt(formatter))?;
    }
    formatter.write_str("{{end}}")
}

fn write_enclosed(formatter: &mut Formatter<'_>, operand: &Operand) -> Result {
    match &operand.expression {
        Expression::Pipeline(pipeline) => write!(formatter, "({pipeline})"),
        expression => expression.fmt(formatter),
    }
}

#[cfg(test)]
mod tests;
