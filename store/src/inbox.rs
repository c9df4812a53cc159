//! The inbox: manifests that may not have their tag yet. Each tag of a repository has at most one entry; a later push
//! replaces it, and so does whatever sets the tag.
//!
//! A manifest that its repository did not have before is held: it is a manifest of the repository, so that its content is
//! kept and signatures about it are found, but the journal does not have it, so that no rebuild makes it an ordinary one.
//! It stops being held when it gets a tag or is pushed without one. A held manifest without an entry is removed.
//!
//! The entries are only in the database: `store rebuild` loses them, and the manifests that they hold.

use oci::{Digest, Manifest, RepositoryName, Tag};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;

use crate::apply::{check_movable, execute, now, put_manifest, repository_id, signed};
use crate::journal::Record;
use crate::query::{Readers, all, parsed, size};
use crate::rules::Rules;
use crate::{Error, Result, removal};

/// The limits of a repository's part of the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxLimits {
    /// The number of entries.
    pub entries: u64,
    /// The size of their manifests and of what these list, in bytes.
    pub bytes: u64,
    /// How long an entry waits, in seconds.
    pub seconds: u64,
}

/// A manifest that waits for its tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InboxEntry {
    /// The repository.
    pub repository: RepositoryName,
    /// The tag.
    pub tag: Tag,
    /// The manifest.
    pub digest: Digest,
    /// The size of the manifest and of what it lists.
    pub bytes: u64,
    /// When it was pushed, in seconds since 1970.
    pub pushed: u64,
    /// When it expires.
    pub expires: u64,
    /// Who pushed it.
    pub by: Option<String>,
}

impl InboxEntry {
    /// Whether the entry has expired, so that it can only be removed.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        signed(self.expires) <= now()
    }
}

/// A manifest that is to wait for its tags.
#[derive(Clone, Copy)]
pub(crate) struct Waiting<'a> {
    pub(crate) repository: &'a RepositoryName,
    pub(crate) tags: &'a [Tag],
    pub(crate) digest: &'a Digest,
    pub(crate) manifest: &'a Manifest,
    pub(crate) most: InboxLimits,
}

/// Adds a manifest to the inbox. Its bytes are on disk.
pub(crate) fn hold(
    connection: &Connection,
    waiting: Waiting<'_>,
    actor: Option<&str>,
    rules: Option<&Rules>,
) -> Result<()> {
    let Waiting { repository, tags, digest, manifest, most } = waiting;
    let id = repository_id(connection, repository)?;
    let text = digest.to_string();
    for tag in tags {
        check_movable(connection, (repository, tag), digest, rules)?;
    }
    let known = "SELECT 1 FROM manifests WHERE repository = ?1 AND digest = ?2";
    let is_known = connection.prepare_cached(known)?.exists(params![id, text])?;
    let is_held = !is_known || is_held(connection, id, &text)?;
    if !is_known {
        put_manifest(connection, repository, digest, manifest)?;
    }
    let bytes = weigh(connection, id, manifest)?;
    let at = now();
    let expires = at.saturating_add(signed(most.seconds));
    let mut replaced = Vec::new();
    for tag in tags {
        replaced.extend(take(connection, id, tag)?);
        let sql = "INSERT INTO inbox (repository, tag, digest, held, bytes, at, expires, actor)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let row = params![id, tag.as_str(), text, is_held, signed(bytes), at, expires, actor];
        execute(connection, sql, row)?;
    }
    for (digest, held) in replaced {
        remove_unlisted(connection, repository, id, (&digest, held))?;
    }
    let sql = "SELECT count(*) > ?3, total(bytes) > ?4 FROM inbox WHERE repository = ?1 AND expires > ?2";
    let parameters = params![id, at, signed(most.entries), signed(most.bytes)];
    let over: (bool, bool) =
        connection.prepare_cached(sql)?.query_row(parameters, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let repository = repository.clone();
    match over {
        (true, _) => Err(Error::InboxFull { repository, most: most.entries, what: "manifests" }),
        (_, true) => Err(Error::InboxFull { repository, most: most.bytes, what: "bytes" }),
        (false, false) => Ok(()),
    }
}

/// The size of a manifest, of its blobs, and of the manifests that it lists with their blobs.
fn weigh(connection: &Connection, repository: i64, manifest: &Manifest) -> Result<u64> {
    let blobs = manifest.blobs().map(|blob| blob.size);
    let mut bytes = blobs.fold(manifest.bytes().len() as u64, u64::saturating_add);
    let sql = "SELECT m.size + (SELECT coalesce(sum(b.size), 0) FROM edges e
                 JOIN blobs b ON b.repository = m.repository AND b.digest = e.child WHERE e.parent = m.digest)
               FROM manifests m WHERE m.repository = ?1 AND m.digest = ?2";
    let mut of_child = connection.prepare_cached(sql)?;
    for child in manifest.children() {
        let row = params![repository, child.digest.to_string()];
        let found: Option<u64> = of_child.query_row(row, |row| size(row, 0)).optional()?;
        bytes = bytes.saturating_add(found.unwrap_or(0));
    }
    Ok(bytes)
}

/// Fails unless a manifest waits for a tag and has not expired.
pub(crate) fn expect(
    connection: &Connection,
    repository: &RepositoryName,
    tag: &Tag,
    digest: &Digest,
) -> Result<()> {
    let id = repository_id(connection, repository)?;
    let sql = "SELECT 1 FROM inbox WHERE repository = ?1 AND tag = ?2 AND digest = ?3 AND expires > ?4";
    let row = params![id, tag.as_str(), digest.to_string(), now()];
    if connection.prepare_cached(sql)?.exists(row)? { Ok(()) } else { Err(not_waiting(repository, tag)) }
}

/// Removes an entry, and its manifest if only the inbox has it.
pub(crate) fn discard(
    connection: &Connection,
    repository: &RepositoryName,
    tag: &Tag,
    digest: &Digest,
) -> Result<()> {
    let id = repository_id(connection, repository)?;
    let taken = take(connection, id, tag)?.filter(|(found, _)| found == digest);
    let (digest, held) = taken.ok_or_else(|| not_waiting(repository, tag))?;
    remove_unlisted(connection, repository, id, (&digest, held))
}

/// Removes the entry of a tag that is set to a manifest, and makes that manifest an ordinary one. Returns the record of the
/// manifest if the journal does not have it yet.
pub(crate) fn admit(
    connection: &Connection,
    repository: &RepositoryName,
    tag: &Tag,
    digest: &Digest,
) -> Result<Option<Record>> {
    let id = repository_id(connection, repository)?;
    let text = digest.to_string();
    let was_held = release(connection, id, digest)?;
    if let Some((other, held)) = take(connection, id, tag)? {
        remove_unlisted(connection, repository, id, (&other, held))?;
    }
    if !was_held {
        return Ok(None);
    }
    let sql = "SELECT media_type FROM manifests WHERE repository = ?1 AND digest = ?2";
    let media_type: String =
        connection.prepare_cached(sql)?.query_row(params![id, text], |row| row.get(0))?;
    let (repository, digest) = (repository.clone(), digest.clone());
    Ok(Some(Record::Manifest { repository, digest, media_type: media_type.parse()? }))
}

/// Makes a held manifest an ordinary one; returns whether it was held. Its entries stay.
pub(crate) fn release(connection: &Connection, repository: i64, digest: &Digest) -> Result<bool> {
    let sql = "UPDATE inbox SET held = 0 WHERE repository = ?1 AND digest = ?2 AND held";
    Ok(connection.prepare_cached(sql)?.execute(params![repository, digest.to_string()])? > 0)
}

fn is_held(connection: &Connection, repository: i64, digest: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM inbox WHERE repository = ?1 AND digest = ?2 AND held";
    Ok(connection.prepare_cached(sql)?.exists(params![repository, digest])?)
}

/// Removes the entry of a tag; returns its manifest, and whether that is held.
fn take(connection: &Connection, repository: i64, tag: &Tag) -> Result<Option<(Digest, bool)>> {
    let sql = "DELETE FROM inbox WHERE repository = ?1 AND tag = ?2 RETURNING digest, held";
    let taken: Option<(String, bool)> = connection
        .prepare_cached(sql)?
        .query_row(params![repository, tag.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    taken.map(|(digest, held)| Ok((digest.parse()?, held))).transpose()
}

/// Removes a manifest that was held, unless another entry has it.
fn remove_unlisted(
    connection: &Connection,
    repository: &RepositoryName,
    id: i64,
    (digest, held): (&Digest, bool),
) -> Result<()> {
    if held && !is_held(connection, id, &digest.to_string())? {
        // The journal does not have it, so it needs no record.
        removal::manifest(connection, repository, digest, None)?;
    }
    Ok(())
}

fn not_waiting(repository: &RepositoryName, tag: &Tag) -> Error {
    Error::NotWaiting { repository: repository.clone(), tag: tag.clone() }
}

fn entry(row: &Row<'_>) -> Result<InboxEntry> {
    Ok(InboxEntry {
        repository: parsed(row, 0)?,
        tag: parsed(row, 1)?,
        digest: parsed(row, 2)?,
        bytes: size(row, 3)?,
        pushed: size(row, 4)?,
        expires: size(row, 5)?,
        by: row.get(6)?,
    })
}

impl Readers {
    /// The entries of a repository, or of all repositories, by name.
    pub(crate) fn inbox(&self, repository: Option<&RepositoryName>) -> Result<Vec<InboxEntry>> {
        let sql = "SELECT r.name, i.tag, i.digest, i.bytes, i.at, i.expires, i.actor FROM inbox i
                   JOIN repositories r ON r.id = i.repository WHERE ?1 IS NULL OR r.name = ?1
                   ORDER BY r.name, i.tag";
        self.with(|c| all(c, sql, [repository.map(RepositoryName::as_str)], entry))
    }

    /// The tags for which a manifest waits.
    pub(crate) fn waits_for(&self, repository: &RepositoryName, digest: &Digest) -> Result<Vec<Tag>> {
        let sql = "SELECT tag FROM inbox WHERE repository = (SELECT id FROM repositories WHERE name = ?1)
                   AND digest = ?2 AND expires > ?3 ORDER BY tag";
        let parameters = params![repository.as_str(), digest.to_string(), now()];
        self.with(|c| all(c, sql, parameters, |row| parsed(row, 0)))
    }
}
