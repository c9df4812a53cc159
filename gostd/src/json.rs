//! JSON as Go's `encoding/json` reads and writes it, and conversions between template values and `serde_json` values.

pub mod number;
pub mod reader;
pub(crate) mod tree;
pub mod writer;

use base64::Engine as _;

use crate::budget::{Budget, Failure};
use crate::value::Value;
use tree::{Number, Scalar, Sink, Target, Walk, walk};
use writer::{Style, Writer};

/// Orders keys by their bytes, as Go sorts them in JSON.
fn bytewise(a: &str, b: &str) -> bool {
    a < b
}

/// A walk in JSON order, within the limits of `scope`.
fn bounded<'a>(scope: &'a Budget<'_>, step: &'a dyn Fn(u64) -> Result<(), Failure>) -> Walk<'a> {
    Walk { before: bytewise, keeps_fields: true, depth: scope.limits.value_depth, step }
}

/// The JSON text of a value.
///
/// # Errors
/// [`Failure::Message`] with Go's error text, or [`Failure::Limit`].
pub fn write(value: &Value, style: Style, scope: &Budget<'_>) -> Result<String, Failure> {
    let mut writer = Writer::new(style, Some(scope));
    walk(value.clone(), bounded(scope, &|nodes| scope.step(nodes)), &mut writer)?;
    Ok(writer.finish())
}

/// Converts a `serde_json` value into a template value. Integers become int64, as in Kubernetes' unstructured
/// objects.
#[must_use]
pub fn to_value(json: &serde_json::Value) -> Value {
    let number = |number| match number {
        Number::Int(number) => Value::Int64(number),
        other => Target::number(other),
    };
    let mut builder = Builder { number, stack: Vec::new(), root: Value::Nil };
    // The value is already in memory, so the walk needs no limit, and it cannot fail otherwise.
    let unbounded = Walk { before: bytewise, keeps_fields: true, depth: usize::MAX, step: &|_| Ok(()) };
    let _ = walk(json, unbounded, &mut builder);
    builder.root
}

/// Converts a template value into the `serde_json` value that Go's JSON text of it would parse to.
///
/// # Errors
/// The value has no JSON form, or exceeds a limit.
#[cfg(test)]
pub fn from_value(value: &Value, scope: &Budget<'_>) -> Result<serde_json::Value, Failure> {
    let mut builder = Builder { number: Target::number, stack: Vec::new(), root: serde_json::Value::Null };
    walk(value.clone(), bounded(scope, &|nodes| scope.step(nodes)), &mut builder)?;
    Ok(builder.root)
}

enum Level<T: Target> {
    List(Vec<T>),
    Map(T::Entries, String),
}

/// Builds a value from a walk.
struct Builder<T: Target> {
    number: fn(Number) -> T,
    stack: Vec<Level<T>>,
    root: T,
}

impl<T: Target> Builder<T> {
    fn put(&mut self, value: T) {
        match self.stack.last_mut() {
            None => self.root = value,
            Some(Level::List(items)) => items.push(value),
            Some(Level::Map(entries, key)) => T::insert(entries, std::mem::take(key), value),
        }
    }
}

impl<T: Target> Sink for Builder<T> {
    fn scalar(&mut self, scalar: Scalar<'_>) -> Result<(), Failure> {
        let value = match scalar {
            Scalar::Null => T::null(),
            Scalar::Bool(value) => T::bool(value),
            Scalar::Number(number) => {
                writer::numeral(number)?;
                (self.number)(number)
            }
            Scalar::Text(text) => T::text(text.into()),
            Scalar::Binary(bytes) => T::text(writer::replace_invalid(bytes).into()),
            Scalar::Bytes(bytes) => T::text(base64::engine::general_purpose::STANDARD.encode(bytes).into()),
        };
        self.put(value);
        Ok(())
    }

    fn key(&mut self, next: &str) -> Result<(), Failure> {
        if let Some(Level::Map(_, key)) = self.stack.last_mut() {
            next.clone_into(key);
        }
        Ok(())
    }

    fn open_list(&mut self, length: usize) -> Result<(), Failure> {
        self.stack.push(Level::List(Vec::with_capacity(length)));
        Ok(())
    }

    fn open_map(&mut self, _: usize) -> Result<(), Failure> {
        self.stack.push(Level::Map(T::Entries::default(), String::new()));
        Ok(())
    }

    fn close(&mut self) -> Result<(), Failure> {
        match self.stack.pop() {
            Some(Level::List(items)) => self.put(T::list(items)),
            Some(Level::Map(entries, _)) => self.put(T::map(entries)),
            None => {}
        }
        Ok(())
    }
}
