//! Opening a store without write permission, and the notes that other crates keep in it.

use std::path::Path;
use std::sync::Arc;

use super::{Inner, Store};
use crate::Result;
use crate::damage::Inspector;
use crate::durable::Disk;
use crate::layout::Layout;
use crate::open::prepare_to_read;
use crate::query::Readers;
use crate::schema::{check_readable, open_read_only};

impl Store {
    /// Opens the store at `root` for reading, whether it is writable or not; other processes may write to it meanwhile.
    ///
    /// # Errors
    /// [`crate::Error::Absent`] if no store exists there, [`crate::Error::Unfinished`] if its database needs recovery first.
    pub fn open_to_read(root: &Path) -> Result<Self> {
        let layout = Layout::new(root);
        let lock = prepare_to_read(&layout)?;
        let disk = Disk::default();
        let readers = Readers::new(Inspector::new(layout.clone(), disk.clone(), None), open_read_only);
        match readers.with(check_readable) {
            Ok(()) => Ok(Self(Arc::new(Inner::new(layout, disk, readers, None, lock)))),
            // The files that writers share do not exist and cannot be created: no process has the store open.
            Err(error) if error.is_unwritable_database() => Self::open_immutable(root),
            Err(error) => Err(error),
        }
    }

    /// A number that was stored with [`crate::Change::Note`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn note(&self, name: &str) -> Result<Option<u64>> {
        self.0.readers.note(name)
    }

    /// The notes whose names begin with `prefix`, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub fn notes(&self, prefix: &str) -> Result<Vec<(String, u64)>> {
        self.0.readers.notes(prefix)
    }
}
