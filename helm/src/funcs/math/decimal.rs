//! Decimal sums, products and quotients, as shopspring/decimal 1.5 computes them: `addf 0.1 0.2` is 0.3.

use gostd::value::Value;
use num_bigint::{BigInt, Sign};

use crate::funcs::cast;
use crate::function::{Arguments, Failure, Scope};

/// A decimal number, `digits` * 10^`exponent`.
struct Decimal {
    digits: BigInt,
    exponent: i64,
}

/// The number of decimal places of a quotient.
const PRECISION: i64 = 16;

type Operation = fn(Decimal, Decimal) -> Result<Decimal, Failure>;

/// `add1f`
pub(crate) fn add_one(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    fold(scope, arguments.any(0), &[Value::Int(1)], sum)
}

/// `addf`
pub(crate) fn add(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    fold(scope, &Value::Int(0), arguments.from(0), sum)
}

/// `subf`
pub(crate) fn sub(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    fold(scope, arguments.any(0), arguments.from(1), |left, right| {
        sum(left, Decimal { digits: -right.digits, ..right })
    })
}

/// `mulf`
pub(crate) fn mul(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    fold(scope, arguments.any(0), arguments.from(1), |left, right| {
        Ok(Decimal { digits: left.digits * right.digits, exponent: left.exponent + right.exponent })
    })
}

/// `divf`
pub(crate) fn div(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    fold(scope, arguments.any(0), arguments.from(1), quotient)
}

fn fold(scope: &Scope<'_>, first: &Value, rest: &[Value], operation: Operation) -> Result<Value, Failure> {
    let mut result = Decimal::new(cast::to_float(first))?;
    for operand in rest {
        // The number of digits grows with each operation, and so does its cost.
        scope.step(1 + result.digits.bits() / 64 + result.exponent.unsigned_abs() / 16)?;
        result = operation(result, Decimal::new(cast::to_float(operand))?)?;
    }
    Ok(Value::Float64(result.nearest()))
}

impl Decimal {
    /// The shortest decimal that reads back as `number`.
    fn new(number: f64) -> Result<Self, Failure> {
        let scientific = format!("{number:e}");
        let parsed = scientific.split_once('e').and_then(|(mantissa, exponent)| {
            let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
            let digits = format!("{whole}{fraction}").parse().ok()?;
            let places = i64::try_from(fraction.len()).ok()?;
            Some(Self { digits, exponent: exponent.parse::<i64>().ok()? - places })
        });
        parsed.ok_or_else(|| {
            let name = match number {
                f64::INFINITY => "+Inf",
                f64::NEG_INFINITY => "-Inf",
                _ => "NaN",
            };
            format!("Cannot create a Decimal from {name}").into()
        })
    }

    /// The nearest `float64`.
    fn nearest(&self) -> f64 {
        format!("{}e{}", self.digits, self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// The digits at a lower exponent.
    fn rescaled(&self, exponent: i64) -> BigInt {
        &self.digits * power_of_ten(self.exponent - exponent)
    }
}

fn power_of_ten(exponent: i64) -> BigInt {
    BigInt::from(10).pow(u32::try_from(exponent).unwrap_or(0))
}

#[expect(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "the shape of an operation")]
fn sum(left: Decimal, right: Decimal) -> Result<Decimal, Failure> {
    let exponent = left.exponent.min(right.exponent);
    Ok(Decimal { digits: left.rescaled(exponent) + right.rescaled(exponent), exponent })
}

/// The quotient, rounded half away from zero.
#[expect(clippy::needless_pass_by_value, reason = "the shape of an operation")]
fn quotient(left: Decimal, right: Decimal) -> Result<Decimal, Failure> {
    if right.digits.sign() == Sign::NoSign {
        return Err("decimal division by 0".into());
    }
    let shift = left.exponent - right.exponent + PRECISION;
    let (dividend, divisor) = if shift < 0 {
        (left.digits.clone(), &right.digits * power_of_ten(-shift))
    } else {
        (&left.digits * power_of_ten(shift), right.digits.clone())
    };
    let mut digits = &dividend / &divisor;
    let remainder = &dividend - &digits * &divisor;
    if (remainder.magnitude() << 1u8) >= *divisor.magnitude() {
        // A quotient of zero has no sign, so the sign comes from the operands.
        let negative = left.digits.sign() != right.digits.sign() && left.digits.sign() != Sign::NoSign;
        digits += if negative { -1 } else { 1 };
    }
    Ok(Decimal { digits, exponent: -PRECISION })
}
