//! The leaves that a report lists. They are read from the log again when the report is written, one by one, each with its
//! proof.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use tlog::merkle::{self, Nodes};
use tlog::tile::WIDTH;
use tlog::{Checkpoint, Folder, Hash, Note, Proof};

use super::Leaf;
use crate::{Error, Event, Reader, Result};

/// The maximum number of cached hashes of subtrees: the proofs of neighbouring leaves share most of them.
const MAX_CACHED: usize = 1 << 16;

/// The source of leaves and their proofs.
pub struct Evidence {
    folder: Folder,
    checkpoint: Checkpoint,
    note: Note,
    nodes: RefCell<HashMap<(u8, u64), Hash>>,
    /// The bundle that was read last.
    bundle: RefCell<Option<(u64, Vec<Vec<u8>>)>>,
}

impl Evidence {
    /// The evidence of a log at its checkpoint.
    #[must_use]
    pub fn of(reader: &Reader) -> Self {
        Self {
            folder: Folder::signed(reader.path(), reader.checkpoint()),
            checkpoint: reader.checkpoint().clone(),
            note: reader.note().clone(),
            nodes: RefCell::default(),
            bundle: RefCell::default(),
        }
    }

    /// A leaf with its verified proof: a report contains no invalid one.
    ///
    /// # Errors
    /// [`Error::Log`] when the log has changed since it was read for the report.
    pub fn leaf(&self, index: u64) -> Result<Leaf> {
        let Checkpoint { size, root, .. } = &self.checkpoint;
        let entry = self.entry(index)?;
        let hashes = merkle::prove_inclusion(self, index, *size)?;
        merkle::check_inclusion(Hash::leaf(&entry), index, *size, &hashes, *root)?;
        let event =
            Event::parse(&entry).map_err(|source| Error::NoEvent { index, source: Box::new(source) })?;
        let proof = Proof { extra: Some(entry), index, hashes, checkpoint: self.note.clone() };
        Ok(Leaf { index, event, proof })
    }

    fn entry(&self, index: u64) -> Result<Vec<u8>> {
        let mut bundle = self.bundle.borrow_mut();
        let wanted = index / WIDTH;
        let entries = match bundle.take() {
            Some((known, entries)) if known == wanted => entries,
            _ => self.folder.bundle(wanted)?,
        };
        let position = usize::try_from(index % WIDTH).unwrap_or(usize::MAX);
        let entry = entries.get(position).cloned();
        *bundle = Some((wanted, entries));
        entry.ok_or_else(|| tlog::Error::NoEntry { index, size: self.checkpoint.size }.into())
    }
}

impl Nodes for Evidence {
    fn node(&self, level: u8, index: u64) -> tlog::Result<Hash> {
        if let Some(hash) = self.nodes.borrow().get(&(level, index)) {
            return Ok(*hash);
        }
        let hash = self.folder.node(level, index)?;
        // The hashes of leaves are in the tiles unchanged.
        if level > 0 {
            let mut nodes = self.nodes.borrow_mut();
            if nodes.len() >= MAX_CACHED {
                nodes.clear();
            }
            nodes.insert((level, index), hash);
        }
        Ok(hash)
    }
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evidence").field("checkpoint", &self.checkpoint).finish_non_exhaustive()
    }
}
