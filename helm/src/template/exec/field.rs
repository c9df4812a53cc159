//! Fields: keys of maps, and fields and methods of objects.

use std::rc::Rc;

use gostd::object::Object;
use gostd::value::{Element, Map, Value};
use gostd::yaml;

use super::call::Call;
use super::eval_value::Last;
use super::{EvalValue, Frame};
use crate::function::{Failure, Parameter};
use crate::template::error::Stop;

impl<'t> Frame<'t> {
    /// `evalFieldChain`: only the last name receives the arguments.
    pub(super) fn fields(
        &mut self,
        dot: &EvalValue,
        mut receiver: EvalValue,
        names: &'t [Rc<str>],
        call: Call<'t>,
    ) -> Result<EvalValue, Stop> {
        let Some((last, before)) = names.split_last() else { return Ok(receiver) };
        for name in before {
            let bare = Call { node: call.node, operands: &[], last: Last::Missing };
            receiver = self.field(dot, &receiver, name, bare)?;
        }
        self.field(dot, &receiver, last, call)
    }

    /// `evalField`
    fn field(
        &mut self,
        dot: &EvalValue,
        receiver: &EvalValue,
        name: &Rc<str>,
        call: Call<'t>,
    ) -> Result<EvalValue, Stop> {
        let (value, type_name) = match receiver {
            EvalValue::Nothing => return Ok(EvalValue::Nothing),
            EvalValue::Boxed(Value::Nil) => {
                return Err(self.error(&format!("nil pointer evaluating interface {{}}.{name}")));
            }
            EvalValue::Boxed(value) => (value, "interface {}"),
            EvalValue::Plain(value) => (value, value.type_name()),
        };
        match value {
            Value::Object(object) => {
                let found = self.member(dot, &**object, name, call)?;
                found.ok_or_else(|| self.no_field(name, type_name))
            }
            Value::Map(map) => {
                if call.has_arguments() {
                    return Err(self.error(&format!("{name} is not a method but has arguments")));
                }
                if map.element == Element::Values && matches!(&**name, "AsMap" | "YAML") {
                    return self.values_method(map, name);
                }
                let found = map.entries.borrow().get(name).cloned();
                Ok(match found {
                    Some(found) => EvalValue::element(found, map.element),
                    // Helm sets `missingkey=zero`.
                    None => EvalValue::element(zero(map.element), map.element),
                })
            }
            _ => Err(self.no_field(name, type_name)),
        }
    }

    /// The methods of `common.Values` without arguments, which take precedence over its keys.
    fn values_method(&self, map: &Map, name: &str) -> Result<EvalValue, Stop> {
        let map = Value::Map(map.unnamed());
        if name == "AsMap" {
            return Ok(EvalValue::Plain(map));
        }
        let text = yaml::write_value(&map, yaml::Dialect::Marshal, self.engine.scope)?;
        Ok(EvalValue::Plain(text.into()))
    }

    fn no_field(&self, name: &str, type_name: &str) -> Stop {
        self.error(&format!("can't evaluate field {name} in type {type_name}"))
    }

    fn member(
        &mut self,
        dot: &EvalValue,
        object: &dyn Object,
        name: &str,
        call: Call<'t>,
    ) -> Result<Option<EvalValue>, Stop> {
        let (node, before) = (call.node, self.at);
        let mut arguments = Vec::with_capacity(call.operands.len() + call.last.count());
        for operand in call.operands {
            arguments.push(self.argument(dot, Parameter::Any, operand)?.into_value());
        }
        if let Last::Is(value) = call.last {
            arguments.push(value.into_value());
        }
        match object.member(name, &arguments) {
            Ok(found) => Ok(found.map(EvalValue::result)),
            Err(Failure::Limit(limit)) => Err(Stop::limit(limit)),
            // In Go the evaluator reports such an error, but here only the object knows the parameters of its methods.
            Err(Failure::Message(text)) if is_evaluator_error(&text) => {
                if !text.contains("expected") {
                    self.at = before;
                }
                Err(self.error(&text))
            }
            Err(Failure::Message(text)) => {
                self.at = node;
                Err(Stop::error(text).wrapped(format!("{}error calling {name}: ", self.error_prefix())))
            }
        }
    }
}

/// Whether the text is an error of Go's evaluator and not of a method.
fn is_evaluator_error(text: &str) -> bool {
    text.starts_with("wrong ") || text.ends_with(" is not a method but has arguments")
}

/// The zero value of an element's type.
pub(crate) fn zero(element: Element) -> Value {
    match element {
        Element::Any | Element::Values => Value::Nil,
        Element::Str => Value::from(""),
        Element::Int => Value::Int(0),
        Element::Map => Value::Map(Map::new::<&str>([])),
        Element::List => Value::List(gostd::value::List::nil(Element::Any)),
    }
}
