//! The search for the signatures and attestations of one image, in a source where anyone may have pushed referrers.
//!
//! A search is never all or nothing. Candidates come from four queues: each of cosign's two tags, the referrers that are
//! listed as evidence, and the other referrers. The queues alternate, and each has its own bounds, so no one can hide the
//! content of one queue by filling another. Within a queue, likely evidence is read first, and small items before large
//! ones; broken, foreign or excess items are skipped and reported. The registry limits how much one user can push beside an
//! image (`store::NamingLimits`). The search keeps nothing that it read: a visitor sees each candidate once.

mod list;
mod queue;

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use bundle_signer::{Limits, attached, referrer};
use futures::future::join_all;
use oci::{Descriptor, Digest, Manifest, Selector, Tag};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use self::list::{Batch, List};
use self::queue::{Origin, PendingBlob, Queue, SMALL};
use super::shape::has_statement_form;
use super::source::{Entry, is_outage};
use super::{Candidate, Encoding, Error, EvidenceSource, Skipped, in_words};

/// The number of concurrent requests.
const CONCURRENCY: usize = 16;
/// The number of referrers that are read in the order of the list, and of those after them that are read by size.
const FIRST: usize = 4;
const FEW: usize = 64;
/// Larger manifests are read after all others.
const LARGE_ENTRY: u64 = 64 << 10;
/// The number of searches in this process that may read large items at once: anyone can push large items.
static LARGE: Semaphore = Semaphore::const_new(2);
/// The number of skipped items that are reported one by one; the others are counted.
const MAX_REPORTED: usize = 64;

/// The bounds of the search for one image.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of payloads, envelopes and bundles, in each queue.
    pub bytes: u64,
    /// Manifests and blobs, in each queue.
    pub items: usize,
    /// The total time.
    pub time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes: 512 << 20, items: 40_000, time: Duration::from_mins(1) }
    }
}

/// Whether a visitor needs more candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It needs more candidates.
    More,
    /// It has seen enough.
    Enough,
}

/// The outcome of a search, in addition to the visited candidates.
#[derive(Debug, Default)]
pub struct Searched {
    /// The skipped candidates.
    pub skipped: Vec<Skipped>,
    /// A request that failed. Unless the candidates suffice without it, no decision is possible: an outage is never
    /// "unsigned".
    pub outage: Option<Error>,
}

/// A callback for each candidate that is found.
pub type Visitor<'a> = dyn FnMut(&Candidate) -> Next + Send + 'a;

/// Searches for the signatures and attestations of an image, under cosign's tags and among its referrers.
pub async fn search(
    source: &EvidenceSource,
    image: &Digest,
    bounds: &Bounds,
    visit: &mut Visitor<'_>,
) -> Searched {
    let mut search = Search {
        source,
        image,
        limits: Limits::default(),
        until: Instant::now() + bounds.time,
        visit,
        known: BTreeSet::new(),
        others: None,
        is_evidence_listed: false,
        found: Searched::default(),
        more: 0,
        ended: false,
    };
    let origins = [Origin::Tag("sig"), Origin::Tag("att"), Origin::Evidence, Origin::Others];
    let mut queues = origins.map(|origin| Queue::new(origin, bounds));
    while queues.iter().any(|queue| !queue.is_done()) && !search.ended {
        for queue in queues.iter_mut().filter(|queue| !queue.is_done()) {
            search.step(queue).await;
        }
    }
    search.finish()
}

struct Search<'a, 'b> {
    source: &'a EvidenceSource,
    image: &'a Digest,
    limits: Limits,
    until: Instant,
    visit: &'a mut Visitor<'b>,
    /// Referrers that are already in a queue.
    known: BTreeSet<Digest>,
    /// The other referrers, if the source lists all of them together.
    others: Option<Vec<Entry>>,
    /// Whether the list of referrers with evidence is complete.
    is_evidence_listed: bool,
    found: Searched,
    /// The number of skipped items that are not reported one by one.
    more: usize,
    ended: bool,
}

/// Makes the encoding of a layer from the signature in its annotation.
type EncodingOf = fn(String) -> Encoding;

impl Search<'_, '_> {
    /// Lists a part of a queue, and reads a part of it.
    async fn step(&mut self, queue: &mut Queue) {
        if queue.wants_more() {
            match queue.origin {
                Origin::Tag(suffix) => self.tag(queue, suffix).await,
                Origin::Evidence | Origin::Others => self.referrers(queue).await,
            }
        }
        if queue.small.is_empty() && !queue.entries.is_empty() {
            self.manifests(queue).await;
        }
        let pending = queue.next();
        if !pending.is_empty() && !self.ended {
            self.blobs(queue, &pending).await;
        }
    }

    /// Queues the manifest under one of cosign's tags. All its layers are read, in the order of their sizes.
    async fn tag(&mut self, queue: &mut Queue, suffix: &str) {
        queue.is_listed = true;
        let Ok(tag) = Tag::of_attachment(self.image, suffix) else { return };
        let at = tag.to_string();
        match self.in_time(self.source.manifest(&Selector::Tag(tag))).await {
            None | Some(Ok(None)) => {}
            Some(Ok(Some(manifest))) => queue.put(self.layers(&at, &manifest)),
            Some(Err(error)) => self.failed(at, error, false),
        }
    }

    fn layers(&mut self, at: &str, manifest: &Manifest) -> Vec<PendingBlob> {
        let mut pending = Vec::new();
        let readers: [(_, EncodingOf); 2] = [
            (attached::signatures(manifest, &self.limits), Encoding::SimpleSigning),
            (attached::attestations(manifest, &self.limits), |_| Encoding::Envelope),
        ];
        for (layers, kind) in readers {
            match layers {
                Ok(layers) => {
                    pending.extend(layers.found.into_iter().map(|layer| PendingBlob {
                        at: at.to_owned(),
                        kind: kind(layer.signature),
                        blob: layer.blob,
                    }));
                }
                Err(error) => {
                    self.skip(at.to_owned(), &error.to_string());
                    return Vec::new();
                }
            }
        }
        let others = manifest.blobs().count().saturating_sub(1 + pending.len());
        if others > 0 {
            self.skip(at.to_owned(), &format!("{others} layers are not signatures, or are too large"));
        }
        pending.sort_by_key(|pending| pending.blob.size);
        pending
    }

    async fn referrers(&mut self, queue: &mut Queue) {
        if queue.is_abandoned && self.others.is_none() {
            queue.is_listed = true;
            return;
        }
        let mut entries = match &mut self.others {
            Some(others) if queue.origin == Origin::Others => {
                queue.is_listed = self.is_evidence_listed;
                std::mem::take(others)
            }
            _ => self.listed(queue).await,
        };
        if queue.is_abandoned {
            return;
        }
        entries.retain(|entry| self.known.insert(entry.digest.clone()));
        // The first ones stay in the order of the source: airlock's registry lists first what no user pushed.
        let rest = entries.get_mut(FIRST..).unwrap_or_default();
        if rest.len() <= FEW {
            rest.sort_by_key(|entry| (!entry.is_statement, entry.size));
        } else {
            // A random order: a user who pushed many cannot choose which of them come first, neither now nor the next time.
            let order = RandomState::new();
            rest.sort_by_cached_key(|entry| {
                (!entry.is_statement, entry.size > LARGE_ENTRY, order.hash_one(&entry.digest))
            });
        }
        queue.entries = entries.into();
    }

    /// Lists more of a queue's referrers.
    async fn listed(&mut self, queue: &mut Queue) -> Vec<Entry> {
        let (source, image, is_long) = (self.source, self.image, queue.list.is_long());
        let _permit = self.permit(is_long).await;
        let list = &mut queue.list;
        let batch = match self.in_time(list.next(source, image)).await {
            None => Batch::default(),
            Some(Ok(batch)) => batch,
            Some(Err(error)) => {
                *list = List::default();
                self.failed(format!("the referrers of {image}"), error, false);
                Batch::default()
            }
        };
        if batch.truncated {
            self.skip("the list of referrers".to_owned(), "it is longer than the search limit");
        }
        let is_evidence = queue.origin == Origin::Evidence;
        queue.is_listed = queue.list.is_done();
        self.is_evidence_listed |= is_evidence && queue.is_listed;
        if !(is_evidence && batch.whole) {
            return batch.entries;
        }
        let (likely, others): (Vec<_>, Vec<_>) = batch.entries.into_iter().partition(|entry| entry.is_likely);
        self.others.get_or_insert_default().extend(others);
        likely
    }

    /// Reads the manifests of some referrers.
    async fn manifests(&mut self, queue: &mut Queue) {
        let listed = queue.next_entries();
        let Some(items) = queue.items.checked_sub(listed.len()) else {
            return self.abandon(queue, "the image has more referrers than the search limit");
        };
        queue.items = items;
        let source = self.source;
        let requests = join_all(listed.iter().map(|entry| {
            let selector = Selector::Digest(entry.digest.clone());
            async move { source.manifest(&selector).await }
        }));
        let _permit = self.permit(listed.iter().any(|entry| entry.size > SMALL)).await;
        let Some(results) = self.in_time(requests).await else { return };
        for (entry, result) in listed.iter().zip(results) {
            let at = entry.digest.to_string();
            match result {
                Ok(None) => self.skip(at, "it is listed, but does not exist"),
                Err(error) => self.failed(at, error, true),
                Ok(Some(manifest)) => queue.put(self.pending(&at, &manifest)),
            }
        }
    }

    /// The blobs to read from a referrer: one bundle, or layers as under cosign's tags.
    fn pending(&mut self, at: &str, manifest: &Manifest) -> Vec<PendingBlob> {
        match referrer::read(manifest, self.image, &self.limits) {
            Ok(referrer::ReferrerContent::Bundle(layer)) => {
                let blob = Descriptor::new(layer.media_type.clone(), layer.digest.clone(), layer.size);
                vec![PendingBlob { at: at.to_owned(), blob, kind: Encoding::Bundle }]
            }
            Ok(referrer::ReferrerContent::Layers) => self.layers(at, manifest),
            Ok(referrer::ReferrerContent::Other) => Vec::new(),
            Err(error) => {
                self.skip(at.to_owned(), &error.to_string());
                Vec::new()
            }
        }
    }

    /// Reads some blobs concurrently, each only once.
    async fn blobs(&mut self, queue: &mut Queue, pending: &[PendingBlob]) {
        let mut blobs: Vec<&Descriptor> = Vec::new();
        for item in pending {
            let same = |known: &&Descriptor| known.digest == item.blob.digest && known.size == item.blob.size;
            if !blobs.iter().any(same) {
                blobs.push(&item.blob);
            }
        }
        let size = blobs.iter().map(|blob| blob.size).sum();
        let (Some(bytes), Some(items)) =
            (queue.bytes.checked_sub(size), queue.items.checked_sub(blobs.len()))
        else {
            return self
                .abandon(queue, "the image has more signatures and attestations than the search limit");
        };
        (queue.bytes, queue.items) = (bytes, items);
        let source = self.source;
        let requests = join_all(blobs.iter().map(|blob| source.blob(blob)));
        let _permit = self.permit(blobs.iter().any(|blob| blob.size > SMALL)).await;
        let Some(results) = self.in_time(requests).await else { return };
        let mut results: Vec<_> =
            blobs.into_iter().zip(results).map(|(blob, result)| (blob, Some(result))).collect();
        for item in pending {
            let found = results
                .iter_mut()
                .find(|(blob, _)| blob.digest == item.blob.digest && blob.size == item.blob.size);
            let Some((_, result)) = found else { continue };
            match result {
                Some(Ok(bytes)) if !has_statement_form(bytes) => {
                    self.skip(
                        item.at.clone(),
                        "its content does not have the form of a signature or attestation",
                    );
                }
                Some(Ok(bytes)) => {
                    let (blob, kind) = (item.blob.clone(), item.kind.clone());
                    let found = Candidate { at: item.at.clone(), layer: blob, bytes: bytes.clone(), kind };
                    if Instant::now() >= self.until {
                        return self.end("the search timed out");
                    }
                    if (self.visit)(&found) == Next::Enough {
                        self.ended = true;
                        return;
                    }
                }
                // Reported once.
                other => {
                    if let Some(Err(error)) = other.take() {
                        self.failed(item.at.clone(), error, true);
                    }
                }
            }
        }
    }

    /// Waits for a future until the search times out.
    async fn in_time<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        if self.ended {
            return None;
        }
        let output = timeout_at(self.until, future).await.ok();
        if output.is_none() {
            self.end("the search timed out");
        }
        output
    }

    /// Waits for a permit to read large items.
    async fn permit(&mut self, is_large: bool) -> Option<SemaphorePermit<'static>> {
        if is_large { self.in_time(LARGE.acquire()).await?.ok() } else { None }
    }

    fn end(&mut self, reason: &str) {
        self.skip("the remaining candidates".to_owned(), reason);
        self.ended = true;
    }

    /// Abandons the rest of a queue.
    fn abandon(&mut self, queue: &mut Queue, reason: &str) {
        let rest = match queue.origin {
            Origin::Tag(suffix) => format!("the remaining layers under the `{suffix}` tag"),
            Origin::Evidence | Origin::Others => "the remaining referrers".to_owned(),
        };
        self.skip(rest, reason);
        queue.abandon();
    }

    /// Handles the failure of one item. Anyone can push an item that was only `listed`, so its failure proves no outage of
    /// the source.
    fn failed(&mut self, at: String, error: Error, listed: bool) {
        if is_outage(&error, listed) {
            self.found.outage.get_or_insert(error);
        } else {
            self.skip(at, &in_words(&error));
        }
    }

    fn skip(&mut self, at: String, reason: &str) {
        if self.found.skipped.len() < MAX_REPORTED {
            self.found.skipped.push(Skipped { at, reason: reason.to_owned() });
        } else {
            self.more += 1;
        }
    }

    fn finish(mut self) -> Searched {
        if self.more > 0 {
            let reason = format!("{} more items were skipped", self.more);
            self.found.skipped.push(Skipped { at: self.image.to_string(), reason });
        }
        self.found
    }
}
