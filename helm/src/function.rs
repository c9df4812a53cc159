//! Template functions: signature, body, and the scope that they can access.

use std::cell::Cell;
use std::ops::Deref;
use std::time::Duration;

pub(crate) use gostd::Failure;
use gostd::value::{List, Map, Value};
use gostd::{Budget, Limits};

use crate::draws::Draws;
use crate::primes::Primes;
use crate::render::Keys;

/// One function of the table. Before the body runs, the evaluator checks the number and types of the arguments, as Go's
/// reflection does; for a map parameter, nil is an empty map.
pub(crate) struct Function {
    /// The name in templates.
    pub(crate) name: &'static str,
    /// The fixed parameters.
    pub(crate) parameters: &'static [Parameter],
    /// The type of the variadic arguments, if any.
    pub(crate) rest: Option<Parameter>,
    /// The body.
    pub(crate) body: Body,
}

/// The body of a function.
pub(crate) type Body = fn(&Scope<'_>, Arguments<'_>) -> Result<Value, Failure>;

/// The Go type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// `interface {}`
    Any,
    /// `string`
    Str,
    /// `int`
    Int,
    /// `float64`
    Float64,
    /// `bool`
    Bool,
    /// `map[string]interface {}`
    Map,
    /// `[]interface {}`
    List,
}

/// The checked arguments of one call.
#[derive(Clone, Copy)]
pub(crate) struct Arguments<'a>(pub(crate) &'a [Value]);

/// Everything that a function can access: limits, the injected clock and seeded randomness, but nothing of the host.
pub(crate) struct Scope<'a> {
    budget: Budget<'a>,
    /// The time that `now` returns, since 1970-01-01 UTC.
    pub(crate) now: Duration,
    /// The time at which the seed was created: the lifetimes of certificates count from here.
    pub(crate) seeded_at: Duration,
    /// Seeded randomness, by the location of the draw.
    pub(crate) draws: Draws,
    /// The primes of certificates, from the same seed.
    pub(crate) primes: Primes,
    /// What determines the keys of certificates.
    pub(crate) keys: Keys,
    /// The implementation of `lookup` from the caller.
    pub(crate) lookup: &'a dyn crate::lookup::Lookup,
    lookups: Cell<usize>,
}

impl<'a> Deref for Scope<'a> {
    type Target = Budget<'a>;

    fn deref(&self) -> &Budget<'a> {
        &self.budget
    }
}

impl<'a> Scope<'a> {
    /// The scope of a render that starts now; the deadline counts from this call.
    pub(crate) fn new(
        limits: &'a Limits,
        now: Duration,
        random: &Random,
        lookup: &'a dyn crate::lookup::Lookup,
    ) -> Self {
        Self {
            budget: Budget::new(limits),
            now,
            seeded_at: now,
            primes: Primes::new(random.seed()),
            keys: Keys::Ordered,
            draws: Draws::new(random.seed()),
            lookup,
            lookups: Cell::new(0),
        }
    }

    /// Accounts for one more `lookup`, before it runs.
    ///
    /// # Errors
    /// A limit is exceeded: `lookups` or `time`.
    pub(crate) fn count_lookup(&self) -> Result<(), Failure> {
        self.lookups.set(self.lookups.get().saturating_add(1));
        if self.lookups.get() > self.limits.lookups {
            return Err(Failure::Limit("lookups"));
        }
        self.in_time()
    }
}

impl<'a> Arguments<'a> {
    /// The number of arguments.
    pub(crate) fn len(self) -> usize {
        self.0.len()
    }

    /// The argument at `index`; the signature guarantees that it exists.
    pub(crate) fn any(self, index: usize) -> &'a Value {
        self.0.get(index).unwrap_or(&Value::Nil)
    }

    /// A `string` that is text.
    ///
    /// # Errors
    /// It is a Go string that is not UTF-8, which this function does not accept.
    pub(crate) fn str(self, index: usize) -> Result<&'a str, Failure> {
        match self.any(index) {
            Value::Str(text) => Ok(text),
            Value::Binary(_) => Err("string is not valid UTF-8".into()),
            other => Err(format!("wrong type for value; expected string; got {}", other.type_name()).into()),
        }
    }

    /// The bytes of a `string` or `[]byte`.
    pub(crate) fn bytes(self, index: usize) -> &'a [u8] {
        self.any(index).bytes().unwrap_or_default()
    }

    /// An `int` or `int64`.
    pub(crate) fn int(self, index: usize) -> i64 {
        match self.any(index) {
            Value::Int(number) | Value::Int64(number) => *number,
            _ => 0,
        }
    }

    /// A `float64`.
    pub(crate) fn float(self, index: usize) -> f64 {
        if let Value::Float64(number) = self.any(index) { *number } else { 0.0 }
    }

    /// A `bool`.
    pub(crate) fn bool(self, index: usize) -> bool {
        matches!(self.any(index), Value::Bool(true))
    }

    /// A `map[string]interface {}`; a new one for nil.
    pub(crate) fn map(self, index: usize) -> Map {
        if let Value::Map(map) = self.any(index) { map.unnamed() } else { Map::new::<&str>([]) }
    }

    /// A slice, if it is one.
    pub(crate) fn list(self, index: usize) -> Option<&'a List> {
        if let Value::List(list) = self.any(index) { Some(list) } else { None }
    }

    /// All arguments from `index` on.
    pub(crate) fn from(self, index: usize) -> &'a [Value] {
        self.0.get(index..).unwrap_or_default()
    }
}

/// Reproducible randomness: the `ChaCha20` stream of the caller's seed.
pub(crate) struct Random(rand_chacha::ChaCha20Rng);

impl Random {
    /// The stream of `seed`.
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(rand_chacha::rand_core::SeedableRng::from_seed(seed))
    }

    /// The seed of the stream.
    fn seed(&self) -> [u8; 32] {
        self.0.get_seed()
    }

    /// The next bytes of the stream.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        rand_chacha::rand_core::Rng::fill_bytes(&mut self.0, bytes);
    }

    /// The next number below `bound`, uniformly distributed.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let bound = bound.max(1);
        // Numbers beyond the largest multiple of the bound would favour small remainders.
        let fair = u64::MAX - u64::MAX % bound;
        loop {
            let mut bytes = [0; 8];
            self.fill(&mut bytes);
            let number = u64::from_le_bytes(bytes);
            if number < fair {
                return number % bound;
            }
        }
    }
}
