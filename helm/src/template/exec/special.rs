//! The functions that need the evaluator: Go's `and`, `or` and `call`, and those that Helm's `pkg/engine/engine.go`
//! creates for each render.

use std::rc::Rc;

use gostd::fmt;
use gostd::value::Value;
use serde_json::Value as Json;

use super::call::Signature;
use super::{EvalValue, Frame};
use crate::funcs;
use crate::function::{Failure, Parameter};
use crate::template::ast::Operand;
use crate::template::error::{Stop, warning};
use crate::template::parser::parse;
use crate::template::set::{Layer, Mode, TPL};

/// A function that needs the evaluator.
#[derive(Clone, Copy)]
pub(super) enum Special {
    And,
    Or,
    Call,
    Include,
    Tpl,
    Required,
    Fail,
    Lookup,
}

pub(super) fn find(name: &str) -> Option<(Special, Signature)> {
    use Parameter::{Any, Str};
    let (special, parameters, rest): (_, &'static [Parameter], _) = match name {
        "and" => (Special::And, &[Any], Some(Any)),
        "or" => (Special::Or, &[Any], Some(Any)),
        "call" => (Special::Call, &[Any], Some(Any)),
        "include" => (Special::Include, &[Str, Any], None),
        "tpl" => (Special::Tpl, &[Str, Any], None),
        "required" => (Special::Required, &[Str, Any], None),
        "fail" => (Special::Fail, &[Str], None),
        "lookup" => (Special::Lookup, &[Str, Str, Str, Str], None),
        _ => return None,
    };
    Some((special, Signature { parameters, rest }))
}

/// Whether this function exists.
pub(crate) fn is_defined(name: &str) -> bool {
    find(name).is_some() || funcs::find(name).is_some()
}

impl<'t> Frame<'t> {
    pub(super) fn special(
        &self,
        special: Special,
        callee: Option<&'t Operand>,
        arguments: &[Value],
    ) -> Result<Value, Stop> {
        let any = |index: usize| arguments.get(index).unwrap_or(&Value::Nil);
        let bytes = |index: usize| any(index).bytes().unwrap_or_default();
        let text = |index: usize| String::from_utf8_lossy(bytes(index));
        match special {
            // Not reached: `call` handles these before it evaluates their arguments.
            Special::And | Special::Or => Ok(any(0).clone()),
            Special::Call => Err(not_callable(callee, any(0))),
            Special::Include => self.include(&text(0), any(1).clone()),
            Special::Tpl => self.tpl(bytes(0), any(1).clone()),
            Special::Required => match any(1) {
                Value::Nil => self.missing(&text(0)),
                Value::Str(value) if value.is_empty() => self.missing(&text(0)),
                value => Ok(value.clone()),
            },
            Special::Fail => self.missing(&text(0)),
            Special::Lookup => self.lookup([&text(0), &text(1), &text(2), &text(3)]),
        }
    }

    /// `includeFun`. As in Helm, recursion is counted by name. Recursion that this does not catch exceeds the limit on
    /// levels.
    fn include(&self, name: &str, data: Value) -> Result<Value, Stop> {
        {
            let mut included = self.engine.included.borrow_mut();
            match included.get_mut(name) {
                Some(count) if *count > self.engine.scope.limits.include_depth => {
                    return Err(Stop::error(format!(
                        "rendering template has a nested reference name: {name}: unable to execute template"
                    )));
                }
                Some(count) => *count += 1,
                None => drop(included.insert(Rc::from(name), 1)),
            }
        }
        let out = self.engine.execute(self.layer, name, &EvalValue::data(data))?;
        // An error ends the render, so only success has to decrement the count.
        if let Some(count) = self.engine.included.borrow_mut().get_mut(name) {
            *count = count.saturating_sub(1);
        }
        Ok(Value::string(out))
    }

    /// `tplFun`. Helm clones the whole set for each call; here a layer of new templates covers the old ones.
    fn tpl(&self, source: &[u8], data: Value) -> Result<Value, Stop> {
        let scope = self.engine.scope;
        scope.step((source.len() >> 4) as u64)?;
        let Ok(text) = std::str::from_utf8(source) else {
            return Err(Stop::error("tpl: template is not valid UTF-8"));
        };
        let trees = match parse(TPL, text, &is_defined, scope.limits) {
            Ok(trees) => trees,
            Err(error) => match Failure::from(error) {
                Failure::Limit(limit) => return Err(Stop::limit(limit)),
                Failure::Message(text) => {
                    let quoted = fmt::quote(source);
                    return Err(Stop::error(text).wrapped(format!("cannot parse template {quoted}: ")));
                }
            },
        };
        let layer = Layer::above(self.layer, trees, scope.limits).map_err(Stop::limit)?;
        let out = self.engine.execute(&layer, TPL, &EvalValue::data(data)).map_err(|stop| {
            let quoted = fmt::quote(source);
            stop.wrapped(format!("error during tpl function execution for {quoted}: "))
        })?;
        Ok(Value::string(without_no_value(out)))
    }

    /// `required` and `fail`: an error, except in lint mode.
    fn missing(&self, text: &str) -> Result<Value, Stop> {
        match self.engine.mode {
            Mode::Render => Err(Stop::error(warning(text))),
            Mode::Lint => Ok(Value::from("")),
        }
    }

    fn lookup(&self, [api_version, kind, namespace, name]: [&str; 4]) -> Result<Value, Stop> {
        let found = match self.engine.mode {
            Mode::Lint => None,
            Mode::Render => {
                let scope = self.engine.scope;
                scope.count_lookup()?;
                scope.lookup.lookup(api_version, kind, namespace, name).map_err(Stop::error)?
            }
        };
        match found {
            Some(object) => Ok(self.value(&object, 0)?),
            None => Ok(Value::map::<&str>([])),
        }
    }

    /// Converts JSON as Kubernetes' client does: integers are `int64`.
    fn value(&self, json: &Json, depth: usize) -> Result<Value, Failure> {
        let scope = self.engine.scope;
        scope.step(1)?;
        if depth > scope.limits.value_depth {
            return Err(Failure::Limit("value_depth"));
        }
        Ok(match json {
            Json::Null => Value::Nil,
            Json::Bool(truth) => Value::Bool(*truth),
            Json::Number(number) => match number.as_i64() {
                Some(whole) => Value::Int64(whole),
                None => Value::Float64(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => {
                scope.produce(text.len())?;
                Value::from(text.as_str())
            }
            Json::Array(items) => {
                let items: Result<Vec<Value>, Failure> =
                    items.iter().map(|item| self.value(item, depth + 1)).collect();
                Value::list(items?)
            }
            Json::Object(entries) => {
                let entries: Result<Vec<(&str, Value)>, Failure> = entries
                    .iter()
                    .map(|(key, item)| Ok((key.as_str(), self.value(item, depth + 1)?)))
                    .collect();
                Value::map(entries?)
            }
        })
    }
}

/// The error of `call`: no value in a template is a function.
fn not_callable(callee: Option<&Operand>, value: &Value) -> Stop {
    let name = match (callee, value) {
        (_, Value::Nil) => return Stop::error("call of nil"),
        (Some(operand), _) => operand.to_string(),
        (None, Value::Str(text)) => text.to_string(),
        (None, value) => format!("<{} Value>", value.type_name()),
    };
    Stop::error(format!("non-function {name} of type {}", value.type_name()))
}

/// Removes `<no value>`, so that absent values print nothing, as in Helm.
pub(in crate::template) fn without_no_value(text: Vec<u8>) -> Vec<u8> {
    const MARK: &[u8] = b"<no value>";
    if !text.windows(MARK.len()).any(|window| window == MARK) {
        return text;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_slice();
    while let Some((first, tail)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(MARK) {
            rest = after;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}
