//! The search for what is said about one image, in a place where anyone may have put things beside it.
//!
//! It is never all or nothing. What may be evidence is in four corners: under each of cosign's tags, among the referrers
//! that are listed as evidence, and among the others. The corners take turns, and each has bounds of its own, so that
//! nobody hides what is in one by filling another. Within a corner, what is likely to count is read first, and the small
//! before the large; what is broken, foreign or too much is passed over and told. How much one user can put beside an
//! image is for the registry to bound (`store::NamingLimits`). Nothing that was read is kept: a listener hears each thing
//! once.

mod corner;
mod list;

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use bundle_signer::{Limits, attached, referrer};
use futures::future::join_all;
use oci::{Descriptor, Digest, Manifest, Selector, Tag};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use self::corner::{Corner, Piece, SMALL, Source};
use self::list::{List, Stretch};
use super::shape::says_something;
use super::source::{Entry, is_trouble};
use super::{Candidate, Encoding, Error, EvidenceSource, Skipped, in_words};

/// Things that are asked for at once.
const AT_ONCE: usize = 16;
/// So many referrers are read in the order of the list, and so many after them in that of their sizes.
const FIRST: usize = 4;
const FEW: usize = 64;
/// Larger manifests are read after all others.
const LARGE_ENTRY: u64 = 64 << 10;
/// What is large is read by so many searches of this program at once: it may be as large as anyone likes to push.
static LARGE: Semaphore = Semaphore::const_new(2);
/// Things that are named as passed over; others are counted.
const MOST_TOLD: usize = 64;

/// How much is looked at for one image.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of payloads, envelopes and bundles, in each corner.
    pub bytes: u64,
    /// Manifests and blobs, in each corner.
    pub things: usize,
    /// Time in all.
    pub time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes: 512 << 20, things: 40_000, time: Duration::from_mins(1) }
    }
}

/// What a listener wants after it heard something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// To hear more.
    More,
    /// Nothing: it is settled.
    Enough,
}

/// What a search came to, beside what was heard.
#[derive(Debug, Default)]
pub struct Searched {
    /// What was passed over.
    pub skipped: Vec<Skipped>,
    /// Something could not be asked. Unless it is settled without it, nothing is decided: an outage is never "unsigned".
    pub trouble: Option<Error>,
}

/// What hears each thing that is found.
pub type Listener<'a> = dyn FnMut(&Candidate) -> Next + Send + 'a;

/// Looks for what is said about an image, under cosign's tags and as referrers.
pub async fn search(
    place: &EvidenceSource,
    image: &Digest,
    bounds: &Bounds,
    hear: &mut Listener<'_>,
) -> Searched {
    let mut search = Search {
        place,
        image,
        limits: Limits::default(),
        until: Instant::now() + bounds.time,
        hear,
        known: BTreeSet::new(),
        others: None,
        is_evidence_listed: false,
        found: Searched::default(),
        more: 0,
        ended: false,
    };
    let sources = [Source::Tag("sig"), Source::Tag("att"), Source::Evidence, Source::Others];
    let mut corners = sources.map(|source| Corner::new(source, bounds));
    while corners.iter().any(|corner| !corner.is_done()) && !search.ended {
        for corner in corners.iter_mut().filter(|corner| !corner.is_done()) {
            search.step(corner).await;
        }
    }
    search.finish()
}

struct Search<'a, 'b> {
    place: &'a EvidenceSource,
    image: &'a Digest,
    limits: Limits,
    until: Instant,
    hear: &'a mut Listener<'b>,
    /// Referrers that a corner has.
    known: BTreeSet<Digest>,
    /// The other referrers, where all are listed together.
    others: Option<Vec<Entry>>,
    /// Whether all referrers are listed that are listed as evidence.
    is_evidence_listed: bool,
    found: Searched,
    /// Things that were passed over and are not named.
    more: usize,
    ended: bool,
}

/// What a layer is, by the signature beside it.
type EncodingOf = fn(String) -> Encoding;

impl Search<'_, '_> {
    /// Lists some of a corner, and reads some of it.
    async fn step(&mut self, corner: &mut Corner) {
        if corner.wants_more() {
            match corner.source {
                Source::Tag(suffix) => self.tag(corner, suffix).await,
                Source::Evidence | Source::Others => self.referrers(corner).await,
            }
        }
        if corner.small.is_empty() && !corner.entries.is_empty() {
            self.manifests(corner).await;
        }
        let pieces = corner.next();
        if !pieces.is_empty() && !self.ended {
            self.blobs(corner, &pieces).await;
        }
    }

    /// The manifest under one of cosign's tags. All its layers are read, in the order of their sizes.
    async fn tag(&mut self, corner: &mut Corner, suffix: &str) {
        corner.is_listed = true;
        let Ok(tag) = Tag::of_attachment(self.image, suffix) else { return };
        let at = tag.to_string();
        match self.in_time(self.place.manifest(&Selector::Tag(tag))).await {
            None | Some(Ok(None)) => {}
            Some(Ok(Some(manifest))) => corner.put(self.layers(&at, &manifest)),
            Some(Err(error)) => self.failed(at, error, false),
        }
    }

    fn layers(&mut self, at: &str, manifest: &Manifest) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let readers: [(_, EncodingOf); 2] = [
            (attached::signatures(manifest, &self.limits), Encoding::SimpleSigning),
            (attached::attestations(manifest, &self.limits), |_| Encoding::Envelope),
        ];
        for (layers, kind) in readers {
            match layers {
                Ok(layers) => {
                    pieces.extend(layers.found.into_iter().map(|layer| Piece {
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
        let others = manifest.blobs().count().saturating_sub(1 + pieces.len());
        if others > 0 {
            self.skip(at.to_owned(), &format!("{others} layers are no signatures, or too large"));
        }
        pieces.sort_by_key(|piece| piece.blob.size);
        pieces
    }

    async fn referrers(&mut self, corner: &mut Corner) {
        if corner.is_left && self.others.is_none() {
            corner.is_listed = true;
            return;
        }
        let mut entries = match &mut self.others {
            Some(others) if corner.source == Source::Others => {
                corner.is_listed = self.is_evidence_listed;
                std::mem::take(others)
            }
            _ => self.listed(corner).await,
        };
        if corner.is_left {
            return;
        }
        entries.retain(|entry| self.known.insert(entry.digest.clone()));
        // The first ones in the order of whoever lists them: airlock's registry puts there what no user pushed.
        let rest = entries.get_mut(FIRST..).unwrap_or_default();
        if rest.len() <= FEW {
            rest.sort_by_key(|entry| (!entry.is_statement, entry.size));
        } else {
            // Whoever put many there did not choose which of them come first, nor do they when it is asked again.
            let order = RandomState::new();
            rest.sort_by_cached_key(|entry| {
                (!entry.is_statement, entry.size > LARGE_ENTRY, order.hash_one(&entry.digest))
            });
        }
        corner.entries = entries.into();
    }

    /// Some more of the list that a corner's things are in.
    async fn listed(&mut self, corner: &mut Corner) -> Vec<Entry> {
        let (place, image, is_long) = (self.place, self.image, corner.list.is_long());
        let _turn = self.turn(is_long).await;
        let list = &mut corner.list;
        let stretch = match self.in_time(list.next(place, image)).await {
            None => Stretch::default(),
            Some(Ok(stretch)) => stretch,
            Some(Err(error)) => {
                *list = List::default();
                self.failed(format!("the referrers of {image}"), error, false);
                Stretch::default()
            }
        };
        if stretch.cut {
            self.skip("the list of referrers".to_owned(), "it is longer than is read");
        }
        let is_evidence = corner.source == Source::Evidence;
        corner.is_listed = corner.list.is_done();
        self.is_evidence_listed |= is_evidence && corner.is_listed;
        if !(is_evidence && stretch.whole) {
            return stretch.entries;
        }
        let (likely, others): (Vec<_>, Vec<_>) =
            stretch.entries.into_iter().partition(|entry| entry.is_likely);
        self.others.get_or_insert_default().extend(others);
        likely
    }

    /// Reads the manifests of some referrers.
    async fn manifests(&mut self, corner: &mut Corner) {
        let listed = corner.next_entries();
        let Some(things) = corner.things.checked_sub(listed.len()) else {
            return self.leave(corner, "there are more things beside the image than are looked at");
        };
        corner.things = things;
        let place = self.place;
        let asked = join_all(listed.iter().map(|entry| {
            let selector = Selector::Digest(entry.digest.clone());
            async move { place.manifest(&selector).await }
        }));
        let _turn = self.turn(listed.iter().any(|entry| entry.size > SMALL)).await;
        let Some(asked) = self.in_time(asked).await else { return };
        for (entry, asked) in listed.iter().zip(asked) {
            let at = entry.digest.to_string();
            match asked {
                Ok(None) => self.skip(at, "it is listed, but not there"),
                Err(error) => self.failed(at, error, true),
                Ok(Some(manifest)) => corner.put(self.pieces(&at, &manifest)),
            }
        }
    }

    /// What a referrer holds: one bundle, or layers as under cosign's tags.
    fn pieces(&mut self, at: &str, manifest: &Manifest) -> Vec<Piece> {
        match referrer::read(manifest, self.image, &self.limits) {
            Ok(referrer::Holds::Bundle(layer)) => {
                let blob = Descriptor::new(layer.media_type.clone(), layer.digest.clone(), layer.size);
                vec![Piece { at: at.to_owned(), blob, kind: Encoding::Bundle }]
            }
            Ok(referrer::Holds::Layers) => self.layers(at, manifest),
            Ok(referrer::Holds::Other) => Vec::new(),
            Err(error) => {
                self.skip(at.to_owned(), &error.to_string());
                Vec::new()
            }
        }
    }

    /// Reads some blobs at once, each once.
    async fn blobs(&mut self, corner: &mut Corner, pieces: &[Piece]) {
        let mut blobs: Vec<&Descriptor> = Vec::new();
        for piece in pieces {
            let same =
                |known: &&Descriptor| known.digest == piece.blob.digest && known.size == piece.blob.size;
            if !blobs.iter().any(same) {
                blobs.push(&piece.blob);
            }
        }
        let size = blobs.iter().map(|blob| blob.size).sum();
        let (Some(bytes), Some(things)) =
            (corner.bytes.checked_sub(size), corner.things.checked_sub(blobs.len()))
        else {
            return self.leave(corner, "there is more beside the image than is read");
        };
        (corner.bytes, corner.things) = (bytes, things);
        let place = self.place;
        let asked = join_all(blobs.iter().map(|blob| place.blob(blob)));
        let _turn = self.turn(blobs.iter().any(|blob| blob.size > SMALL)).await;
        let Some(asked) = self.in_time(asked).await else { return };
        let mut asked: Vec<_> =
            blobs.into_iter().zip(asked).map(|(blob, asked)| (blob, Some(asked))).collect();
        for piece in pieces {
            let found = asked
                .iter_mut()
                .find(|(blob, _)| blob.digest == piece.blob.digest && blob.size == piece.blob.size);
            let Some((_, answer)) = found else { continue };
            match answer {
                Some(Ok(bytes)) if !says_something(bytes) => {
                    self.skip(piece.at.clone(), "its content is not text that says something");
                }
                Some(Ok(bytes)) => {
                    let (blob, kind) = (piece.blob.clone(), piece.kind.clone());
                    let found = Candidate { at: piece.at.clone(), layer: blob, bytes: bytes.clone(), kind };
                    if Instant::now() >= self.until {
                        return self.end("the time for looking is over");
                    }
                    if (self.hear)(&found) == Next::Enough {
                        self.ended = true;
                        return;
                    }
                }
                // Told once.
                other => {
                    if let Some(Err(error)) = other.take() {
                        self.failed(piece.at.clone(), error, true);
                    }
                }
            }
        }
    }

    /// Waits as long as there is time.
    async fn in_time<T>(&mut self, asked: impl Future<Output = T>) -> Option<T> {
        if self.ended {
            return None;
        }
        let answer = timeout_at(self.until, asked).await.ok();
        if answer.is_none() {
            self.end("the time for looking is over");
        }
        answer
    }

    /// Waits for a turn at what is large.
    async fn turn(&mut self, is_large: bool) -> Option<SemaphorePermit<'static>> {
        if is_large { self.in_time(LARGE.acquire()).await?.ok() } else { None }
    }

    fn end(&mut self, why: &str) {
        self.skip("the rest".to_owned(), why);
        self.ended = true;
    }

    /// Leaves what is left of a corner.
    fn leave(&mut self, corner: &mut Corner, why: &str) {
        let rest = match corner.source {
            Source::Tag(suffix) => format!("the rest under the tag for `{suffix}`"),
            Source::Evidence | Source::Others => "the rest of the referrers".to_owned(),
        };
        self.skip(rest, why);
        corner.leave();
    }

    /// What one thing's failure means. What was only `listed` is anyone's: that it is not given out says nothing of the
    /// place as a whole.
    fn failed(&mut self, at: String, error: Error, listed: bool) {
        if is_trouble(&error, listed) {
            self.found.trouble.get_or_insert(error);
        } else {
            self.skip(at, &in_words(&error));
        }
    }

    fn skip(&mut self, at: String, why: &str) {
        if self.found.skipped.len() < MOST_TOLD {
            self.found.skipped.push(Skipped { at, why: why.to_owned() });
        } else {
            self.more += 1;
        }
    }

    fn finish(mut self) -> Searched {
        if self.more > 0 {
            let why = format!("{} more things were passed over", self.more);
            self.found.skipped.push(Skipped { at: self.image.to_string(), why });
        }
        self.found
    }
}
