//! Appending: durable first, then in the tree, then in a signed checkpoint.
//!
//! Write order for a batch: the entries at the end of `tail`, `fdatasync`; the tiles they change; a new
//! `checkpoint` (temporary file, `fsync`, rename). An append has returned only after all of these; a crash
//! after the first step leaves entries that the next opening puts into the tree.
//!
//! The bundle and the lowest tile that are not full yet are not flushed: `tail` has all that they hold. What a power cut
//! leaves of them is written again on opening, and readers do without them ([`Folder::signed`]).
//!
//! `tail` holds the entries since the last full bundle, so that a record of a torn write is told from one that
//! was acknowledged: each is `u16` length, entry, first four bytes of its leaf hash. When a bundle is full, it and
//! its tiles are flushed, and after the checkpoint a new `tail` without its entries replaces the old one.

mod files;
mod tail;

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use private::{Hold, PATIENCE};

use self::files::{LOCK, lock, publish, remove_narrower, write};
pub use self::tail::tail;

use self::tail::Tail;
use crate::folder::{CHECKPOINT, Folder};
use crate::tile::{self, HEIGHT, TileId, WIDTH};
use crate::{Checkpoint, Error, Hash, Note, Result, SigningKey};

/// A log that this process may append to; other processes may, too.
pub struct Log {
    path: PathBuf,
    key: SigningKey,
    queue: Mutex<Queue>,
    /// Told when a batch is written.
    written: Condvar,
    state: Mutex<Option<State>>,
    /// How long other processes may keep this one waiting.
    patience: Duration,
}

/// Who waits.
#[derive(Default)]
struct Queue {
    tickets: Vec<Arc<Ticket>>,
    /// Whether somebody writes.
    busy: bool,
}

/// The turn to write for all that wait, until dropped.
struct Turn<'a>(&'a Log);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).busy = false;
        self.0.written.notify_all();
    }
}

/// Runs `work` while no writer is in the middle of a batch: then tail and checkpoint fit together.
///
/// # Errors
/// [`Error::Locked`] when a writer kept its turn, or when the system refuses the lock.
pub fn between_batches<T>(path: &Path, work: impl FnOnce() -> T) -> Result<T> {
    let path = path.join(LOCK);
    match File::open(&path) {
        Ok(lock) => {
            let _held = private::hold(lock, &path, Hold::Shared, PATIENCE)?;
            Ok(work())
        }
        // A copy of a log has no writers.
        Err(_) => Ok(work()),
    }
}

/// Entries that wait for their batch, and where they came to stand.
struct Ticket {
    entries: Vec<Vec<u8>>,
    outcome: OnceLock<std::result::Result<Range<u64>, Arc<Error>>>,
}

/// What is known of the folder; valid as long as the tail is the one that was read.
struct State {
    tail: Tail,
    /// Hashes of the last, not yet full tile of each level.
    edge: Vec<Vec<Hash>>,
    /// The tree's size.
    size: u64,
}

impl Log {
    /// Starts a log in a new folder. Its origin is the key's name.
    ///
    /// # Errors
    /// [`Error::Exists`], or what the disk says.
    pub fn create(path: &Path, key: SigningKey) -> Result<Self> {
        if path.join(CHECKPOINT).exists() {
            return Err(Error::Exists(path.to_owned()));
        }
        private::create_folders(path).map_err(Error::io("create", path))?;
        Tail::create(path, 0, &[])?;
        drop(lock(path, PATIENCE)?);
        let log = Self::of(path, key, PATIENCE);
        log.sign(&Checkpoint { origin: log.origin(), size: 0, root: Hash::empty() })?;
        Ok(log)
    }

    /// Opens a log, checks that its files come to its checkpoint, and puts into the tree what a crash left out.
    ///
    /// # Errors
    /// [`Error::Absent`], [`Error::RootDiffers`], [`Error::Damaged`], or a checkpoint of another key.
    pub fn open(path: &Path, key: SigningKey) -> Result<Self> {
        Self::open_within(path, key, PATIENCE)
    }

    /// The same, with the time for which other processes may keep this one waiting, now and later.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_within(path: &Path, key: SigningKey, patience: Duration) -> Result<Self> {
        if !path.join(CHECKPOINT).exists() {
            return Err(Error::Absent(path.to_owned()));
        }
        let log = Self::of(path, key, patience);
        log.append(Vec::new()).map_err(Error::Open)?;
        Ok(log)
    }

    fn of(path: &Path, key: SigningKey, patience: Duration) -> Self {
        Self {
            path: path.to_owned(),
            key,
            queue: Mutex::default(),
            written: Condvar::new(),
            state: Mutex::default(),
            patience,
        }
    }

    /// The log's name.
    #[must_use]
    pub fn origin(&self) -> String {
        self.key.verifier().name().to_owned()
    }

    /// The key's public half.
    #[must_use]
    pub fn verifier(&self) -> crate::VerifierKey {
        self.key.verifier()
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends entries; gives their indexes. When it returns, they are durable and under a signed checkpoint.
    /// Calls at the same time share one flush and one signature.
    ///
    /// # Errors
    /// [`Error::EntryTooLong`], what the disk says, or what is wrong with the log.
    pub fn append(&self, entries: Vec<Vec<u8>>) -> std::result::Result<Range<u64>, Arc<Error>> {
        if let Some(long) = entries.iter().find(|entry| entry.len() > tile::MAX_ENTRY) {
            return Err(Arc::new(Error::EntryTooLong(long.len())));
        }
        let ticket = Arc::new(Ticket { entries, outcome: OnceLock::new() });
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.tickets.push(Arc::clone(&ticket));
        // Those whose entries were written leave at once: if they had to wait for a turn, each batch would be of one.
        while queue.busy && ticket.outcome.get().is_none() {
            queue = self.written.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(outcome) = ticket.outcome.get() {
            return outcome.clone();
        }
        queue.busy = true;
        let batch = std::mem::take(&mut queue.tickets);
        drop(queue);
        let turn = Turn(self);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.write_batch(&mut state, &batch).map_err(Arc::new);
        if outcome.is_err() {
            // What is on disk now is not known; it is read again next time.
            *state = None;
        }
        let mut next = outcome;
        for waiting in &batch {
            let own = next.clone().map(|begin| begin..begin + waiting.entries.len() as u64);
            next = own.clone().map(|own| own.end);
            let _ = waiting.outcome.set(own);
        }
        drop(state);
        drop(turn);
        ticket.outcome.get().cloned().unwrap_or_else(|| Err(Arc::new(Error::Absent(self.path.clone()))))
    }

    /// Gives the index of the batch's first entry.
    fn write_batch(&self, state: &mut Option<State>, batch: &[Arc<Ticket>]) -> Result<u64> {
        let _held = lock(&self.path, self.patience)?;
        let state = match state {
            Some(known) if known.tail.is_current(&self.path)? => known,
            _ => state.insert(self.load()?),
        };
        let begin = state.size;
        let entries: Vec<&[u8]> =
            batch.iter().flat_map(|ticket| &ticket.entries).map(Vec::as_slice).collect();
        if !entries.is_empty() {
            state.tail.append(&entries)?;
            self.grow(state, &entries)?;
        }
        Ok(begin)
    }

    /// Reads the folder as it is, checks it against its checkpoint, and completes it.
    fn load(&self) -> Result<State> {
        let checkpoint = Checkpoint::verify(&Folder::checkpoint(&self.path)?, &self.key.verifier())?;
        let (tail, records) = Tail::open(&self.path)?;
        let folder = Folder::new(&self.path, tail.base());
        let mut edge = Vec::new();
        let mut count = tail.base();
        while count > 0 {
            let level = u8::try_from(edge.len()).unwrap_or(u8::MAX);
            let partial = count % WIDTH > 0;
            edge.push(if partial { folder.tile(level, count / WIDTH)?.to_vec() } else { Vec::new() });
            count /= WIDTH;
        }
        let mut state = State { size: tail.base(), tail, edge };
        let entries: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let signed = usize::try_from(checkpoint.size.saturating_sub(state.size)).unwrap_or(usize::MAX);
        if checkpoint.size < state.size || signed > entries.len() {
            return Err(Error::RootDiffers { size: checkpoint.size });
        }
        let (signed, left_out) = entries.split_at(signed);
        state.extend(signed);
        if state.root() != checkpoint.root {
            return Err(Error::RootDiffers { size: checkpoint.size });
        }
        if left_out.is_empty() {
            self.mend(&state)?;
        } else {
            self.grow(&mut state, left_out)?;
        }
        Ok(state)
    }

    /// Writes again what a power cut spoiled: the files that are not flushed.
    fn mend(&self, state: &State) -> Result<()> {
        let width = state.size % WIDTH;
        if width == 0 {
            return Ok(());
        }
        let hashes = state.edge.first().map(|hashes| tile::encode_hashes(hashes)).unwrap_or_default();
        let begin = usize::try_from(state.size - width - state.tail.base()).unwrap_or(usize::MAX);
        let mut bundle = Vec::new();
        for entry in state.tail.entries().iter().skip(begin) {
            tile::encode_entry(entry, &mut bundle)?;
        }
        for (level, bytes) in [(Some(0), hashes), (None, bundle)] {
            let path = self.path.join(TileId { level, index: state.size / WIDTH, width }.path());
            if std::fs::read(&path).ok().as_ref() != Some(&bytes) {
                write(&path, &bytes)?;
            }
        }
        Ok(())
    }

    /// Puts durable entries into the tree, its files and a new checkpoint.
    fn grow(&self, state: &mut State, entries: &[&[u8]]) -> Result<()> {
        let before = state.size;
        let mut rest = entries;
        // Full bundles one by one, so that a batch may be longer than a tile.
        while !rest.is_empty() {
            let room = usize::try_from(WIDTH - state.size % WIDTH).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at(room);
            let full = state.extend(now);
            for (place, hashes) in full {
                publish(&self.path.join(place.path()), &tile::encode_hashes(&hashes))?;
            }
            rest = later;
        }
        self.write_edge(state, before)?;
        self.write_bundle(state.tail.entries(), state.tail.base() / WIDTH)?;
        self.sign(&Checkpoint { origin: self.origin(), size: state.size, root: state.root() })?;
        // Only now: a tail that begins after the checkpoint's end could not be checked against it.
        if state.size / WIDTH > state.tail.base() / WIDTH {
            self.rotate(state)?;
        }
        remove_narrower(&self.path, before, state.size);
        Ok(())
    }

    /// Writes the partial tiles that are not as they were at the size `before`. Those above the lowest level are flushed:
    /// the tail cannot bring them back.
    fn write_edge(&self, state: &State, before: u64) -> Result<()> {
        for (level, hashes) in (0_u8..).zip(&state.edge).filter(|(_, hashes)| !hashes.is_empty()) {
            let shift = u32::from(level) * u32::from(HEIGHT);
            if before >> shift == state.size >> shift {
                continue;
            }
            let index = (state.size >> shift) / WIDTH;
            let place = TileId { level: Some(level), index, width: hashes.len() as u64 };
            let path = self.path.join(place.path());
            let bytes = tile::encode_hashes(hashes);
            if level > 0 { publish(&path, &bytes)? } else { write(&path, &bytes)? }
        }
        Ok(())
    }

    /// Writes the entries from the last full bundle on; full bundles are flushed.
    fn write_bundle(&self, entries: &[Vec<u8>], first: u64) -> Result<()> {
        let width = usize::try_from(WIDTH).unwrap_or(usize::MAX);
        for (index, entries) in (first..).zip(entries.chunks(width)) {
            let mut bytes = Vec::new();
            for entry in entries {
                tile::encode_entry(entry, &mut bytes)?;
            }
            let path = self.path.join(TileId { level: None, index, width: entries.len() as u64 }.path());
            if entries.len() == width { publish(&path, &bytes)? } else { write(&path, &bytes)? }
        }
        Ok(())
    }

    /// Full bundles leave the tail.
    fn rotate(&self, state: &mut State) -> Result<()> {
        let base = state.size / WIDTH * WIDTH;
        let gone = usize::try_from(base - state.tail.base()).unwrap_or(usize::MAX);
        let kept = state.tail.entries().get(gone..).unwrap_or_default().to_vec();
        state.tail = Tail::create(&self.path, base, &kept)?;
        Ok(())
    }

    fn sign(&self, checkpoint: &Checkpoint) -> Result<()> {
        let mut note = Note::new(checkpoint.text())?;
        note.sign(&self.key);
        publish(&self.path.join(CHECKPOINT), note.to_string().as_bytes())
    }
}

impl State {
    /// Adds entries to the tree; gives the tiles that became full. At most as many entries as fill the lowest.
    fn extend(&mut self, entries: &[&[u8]]) -> Vec<(TileId, Vec<Hash>)> {
        let mut full = Vec::new();
        for entry in entries {
            self.size += 1;
            self.push(0, Hash::leaf(entry), &mut full);
        }
        full
    }

    fn push(&mut self, level: u8, hash: Hash, full: &mut Vec<(TileId, Vec<Hash>)>) {
        if self.edge.len() <= usize::from(level) {
            self.edge.push(Vec::new());
        }
        let Some(edge) = self.edge.get_mut(usize::from(level)) else { return };
        edge.push(hash);
        if edge.len() as u64 == WIDTH {
            let hashes = std::mem::take(edge);
            let above = tile::fold(&hashes);
            let index = (self.size >> (u32::from(level) * u32::from(HEIGHT))) / WIDTH - 1;
            full.push((TileId { level: Some(level), index, width: WIDTH }, hashes));
            self.push(level + 1, above, full);
        }
    }

    /// The root, from the edge alone: every full tile stands in it through its hash one level up.
    fn root(&self) -> Hash {
        let mut root: Option<Hash> = None;
        for hashes in &self.edge {
            let mut left = hashes.as_slice();
            let mut sizes = Vec::new();
            while !left.is_empty() {
                let size = 1 << left.len().ilog2();
                let (subtree, rest) = left.split_at(size);
                sizes.push(tile::fold(subtree));
                left = rest;
            }
            for subtree in sizes.into_iter().rev() {
                root = Some(root.map_or(subtree, |right| Hash::node(subtree, right)));
            }
        }
        root.unwrap_or_else(Hash::empty)
    }
}
