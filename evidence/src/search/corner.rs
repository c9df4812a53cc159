//! A corner: things of one kind that may be evidence, and what is left to look at there.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};

use oci::Descriptor;

use super::list::List;
use super::{AT_ONCE, Bounds, FIRST};
use crate::Encoding;
use crate::source::Entry;

/// Larger things are read one by one, after all others.
pub(super) const SMALL: u64 = 256 << 10;

/// Something that is to be read.
#[derive(Clone)]
pub(super) struct Piece {
    pub(super) at: String,
    pub(super) blob: Descriptor,
    pub(super) kind: Encoding,
}

/// Where a corner's things come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The tag that cosign makes for this suffix.
    Tag(&'static str),
    /// The referrers that are listed as evidence.
    Evidence,
    /// The other referrers.
    Others,
}

pub(super) struct Corner {
    pub(super) source: Source,
    /// Whether all that is here is known.
    pub(super) is_listed: bool,
    /// Referrers that are not listed yet.
    pub(super) list: List,
    /// Whether manifests were read.
    has_begun: bool,
    /// Whether the rest is left unread.
    pub(super) is_left: bool,
    pub(super) bytes: u64,
    pub(super) things: usize,
    /// Referrers whose manifests are not read yet.
    pub(super) entries: VecDeque<Entry>,
    pub(super) small: VecDeque<Piece>,
    large: Vec<Piece>,
}

impl Corner {
    pub(super) fn new(source: Source, bounds: &Bounds) -> Self {
        let Bounds { bytes, things, .. } = *bounds;
        let list = match source {
            Source::Tag(_) => List::default(),
            Source::Evidence => List::of_evidence(),
            Source::Others => List::of_all(),
        };
        let (entries, small, large) = (VecDeque::new(), VecDeque::new(), Vec::new());
        Self {
            source,
            is_listed: false,
            list,
            has_begun: false,
            is_left: false,
            bytes,
            things,
            entries,
            small,
            large,
        }
    }

    /// Whether nothing is left of what is known.
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.small.is_empty() && self.large.is_empty()
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_listed && self.is_empty()
    }

    /// Whether to list more: what is large waits until all is known.
    pub(super) fn wants_more(&self) -> bool {
        !self.is_listed && self.entries.is_empty() && self.small.is_empty()
    }

    /// Takes in what a manifest holds.
    pub(super) fn put(&mut self, pieces: Vec<Piece>) {
        let (small, large): (Vec<_>, Vec<_>) = pieces.into_iter().partition(|piece| piece.blob.size <= SMALL);
        self.small.extend(small);
        self.large.extend(large);
    }

    /// What is read next: small pieces of a few different blobs, as thousands of signatures may be over one payload;
    /// when all is listed and all manifests are read, the smallest of the large ones.
    pub(super) fn next(&mut self) -> Vec<Piece> {
        if self.small.is_empty() {
            if !self.is_listed || !self.entries.is_empty() {
                return Vec::new();
            }
            self.large.sort_by_key(|piece| Reverse(piece.blob.size));
            return self.large.pop().into_iter().collect();
        }
        let mut digests = BTreeSet::new();
        let some = self.small.iter().take_while(|piece| {
            digests.insert(&piece.blob.digest);
            digests.len() <= AT_ONCE
        });
        let count = some.count();
        self.small.drain(..count).collect()
    }

    /// Manifests that are read next: a few small ones, or a large one.
    pub(super) fn next_entries(&mut self) -> Vec<Entry> {
        let most = if self.has_begun { AT_ONCE } else { FIRST };
        self.has_begun = true;
        let small = self.entries.iter().take(most).take_while(|entry| entry.size <= SMALL).count();
        self.entries.drain(..small.max(1).min(self.entries.len())).collect()
    }

    /// Leaves what is left.
    pub(super) fn leave(&mut self) {
        (self.entries, self.small, self.large) = (VecDeque::new(), VecDeque::new(), Vec::new());
        self.is_left = true;
    }
}
