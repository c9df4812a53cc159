//! Pipelines, commands and variables.

use std::rc::Rc;

use gostd::value::Value;

use super::call::Call;
use super::eval_value::Last;
use super::{At, EvalValue, Frame};
use crate::template::ast::{Command, Expression, Number, Operand, Pipeline};
use crate::template::error::Stop;

impl<'t> Frame<'t> {
    /// `evalPipeline`: the result is never an interface, so a nil interface becomes no value.
    pub(super) fn pipeline(&mut self, pipeline: &'t Pipeline, dot: &EvalValue) -> Result<EvalValue, Stop> {
        self.at = At::Pipeline(pipeline);
        let mut last = Last::Missing;
        for command in &pipeline.commands {
            self.engine.scope.step(1)?;
            last = Last::Is(self.command(command, dot, last)?.unboxed());
        }
        let value = match last {
            Last::Missing => EvalValue::Nothing,
            Last::Is(value) => value,
        };
        for name in &pipeline.variables {
            if pipeline.assigns {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((Rc::clone(name), value.clone()));
            }
        }
        Ok(value)
    }

    /// A pipeline in parentheses.
    pub(super) fn nested(&mut self, pipeline: &'t Pipeline, dot: &EvalValue) -> Result<EvalValue, Stop> {
        self.engine.enter()?;
        let value = self.pipeline(pipeline, dot)?;
        self.engine.leave();
        Ok(value)
    }

    /// `evalCommand`
    fn command(&mut self, command: &'t Command, dot: &EvalValue, last: Last) -> Result<EvalValue, Stop> {
        let Some((first, operands)) = command.operands.split_first() else { return Ok(EvalValue::Nothing) };
        match &first.expression {
            Expression::Field(names) => {
                self.at = At::Operand(first);
                self.fields(dot, dot.clone(), names, Call { node: At::Operand(first), operands, last })
            }
            Expression::Chain { operand, fields } => {
                let receiver = self.chained(first, operand, dot)?;
                self.fields(dot, receiver, fields, Call { node: At::Operand(first), operands, last })
            }
            Expression::Function(name) => {
                self.at = At::Operand(first);
                self.call(dot, name, Call { node: At::Command(command), operands, last })
            }
            Expression::Pipeline(pipeline) => {
                self.not_a_function(first, operands, &last)?;
                self.nested(pipeline, dot)
            }
            Expression::Variable { name, fields } => {
                self.at = At::Operand(first);
                let value = self.variable(name)?;
                if fields.is_empty() {
                    self.not_a_function(first, operands, &last)?;
                    return Ok(value);
                }
                self.fields(dot, value, fields, Call { node: At::Operand(first), operands, last })
            }
            _ => {
                self.at = At::Operand(first);
                self.not_a_function(first, operands, &last)?;
                self.constant(first, dot)
            }
        }
    }

    /// The value before the fields of `(pipeline).A.B`.
    pub(super) fn chained(
        &mut self,
        chain: &'t Operand,
        operand: &'t Operand,
        dot: &EvalValue,
    ) -> Result<EvalValue, Stop> {
        self.at = At::Operand(chain);
        if matches!(operand.expression, Expression::Nil) {
            return Err(self.error(&format!("indirection through explicit nil in {chain}")));
        }
        self.operand(operand, dot)
    }

    /// An operand of any type.
    fn operand(&mut self, operand: &'t Operand, dot: &EvalValue) -> Result<EvalValue, Stop> {
        self.argument(dot, crate::function::Parameter::Any, operand)
    }

    /// Evaluates a constant operand.
    pub(super) fn constant(&mut self, operand: &'t Operand, dot: &EvalValue) -> Result<EvalValue, Stop> {
        match &operand.expression {
            Expression::Dot => Ok(dot.clone()),
            Expression::Nil => Err(self.error("nil is not a command")),
            Expression::Bool(truth) => Ok(EvalValue::Plain(Value::Bool(*truth))),
            Expression::Number(number) => self.ideal(number),
            Expression::Str { text, .. } => Ok(EvalValue::Plain(Value::Str(Rc::clone(text)))),
            Expression::Binary { bytes, .. } => Ok(EvalValue::Plain(Value::Binary(Rc::clone(bytes)))),
            _ => Err(self.error(&format!("can't evaluate command {operand}"))),
        }
    }

    /// A number whose type depends only on its own syntax: `idealConstant`.
    pub(super) fn ideal(&self, number: &Number) -> Result<EvalValue, Stop> {
        let text = &*number.text;
        let is_hexadecimal = (text.starts_with("0x") || text.starts_with("0X"))
            && text.len() > 2
            && !text.contains(['p', 'P']);
        match number {
            Number { float: Some(float), is_character: false, .. }
                if !is_hexadecimal && text.contains(['.', 'e', 'E', 'p', 'P']) =>
            {
                Ok(EvalValue::Plain(Value::Float64(*float)))
            }
            Number { int: Some(int), .. } => Ok(EvalValue::Plain(Value::Int(*int))),
            Number { uint: Some(_), .. } => Err(self.error(&format!("{text} overflows int"))),
            Number { .. } => Ok(EvalValue::Nothing),
        }
    }

    fn not_a_function(&self, first: &'t Operand, operands: &'t [Operand], last: &Last) -> Result<(), Stop> {
        if operands.is_empty() && last.count() == 0 {
            return Ok(());
        }
        Err(self.error(&format!("can't give argument to non-function {first}")))
    }

    pub(super) fn variable(&self, name: &str) -> Result<EvalValue, Stop> {
        let found = self.variables.iter().rev().find(|(variable, _)| **variable == *name);
        match found {
            Some((_, value)) => Ok(value.clone()),
            None => Err(self.error(&format!("undefined variable: {name}"))),
        }
    }

    pub(super) fn assign(&mut self, name: &str, value: EvalValue) -> Result<(), Stop> {
        let found = self.variables.iter_mut().rev().find(|(variable, _)| **variable == *name);
        match found {
            Some((_, variable)) => {
                *variable = value;
                Ok(())
            }
            None => Err(self.error(&format!("undefined variable: {name}"))),
        }
    }
}
