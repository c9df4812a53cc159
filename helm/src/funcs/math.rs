//! Sprig's numbers: wrapping integer arithmetic, decimal arithmetic, rounding, ranges.

#![expect(clippy::unnecessary_wraps, reason = "the shape of every function's body")]

mod decimal;

use gostd::value::{Element, List, Value};

use super::{cast, text};
use crate::function::Parameter::{Any, Float64, Int, Str};
use crate::function::{Arguments, Failure, Function, Scope};

/// The functions of this group.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "add", parameters: &[], rest: Some(Any), body: add },
    Function { name: "add1", parameters: &[Any], rest: None, body: add_one },
    Function { name: "add1f", parameters: &[Any], rest: None, body: decimal::add_one },
    Function { name: "addf", parameters: &[], rest: Some(Any), body: decimal::add },
    Function { name: "atoi", parameters: &[Str], rest: None, body: atoi },
    Function { name: "biggest", parameters: &[Any], rest: Some(Any), body: max },
    Function { name: "ceil", parameters: &[Any], rest: None, body: ceil },
    Function { name: "div", parameters: &[Any, Any], rest: None, body: div },
    Function { name: "divf", parameters: &[Any], rest: Some(Any), body: decimal::div },
    Function { name: "float64", parameters: &[Any], rest: None, body: float },
    Function { name: "floor", parameters: &[Any], rest: None, body: floor },
    Function { name: "int", parameters: &[Any], rest: None, body: int },
    Function { name: "int64", parameters: &[Any], rest: None, body: int64 },
    Function { name: "max", parameters: &[Any], rest: Some(Any), body: max },
    Function { name: "maxf", parameters: &[Any], rest: Some(Any), body: max_float },
    Function { name: "min", parameters: &[Any], rest: Some(Any), body: min },
    Function { name: "minf", parameters: &[Any], rest: Some(Any), body: min_float },
    Function { name: "mod", parameters: &[Any, Any], rest: None, body: modulo },
    Function { name: "mul", parameters: &[Any], rest: Some(Any), body: mul },
    Function { name: "mulf", parameters: &[Any], rest: Some(Any), body: decimal::mul },
    Function { name: "round", parameters: &[Any, Int], rest: Some(Float64), body: round },
    Function { name: "seq", parameters: &[], rest: Some(Int), body: seq },
    Function { name: "sub", parameters: &[Any, Any], rest: None, body: sub },
    Function { name: "subf", parameters: &[Any], rest: Some(Any), body: decimal::sub },
    Function { name: "toDecimal", parameters: &[Any], rest: None, body: to_decimal },
    Function { name: "until", parameters: &[Int], rest: None, body: until },
    Function { name: "untilStep", parameters: &[Int, Int, Int], rest: None, body: until_step },
];

fn numbers(arguments: Arguments<'_>) -> impl Iterator<Item = i64> {
    arguments.from(0).iter().map(cast::to_int)
}

fn floats(arguments: Arguments<'_>) -> impl Iterator<Item = f64> {
    arguments.from(0).iter().map(cast::to_float)
}

fn int(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Int(cast::to_int(arguments.any(0))))
}

fn int64(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Int64(cast::to_int(arguments.any(0))))
}

fn float(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Float64(cast::to_float(arguments.any(0))))
}

fn atoi(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Int(arguments.str(0).map_or(0, cast::atoi)))
}

/// Parses octal digits, despite its name.
fn to_decimal(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let text = text::printed(scope, arguments.any(0))?;
    let number = std::str::from_utf8(&text).ok().and_then(|text| cast::parse_int(text, 8));
    Ok(Value::Int64(number.unwrap_or(0)))
}

fn add(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Int64(numbers(arguments).fold(0, i64::wrapping_add)))
}

fn add_one(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Int64(cast::to_int(arguments.any(0)).wrapping_add(1)))
}

fn sub(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Int64(numbers(arguments).reduce(i64::wrapping_sub).unwrap_or(0)))
}

fn mul(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Int64(numbers(arguments).reduce(i64::wrapping_mul).unwrap_or(0)))
}

const ZERO_DIVISOR: &str = "runtime error: integer divide by zero";

fn div(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    match cast::to_int(arguments.any(1)) {
        0 => Err(ZERO_DIVISOR.into()),
        divisor => Ok(Value::Int64(cast::to_int(arguments.any(0)).wrapping_div(divisor))),
    }
}

fn modulo(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    match cast::to_int(arguments.any(1)) {
        0 => Err(ZERO_DIVISOR.into()),
        divisor => Ok(Value::Int64(cast::to_int(arguments.any(0)).wrapping_rem(divisor))),
    }
}

fn max(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Int64(numbers(arguments).max().unwrap_or(0)))
}

fn min(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Int64(numbers(arguments).min().unwrap_or(0)))
}

/// Go's `math.Max`: infinity takes precedence, then NaN; zero is greater than minus zero.
fn max_float(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Float64(floats(arguments).reduce(|left, right| greater(left, right, 1.0)).unwrap_or(0.0)))
}

/// Go's `math.Min`: minus infinity takes precedence, then NaN; minus zero is less than zero.
fn min_float(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Float64(floats(arguments).reduce(|left, right| greater(left, right, -1.0)).unwrap_or(0.0)))
}

/// The greater number if `sign` is 1, the lesser one if it is -1.
#[expect(clippy::float_cmp, reason = "infinities are exact")]
fn greater(left: f64, right: f64, sign: f64) -> f64 {
    let (high, low) = (left * sign, right * sign);
    let greatest = if high == f64::INFINITY || low == f64::INFINITY {
        f64::INFINITY
    } else if high.is_nan() || low.is_nan() {
        f64::NAN
    } else if high == low {
        if high.is_sign_negative() { low } else { high }
    } else {
        high.max(low)
    };
    greatest * sign
}

fn ceil(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Float64(cast::to_float(arguments.any(0)).ceil()))
}

fn floor(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Float64(cast::to_float(arguments.any(0)).floor()))
}

fn round(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let up_from = if arguments.len() > 2 { arguments.float(2) } else { 0.5 };
    let power = power_of_ten(arguments.int(1));
    let digits = power * cast::to_float(arguments.any(0));
    // In Go, the fraction of an infinity is NaN, and the comparison with NaN is false.
    let rounded = if digits % 1.0 >= up_from { digits.ceil() } else { digits.floor() };
    Ok(Value::Float64(rounded / power))
}

/// Go's `math.Pow(10, places)`, with the same squarings, and hence the same last bit.
fn power_of_ten(places: i64) -> f64 {
    if places == 0 {
        return 1.0;
    }
    let (mut result, mut result_exponent) = (1.0f64, 0i32);
    let (mut square, mut square_exponent) = (0.625f64, 4i32);
    let mut left = places.unsigned_abs();
    while left != 0 {
        if !(-(1 << 12)..=1 << 12).contains(&square_exponent) {
            result_exponent += square_exponent;
            break;
        }
        if left & 1 == 1 {
            result *= square;
            result_exponent += square_exponent;
        }
        square *= square;
        square_exponent <<= 1;
        if square < 0.5 {
            square += square;
            square_exponent -= 1;
        }
        left >>= 1;
    }
    if places < 0 {
        cast::scale(1.0 / result, -result_exponent)
    } else {
        cast::scale(result, result_exponent)
    }
}

fn until(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let count = arguments.int(0);
    ints(range(scope, 0, count, if count < 0 { -1 } else { 1 })?)
}

fn until_step(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    ints(range(scope, arguments.int(0), arguments.int(1), arguments.int(2))?)
}

fn ints(numbers: Vec<i64>) -> Result<Value, Failure> {
    Ok(Value::List(List::of(Element::Int, numbers.into_iter().map(Value::Int).collect())))
}

/// Sprig's `untilStep`. As in Go, a step beyond the largest number wraps around; the loop then runs until a limit of
/// the render is exceeded.
fn range(scope: &Scope<'_>, start: i64, end: i64, step: i64) -> Result<Vec<i64>, Failure> {
    let mut numbers = Vec::new();
    let down = end < start;
    if (down && step >= 0) || (!down && step <= 0) {
        return Ok(numbers);
    }
    let mut at = start;
    while if down { at > end } else { at < end } {
        scope.grow(numbers.len())?;
        numbers.push(at);
        at = at.wrapping_add(step);
    }
    Ok(numbers)
}

fn seq(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let (start, step, end) = match arguments.len() {
        1 => (1, None, arguments.int(0)),
        2 => (arguments.int(0), None, arguments.int(1)),
        3 => (arguments.int(0), Some(arguments.int(1)), arguments.int(2)),
        _ => return Ok("".into()),
    };
    let towards = if end < start { -1 } else { 1 };
    if towards < 0 && step.is_some_and(|step| step > 0) {
        return Ok("".into());
    }
    let numbers = range(scope, start, end.wrapping_add(towards), step.unwrap_or(towards))?;
    let words: Vec<_> = numbers.iter().map(i64::to_string).collect();
    text::string(scope, words.join(" "))
}
