//! The history of a digest: each event about it, with its evidence and the trust file in force.
//!
//! An event is about a digest if it names the digest or one of its carriers: a set, a lock or a manifest that contains
//! the digest according to an event about it. Carriers of carriers are followed, other content of carriers is not.
//! The log does not record which layers an image has: a store provides that ([`DigestLookup`]).
//!
//! The log is read once for each level of carriers, and never held in memory. Of many events, the first and the last are
//! listed, with the number of events left out.
//!
//! - `find`: resolves an argument to a digest; `pass`: the results of one pass over the log

mod find;
mod pass;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;

use self::pass::Policies;
use crate::{Error, Event, Reader, Result};

/// The names in an event's evidence for the carriers of its objects.
const CARRIERS: &[&str] = &["set", "lock", "index", "manifest", "bundle", "drive", "subject"];

/// The maximum number of carriers that are followed. For an artifact on more drives, only the first ones are listed.
const MAX_CARRIERS: usize = 1000;

/// The maximum number of levels of carriers that are followed: each level is a pass over the log.
const MAX_LEVELS: usize = 32;

/// The number of events that are listed from the beginning, and from the end.
const LISTED: usize = 500;

/// The history of a digest in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DigestHistory {
    /// The digest.
    pub digest: String,
    /// The name that was given, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The other digests that the name referred to, in the order of the log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<NamedDigest>,
    /// The number of older digests that are left out.
    #[serde(skip_serializing_if = "is_default")]
    pub others_left_out: u64,
    /// The log's name.
    pub origin: String,
    /// The number of its leaves.
    pub size: u64,
    /// The root over them.
    pub root: String,
    /// Whether the checkpoint was verified with the log's own key.
    pub own_key: bool,
    /// The carriers of the digest, each with its source.
    pub carriers: Vec<Carrier>,
    /// Whether some carriers were not followed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub carriers_left_out: bool,
    /// The events, in order: of many events, the first and the last.
    pub events: Vec<ExplainedEvent>,
    /// The number of events left out in the middle.
    #[serde(skip_serializing_if = "is_default")]
    pub events_left_out: u64,
}

/// A digest that a name referred to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NamedDigest {
    /// The digest.
    pub digest: String,
    /// The index of the last event with this name and digest.
    pub index: u64,
}

/// An object that contains a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Carrier {
    /// Its digest.
    pub digest: String,
    /// Its kind: the name in the evidence, or the kind of the object.
    pub kind: String,
    /// The digest that it contains: the given one, or that of another carrier.
    pub of: String,
    /// The index of the event that records it; `None` if a manifest in the store shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
}

/// Lookups in the store of the log.
pub trait DigestLookup {
    /// The objects that contain a digest, each with its kind and its digest: the images with a layer, the indexes with an
    /// image.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn containing(&self, digest: &str) -> LookupResult<Vec<(String, String)>>;

    /// The digests with a prefix.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn with_prefix(&self, prefix: &str) -> LookupResult<Vec<String>>;

    /// The digest that a name refers to now.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn resolve(&self, name: &str) -> LookupResult<Option<String>>;
}

/// The result of a lookup.
pub type LookupResult<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A lookup without a store, which finds nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoStore;

impl DigestLookup for NoStore {
    fn containing(&self, _digest: &str) -> LookupResult<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn with_prefix(&self, _prefix: &str) -> LookupResult<Vec<String>> {
        Ok(Vec::new())
    }

    fn resolve(&self, _name: &str) -> LookupResult<Option<String>> {
        Ok(None)
    }
}

/// One event about a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedEvent {
    /// Its index.
    pub index: u64,
    /// The carrier that the event is about; `None` if it is about the digest itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// The trust file in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<InForce>,
    /// The event.
    pub event: Event,
    /// The proof that the event is in the log (C2SP tlog-proof), if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

/// A trust file, by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InForce {
    /// Its digest, as it is logged.
    pub policy: String,
    /// The index of the event that names it: the event itself, or the last event before it about a new trust file.
    pub index: u64,
}

/// Whether to add the proof of each event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proofs {
    /// With proofs.
    With,
    /// With indexes only.
    Without,
}

/// Returns the history of a digest, which is given as `sha256:...`, as its digits, as a prefix, or as a name in the log or
/// the store.
///
/// # Errors
/// [`Error::Digest`] when the argument is neither, [`Error::Ambiguous`] when several digests have the prefix,
/// [`Error::Unknown`] when no event is about the digest, or an error of the log or the lookup.
pub fn explain(
    reader: &Reader,
    argument: &str,
    proofs: Proofs,
    lookup: &dyn DigestLookup,
) -> Result<DigestHistory> {
    let resolved = find::resolve(reader, argument, lookup)?;
    let digest = resolved.digest;
    let (carriers, carriers_left_out) = carriers(reader, &digest, lookup)?;
    let (events, events_left_out) = events(reader, &digest, &carriers, proofs)?;
    if events.is_empty() {
        return Err(Error::Unknown { digest, size: reader.size() });
    }
    Ok(DigestHistory {
        name: resolved.name,
        others: resolved.others,
        others_left_out: resolved.others_left_out,
        origin: reader.checkpoint().origin.clone(),
        size: reader.size(),
        root: reader.checkpoint().root.to_string(),
        own_key: reader.trust().is_own(),
        carriers,
        carriers_left_out,
        events,
        events_left_out,
        digest,
    })
}

/// The carriers of a digest, level by level, and whether some are left out.
fn carriers(reader: &Reader, digest: &str, lookup: &dyn DigestLookup) -> Result<(Vec<Carrier>, bool)> {
    let mut carriers: Vec<Carrier> = Vec::new();
    let mut visited = BTreeSet::from([digest.to_owned()]);
    let mut level = vec![digest.to_owned()];
    for _ in 0..MAX_LEVELS {
        if level.is_empty() {
            return Ok((carriers, false));
        }
        let logged = pass::carriers(reader, &level.iter().cloned().collect(), MAX_CARRIERS + 1)?;
        let mut next = Vec::new();
        for of in level {
            let stored = lookup.containing(&of).map_err(Error::Lookup)?.into_iter();
            let stored = stored.map(|(kind, digest)| Carrier { digest, kind, of: of.clone(), index: None });
            for carrier in logged.iter().filter(|carrier| carrier.of == of).cloned().chain(stored) {
                if !visited.contains(&carrier.digest) {
                    if carriers.len() >= MAX_CARRIERS {
                        return Ok((carriers, true));
                    }
                    visited.insert(carrier.digest.clone());
                    next.push(carrier.digest.clone());
                    carriers.push(carrier);
                }
            }
        }
        level = next;
    }
    Ok((carriers, !level.is_empty()))
}

/// The first and the last events about a digest and its carriers, and the number of events left out between them.
fn events(
    reader: &Reader,
    digest: &str,
    carriers: &[Carrier],
    proofs: Proofs,
) -> Result<(Vec<ExplainedEvent>, u64)> {
    // An event is attributed to the first digest that it names, in this order.
    let all = std::iter::once(digest).chain(carriers.iter().map(|carrier| carrier.digest.as_str()));
    let ranks: BTreeMap<&str, usize> = all.zip(0..).collect();
    let (mut first, mut last, mut left_out) = (Vec::new(), VecDeque::new(), 0);
    let mut policies = Policies::default();
    reader.all(&mut |index, event, _| {
        let policy = policies.take(index, &event);
        let about = pass::digests_of(&event)
            .iter()
            .filter_map(|digest| ranks.get_key_value(digest.as_str()))
            .min_by_key(|(_, rank)| **rank)
            .map(|(digest, _)| *digest);
        let Some(about) = about else { return };
        let through = (about != digest).then(|| about.to_owned());
        let explained = ExplainedEvent { index, through, policy, event, proof: None };
        if first.len() < LISTED {
            first.push(explained);
            return;
        }
        last.push_back(explained);
        if last.len() > LISTED {
            last.pop_front();
            left_out += 1;
        }
    })?;
    first.extend(last);
    if proofs == Proofs::With {
        for event in &mut first {
            event.proof = Some(reader.proof(event.index)?.to_string());
        }
    }
    Ok((first, left_out))
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
