//! The size of a store, for its operator.

use rusqlite::Connection;

use crate::layout::Layout;
use crate::query::{Readers, size};
use crate::{Error, Result, upload};

/// The size of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// The number of blobs and manifests that repositories have, each counted once.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// The number of unfinished uploads.
    pub uploads: u64,
    /// The free space of the file system, in bytes.
    pub free_bytes: u64,
}

impl Readers {
    /// Reads all rows once, but no blob.
    pub(crate) fn totals(&self, layout: &Layout) -> Result<Totals> {
        let (blobs, bytes) = self.with(named)?;
        let root = layout.root();
        let system = rustix::fs::statvfs(root).map_err(|error| Error::io("read", root)(error.into()))?;
        let free_bytes = system.f_bavail.saturating_mul(system.f_frsize);
        Ok(Totals { blobs, bytes, uploads: upload::number(layout)?, free_bytes })
    }
}

fn named(connection: &Connection) -> Result<(u64, u64)> {
    let sql = "SELECT count(*), coalesce(sum(size), 0) FROM (
                 SELECT max(size) AS size FROM
                   (SELECT digest, size FROM blobs UNION ALL SELECT digest, size FROM manifests) GROUP BY digest)";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([], |row| Ok((size(row, 0)?, size(row, 1)?)))?)
}
