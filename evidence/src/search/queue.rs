//! A queue of candidates from one origin.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};

use oci::Descriptor;

use super::list::List;
use super::{Bounds, CONCURRENCY, FIRST};
use crate::Encoding;
use crate::source::Entry;

/// Larger items are read one by one, after all others.
pub(super) const SMALL: u64 = 256 << 10;

/// A blob that is still to be read.
#[derive(Clone)]
pub(super) struct PendingBlob {
    pub(super) at: String,
    pub(super) blob: Descriptor,
    pub(super) kind: Encoding,
}

/// The origin of a queue's candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Cosign's tag with this suffix.
    Tag(&'static str),
    /// The referrers that are listed as evidence.
    Evidence,
    /// The other referrers.
    Others,
}

pub(super) struct Queue {
    pub(super) origin: Origin,
    /// Whether the list is complete.
    pub(super) is_listed: bool,
    /// Referrers that are not listed yet.
    pub(super) list: List,
    /// Whether any manifests were read.
    has_begun: bool,
    /// Whether the rest is abandoned unread.
    pub(super) is_abandoned: bool,
    pub(super) bytes: u64,
    pub(super) items: usize,
    /// Referrers whose manifests are not read yet.
    pub(super) entries: VecDeque<Entry>,
    pub(super) small: VecDeque<PendingBlob>,
    large: Vec<PendingBlob>,
}

impl Queue {
    pub(super) fn new(origin: Origin, bounds: &Bounds) -> Self {
        let Bounds { bytes, items, .. } = *bounds;
        let list = match origin {
            Origin::Tag(_) => List::default(),
            Origin::Evidence => List::of_evidence(),
            Origin::Others => List::of_all(),
        };
        let (entries, small, large) = (VecDeque::new(), VecDeque::new(), Vec::new());
        Self {
            origin,
            is_listed: false,
            list,
            has_begun: false,
            is_abandoned: false,
            bytes,
            items,
            entries,
            small,
            large,
        }
    }

    /// Whether nothing that is listed is left to read.
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.small.is_empty() && self.large.is_empty()
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_listed && self.is_empty()
    }

    /// Whether to list more: large items wait until the list is complete.
    pub(super) fn wants_more(&self) -> bool {
        !self.is_listed && self.entries.is_empty() && self.small.is_empty()
    }

    /// Adds the blobs of a manifest.
    pub(super) fn put(&mut self, pending: Vec<PendingBlob>) {
        let (small, large): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|pending| pending.blob.size <= SMALL);
        self.small.extend(small);
        self.large.extend(large);
    }

    /// The blobs to read next: a few different small blobs, each with all its signatures, because thousands of signatures
    /// may be over one payload; when the list is complete and all manifests are read, the smallest of the large blobs.
    pub(super) fn next(&mut self) -> Vec<PendingBlob> {
        if self.small.is_empty() {
            if !self.is_listed || !self.entries.is_empty() {
                return Vec::new();
            }
            self.large.sort_by_key(|pending| Reverse(pending.blob.size));
            return self.large.pop().into_iter().collect();
        }
        let mut digests = BTreeSet::new();
        let some = self.small.iter().take_while(|pending| {
            digests.insert(&pending.blob.digest);
            digests.len() <= CONCURRENCY
        });
        let count = some.count();
        self.small.drain(..count).collect()
    }

    /// The manifests to read next: a few small ones, or a large one.
    pub(super) fn next_entries(&mut self) -> Vec<Entry> {
        let limit = if self.has_begun { CONCURRENCY } else { FIRST };
        self.has_begun = true;
        let small = self.entries.iter().take(limit).take_while(|entry| entry.size <= SMALL).count();
        self.entries.drain(..small.max(1).min(self.entries.len())).collect()
    }

    /// Abandons the rest.
    pub(super) fn abandon(&mut self) {
        (self.entries, self.small, self.large) = (VecDeque::new(), VecDeque::new(), Vec::new());
        self.is_abandoned = true;
    }
}
