//! Values of named Go types: `.Files`, `.Capabilities`, times, versions, certificates.

use crate::budget::Failure;
use crate::value::Value;

/// The `string` that a method asks for.
///
/// # Errors
/// What Go's evaluator says of anything else.
pub fn string(argument: &Value) -> Result<&[u8], Failure> {
    match argument {
        Value::Str(text) => Ok(text.as_bytes()),
        Value::Binary(bytes) => Ok(bytes),
        Value::Nil => Err("wrong type for value; expected string; got interface {}".into()),
        other => Err(format!("wrong type for value; expected string; got {}", other.type_name()).into()),
    }
}

/// A value whose Go type has fields or methods that templates may name.
pub trait Object {
    /// Go's type as `%T` prints it, for example `*semver.Version`.
    fn type_name(&self) -> &'static str;

    /// Go's `reflect.Kind` by name: `struct`, `ptr`, `slice`, `map`.
    fn kind(&self) -> &'static str;

    /// The field or the result of the method `name`; `Ok(None)` when the type has neither.
    ///
    /// # Errors
    /// What Go's method would return as its error.
    fn member(&self, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure>;

    /// What JSON, and hence YAML, makes of it.
    fn plain(&self) -> Value;

    /// The fields of a structure in their order, which JSON keeps and YAML does not; none of what is no structure, or
    /// has them in the order of their names.
    fn fields(&self) -> Option<Vec<(&'static str, Value)>> {
        None
    }

    /// What `%v` prints.
    fn print(&self) -> String;

    /// What an action prints, which unlike a function has the value's address and so all its methods.
    fn shown(&self) -> String {
        self.print()
    }

    /// What `%+v` prints.
    fn print_with_names(&self) -> String {
        self.print()
    }

    /// Whether `if` takes it.
    fn truth(&self) -> bool {
        true
    }

    /// Keys and elements, in order, for `range`, `index` and `len`; none for what cannot be walked.
    fn items(&self) -> Option<Vec<(Value, Value)>> {
        None
    }

    /// The type itself, for the functions of the module that made it.
    fn as_any(&self) -> &dyn std::any::Any;
}
