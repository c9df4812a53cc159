//! Everything that the log has about one digest: each decision, with the trust file that was in force and what it
//! rested on.
//!
//! An event is about a digest when it names it, or when it names something that carried it: a set, a lock or a
//! manifest that an event about the digest says it came in. Carriers of carriers count, contents of carriers do not.
//! The log does not say which layers an image has: whoever has the store tells ([`Beside`]).
//!
//! - `find`: from what somebody typed to a digest

mod find;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;

use self::find::parse;
use crate::report::check::{POLICY, names};
use crate::{Ending, Error, Event, Kind, Reader, Result};

/// Names in an event's evidence for what carried its objects.
const CARRIERS: &[&str] = &["set", "lock", "index", "manifest", "bundle", "drive", "subject"];

/// Carriers that are followed; an artifact that came on more drives than this is told of the first ones.
const MAX_CARRIERS: usize = 1000;

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
    /// What took place, in order.
    pub events: Vec<Chapter>,
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
    let events = Mentions::read(reader)?;
    let found = events.find(what, beside, reader.size())?;
    let digest = found.digest;
    let (carriers, about) = events.carriers(&digest, beside)?;
    if about.is_empty() {
        return Err(Error::Unknown { digest, size: reader.size() });
    }
    let mut story = Story {
        name: found.name,
        others: found.others,
        origin: reader.checkpoint().origin.clone(),
        size: reader.size(),
        root: reader.checkpoint().root.to_string(),
        own_key: reader.belief().is_own(),
        carriers,
        events: Vec::new(),
        digest,
    };
    for (index, through) in about {
        let proof = match proofs {
            Proofs::With => Some(reader.proof(index)?.to_string()),
            Proofs::Without => None,
        };
        let event = reader.event(index)?;
        let policy = events.policy(index, &event);
        story.events.push(Chapter { index, through, policy, event, proof });
    }
    Ok(story)
}

/// What carried a digest, and the leaves about it and them, each with the carrier that it is about.
type Carried = (Vec<Carrier>, BTreeMap<u64, Option<String>>);

/// Which leaf names which digest.
#[derive(Default)]
struct Mentions {
    /// Leaves that name a digest, as their object or in their evidence.
    leaves: BTreeMap<String, Vec<u64>>,
    /// What each leaf says carried its objects.
    carriers: BTreeMap<u64, Vec<(String, String)>>,
    /// What a leaf with carriers is about.
    objects: BTreeMap<u64, BTreeSet<String>>,
    /// The leaves that tell of a new trust file.
    policies: BTreeMap<u64, String>,
    /// What names meant: each meaning with the last leaf that says so.
    names: BTreeMap<String, Vec<Meaning>>,
}

impl Mentions {
    fn read(reader: &Reader) -> Result<Self> {
        let mut mentions = Self::default();
        reader.all(&mut |leaf, event, _| mentions.take(leaf, &event))?;
        Ok(mentions)
    }

    fn take(&mut self, leaf: u64, event: &Event) {
        let named = event.evidence.values().filter_map(|value| parse(value));
        let all: BTreeSet<String> = event.object.digests.iter().cloned().chain(named).collect();
        for digest in all {
            self.leaves.entry(digest).or_default().push(leaf);
        }
        let carriers: Vec<(String, String)> = CARRIERS
            .iter()
            .filter_map(|kind| {
                let digest = parse(event.evidence.get(*kind)?)?;
                Some(((*kind).to_owned(), digest))
            })
            .collect();
        if !carriers.is_empty() {
            self.carriers.insert(leaf, carriers);
            self.objects.insert(leaf, event.object.digests.iter().cloned().collect());
        }
        self.take_name(leaf, event);
        let sets = matches!(event.event, Kind::PolicyFirstUse | Kind::PolicyChange);
        if sets && event.outcome.result == Ending::Success {
            let named = POLICY.iter().find_map(|name| event.evidence.get(*name));
            if let Some(policy) = event.object.digests.first().or(named) {
                self.policies.insert(leaf, policy.clone());
            }
        }
    }

    fn carriers(&self, digest: &str, beside: &dyn Beside) -> Result<Carried> {
        let (mut carriers, mut about) = (Vec::new(), BTreeMap::new());
        let mut known = BTreeSet::from([digest.to_owned()]);
        let mut open = VecDeque::from([digest.to_owned()]);
        while let Some(of) = open.pop_front() {
            let through = (of != digest).then(|| of.clone());
            let mut found = Vec::new();
            for leaf in self.leaves.get(&of).into_iter().flatten() {
                about.entry(*leaf).or_insert_with(|| through.clone());
                // Only what an event did something with came in its carriers; what it rests on did not.
                if self.objects.get(leaf).is_some_and(|objects| objects.contains(&of)) {
                    let carriers = self.carriers.get(leaf).into_iter().flatten();
                    found
                        .extend(carriers.map(|(kind, carrier)| (kind.clone(), carrier.clone(), Some(*leaf))));
                }
            }
            let holders = beside.holders(&of).map_err(Error::Beside)?;
            found.extend(holders.into_iter().map(|(kind, holder)| (kind, holder, None)));
            for (kind, digest, index) in found {
                if carriers.len() < MAX_CARRIERS && known.insert(digest.clone()) {
                    open.push_back(digest.clone());
                    carriers.push(Carrier { digest, kind, of: of.clone(), index });
                }
            }
        }
        Ok((carriers, about))
    }

    fn policy(&self, leaf: u64, event: &Event) -> Option<InForce> {
        if names(event, POLICY) {
            let policy = POLICY.iter().find_map(|name| event.evidence.get(*name))?;
            return Some(InForce { policy: policy.clone(), index: leaf });
        }
        let (leaf, policy) = self.policies.range(..=leaf).next_back()?;
        Some(InForce { policy: policy.clone(), index: *leaf })
    }
}
