//! Verifies a log from its files alone, and reports its faults and since when they exist.
//!
//! The signed root is authoritative. From it downwards, each tile is compared with the hash above it, and each entry with
//! its tile; if a tile does not match, the tile computed from the entries may match. The report therefore names what was
//! changed, not what merely depends on it. The index is compared with the events and never used. The effects of a crash are
//! notices, not faults: unflushed files whose entries are in `tail`, and an index in the middle of an update.

mod entries;
mod newest;
mod rows;
mod tree;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use serde::Serialize;
use tlog::folder::CHECKPOINT;
use tlog::{Checkpoint, Folder, Note, check, cosignature};

use self::rows::Rows;
use self::tree::Tree;
use crate::{Error, Event, LogTrust, Result};

/// The maximum number of faults that are listed; the rest are only counted.
const MAX_LISTED: usize = 50;

/// The result of verifying a log.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The log's name.
    pub origin: String,
    /// The number of its entries.
    pub size: u64,
    /// The signed root over them.
    pub root: String,
    /// The number of entries of each event type; without faults, their sum is the size of the log.
    pub counts: BTreeMap<&'static str, u64>,
    /// The time of the first event.
    pub first: Option<String>,
    /// The time of the last event.
    pub last: Option<String>,
    /// Whether only the log's own key was used, which does not detect a completely rewritten log.
    pub own_key: bool,
    /// The signatures of the checkpoint.
    pub signatures: Vec<CheckpointSignature>,
    /// The number of entries in the index; `None` without an index.
    pub indexed: Option<u64>,
    /// Observations that are not faults.
    pub notices: Vec<String>,
    /// The faults.
    pub faults: Vec<LogFault>,
    /// The number of faults that are not listed.
    pub more: u64,
}

/// A signature of the checkpoint.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointSignature {
    /// The name of the key.
    pub name: String,
    /// Whether it is valid; signatures of unknown keys cannot be verified.
    pub checked: bool,
    /// The time at which a witness signed, in seconds since 1970.
    pub time: Option<u64>,
}

/// A fault of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogFault {
    /// The part of the log.
    pub part: Part,
    /// The first affected entry, if any.
    pub entry: Option<u64>,
    /// The description of the fault.
    pub what: String,
    /// The time of the last intact event before it.
    pub good_until: Option<String>,
}

/// The parts of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The signed checkpoint.
    Checkpoint,
    /// An entry.
    Entry,
    /// A file of hashes, which can be rebuilt from the entries.
    Tile,
    /// The writer's own copy of the newest entries.
    Tail,
    /// The search index, which can be rebuilt.
    Index,
}

impl Report {
    /// Whether the log has no faults.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, part: Part, entry: Option<u64>, what: impl Into<String>) {
        self.push(LogFault { part, entry, what: what.into(), good_until: None });
    }

    fn push(&mut self, fault: LogFault) {
        if self.faults.len() < MAX_LISTED { self.faults.push(fault) } else { self.more += 1 }
    }
}

impl fmt::Display for LogFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::Checkpoint => "checkpoint",
            Part::Entry => "entry",
            Part::Tile => "tile",
            Part::Tail => "tail",
            Part::Index => "index",
        };
        match (self.part, self.entry) {
            (Part::Entry, Some(entry)) => write!(f, "{part} {entry}: {}", self.what)?,
            (_, Some(entry)) => write!(f, "{part}, entry {entry}: {}", self.what)?,
            (_, None) => write!(f, "{part}: {}", self.what)?,
        }
        match &self.good_until {
            Some(time) => write!(f, "; the log is intact until {time}"),
            None => Ok(()),
        }
    }
}

/// Verifies a whole log: the checkpoint's signatures, every entry, every tile, the tail, the index, and the consistency with
/// checkpoints that were kept elsewhere.
///
/// # Errors
/// [`Error::Log`] when the log does not exist, [`Error::Io`] for files that cannot be read for other reasons than damage.
pub fn verify(log: &Path, trust: &LogTrust, checkpoints: &[&Path]) -> Result<Report> {
    let mut report = Report {
        origin: String::new(),
        size: 0,
        root: String::new(),
        counts: BTreeMap::new(),
        first: None,
        last: None,
        own_key: trust.is_own(),
        signatures: Vec::new(),
        indexed: None,
        notices: Vec::new(),
        faults: Vec::new(),
        more: 0,
    };
    if !log.is_dir() {
        return Err(tlog::Error::Absent(log.to_owned()).into());
    }
    let (note, tail, file) = tlog::log::between_batches(log, || {
        (Folder::checkpoint(log), tlog::log::tail(log), fs::read(log.join(CHECKPOINT)).unwrap_or_default())
    })?;
    let verified = note.and_then(|note| Ok((trust.policy().verify(&note)?, note)));
    let (checkpoint, note) = match verified {
        Ok(verified) => verified,
        Err(tlog::Error::Absent(_)) => {
            report.fault(Part::Checkpoint, None, "it is missing, so the entries cannot be verified");
            return Ok(report);
        }
        Err(error) => {
            report.fault(Part::Checkpoint, None, chain(&error));
            return Ok(report);
        }
    };
    report.origin.clone_from(&checkpoint.origin);
    report.size = checkpoint.size;
    report.root = checkpoint.root.to_string();
    report.signatures = signatures(&note, trust);
    newest::judge_checkpoint(&file, &note, trust, &mut report);
    let folder = Folder::signed(log, &checkpoint);
    let (mut tree, rows) = walk(log, &folder, &mut report)?;
    if folder.uses_tail() {
        newest::judge(log, &folder, &mut report);
    }
    tree.judge(&checkpoint, &mut report);
    rows.end(&checkpoint, &tree, &mut report);
    judge_tail(tail, &tree, &mut report);
    for path in checkpoints {
        check_consistency(&folder, &checkpoint, trust, path, &mut report)?;
    }
    Ok(report)
}

/// Reads all entries once: hashes them, parses them, and compares them with the index.
fn walk<'a>(log: &Path, folder: &'a Folder, report: &mut Report) -> Result<(Tree<'a>, Rows)> {
    let mut tree = Tree::new(folder);
    let mut rows = Rows::open(log, report);
    for bundle in 0..folder.size().div_ceil(tlog::tile::WIDTH) {
        let entries = entries::read(folder, bundle)?;
        for (index, entry) in (bundle * tlog::tile::WIDTH..).zip(&entries) {
            match Event::parse(entry) {
                Ok(event) => {
                    *report.counts.entry(event.event.name()).or_insert(0) += 1;
                    rows.compare(index, &event);
                    report.first.get_or_insert_with(|| event.time.clone());
                    report.last = Some(event.time);
                }
                Err(error) => {
                    *report.counts.entry("unknown").or_insert(0) += 1;
                    tree.add_non_event(index, chain(&error));
                }
            }
        }
        tree.add(&entries);
    }
    Ok((tree, rows))
}

fn signatures(note: &Note, trust: &LogTrust) -> Vec<CheckpointSignature> {
    let logs = trust.policy().logs();
    let one = |signature: &tlog::note::Signature| {
        let log = logs.iter().any(|key| key.name() == signature.name() && note.verify(key).is_ok());
        let witness = trust.policy().witnesses().find(|key| key.name() == signature.name());
        let time = witness.and_then(|key| cosignature::verify(note, key).ok());
        CheckpointSignature { name: signature.name().to_owned(), checked: log || time.is_some(), time }
    };
    note.signatures().iter().map(one).collect()
}

/// Checks the writer's copy of the newest entries: it must have those of the tree, and may have more after a crash.
fn judge_tail(tail: tlog::Result<(u64, Vec<Vec<u8>>)>, tree: &Tree<'_>, report: &mut Report) {
    let (base, entries) = match tail {
        Ok(tail) => tail,
        Err(error) => return report.fault(Part::Tail, None, chain(&error)),
    };
    let end = base.saturating_add(entries.len() as u64);
    if base > report.size || end < report.size {
        let what = format!("it ends before entry {end}, but the checkpoint covers {} entries", report.size);
        return report.fault(Part::Tail, Some(end), what);
    }
    for (index, entry) in (base..report.size).zip(&entries) {
        if tree.leaf(index).is_some_and(|leaf| leaf != tlog::Hash::leaf(entry)) {
            return report.fault(Part::Tail, Some(index), "it differs from the entry in the tree");
        }
    }
    if end > report.size {
        let (size, last) = (report.size, end - 1);
        report.notices.push(format!(
            "entries {size} to {last} are durable, but no checkpoint covers them, because of a crash or because an older \
             checkpoint was restored; the next event adds them to the log"
        ));
    }
}

/// Checks that the log is consistent with a checkpoint that was kept elsewhere.
fn check_consistency(
    folder: &Folder,
    checkpoint: &Checkpoint,
    trust: &LogTrust,
    path: &Path,
    report: &mut Report,
) -> Result<()> {
    let bytes = input::read(path, input::MAX_SIZE).map_err(Error::io("read", path))?;
    let kept = Note::parse(&bytes).and_then(|note| trust.policy().verify(&note));
    let kept = kept.map_err(|source| Error::Unusable { path: path.to_owned(), source })?;
    match check::consistency(folder, checkpoint, kept.tree_head()) {
        Ok(_) => {
            report.notices.push(format!(
                "the log is consistent with `{}` ({})",
                path.display(),
                entry_count(kept.size)
            ));
        }
        Err(error) => report.fault(Part::Checkpoint, None, chain(&error)),
    }
    Ok(())
}

/// The text for a number of entries.
fn entry_count(entries: u64) -> String {
    if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
