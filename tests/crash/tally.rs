//! What all cuts together came to.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use crate::disk::MODELS;

/// How many tests count here; the last one to end prints the total.
const TESTS: usize = 8;
/// How many states a long run checks at least.
const LEAST: usize = 5_000;

/// What is wrong with a state.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Something acknowledged is gone.
    Loss(String),
    /// A cut is told as tampering.
    Alarm(String),
    /// Neither the same command nor the one that a message names goes on.
    Stuck(String),
}

impl Trouble {
    fn text(&self) -> String {
        match self {
            Self::Loss(what) => format!("lost: {what}"),
            Self::Alarm(what) => format!("told as tampering: {what}"),
            Self::Stuck(what) => format!("does not go on: {what}"),
        }
    }
}

/// How a state was healed.
pub(crate) enum Healed {
    /// There was nothing to heal, or the command itself went on.
    Again,
    /// By the command that a message named.
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

/// The states of one command.
pub(crate) struct Count {
    pub(crate) name: String,
    pub(crate) states: usize,
    pub(crate) by: BTreeMap<&'static str, usize>,
    pub(crate) troubles: Vec<(String, Trouble)>,
}

/// Prints past the capture of the test's output: this is the run's result.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Ends a test: adds what its commands came to, and prints the total with the last one.
pub(crate) fn end(counts: Vec<Count>) {
    let mut tally = TALLY.lock().unwrap_or_else(PoisonError::into_inner);
    let mut wrong = Vec::new();
    for count in counts {
        tally.commands += 1;
        tally.states += count.states;
        for (by, times) in &count.by {
            *tally.by.entry(by).or_default() += times;
        }
        for (_, trouble) in &count.troubles {
            match trouble {
                Trouble::Loss(_) => tally.losses += 1,
                Trouble::Alarm(_) => tally.alarms += 1,
                Trouble::Stuck(_) => tally.stuck += 1,
            }
        }
        let told = count.troubles.iter().take(5);
        wrong.extend(told.map(|(place, trouble)| format!("{}, {place}: {}", count.name, trouble.text())));
    }
    tally.tests += 1;
    if tally.tests == TESTS {
        let Tally { states, commands, losses, alarms, stuck, by, .. } = &*tally;
        let models = MODELS.len();
        let by: Vec<_> = by.iter().map(|(command, times)| format!("{times} by `{command}`")).collect();
        let by = if by.is_empty() { "none".to_owned() } else { by.join(", ") };
        say(&format!(
            "total: {states} distinct states of {commands} commands, {models} models; {losses} acknowledged losses, \
             {alarms} false alarms, {stuck} that one command does not heal; healed by a command that a message names: {by}"
        ));
        let all = is_long() && std::env::var_os("AIRLOCK_TEST_STATES").is_none();
        assert!(!all || *states >= LEAST, "only {states} states");
    }
    drop(tally);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
