//! Reading a store that may not be written to; and the numbers that others keep in it.

use std::path::Path;
use std::sync::Arc;

use super::{Inner, Store};
use crate::Result;
use crate::commit::Disk;
use crate::damage::Inspector;
use crate::layout::Layout;
use crate::open::prepare_to_read;
use crate::query::Readers;
use crate::schema::{check_readable, open_looker};

impl Store {
    /// Opens the store at `root` for reading, whether it could be written or not; others may write to it meanwhile.
    ///
    /// # Errors
    /// [`crate::Error::Absent`] where there is none, [`crate::Error::Unfinished`] when its database has to be written first.
    pub fn open_to_read(root: &Path) -> Result<Self> {
        let layout = Layout::new(root);
        let lock = prepare_to_read(&layout)?;
        let disk = Disk::default();
        let readers = Readers::new(Inspector::new(layout.clone(), disk.clone(), false), open_looker);
        match readers.with(check_readable) {
            Ok(()) => {
                let sessions = Arc::default();
                Ok(Self(Arc::new(Inner { layout, disk, readers, writer: None, sessions, lock })))
            }
            // Without the files that writers share, and without leave to make them: nobody has it open.
            Err(error) if error.is_unwritable_database() => Self::open_unchanging(root),
            Err(error) => Err(error),
        }
    }

    /// A number that was kept by [`crate::Change::Note`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn note(&self, name: &str) -> Result<Option<u64>> {
        self.0.readers.note(name)
    }

    /// The numbers that were kept whose names begin so, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub fn notes(&self, prefix: &str) -> Result<Vec<(String, u64)>> {
        self.0.readers.notes(prefix)
    }
}
