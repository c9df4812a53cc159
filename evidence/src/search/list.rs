//! Lists the referrers of an image, as far as they are needed.

use std::collections::VecDeque;

use bundle_signer::referrer;
use oci::Digest;

use crate::source::{Entry, Page, PagePosition};
use crate::{Error, EvidenceSource};

/// The limits up to which a list is read.
const MAX_PAGES: usize = 256;
const MAX_ENTRIES: usize = 40_000;
const MAX_BYTES: usize = 32 << 20;

type ArtifactType = Option<&'static str>;

/// The pages that are not listed yet.
#[derive(Default)]
pub(super) struct List {
    /// Artifact types whose first page is not read yet.
    first: VecDeque<ArtifactType>,
    /// The positions where the other pages begin.
    rest: Vec<(ArtifactType, PagePosition)>,
}

/// A part of the list.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    /// Whether it lists all artifact types.
    pub(super) whole: bool,
    /// Whether the list is longer than the limits.
    pub(super) truncated: bool,
}

impl List {
    /// The list of referrers with evidence.
    pub(super) fn of_evidence() -> Self {
        Self { first: referrer::ARTIFACT_TYPES.map(Some).into(), rest: Vec::new() }
    }

    /// The list of all referrers.
    pub(super) fn of_all() -> Self {
        Self { first: VecDeque::from([None]), rest: Vec::new() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.first.is_empty() && self.rest.is_empty()
    }

    /// Whether the next batch may be long.
    pub(super) fn is_long(&self) -> bool {
        self.first.is_empty() && !self.rest.is_empty()
    }

    /// The first page of the next artifact type: registries that order their lists have signatures there. After the first
    /// pages, everything that is left, so that the caller can put it into an order that no user chose.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub(super) async fn next(&mut self, source: &EvidenceSource, subject: &Digest) -> Result<Batch, Error> {
        let Some(kind) = self.first.pop_front() else { return self.all(source, subject).await };
        let Page { entries, whole, next, .. } = source.referrers(subject, kind, None).await?;
        if whole {
            self.first.clear();
        }
        self.rest.extend(next.map(|next| (kind, next)));
        Ok(Batch { entries, whole, truncated: false })
    }

    async fn all(&mut self, source: &EvidenceSource, subject: &Digest) -> Result<Batch, Error> {
        let (mut all, mut pages, mut bytes) = (Batch::default(), 0, 0);
        for (kind, mut at) in std::mem::take(&mut self.rest) {
            loop {
                if pages == MAX_PAGES || bytes > MAX_BYTES || all.entries.len() > MAX_ENTRIES {
                    all.truncated = true;
                    break;
                }
                let page = source.referrers(subject, kind, Some(&at)).await?;
                (pages, bytes) = (pages + 1, bytes + page.bytes);
                all.whole |= page.whole;
                all.entries.extend(page.entries);
                let Some(next) = page.next.filter(|next| *next != at) else { break };
                at = next;
            }
        }
        Ok(all)
    }
}
