//! Finds and removes unneeded blobs: those that are not a manifest of a repository, not named by one, and not leased.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use oci::{Digest, RepositoryName};
use rusqlite::{Connection, params};
use serde::Serialize;

use crate::change::{Change, now};
use crate::check::walk;
use crate::commit::{Disk, Step};
use crate::layout::Layout;
use crate::query::{all, parsed};
use crate::reach::Untagged;
use crate::{Error, Result};

/// What garbage collection would remove.
#[derive(Clone, Debug, Default, Serialize)]
pub struct GarbagePlan {
    /// The blobs, with their sizes.
    pub blobs: Vec<(Digest, u64)>,
    /// Links from repositories to these blobs.
    #[serde(skip)]
    links: Vec<(RepositoryName, Digest)>,
}

impl GarbagePlan {
    /// How many bytes would be freed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blobs.iter().map(|(_, size)| size).sum()
    }
}

/// What garbage collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// The number of blobs.
    pub blobs: u64,
    /// The number of bytes.
    pub bytes: u64,
}

/// What is garbage once the manifests `without` are removed.
pub(crate) fn plan(layout: &Layout, connection: &Connection, without: &Untagged) -> Result<GarbagePlan> {
    let kept = kept(connection, without)?;
    let (found, _) = walk(layout)?;
    let mut blobs: Vec<_> = found.into_iter().map(|blob| (blob.digest, blob.size)).collect();
    blobs.retain(|(digest, _)| !kept.contains(digest));
    let links = "SELECT name, digest FROM blobs JOIN repositories ON id = repository";
    let mut links: Vec<(RepositoryName, Digest)> =
        all(connection, links, [], |row| Ok((parsed(row, 0)?, parsed(row, 1)?)))?;
    // Includes blobs whose file an interrupted collection of an older version removed.
    links.retain(|(_, digest)| !kept.contains(digest));
    Ok(GarbagePlan { blobs, links })
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

/// What to remove: first the links, then the files.
pub(crate) struct Removal {
    pub(crate) unlink: Vec<Change>,
    files: Vec<(PathBuf, u64)>,
}

/// What both plans list. `now` was made while the store's exclusive lock was held.
pub(crate) fn decide(layout: &Layout, plan: &GarbagePlan, now: GarbagePlan) -> Removal {
    let planned: BTreeSet<&Digest> = plan.blobs.iter().map(|(digest, _)| digest).collect();
    let stale: BTreeSet<&Digest> = plan.links.iter().map(|(_, digest)| digest).collect();
    let files = now.blobs.iter().filter(|(digest, _)| planned.contains(digest));
    let files = files.map(|(digest, size)| (layout.blob(digest), *size)).collect();
    let is_listed = |digest: &Digest| planned.contains(digest) || stale.contains(digest);
    let links = now.links.into_iter().filter(|(_, digest)| is_listed(digest));
    let unlink = links.map(|(repository, digest)| Change::UnlinkBlob { repository, digest }).collect();
    Removal { unlink, files }
}

impl Removal {
    /// Removes the files, which no row names any more. An interruption leaves some of them for the next
    /// collection.
    pub(crate) fn remove_files(self, disk: &Disk) -> Result<Collected> {
        let mut collected = Collected::default();
        for (path, size) in self.files {
            disk.step(Step::Remove, &path).map_err(Error::io("remove", &path))?;
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path)(error));
                }
                _ => {
                    collected.blobs += 1;
                    collected.bytes += size;
                }
            }
        }
        Ok(collected)
    }
}
