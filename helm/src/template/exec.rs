//! The evaluator: Go's `src/text/template/exec.go` over [`Held`] values.
//!
//! One [`Frame`] runs one template: `include`, `tpl` and `{{template}}` make new ones. As in Go, a frame
//! remembers the node it looked at last, which its errors name.

mod branch;
mod call;
mod field;
mod held;
mod pipeline;
mod special;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use gostd::fmt;
use gostd::value::Value;

use crate::function::Scope;
use crate::template::ast::{Command, Node, Operand, Pipeline, Tree};
use crate::template::error::Stop;
use crate::template::print::location;
use crate::template::set::{Layer, Mode, TPL};
use crate::template::stack;

pub(super) use held::Held;

pub(crate) use field::zero;
pub(crate) use special::is_defined;
pub(super) use special::without_no_value;

/// What all frames of one render share.
pub(super) struct Engine<'a> {
    scope: &'a Scope<'a>,
    mode: Mode,
    /// How often each template is included right now.
    included: RefCell<HashMap<Rc<str>, usize>>,
    /// How deep the evaluator has recursed, and may.
    level: Cell<usize>,
    levels: usize,
}

/// One template being executed.
struct Frame<'t> {
    engine: &'t Engine<'t>,
    layer: &'t Layer<'t>,
    tree: &'t Tree,
    at: At<'t>,
    variables: Vec<(Rc<str>, Held)>,
    out: Vec<u8>,
}

/// The node that an error names.
#[derive(Clone, Copy)]
enum At<'t> {
    Start,
    Operand(&'t Operand),
    Command(&'t Command),
    Pipeline(&'t Pipeline),
    Template(&'t Node),
}

/// How a piece of a template ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

impl<'a> Engine<'a> {
    pub(super) fn new(scope: &'a Scope<'a>, mode: Mode) -> Self {
        Self {
            scope,
            mode,
            included: RefCell::default(),
            level: Cell::new(0),
            levels: stack::levels(scope.limits),
        }
    }

    /// Runs the template `name` of `layer` on its own: `ExecuteTemplate`.
    pub(super) fn execute(&self, layer: &Layer<'_>, name: &str, dot: &Held) -> Result<Vec<u8>, Stop> {
        let Some(tree) = layer.find(name) else {
            let name = fmt::quote(name.as_bytes());
            return Err(Stop::said(format!(
                "template: no template {name} associated with template \"gotpl\""
            )));
        };
        self.run(layer, tree, dot, Vec::new())
    }

    /// Runs `tree`, whose output goes behind `out`.
    fn run(&self, layer: &Layer<'_>, tree: &Tree, dot: &Held, out: Vec<u8>) -> Result<Vec<u8>, Stop> {
        self.enter()?;
        let variables = vec![(Rc::from("$"), dot.clone())];
        let mut frame = Frame { engine: self, layer, tree, at: At::Start, variables, out };
        frame.walk(&tree.body, dot).map_err(|stop| stop.placed(|| frame.line()))?;
        self.leave();
        Ok(frame.out)
    }

    /// One level deeper; an error ends the render, so only success needs to [`Self::leave`].
    fn enter(&self) -> Result<(), Stop> {
        let level = self.level.get() + 1;
        self.level.set(level);
        if level > self.levels { Err(Stop::limit("include_depth")) } else { Ok(()) }
    }

    fn leave(&self) {
        self.level.set(self.level.get().saturating_sub(1));
    }
}

impl<'t> Frame<'t> {
    fn walk(&mut self, nodes: &'t [Node], dot: &Held) -> Result<Flow, Stop> {
        for node in nodes {
            self.engine.scope.step(1)?;
            let flow = match node {
                Node::Text(text) => {
                    self.engine.scope.produce(text.len())?;
                    self.out.extend_from_slice(text.as_bytes());
                    Flow::Next
                }
                Node::Action(pipeline) => {
                    self.action(pipeline, dot)?;
                    Flow::Next
                }
                Node::If(branch) => self.condition(branch, dot, false)?,
                Node::With(branch) => self.condition(branch, dot, true)?,
                Node::Range(branch) => self.range(branch, dot)?,
                Node::Template { name, argument, .. } => {
                    self.template(node, name, argument.as_ref(), dot)?;
                    Flow::Next
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn action(&mut self, pipeline: &'t Pipeline, dot: &Held) -> Result<(), Stop> {
        let variable = pipeline.variables.first().map(|name| &**name);
        self.engine.scope.draws.at(self.engine.level.get(), &self.out, variable);
        let value = self.pipeline(pipeline, dot)?;
        if !pipeline.variables.is_empty() {
            return Ok(());
        }
        let scope = self.engine.scope;
        match value {
            // Helm removes this text again, but what it stands in for a moment is seen by the functions that
            // work on the result of `include`.
            Held::Nothing => {
                scope.produce(10)?;
                self.out.extend_from_slice(b"<no value>");
                Ok(())
            }
            Held::Plain(Value::Object(object)) | Held::Boxed(Value::Object(object)) => {
                let text = object.shown();
                scope.produce(text.len())?;
                self.out.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Held::Plain(value) | Held::Boxed(value) => Ok(fmt::append(scope, &mut self.out, &value)?),
        }
    }

    fn template(
        &mut self,
        node: &'t Node,
        name: &str,
        argument: Option<&'t Pipeline>,
        dot: &Held,
    ) -> Result<(), Stop> {
        self.at = At::Template(node);
        let Some(tree) = self.layer.find(name) else {
            return Err(self.fault(&format!("template {} not defined", fmt::quote(name.as_bytes()))));
        };
        let dot = match argument {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => Held::Nothing,
        };
        let out = std::mem::take(&mut self.out);
        self.out = self.engine.run(self.layer, tree, &dot, out)?;
        Ok(())
    }

    /// An error at the node looked at last: `errorf`.
    fn fault(&self, text: &str) -> Stop {
        Stop::said([&self.place(), text].concat())
    }

    /// The file and line of the node looked at last; none in what `tpl` is given, which is in no file.
    fn line(&self) -> Option<String> {
        let position = match self.at {
            At::Operand(operand) => operand.position,
            At::Command(command) => command.position,
            At::Pipeline(pipeline) => pipeline.position,
            At::Template(Node::Template { position, .. }) => *position,
            At::Start | At::Template(_) => 0,
        };
        (*self.tree.file != *TPL).then(|| format!("{}:{}", self.tree.file, location(self.tree, position)))
    }

    /// What comes before the text of an error.
    fn place(&self) -> String {
        let (position, context) = match self.at {
            At::Start => return format!("template: {}: ", self.tree.name),
            At::Operand(operand) => (operand.position, operand.to_string()),
            At::Command(command) => (command.position, command.to_string()),
            At::Pipeline(pipeline) => (pipeline.position, pipeline.to_string()),
            At::Template(Node::Template { position, .. }) => (*position, self.at_template()),
            At::Template(_) => (0, String::new()),
        };
        let name = fmt::quote(self.tree.name.as_bytes());
        let place = location(self.tree, position);
        format!("template: {}:{place}: executing {name} at <{context}>: ", self.tree.file)
    }

    fn at_template(&self) -> String {
        if let At::Template(node) = self.at { node.to_string() } else { String::new() }
    }
}

#[cfg(test)]
mod tests;
