//! The search for what is said about one image, in a place where anyone may have put things beside it.
//!
//! It is never all or nothing. Bytes, things and time are bounded; what is likely to count is read first, and the small
//! before the large; what is broken, foreign or too much is passed over and told. So whoever may push referrers makes a
//! search longer, and hides nothing. Nothing that was read is kept: a listener hears each thing once.

use std::collections::BTreeSet;
use std::time::Duration;

use bundle_signer::{Limits, attached, referrer};
use futures::future::join_all;
use oci::{Descriptor, Digest, Manifest, Selector, Tag};
use tokio::time::{Instant, timeout_at};

use super::place::is_likely;
use super::shape::says_something;
use super::{Error, Found, Kind, Place, Skipped, in_words};

/// Things that are asked for at once.
const AT_ONCE: usize = 16;
/// Larger things are asked for one by one, after all others.
const SMALL: u64 = 256 << 10;
/// Things that are named as passed over; others are counted.
const MOST_TOLD: usize = 64;

/// How much is looked at for one image.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of payloads, envelopes and bundles.
    pub bytes: u64,
    /// Manifests and blobs.
    pub things: usize,
    /// Time.
    pub time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes: 512 << 20, things: 20_000, time: Duration::from_mins(1) }
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
pub type Listener<'a> = dyn FnMut(&Found) -> Next + Send + 'a;

/// Looks for what is said about an image, under cosign's tags and as referrers.
pub async fn search(place: &Place, image: &Digest, bounds: &Bounds, hear: &mut Listener<'_>) -> Searched {
    let mut search = Search {
        place,
        image,
        limits: Limits::default(),
        until: Instant::now() + bounds.time,
        bytes: bounds.bytes,
        things: bounds.things,
        hear,
        large: Vec::new(),
        found: Searched::default(),
        more: 0,
        ended: false,
    };
    search.tags().await;
    search.referrers().await;
    search.large().await;
    search.finish()
}

/// Something that is to be read.
#[derive(Clone)]
struct Piece {
    at: String,
    blob: Descriptor,
    kind: Kind,
}

struct Search<'a, 'b> {
    place: &'a Place,
    image: &'a Digest,
    limits: Limits,
    until: Instant,
    bytes: u64,
    things: usize,
    hear: &'a mut Listener<'b>,
    large: Vec<Piece>,
    found: Searched,
    /// Things that were passed over and are not named.
    more: usize,
    ended: bool,
}

/// What a layer is, by the signature beside it.
type KindOf = fn(String) -> Kind;

impl Search<'_, '_> {
    /// The manifests under cosign's tags. All their layers are read, in the order of their sizes.
    async fn tags(&mut self) {
        for suffix in ["sig", "att"] {
            let Ok(tag) = Tag::of_attachment(self.image, suffix) else { continue };
            let at = tag.to_string();
            let Some(asked) = self.in_time(self.place.manifest(&Selector::Tag(tag))).await else { return };
            match asked {
                Ok(None) => {}
                Ok(Some(manifest)) => {
                    let pieces = self.layers(&at, &manifest);
                    self.read(pieces).await;
                }
                Err(error) => self.failed(at, error, false),
            }
        }
    }

    fn layers(&mut self, at: &str, manifest: &Manifest) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let readers: [(_, KindOf); 2] = [
            (attached::signatures(manifest, &self.limits), Kind::SimpleSigning),
            (attached::attestations(manifest, &self.limits), |_| Kind::Envelope),
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

    async fn referrers(&mut self) {
        let mut known = BTreeSet::new();
        for likely in [true, false] {
            if self.ended {
                return;
            }
            let Some(asked) = self.in_time(self.place.listed(self.image, likely)).await else { return };
            let listed = match asked {
                Ok(listed) => listed,
                Err(error) => {
                    self.failed(format!("the referrers of {}", self.image), error, false);
                    continue;
                }
            };
            if listed.cut {
                self.skip("the list of referrers".to_owned(), "it is longer than is read");
            }
            let mut entries: Vec<_> =
                listed.entries.into_iter().filter(|entry| known.insert(entry.digest.clone())).collect();
            entries.sort_by_key(|entry| (!is_likely(entry), entry.size));
            for some in entries.chunks(AT_ONCE) {
                if self.ended {
                    return;
                }
                self.some(some).await;
            }
            if listed.whole {
                return;
            }
        }
    }

    /// Reads some referrers, and what they hold.
    async fn some(&mut self, listed: &[Descriptor]) {
        let Some(taken) = self.things.checked_sub(listed.len()) else {
            return self.end("there are more things beside the image than are looked at");
        };
        self.things = taken;
        let place = self.place;
        let asked = listed.iter().map(|entry| {
            let selector = Selector::Digest(entry.digest.clone());
            async move { place.manifest(&selector).await }
        });
        let Some(asked) = self.in_time(join_all(asked)).await else { return };
        let mut pieces = Vec::new();
        for (entry, asked) in listed.iter().zip(asked) {
            let at = entry.digest.to_string();
            match asked {
                Ok(None) => self.skip(at, "it is listed, but not there"),
                Err(error) => self.failed(at, error, true),
                Ok(Some(manifest)) => pieces.extend(self.pieces(&at, &manifest)),
            }
        }
        self.read(pieces).await;
    }

    /// What a referrer holds: one bundle, or layers as under cosign's tags.
    fn pieces(&mut self, at: &str, manifest: &Manifest) -> Vec<Piece> {
        match referrer::read(manifest, self.image, &self.limits) {
            Ok(referrer::Holds::Bundle(layer)) => {
                let blob = Descriptor::new(layer.media_type.clone(), layer.digest.clone(), layer.size);
                vec![Piece { at: at.to_owned(), blob, kind: Kind::Bundle }]
            }
            Ok(referrer::Holds::Layers) => self.layers(at, manifest),
            Ok(referrer::Holds::Other) => Vec::new(),
            Err(error) => {
                self.skip(at.to_owned(), &error.to_string());
                Vec::new()
            }
        }
    }

    async fn read(&mut self, pieces: Vec<Piece>) {
        let (small, large): (Vec<_>, Vec<_>) = pieces.into_iter().partition(|piece| piece.blob.size <= SMALL);
        self.large.extend(large);
        let mut small = &small[..];
        while !small.is_empty() && !self.ended {
            // Thousands of signatures may be over one payload.
            let mut digests = BTreeSet::new();
            let count = small.iter().take_while(|piece| {
                digests.insert(&piece.blob.digest);
                digests.len() <= AT_ONCE
            });
            let (some, rest) = small.split_at(count.count());
            self.blobs(some).await;
            small = rest;
        }
    }

    /// Reads some blobs at once, each once.
    async fn blobs(&mut self, pieces: &[Piece]) {
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
            (self.bytes.checked_sub(size), self.things.checked_sub(blobs.len()))
        else {
            return self.end("there is more beside the image than is read");
        };
        (self.bytes, self.things) = (bytes, things);
        let place = self.place;
        let asked = join_all(blobs.iter().map(|blob| place.blob(blob)));
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
                    let found = Found { at: piece.at.clone(), layer: blob, bytes: bytes.clone(), kind };
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

    async fn large(&mut self) {
        let mut large = std::mem::take(&mut self.large);
        large.sort_by_key(|piece| piece.blob.size);
        for piece in large {
            if self.ended {
                return;
            }
            self.blobs(&[piece]).await;
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

    fn end(&mut self, why: &str) {
        self.skip("the rest".to_owned(), why);
        self.ended = true;
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

/// Whether a failure is the place's, and not that of a thing in it.
fn is_trouble(error: &Error, listed: bool) -> bool {
    use registry::client::{Class, Error as E};
    match error {
        Error::Client(E::Refused { status, .. }) => match status.as_u16() {
            401 | 403 => !listed,
            408 | 429 => true,
            other => other >= 500,
        },
        Error::Client(E::Protocol { .. }) => !listed,
        Error::Client(error) if matches!(error.class(), Class::Content | Class::Missing) => false,
        Error::Store(store::Error::Invalid(_)) => false,
        Error::Client(_) | Error::Store(_) | Error::Read { .. } => true,
        _ => false,
    }
}
