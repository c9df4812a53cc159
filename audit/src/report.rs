//! A report for assessors: which controls of a framework the log has evidence for, what the evidence comes to, and
//! what is not in it.
//!
//! A report is a function of the log's checkpoint, the framework and the period, and of nothing else: the same log
//! gives the same bytes. Each leaf stands in it once, with its proof, and each control names its leaves. A status
//! speaks only of what [`Control::evidences`] says; what no log can show is in [`Control::leaves_out`].
//!
//! - [`framework`]: the controls, as data; `check`: what is counted; `collect`: from events to a report
//! - [`html`], [`csv`], [`json`], [`oscal`]: writers

pub(crate) mod check;
mod cmmc;
mod collect;
pub mod csv;
pub mod framework;
pub mod html;
pub mod json;
mod nist;
pub mod oscal;
mod srg;

use std::cell::RefCell;
use std::collections::HashMap;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tlog::merkle::{self, Nodes};
use tlog::{Folder, Hash, Proof};

pub use self::check::Checked;
pub use self::collect::{Collector, Source};
pub use self::framework::{Control, Framework, Status};
use crate::{Event, Reader, Result};

/// Leaves that one report may have, each with its proof: about 4 kB of HTML and 300 bytes of memory more than the
/// event itself.
pub const MAX_LEAVES: usize = 100_000;

/// The time between two moments; open where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// Not before this time.
    pub since: Option<OffsetDateTime>,
    /// Before this time.
    pub until: Option<OffsetDateTime>,
}

/// What a log shows of a framework's controls.
#[derive(Clone, Debug)]
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
    /// The evidence: all leaves that a control names, in order.
    pub leaves: Vec<Leaf>,
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
    /// The indexes of its leaves.
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
    /// Reads a whole log, and proves what it takes from it.
    ///
    /// # Errors
    /// What is wrong with the log, or [`crate::Error::TooMuch`] when the period has more leaves than [`MAX_LEAVES`].
    pub fn of(reader: &Reader, framework: Framework, period: Period) -> Result<Self> {
        let mut collector = Collector::new(framework, period);
        let others = reader.all(&mut |index, event, _| collector.take(index, event))?;
        collector.no_events(others);
        let nodes = Known::new(reader);
        collector.end(&Source {
            checkpoint: reader.checkpoint(),
            note: reader.note(),
            own_key: reader.belief().is_own(),
            witnessed: reader.belief().policy().has_quorum(),
            proof: &|index| Ok(merkle::prove_inclusion(&nodes, index, reader.size())?),
        })
    }

    /// The first and last moment of the evidence: of the period where it has ends, else of the leaves.
    #[must_use]
    pub fn moments(&self) -> (String, String) {
        let of = |leaf: Option<&Leaf>| leaf.and_then(|leaf| moment(&leaf.event.time));
        let first = self.period.since.or_else(|| of(self.leaves.first()));
        let last = self.period.until.or_else(|| of(self.leaves.last()));
        let first = first.or(last).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        (text(first), text(last.unwrap_or(first).max(first)))
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

/// Hashes of a log's subtrees, each made once: the proofs of neighbours have most of them in common.
struct Known {
    folder: Folder,
    nodes: RefCell<HashMap<(u8, u64), Hash>>,
}

impl Known {
    fn new(reader: &Reader) -> Self {
        Self { folder: Folder::signed(reader.path(), reader.checkpoint()), nodes: RefCell::default() }
    }
}

impl Nodes for Known {
    fn node(&self, level: u8, index: u64) -> tlog::Result<Hash> {
        if let Some(hash) = self.nodes.borrow().get(&(level, index)) {
            return Ok(*hash);
        }
        let hash = self.folder.node(level, index)?;
        // Leaves' hashes are in the tiles as they are.
        if level > 0 {
            self.nodes.borrow_mut().insert((level, index), hash);
        }
        Ok(hash)
    }
}

/// A hash as people compare it.
pub(crate) fn hex(hash: Hash) -> String {
    hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
