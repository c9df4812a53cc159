//! Counts the manifests of each user that name another manifest, as its referrers or as indexes that list it. A search for
//! signatures reads a bounded number of these, so each user may push only a fraction of that bound.
//!
//! The counts are only in the database: after `store rebuild`, existing manifests count for no user.

use oci::{Digest, Manifest, RepositoryName};
use rusqlite::{Connection, params};

use crate::apply::{repository_id, signed};
use crate::referrers::is_statement;
use crate::{Error, Result};

/// The limits for the manifests of one user that name the same manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamingLimits {
    /// The number of manifests; a manifest with several signatures or attestations counts once for each.
    pub manifests: u64,
    /// Their size in bytes, including their signatures and attestations.
    pub bytes: u64,
}

impl Default for NamingLimits {
    /// 2000 manifests and 64 MiB. A search for signatures reads 40,000 manifests and blobs and 512 MiB: enough for those of
    /// seven malicious users and of everyone else.
    fn default() -> Self {
        Self { manifests: 2000, bytes: 64 << 20 }
    }
}

/// The user who pushes a manifest, and the limits for this user's manifests.
#[derive(Clone, Copy)]
pub(crate) struct Pusher<'a> {
    pub(crate) name: &'a str,
    pub(crate) most: NamingLimits,
}

/// Counts a manifest that is about to be stored, unless the repository already has it.
pub(crate) fn count(
    connection: &Connection,
    repository: &RepositoryName,
    digest: &Digest,
    manifest: &Manifest,
    pusher: Pusher<'_>,
) -> Result<()> {
    let id = repository_id(connection, repository)?;
    let known = "SELECT 1 FROM manifests WHERE repository = ?1 AND digest = ?2";
    if connection.prepare_cached(known)?.exists(params![id, digest.to_string()])? {
        return Ok(());
    }
    let mut weight = Weight { count: 1, bytes: manifest.bytes().len() as u64 };
    for child in manifest.children().iter().filter(|child| child.media_type.is_manifest()) {
        charge(connection, id, &child.digest, digest, weight, pusher)?;
    }
    if let Some(subject) = manifest.subject() {
        if manifest.artifact_type().is_some_and(is_statement) {
            // The first blob is the configuration.
            weight.count = (manifest.blobs().count() as u64).saturating_sub(1).max(1);
            let held = manifest.blobs().map(|blob| blob.size).fold(0, u64::saturating_add);
            weight.bytes = weight.bytes.saturating_add(held);
        }
        charge(connection, id, &subject.digest, digest, weight, pusher)?;
    }
    Ok(())
}

/// How much a manifest counts towards the limits.
#[derive(Clone, Copy)]
struct Weight {
    count: u64,
    bytes: u64,
}

fn charge(
    connection: &Connection,
    repository: i64,
    named: &Digest,
    manifest: &Digest,
    weight: Weight,
    pusher: Pusher<'_>,
) -> Result<()> {
    let Pusher { name: pusher, most } = pusher;
    let text = named.to_string();
    // The turn never changes, whatever is deleted or pushed later: lists that are read in pages are ordered by it.
    let sql = "INSERT OR REPLACE INTO pushed (repository, named, pusher, manifest, things, bytes, turn)
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, 1 + coalesce(max(turn), 0) FROM pushed
               WHERE repository = ?1 AND named = ?2 AND pusher = ?3";
    let (count, bytes) = (signed(weight.count), signed(weight.bytes));
    let row = params![repository, text, pusher, manifest.to_string(), count, bytes];
    connection.prepare_cached(sql)?.execute(row)?;
    let sql = "SELECT total(things) > ?4, total(bytes) > ?5 FROM pushed
               WHERE repository = ?1 AND named = ?2 AND pusher = ?3";
    let parameters = params![repository, text, pusher, signed(most.manifests), signed(most.bytes)];
    let over: (bool, bool) =
        connection.prepare_cached(sql)?.query_row(parameters, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let named = named.clone();
    match over {
        (true, _) => Err(Error::TooManyNaming { named, most: most.manifests, what: "manifests" }),
        (_, true) => Err(Error::TooManyNaming { named, most: most.bytes, what: "bytes" }),
        (false, false) => Ok(()),
    }
}

/// Removes the counts of a manifest that is removed from a repository.
pub(crate) fn forget(connection: &Connection, repository: i64, digest: &str) -> Result<()> {
    let sql = "DELETE FROM pushed WHERE repository = ?1 AND manifest = ?2";
    connection.prepare_cached(sql)?.execute(params![repository, digest])?;
    Ok(())
}
