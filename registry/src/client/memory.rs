//! Answers that a client keeps, so that one run requests nothing twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use oci::{Descriptor, Digest, Manifest, RegistryHost, RepositoryName, Selector};
use tokio::sync::OnceCell;

/// Bytes of manifests and descriptors that are kept; beyond them it is asked again.
const MOST_BYTES: usize = 64 << 20;
/// What a descriptor weighs, roughly.
const DESCRIPTOR: usize = 512;

type Cells<K, V> = Mutex<HashMap<(RegistryHost, RepositoryName, K), Arc<OnceCell<V>>>>;

/// Answers by question. Who asks what is being asked waits for that answer.
#[derive(Default)]
pub(super) struct Memory {
    manifests: Cells<Selector, Option<Manifest>>,
    referrers: Cells<Digest, Vec<Descriptor>>,
    bytes: AtomicUsize,
}

/// The place of one answer.
pub(super) struct Slot<V>(pub(super) Arc<OnceCell<V>>);

impl Memory {
    pub(super) fn manifest(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        selector: &Selector,
    ) -> Slot<Option<Manifest>> {
        self.slot(&self.manifests, (host.clone(), repository.clone(), selector.clone()))
    }

    pub(super) fn referrers(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Slot<Vec<Descriptor>> {
        self.slot(&self.referrers, (host.clone(), repository.clone(), subject.clone()))
    }

    fn slot<K: std::hash::Hash + Eq, V>(
        &self,
        cells: &Cells<K, V>,
        key: (RegistryHost, RepositoryName, K),
    ) -> Slot<V> {
        let mut cells = cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = cells.get(&key) {
            return Slot(Arc::clone(known));
        }
        let fresh = Arc::default();
        if self.bytes.load(Ordering::Relaxed) < MOST_BYTES {
            cells.insert(key, Arc::clone(&fresh));
        }
        Slot(fresh)
    }

    /// Counts what was learned.
    pub(super) fn learned(&self, manifest: Option<&Manifest>) {
        self.count(manifest.map_or(DESCRIPTOR, |manifest| manifest.bytes().len() * 2 + DESCRIPTOR));
    }

    /// Counts descriptors that were learned.
    pub(super) fn listed(&self, descriptors: &[Descriptor]) {
        self.count((descriptors.len() + 1) * DESCRIPTOR);
    }

    fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
