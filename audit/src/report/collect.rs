//! From events to a report. Pure: the log is read by whoever calls.

use std::collections::{BTreeMap, BTreeSet};

use tlog::{Checkpoint, Hash, Note, Proof, merkle};

use super::check::{Check, Checked, Facts, Known};
use super::framework::{Basis, Control, Status};
use super::{Counts, Finding, Framework, Leaf, Log, MAX_LEAVES, Period, Report, Tally};
use crate::{Error, Event, Result};

/// Leaves that a reason names; the check has them all.
const TOLD: usize = 5;

/// Where the events are from.
pub struct Source<'a> {
    /// What the log says of itself, verified.
    pub checkpoint: &'a Checkpoint,
    /// The same, signed.
    pub note: &'a Note,
    /// Whether the log itself gave the key for that.
    pub own_key: bool,
    /// Whether witnesses had to sign it, too, and did.
    pub witnessed: bool,
    /// The hashes that prove a leaf under the checkpoint.
    pub proof: &'a dyn Fn(u64) -> Result<Vec<Hash>>,
}

/// Takes a log's events, in order, and makes a report of them.
#[derive(Debug)]
pub struct Collector {
    framework: Framework,
    period: Period,
    counts: Counts,
    tallies: BTreeMap<(&'static str, &'static str), u64>,
    events: Vec<(u64, Event)>,
    too_many: bool,
    known: Known,
}

impl Collector {
    /// For a framework and a period.
    #[must_use]
    pub fn new(framework: Framework, period: Period) -> Self {
        Self {
            framework,
            period,
            counts: Counts::default(),
            tallies: BTreeMap::new(),
            events: Vec::new(),
            too_many: false,
            known: Known::default(),
        }
    }

    /// Takes the leaf with this index.
    pub fn take(&mut self, index: u64, event: Event) {
        self.known.take(index, &event);
        self.counts.leaves += 1;
        match self.period.side(&event.time) {
            -1 => self.counts.before += 1,
            1 => self.counts.after += 1,
            _ if self.events.len() >= MAX_LEAVES => self.too_many = true,
            _ => {
                let tally = (event.event.name(), event.outcome.result.name());
                *self.tallies.entry(tally).or_insert(0) += 1;
                self.events.push((index, event));
            }
        }
    }

    /// Tells of leaves that are no events.
    pub fn no_events(&mut self, leaves: u64) {
        self.counts.leaves += leaves;
        self.counts.no_events += leaves;
    }

    /// Makes the report.
    ///
    /// # Errors
    /// [`Error::TooMuch`]; [`Error::Missing`] when not all leaves of the checkpoint were taken; what `proof` says,
    /// also when a proof that it gave does not hold.
    pub fn end(mut self, source: &Source<'_>) -> Result<Report> {
        if self.too_many {
            return Err(Error::TooMuch(MAX_LEAVES));
        }
        if self.counts.leaves != source.checkpoint.size {
            return Err(Error::Missing { found: self.counts.leaves, size: source.checkpoint.size });
        }
        let controls = self.framework.controls();
        let named: BTreeSet<u64> = self
            .events
            .iter()
            .filter(|(_, event)| controls.iter().any(|control| control.names(event)))
            .map(|(index, _)| *index)
            .collect();
        self.counts.relevant = named.len() as u64;
        self.counts.irrelevant = self.events.len() as u64 - self.counts.relevant;
        let tallies = std::mem::take(&mut self.tallies).into_iter();
        self.counts.events = tallies
            .map(|((event, result), leaves)| Tally { event: event.to_owned(), result, leaves })
            .collect();
        let log = log(source);
        let checks = self.checks(&log);
        let controls = controls.iter().map(|control| self.finding(control, &checks)).collect();
        let relevant = self.events.into_iter().filter(|(index, _)| named.contains(index));
        let leaves = relevant.map(|(index, event)| leaf(index, event, source)).collect::<Result<_>>()?;
        Ok(Report {
            framework: self.framework,
            period: self.period,
            log,
            counts: self.counts,
            checks,
            controls,
            leaves,
        })
    }

    /// The checks that the framework's controls rest on, each once.
    fn checks(&self, log: &Log) -> Vec<Checked> {
        let facts = Facts {
            counts: &self.counts,
            events: &self.events,
            known: &self.known,
            own_key: log.own_key,
            witnessed: log.witnessed,
        };
        let controls = self.framework.controls();
        let wanted = |check: &&Check| controls.iter().any(|control| control.checks().contains(check));
        Check::ALL.iter().filter(wanted).map(|check| check.run(&facts)).collect()
    }

    fn finding(&self, control: &'static Control, checks: &[Checked]) -> Finding {
        let rows: Vec<&(u64, Event)> = self.events.iter().filter(|(_, event)| control.names(event)).collect();
        let (status, reason) = match control.basis {
            Basis::Outside => (Status::NotAssessed, alone(control)),
            Basis::Lacking => (Status::NotSatisfied, control.leaves_out.to_owned()),
            Basis::Events(..) | Basis::Partial(..) => judge(control, &rows, checks),
        };
        Finding { control, status, reason, leaves: rows.iter().map(|(index, _)| *index).collect() }
    }
}

/// The worst that a check says of the control's own leaves. Without a leaf that shows it, nothing is satisfied, and
/// what no leaf can show never is.
fn judge(control: &Control, rows: &[&(u64, Event)], checks: &[Checked]) -> (Status, String) {
    let mine = checks.iter().filter(|checked| control.checks().contains(&checked.check));
    let failed: Vec<(Status, String)> = mine.filter_map(|checked| failure(checked, rows)).collect();
    let shown = control.checks().iter().filter(|check| check.proves());
    // That no entry is missing shows by itself only that a report can be made.
    let others = shown.clone().any(|check| *check != Check::Gapless);
    let shown = shown.filter(|check| !others || **check != Check::Gapless);
    let is_shown = shown.clone().any(|check| rows.iter().any(|(_, event)| check.bears_on(event)));
    match failed.iter().map(|(status, _)| *status).max() {
        Some(Status::NotSatisfied) => {
            let told = failed.into_iter().filter(|(status, _)| *status == Status::NotSatisfied);
            (
                Status::NotSatisfied,
                format!("Not so: {}", told.map(|(_, why)| why).collect::<Vec<_>>().join(" ")),
            )
        }
        _ if !control.can_be_satisfied() => (Status::NotAssessed, alone(control)),
        Some(_) => {
            let told = failed.into_iter().map(|(_, why)| why).collect::<Vec<_>>().join(" ");
            (Status::NotAssessed, format!("Missing: {told}"))
        }
        None if !is_shown => {
            let titles = shown.map(|check| format!("{}.", check.title())).collect::<Vec<_>>().join(" Or: ");
            (
                Status::NotAssessed,
                format!("Missing: an event in the period that shows one of these. {titles}"),
            )
        }
        None => (Status::Satisfied, "All that was checked is so.".to_owned()),
    }
}

/// Why a log is not enough.
fn alone(control: &Control) -> String {
    format!("The log alone cannot show it. Missing: {}", control.leaves_out)
}

/// What a check has against these leaves.
fn failure(checked: &Checked, rows: &[&(u64, Event)]) -> Option<(Status, String)> {
    let Checked { check, title, expected, found, exceptions, .. } = checked;
    if found >= expected {
        return None;
    }
    if exceptions.is_empty() {
        return Some((check.otherwise(), format!("{title} ({found} of {expected}).")));
    }
    let own = |index: &&u64| rows.binary_search_by_key(*index, |(row, _)| *row).is_ok();
    let own: Vec<String> = exceptions.iter().filter(own).map(u64::to_string).collect();
    let more = own.len().saturating_sub(TOLD);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let leaves = own.iter().take(TOLD).cloned().collect::<Vec<_>>().join(", ");
    (!own.is_empty()).then(|| (check.otherwise(), format!("{title} (but leaf {leaves}{more}).")))
}

fn log(source: &Source<'_>) -> Log {
    let Source { checkpoint, note, .. } = source;
    Log {
        origin: checkpoint.origin.clone(),
        size: checkpoint.size,
        root: checkpoint.root,
        checkpoint: note.to_string(),
        own_key: source.own_key,
        witnessed: source.witnessed,
    }
}

/// A leaf with its proof, checked: a report never has one that does not hold.
fn leaf(index: u64, event: Event, source: &Source<'_>) -> Result<Leaf> {
    let entry = event.to_bytes();
    let hashes = (source.proof)(index)?;
    let Checkpoint { size, root, .. } = source.checkpoint;
    merkle::check_inclusion(Hash::leaf(&entry), index, *size, &hashes, *root)?;
    let proof = Proof { extra: Some(entry), index, hashes, checkpoint: source.note.clone() };
    Ok(Leaf { index, event, proof })
}
