//! `time.Time`, `time.Duration` and their parts as values with methods.

use std::rc::Rc;

use gostd::object::Object;
use gostd::time::{Civil, MONTHS, Time, WEEKDAYS, Zone, duration, format};
use gostd::value::Value;

use crate::function::Failure;

/// `time.Time`
#[derive(Clone)]
pub(crate) struct Instant(pub(crate) Time);

/// `time.Duration`, in nanoseconds.
#[derive(Clone, Copy)]
pub(crate) struct Duration(pub(crate) i64);

/// `time.Month` or `time.Weekday`: a number with a name.
struct Named {
    type_name: &'static str,
    names: &'static [&'static str],
    first: i64,
    number: i64,
}

/// `*time.Location`
struct Location(String);

impl Object for Instant {
    fn type_name(&self) -> &'static str {
        "time.Time"
    }

    fn kind(&self) -> &'static str {
        "struct"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
        let time = &self.0;
        let value = match (name, arguments) {
            ("Format", [layout]) => format(time, text(layout)?).into(),
            ("Add", [length]) => instant(time.add(nanos(length)?)),
            ("Truncate", [step]) => instant(time.truncate(nanos(step)?)),
            ("Round", [step]) => instant(time.round(nanos(step)?)),
            ("Sub", [other]) => Value::Object(Rc::new(Duration(time.since(given(other)?)))),
            ("Before", [other]) => (time.total() < given(other)?.total()).into(),
            ("After", [other]) => (time.total() > given(other)?.total()).into(),
            ("Equal", [other]) => (time.total() == given(other)?.total()).into(),
            ("Compare", [other]) => Value::Int(i64::from(time.total().cmp(&given(other)?.total()) as i8)),
            ("AddDate", [years, months, days]) => {
                instant(add_date(time, int(years)?, int(months)?, int(days)?))
            }
            (
                "Format" | "Add" | "Truncate" | "Round" | "Sub" | "Before" | "After" | "Equal" | "Compare"
                | "AddDate",
                _,
            ) => {
                let wanted = if name == "AddDate" { 3 } else { 1 };
                let got = arguments.len();
                return Err(format!("wrong number of args for {name}: want {wanted} got {got}").into());
            }
            _ => return plain_member(time, name, arguments),
        };
        Ok(Some(value))
    }

    fn plain(&self) -> Value {
        format(&self.0, "2006-01-02T15:04:05.999999999Z07:00").into()
    }

    fn print(&self) -> String {
        self.0.print()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// The methods without parameters.
fn plain_member(time: &Time, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
    let civil = time.civil();
    let value = match name {
        "Year" => Value::Int(civil.year),
        "Month" => named("time.Month", &MONTHS, 1, civil.month),
        "Day" => Value::Int(civil.day),
        "Hour" => Value::Int(civil.hour),
        "Minute" => Value::Int(civil.minute),
        "Second" => Value::Int(civil.second),
        "Nanosecond" => Value::Int(i64::from(time.nanos)),
        "Weekday" => named("time.Weekday", &WEEKDAYS, 0, time.weekday()),
        "YearDay" => Value::Int(time.year_day()),
        "Unix" => Value::Int64(time.seconds),
        "UnixMilli" => Value::Int64(units(time, 1_000_000)),
        "UnixMicro" => Value::Int64(units(time, 1000)),
        "UnixNano" => Value::Int64(units(time, 1)),
        "IsZero" => time.is_zero().into(),
        "IsDST" => time.offset().saving.into(),
        "UTC" => instant(time.within(Zone::Utc)),
        "Local" => instant(time.within(Zone::Local)),
        "Location" => Value::Object(Rc::new(Location(time.zone.name().to_owned()))),
        "String" => time.print().into(),
        _ => return Ok(None),
    };
    no_arguments(name, arguments)?;
    Ok(Some(value))
}

/// The time in units of `size` nanoseconds; it wraps on overflow, as in Go.
fn units(time: &Time, size: i64) -> i64 {
    let per_second = 1_000_000_000 / size;
    time.seconds.wrapping_mul(per_second).wrapping_add(i64::from(time.nanos) / size)
}

fn add_date(time: &Time, years: i64, months: i64, days: i64) -> Time {
    let civil = time.civil();
    let moved = Civil {
        year: civil.year.wrapping_add(years),
        month: civil.month.wrapping_add(months),
        day: civil.day.wrapping_add(days),
        ..civil
    };
    Time::date(moved, time.nanos, time.zone.clone())
}

impl Object for Duration {
    fn type_name(&self) -> &'static str {
        "time.Duration"
    }

    fn kind(&self) -> &'static str {
        "int64"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
        let value = match (name, arguments) {
            ("Round", [step]) => {
                return Ok(Some(Value::Object(Rc::new(Self(duration::round(self.0, nanos(step)?))))));
            }
            ("Truncate", [step]) => {
                return Ok(Some(Value::Object(Rc::new(Self(duration::truncate(self.0, nanos(step)?))))));
            }
            ("Hours", _) => Value::Float64(duration::hours(self.0)),
            ("Minutes", _) => Value::Float64(duration::minutes(self.0)),
            ("Seconds", _) => Value::Float64(duration::seconds(self.0)),
            ("Milliseconds", _) => Value::Int64(self.0 / 1_000_000),
            ("Microseconds", _) => Value::Int64(self.0 / 1000),
            ("Nanoseconds", _) => Value::Int64(self.0),
            ("Abs", _) => Value::Object(Rc::new(Self(self.0.saturating_abs()))),
            ("String", _) => duration::print(self.0).into(),
            _ => return Ok(None),
        };
        no_arguments(name, arguments)?;
        Ok(Some(value))
    }

    fn plain(&self) -> Value {
        Value::Int64(self.0)
    }

    fn print(&self) -> String {
        duration::print(self.0)
    }

    fn truth(&self) -> bool {
        self.0 != 0
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Object for Named {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn kind(&self) -> &'static str {
        "int"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
        if name != "String" {
            return Ok(None);
        }
        no_arguments(name, arguments)?;
        Ok(Some(self.print().into()))
    }

    fn plain(&self) -> Value {
        Value::Int(self.number)
    }

    fn print(&self) -> String {
        let index = usize::try_from(self.number - self.first).ok();
        index.and_then(|index| self.names.get(index)).copied().unwrap_or_default().to_owned()
    }

    fn truth(&self) -> bool {
        self.number != 0
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Object for Location {
    fn type_name(&self) -> &'static str {
        "*time.Location"
    }

    fn kind(&self) -> &'static str {
        "ptr"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
        if name != "String" {
            return Ok(None);
        }
        no_arguments(name, arguments)?;
        Ok(Some(self.print().into()))
    }

    fn plain(&self) -> Value {
        // Go's JSON sees no exported field.
        Value::map::<&str>([])
    }

    fn print(&self) -> String {
        self.0.clone()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

fn instant(time: Time) -> Value {
    Value::Object(Rc::new(Instant(time)))
}

fn named(type_name: &'static str, names: &'static [&'static str], first: i64, number: i64) -> Value {
    Value::Object(Rc::new(Named { type_name, names, first, number }))
}

fn no_arguments(name: &str, arguments: &[Value]) -> Result<(), Failure> {
    if arguments.is_empty() {
        return Ok(());
    }
    Err(format!("wrong number of args for {name}: want 0 got {}", arguments.len()).into())
}

fn wrong(wanted: &str, got: &Value) -> Failure {
    format!("wrong type for value; expected {wanted}; got {}", got.type_name()).into()
}

fn text(value: &Value) -> Result<&str, Failure> {
    if let Value::Str(text) = value { Ok(text) } else { Err(wrong("string", value)) }
}

fn int(value: &Value) -> Result<i64, Failure> {
    if let Value::Int(number) = value { Ok(*number) } else { Err(wrong("int", value)) }
}

/// A duration; an integer counts nanoseconds.
fn nanos(value: &Value) -> Result<i64, Failure> {
    match value {
        Value::Int(nanos) => Ok(*nanos),
        Value::Object(object) => match object.as_any().downcast_ref::<Duration>() {
            Some(duration) => Ok(duration.0),
            None => Err(wrong("time.Duration", value)),
        },
        other => Err(wrong("time.Duration", other)),
    }
}

fn given(value: &Value) -> Result<&Time, Failure> {
    let Value::Object(object) = value else { return Err(wrong("time.Time", value)) };
    object
        .as_any()
        .downcast_ref::<Instant>()
        .map(|instant| &instant.0)
        .ok_or_else(|| wrong("time.Time", value))
}
