//! A report for assessors: the controls of a framework that the log has evidence for, the status of each, and what the log
//! does not show.
//!
//! A report depends only on the log's checkpoint, the framework, the period and the number of leaves to list: the same log
//! gives the same bytes. Counts, checks and statuses cover all leaves. The first and the last leaves of each event type and
//! result and the first and the last exceptions of each check are listed, each with its proof, together with the number of
//! leaves left out. Memory and the length of a report are therefore bounded for a log of any size. A status refers only to
//! [`Control::evidences`]; what no log can show is in [`Control::leaves_out`].
//!
//! - [`framework`]: the controls, as data; `check`: the checks; `collect`: makes a report of events; `evidence`: its leaves
//! - [`html`], [`csv`], [`json`], [`oscal`]: writers

pub(crate) mod check;
mod cmmc;
mod collect;
pub mod csv;
mod evidence;
pub mod framework;
pub mod html;
pub mod json;
mod nist;
pub mod oscal;
mod srg;

use std::io;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tlog::{Hash, Proof};

pub use self::check::{CheckResult, CheckpointTrust};
pub use self::collect::Collector;
pub use self::evidence::Evidence;
pub use self::framework::{Control, Framework, Status};
use crate::{Event, Reader, Result};

/// The default number of leaves of each event type and result in a report: a page stays readable.
pub const LEAVES: usize = 100;

/// The maximum number of leaves of each event type and result in a report.
pub const MAX_LEAVES: usize = 100_000;

const NO_EVENTS: &str = "The log has no event in this period: this report is not evidence of anything.";

/// A period, which can be open at either end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// Not before this time.
    pub since: Option<OffsetDateTime>,
    /// Before this time.
    pub until: Option<OffsetDateTime>,
}

/// The evidence of a log for the controls of a framework.
#[derive(Debug)]
pub struct Report {
    /// The framework.
    pub framework: Framework,
    /// The requested period.
    pub period: Period,
    /// The log.
    pub log: Log,
    /// The counts of leaves.
    pub counts: Counts,
    /// The results of the checks, without duplicates.
    pub checks: Vec<CheckResult>,
    /// The findings for the controls.
    pub controls: Vec<Finding>,
    /// The evidence: the indexes of the listed leaves that a control refers to, in order.
    pub leaves: Vec<u64>,
    /// The number of other leaves that a control refers to.
    pub leaves_left_out: u64,
    /// The times of the first and the last leaf that a control refers to, listed or not.
    span: (Option<OffsetDateTime>, Option<OffsetDateTime>),
    evidence: Evidence,
}

/// The log of a report.
#[derive(Clone, Debug)]
pub struct Log {
    /// Its name.
    pub origin: String,
    /// The number of its leaves, in the period or not.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// The signed checkpoint.
    pub checkpoint: String,
    /// Whether the checkpoint was verified with the log's own key.
    pub own_key: bool,
    /// Whether cosignatures of witnesses were required, and verified.
    pub witnessed: bool,
}

/// The number of leaves in each category. `leaves = relevant + irrelevant + before + after + no_events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All leaves.
    pub leaves: u64,
    /// In the period, and relevant to a control.
    pub relevant: u64,
    /// In the period, but relevant to no control.
    pub irrelevant: u64,
    /// Before the period.
    pub before: u64,
    /// After the period.
    pub after: u64,
    /// Not an event that this version knows.
    pub no_events: u64,
    /// Leaves in the period by event type and result, in the order of their names.
    pub events: Vec<Tally>,
}

/// The number of leaves with an event type and a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// The event type.
    pub event: String,
    /// The result.
    pub result: &'static str,
    /// The number of leaves.
    pub leaves: u64,
}

/// The finding for a control.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The control.
    pub control: &'static Control,
    /// The status of [`Control::evidences`].
    pub status: Status,
    /// The reason for the status.
    pub reason: String,
    /// The number of leaves that it refers to.
    pub count: u64,
    /// The indexes of the listed leaves.
    pub leaves: Vec<u64>,
}

/// One entry of the log, proved.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Its index.
    pub index: u64,
    /// The event.
    pub event: Event,
    /// The proof against the checkpoint; `extra` is the entry.
    pub proof: Proof,
}

impl Report {
    /// Reads and proves a whole log, and lists at most this many `leaves` of each event type and result.
    ///
    /// # Errors
    /// An error of the log, or [`crate::Error::Scratch`].
    pub fn of(reader: &Reader, framework: Framework, period: Period, leaves: usize) -> Result<Self> {
        let mut collector = Collector::new(framework, period, leaves);
        let others = reader.all(&mut |index, event, _| collector.take(index, &event))?;
        collector.no_events(others);
        collector.end(reader, CheckpointTrust::of(reader))
    }

    /// The first and the last time of the evidence: of the period, or of the leaves if the period is open.
    #[must_use]
    pub fn moments(&self) -> (String, String) {
        let (first, last) = (self.period.since.or(self.span.0), self.period.until.or(self.span.1));
        let first = first.or(last).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        (text(first), text(last.unwrap_or(first).max(first)))
    }

    /// The notice for a report without events in the period.
    #[must_use]
    pub fn notice(&self) -> Option<&'static str> {
        (self.counts.relevant + self.counts.irrelevant == 0).then_some(NO_EVENTS)
    }

    /// A leaf, read from the log and proved.
    ///
    /// # Errors
    /// Like [`Evidence::leaf`].
    pub fn leaf(&self, index: u64) -> Result<Leaf> {
        self.evidence.leaf(index)
    }

    /// The listed leaves, for writers.
    fn listed(&self) -> impl Iterator<Item = io::Result<Leaf>> {
        self.leaves.iter().map(|index| self.leaf(*index).map_err(io::Error::other))
    }
}

impl Finding {
    /// The number of leaves that it refers to but that are not listed.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.count - self.leaves.len() as u64
    }
}

impl Leaf {
    /// The hash of the leaf in the tree.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::leaf(self.proof.extra.as_deref().unwrap_or_default())
    }

    /// The user, in one line.
    #[must_use]
    pub fn actor(&self) -> String {
        let actor = &self.event.actor;
        let user = actor.user.clone().or_else(|| actor.uid.map(|uid| format!("uid {uid}")));
        match (user, &actor.address) {
            (Some(user), None) => user,
            (Some(user), Some(address)) => format!("{user} at {address}"),
            (None, Some(address)) => format!("unknown user at {address}"),
            (None, None) => "unknown user".to_owned(),
        }
    }
}

impl Period {
    /// Whether a time is before (-1), in (0) or after (1) the period. An invalid time counts as in the period, so that no
    /// event is ignored.
    pub(crate) fn side(&self, time: &str) -> i8 {
        let Some(time) = moment(time) else { return 0 };
        if self.since.is_some_and(|since| time < since) {
            -1
        } else {
            i8::from(self.until.is_some_and(|until| time >= until))
        }
    }
}

/// Parses the time of an event.
pub(crate) fn moment(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// RFC 3339 in UTC, to the second.
pub(crate) fn text(time: OffsetDateTime) -> String {
    let time = time.to_offset(time::UtcOffset::UTC);
    let whole = time.replace_nanosecond(0).unwrap_or(time);
    // RFC 3339 cannot express a year after 9999.
    whole.format(&Rfc3339).unwrap_or_default()
}

/// A hash in hexadecimal digits.
pub(crate) fn hex(hash: Hash) -> String {
    hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
