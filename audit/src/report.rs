//! A report for assessors: which controls of a framework the log has evidence for, what the evidence comes to, and
//! what is not in it.
//!
//! A report is a function of the log's checkpoint, the framework, the period and the number of leaves to list, and of nothing
//! else: the same log gives the same bytes. Counts, checks and statuses are over all leaves. Of each event and outcome the
//! first and the last leaves are listed, and of each check the first and the last exceptions, each with its proof; and it
//! says how many it leaves out. So memory and a report's length are bounded, however long the log is. A status speaks only of what
//! [`Control::evidences`] says; what no log can show is in [`Control::leaves_out`].
//!
//! - [`framework`]: the controls, as data; `check`: what is counted; `collect`: from events to a report; `evidence`: its leaves
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

pub use self::check::{Checked, Vouched};
pub use self::collect::Collector;
pub use self::evidence::Evidence;
pub use self::framework::{Control, Framework, Status};
use crate::{Event, Reader, Result};

/// How many leaves of each event and outcome a report lists, where nobody says otherwise: a page stays readable.
pub const LEAVES: usize = 100;

/// The most that anybody may ask for.
pub const MOST_LEAVES: usize = 100_000;

const NO_EVENTS: &str = "The log has no event in this period: this report is not evidence of anything.";

/// The time between two moments; open where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// Not before this time.
    pub since: Option<OffsetDateTime>,
    /// Before this time.
    pub until: Option<OffsetDateTime>,
}

/// What a log shows of a framework's controls.
#[derive(Debug)]
pub struct Report {
    /// Which controls.
    pub framework: Framework,
    /// The time that was asked for.
    pub period: Period,
    /// The log.
    pub log: Log,
    /// What was counted.
    pub counts: Counts,
    /// What was checked, each once.
    pub checks: Vec<Checked>,
    /// What it comes to.
    pub controls: Vec<Finding>,
    /// The evidence: indexes of leaves that a control names, in order.
    pub leaves: Vec<u64>,
    /// How many leaves more a control names.
    pub leaves_left_out: u64,
    /// When the first and the last leaf was logged that a control names, listed or not.
    span: (Option<OffsetDateTime>, Option<OffsetDateTime>),
    evidence: Evidence,
}

/// The log that a report is about.
#[derive(Clone, Debug)]
pub struct Log {
    /// Its name.
    pub origin: String,
    /// How many leaves it has, in the period or not.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// The signed checkpoint.
    pub checkpoint: String,
    /// Whether the log itself gave the key that its signature was checked by.
    pub own_key: bool,
    /// Whether witnesses had to sign the checkpoint, too, and did.
    pub witnessed: bool,
}

/// Where each leaf of the log went. `leaves = relevant + irrelevant + before + after + no_events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All leaves.
    pub leaves: u64,
    /// In the period, and named by a control.
    pub relevant: u64,
    /// In the period, and named by none.
    pub irrelevant: u64,
    /// Before the period.
    pub before: u64,
    /// After it.
    pub after: u64,
    /// In the log, but not an event that this version knows.
    pub no_events: u64,
    /// Leaves in the period by event and outcome, in the order of their names.
    pub events: Vec<Tally>,
}

/// How often an event ended in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// The event.
    pub event: String,
    /// How it ended.
    pub result: &'static str,
    /// How many leaves.
    pub leaves: u64,
}

/// What the log shows of one control.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The control.
    pub control: &'static Control,
    /// Whether what it is said to evidence is so.
    pub status: Status,
    /// Why, in one sentence.
    pub reason: String,
    /// How many leaves it names.
    pub count: u64,
    /// The indexes of those that are listed.
    pub leaves: Vec<u64>,
}

/// One entry of the log, proved.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Its index.
    pub index: u64,
    /// What it says.
    pub event: Event,
    /// That it is under the checkpoint; `extra` is the entry.
    pub proof: Proof,
}

impl Report {
    /// Reads a whole log, proved, and lists at most so many `leaves` of each event and outcome.
    ///
    /// # Errors
    /// What is wrong with the log, or [`crate::Error::Scratch`].
    pub fn of(reader: &Reader, framework: Framework, period: Period, leaves: usize) -> Result<Self> {
        let mut collector = Collector::new(framework, period, leaves);
        let others = reader.all(&mut |index, event, _| collector.take(index, &event))?;
        collector.no_events(others);
        collector.end(reader, Vouched::by(reader))
    }

    /// The first and last moment of the evidence: of the period where it has ends, else of the leaves.
    #[must_use]
    pub fn moments(&self) -> (String, String) {
        let (first, last) = (self.period.since.or(self.span.0), self.period.until.or(self.span.1));
        let first = first.or(last).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        (text(first), text(last.unwrap_or(first).max(first)))
    }

    /// That there is nothing to report, where no event is in the period.
    #[must_use]
    pub fn notice(&self) -> Option<&'static str> {
        (self.counts.relevant + self.counts.irrelevant == 0).then_some(NO_EVENTS)
    }

    /// A leaf, read from the log and proved.
    ///
    /// # Errors
    /// As [`Evidence::leaf`].
    pub fn leaf(&self, index: u64) -> Result<Leaf> {
        self.evidence.leaf(index)
    }

    /// For writers: the leaves that are listed, one after the other.
    fn listed(&self) -> impl Iterator<Item = io::Result<Leaf>> {
        self.leaves.iter().map(|index| self.leaf(*index).map_err(io::Error::other))
    }
}

impl Finding {
    /// How many leaves it names that are not listed.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.count - self.leaves.len() as u64
    }
}

impl Leaf {
    /// The hash in the tree.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::leaf(self.proof.extra.as_deref().unwrap_or_default())
    }

    /// Who did it, in one line.
    #[must_use]
    pub fn actor(&self) -> String {
        let actor = &self.event.actor;
        let user = actor.user.clone().or_else(|| actor.uid.map(|uid| format!("uid {uid}")));
        match (user, &actor.address) {
            (Some(user), None) => user,
            (Some(user), Some(address)) => format!("{user} at {address}"),
            (None, Some(address)) => format!("nobody known at {address}"),
            (None, None) => "nobody known".to_owned(),
        }
    }
}

impl Period {
    /// Whether an event lies before (-1), in (0) or after (1) the period. A time that cannot be read is in it, so
    /// that nothing gets lost by it.
    pub(crate) fn side(&self, time: &str) -> i8 {
        let Some(time) = moment(time) else { return 0 };
        if self.since.is_some_and(|since| time < since) {
            -1
        } else {
            i8::from(self.until.is_some_and(|until| time >= until))
        }
    }
}

/// A moment as events have it.
pub(crate) fn moment(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// RFC 3339 in UTC, by the second.
pub(crate) fn text(time: OffsetDateTime) -> String {
    let time = time.to_offset(time::UtcOffset::UTC);
    let whole = time.replace_nanosecond(0).unwrap_or(time);
    // A year beyond 9999 has no such form.
    whole.format(&Rfc3339).unwrap_or_default()
}

/// A hash as people compare it.
pub(crate) fn hex(hash: Hash) -> String {
    hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
