//! The syntax tree of a template, node for node as Go's `text/template/parse` builds it.
//!
//! A position is a byte offset into [`Tree::source`]; line and column are computed only for an error.

use std::rc::Rc;

/// Byte offset into the source.
pub(crate) type Position = u32;

/// One named template.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Its name: the path of a file, or the name in `define`.
    pub(crate) name: Rc<str>,
    /// The file that contains it, which errors name.
    pub(crate) file: Rc<str>,
    /// The whole text of that file.
    pub(crate) source: Rc<str>,
    /// Its nodes.
    pub(crate) body: Vec<Node>,
    /// The number of nodes, as counted by `Limits::syntax_nodes`.
    pub(crate) nodes: usize,
}

impl Tree {
    /// Whether it contains only whitespace. Such a tree does not replace another tree with the same name.
    pub(crate) fn is_empty(&self) -> bool {
        self.body.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
    }
}

/// A piece of a template's body.
#[derive(Debug)]
pub(crate) enum Node {
    /// Text between actions, trimmed.
    Text(Rc<str>),
    /// `{{pipeline}}`
    Action(Pipeline),
    /// `{{if}}`
    If(Branch),
    /// `{{with}}`
    With(Branch),
    /// `{{range}}`
    Range(Branch),
    /// `{{template "name" pipeline}}`
    Template { position: Position, name: Rc<str>, argument: Option<Pipeline> },
    /// `{{break}}`
    Break,
    /// `{{continue}}`
    Continue,
}

/// A control structure: the condition, its body and its alternative.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) pipeline: Pipeline,
    pub(crate) body: Vec<Node>,
    pub(crate) otherwise: Option<Vec<Node>>,
}

/// Commands joined by `|`, with the variables for the result.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) position: Position,
    /// The variables' names, with their `$`.
    pub(crate) variables: Vec<Rc<str>>,
    /// `=` rather than `:=`.
    pub(crate) assigns: bool,
    pub(crate) commands: Vec<Command>,
}

/// An operand, or a function or method with its arguments.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) position: Position,
    /// At least one.
    pub(crate) operands: Vec<Operand>,
}

/// An operand with its position.
#[derive(Debug)]
pub(crate) struct Operand {
    pub(crate) position: Position,
    pub(crate) expression: Expression,
}

/// The expression of an operand.
#[derive(Debug)]
pub(crate) enum Expression {
    /// `.`
    Dot,
    /// `nil`
    Nil,
    /// `true`, `false`
    Bool(bool),
    /// A number or character constant.
    Number(Number),
    /// A string constant: as written, and its text.
    Str { quoted: Rc<str>, text: Rc<str> },
    /// A string constant whose escapes form bytes that are not UTF-8.
    Binary { quoted: Rc<str>, bytes: Rc<[u8]> },
    /// The name of a function.
    Function(Rc<str>),
    /// `.A.B`: at least one name.
    Field(Vec<Rc<str>>),
    /// `$x.A.B`: the name with its `$`, and any number of fields.
    Variable { name: Rc<str>, fields: Vec<Rc<str>> },
    /// `(pipeline)`
    Pipeline(Pipeline),
    /// `(pipeline).A.B`: at least one name.
    Chain { operand: Box<Operand>, fields: Vec<Rc<str>> },
}

/// A constant that may have several types, as in Go's `NumberNode`.
#[derive(Debug)]
pub(crate) struct Number {
    /// As written.
    pub(crate) text: Rc<str>,
    /// As `int`, if it is one (`3.0` is).
    pub(crate) int: Option<i64>,
    /// As `uint`, if it is one.
    pub(crate) uint: Option<u64>,
    /// As `float64`, if it is one.
    pub(crate) float: Option<f64>,
    /// A character constant: its default type is `int` (Go's `rune` prints as a number here).
    pub(crate) is_character: bool,
}
