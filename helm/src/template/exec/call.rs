//! Calls of functions: counts, evaluates and type-checks arguments as Go's reflection does.

use std::rc::Rc;

use gostd::value::{Element, Value};

use super::eval_value::Last;
use super::special::{self, Special};
use super::{At, EvalValue, Frame};
use crate::funcs;
use crate::function::{Arguments, Failure, Function, Parameter};
use crate::template::ast::{Expression, Operand};
use crate::template::error::Stop;

/// The arguments for a function, method or field.
pub(super) struct Call<'t> {
    /// The node that an error of the function itself names.
    pub(super) node: At<'t>,
    /// The arguments in the command.
    pub(super) operands: &'t [Operand],
    /// The argument from the pipeline.
    pub(super) last: Last,
}

impl Call<'_> {
    pub(super) fn has_arguments(&self) -> bool {
        !self.operands.is_empty() || self.last.count() > 0
    }
}

/// The parameters of a function.
#[derive(Clone, Copy)]
pub(super) struct Signature {
    pub(super) parameters: &'static [Parameter],
    pub(super) rest: Option<Parameter>,
}

impl Signature {
    /// The type of the argument at `index`.
    fn parameter(self, index: usize) -> Parameter {
        self.parameters.get(index).copied().or(self.rest).unwrap_or(Parameter::Any)
    }
}

impl<'t> Frame<'t> {
    /// `evalFunction` and `evalCall`
    pub(super) fn call(&mut self, dot: &EvalValue, name: &str, call: Call<'t>) -> Result<EvalValue, Stop> {
        if let Some((special, signature)) = special::find(name) {
            self.count(name, signature, &call)?;
            if matches!(special, Special::And | Special::Or) {
                return self.short_circuit(dot, matches!(special, Special::Or), call);
            }
            let node = call.node;
            let callee = call.operands.first();
            let arguments = self.arguments(dot, signature, call)?;
            let arguments: Vec<Value> = arguments.into_iter().map(EvalValue::into_value).collect();
            let result = self.special(special, callee, &arguments);
            return result.map(EvalValue::result).map_err(|stop| self.failed(node, name, stop));
        }
        let Some(function) = funcs::find(name) else {
            return Err(self.error(&format!("{name:?} is not a defined function")));
        };
        let signature = Signature { parameters: function.parameters, rest: function.rest };
        self.count(name, signature, &call)?;
        let node = call.node;
        let arguments = self.arguments(dot, signature, call)?;
        let result = self.run(function, arguments);
        result.map(EvalValue::result).map_err(|failure| self.failed(node, name, failure.into()))
    }

    fn run(&self, function: &Function, arguments: Vec<EvalValue>) -> Result<Value, Failure> {
        // The only function that distinguishes the two nils: in Go, reflection panics if there is no value at all.
        if function.name == "len" && matches!(arguments.as_slice(), [EvalValue::Nothing]) {
            return Err("reflect: call of reflect.Value.Type on zero Value".into());
        }
        let arguments: Vec<Value> = arguments.into_iter().map(EvalValue::into_value).collect();
        (function.body)(self.engine.scope, Arguments(&arguments))
    }

    fn failed(&mut self, node: At<'t>, name: &str, stop: Stop) -> Stop {
        self.at = node;
        match stop {
            Stop::Limit { .. } => stop.located(|| self.line()),
            Stop::Error(_) => stop.wrapped(format!("{}error calling {name}: ", self.error_prefix())),
        }
    }

    fn count(&self, name: &str, signature: Signature, call: &Call<'t>) -> Result<(), Stop> {
        let fixed = signature.parameters.len();
        let given = call.operands.len() + call.last.count();
        if signature.rest.is_some() {
            if given < fixed {
                let given = call.operands.len();
                let text = format!("wrong number of args for {name}: want at least {fixed} got {given}");
                return Err(self.error(&text));
            }
        } else if given != fixed {
            return Err(self.error(&format!("wrong number of args for {name}: want {fixed} got {given}")));
        }
        Ok(())
    }

    fn arguments(
        &mut self,
        dot: &EvalValue,
        signature: Signature,
        call: Call<'t>,
    ) -> Result<Vec<EvalValue>, Stop> {
        let mut arguments = Vec::with_capacity(call.operands.len() + call.last.count());
        for (index, operand) in call.operands.iter().enumerate() {
            arguments.push(self.argument(dot, signature.parameter(index), operand)?);
        }
        if let Last::Is(value) = call.last {
            let parameter = signature.parameter(arguments.len());
            arguments.push(self.validated(value, parameter)?);
        }
        Ok(arguments)
    }

    /// `and` and `or` evaluate only as many arguments as necessary.
    fn short_circuit(&mut self, dot: &EvalValue, stops_at: bool, call: Call<'t>) -> Result<EvalValue, Stop> {
        let mut value = EvalValue::Nothing;
        for operand in call.operands {
            value = self.argument(dot, Parameter::Any, operand)?;
            if value.truth() == stops_at {
                return Ok(value);
            }
        }
        if let Last::Is(last) = call.last {
            value = last;
        }
        Ok(value)
    }

    /// `evalArg`
    pub(super) fn argument(
        &mut self,
        dot: &EvalValue,
        parameter: Parameter,
        operand: &'t Operand,
    ) -> Result<EvalValue, Stop> {
        self.engine.scope.step(1)?;
        self.at = At::Operand(operand);
        let bare = Call { node: At::Operand(operand), operands: &[], last: Last::Missing };
        let value = match &operand.expression {
            Expression::Dot => dot.clone(),
            Expression::Nil if can_be_nil(parameter) => return Ok(EvalValue::Nothing),
            Expression::Nil => return Err(self.error(&format!("cannot assign nil to {}", name(parameter)))),
            Expression::Field(names) => self.fields(dot, dot.clone(), names, bare)?,
            Expression::Variable { name, fields } => {
                let value = self.variable(name)?;
                self.fields(dot, value, fields, bare)?
            }
            Expression::Pipeline(pipeline) => self.nested(pipeline, dot)?,
            Expression::Function(name) => self.call(dot, name, bare)?,
            Expression::Chain { operand: inner, fields } => {
                let receiver = self.chained(operand, inner, dot)?;
                self.fields(dot, receiver, fields, bare)?
            }
            Expression::Bool(_)
            | Expression::Number(_)
            | Expression::Str { .. }
            | Expression::Binary { .. } => {
                return self.literal(dot, parameter, operand);
            }
        };
        self.validated(value, parameter)
    }

    /// Converts a constant to the type of the parameter, if possible.
    fn literal(
        &mut self,
        dot: &EvalValue,
        parameter: Parameter,
        operand: &'t Operand,
    ) -> Result<EvalValue, Stop> {
        let found = match (parameter, &operand.expression) {
            (Parameter::Any, _) => return self.constant(operand, dot),
            (Parameter::Bool, Expression::Bool(truth)) => Some(Value::Bool(*truth)),
            (Parameter::Float64, Expression::Number(number)) => number.float.map(Value::Float64),
            (Parameter::Int, Expression::Number(number)) => number.int.map(Value::Int),
            (Parameter::Str, Expression::Str { text, .. }) => Some(Value::Str(Rc::clone(text))),
            (Parameter::Str, Expression::Binary { bytes, .. }) => Some(Value::Binary(Rc::clone(bytes))),
            _ => None,
        };
        let expected = match parameter {
            Parameter::Int => "integer",
            Parameter::Float64 => "float",
            _ => name(parameter),
        };
        match found {
            Some(value) => Ok(EvalValue::Plain(value)),
            None if matches!(parameter, Parameter::Map | Parameter::List) => {
                Err(self.error(&format!("can't handle {operand} for arg of type {expected}")))
            }
            None => Err(self.error(&format!("expected {expected}; found {operand}"))),
        }
    }

    /// `validateType`
    fn validated(&self, held: EvalValue, parameter: Parameter) -> Result<EvalValue, Stop> {
        let found = match &held {
            EvalValue::Nothing if can_be_nil(parameter) => return Ok(held),
            EvalValue::Nothing => {
                return Err(self.error(&format!("invalid value; expected {}", name(parameter))));
            }
            EvalValue::Plain(value) | EvalValue::Boxed(value) if is_assignable(value, parameter) => {
                return Ok(held);
            }
            EvalValue::Boxed(Value::Nil) => "interface {}",
            EvalValue::Plain(value) | EvalValue::Boxed(value) => value.type_name(),
        };
        Err(self.error(&format!("wrong type for value; expected {}; got {found}", name(parameter))))
    }
}

fn can_be_nil(parameter: Parameter) -> bool {
    matches!(parameter, Parameter::Any | Parameter::Map | Parameter::List)
}

fn is_assignable(value: &Value, parameter: Parameter) -> bool {
    match parameter {
        Parameter::Any => true,
        Parameter::Str => matches!(value, Value::Str(_) | Value::Binary(_)),
        Parameter::Int => matches!(value, Value::Int(_)),
        Parameter::Float64 => matches!(value, Value::Float64(_)),
        Parameter::Bool => matches!(value, Value::Bool(_)),
        Parameter::Map => {
            matches!(value, Value::Map(map) if matches!(map.element, Element::Any | Element::Values))
        }
        Parameter::List => matches!(value, Value::List(list) if list.element == Element::Any),
    }
}

fn name(parameter: Parameter) -> &'static str {
    match parameter {
        Parameter::Any => "interface {}",
        Parameter::Str => "string",
        Parameter::Int => "int",
        Parameter::Float64 => "float64",
        Parameter::Bool => "bool",
        Parameter::Map => "map[string]interface {}",
        Parameter::List => "[]interface {}",
    }
}
