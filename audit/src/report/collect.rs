//! Makes a report of events. Only counts and indexes are kept, for a log of any size.

use std::collections::{BTreeMap, BTreeSet};

use super::check::{Check, CheckResult, CheckpointTrust, Checks, Class, Ends, LogState};
use super::framework::{Basis, Control, Status};
use super::{Counts, Evidence, Finding, Framework, Log, Period, Report, Tally, moment};
use crate::{Error, Event, Reader, Result};

/// The maximum number of leaves that a reason names; the check lists more.
const MAX_NAMED: usize = 5;

/// Takes the events of a log in order, and makes a report of them.
#[derive(Debug)]
pub struct Collector {
    framework: Framework,
    period: Period,
    /// The number of leaves of each event type and result that are listed from the beginning, and from the end.
    kept: usize,
    counts: Counts,
    classes: BTreeMap<Class, Ends>,
    checks: Checks,
    state: LogState,
    /// The times of the first and the last event that a control refers to.
    times: Option<(String, String)>,
}

impl Collector {
    /// A collector for a framework and a period. `leaves` is the maximum number of listed leaves of each event type and
    /// result.
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
            state: LogState::default(),
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
        self.state.take(index, event);
    }

    fn take_in_period(&mut self, index: u64, event: &Event) {
        let class = (event.event, event.outcome.result);
        self.classes.entry(class).or_default().push(index, self.kept);
        self.checks.take(index, event, &self.state);
        if self.framework.controls().iter().any(|control| control.includes(class)) {
            let (_, last) = self.times.get_or_insert_with(|| (event.time.clone(), String::new()));
            last.clone_from(&event.time);
        }
    }

    /// Counts leaves that are not events.
    pub fn no_events(&mut self, leaves: u64) {
        self.counts.leaves += leaves;
        self.counts.no_events += leaves;
    }

    /// Makes the report.
    ///
    /// # Errors
    /// [`Error::Missing`] when not all leaves of the checkpoint were taken, or [`Error::Scratch`].
    pub fn end(mut self, reader: &Reader, trust: CheckpointTrust) -> Result<Report> {
        let size = reader.size();
        if self.counts.leaves != size {
            return Err(Error::Missing { found: self.counts.leaves, size });
        }
        let controls = self.framework.controls();
        self.counts.events = tallies(&self.classes);
        for (class, ends) in &self.classes {
            if controls.iter().any(|control| control.includes(*class)) {
                self.counts.relevant += ends.count();
            } else {
                self.counts.irrelevant += ends.count();
            }
        }
        let checks = self.checks.end(&self.counts, &self.state, trust);
        self.state.check()?;
        let listed = listed(&self.classes, &checks);
        let findings = controls.iter().map(|control| finding(control, &self.classes, &checks, &listed));
        let findings: Vec<Finding> = findings.collect();
        let is_relevant = |class: Class| controls.iter().any(|control| control.includes(class));
        let leaves: Vec<u64> =
            listed.iter().filter(|(_, class)| is_relevant(**class)).map(|(index, _)| *index).collect();
        let (first, last) = self.times.map_or((None, None), |(first, last)| (moment(&first), moment(&last)));
        Ok(Report {
            framework: self.framework,
            period: self.period,
            log: log(reader, trust),
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

/// The counts by event type and result, in the order of their names.
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

/// The leaves that are listed: the first and the last of each class, and the exceptions.
fn listed(classes: &BTreeMap<Class, Ends>, checks: &[CheckResult]) -> BTreeMap<u64, Class> {
    let exceptions = checks.iter().flat_map(|result| &result.by_class);
    let all = classes.iter().chain(exceptions);
    all.flat_map(|(class, ends)| ends.kept().map(|index| (index, *class))).collect()
}

fn finding(
    control: &'static Control,
    classes: &BTreeMap<Class, Ends>,
    checks: &[CheckResult],
    listed: &BTreeMap<u64, Class>,
) -> Finding {
    let rows = || classes.iter().filter(|(class, _)| control.includes(**class));
    let count: u64 = rows().map(|(_, ends)| ends.count()).sum();
    let (status, reason) = match control.basis {
        Basis::Outside => (Status::NotAssessed, not_in_log(control)),
        Basis::Lacking => (Status::NotSatisfied, control.leaves_out.to_owned()),
        Basis::Events(..) | Basis::Partial(..) => {
            judge(control, &rows().map(|(class, _)| *class).collect(), checks)
        }
    };
    let leaves =
        listed.iter().filter(|(_, class)| control.includes(**class)).map(|(index, _)| *index).collect();
    Finding { control, status, reason, count, leaves }
}

/// The worst result of a check for the control's own leaves. A control is satisfied only if a leaf shows it, and never if no
/// leaf can show it.
fn judge(control: &Control, rows: &BTreeSet<Class>, checks: &[CheckResult]) -> (Status, String) {
    let result_of = |check: &Check| checks.iter().find(|result| result.check == *check);
    let results = checks.iter().filter(|result| control.checks().contains(&result.check));
    let failed: Vec<(Status, String)> = results.filter_map(|result| failure(result, rows)).collect();
    let proving = control.checks().iter().filter(|check| check.proves());
    // A complete log alone only shows that a report can be made.
    let has_others = proving.clone().any(|check| *check != Check::Gapless);
    let proving = proving.filter(|check| !has_others || **check != Check::Gapless);
    let is_shown = proving.clone().filter_map(result_of).any(|result| !result.bears_on.is_disjoint(rows));
    match failed.iter().map(|(status, _)| *status).max() {
        Some(Status::NotSatisfied) => {
            let failed = failed.into_iter().filter(|(status, _)| *status == Status::NotSatisfied);
            let reasons = failed.map(|(_, reason)| reason).collect::<Vec<_>>().join(" ");
            (Status::NotSatisfied, format!("Failed: {reasons}"))
        }
        _ if !control.can_be_satisfied() => (Status::NotAssessed, not_in_log(control)),
        Some(_) => {
            let reasons = failed.into_iter().map(|(_, reason)| reason).collect::<Vec<_>>().join(" ");
            (Status::NotAssessed, format!("Missing: {reasons}"))
        }
        None if !is_shown => {
            let titles = proving.map(|check| format!("{}.", check.title())).collect::<Vec<_>>().join(" Or: ");
            (
                Status::NotAssessed,
                format!("Missing: an event in the period that proves one of these checks: {titles}"),
            )
        }
        None => (Status::Satisfied, "All checks passed.".to_owned()),
    }
}

/// The reason for a control that a log alone cannot show.
fn not_in_log(control: &Control) -> String {
    format!("The log alone cannot show it. Missing: {}", control.leaves_out)
}

/// The failure of a check for leaves of these classes.
fn failure(result: &CheckResult, rows: &BTreeSet<Class>) -> Option<(Status, String)> {
    let CheckResult { check, title, expected, found, by_class, .. } = result;
    if found >= expected {
        return None;
    }
    if by_class.is_empty() {
        return Some((check.failure_status(), format!("{title} ({found} of {expected}).")));
    }
    let own = || by_class.iter().filter(|(class, _)| rows.contains(*class)).map(|(_, ends)| ends);
    let count: u64 = own().map(Ends::count).sum();
    let mut leaves: Vec<u64> = own().flat_map(Ends::kept).collect();
    leaves.sort_unstable();
    leaves.truncate(MAX_NAMED);
    let more = count.saturating_sub(leaves.len() as u64);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let leaves = leaves.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    (count > 0).then(|| (check.failure_status(), format!("{title} (except leaf {leaves}{more}).")))
}

fn log(reader: &Reader, trust: CheckpointTrust) -> Log {
    let checkpoint = reader.checkpoint();
    Log {
        origin: checkpoint.origin.clone(),
        size: checkpoint.size,
        root: checkpoint.root,
        checkpoint: reader.note().to_string(),
        own_key: trust.own_key,
        witnessed: trust.witnessed,
    }
}
