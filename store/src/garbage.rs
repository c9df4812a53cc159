//! Which blobs nobody needs: not a manifest of a repository, not named by one, not leased.

use std::collections::BTreeSet;
use std::fs;

use oci::{Digest, RepositoryName};
use rusqlite::{Connection, params};
use serde::Serialize;

use crate::change::{Change, now};
use crate::check::walk;
use crate::layout::Layout;
use crate::query::{all, parsed};
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
    /// Bytes to be had.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blobs.iter().map(|(_, size)| size).sum()
    }
}

/// What garbage collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// How many blobs.
    pub blobs: u64,
    /// How many bytes.
    pub bytes: u64,
}

pub(crate) fn plan(layout: &Layout, connection: &Connection) -> Result<GarbagePlan> {
    let kept = "SELECT digest FROM manifests UNION
                SELECT e.child FROM edges e JOIN manifests m ON m.digest = e.parent UNION
                SELECT digest FROM leases WHERE expires > ?1";
    let kept: BTreeSet<Digest> =
        all(connection, kept, params![now()], |row| parsed(row, 0))?.into_iter().collect();
    let (found, _) = walk(layout)?;
    let mut blobs: Vec<_> = found.into_iter().map(|blob| (blob.digest, blob.size)).collect();
    blobs.retain(|(digest, _)| !kept.contains(digest));
    let doomed: BTreeSet<&Digest> = blobs.iter().map(|(digest, _)| digest).collect();
    let links = "SELECT name, digest FROM blobs JOIN repositories ON id = repository";
    let mut links: Vec<(RepositoryName, Digest)> =
        all(connection, links, [], |row| Ok((parsed(row, 0)?, parsed(row, 1)?)))?;
    links.retain(|(_, digest)| doomed.contains(digest));
    Ok(GarbagePlan { blobs, links })
}

/// Removes what both plans list; gives the links to drop. A crash between leaves links without files, which
/// answer as absent and go with the next collection.
pub(crate) fn collect(
    layout: &Layout,
    plan: &GarbagePlan,
    now: &GarbagePlan,
) -> Result<(Collected, Vec<Change>)> {
    let asked: BTreeSet<&Digest> = plan.blobs.iter().map(|(digest, _)| digest).collect();
    let mut collected = Collected::default();
    for (digest, size) in now.blobs.iter().filter(|(digest, _)| asked.contains(digest)) {
        let path = layout.blob(digest);
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        collected.blobs += 1;
        collected.bytes += size;
    }
    let unlink = now.links.iter().filter(|(_, digest)| asked.contains(digest));
    let unlink = unlink.map(|(repository, digest)| Change::UnlinkBlob {
        repository: repository.clone(),
        digest: digest.clone(),
    });
    Ok((collected, unlink.collect()))
}
