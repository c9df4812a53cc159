//! Pipelines, commands and variables.

use std::rc::Rc;

use gostd::value::Value;

use super::call::Call;
use super::held::Last;
use super::{At, Frame, Held};
use crate::template::ast::{Command, Expression, Number, Operand, Pipeline};
use crate::template::error::Stop;

impl<'t> Frame<'t> {
    /// `evalPipeline`: the result is never an interface, so a nil one becomes nothing at all.
    pub(super) fn pipeline(&mut self, pipeline: &'t Pipeline, dot: &Held) -> Result<Held, Stop> {
        self.at = At::Pipeline(pipeline);
        let mut last = Last::Missing;
        for command in &pipeline.commands {
            self.engine.scope.step(1)?;
            last = Last::Is(self.command(command, dot, last)?.unboxed());
        }
        let value = match last {
            Last::Missing => Held::Nothing,
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
    pub(super) fn nested(&mut self, pipeline: &'t Pipeline, dot: &Held) -> Result<Held, Stop> {
        self.engine.enter()?;
        let value = self.pipeline(pipeline, dot)?;
        self.engine.leave();
        Ok(value)
    }

    /// `evalCommand`
    fn command(&mut self, command: &'t Command, dot: &Held, last: Last) -> Result<Held, Stop> {
        let Some((first, operands)) = command.operands.split_first() else { return Ok(Held::Nothing) };
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

    /// What is before the fields of `(pipeline).A.B`.
    pub(super) fn chained(
        &mut self,
        chain: &'t Operand,
        operand: &'t Operand,
        dot: &Held,
    ) -> Result<Held, Stop> {
        self.at = At::Operand(chain);
        if matches!(operand.expression, Expression::Nil) {
            return Err(self.fault(&format!("indirection through explicit nil in {chain}")));
        }
        self.operand(operand, dot)
    }

    /// An operand whose type nobody asks for.
    fn operand(&mut self, operand: &'t Operand, dot: &Held) -> Result<Held, Stop> {
        self.argument(dot, crate::function::Parameter::Any, operand)
    }

    /// The operands that stand for themselves.
    pub(super) fn constant(&mut self, operand: &'t Operand, dot: &Held) -> Result<Held, Stop> {
        match &operand.expression {
            Expression::Dot => Ok(dot.clone()),
            Expression::Nil => Err(self.fault("nil is not a command")),
            Expression::Bool(truth) => Ok(Held::Plain(Value::Bool(*truth))),
            Expression::Number(number) => self.ideal(number),
            Expression::Str { text, .. } => Ok(Held::Plain(Value::Str(Rc::clone(text)))),
            Expression::Binary { bytes, .. } => Ok(Held::Plain(Value::Binary(Rc::clone(bytes)))),
            _ => Err(self.fault(&format!("can't evaluate command {operand}"))),
        }
    }

    /// A number whose type only its own syntax tells: `idealConstant`.
    pub(super) fn ideal(&self, number: &Number) -> Result<Held, Stop> {
        let text = &*number.text;
        let is_hexadecimal = (text.starts_with("0x") || text.starts_with("0X"))
            && text.len() > 2
            && !text.contains(['p', 'P']);
        match number {
            Number { float: Some(float), is_character: false, .. }
                if !is_hexadecimal && text.contains(['.', 'e', 'E', 'p', 'P']) =>
            {
                Ok(Held::Plain(Value::Float64(*float)))
            }
            Number { int: Some(int), .. } => Ok(Held::Plain(Value::Int(*int))),
            Number { uint: Some(_), .. } => Err(self.fault(&format!("{text} overflows int"))),
            Number { .. } => Ok(Held::Nothing),
        }
    }

    fn not_a_function(&self, first: &'t Operand, operands: &'t [Operand], last: &Last) -> Result<(), Stop> {
        if operands.is_empty() && last.count() == 0 {
            return Ok(());
        }
        Err(self.fault(&format!("can't give argument to non-function {first}")))
    }

    pub(super) fn variable(&self, name: &str) -> Result<Held, Stop> {
        let found = self.variables.iter().rev().find(|(variable, _)| **variable == *name);
        match found {
            Some((_, value)) => Ok(value.clone()),
            None => Err(self.fault(&format!("undefined variable: {name}"))),
        }
    }

    pub(super) fn assign(&mut self, name: &str, value: Held) -> Result<(), Stop> {
        let found = self.variables.iter_mut().rev().find(|(variable, _)| **variable == *name);
        match found {
            Some((_, variable)) => {
                *variable = value;
                Ok(())
            }
            None => Err(self.fault(&format!("undefined variable: {name}"))),
        }
    }
}
