//! Changes of the names in a store, and what each one does to the tables.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use oci::{Descriptor, Digest, Manifest, RepositoryName, Selector, Tag};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::health::{self, HealthChange};
use crate::inbox::{self, InboxLimits, Waiting};
use crate::journal::Record;
use crate::layout::Layout;
use crate::protect::{self, Protection};
use crate::pulls;
use crate::pushed::{self, NamingLimits, Pusher};
use crate::rules::{self, Rules};
use crate::upkeep::{self, UpkeepRun};
use crate::wanted::{self, Wanted, WantedName};
use crate::{Error, Result, history, removal};

/// How long a pushed blob is kept while no manifest names it.
const PUSH_LEASE_SECONDS: i64 = 24 * 3600;
/// How long a holder's leases last if they are never released.
const HOLDER_LEASE_SECONDS: i64 = 30 * 24 * 3600;

/// One change. [`crate::Store::commit`] applies several changes atomically.
#[derive(Clone, Debug)]
pub enum Change {
    /// Makes a blob that is on disk available from a repository, and keeps it for a day.
    LinkBlob {
        /// The repository.
        repository: RepositoryName,
        /// The blob.
        digest: Digest,
    },
    /// Removes a blob from a repository.
    UnlinkBlob {
        /// The repository.
        repository: RepositoryName,
        /// The blob.
        digest: Digest,
    },
    /// Fails if a blob is not on disk: garbage collection may have removed it since it was seen.
    Expect {
        /// The repository that needs it.
        repository: RepositoryName,
        /// The blob.
        digest: Digest,
    },
    /// Adds a manifest to a repository, with links to those of its blobs that are on disk. The store itself
    /// publishes the manifest's bytes first.
    PutManifest {
        /// The repository.
        repository: RepositoryName,
        /// The digest to store it under, of either algorithm.
        digest: Digest,
        /// The manifest.
        manifest: Manifest,
    },
    /// Adds a manifest that a client pushed. It links no blobs: the client could name content of other repositories. What other
    /// repositories have makes no difference. Fails if the repository lacks one of its blobs, except for foreign layers.
    PushManifest {
        /// The repository.
        repository: RepositoryName,
        /// The digest to store it under, of either algorithm.
        digest: Digest,
        /// The manifest.
        manifest: Manifest,
    },
    /// Counts the manifest of the next change as pushed by a user, and rejects it if too many manifests of that user name
    /// the same manifest.
    CountPushed {
        /// The repository.
        repository: RepositoryName,
        /// The manifest's digest.
        digest: Digest,
        /// The manifest.
        manifest: Manifest,
        /// The user who pushes it.
        pusher: String,
        /// The limits for one user.
        most: NamingLimits,
    },
    /// Removes a manifest from a repository, with the tags on it.
    DeleteManifest {
        /// The repository.
        repository: RepositoryName,
        /// The manifest.
        digest: Digest,
    },
    /// Points a tag at a manifest of the same repository.
    SetTag {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
        /// The manifest.
        digest: Digest,
    },
    /// Adds a manifest to the inbox: see [`crate::Store::inbox`]. The store itself publishes the manifest's bytes first.
    Hold {
        /// The repository.
        repository: RepositoryName,
        /// The tags that the manifest waits for. A manifest that waited for one of them no longer does.
        tags: Vec<Tag>,
        /// The manifest's digest.
        digest: Digest,
        /// The manifest.
        manifest: Manifest,
        /// The limits of the repository.
        most: InboxLimits,
    },
    /// Sets a tag to the manifest that waits for it. Fails if that manifest no longer waits.
    Promote {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
        /// The manifest.
        digest: Digest,
    },
    /// Removes a manifest from the inbox. Fails if it no longer waits.
    Discard {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
        /// The manifest.
        digest: Digest,
    },
    /// Removes a tag; the manifest stays.
    DeleteTag {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
    },
    /// Removes a repository with its manifests, tags and links. The history of its tags stays.
    DeleteRepository {
        /// The repository.
        repository: RepositoryName,
    },
    /// Removes those of the planned manifests that nothing keeps when the change is applied: see [`crate::Store::untagged`].
    DeleteUntagged {
        /// The repository.
        repository: RepositoryName,
        /// The planned manifests.
        planned: BTreeSet<Digest>,
        /// Manifests that were pushed or lost their last tag after this time stay.
        before: SystemTime,
        /// These stay, too, with everything that they keep.
        keep: BTreeSet<Digest>,
    },
    /// Removes those of the planned tags that no rule keeps when the change is applied: see [`crate::Store::expired_tags`].
    ExpireTags {
        /// The repository.
        repository: RepositoryName,
        /// The planned tags.
        planned: BTreeSet<Tag>,
        /// Tags on these manifests stay.
        keep: BTreeSet<Digest>,
    },
    /// Makes a change even if rules or protections forbid it: immutable tags, quotas, protected names.
    Overriding(Box<Self>),
    /// Replaces the rules of the store.
    SetRules(Box<Rules>),
    /// Protects a name.
    Protect(Protection),
    /// Ends the protection of a name by a source.
    Unprotect {
        /// The repository.
        repository: RepositoryName,
        /// The tag or manifest; none for the whole repository.
        selector: Option<Selector>,
        /// Who protected it.
        source: String,
    },
    /// Replaces everything that a source protects.
    ReplaceProtected {
        /// The source.
        source: String,
        /// What it protects from now on.
        protections: Vec<Protection>,
    },
    /// Records that a manifest was pulled at a time, given in seconds since 1970.
    Pulled {
        /// The repository.
        repository: RepositoryName,
        /// The manifest.
        digest: Digest,
        /// The time.
        at: u64,
    },
    /// Records a run of maintenance.
    Upkeep(UpkeepRun),
    /// Makes a change in the name of an actor, whom the history of tags records.
    By {
        /// Who makes the change: a user, a command.
        actor: String,
        /// The change.
        change: Box<Self>,
    },
    /// Protects a blob from garbage collection until the lease is released, or for 30 days.
    Lease {
        /// The holder of the lease.
        holder: String,
        /// The blob.
        digest: Digest,
    },
    /// Releases all leases of a holder.
    ReleaseLeases {
        /// The holder of the leases.
        holder: String,
    },
    /// Stores a number for another crate and replaces an older note with the same name.
    Note {
        /// The name of the note.
        name: String,
        /// The number; none deletes the note.
        value: Option<u64>,
    },
    /// Records that clients asked for a manifest that the store does not have.
    Want(Wanted),
    /// Removes what was recorded about a manifest that the store does not have.
    ForgetWanted(WantedName),
    /// Records what was found about the health of blobs.
    Health(HealthChange),
}

impl Change {
    /// Changes that expect the blobs of a manifest, apart from layers that are stored elsewhere.
    pub fn expect_blobs(repository: &RepositoryName, manifest: &Manifest) -> Vec<Self> {
        let expect =
            |blob: &Descriptor| Self::Expect { repository: repository.clone(), digest: blob.digest.clone() };
        own_blobs(manifest).map(expect).collect()
    }

    /// The change itself, without its actor.
    pub(crate) fn bare(&self) -> &Self {
        match self {
            Self::By { change, .. } | Self::Overriding(change) => change.bare(),
            bare => bare,
        }
    }

    fn actor(&self) -> Option<&str> {
        match self {
            Self::By { actor, .. } => Some(actor),
            Self::Overriding(change) => change.actor(),
            _ => None,
        }
    }

    /// Whether it is made even if rules forbid it.
    pub(crate) fn is_overriding(&self) -> bool {
        match self {
            Self::Overriding(_) => true,
            Self::By { change, .. } => change.is_overriding(),
            _ => false,
        }
    }

    /// The change in the name of an actor, if it moves tags and has no actor yet.
    pub(crate) fn by(self, actor: &str) -> Self {
        match self {
            Self::SetTag { .. }
            | Self::Hold { .. }
            | Self::Promote { .. }
            | Self::DeleteTag { .. }
            | Self::DeleteManifest { .. }
            | Self::DeleteRepository { .. }
            | Self::ExpireTags { .. }
            | Self::DeleteUntagged { .. } => Self::By { actor: actor.to_owned(), change: Box::new(self) },
            Self::Overriding(change) => Self::Overriding(Box::new(change.by(actor))),
            other => other,
        }
    }
}

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

/// The blobs of a manifest except for foreign layers, which are stored elsewhere.
fn own_blobs(manifest: &Manifest) -> impl Iterator<Item = &Descriptor> {
    manifest.blobs().filter(|blob| !blob.media_type.is_foreign() || blob.urls.is_empty())
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
