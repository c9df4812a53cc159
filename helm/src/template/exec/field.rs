//! Fields: keys of maps, and fields and methods of objects.

use std::rc::Rc;

use gostd::object::Object;
use gostd::value::{Element, Map, Value};
use gostd::yaml;

use super::call::Call;
use super::held::Last;
use super::{Frame, Held};
use crate::function::{Failure, Parameter};
use crate::template::error::Stop;

impl<'t> Frame<'t> {
    /// `evalFieldChain`: only the last name takes the arguments.
    pub(super) fn fields(
        &mut self,
        dot: &Held,
        mut receiver: Held,
        names: &'t [Rc<str>],
        call: Call<'t>,
    ) -> Result<Held, Stop> {
        let Some((last, before)) = names.split_last() else { return Ok(receiver) };
        for name in before {
            let bare = Call { node: call.node, operands: &[], last: Last::Missing };
            receiver = self.field(dot, &receiver, name, bare)?;
        }
        self.field(dot, &receiver, last, call)
    }

    /// `evalField`
    fn field(&mut self, dot: &Held, receiver: &Held, name: &Rc<str>, call: Call<'t>) -> Result<Held, Stop> {
        let (value, type_name) = match receiver {
            Held::Nothing => return Ok(Held::Nothing),
            Held::Boxed(Value::Nil) => {
                return Err(self.fault(&format!("nil pointer evaluating interface {{}}.{name}")));
            }
            Held::Boxed(value) => (value, "interface {}"),
            Held::Plain(value) => (value, value.type_name()),
        };
        match value {
            Value::Object(object) => {
                let found = self.member(dot, &**object, name, call)?;
                found.ok_or_else(|| self.no_field(name, type_name))
            }
            Value::Map(map) => {
                if call.has_arguments() {
                    return Err(self.fault(&format!("{name} is not a method but has arguments")));
                }
                if map.element == Element::Values && matches!(&**name, "AsMap" | "YAML") {
                    return self.values_method(map, name);
                }
                let found = map.entries.borrow().get(name).cloned();
                Ok(match found {
                    Some(found) => Held::element(found, map.element),
                    // What `missingkey=zero` makes of it.
                    None => Held::element(zero(map.element), map.element),
                })
            }
            _ => Err(self.no_field(name, type_name)),
        }
    }

    /// The methods of `common.Values` without arguments, which go before its keys.
    fn values_method(&self, map: &Map, name: &str) -> Result<Held, Stop> {
        let map = Value::Map(map.unnamed());
        if name == "AsMap" {
            return Ok(Held::Plain(map));
        }
        let text = yaml::write_value(&map, yaml::Dialect::Marshal, self.engine.scope)?;
        Ok(Held::Plain(text.into()))
    }

    fn no_field(&self, name: &str, type_name: &str) -> Stop {
        self.fault(&format!("can't evaluate field {name} in type {type_name}"))
    }

    fn member(
        &mut self,
        dot: &Held,
        object: &dyn Object,
        name: &str,
        call: Call<'t>,
    ) -> Result<Option<Held>, Stop> {
        let (node, before) = (call.node, self.at);
        let mut arguments = Vec::with_capacity(call.operands.len() + call.last.count());
        for operand in call.operands {
            arguments.push(self.argument(dot, Parameter::Any, operand)?.into_value());
        }
        if let Last::Is(value) = call.last {
            arguments.push(value.into_value());
        }
        match object.member(name, &arguments) {
            Ok(found) => Ok(found.map(Held::result)),
            Err(Failure::Limit(limit)) => Err(Stop::limit(limit)),
            // Only the object knows its methods' parameters, but such an error is the evaluator's in Go.
            Err(Failure::Said(text)) if is_evaluators(&text) => {
                if !text.contains("expected") {
                    self.at = before;
                }
                Err(self.fault(&text))
            }
            Err(Failure::Said(text)) => {
                self.at = node;
                Err(Stop::said(text).wrapped(format!("{}error calling {name}: ", self.place())))
            }
        }
    }
}

/// Whether the text is what Go's evaluator, not a method, says of a call.
fn is_evaluators(text: &str) -> bool {
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
