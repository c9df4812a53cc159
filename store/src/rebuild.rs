//! Rebuilds the database. Write order: the marker that forbids use of the database, the journal if it lacks names that the
//! database has, the quarantine, the database together with a journal of one line with the same content, the marker that
//! allows use again. The last marker is the commit point; a crash before it leaves blobs and a journal from which the next
//! rebuild starts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use oci::{Digest, MediaType, RepositoryName, Tag};
use rusqlite::{Connection, TransactionBehavior};
use serde::Serialize;

use crate::apply::{Checks, SizeCheck, apply};
use crate::blob::BlobFile;
use crate::change::Change;
use crate::check::{Hashed, hash_all, walk};
use crate::damage::set_aside;
use crate::durable::Disk;
use crate::history::{self, HistoryRow};
use crate::journal::{self, Record};
use crate::layout::{Layout, Marker};
use crate::open::make_folders;
use crate::protect::{self, Protection};
use crate::query::{all, parsed, read_manifest, size};
use crate::rules::{self, Rules};
use crate::schema::{open_reader, open_writer};
use crate::writer::{journal_length, set_journal_length};
use crate::{Error, Progress, Result, unflushed};

/// Who restores tags, in their history.
const REBUILD: &str = "store rebuild";

/// What a rebuild did.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RebuildReport {
    /// Intact blob files.
    pub blobs: u64,
    /// Manifests restored in their repositories.
    pub manifests: u64,
    /// Tags restored.
    pub tags: u64,
    /// The names of the files moved to `quarantine/`.
    pub quarantined: Vec<String>,
    /// Names whose manifest is lost, as `repository@digest` or `repository:tag`.
    pub lost: Vec<String>,
    /// Journal lines that could not be read.
    pub unreadable_lines: usize,
}

/// The names that result from the journal.
#[derive(Default)]
struct Names {
    manifests: BTreeMap<(RepositoryName, Digest), MediaType>,
    tags: BTreeMap<(RepositoryName, Tag), Digest>,
    notes: BTreeMap<String, u64>,
}

impl Names {
    fn replay(records: Vec<Record>) -> Self {
        let mut names = Self::default();
        for record in records {
            match record {
                Record::Manifest { repository, digest, media_type } => {
                    names.manifests.insert((repository, digest), media_type);
                }
                Record::ManifestGone { repository, digest } => {
                    names.tags.retain(|(owner, _), target| *owner != repository || *target != digest);
                    names.manifests.remove(&(repository, digest));
                }
                Record::Tag { repository, tag, digest } => {
                    names.tags.insert((repository, tag), digest);
                }
                Record::TagGone { repository, tag } => {
                    names.tags.remove(&(repository, tag));
                }
                Record::Note { name, value } => {
                    names.notes.insert(name, value);
                }
                Record::NoteGone { name } => {
                    names.notes.remove(&name);
                }
            }
        }
        names
    }
}

pub(crate) fn rebuild(
    layout: &Layout,
    disk: &Disk,
    without_names: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<RebuildReport> {
    if !without_names && !layout.database().exists() && !has_names(layout) {
        return Err(Error::NamesGone(layout.root().to_owned()));
    }
    make_folders(layout, disk)?;
    restore_unflushed(layout, disk)?;
    let known = names_missing_from_journal(layout)?;
    Marker::write(layout, disk, true)?;
    if let Some(names) = known {
        // Before the database is removed: so far only it has them.
        disk.write_file(&layout.journal(), &journal::encode(&names)?)?;
    }
    let mut report = RebuildReport::default();
    let sound = sound_blobs(layout, progress, &mut report)?;
    let (records, bad) = journal::read(&layout.journal())?;
    report.unreadable_lines = bad;
    let names = Names::replay(records);
    let changes = to_changes(layout, &names, &sound, &mut report)?;
    let kept = Kept::read(layout)?;
    write_database(layout, disk, &changes, &kept)?;
    Marker::write(layout, disk, false)?;
    Ok(report)
}

/// Writes the files of content that only the database has. A database that cannot be read has none.
fn restore_unflushed(layout: &Layout, disk: &Disk) -> Result<()> {
    if !layout.database().exists() {
        return Ok(());
    }
    match open_writer(layout).and_then(|mut connection| unflushed::restore(layout, disk, &mut connection)) {
        Err(Error::Database(_)) => Ok(()),
        restored => restored,
    }
}

/// Whether the journal has content, or the store has no blobs that could have had names.
fn has_names(layout: &Layout) -> bool {
    fs::metadata(layout.journal()).is_ok_and(|journal| journal.len() > 0)
        || walk(layout).is_ok_and(|(blobs, _)| blobs.is_empty())
}

/// The names in the database, if the journal is shorter than the database expects: a rebuild from such a journal would
/// lose them for good, so the database is the source of truth. A database that cannot be read has nothing to lose.
fn names_missing_from_journal(layout: &Layout) -> Result<Option<Vec<Record>>> {
    if !layout.database().exists() {
        return Ok(None);
    }
    let read = || {
        let connection = open_reader(layout)?;
        let found = fs::metadata(layout.journal()).map_or(0, |metadata| metadata.len());
        if found >= journal_length(&connection)? {
            return Ok(None);
        }
        names_of(&connection).map(Some)
    };
    match read() {
        Err(Error::Database(_)) => Ok(None),
        names => names,
    }
}

/// All names in a database, as journal records.
fn names_of(connection: &Connection) -> Result<Vec<Record>> {
    let mut manifests =
        "SELECT r.name, m.digest, m.media_type FROM manifests m JOIN repositories r ON r.id = m.repository"
            .to_owned();
    if connection.table_exists(None, "inbox")? {
        manifests += " WHERE NOT EXISTS
            (SELECT 1 FROM inbox i WHERE i.repository = r.id AND i.digest = m.digest AND i.held)";
    }
    let mut records = all(connection, &manifests, [], |row| {
        let (repository, digest, media_type) = (parsed(row, 0)?, parsed(row, 1)?, parsed(row, 2)?);
        Ok(Record::Manifest { repository, digest, media_type })
    })?;
    let tags = "SELECT r.name, t.tag, t.digest FROM tags t JOIN repositories r ON r.id = t.repository";
    records.extend(all(connection, tags, [], |row| {
        Ok(Record::Tag { repository: parsed(row, 0)?, tag: parsed(row, 1)?, digest: parsed(row, 2)? })
    })?);
    if connection.table_exists(None, "notes")? {
        records.extend(all(connection, "SELECT name, value FROM notes", [], |row| {
            Ok(Record::Note { name: row.get(0)?, value: size(row, 1)? })
        })?);
    }
    Ok(records)
}

fn sound_blobs(
    layout: &Layout,
    progress: &mut dyn FnMut(Progress),
    report: &mut RebuildReport,
) -> Result<BTreeSet<Digest>> {
    let (found, stray) = walk(layout)?;
    let mut bad = stray;
    let mut sound = BTreeSet::new();
    for (blob, real) in found.iter().zip(hash_all(&found, progress)?) {
        match real {
            Hashed::Content(real) if real == blob.digest => {
                sound.insert(real);
            }
            Hashed::Unreadable(error) => return Err(Error::io("read", &blob.path)(error)),
            Hashed::Content(_) | Hashed::NotAFile => bad.push(blob.path.clone()),
            Hashed::Gone => {}
        }
    }
    for path in bad {
        report.quarantined.push(set_aside(layout, &path)?);
    }
    report.blobs = sound.len() as u64;
    Ok(sound)
}

fn to_changes(
    layout: &Layout,
    names: &Names,
    sound: &BTreeSet<Digest>,
    report: &mut RebuildReport,
) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    let mut present = BTreeSet::new();
    for ((repository, digest), media_type) in &names.manifests {
        let found = BlobFile::open(layout, digest)?.filter(|_| sound.contains(digest));
        let manifest = match found.map(|found| read_manifest(layout, digest, found, Some(media_type))) {
            // A manifest that an older version accepted and this one rejects is lost; the others are not.
            None | Some(Err(Error::Invalid(_))) => None,
            Some(read) => Some(read?),
        };
        let Some(manifest) = manifest else {
            report.lost.push(format!("{repository}@{digest}"));
            continue;
        };
        present.insert((repository, digest));
        let (repository, digest) = (repository.clone(), digest.clone());
        changes.push(Change::PutManifest { repository, digest, manifest });
        report.manifests += 1;
    }
    for ((repository, tag), digest) in &names.tags {
        if present.contains(&(repository, digest)) {
            let (repository, tag, digest) = (repository.clone(), tag.clone(), digest.clone());
            changes.push(Change::SetTag { repository, tag, digest }.by(REBUILD));
            report.tags += 1;
        } else {
            report.lost.push(format!("{repository}:{tag}"));
        }
    }
    let note = |(name, value): (&String, &u64)| Change::Note { name: name.clone(), value: Some(*value) };
    changes.extend(names.notes.iter().map(note));
    Ok(changes)
}

/// What neither blobs nor the journal contain: it is kept if the old database can be read.
#[derive(Default)]
struct Kept {
    history: Vec<HistoryRow>,
    rules: Rules,
    protections: Vec<Protection>,
}

impl Kept {
    fn read(layout: &Layout) -> Result<Self> {
        if !layout.database().exists() {
            return Ok(Self::default());
        }
        let read = || {
            let connection = open_reader(layout)?;
            let history = history::read_all(&connection)?;
            // Rules that cannot be read are written again by `serve`.
            let rules = rules::read(&connection).unwrap_or_default();
            Ok(Self { history, rules, protections: protect::read_all(&connection)? })
        };
        match read() {
            Err(Error::Database(_)) => Ok(Self::default()),
            kept => kept,
        }
    }
}

/// Replaces the database, and replaces the journal with one line.
fn write_database(layout: &Layout, disk: &Disk, changes: &[Change], kept: &Kept) -> Result<()> {
    let database = layout.database();
    for suffix in ["", "-wal", "-shm"] {
        let old = format!("{}{suffix}", database.display());
        match fs::remove_file(&old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &database)(error));
            }
            _ => {}
        }
    }
    let mut connection = open_writer(layout)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut records = Vec::new();
    for change in changes {
        let checks = Checks { sizes: SizeCheck::Skip, rules: &rules::NONE };
        records.extend(apply(&transaction, layout, change, checks)?);
    }
    history::restore(&transaction, &kept.history, REBUILD)?;
    for protection in &kept.protections {
        protect::add(&transaction, protection)?;
    }
    rules::replace(&transaction, &kept.rules)?;
    let line = if records.is_empty() { Vec::new() } else { journal::encode(&records)? };
    disk.write_file(&layout.journal(), &line)?;
    set_journal_length(&transaction, line.len() as u64)?;
    transaction.commit()?;
    Ok(())
}
