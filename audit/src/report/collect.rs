//! From events to a report. Nothing but counts and indexes is kept, however long the log is.

use std::collections::{BTreeMap, BTreeSet};

use super::check::{Check, Checked, Checks, Class, Ends, Known, Vouched};
use super::framework::{Basis, Control, Status};
use super::{Counts, Evidence, Finding, Framework, Log, Period, Report, Tally, moment};
use crate::{Error, Event, Reader, Result};

/// Leaves that a reason names; the check has more.
const TOLD: usize = 5;

/// Takes a log's events, in order, and makes a report of them.
#[derive(Debug)]
pub struct Collector {
    framework: Framework,
    period: Period,
    /// How many leaves of each event and outcome are listed from the beginning, and as many from the end.
    kept: usize,
    counts: Counts,
    classes: BTreeMap<Class, Ends>,
    checks: Checks,
    known: Known,
    /// The times of the first and the last event that a control names.
    times: Option<(String, String)>,
}

impl Collector {
    /// For a framework and a period. `leaves` is how many leaves of each event and outcome are listed at most.
    #[must_use]
    pub fn new(framework: Framework, period: Period, leaves: usize) -> Self {
        let kept = leaves.div_ceil(2);
        let controls = framework.controls();
        let wanted = |check: &&Check| controls.iter().any(|control| control.checks().contains(check));
        Self {
            framework,
            period,
            kept,
            counts: Counts::default(),
            classes: BTreeMap::new(),
            checks: Checks::new(Check::ALL.iter().filter(wanted).copied(), kept),
            known: Known::default(),
            times: None,
        }
    }

    /// Takes the leaf with this index.
    pub fn take(&mut self, index: u64, event: &Event) {
        self.counts.leaves += 1;
        match self.period.side(&event.time) {
            -1 => self.counts.before += 1,
            1 => self.counts.after += 1,
            _ => self.take_in_period(index, event),
        }
        self.known.take(index, event);
    }

    fn take_in_period(&mut self, index: u64, event: &Event) {
        let class = (event.event, event.outcome.result);
        self.classes.entry(class).or_default().push(index, self.kept);
        self.checks.take(index, event, &self.known);
        if self.framework.controls().iter().any(|control| control.names(class)) {
            let (_, last) = self.times.get_or_insert_with(|| (event.time.clone(), String::new()));
            last.clone_from(&event.time);
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
    /// [`Error::Missing`] when not all leaves of the checkpoint were taken, or [`Error::Scratch`].
    pub fn end(mut self, reader: &Reader, vouched: Vouched) -> Result<Report> {
        let size = reader.size();
        if self.counts.leaves != size {
            return Err(Error::Missing { found: self.counts.leaves, size });
        }
        let controls = self.framework.controls();
        self.counts.events = tallies(&self.classes);
        for (class, ends) in &self.classes {
            if controls.iter().any(|control| control.names(*class)) {
                self.counts.relevant += ends.count();
            } else {
                self.counts.irrelevant += ends.count();
            }
        }
        let checks = self.checks.end(&self.counts, &self.known, vouched);
        self.known.check()?;
        let listed = listed(&self.classes, &checks);
        let findings = controls.iter().map(|control| finding(control, &self.classes, &checks, &listed));
        let findings: Vec<Finding> = findings.collect();
        let is_named = |class: Class| controls.iter().any(|control| control.names(class));
        let leaves: Vec<u64> =
            listed.iter().filter(|(_, class)| is_named(**class)).map(|(index, _)| *index).collect();
        let (first, last) = self.times.map_or((None, None), |(first, last)| (moment(&first), moment(&last)));
        Ok(Report {
            framework: self.framework,
            period: self.period,
            log: log(reader, vouched),
            leaves_left_out: self.counts.relevant - leaves.len() as u64,
            counts: self.counts,
            checks,
            controls: findings,
            leaves,
            span: (first, last),
            evidence: Evidence::of(reader),
        })
    }
}

/// Events by name and outcome, in the order of their names.
fn tallies(classes: &BTreeMap<Class, Ends>) -> Vec<Tally> {
    let tally = |((kind, ending), ends): (&Class, &Ends)| Tally {
        event: kind.name().to_owned(),
        result: ending.name(),
        leaves: ends.count(),
    };
    let mut tallies: Vec<Tally> = classes.iter().map(tally).collect();
    tallies.sort_by(|one, other| (&one.event, one.result).cmp(&(&other.event, other.result)));
    tallies
}

/// The leaves that are told one by one: of each class the first and the last, and the exceptions.
fn listed(classes: &BTreeMap<Class, Ends>, checks: &[Checked]) -> BTreeMap<u64, Class> {
    let exceptions = checks.iter().flat_map(|checked| &checked.by_class);
    let all = classes.iter().chain(exceptions);
    all.flat_map(|(class, ends)| ends.kept().map(|index| (index, *class))).collect()
}

fn finding(
    control: &'static Control,
    classes: &BTreeMap<Class, Ends>,
    checks: &[Checked],
    listed: &BTreeMap<u64, Class>,
) -> Finding {
    let rows = || classes.iter().filter(|(class, _)| control.names(**class));
    let count: u64 = rows().map(|(_, ends)| ends.count()).sum();
    let (status, reason) = match control.basis {
        Basis::Outside => (Status::NotAssessed, alone(control)),
        Basis::Lacking => (Status::NotSatisfied, control.leaves_out.to_owned()),
        Basis::Events(..) | Basis::Partial(..) => {
            judge(control, &rows().map(|(class, _)| *class).collect(), checks)
        }
    };
    let leaves = listed.iter().filter(|(_, class)| control.names(**class)).map(|(index, _)| *index).collect();
    Finding { control, status, reason, count, leaves }
}

/// The worst that a check says of the control's own leaves. Without a leaf that shows it, nothing is satisfied, and
/// what no leaf can show never is.
fn judge(control: &Control, rows: &BTreeSet<Class>, checks: &[Checked]) -> (Status, String) {
    let of = |check: &Check| checks.iter().find(|checked| checked.check == *check);
    let mine = checks.iter().filter(|checked| control.checks().contains(&checked.check));
    let failed: Vec<(Status, String)> = mine.filter_map(|checked| failure(checked, rows)).collect();
    let shown = control.checks().iter().filter(|check| check.proves());
    // That no entry is missing shows by itself only that a report can be made.
    let others = shown.clone().any(|check| *check != Check::Gapless);
    let shown = shown.filter(|check| !others || **check != Check::Gapless);
    let is_shown = shown.clone().filter_map(of).any(|checked| !checked.bears_on.is_disjoint(rows));
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
fn failure(checked: &Checked, rows: &BTreeSet<Class>) -> Option<(Status, String)> {
    let Checked { check, title, expected, found, by_class, .. } = checked;
    if found >= expected {
        return None;
    }
    if by_class.is_empty() {
        return Some((check.otherwise(), format!("{title} ({found} of {expected}).")));
    }
    let own = || by_class.iter().filter(|(class, _)| rows.contains(*class)).map(|(_, ends)| ends);
    let count: u64 = own().map(Ends::count).sum();
    let mut leaves: Vec<u64> = own().flat_map(Ends::kept).collect();
    leaves.sort_unstable();
    leaves.truncate(TOLD);
    let more = count.saturating_sub(leaves.len() as u64);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let leaves = leaves.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    (count > 0).then(|| (check.otherwise(), format!("{title} (but leaf {leaves}{more}).")))
}

fn log(reader: &Reader, vouched: Vouched) -> Log {
    let checkpoint = reader.checkpoint();
    Log {
        origin: checkpoint.origin.clone(),
        size: checkpoint.size,
        root: checkpoint.root,
        checkpoint: reader.note().to_string(),
        own_key: vouched.own_key,
        witnessed: vouched.witnessed,
    }
}
