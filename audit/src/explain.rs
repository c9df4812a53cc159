//! Everything that the log has about one digest: each decision, with the trust file that was in force and what it
//! rested on.
//!
//! An event is about a digest when it names it, or when it names something that carried it: a set, a lock or a
//! manifest that an event about the digest says it came in. Carriers of carriers count, contents of carriers do not.
//! The log does not say which layers an image has: whoever has the store tells ([`Beside`]).
//!
//! The log is read as often as there are carriers of carriers, and never held in memory. Of many events it lists
//! the first and the last, and how many it leaves out.
//!
//! - `find`: from what somebody typed to a digest; `pass`: what one reading of the log gives

mod find;
mod pass;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;

use self::pass::Policies;
use crate::{Error, Event, Reader, Result};

/// Names in an event's evidence for what carried its objects.
const CARRIERS: &[&str] = &["set", "lock", "index", "manifest", "bundle", "drive", "subject"];

/// Carriers that are followed; an artifact that came on more drives than this is told of the first ones.
const MAX_CARRIERS: usize = 1000;

/// Carriers of carriers that are followed: each level is a reading of the log.
const MAX_LEVELS: usize = 32;

/// How many events are listed from the beginning, and how many from the end.
const TOLD: usize = 500;

/// What the log tells of a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    /// The digest.
    pub digest: String,
    /// The name that was asked for, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the name meant at other times, in the log's order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Meaning>,
    /// How many older meanings it had.
    #[serde(skip_serializing_if = "is_default")]
    pub others_left_out: u64,
    /// The log's name.
    pub origin: String,
    /// How many leaves it has.
    pub size: u64,
    /// The root over them.
    pub root: String,
    /// Whether the log itself gave the key that its checkpoint was checked by.
    pub own_key: bool,
    /// What carried it, and how that is known.
    pub carriers: Vec<Carrier>,
    /// Whether there are more carriers than are followed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub carriers_left_out: bool,
    /// What took place, in order: of many events the first and the last.
    pub events: Vec<Chapter>,
    /// How many events are left out in the middle.
    #[serde(skip_serializing_if = "is_default")]
    pub events_left_out: u64,
}

/// What a name meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Meaning {
    /// The digest.
    pub digest: String,
    /// The index of the last event that says so.
    pub index: u64,
}

/// Something that a digest came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Carrier {
    /// Its digest.
    pub digest: String,
    /// What it is: the word in the evidence, or the object's.
    pub kind: String,
    /// What it carried: the digest itself, or another carrier.
    pub of: String,
    /// The index of the event that says so; none if a manifest does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
}

/// What is known beside the log, by a store.
pub trait Beside {
    /// What has this digest in it, each with a word for what it is and its digest: the images that have a layer, the indexes
    /// that have an image.
    ///
    /// # Errors
    /// When it cannot be read.
    fn holders(&self, digest: &str) -> Answer<Vec<(String, String)>>;

    /// Digests that begin like this.
    ///
    /// # Errors
    /// When it cannot be read.
    fn beginning(&self, start: &str) -> Answer<Vec<String>>;

    /// What a name means now.
    ///
    /// # Errors
    /// When it cannot be read.
    fn named(&self, name: &str) -> Answer<Option<String>>;
}

/// What somebody beside the log says.
pub type Answer<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Nobody: only the log is there.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Beside for Nobody {
    fn holders(&self, _digest: &str) -> Answer<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn beginning(&self, _start: &str) -> Answer<Vec<String>> {
        Ok(Vec::new())
    }

    fn named(&self, _name: &str) -> Answer<Option<String>> {
        Ok(None)
    }
}

/// One event about a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chapter {
    /// Its index.
    pub index: u64,
    /// The carrier that it is about; none if it is about the digest itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// The trust file in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<InForce>,
    /// What it says.
    pub event: Event,
    /// That it is in the log (C2SP tlog-proof), if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

/// A trust file, by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InForce {
    /// Its digest, as the log has it.
    pub policy: String,
    /// The index of the event that says so: this one, or the last one before it that tells of a new trust file.
    pub index: u64,
}

/// Whether each event comes with its proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proofs {
    /// It does.
    With,
    /// Its index has to do.
    Without,
}

/// Tells what the log has about a digest: `sha256:...`, its digits alone, the beginning of one, or what a name in the
/// log or beside it means.
///
/// # Errors
/// [`Error::Digest`] when it is neither, [`Error::Ambiguous`] when several digests begin so, [`Error::Unknown`] when no
/// event is about it, or what is wrong with the log or beside it.
pub fn explain(reader: &Reader, what: &str, proofs: Proofs, beside: &dyn Beside) -> Result<Story> {
    let found = find::find(reader, what, beside)?;
    let digest = found.digest;
    let (carriers, carriers_left_out) = carriers(reader, &digest, beside)?;
    let (events, events_left_out) = chapters(reader, &digest, &carriers, proofs)?;
    if events.is_empty() {
        return Err(Error::Unknown { digest, size: reader.size() });
    }
    Ok(Story {
        name: found.name,
        others: found.others,
        others_left_out: found.others_left_out,
        origin: reader.checkpoint().origin.clone(),
        size: reader.size(),
        root: reader.checkpoint().root.to_string(),
        own_key: reader.belief().is_own(),
        carriers,
        carriers_left_out,
        events,
        events_left_out,
        digest,
    })
}

/// What carried a digest, level by level, and whether some are left out.
fn carriers(reader: &Reader, digest: &str, beside: &dyn Beside) -> Result<(Vec<Carrier>, bool)> {
    let mut carriers: Vec<Carrier> = Vec::new();
    let mut known = BTreeSet::from([digest.to_owned()]);
    let mut level = vec![digest.to_owned()];
    for _ in 0..MAX_LEVELS {
        if level.is_empty() {
            return Ok((carriers, false));
        }
        let logged = pass::carriers(reader, &level.iter().cloned().collect(), MAX_CARRIERS + 1)?;
        let mut next = Vec::new();
        for of in level {
            let held = beside.holders(&of).map_err(Error::Beside)?.into_iter();
            let held = held.map(|(kind, digest)| Carrier { digest, kind, of: of.clone(), index: None });
            for carrier in logged.iter().filter(|carrier| carrier.of == of).cloned().chain(held) {
                if !known.contains(&carrier.digest) {
                    if carriers.len() >= MAX_CARRIERS {
                        return Ok((carriers, true));
                    }
                    known.insert(carrier.digest.clone());
                    next.push(carrier.digest.clone());
                    carriers.push(carrier);
                }
            }
        }
        level = next;
    }
    Ok((carriers, !level.is_empty()))
}

/// The events about a digest and its carriers, the first and the last, and how many are left out between.
fn chapters(
    reader: &Reader,
    digest: &str,
    carriers: &[Carrier],
    proofs: Proofs,
) -> Result<(Vec<Chapter>, u64)> {
    // What comes first was found first, and is what an event is said to be about.
    let all = std::iter::once(digest).chain(carriers.iter().map(|carrier| carrier.digest.as_str()));
    let ranks: BTreeMap<&str, usize> = all.zip(0..).collect();
    let (mut first, mut last, mut left_out) = (Vec::new(), VecDeque::new(), 0);
    let mut policies = Policies::default();
    reader.all(&mut |index, event, _| {
        let policy = policies.take(index, &event);
        let about = pass::named(&event)
            .iter()
            .filter_map(|name| ranks.get_key_value(name.as_str()))
            .min_by_key(|(_, rank)| **rank)
            .map(|(name, _)| *name);
        let Some(about) = about else { return };
        let through = (about != digest).then(|| about.to_owned());
        let chapter = Chapter { index, through, policy, event, proof: None };
        if first.len() < TOLD {
            first.push(chapter);
            return;
        }
        last.push_back(chapter);
        if last.len() > TOLD {
            last.pop_front();
            left_out += 1;
        }
    })?;
    first.extend(last);
    if proofs == Proofs::With {
        for chapter in &mut first {
            chapter.proof = Some(reader.proof(chapter.index)?.to_string());
        }
    }
    Ok((first, left_out))
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
