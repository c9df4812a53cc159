//! The form of a manifest after a Go program has read it into its types and written it again: the contracts sign that
//! form, not the text. Unknown keys and empty optional values vanish, and required ones appear (encoding/json of Go).

use serde_json::{Map, Value};

use super::Refusal;
use super::path::{Path, Step};
use crate::Result;

/// The largest integer that jq, which calculates in float64, represents exactly.
const MAX_INTEGER: i64 = 1 << 53;

/// The type of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// `string`.
    Text,
    /// `int`, `int64`.
    Integer,
    /// `bool`.
    Flag,
    /// `metav1.Time`.
    Time,
    /// `map[string]string`.
    Texts,
    /// A slice.
    List(&'static Shape),
    /// A struct.
    Record(&'static [Field]),
    /// A type that is not checked, because the contract removes the value anyway.
    Any,
}

/// When a member is omitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Omit {
    /// Never.
    Never,
    /// When it is empty: `omitempty`, which has no effect on structs.
    Empty,
    /// When it is absent: `omitempty` of a pointer.
    Absent,
}

/// A member of a [`Shape::Record`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) omit: Omit,
}

/// A manifest as its Go type would write it.
pub(super) struct Typed {
    pub(super) value: Value,
    /// The outermost unknown keys.
    pub(super) unknown: Vec<Path>,
}

/// Reads `value` into a struct with `fields` and writes it again.
///
/// # Errors
/// [`Refusal::Type`] for a value of another type, [`Refusal::KeyCase`] for a key that differs by case alone.
pub(super) fn typed(fields: &'static [Field], value: &Value) -> Result<Typed> {
    let mut projection = Projection { here: Path::default(), unknown: Vec::new() };
    let value = projection.value(&Shape::Record(fields), value)?;
    Ok(Typed { value, unknown: projection.unknown })
}

struct Projection {
    here: Path,
    unknown: Vec<Path>,
}

impl Projection {
    /// `null` leaves Go's zero value.
    fn value(&mut self, shape: &Shape, value: &Value) -> Result<Value> {
        match (shape, value) {
            (Shape::Text, Value::Null) => Ok("".into()),
            (Shape::Text, Value::String(_))
            | (Shape::Flag, Value::Bool(_))
            | (Shape::Time | Shape::Texts | Shape::List(_), Value::Null)
            | (Shape::Any, _) => Ok(value.clone()),
            (Shape::Flag, Value::Null) => Ok(false.into()),
            (Shape::Integer, Value::Null) => Ok(0.into()),
            (Shape::Integer, Value::Number(number)) if number.as_i64().is_some_and(is_exact) => {
                Ok(value.clone())
            }
            (Shape::Time, Value::String(text)) if is_time(text) => Ok(value.clone()),
            (Shape::Texts, Value::Object(map)) => self.texts(map),
            (Shape::List(item), Value::Array(list)) => {
                let items = list.iter().enumerate();
                items.map(|(index, value)| self.within(Step::Element(index), item, value)).collect()
            }
            (Shape::Record(fields), Value::Null) => self.record(fields, &Map::new()),
            (Shape::Record(fields), Value::Object(map)) => self.record(fields, map),
            _ => Err(Refusal::Type { at: self.here.to_string(), expected: shape.description() }.into()),
        }
    }

    fn within(&mut self, step: Step, shape: &Shape, value: &Value) -> Result<Value> {
        self.here.enter(step);
        let value = self.value(shape, value)?;
        self.here.leave();
        Ok(value)
    }

    fn texts(&mut self, map: &Map<String, Value>) -> Result<Value> {
        let texts = map.iter().map(|(name, value)| {
            Ok((name.clone(), self.within(Step::Member(name.clone()), &Shape::Text, value)?))
        });
        Ok(Value::Object(texts.collect::<Result<_>>()?))
    }

    fn record(&mut self, fields: &[Field], map: &Map<String, Value>) -> Result<Value> {
        for name in map.keys().filter(|name| fields.iter().all(|field| field.name != name.as_str())) {
            let path = self.here.member(name);
            // Go reads `Name` as `name`, and the API server drops it: the text is ambiguous.
            if let Some(field) = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)) {
                return Err(Refusal::KeyCase { found: path.to_string(), expected: field.name }.into());
            }
            self.unknown.push(path);
        }
        let mut record = Map::new();
        for field in fields {
            let found = map.get(field.name).unwrap_or(&Value::Null);
            let value = self.within(Step::Member(field.name.to_owned()), &field.shape, found)?;
            let omitted = match field.omit {
                Omit::Never => false,
                Omit::Absent => found.is_null(),
                Omit::Empty => !matches!(field.shape, Shape::Record(_)) && is_empty(&value),
            };
            if !omitted {
                record.insert(field.name.to_owned(), value);
            }
        }
        Ok(Value::Object(record))
    }
}

impl Shape {
    fn description(&self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Integer => "an integer below 2^53",
            Self::Flag => "true or false",
            Self::Time => "a time such as 2026-01-31T23:59:59Z",
            Self::List(_) => "a list",
            Self::Texts | Self::Record(_) => "a map",
            Self::Any => "a value",
        }
    }
}

fn is_exact(number: i64) -> bool {
    (-MAX_INTEGER..=MAX_INTEGER).contains(&number)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// A time as Kubernetes writes it, so that reading and writing does not change it.
fn is_time(text: &str) -> bool {
    let shape = b"0000-00-00T00:00:00Z";
    let fits = |(byte, model): (&u8, &u8)| if *model == b'0' { byte.is_ascii_digit() } else { byte == model };
    if text.len() != shape.len() || !text.as_bytes().iter().zip(shape).all(fits) {
        return false;
    }
    let number = |at: std::ops::Range<usize>| text.get(at).and_then(|digits| digits.parse::<u32>().ok());
    let within =
        |at, range: std::ops::RangeInclusive<u32>| number(at).is_some_and(|number| range.contains(&number));
    let leap = number(0..4).is_some_and(|year| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    let days = match number(5..7) {
        Some(2) if leap => 29,
        Some(2) => 28,
        Some(4 | 6 | 9 | 11) => 30,
        _ => 31,
    };
    within(5..7, 1..=12)
        && within(8..10, 1..=days)
        && within(11..13, 0..=23)
        && within(14..16, 0..=59)
        && within(17..19, 0..=59)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_calendar_times_are_accepted() {
        for good in ["2024-02-29T00:00:00Z", "2000-02-29T23:59:59Z", "2022-12-31T12:00:00Z"] {
            assert!(is_time(good), "{good}");
        }
        for bad in [
            "2023-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2022-04-31T00:00:00Z",
            "2022-01-01T24:00:00Z",
            "2022-13-01T00:00:00Z",
            "2022-01-01T00:00:60Z",
            "2022-01-01T00:00:00+00:00",
            "2022-01-01",
            "",
        ] {
            assert!(!is_time(bad), "{bad}");
        }
    }
}
