//! Proving a log from its files alone, and saying what is wrong with it and since when.
//!
//! The signed root decides. From it downwards each tile is held to the hash above it, and each entry to its tile;
//! where a tile does not fit, the one that the entries come to may. So what is named is what was changed, not what
//! merely depends on it. The index is compared with the events and never asked. What a crash leaves is a notice and no
//! fault: files that are not flushed, whose entries `tail` has, and an index in the middle of an update.

mod entries;
mod newest;
mod rows;
mod tree;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;
use tlog::{Checkpoint, Folder, Note, check, cosignature};

use self::rows::Rows;
use self::tree::Tree;
use crate::{Belief, Error, Event, Result};

/// Faults that are named; the rest are only counted.
const NAMED: usize = 50;

/// What a whole log came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The log's name.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// The signed root over them.
    pub root: String,
    /// How many entries of each kind; without faults, together as many as the log has.
    pub counts: BTreeMap<&'static str, u64>,
    /// The first event's time.
    pub first: Option<String>,
    /// The last event's time.
    pub last: Option<String>,
    /// Whether the key came from the log itself, so that nobody vouches for it.
    pub own_key: bool,
    /// Who signed the checkpoint.
    pub signatures: Vec<Signed>,
    /// How many events the index has; none if there is no index.
    pub indexed: Option<u64>,
    /// What is worth knowing, but no fault.
    pub notices: Vec<String>,
    /// What is wrong.
    pub faults: Vec<LogFault>,
    /// How many faults more there are.
    pub more: u64,
}

/// A signature of the checkpoint.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signed {
    /// The key's name.
    pub name: String,
    /// Whether it is good; unknown keys' signatures cannot be checked.
    pub checked: bool,
    /// When a witness signed, in seconds since 1970.
    pub time: Option<u64>,
}

/// What is wrong, where, and up to when all was well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogFault {
    /// In which part of the log.
    pub part: Part,
    /// The first entry that it touches, if it is one.
    pub entry: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// The time of the last event before it that is as it was logged.
    pub good_until: Option<String>,
}

/// The parts of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The signed text.
    Checkpoint,
    /// An entry.
    Entry,
    /// A file of hashes, which can be made again from the entries.
    Tile,
    /// The writer's own copy of the newest entries.
    Tail,
    /// The database for searches, which can be made again.
    Index,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, part: Part, entry: Option<u64>, what: impl Into<String>) {
        self.push(LogFault { part, entry, what: what.into(), good_until: None });
    }

    fn push(&mut self, fault: LogFault) {
        if self.faults.len() < NAMED { self.faults.push(fault) } else { self.more += 1 }
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
            Some(time) => write!(f, "; good until {time}"),
            None => Ok(()),
        }
    }
}

/// Checks a whole log: the checkpoint's signatures, every entry, every tile, the tail, the index, and that the log
/// goes on from the checkpoints that were kept elsewhere.
///
/// # Errors
/// [`Error::Log`] when there is no log, [`Error::Io`] for what cannot be read for other reasons than damage.
pub fn verify(log: &Path, belief: &Belief, kept: &[&Path]) -> Result<Report> {
    let mut report = Report {
        origin: String::new(),
        size: 0,
        root: String::new(),
        counts: BTreeMap::new(),
        first: None,
        last: None,
        own_key: belief.is_own(),
        signatures: Vec::new(),
        indexed: None,
        notices: Vec::new(),
        faults: Vec::new(),
        more: 0,
    };
    if !log.is_dir() {
        return Err(tlog::Error::Absent(log.to_owned()).into());
    }
    let (note, tail) = tlog::log::between_batches(log, || (Folder::checkpoint(log), tlog::log::tail(log)))?;
    let believed = note.and_then(|note| Ok((belief.policy().verify(&note)?, note)));
    let (checkpoint, note) = match believed {
        Ok(believed) => believed,
        Err(tlog::Error::Absent(_)) => {
            report.fault(Part::Checkpoint, None, "it is missing, so that nothing vouches for the entries");
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
    report.signatures = signatures(&note, belief);
    let folder = Folder::signed(log, &checkpoint);
    let (mut tree, rows) = walk(log, &folder, &mut report)?;
    if folder.is_by_tail() {
        newest::judge(log, &folder, &mut report);
    }
    tree.judge(&checkpoint, &mut report);
    rows.end(&checkpoint, &tree, &mut report);
    judge_tail(tail, &tree, &mut report);
    for path in kept {
        goes_on(&folder, &checkpoint, belief, path, &mut report)?;
    }
    Ok(report)
}

/// Reads all entries once: their hashes, what they say, and whether the index says the same.
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
                    tree.no_event(index, chain(&error));
                }
            }
        }
        tree.add(&entries);
    }
    Ok((tree, rows))
}

fn signatures(note: &Note, belief: &Belief) -> Vec<Signed> {
    let logs = belief.policy().logs();
    let one = |signature: &tlog::note::Signature| {
        let log = logs.iter().any(|key| key.name() == signature.name() && note.verify(key).is_ok());
        let witness = belief.policy().witnesses().find(|key| key.name() == signature.name());
        let time = witness.and_then(|key| cosignature::verify(note, key).ok());
        Signed { name: signature.name().to_owned(), checked: log || time.is_some(), time }
    };
    note.signatures().iter().map(one).collect()
}

/// The writer's copy of the newest entries: it must have those that the tree has, and may have more after a crash.
fn judge_tail(tail: tlog::Result<(u64, Vec<Vec<u8>>)>, tree: &Tree<'_>, report: &mut Report) {
    let (base, entries) = match tail {
        Ok(tail) => tail,
        Err(error) => return report.fault(Part::Tail, None, chain(&error)),
    };
    let end = base.saturating_add(entries.len() as u64);
    if base > report.size || end < report.size {
        let what = format!("it ends before entry {end}, and the checkpoint covers {}", report.size);
        return report.fault(Part::Tail, Some(end), what);
    }
    for (index, entry) in (base..report.size).zip(&entries) {
        if tree.leaf(index).is_some_and(|leaf| leaf != tlog::Hash::leaf(entry)) {
            return report.fault(Part::Tail, Some(index), "it is another entry there than in the tree");
        }
    }
    if end > report.size {
        let (size, last) = (report.size, end - 1);
        report.notices.push(format!(
            "entries {size} to {last} are durable, but under no checkpoint: a crash came between, or an older checkpoint \
             was put back; the next event brings them in"
        ));
    }
}

/// That the log goes on from a checkpoint that was kept elsewhere.
fn goes_on(
    folder: &Folder,
    checkpoint: &Checkpoint,
    belief: &Belief,
    path: &Path,
    report: &mut Report,
) -> Result<()> {
    let bytes = input::read(path, input::MOST).map_err(Error::io("read", path))?;
    let known = Note::parse(&bytes).and_then(|note| belief.policy().verify(&note));
    let known = known.map_err(|source| Error::Unusable { path: path.to_owned(), source })?;
    let root = (known.size, known.root);
    match check::goes_on(folder, checkpoint, root) {
        Ok(_) => {
            report.notices.push(format!(
                "the log goes on from `{}`, {}",
                path.display(),
                counted(known.size)
            ));
        }
        Err(error) => report.fault(Part::Checkpoint, None, chain(&error)),
    }
    Ok(())
}

/// So many entries.
fn counted(entries: u64) -> String {
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
