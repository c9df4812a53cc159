//! Go's `fmt` for the values of templates: `print`, `println`, `printf` and what an action prints.
//!
//! Follows `src/fmt/print.go` and `format.go` of Go 1.26, whose texts for wrong verbs and missing arguments
//! are part of what charts print. All text is accounted for by [`Budget::produce`] before it is made.

mod directive;
mod float;
mod integer;
mod printer;
mod quote;
mod text;

use crate::budget::{Budget, Failure};
use crate::value::Value;

pub use float::format as float;
pub use quote::{is_print, quote};

use printer::Printer;

/// `fmt.Sprint`: a space between two operands when neither is a string.
///
/// # Errors
/// A bound of the render is met.
pub fn sprint(scope: &Budget<'_>, values: &[Value]) -> Result<Value, Failure> {
    let mut printer = Printer::new(scope);
    let mut after_string = true;
    for value in values {
        let is_string = value.kind() == "string";
        if !is_string && !after_string {
            printer.write(b" ")?;
        }
        printer.argument(value, 'v')?;
        after_string = is_string;
    }
    Ok(Value::string(printer.finish()))
}

/// `fmt.Sprintln`: a space between all operands and a line feed at the end.
///
/// # Errors
/// A bound of the render is met.
pub fn sprintln(scope: &Budget<'_>, values: &[Value]) -> Result<Value, Failure> {
    let mut printer = Printer::new(scope);
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            printer.write(b" ")?;
        }
        printer.argument(value, 'v')?;
    }
    printer.write(b"\n")?;
    Ok(Value::string(printer.finish()))
}

/// `fmt.Sprintf`.
///
/// # Errors
/// A bound of the render is met.
pub fn sprintf(scope: &Budget<'_>, format: &[u8], values: &[Value]) -> Result<Value, Failure> {
    let mut printer = Printer::new(scope);
    directive::run(&mut printer, format, values)?;
    Ok(Value::string(printer.finish()))
}

/// What `%v` prints of one value, added to `out`.
///
/// # Errors
/// A bound of the render is met.
pub fn append(scope: &Budget<'_>, out: &mut Vec<u8>, value: &Value) -> Result<(), Failure> {
    // Nearly all that templates print is text: no printer for it.
    if let Some(bytes) = value.bytes()
        && value.kind() == "string"
    {
        scope.produce(bytes.len())?;
        out.extend_from_slice(bytes);
        return Ok(());
    }
    let mut printer = Printer::onto(scope, std::mem::take(out));
    let result = printer.argument(value, 'v');
    *out = printer.finish();
    result
}

/// What `%v` prints of one value.
///
/// # Errors
/// A bound of the render is met.
pub fn display(scope: &Budget<'_>, value: &Value) -> Result<Value, Failure> {
    let mut out = Vec::new();
    append(scope, &mut out, value)?;
    Ok(Value::string(out))
}

#[cfg(test)]
mod tests;
