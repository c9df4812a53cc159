//! Appending to a log: entries become durable first, then part of the tree, then part of a signed checkpoint.
//!
//! Write order for a batch: the entries and the checkpoint that will cover them, at the end of `tail`, `fdatasync`; the
//! tiles they change; `checkpoint`. An append returns only after all of these, and no reader sees the checkpoint before
//! it is durable in `tail`. The flush of `tail` is the only one: the last bundle, the last tile of the lowest level and
//! `checkpoint` can be restored from it. If a power cut damages these files or keeps older ones, the next open writes them
//! again, and readers use `tail` instead ([`Folder::checkpoint`], [`Folder::signed`]).
//!
//! A batch that fills a bundle, one in 256, has more flushes: the entries at the end of `tail`; the tiles and bundles;
//! `checkpoint`; and then a new `tail` without the entries of full bundles replaces the old one. A crash before the
//! checkpoint leaves entries that no checkpoint covers; the next open adds them to the tree.

mod files;
mod newest;
mod tail;

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use error_class::{Class, Classified as _};
use private::{Hold, PATIENCE};

use self::files::{LOCK, lock, publish, remove_narrower, write};
pub(crate) use self::newest::newest;
use self::tail::Tail;
pub use self::tail::tail;
use crate::folder::{CHECKPOINT, Folder};
use crate::tile::{self, HEIGHT, TileId, WIDTH};
use crate::{Checkpoint, Error, Hash, Note, Result, SigningKey};

/// A log that is open for appending. Several processes may append to the same log.
pub struct Log {
    path: PathBuf,
    key: SigningKey,
    queue: Mutex<Queue>,
    /// Notified when a batch is written.
    written: Condvar,
    state: Mutex<Option<State>>,
    /// How long to wait for the lock.
    lock_timeout: Duration,
}

/// Appends that wait to be written.
#[derive(Default)]
struct Queue {
    tickets: Vec<Arc<Ticket>>,
    /// Whether a thread is writing a batch.
    busy: bool,
}

/// Held by the thread that writes for all waiting appends. Dropping it lets the next thread write.
struct WriterGuard<'a>(&'a Log);

impl Drop for WriterGuard<'_> {
    fn drop(&mut self) {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).busy = false;
        self.0.written.notify_all();
    }
}

/// Runs `work` while no batch is being written, so that tail and checkpoint are consistent.
///
/// # Errors
/// [`Error::Locked`] when a writer holds the lock for too long, or when the system refuses the lock.
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

/// Entries that wait for their batch, and the indexes that they get.
struct Ticket {
    entries: Vec<Vec<u8>>,
    outcome: OnceLock<std::result::Result<Range<u64>, Arc<Error>>>,
}

/// The state of the folder; valid as long as the tail file is the one that was read.
struct State {
    tail: Tail,
    /// Hashes of the last, incomplete tile of each level.
    edge: Vec<Vec<Hash>>,
    /// The tree's size.
    size: u64,
}

impl Log {
    /// Creates a log in a new folder. Its origin is the key's name.
    ///
    /// # Errors
    /// [`Error::Exists`], or an I/O error.
    pub fn create(path: &Path, key: SigningKey) -> Result<Self> {
        if path.join(CHECKPOINT).exists() {
            return Err(Error::Exists(path.to_owned()));
        }
        private::create_folders(path).map_err(Error::io("create", path))?;
        Tail::create(path, 0, &[], None)?;
        drop(lock(path, PATIENCE)?);
        let log = Self::of(path, key, PATIENCE);
        let note = log.sign(0, Hash::empty())?;
        publish(&path.join(CHECKPOINT), note.to_string().as_bytes())?;
        Ok(log)
    }

    /// Opens a log, checks its files against its checkpoint, and adds to the tree the entries that a crash left out.
    ///
    /// # Errors
    /// [`Error::Absent`], [`Error::RootDiffers`], [`Error::Damaged`], or an error for a checkpoint by another key.
    pub fn open(path: &Path, key: SigningKey) -> Result<Self> {
        Self::open_within(path, key, PATIENCE)
    }

    /// Like [`Self::open`], with the time to wait for the lock, now and on each append.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_within(path: &Path, key: SigningKey, lock_timeout: Duration) -> Result<Self> {
        if !path.join(CHECKPOINT).exists() {
            return Err(Error::Absent(path.to_owned()));
        }
        let log = Self::of(path, key, lock_timeout);
        log.append(Vec::new()).map_err(Error::Open)?;
        Ok(log)
    }

    fn of(path: &Path, key: SigningKey, lock_timeout: Duration) -> Self {
        Self {
            path: path.to_owned(),
            key,
            queue: Mutex::default(),
            written: Condvar::new(),
            state: Mutex::default(),
            lock_timeout,
        }
    }

    /// The log's name.
    #[must_use]
    pub fn origin(&self) -> String {
        self.key.verifier().name().to_owned()
    }

    /// The public key.
    #[must_use]
    pub fn verifier(&self) -> crate::VerifierKey {
        self.key.verifier()
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends entries and returns their indexes. On return, they are durable and covered by a signed checkpoint.
    /// Concurrent calls share one flush and one signature.
    ///
    /// # Errors
    /// [`Error::EntryTooLong`], an I/O error, or a defect of the log.
    pub fn append(&self, entries: Vec<Vec<u8>>) -> std::result::Result<Range<u64>, Arc<Error>> {
        if let Some(long) = entries.iter().find(|entry| entry.len() > tile::MAX_ENTRY) {
            return Err(Arc::new(Error::EntryTooLong(long.len())));
        }
        let ticket = Arc::new(Ticket { entries, outcome: OnceLock::new() });
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.tickets.push(Arc::clone(&ticket));
        // A thread whose entries are written returns at once. If it had to become the writer first, each batch would
        // hold a single append.
        while queue.busy && ticket.outcome.get().is_none() {
            queue = self.written.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(outcome) = ticket.outcome.get() {
            return outcome.clone();
        }
        queue.busy = true;
        let batch = std::mem::take(&mut queue.tickets);
        drop(queue);
        let guard = WriterGuard(self);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.write_batch(&mut state, &batch).map_err(Arc::new);
        if outcome.is_err() {
            // The state on disk is unknown now; the next append reads it again.
            *state = None;
        }
        let mut next = outcome;
        for waiting in &batch {
            let own = next.clone().map(|begin| begin..begin + waiting.entries.len() as u64);
            next = own.clone().map(|own| own.end);
            let _ = waiting.outcome.set(own);
        }
        drop(state);
        drop(guard);
        ticket.outcome.get().cloned().unwrap_or_else(|| Err(Arc::new(Error::Absent(self.path.clone()))))
    }

    /// Returns the index of the batch's first entry.
    fn write_batch(&self, state: &mut Option<State>, batch: &[Arc<Ticket>]) -> Result<u64> {
        let _held = lock(&self.path, self.lock_timeout)?;
        let state = match state {
            Some(known) if known.tail.is_current(&self.path)? => known,
            _ => state.insert(self.load()?),
        };
        let begin = state.size;
        let entries: Vec<&[u8]> =
            batch.iter().flat_map(|ticket| &ticket.entries).map(Vec::as_slice).collect();
        if entries.is_empty() {
            return Ok(begin);
        }
        if state.fills_bundle(entries.len()) {
            state.tail.append(&entries, None)?;
            self.grow(state, &entries)?;
        } else {
            state.extend(&entries);
            let note = self.sign(state.size, state.root())?;
            state.tail.append(&entries, Some(&note))?;
            self.write_newest(state, begin, &note)?;
        }
        Ok(begin)
    }

    /// Reads the folder, checks it against its checkpoint, and completes it.
    fn load(&self) -> Result<State> {
        let (note, is_restored) = newest::found(&self.path)?;
        let checkpoint = Checkpoint::verify(&note, &self.key.verifier())?;
        let tail = Tail::open(&self.path)?;
        let folder = Folder::new(&self.path, tail.base());
        let mut edge = Vec::new();
        let mut count = tail.base();
        while count > 0 {
            let level = u8::try_from(edge.len()).unwrap_or(u8::MAX);
            let partial = count % WIDTH > 0;
            edge.push(if partial { folder.tile(level, count / WIDTH)?.to_vec() } else { Vec::new() });
            count /= WIDTH;
        }
        let records = tail.entries().to_vec();
        let entries: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let mut state = State { size: tail.base(), tail, edge };
        let signed = usize::try_from(checkpoint.size.saturating_sub(state.size)).unwrap_or(usize::MAX);
        if checkpoint.size < state.size || signed > entries.len() {
            return Err(Error::RootDiffers { size: checkpoint.size });
        }
        let (signed, left_out) = entries.split_at(signed);
        state.extend(signed);
        if state.root() != checkpoint.root {
            return Err(Error::RootDiffers { size: checkpoint.size });
        }
        if is_restored || !left_out.is_empty() {
            // A killed process may have left them unflushed.
            tail::flush(&self.path)?;
        }
        let checkpoint = self.path.join(CHECKPOINT);
        let restore =
            |()| if is_restored { publish(&checkpoint, note.to_string().as_bytes()) } else { Ok(()) };
        let restored = self.repair(&state).and_then(restore);
        match restored {
            // Readers use `tail` instead. On a full disk, a command that frees space must be able to begin.
            Err(error) if error.class() == Class::NoRoom => {}
            restored => restored?,
        }
        if !left_out.is_empty() {
            self.grow(&mut state, left_out)?;
        } else if state.tail.is_old() || state.is_full() {
            self.rotate(&mut state, &note)?;
        }
        Ok(state)
    }

    /// Writes the unflushed files again if a power cut damaged them.
    fn repair(&self, state: &State) -> Result<()> {
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

    /// Adds durable entries to the tree, its files and a new checkpoint.
    fn grow(&self, state: &mut State, entries: &[&[u8]]) -> Result<()> {
        let before = state.size;
        let mut rest = entries;
        // One bundle at a time, because a batch may be longer than a tile.
        while !rest.is_empty() {
            let room = usize::try_from(WIDTH - state.size % WIDTH).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at(room);
            let full = state.extend(now);
            for (id, hashes) in full {
                publish(&self.path.join(id.path()), &tile::encode_hashes(&hashes))?;
            }
            rest = later;
        }
        self.write_edge(state, before)?;
        self.write_bundle(state.tail.entries(), state.tail.base() / WIDTH)?;
        let note = self.sign(state.size, state.root())?;
        publish(&self.path.join(CHECKPOINT), note.to_string().as_bytes())?;
        // Only now: a tail that begins after the end of the checkpoint could not be checked against it.
        if state.tail.is_old() || state.is_full() {
            self.rotate(state, &note)?;
        }
        remove_narrower(&self.path, before, state.size);
        Ok(())
    }

    /// Writes the files of entries that are durable in `tail` with their checkpoint and fill no bundle, without a flush.
    fn write_newest(&self, state: &State, before: u64, note: &Note) -> Result<()> {
        self.write_edge(state, before)?;
        self.write_bundle(state.tail.entries(), state.tail.base() / WIDTH)?;
        write(&self.path.join(CHECKPOINT), note.to_string().as_bytes())?;
        remove_narrower(&self.path, before, state.size);
        Ok(())
    }

    /// Writes the partial tiles that changed since the size `before`. Tiles above the lowest level are flushed, because
    /// the tail cannot restore them.
    fn write_edge(&self, state: &State, before: u64) -> Result<()> {
        for (level, hashes) in (0_u8..).zip(&state.edge).filter(|(_, hashes)| !hashes.is_empty()) {
            let shift = u32::from(level) * u32::from(HEIGHT);
            if before >> shift == state.size >> shift {
                continue;
            }
            let index = (state.size >> shift) / WIDTH;
            let id = TileId { level: Some(level), index, width: hashes.len() as u64 };
            let path = self.path.join(id.path());
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

    /// Replaces the tail with one without full bundles.
    fn rotate(&self, state: &mut State, note: &Note) -> Result<()> {
        let base = state.size / WIDTH * WIDTH;
        let gone = usize::try_from(base - state.tail.base()).unwrap_or(usize::MAX);
        let kept = state.tail.entries().get(gone..).unwrap_or_default().to_vec();
        state.tail = Tail::create(&self.path, base, &kept, Some(note))?;
        Ok(())
    }

    fn sign(&self, size: u64, root: Hash) -> Result<Note> {
        let mut note = Note::new(Checkpoint { origin: self.origin(), size, root }.text())?;
        note.sign(&self.key);
        Ok(note)
    }
}

impl State {
    /// Whether this many more entries fill a bundle.
    fn fills_bundle(&self, more: usize) -> bool {
        self.is_full() || (self.size + more as u64) / WIDTH > self.size / WIDTH
    }

    /// Whether the tail has entries of a full bundle.
    fn is_full(&self) -> bool {
        self.size / WIDTH > self.tail.base() / WIDTH
    }

    /// Adds entries to the tree and returns the tiles that became full. Takes at most as many entries as fill the
    /// lowest tile.
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

    /// The root, computed from the edge alone: its levels hold the hash of every full tile below.
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
