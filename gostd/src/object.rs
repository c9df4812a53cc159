//! Values of named Go types: `.Files`, `.Capabilities`, times, versions, certificates.

use crate::budget::Failure;
use crate::value::Value;

/// The bytes of an argument that must be a `string`.
///
/// # Errors
/// The argument is not a string; the error text is that of Go's evaluator.
pub fn string(argument: &Value) -> Result<&[u8], Failure> {
    match argument {
        Value::Str(text) => Ok(text.as_bytes()),
        Value::Binary(bytes) => Ok(bytes),
        Value::Nil => Err("wrong type for value; expected string; got interface {}".into()),
        other => Err(format!("wrong type for value; expected string; got {}", other.type_name()).into()),
    }
}

/// A value whose Go type has fields or methods that templates can use.
pub trait Object {
    /// Go's type as `%T` prints it, for example `*semver.Version`.
    fn type_name(&self) -> &'static str;

    /// Go's `reflect.Kind` by name: `struct`, `ptr`, `slice`, `map`.
    fn kind(&self) -> &'static str;

    /// The field `name` or the result of the method `name`; `Ok(None)` if the type has neither.
    ///
    /// # Errors
    /// The error of the Go method.
    fn member(&self, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure>;

    /// The value that JSON, and hence YAML, represents it as.
    fn plain(&self) -> Value;

    /// The fields of a struct in their declared order, which JSON keeps and YAML does not. `None` if the value is not a
    /// struct, or if its fields are declared in the order of their names.
    fn fields(&self) -> Option<Vec<(&'static str, Value)>> {
        None
    }

    /// What `%v` prints.
    fn print(&self) -> String;

    /// What an action prints. Unlike a function, an action has the address of the value, and so all its methods.
    fn shown(&self) -> String {
        self.print()
    }

    /// What `%+v` prints.
    fn print_with_names(&self) -> String {
        self.print()
    }

    /// Whether `if` treats it as true.
    fn truth(&self) -> bool {
        true
    }

    /// Keys and elements, in order, for `range`, `index` and `len`; `None` if the value has no elements.
    fn items(&self) -> Option<Vec<(Value, Value)>> {
        None
    }

    /// The concrete type, for the functions of the module that created the value.
    fn as_any(&self) -> &dyn std::any::Any;
}
