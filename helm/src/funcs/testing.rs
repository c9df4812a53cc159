//! Calls single functions, for the unit tests of the functions.

use std::time::Duration;

use gostd::limits::Limits;
use gostd::value::Value;

use crate::function::{Arguments, Failure, Function, Random, Scope};
use crate::lookup::Deny;

/// 2024-05-06 07:08:09.123456789 UTC, the `now` of these calls.
pub(crate) const NOW: Duration = Duration::new(1_714_979_289, 123_456_789);

/// Calls the function `name` of `table`.
pub(crate) fn call(table: &[Function], name: &str, arguments: &[Value]) -> Result<Value, Failure> {
    with_seed(7, table, name, arguments)
}

/// The same with the seed `seed`.
pub(crate) fn with_seed(
    seed: u8,
    table: &[Function],
    name: &str,
    arguments: &[Value],
) -> Result<Value, Failure> {
    let limits = Limits::default();
    let scope = Scope::new(&limits, NOW, &Random::new([seed; 32]), &Deny);
    within(&scope, table, name, arguments)
}

/// The same in a scope from the caller.
pub(crate) fn within(
    scope: &Scope<'_>,
    table: &[Function],
    name: &str,
    arguments: &[Value],
) -> Result<Value, Failure> {
    let function = table.iter().find(|function| function.name == name).unwrap();
    (function.body)(scope, Arguments(arguments))
}
