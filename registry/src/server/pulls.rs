//! When manifests were pulled last, for retention: noted in memory, and written to the store every minute, each manifest at
//! most once a day. No pull waits for this: a note that would have to wait is left out.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oci::{Digest, RepositoryName};
use store::{Change, Store, day_of};

/// The maximum number of manifests in memory. Above it, they are noted and written again.
const MOST: usize = 1 << 16;
/// The maximum number of rows that are written in one transaction, so that pushes do not wait for long.
const BATCH: usize = 256;
/// The interval of writes.
const INTERVAL: Duration = Duration::from_mins(1);

/// Notes pulls.
#[derive(Default)]
pub(super) struct Pulls {
    notes: Mutex<Notes>,
    /// Held while notes are written, so that the last write waits for the one before.
    writing: Mutex<()>,
}

#[derive(Default)]
struct Notes {
    day: u64,
    /// The manifests that were pulled on this day, with their repositories.
    seen: HashMap<Digest, Vec<RepositoryName>>,
    /// Those that are not written yet, with their times.
    new: Vec<(RepositoryName, Digest, u64)>,
}

impl Pulls {
    /// Notes a pull.
    pub(super) fn note(&self, repository: &RepositoryName, digest: &Digest) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        match self.notes.try_lock() {
            Ok(mut notes) => notes.add(repository, digest, now),
            Err(TryLockError::Poisoned(error)) => error.into_inner().add(repository, digest, now),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// Writes the notes to the store. If that fails, they stay in memory.
    pub(super) fn write(&self, store: &Store) {
        if store.is_read_only() {
            return;
        }
        let _one_writer = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let new = {
            let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
            if notes.seen.len() >= MOST / 2 {
                notes.seen.clear();
            }
            mem::take(&mut notes.new)
        };
        for batch in new.chunks(BATCH) {
            let change = |(repository, digest, at): &(RepositoryName, Digest, u64)| Change::Pulled {
                repository: repository.clone(),
                digest: digest.clone(),
                at: *at,
            };
            if let Err(error) = store.commit(batch.iter().map(change).collect()) {
                tracing::warn!(%error, "cannot record when manifests were pulled");
                let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
                let room = MOST.saturating_sub(notes.new.len());
                notes.new.extend(batch.iter().take(room).cloned());
            }
        }
    }
}

impl Notes {
    fn add(&mut self, repository: &RepositoryName, digest: &Digest, now: u64) {
        if self.day != day_of(now) {
            (self.day, self.seen) = (day_of(now), HashMap::new());
        }
        let seen = self.seen.get(digest);
        if seen.is_some_and(|seen| seen.contains(repository)) || self.new.len() >= MOST {
            return;
        }
        if seen.is_some() || self.seen.len() < MOST {
            self.seen.entry(digest.clone()).or_default().push(repository.clone());
        }
        self.new.push((repository.clone(), digest.clone(), now));
    }
}

/// Periodically writes the notes.
pub(super) async fn write_pulls(pulls: Arc<Pulls>, store: Store) {
    let mut rounds = tokio::time::interval(INTERVAL);
    loop {
        rounds.tick().await;
        let (pulls, store) = (Arc::clone(&pulls), store.clone());
        let _ = tokio::task::spawn_blocking(move || pulls.write(&store)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;

    #[test]
    fn a_manifest_is_noted_once_a_day_for_each_repository() {
        let mut notes = Notes::default();
        let (one, two) = ("a".parse().unwrap(), "b".parse().unwrap());
        let digest = Digest::sha256(b"a");
        for at in [10, 11, DAY - 1, DAY, DAY + 5, 3 * DAY] {
            notes.add(&one, &digest, at);
            notes.add(&two, &digest, at);
        }
        let times: Vec<_> = notes.new.iter().filter(|(name, ..)| *name == one).map(|(.., at)| *at).collect();
        assert_eq!((times, notes.new.len()), (vec![10, DAY, 3 * DAY], 6));
    }

    #[test]
    fn memory_is_bounded() {
        let mut notes = Notes::default();
        let name = "a".parse().unwrap();
        for number in 0..MOST + 1000 {
            notes.add(&name, &Digest::sha256(&number.to_le_bytes()), 10);
        }
        assert!(notes.seen.len() <= MOST && notes.new.len() <= MOST);
    }

    #[test]
    fn notes_are_written_and_those_of_unknown_manifests_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let pulls = Pulls::default();
        pulls.note(&"a".parse().unwrap(), &Digest::sha256(b"none"));
        assert_eq!(pulls.notes.lock().unwrap().new.len(), 1);
        pulls.write(&store);
        assert!(pulls.notes.lock().unwrap().new.is_empty());
    }
}
