//! How much of each limit a render has used.

use std::cell::Cell;
use std::time::Instant;

use crate::limits::Limits;
use crate::value::{ELEMENT, held};

/// The reason why a function, and with it the render, stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The error text of the Go function.
    Message(String),
    /// A limit was exceeded: the name of a field of [`Limits`].
    Limit(&'static str),
}

impl<S: Into<String>> From<S> for Failure {
    fn from(text: S) -> Self {
        Self::Message(text.into())
    }
}

/// The limits of one render, and how much of each is used.
pub struct Budget<'a> {
    /// The limits.
    pub limits: &'a Limits,
    steps: Cell<u64>,
    produced: Cell<u64>,
    /// What this thread held before the render: a chart that builds cycles leaks them.
    held: usize,
    deadline: Instant,
}

impl<'a> Budget<'a> {
    /// The budget of a render that starts now; the deadline counts from this call.
    #[must_use]
    pub fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            steps: Cell::new(0),
            produced: Cell::new(0),
            held: held(),
            deadline: Instant::now() + limits.time,
        }
    }

    /// Accounts for `count` evaluated nodes or created elements, before they exist.
    ///
    /// # Errors
    /// A limit is exceeded: `steps`, `held_bytes` or `time`.
    pub fn step(&self, count: u64) -> Result<(), Failure> {
        let before = self.steps.get();
        let after = before.saturating_add(count);
        self.steps.set(after);
        if after > self.limits.steps {
            return Err(Failure::Limit("steps"));
        }
        self.room(0)?;
        // Reading the clock costs more than a step, so it is read only every 1024 steps.
        if before >> 10 == after >> 10 { Ok(()) } else { self.in_time() }
    }

    /// Checks that the deadline has not passed.
    ///
    /// # Errors
    /// The limit `time` is exceeded.
    pub fn in_time(&self) -> Result<(), Failure> {
        if Instant::now() > self.deadline { Err(Failure::Limit("time")) } else { Ok(()) }
    }

    /// Accounts for one more element of a list that has `length` elements and is still growing.
    ///
    /// # Errors
    /// A limit is exceeded: `held_bytes`, `steps` or `time`.
    pub fn grow(&self, length: usize) -> Result<(), Failure> {
        // While a vector reallocates, the old and the new buffer both exist.
        self.room(length.saturating_mul(2))?;
        self.step(1)
    }

    /// Checks that this many more elements may be held.
    fn room(&self, elements: usize) -> Result<(), Failure> {
        let made = held().saturating_sub(self.held);
        if made.saturating_add(elements.saturating_mul(ELEMENT)) > self.limits.held_bytes {
            return Err(Failure::Limit("held_bytes"));
        }
        Ok(())
    }

    /// Accounts for `bytes` of text, before it is produced.
    ///
    /// # Errors
    /// A limit is exceeded: `output_bytes`, `steps`, `held_bytes` or `time`.
    pub fn produce(&self, bytes: usize) -> Result<(), Failure> {
        let after = self.produced.get().saturating_add(bytes as u64);
        self.produced.set(after);
        if after > self.limits.output_bytes {
            return Err(Failure::Limit("output_bytes"));
        }
        self.step(1 + (bytes >> 8) as u64)
    }
}
