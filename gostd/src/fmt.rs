//! Go's `fmt` for template values: `print`, `println`, `printf` and the output of actions.
//!
//! Follows `src/fmt/print.go` and `format.go` of Go 1.26. Their texts for wrong verbs and missing arguments are part
//! of what charts print. [`Budget::produce`] accounts for all text before it is produced.

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
/// A limit of the render is exceeded.
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
/// A limit of the render is exceeded.
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
/// A limit of the render is exceeded.
pub fn sprintf(scope: &Budget<'_>, format: &[u8], values: &[Value]) -> Result<Value, Failure> {
    let mut printer = Printer::new(scope);
    directive::run(&mut printer, format, values)?;
    Ok(Value::string(printer.finish()))
}

/// Appends what `%v` prints for one value to `out`.
///
/// # Errors
/// A limit of the render is exceeded.
pub fn append(scope: &Budget<'_>, out: &mut Vec<u8>, value: &Value) -> Result<(), Failure> {
    // Nearly everything that templates print is text, which needs no printer.
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

/// What `%v` prints for one value.
///
/// # Errors
/// A limit of the render is exceeded.
pub fn display(scope: &Budget<'_>, value: &Value) -> Result<Value, Failure> {
    let mut out = Vec::new();
    append(scope, &mut out, value)?;
    Ok(Value::string(out))
}

#[cfg(test)]
mod tests;
