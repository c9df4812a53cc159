//! What each change does to the tables.

use std::time::{SystemTime, UNIX_EPOCH};

use oci::{Descriptor, Digest, Manifest, RepositoryName, Tag};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::change::{Change, own_blobs};
use crate::inbox::{self, Waiting};
use crate::journal::Record;
use crate::layout::Layout;
use crate::pushed::{self, Pusher};
use crate::rules::{self, Rules};
use crate::{Error, Result, health, history, protect, pulls, removal, upkeep, wanted};

/// How long a pushed blob is kept while no manifest names it.
const PUSH_LEASE_SECONDS: i64 = 24 * 3600;
/// How long a holder's leases last if they are never released.
const HOLDER_LEASE_SECONDS: i64 = 30 * 24 * 3600;

/// Whether the sizes in a manifest must equal the sizes of the content in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SizeCheck {
    /// They must: both size and digest are binding.
    Enforce,
    /// They need not: manifests that an older version accepted are restored, and `store check` reports them.
    Skip,
}

/// What a change must comply with.
#[derive(Clone, Copy)]
pub(crate) struct Checks<'a> {
    pub(crate) sizes: SizeCheck,
    pub(crate) rules: &'a Rules,
}

/// A size in a manifest that differs from the size of the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeMismatch {
    /// The content.
    pub digest: Digest,
    /// The size in the manifest.
    pub said: u64,
    /// The content's size.
    pub found: u64,
}

/// The content whose size in the manifest differs from the size of the store's file.
pub(crate) fn size_mismatches(layout: &Layout, manifest: &Manifest) -> Vec<SizeMismatch> {
    let described = manifest.blobs().chain(manifest.children());
    let mismatch = |descriptor: &Descriptor| {
        let found = size_on_disk(layout, &descriptor.digest)?;
        let said = descriptor.size;
        (found != said).then(|| SizeMismatch { digest: descriptor.digest.clone(), said, found })
    };
    described.filter_map(mismatch).collect()
}

/// Applies one change and returns its records for the journal.
pub(crate) fn apply(
    connection: &Connection,
    layout: &Layout,
    change: &Change,
    checks: Checks<'_>,
) -> Result<Vec<Record>> {
    let rules = (!change.is_overriding()).then_some(checks.rules);
    if let Some(removed) = removal::apply(connection, layout, (change.bare(), change.actor()), rules)? {
        return Ok(removed);
    }
    match change.bare() {
        Change::LinkBlob { repository, digest } => {
            let size = expected(layout, repository, digest)?;
            let id = repository_id(connection, repository)?;
            link(connection, id, digest, size)?;
            lease(connection, "push", digest, PUSH_LEASE_SECONDS)?;
            Ok(Vec::new())
        }
        Change::Expect { repository, digest } => expected(layout, repository, digest).map(|_| Vec::new()),
        Change::UnlinkBlob { repository, digest } => {
            unlink(connection, repository, digest).map(|()| Vec::new())
        }
        Change::PutManifest { repository, digest, manifest } => {
            expected(layout, repository, digest)?;
            if checks.sizes == SizeCheck::Enforce {
                reject_size_mismatches(layout, digest, manifest)?;
            }
            link_blobs(connection, layout, repository, manifest)?;
            inbox::release(connection, repository_id(connection, repository)?, digest)?;
            put_manifest(connection, repository, digest, manifest).map(|record| vec![record])
        }
        Change::PushManifest { repository, digest, manifest } => {
            expected(layout, repository, digest)?;
            check_pushed(connection, layout, repository, digest, manifest)?;
            inbox::release(connection, repository_id(connection, repository)?, digest)?;
            put_manifest(connection, repository, digest, manifest).map(|record| vec![record])
        }
        Change::CountPushed { repository, digest, manifest, pusher, most } => {
            let pusher = Pusher { name: pusher, most: *most };
            pushed::count(connection, repository, digest, manifest, pusher)?;
            Ok(Vec::new())
        }
        Change::SetTag { repository, tag, digest } => {
            set_tag(connection, (repository, tag), digest, change.actor(), rules)
        }
        waiting @ (Change::Hold { .. } | Change::Promote { .. } | Change::Discard { .. }) => {
            apply_to_inbox(connection, layout, waiting, change.actor(), rules)
        }
        Change::Lease { holder, digest } => {
            lease(connection, holder, digest, HOLDER_LEASE_SECONDS).map(|()| Vec::new())
        }
        Change::ReleaseLeases { holder } => {
            execute(connection, "DELETE FROM leases WHERE holder = ?1", params![holder])?;
            Ok(Vec::new())
        }
        Change::Note { name, value } => Ok(vec![note(connection, name, *value)?]),
        other => record(connection, other).map(|()| Vec::new()),
    }
}

/// Applies a change that the journal does not record.
fn record(connection: &Connection, change: &Change) -> Result<()> {
    match change {
        Change::Want(wanted) => wanted::record(connection, wanted),
        Change::ForgetWanted(name) => wanted::forget(connection, name),
        Change::Health(change) => health::apply(connection, change),
        Change::SetRules(rules) => rules::replace(connection, rules),
        Change::Protect(protection) => protect::add(connection, protection),
        Change::Unprotect { repository, selector, source } => {
            protect::remove(connection, repository, selector.as_ref(), source)
        }
        Change::ReplaceProtected { source, protections } => protect::replace(connection, source, protections),
        Change::Pulled { repository, digest, at } => pulls::record(connection, repository, digest, *at),
        Change::Upkeep(run) => upkeep::record(connection, run),
        // `apply` and `removal` apply all others, and `bare` returns no wrapper.
        _ => Ok(()),
    }
}

fn apply_to_inbox(
    connection: &Connection,
    layout: &Layout,
    change: &Change,
    actor: Option<&str>,
    rules: Option<&Rules>,
) -> Result<Vec<Record>> {
    match change {
        Change::Hold { repository, tags, digest, manifest, most } => {
            expected(layout, repository, digest)?;
            check_pushed(connection, layout, repository, digest, manifest)?;
            let waiting = Waiting { repository, tags, digest, manifest, most: *most };
            inbox::hold(connection, waiting, actor, rules).map(|()| Vec::new())
        }
        Change::Promote { repository, tag, digest } => {
            inbox::expect(connection, repository, tag, digest)?;
            set_tag(connection, (repository, tag), digest, actor, rules)
        }
        Change::Discard { repository, tag, digest } => {
            inbox::discard(connection, repository, tag, digest).map(|()| Vec::new())
        }
        // `apply` passes no other change.
        _ => Ok(Vec::new()),
    }
}

/// Checks a pushed manifest against the content of its own repository.
fn check_pushed(
    connection: &Connection,
    layout: &Layout,
    repository: &RepositoryName,
    digest: &Digest,
    manifest: &Manifest,
) -> Result<()> {
    let id = repository_id(connection, repository)?;
    let has = |sql: &str, digest: &Digest| -> Result<bool> {
        Ok(connection.prepare_cached(sql)?.exists(params![id, digest.to_string()])?)
    };
    let has_blob = |digest: &Digest| has("SELECT 1 FROM blobs WHERE repository = ?1 AND digest = ?2", digest);
    let has_manifest =
        |digest: &Digest| has("SELECT 1 FROM manifests WHERE repository = ?1 AND digest = ?2", digest);
    for blob in own_blobs(manifest) {
        if !has_blob(&blob.digest)? {
            return Err(Error::BlobMissing { repository: repository.clone(), digest: blob.digest.clone() });
        }
    }
    for SizeMismatch { digest: content, said, found } in size_mismatches(layout, manifest) {
        if has_blob(&content)? || has_manifest(&content)? {
            return Err(Error::DescriptorSize { manifest: digest.clone(), digest: content, said, found });
        }
    }
    Ok(())
}

fn reject_size_mismatches(layout: &Layout, manifest: &Digest, content: &Manifest) -> Result<()> {
    match size_mismatches(layout, content).pop() {
        None => Ok(()),
        Some(SizeMismatch { digest, said, found }) => {
            Err(Error::DescriptorSize { manifest: manifest.clone(), digest, said, found })
        }
    }
}

fn note(connection: &Connection, name: &str, value: Option<u64>) -> Result<Record> {
    let Some(value) = value else {
        execute(connection, "DELETE FROM notes WHERE name = ?1", params![name])?;
        return Ok(Record::NoteGone { name: name.to_owned() });
    };
    let sql = "INSERT OR REPLACE INTO notes (name, value) VALUES (?1, ?2)";
    execute(connection, sql, params![name, signed(value)])?;
    Ok(Record::Note { name: name.to_owned(), value })
}

pub(crate) fn put_manifest(
    connection: &Connection,
    repository: &RepositoryName,
    digest: &Digest,
    manifest: &Manifest,
) -> Result<Record> {
    let id = repository_id(connection, repository)?;
    execute(
        connection,
        "INSERT INTO manifests (repository, digest, media_type, size, artifact_type, subject)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (repository, digest) DO UPDATE SET media_type = excluded.media_type",
        params![
            id,
            digest.to_string(),
            manifest.media_type().as_str(),
            signed(manifest.bytes().len() as u64),
            manifest.artifact_type(),
            manifest.subject().map(|subject| subject.digest.to_string()),
        ],
    )?;
    let edges = "INSERT OR IGNORE INTO edges (parent, child) VALUES (?1, ?2)";
    for named in manifest.blobs().chain(manifest.children()) {
        execute(connection, edges, params![digest.to_string(), named.digest.to_string()])?;
    }
    let (repository, digest) = (repository.clone(), digest.clone());
    Ok(Record::Manifest { repository, digest, media_type: manifest.media_type().clone() })
}

/// Links the blobs of a manifest that are on disk.
fn link_blobs(
    connection: &Connection,
    layout: &Layout,
    repository: &RepositoryName,
    manifest: &Manifest,
) -> Result<()> {
    let id = repository_id(connection, repository)?;
    // An index may also list blobs, as build caches do; its manifests are linked as manifests.
    let blobs =
        manifest.blobs().chain(manifest.children().iter().filter(|child| !child.media_type.is_manifest()));
    for blob in blobs {
        if let Some(size) = size_on_disk(layout, &blob.digest) {
            link(connection, id, &blob.digest, size)?;
        }
    }
    Ok(())
}

fn set_tag(
    connection: &Connection,
    (repository, tag): (&RepositoryName, &Tag),
    digest: &Digest,
    actor: Option<&str>,
    rules: Option<&Rules>,
) -> Result<Vec<Record>> {
    let id = repository_id(connection, repository)?;
    let text = digest.to_string();
    let present = connection
        .prepare_cached("SELECT 1 FROM manifests WHERE repository = ?1 AND digest = ?2")?
        .exists(params![id, text])?;
    if !present {
        return Err(Error::ManifestMissing { repository: repository.clone(), digest: digest.clone() });
    }
    let set = Record::Tag { repository: repository.clone(), tag: tag.clone(), digest: digest.clone() };
    let records = inbox::admit(connection, repository, tag, digest)?.into_iter().chain([set]).collect();
    if !check_movable(connection, (repository, tag), digest, rules)? {
        return Ok(records);
    }
    execute(
        connection,
        "INSERT INTO tags (repository, tag, digest) VALUES (?1, ?2, ?3)
         ON CONFLICT (repository, tag) DO UPDATE SET digest = excluded.digest",
        params![id, tag.as_str(), text],
    )?;
    history::record(connection, (id, tag.as_str()), Some(&text), actor)?;
    Ok(records)
}

/// Whether setting a tag changes it. Fails if it is immutable.
pub(crate) fn check_movable(
    connection: &Connection,
    (repository, tag): (&RepositoryName, &Tag),
    digest: &Digest,
    rules: Option<&Rules>,
) -> Result<bool> {
    let sql = "SELECT digest FROM tags WHERE tag = ?2 AND repository = (SELECT id FROM repositories WHERE name = ?1)";
    let before: Option<String> = connection
        .prepare_cached(sql)?
        .query_row([repository.as_str(), tag.as_str()], |row| row.get(0))
        .optional()?;
    if before.as_deref() == Some(&digest.to_string()) {
        return Ok(false);
    }
    if let Some(rules) = rules.filter(|_| before.is_some()) {
        rules.check_movable(repository, tag)?;
    }
    Ok(true)
}

pub(crate) fn repository_id(connection: &Connection, repository: &RepositoryName) -> Result<i64> {
    let sql = "INSERT INTO repositories (name) VALUES (?1)
               ON CONFLICT (name) DO UPDATE SET removed = 0 WHERE removed";
    execute(connection, sql, params![repository.as_str()])?;
    let sql = "SELECT id FROM repositories WHERE name = ?1";
    Ok(connection.prepare_cached(sql)?.query_row(params![repository.as_str()], |row| row.get(0))?)
}

fn link(connection: &Connection, repository: i64, digest: &Digest, size: u64) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO blobs (repository, digest, size) VALUES (?1, ?2, ?3)";
    execute(connection, sql, params![repository, digest.to_string(), signed(size)])
}

fn unlink(connection: &Connection, repository: &RepositoryName, digest: &Digest) -> Result<()> {
    let sql =
        "DELETE FROM blobs WHERE digest = ?2 AND repository = (SELECT id FROM repositories WHERE name = ?1)";
    execute(connection, sql, params![repository.as_str(), digest.to_string()])
}

fn lease(connection: &Connection, holder: &str, digest: &Digest, seconds: i64) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO leases (holder, digest, expires) VALUES (?1, ?2, ?3)";
    execute(connection, sql, params![holder, digest.to_string(), now() + seconds])
}

pub(crate) fn execute(connection: &Connection, sql: &str, parameters: impl rusqlite::Params) -> Result<()> {
    connection.prepare_cached(sql)?.execute(parameters)?;
    Ok(())
}

/// The size of a blob that must be on disk. No other process can remove it until the transaction ends.
fn expected(layout: &Layout, repository: &RepositoryName, digest: &Digest) -> Result<u64> {
    size_on_disk(layout, digest)
        .ok_or_else(|| Error::BlobMissing { repository: repository.clone(), digest: digest.clone() })
}

fn size_on_disk(layout: &Layout, digest: &Digest) -> Option<u64> {
    let found = std::fs::metadata(layout.blob(digest)).ok().filter(std::fs::Metadata::is_file);
    found.map(|found| found.len())
}

/// Seconds since 1970, for leases and history only; nothing depends on a correct clock for safety.
pub(crate) fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

/// SQLite's integers are signed; no size comes near the limit.
pub(crate) fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
