//! Random text, numbers and identifiers, all derived from the render's seed.
//!
//! Source: Sprig 3.3 `strings.go`, `crypto.go`, with goutils `CryptoRandom` and xstrings `Shuffle`. Alphabets and
//! lengths are those of Helm; the values differ, as Helm's own do from run to run.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gostd::value::Value;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::draws::DrawnKind;
use crate::function::{Arguments, Failure, Function, Parameter, Random, Scope};

const ONE_INT: &[Parameter] = &[Parameter::Int];

pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "randAlpha", parameters: ONE_INT, rest: None, body: alpha },
    Function { name: "randAlphaNum", parameters: ONE_INT, rest: None, body: alpha_num },
    Function { name: "randAscii", parameters: ONE_INT, rest: None, body: ascii },
    Function { name: "randBytes", parameters: ONE_INT, rest: None, body: bytes },
    Function { name: "randInt", parameters: &[Parameter::Int, Parameter::Int], rest: None, body: int },
    Function { name: "randNumeric", parameters: ONE_INT, rest: None, body: numeric },
    Function { name: "shuffle", parameters: &[Parameter::Str], rest: None, body: shuffle },
    Function { name: "uuidv4", parameters: &[], rest: None, body: uuidv4 },
];

/// A separate random stream for one key.
pub(crate) fn stream(scope: &Scope<'_>) -> ChaCha20Rng {
    let mut seed = [0; 32];
    scope.draws.stream("key").fill(&mut seed);
    ChaCha20Rng::from_seed(seed)
}

fn alpha(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    text(scope, arguments, u8::is_ascii_alphabetic)
}

fn alpha_num(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    text(scope, arguments, u8::is_ascii_alphanumeric)
}

fn ascii(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    text(scope, arguments, |byte| matches!(byte, b' '..=b'~'))
}

fn numeric(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    text(scope, arguments, u8::is_ascii_digit)
}

/// The requested number of characters that `wanted` accepts; none for a negative number.
fn text(scope: &Scope<'_>, arguments: Arguments<'_>, wanted: fn(&u8) -> bool) -> Result<Value, Failure> {
    let count = usize::try_from(arguments.int(0)).unwrap_or(0);
    scope.produce(count)?;
    let text = letters(&mut scope.draws.stream("text"), count, wanted);
    scope.draws.record(&text, DrawnKind::Text(count, wanted));
    Ok(text.into())
}

/// Text of `count` characters that `wanted` accepts.
pub(crate) fn letters(random: &mut Random, count: usize, wanted: fn(&u8) -> bool) -> String {
    let alphabet: Vec<u8> = (b' '..=b'~').filter(wanted).collect();
    let letter = |_| {
        let index = usize::try_from(random.below(alphabet.len() as u64)).unwrap_or_default();
        char::from(alphabet.get(index).copied().unwrap_or_default())
    };
    (0..count).map(letter).collect()
}

fn bytes(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let count = usize::try_from(arguments.int(0))
        .map_err(|_| "runtime error: makeslice: len out of range".to_owned())?;
    scope.produce(count.saturating_mul(2))?;
    let mut bytes = vec![0; count];
    scope.draws.stream("bytes").fill(&mut bytes);
    Ok(STANDARD.encode(bytes).into())
}

fn int(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let (least, above) = (arguments.int(0), arguments.int(1));
    let span = above.wrapping_sub(least);
    if span <= 0 {
        return Err("invalid argument to Intn".into());
    }
    let drawn = scope.draws.stream("int").below(span.unsigned_abs()).cast_signed();
    Ok(Value::Int(drawn.wrapping_add(least)))
}

fn shuffle(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let text = arguments.str(0)?;
    scope.produce(text.len())?;
    let mut letters: Vec<char> = text.chars().collect();
    let mut random = scope.draws.stream("shuffle");
    for last in (1..letters.len()).rev() {
        let index = usize::try_from(random.below(last as u64 + 1)).unwrap_or_default();
        letters.swap(last, index);
    }
    Ok(letters.into_iter().collect::<String>().into())
}

fn uuidv4(scope: &Scope<'_>, _: Arguments<'_>) -> Result<Value, Failure> {
    scope.produce(36)?;
    let text = uuid(&mut scope.draws.stream("uuid"));
    scope.draws.record(&text, DrawnKind::Uuid);
    Ok(text.into())
}

/// RFC 9562 section 5.4.
pub(crate) fn uuid(random: &mut Random) -> String {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    let version = 0x4 << 76;
    let variant = 0x2 << 62;
    let number = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | version | variant;
    let digits = format!("{number:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| digits.get(part).unwrap_or_default());
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::funcs::testing::{call, with_seed};

    fn text_of(value: Value) -> String {
        let Value::Str(text) = value else { panic!("{}", value.type_name()) };
        text.to_string()
    }

    #[test]
    fn draws_from_the_alphabet_of_each_function() {
        for (name, wanted) in [
            ("randAlpha", (|c: char| c.is_ascii_alphabetic()) as fn(char) -> bool),
            ("randAlphaNum", |c| c.is_ascii_alphanumeric()),
            ("randNumeric", |c| c.is_ascii_digit()),
            ("randAscii", |c| (' '..='~').contains(&c)),
        ] {
            let text = text_of(call(FUNCTIONS, name, &[Value::Int(2000)]).unwrap());
            assert_eq!(text.len(), 2000, "{name}");
            assert!(text.chars().all(wanted), "{name}: {text}");
            assert_eq!(text_of(call(FUNCTIONS, name, &[Value::Int(-1)]).unwrap()), "");
        }
        let text = text_of(call(FUNCTIONS, "randAscii", &[Value::Int(5000)]).unwrap());
        assert!((b' '..=b'~').all(|byte| text.contains(char::from(byte))));
    }

    #[test]
    fn the_seed_determines_the_text() {
        let draw = |seed| with_seed(seed, FUNCTIONS, "randAlphaNum", &[Value::Int(40)]);
        assert_eq!(text_of(draw(1).unwrap()), text_of(draw(1).unwrap()));
        assert_ne!(text_of(draw(1).unwrap()), text_of(draw(2).unwrap()));
    }

    #[test]
    fn identifiers_are_version_4() {
        let uuid = text_of(call(FUNCTIONS, "uuidv4", &[]).unwrap());
        assert_eq!(uuid.len(), 36);
        assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]), "{uuid}");
    }

    #[test]
    fn shuffles_all_letters() {
        let mut letters: Vec<char> =
            text_of(call(FUNCTIONS, "shuffle", &["größer".into()]).unwrap()).chars().collect();
        letters.sort_unstable();
        assert_eq!(letters.into_iter().collect::<String>(), "egrrßö");
    }

    #[test]
    fn bounds_and_ranges_are_kept() {
        for _ in 0..50 {
            let Value::Int(drawn) = call(FUNCTIONS, "randInt", &[Value::Int(5), Value::Int(7)]).unwrap()
            else {
                panic!("no int")
            };
            assert!((5..7).contains(&drawn));
        }
        assert!(call(FUNCTIONS, "randInt", &[Value::Int(7), Value::Int(7)]).is_err());
        assert!(call(FUNCTIONS, "randBytes", &[Value::Int(-1)]).is_err());
        assert_eq!(text_of(call(FUNCTIONS, "randBytes", &[Value::Int(3)]).unwrap()).len(), 4);
        let endless = call(FUNCTIONS, "randAlpha", &[Value::Int(i64::MAX)]);
        assert_eq!(endless.err(), Some(Failure::Limit("output_bytes")));
    }
}
