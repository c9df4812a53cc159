//! Finds and removes unneeded blobs: those that are not a manifest of a repository, not named by one, and not leased.
//!
//! Other processes may use the store meanwhile. A file is removed while two locks are held: the database's write lock,
//! under which no row names the blob, and the exclusive lock on its folder, under which the file is not recent (`keep`).
//! A commit that names the blob comes before that, and its row keeps the file; or after it, and finds in its own
//! transaction that the file is missing, and fails.
//!
//! Order: links are removed and committed, the file is moved to the folder of temporary files, the locks are released, the
//! file is removed. An interruption leaves files that nothing names, or a temporary file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use oci::{Digest, RepositoryName};
use private::{Hold, PATIENCE};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use serde::Serialize;

use crate::apply::now;
use crate::blob::temporary_path;
use crate::check::walk;
use crate::durable::{Disk, Step};
use crate::keep::changed;
use crate::layout::Layout;
use crate::query::{all, parsed};
use crate::reach::Untagged;
use crate::schema::name_holders;
use crate::{Error, Result};

/// The maximum number of files that are removed under one hold of the locks.
const BATCH: usize = 16;
/// While others use the store, the collector rests this many times as long as it works: removing files delays reads.
const REST: u32 = 4;
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// Whether nothing needs the blob `?1` at the time `?2`, apart from links.
const UNNEEDED: &str = "NOT EXISTS (SELECT 1 FROM manifests WHERE digest = ?1)
    AND NOT EXISTS (SELECT 1 FROM edges e JOIN manifests m ON m.digest = e.parent WHERE e.child = ?1)
    AND NOT EXISTS (SELECT 1 FROM leases WHERE digest = ?1 AND expires > ?2)";

/// What garbage collection would remove.
#[derive(Clone, Debug, Default, Serialize)]
pub struct GarbagePlan {
    /// The blobs, with their sizes.
    pub blobs: Vec<(Digest, u64)>,
    /// The blobs that repositories link without needing them, whether or not their files exist.
    #[serde(skip)]
    linked: BTreeSet<Digest>,
}

impl GarbagePlan {
    /// How many bytes would be freed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blobs.iter().map(|(_, size)| size).sum()
    }
}

/// Which files may be removed.
#[derive(Clone, Copy)]
pub(crate) struct Cutoff {
    /// Files that changed after this time stay.
    pub(crate) time: SystemTime,
    /// Whether no other process has the store open.
    pub(crate) is_alone: bool,
}

/// What garbage collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// The number of blobs.
    pub blobs: u64,
    /// The number of bytes.
    pub bytes: u64,
    /// The number of planned blobs that stay, because they are recent and other processes use the store.
    pub recent: u64,
}

/// What is garbage once the manifests `without` are removed.
pub(crate) fn plan(layout: &Layout, connection: &Connection, without: &Untagged) -> Result<GarbagePlan> {
    let kept = kept(connection, without)?;
    let (found, _) = walk(layout)?;
    let mut blobs: Vec<_> = found.into_iter().map(|blob| (blob.digest, blob.size)).collect();
    blobs.retain(|(digest, _)| !kept.contains(digest));
    // Includes blobs whose file an interrupted collection of an older version removed.
    let linked: Vec<Digest> = all(connection, "SELECT DISTINCT digest FROM blobs", [], |row| parsed(row, 0))?;
    let linked = linked.into_iter().filter(|digest| !kept.contains(digest)).collect();
    Ok(GarbagePlan { blobs, linked })
}

/// The digests of all other manifests, of what they list, and those with leases.
fn kept(connection: &Connection, without: &Untagged) -> Result<BTreeSet<Digest>> {
    let manifests = "SELECT name, digest FROM manifests JOIN repositories ON id = repository";
    let mut manifests: Vec<(RepositoryName, Digest)> =
        all(connection, manifests, [], |row| Ok((parsed(row, 0)?, parsed(row, 1)?)))?;
    manifests.retain(|(name, digest)| !without.get(name).is_some_and(|gone| gone.contains(digest)));
    let manifests: BTreeSet<Digest> = manifests.into_iter().map(|(_, digest)| digest).collect();
    let leased = "SELECT digest FROM leases WHERE expires > ?1";
    let mut kept: BTreeSet<Digest> =
        all(connection, leased, params![now()], |row| parsed(row, 0))?.into_iter().collect();
    let edges: Vec<(Digest, Digest)> =
        all(connection, "SELECT parent, child FROM edges", [], |row| Ok((parsed(row, 0)?, parsed(row, 1)?)))?;
    kept.extend(edges.into_iter().filter(|(parent, _)| manifests.contains(parent)).map(|(_, child)| child));
    kept.extend(manifests);
    Ok(kept)
}

/// Removes what the plan lists and is still garbage.
pub(crate) fn collect(
    layout: &Layout,
    disk: &Disk,
    connection: &mut Connection,
    plan: &GarbagePlan,
    cutoff: Cutoff,
) -> Result<Collected> {
    let mut shards: BTreeMap<PathBuf, BTreeSet<&Digest>> = BTreeMap::new();
    for digest in plan.blobs.iter().map(|(digest, _)| digest).chain(&plan.linked) {
        shards.entry(layout.shard(digest)).or_default().insert(digest);
    }
    let Cutoff { time, is_alone } = cutoff;
    let mut collection =
        Collection { layout, disk, connection, cutoff: time, collected: Collected::default() };
    for (shard, digests) in shards {
        let digests: Vec<&Digest> = digests.into_iter().collect();
        for batch in digests.chunks(BATCH) {
            let links = batch.iter().any(|digest| plan.linked.contains(digest));
            let begun = Instant::now();
            collection.remove(&shard, batch, links)?;
            if !is_alone {
                std::thread::sleep((begun.elapsed() * REST).min(LONGEST_REST));
            }
        }
    }
    Ok(collection.collected)
}

struct Collection<'a> {
    layout: &'a Layout,
    disk: &'a Disk,
    connection: &'a mut Connection,
    cutoff: SystemTime,
    collected: Collected,
}

impl Collection<'_> {
    /// Removes blobs of one folder.
    fn remove(&mut self, shard: &Path, digests: &[&Digest], links: bool) -> Result<()> {
        let folder = File::open(shard).map_err(Error::io("open", shard))?;
        // Files of this folder are neither published nor claimed as long as the lock is held.
        let folder = private::hold(folder, shard, Hold::Alone, PATIENCE)?;
        let mut old = Vec::new();
        for &digest in digests {
            let path = self.layout.blob(digest);
            match fs::metadata(&path) {
                Ok(file) if changed(&file) > self.cutoff => self.collected.recent += 1,
                Ok(file) => old.push((digest, Some(file.len()))),
                Err(error) if error.kind() == ErrorKind::NotFound => old.push((digest, None)),
                Err(error) => return Err(Error::io("read", &path)(error)),
            }
        }
        if links {
            self.unlink(&old)?;
        }
        let moved = self.move_away(&old)?;
        drop(folder);
        for path in moved {
            self.disk.step(Step::Remove, &path).map_err(Error::io("remove", &path))?;
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        Ok(())
    }

    /// Commits the removal of the links first, so that no row names a file that is moved away.
    fn unlink(&mut self, blobs: &[(&Digest, Option<u64>)]) -> Result<()> {
        let transaction = begin(self.layout, self.connection)?;
        for (digest, _) in blobs {
            let sql = format!("DELETE FROM blobs WHERE digest = ?1 AND {UNNEEDED}");
            transaction.prepare_cached(&sql)?.execute(params![digest.to_string(), now()])?;
        }
        let database = self.layout.database();
        self.disk.step(Step::CommitDatabase, &database).map_err(Error::io("commit", &database))?;
        Ok(transaction.commit()?)
    }

    /// Moves the files that no row names to the folder of temporary files. The transaction changes nothing: it excludes
    /// commits that would name one of them.
    fn move_away(&mut self, blobs: &[(&Digest, Option<u64>)]) -> Result<Vec<PathBuf>> {
        let transaction = begin(self.layout, self.connection)?;
        let mut moved = Vec::new();
        for (digest, size) in blobs {
            let Some(size) = size else { continue };
            let sql = format!("SELECT NOT EXISTS (SELECT 1 FROM blobs WHERE digest = ?1) AND {UNNEEDED}");
            let parameters = params![digest.to_string(), now()];
            if !transaction.prepare_cached(&sql)?.query_row(parameters, |row| row.get::<_, bool>(0))? {
                continue;
            }
            let (path, away) = (self.layout.blob(digest), temporary_path(self.layout)?);
            self.disk.step(Step::Remove, &path).map_err(Error::io("remove", &path))?;
            private::rename(&path, &away).map_err(Error::io("remove", &path))?;
            moved.push(away);
            self.collected.blobs += 1;
            self.collected.bytes += size;
        }
        transaction.rollback()?;
        Ok(moved)
    }
}

/// Waits for the database's write lock.
fn begin<'a>(layout: &Layout, connection: &'a mut Connection) -> Result<Transaction<'a>> {
    let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    begun.map_err(|error| name_holders(layout, error.into()))
}
