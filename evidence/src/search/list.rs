//! The referrers of an image, listed as far as they are needed.

use std::collections::VecDeque;

use bundle_signer::referrer;
use oci::Digest;

use crate::source::{At, Entry, Page};
use crate::{Error, EvidenceSource};

/// How far a list is read.
const MOST_PAGES: usize = 256;
const MOST_ENTRIES: usize = 40_000;
const MOST_BYTES: usize = 32 << 20;

type ArtifactType = Option<&'static str>;

/// What is not listed yet.
#[derive(Default)]
pub(super) struct List {
    /// Artifact types whose first page is not read.
    first: VecDeque<ArtifactType>,
    /// Where the other pages begin.
    rest: Vec<(ArtifactType, At)>,
}

/// A stretch of the list.
#[derive(Default)]
pub(super) struct Stretch {
    pub(super) entries: Vec<Entry>,
    /// Whether those of all artifact types are listed.
    pub(super) whole: bool,
    /// Whether there are more than are read.
    pub(super) cut: bool,
}

impl List {
    /// Of what is listed as evidence.
    pub(super) fn of_evidence() -> Self {
        Self { first: referrer::ARTIFACT_TYPES.map(Some).into(), rest: Vec::new() }
    }

    /// Of everything.
    pub(super) fn of_all() -> Self {
        Self { first: VecDeque::from([None]), rest: Vec::new() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.first.is_empty() && self.rest.is_empty()
    }

    /// Whether what comes next may be long.
    pub(super) fn is_long(&self) -> bool {
        self.first.is_empty() && !self.rest.is_empty()
    }

    /// The first page of an artifact type: registries that order their lists have signatures there. When there is no
    /// other, all that is left, so that it can be put in an order that nobody chose.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub(super) async fn next(&mut self, place: &EvidenceSource, subject: &Digest) -> Result<Stretch, Error> {
        let Some(kind) = self.first.pop_front() else { return self.all(place, subject).await };
        let Page { entries, whole, next, .. } = place.referrers(subject, kind, None).await?;
        if whole {
            self.first.clear();
        }
        self.rest.extend(next.map(|next| (kind, next)));
        Ok(Stretch { entries, whole, cut: false })
    }

    async fn all(&mut self, place: &EvidenceSource, subject: &Digest) -> Result<Stretch, Error> {
        let (mut all, mut pages, mut bytes) = (Stretch::default(), 0, 0);
        for (kind, mut at) in std::mem::take(&mut self.rest) {
            loop {
                if pages == MOST_PAGES || bytes > MOST_BYTES || all.entries.len() > MOST_ENTRIES {
                    all.cut = true;
                    break;
                }
                let page = place.referrers(subject, kind, Some(&at)).await?;
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
