//! `if`, `with` and `range`.

use std::rc::Rc;

use gostd::fmt;
use gostd::value::Value;

use super::{EvalValue, Flow, Frame};
use crate::template::ast::Branch;
use crate::template::error::Stop;

/// Index and element of each iteration of a loop.
type Iterations = Box<dyn Iterator<Item = (EvalValue, EvalValue)>>;

impl<'t> Frame<'t> {
    pub(super) fn condition(
        &mut self,
        branch: &'t Branch,
        dot: &EvalValue,
        rebinds: bool,
    ) -> Result<Flow, Stop> {
        let mark = self.variables.len();
        self.engine.enter()?;
        let value = self.pipeline(&branch.pipeline, dot)?;
        let flow = if value.truth() {
            self.walk(&branch.body, if rebinds { &value } else { dot })?
        } else if let Some(otherwise) = &branch.otherwise {
            self.walk(otherwise, dot)?
        } else {
            Flow::Next
        };
        self.engine.leave();
        self.variables.truncate(mark);
        Ok(flow)
    }

    pub(super) fn range(&mut self, branch: &'t Branch, dot: &EvalValue) -> Result<Flow, Stop> {
        let outer = self.variables.len();
        self.engine.enter()?;
        let value = self.pipeline(&branch.pipeline, dot)?;
        let mark = self.variables.len();
        let mut iterated = false;
        let mut flow = Flow::Next;
        for (index, element) in self.iterations(value, branch.pipeline.variables.len())? {
            iterated = true;
            self.engine.scope.step(1)?;
            self.bind(branch, index, &element)?;
            let ended = self.walk(&branch.body, &element)?;
            // Variables that the body declares live for one iteration.
            self.variables.truncate(mark);
            if ended == Flow::Break {
                break;
            }
        }
        if !iterated && let Some(otherwise) = &branch.otherwise {
            flow = self.walk(otherwise, dot)?;
        }
        self.engine.leave();
        self.variables.truncate(outer);
        Ok(flow)
    }

    /// The iterations over a value. A map is iterated as it was at the start, in the order of its keys.
    fn iterations(&self, value: EvalValue, variables: usize) -> Result<Iterations, Stop> {
        let value = match value {
            EvalValue::Nothing => return Ok(Box::new(std::iter::empty())),
            EvalValue::Plain(value) | EvalValue::Boxed(value) => value,
        };
        let number: fn(u64) -> Value = match value {
            Value::Int(_) => |turn| Value::Int(turn.cast_signed()),
            Value::Int64(_) => |turn| Value::Int64(turn.cast_signed()),
            _ => Value::Uint64,
        };
        match value {
            Value::Int(_) | Value::Int64(_) | Value::Uint64(_) if variables > 1 => {
                Err(self.value_error("can't use ", &value, " to iterate over more than one variable"))
            }
            Value::Int(count) | Value::Int64(count) => Ok(Box::new(
                (0..count.max(0).cast_unsigned())
                    .map(move |turn| (EvalValue::Nothing, EvalValue::Plain(number(turn)))),
            )),
            Value::Uint64(count) => {
                Ok(Box::new((0..count).map(move |turn| (EvalValue::Nothing, EvalValue::Plain(number(turn))))))
            }
            Value::List(list) => {
                let items = Rc::clone(&list.items);
                let element = list.element;
                Ok(Box::new((0_i64..).zip(0..items.len()).map(move |(index, at)| {
                    let item = items.get(at).cloned().unwrap_or(Value::Nil);
                    (EvalValue::Plain(Value::Int(index)), EvalValue::element(item, element))
                })))
            }
            Value::Bytes(bytes) => Ok(Box::new((0_i64..).zip(0..bytes.len()).map(move |(index, at)| {
                let byte = bytes.get(at).copied().unwrap_or_default();
                (EvalValue::Plain(Value::Int(index)), EvalValue::Plain(Value::Uint64(byte.into())))
            }))),
            Value::Map(map) => {
                let entries = map.entries.borrow().clone();
                let element = map.element;
                self.engine.scope.step(entries.len() as u64)?;
                Ok(Box::new(entries.into_iter().map(move |(key, item)| {
                    (EvalValue::Plain(Value::Str(key)), EvalValue::element(item, element))
                })))
            }
            Value::Object(ref object) => match object.items() {
                Some(items) => {
                    self.engine.scope.step(items.len() as u64)?;
                    Ok(Box::new(
                        items.into_iter().map(|(key, item)| (EvalValue::data(key), EvalValue::result(item))),
                    ))
                }
                None => Err(self.value_error("range can't iterate over ", &value, "")),
            },
            _ => Err(self.value_error("range can't iterate over ", &value, "")),
        }
    }

    fn value_error(&self, before: &str, value: &Value, after: &str) -> Stop {
        let mut text = before.as_bytes().to_vec();
        if let Err(failure) = fmt::append(self.engine.scope, &mut text, value) {
            return failure.into();
        }
        text.extend_from_slice(after.as_bytes());
        self.error(&String::from_utf8_lossy(&text))
    }

    /// Sets the variables of the loop for one iteration. A single variable receives the element.
    fn bind(&mut self, branch: &'t Branch, index: EvalValue, element: &EvalValue) -> Result<(), Stop> {
        let pipeline = &branch.pipeline;
        let (first, second) = match pipeline.variables.as_slice() {
            [] => return Ok(()),
            [only] => (None, only),
            [first, second, ..] => (Some(first), second),
        };
        if pipeline.assigns {
            if let Some(first) = first {
                self.assign(first, index)?;
            }
            return self.assign(second, element.clone());
        }
        // The pipeline has already declared the variables, so only their values change.
        let top = self.variables.len();
        if let Some((_, value)) = self.variables.get_mut(top.wrapping_sub(1)) {
            value.clone_from(element);
        }
        if first.is_some()
            && let Some((_, value)) = self.variables.get_mut(top.wrapping_sub(2))
        {
            *value = index;
        }
        Ok(())
    }
}
