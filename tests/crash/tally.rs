//! The totals of all power cuts.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use crate::disk::MODELS;

/// The number of tests that call [`end`]; the last one prints the total.
const TESTS: usize = 8;
/// The minimum number of states that a long run checks.
const LEAST: usize = 5_000;

/// A guarantee that a state violates.
#[derive(Debug)]
pub(crate) enum Violation {
    /// Acknowledged data is lost.
    Loss(String),
    /// A power cut is reported as tampering.
    Alarm(String),
    /// Neither the same command nor the command that its message names resumes.
    Stuck(String),
}

impl Violation {
    fn text(&self) -> String {
        match self {
            Self::Loss(what) => format!("lost: {what}"),
            Self::Alarm(what) => format!("reported as tampering: {what}"),
            Self::Stuck(what) => format!("cannot be resumed: {what}"),
        }
    }
}

/// How a state was repaired.
pub(crate) enum Repaired {
    /// No repair was needed, or the command itself resumed.
    Again,
    /// By the command that the message named.
    By(&'static str),
}

struct Tally {
    tests: usize,
    states: usize,
    commands: usize,
    losses: usize,
    alarms: usize,
    stuck: usize,
    by: BTreeMap<&'static str, usize>,
}

static TALLY: Mutex<Tally> = Mutex::new(Tally {
    tests: 0,
    states: 0,
    commands: 0,
    losses: 0,
    alarms: 0,
    stuck: 0,
    by: BTreeMap::new(),
});

pub(crate) fn is_long() -> bool {
    std::env::var_os("AIRLOCK_TEST_LONG").is_some_and(|value| value == "1")
}

/// The states of one command that were checked.
pub(crate) struct Count {
    pub(crate) name: String,
    pub(crate) states: usize,
    pub(crate) by: BTreeMap<&'static str, usize>,
    pub(crate) violations: Vec<(String, Violation)>,
}

/// Prints the result of the run, bypassing the capture of test output.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Ends a test: adds its counts to the totals. The last test prints the totals.
pub(crate) fn end(counts: Vec<Count>) {
    let mut tally = TALLY.lock().unwrap_or_else(PoisonError::into_inner);
    let mut wrong = Vec::new();
    for count in counts {
        tally.commands += 1;
        tally.states += count.states;
        for (by, times) in &count.by {
            *tally.by.entry(by).or_default() += times;
        }
        for (_, violation) in &count.violations {
            match violation {
                Violation::Loss(_) => tally.losses += 1,
                Violation::Alarm(_) => tally.alarms += 1,
                Violation::Stuck(_) => tally.stuck += 1,
            }
        }
        let reported = count.violations.iter().take(5);
        wrong.extend(reported.map(|(place, found)| format!("{}, {place}: {}", count.name, found.text())));
    }
    tally.tests += 1;
    if tally.tests == TESTS {
        let Tally { states, commands, losses, alarms, stuck, by, .. } = &*tally;
        let models = MODELS.len();
        let by: Vec<_> = by.iter().map(|(command, times)| format!("{times} by `{command}`")).collect();
        let by = if by.is_empty() { "none".to_owned() } else { by.join(", ") };
        say(&format!(
            "total: {states} distinct states of {commands} commands, {models} models; {losses} acknowledged losses, \
             {alarms} false alarms, {stuck} that one command does not repair; repaired by the command that a message names: {by}"
        ));
        let all = is_long() && std::env::var_os("AIRLOCK_TEST_STATES").is_none();
        assert!(!all || *states >= LEAST, "only {states} states");
    }
    drop(tally);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
