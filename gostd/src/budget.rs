//! What of the bounds has been used.

use std::cell::Cell;
use std::time::Instant;

use crate::limits::Limits;
use crate::value::{ELEMENT, held};

/// Why a function, and with it the render, stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// What Go's function would say.
    Said(String),
    /// A bound of [`Limits`], by the name of its field.
    Limit(&'static str),
}

impl<S: Into<String>> From<S> for Failure {
    fn from(text: S) -> Self {
        Self::Said(text.into())
    }
}

/// The bounds of one render, and what has been used of them.
pub struct Budget<'a> {
    /// The bounds.
    pub limits: &'a Limits,
    steps: Cell<u64>,
    produced: Cell<u64>,
    /// What this thread held before: a chart that makes cycles leaves some behind.
    held: usize,
    deadline: Instant,
}

impl<'a> Budget<'a> {
    /// The budget of one render, which starts now: the deadline counts from here.
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

    /// Accounts for `count` nodes evaluated or elements made, before they are.
    ///
    /// # Errors
    /// A bound is met: `steps`, `held_bytes` or `time`.
    pub fn step(&self, count: u64) -> Result<(), Failure> {
        let before = self.steps.get();
        let after = before.saturating_add(count);
        self.steps.set(after);
        if after > self.limits.steps {
            return Err(Failure::Limit("steps"));
        }
        self.room(0)?;
        // The clock is asked once in a thousand steps: it costs more than a step.
        if before >> 10 == after >> 10 { Ok(()) } else { self.in_time() }
    }

    /// Whether there is time left.
    ///
    /// # Errors
    /// The bound `time` is met.
    pub fn in_time(&self) -> Result<(), Failure> {
        if Instant::now() > self.deadline { Err(Failure::Limit("time")) } else { Ok(()) }
    }

    /// Accounts for one more element of a list that has `length` and is being made.
    ///
    /// # Errors
    /// A bound is met: `held_bytes`, `steps` or `time`.
    pub fn grow(&self, length: usize) -> Result<(), Failure> {
        // A vector that grows is for a moment there twice.
        self.room(length.saturating_mul(2))?;
        self.step(1)
    }

    /// Whether so many elements more may be held.
    fn room(&self, elements: usize) -> Result<(), Failure> {
        let made = held().saturating_sub(self.held);
        if made.saturating_add(elements.saturating_mul(ELEMENT)) > self.limits.held_bytes {
            return Err(Failure::Limit("held_bytes"));
        }
        Ok(())
    }

    /// Accounts for `bytes` of text, before it is made.
    ///
    /// # Errors
    /// A bound is met: `output_bytes`, or `time`.
    pub fn produce(&self, bytes: usize) -> Result<(), Failure> {
        let after = self.produced.get().saturating_add(bytes as u64);
        self.produced.set(after);
        if after > self.limits.output_bytes {
            return Err(Failure::Limit("output_bytes"));
        }
        self.step(1 + (bytes >> 8) as u64)
    }
}
