//! Dates and durations. The clock is the render's, and the local zone is UTC.
//!
//! Source: Sprig 3.3 `date.go`, the duration helpers of Helm 4 `pkg/engine/funcs.go`.

#![expect(clippy::unnecessary_wraps, reason = "the table's functions have one signature")]

mod objects;
mod spans;

use std::rc::Rc;

pub(crate) use self::objects::{Duration, Instant};
use Parameter::{Any, Str};
use gostd::time::{Time, Zone, duration, format, parse};
use gostd::value::Value;

use crate::function::{Arguments, Failure, Function, Parameter, Scope};

pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "ago", parameters: &[Any], rest: None, body: ago },
    Function { name: "date", parameters: &[Str, Any], rest: None, body: date },
    Function { name: "date_in_zone", parameters: &[Str, Any, Str], rest: None, body: date_in_zone },
    Function { name: "dateInZone", parameters: &[Str, Any, Str], rest: None, body: date_in_zone },
    Function { name: "date_modify", parameters: &[Str, Any], rest: None, body: date_modify },
    Function { name: "dateModify", parameters: &[Str, Any], rest: None, body: date_modify },
    Function { name: "duration", parameters: &[Any], rest: None, body: spans::duration },
    Function { name: "durationDays", parameters: &[Any], rest: None, body: spans::days },
    Function { name: "durationHours", parameters: &[Any], rest: None, body: spans::hours },
    Function { name: "durationMicroseconds", parameters: &[Any], rest: None, body: spans::microseconds },
    Function { name: "durationMilliseconds", parameters: &[Any], rest: None, body: spans::milliseconds },
    Function { name: "durationMinutes", parameters: &[Any], rest: None, body: spans::minutes },
    Function { name: "durationNanoseconds", parameters: &[Any], rest: None, body: spans::nanoseconds },
    Function { name: "durationRound", parameters: &[Any], rest: None, body: spans::round },
    Function { name: "durationRoundTo", parameters: &[Any, Any], rest: None, body: spans::round_to },
    Function { name: "durationSeconds", parameters: &[Any], rest: None, body: spans::seconds },
    Function { name: "durationTruncateTo", parameters: &[Any, Any], rest: None, body: spans::truncate_to },
    Function { name: "durationWeeks", parameters: &[Any], rest: None, body: spans::weeks },
    Function { name: "htmlDate", parameters: &[Any], rest: None, body: html_date },
    Function { name: "htmlDateInZone", parameters: &[Any, Str], rest: None, body: html_date_in_zone },
    Function { name: "must_date_modify", parameters: &[Str, Any], rest: None, body: must_date_modify },
    Function { name: "mustDateModify", parameters: &[Str, Any], rest: None, body: must_date_modify },
    Function { name: "mustToDate", parameters: &[Str, Str], rest: None, body: must_to_date },
    Function { name: "mustToDuration", parameters: &[Any], rest: None, body: spans::must_to_duration },
    Function { name: "now", parameters: &[], rest: None, body: now_function },
    Function { name: "toDate", parameters: &[Str, Str], rest: None, body: to_date },
    Function { name: "unixEpoch", parameters: &[Any], rest: None, body: unix_epoch },
];

/// The render's clock.
pub(crate) fn now(scope: &Scope<'_>) -> Time {
    Time::unix(i64::try_from(scope.now.as_secs()).unwrap_or(i64::MAX), scope.now.subsec_nanos())
}

fn now_function(scope: &Scope<'_>, _: Arguments<'_>) -> Result<Value, Failure> {
    Ok(value(now(scope)))
}

fn value(time: Time) -> Value {
    Value::Object(Rc::new(Instant(time)))
}

fn date(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    shown(scope, arguments.str(0)?, arguments.any(1), "Local")
}

fn date_in_zone(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    shown(scope, arguments.str(0)?, arguments.any(1), arguments.str(2)?)
}

fn html_date(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    shown(scope, "2006-01-02", arguments.any(0), "Local")
}

fn html_date_in_zone(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    shown(scope, "2006-01-02", arguments.any(0), arguments.str(1)?)
}

fn shown(scope: &Scope<'_>, layout: &str, date: &Value, zone: &str) -> Result<Value, Failure> {
    // No element becomes eight times as long as in the layout; `MST` comes closest.
    scope.produce(layout.len().saturating_mul(8))?;
    let time = instant(date).unwrap_or_else(|| now(scope));
    Ok(format(&time.within(Zone::load(zone).unwrap_or(Zone::Utc)), layout).into())
}

/// A time, or seconds since 1970-01-01.
fn instant(date: &Value) -> Option<Time> {
    match date {
        Value::Int(seconds) | Value::Int64(seconds) => Some(Time::unix(*seconds, 0)),
        Value::Object(object) => object.as_any().downcast_ref::<Instant>().map(|instant| instant.0.clone()),
        _ => None,
    }
}

/// An argument for a parameter of type `time.Time`.
fn given(arguments: Arguments<'_>, index: usize) -> Result<Time, Failure> {
    match arguments.any(index) {
        Value::Nil => Err("invalid value; expected time.Time".into()),
        Value::Object(object) if object.as_any().is::<Instant>() => {
            Ok(instant(arguments.any(index)).unwrap_or_else(Time::zero))
        }
        other => Err(format!("wrong type for value; expected time.Time; got {}", other.type_name()).into()),
    }
}

fn date_modify(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let time = given(arguments, 1)?;
    Ok(value(duration::parse(arguments.str(0)?).map_or(time.clone(), |length| time.add(length))))
}

fn must_date_modify(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let time = given(arguments, 1)?;
    Ok(value(time.add(duration::parse(arguments.str(0)?)?)))
}

fn to_date(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    scope.step(1)?;
    Ok(value(parse(arguments.str(0)?, arguments.str(1)?).unwrap_or_else(|_| Time::zero())))
}

fn must_to_date(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    scope.step(1)?;
    Ok(value(parse(arguments.str(0)?, arguments.str(1)?)?))
}

fn unix_epoch(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(given(arguments, 0)?.seconds.to_string().into())
}

fn ago(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let now = now(scope);
    let time = instant(arguments.any(0)).unwrap_or_else(|| now.clone());
    Ok(duration::print(duration::round(now.since(&time), duration::SECOND)).into())
}

#[cfg(test)]
mod tests;
