//! Sprig's semantic versions.

use std::rc::Rc;

use gostd::value::Value;

use crate::function::Parameter::Str;
use crate::function::{Arguments, Failure, Function, Scope};
use crate::semver::{Constraint, Version};

/// The functions of this group.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "semver", parameters: &[Str], rest: None, body: semver },
    Function { name: "semverCompare", parameters: &[Str, Str], rest: None, body: compare },
];

fn semver(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let version = Version::parse(arguments.str(0)?).map_err(|error| error.to_string())?;
    Ok(Value::Object(Rc::new(version)))
}

fn compare(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    scope.step(1 + arguments.bytes(0).len() as u64)?;
    let constraint = Constraint::parse(arguments.str(0)?).map_err(|error| error.to_string())?;
    let version = Version::parse(arguments.str(1)?).map_err(|error| error.to_string())?;
    Ok(constraint.accepts(&version).into())
}
