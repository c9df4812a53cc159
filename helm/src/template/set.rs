//! The templates of a chart: parsed in Helm's order, rendered by name (`pkg/engine/engine.go` of Helm 4).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::rc::Rc;

use gostd::limits::Limits;
use gostd::value::Value;

use crate::function::Scope;
use crate::template::ast::Tree;
use crate::template::error::{RenderError, syntax};
use crate::template::exec::{Engine, EvalValue, is_defined};
use crate::template::parser::{SyntaxError, parse};

/// Helm's name for the root template of a set, and hence for the text given to `tpl`.
pub(super) const TPL: &str = "gotpl";

/// How `required`, `fail` and `lookup` behave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They take effect.
    #[default]
    Render,
    /// The chart is only checked: `required` and `fail` do nothing, and `lookup` returns nothing.
    Lint,
}

/// All templates of a chart and its sub-charts.
pub(crate) struct Set {
    layer: Layer<'static>,
    order: Vec<Rc<str>>,
    mode: Mode,
}

/// Templates by name, which cover those of the layer below.
pub(super) struct Layer<'a> {
    templates: HashMap<Rc<str>, Tree>,
    below: Option<&'a Layer<'a>>,
    /// The number of layers below; and next, the number of nodes in them and in this layer.
    depth: usize,
    nodes: usize,
}

impl Set {
    /// Parses `files`, pairs of path and source, in Helm's order. A template replaces an earlier one with the same
    /// name, unless it is empty.
    ///
    /// # Errors
    /// A file is not a valid template, or a limit is exceeded.
    pub(crate) fn new<'f>(
        files: impl IntoIterator<Item = (&'f str, &'f str)>,
        mode: Mode,
        limits: &Limits,
    ) -> Result<Self, RenderError> {
        let mut files: Vec<(&str, &str)> = files.into_iter().collect();
        // Files of higher levels come last, so that their definitions win.
        files.sort_by_key(|(path, _)| Reverse((path.matches('/').count(), *path)));
        let mut layer = Layer { templates: HashMap::new(), below: None, depth: 0, nodes: 0 };
        let mut order = Vec::with_capacity(files.len());
        for (path, source) in files {
            let trees = parse(path, source, &is_defined, limits).map_err(|error| match error {
                SyntaxError::Malformed { .. } => syntax(path, &error.to_string()),
                SyntaxError::Limit { file, line, limit } => limit_error(&format!("{file}:{line}"), limit),
            })?;
            layer.add(trees, limits).map_err(|limit| limit_error(path, limit))?;
            let name = path.rsplit('/').next().unwrap_or(path);
            if !name.starts_with('_') {
                order.push(path.into());
            }
        }
        Ok(Self { layer, order, mode })
    }

    /// The files to render, in Helm's order: changes that a file makes to values are visible to the next ones. Files
    /// whose names start with `_` only contain definitions.
    pub(crate) fn order(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(|name| &**name)
    }

    /// Renders the template `name`. Runs on the stack of [`super::stack::with_stack`].
    ///
    /// Bytes in the output that are not UTF-8 become U+FFFD; Helm writes them unchanged.
    ///
    /// # Errors
    /// The template fails, with Helm's error text, or a limit is exceeded.
    pub(crate) fn render(&self, name: &str, data: &Value, scope: &Scope<'_>) -> Result<String, RenderError> {
        let engine = Engine::new(scope, self.mode);
        let out = engine
            .execute(&self.layer, name, &EvalValue::data(data.clone()))
            .map_err(|stop| stop.report(name))?;
        let out = super::exec::without_no_value(out);
        Ok(String::from_utf8(out)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }
}

fn limit_error(location: &str, limit: &'static str) -> RenderError {
    RenderError::Limit { location: location.to_owned(), limit }
}

impl<'a> Layer<'a> {
    /// A layer of `trees` above `below`.
    ///
    /// # Errors
    /// The name of the exceeded limit.
    pub(super) fn above(
        below: &'a Layer<'a>,
        trees: Vec<Tree>,
        limits: &Limits,
    ) -> Result<Self, &'static str> {
        let depth = below.depth + 1;
        if depth > limits.include_depth {
            return Err("include_depth");
        }
        let mut layer = Self { templates: HashMap::new(), below: Some(below), depth, nodes: below.nodes };
        layer.add(trees, limits)?;
        Ok(layer)
    }

    /// An empty template replaces no other, except the text given to `tpl`, which is a new template each time.
    fn add(&mut self, trees: Vec<Tree>, limits: &Limits) -> Result<(), &'static str> {
        for tree in trees {
            self.nodes = self.nodes.saturating_add(tree.nodes);
            if self.nodes > limits.syntax_nodes {
                return Err("syntax_nodes");
            }
            let is_given = self.below.is_some() && *tree.name == *TPL;
            if is_given || !tree.is_empty() || self.find(&tree.name).is_none() {
                self.templates.insert(Rc::clone(&tree.name), tree);
            }
        }
        Ok(())
    }

    pub(super) fn find(&self, name: &str) -> Option<&Tree> {
        let mut layer = Some(self);
        while let Some(current) = layer {
            if let Some(tree) = current.templates.get(name) {
                return Some(tree);
            }
            layer = current.below;
        }
        None
    }
}
