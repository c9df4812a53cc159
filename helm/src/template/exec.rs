//! The evaluator: Go's `src/text/template/exec.go` over [`EvalValue`] values.
//!
//! One [`Frame`] runs one template: `include`, `tpl` and `{{template}}` create new frames. As in Go, a frame keeps the
//! node that it evaluated last, which its errors name.

mod branch;
mod call;
mod eval_value;
mod field;
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

pub(super) use eval_value::EvalValue;

pub(crate) use field::zero;
pub(crate) use special::is_defined;
pub(super) use special::without_no_value;

/// The state that all frames of one render share.
pub(super) struct Engine<'a> {
    scope: &'a Scope<'a>,
    mode: Mode,
    /// The number of active includes of each template.
    included: RefCell<HashMap<Rc<str>, usize>>,
    /// The current level of recursion, and the maximum below.
    level: Cell<usize>,
    levels: usize,
}

/// The execution of one template.
struct Frame<'t> {
    engine: &'t Engine<'t>,
    layer: &'t Layer<'t>,
    tree: &'t Tree,
    at: At<'t>,
    variables: Vec<(Rc<str>, EvalValue)>,
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

/// How the execution of a list of nodes ended.
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

    /// Runs the template `name` of `layer`: `ExecuteTemplate`.
    pub(super) fn execute(&self, layer: &Layer<'_>, name: &str, dot: &EvalValue) -> Result<Vec<u8>, Stop> {
        let Some(tree) = layer.find(name) else {
            let name = fmt::quote(name.as_bytes());
            return Err(Stop::error(format!(
                "template: no template {name} associated with template \"gotpl\""
            )));
        };
        self.run(layer, tree, dot, Vec::new())
    }

    /// Runs `tree`, and appends its output to `out`.
    fn run(&self, layer: &Layer<'_>, tree: &Tree, dot: &EvalValue, out: Vec<u8>) -> Result<Vec<u8>, Stop> {
        self.enter()?;
        let variables = vec![(Rc::from("$"), dot.clone())];
        let mut frame = Frame { engine: self, layer, tree, at: At::Start, variables, out };
        frame.walk(&tree.body, dot).map_err(|stop| stop.located(|| frame.line()))?;
        self.leave();
        Ok(frame.out)
    }

    /// Enters a level. An error ends the render, so only success has to call [`Self::leave`].
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
    fn walk(&mut self, nodes: &'t [Node], dot: &EvalValue) -> Result<Flow, Stop> {
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

    fn action(&mut self, pipeline: &'t Pipeline, dot: &EvalValue) -> Result<(), Stop> {
        // The location of a random draw includes the line that each template has reached.
        let variable = pipeline.variables.first().map(|name| &**name);
        self.engine.scope.draws.at(self.engine.level.get(), &self.out, variable);
        let value = self.pipeline(pipeline, dot)?;
        if !pipeline.variables.is_empty() {
            return Ok(());
        }
        let scope = self.engine.scope;
        match value {
            // Helm removes this text from the final output, but functions that process the result of `include` still
            // see it.
            EvalValue::Nothing => {
                scope.produce(10)?;
                self.out.extend_from_slice(b"<no value>");
                Ok(())
            }
            EvalValue::Plain(Value::Object(object)) | EvalValue::Boxed(Value::Object(object)) => {
                let text = object.shown();
                scope.produce(text.len())?;
                self.out.extend_from_slice(text.as_bytes());
                Ok(())
            }
            EvalValue::Plain(value) | EvalValue::Boxed(value) => {
                Ok(fmt::append(scope, &mut self.out, &value)?)
            }
        }
    }

    fn template(
        &mut self,
        node: &'t Node,
        name: &str,
        argument: Option<&'t Pipeline>,
        dot: &EvalValue,
    ) -> Result<(), Stop> {
        self.at = At::Template(node);
        let Some(tree) = self.layer.find(name) else {
            return Err(self.error(&format!("template {} not defined", fmt::quote(name.as_bytes()))));
        };
        let dot = match argument {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => EvalValue::Nothing,
        };
        // The called template appends to this frame's output, so nothing is copied.
        let out = std::mem::take(&mut self.out);
        self.out = self.engine.run(self.layer, tree, &dot, out)?;
        Ok(())
    }

    /// An error at the last evaluated node: `errorf`.
    fn error(&self, text: &str) -> Stop {
        Stop::error([&self.error_prefix(), text].concat())
    }

    /// The file and line of the last evaluated node; `None` in the text given to `tpl`, which is not in a file.
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

    /// The prefix of an error text.
    fn error_prefix(&self) -> String {
        let (position, context) = match self.at {
            At::Start => return format!("template: {}: ", self.tree.name),
            At::Operand(operand) => (operand.position, operand.to_string()),
            At::Command(command) => (command.position, command.to_string()),
            At::Pipeline(pipeline) => (pipeline.position, pipeline.to_string()),
            At::Template(Node::Template { position, .. }) => (*position, self.at_template()),
            At::Template(_) => (0, String::new()),
        };
        let name = fmt::quote(self.tree.name.as_bytes());
        let location = location(self.tree, position);
        format!("template: {}:{location}: executing {name} at <{context}>: ", self.tree.file)
    }

    fn at_template(&self) -> String {
        if let At::Template(node) = self.at { node.to_string() } else { String::new() }
    }
}

#[cfg(test)]
mod tests;
