//! The decision: what proven signatures come to, by the rules of the trust file. Pure: no clock, no files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use oci::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::role::{Deed, What};
use super::{Holder, TrustFile};
use crate::{Attested, Format, ImageName, Signer, Verified};

/// Where a decision is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Gate {
    /// Before anything from upstream is named.
    Mirror,
    /// Before a drive is written.
    Pack,
    /// Before a drive's content is taken.
    Import,
    /// Before an image is put into a registry.
    Push,
    /// Before an image is used.
    Pull,
}

impl Gate {
    /// All, in the order of the data flow.
    pub const ALL: [Self; 5] = [Self::Mirror, Self::Pack, Self::Import, Self::Push, Self::Pull];
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mirror => "mirror",
            Self::Pack => "pack",
            Self::Import => "import",
            Self::Push => "push",
            Self::Pull => "pull",
        })
    }
}

/// What a refusal at a gate does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// It stops.
    #[default]
    Enforce,
    /// It is told.
    Warn,
}

/// Proven signatures about one thing. They come from [`Verified`] values alone.
#[derive(Clone, Debug)]
pub struct Claims {
    what: What,
    image: Option<(Digest, ImageName)>,
    newest_policy: u64,
    words: Vec<Word>,
}

#[derive(Clone, Debug)]
struct Word {
    signer: Signer,
    /// The certificate's subject and issuer, where one signed.
    person: Option<(String, String)>,
    what: What,
    format: Option<Format>,
    sequence: Option<u64>,
    /// Whether it is about the thing.
    fits: bool,
}

impl Claims {
    /// About an image under a name: is this said of it?
    #[must_use]
    pub fn image(digest: &Digest, name: &ImageName, predicate_type: &str) -> Self {
        let what = What::Statement(predicate_type.to_owned());
        Self { what, image: Some((digest.clone(), name.clone())), newest_policy: 0, words: Vec::new() }
    }

    /// About a drive, by its manifest's signature.
    #[must_use]
    pub fn drive<T>(manifest: &Verified<T>, sequence: Option<u64>) -> Self {
        let signer = manifest.signer().clone();
        let word = Word { signer, person: None, what: What::Drive, format: None, sequence, fits: true };
        Self { what: What::Drive, image: None, newest_policy: 0, words: vec![word] }
    }

    /// Says the greatest sequence of a trust file that was ever in force here.
    #[must_use]
    pub fn after_policy(mut self, sequence: u64) -> Self {
        self.newest_policy = sequence;
        self
    }

    /// Adds a signature. What it is about is compared when it is decided.
    pub fn add(&mut self, verified: &Verified<Attested>) {
        let found = verified.get();
        let image = self.image.as_ref();
        self.words.push(Word {
            signer: verified.signer().clone(),
            person: found.certified().map(|by| (by.subject().to_owned(), by.issuer().to_owned())),
            what: What::Statement(found.statement().predicate_type().to_owned()),
            format: Some(found.format()),
            sequence: found.subject().sequence().unwrap_or_default(),
            fits: image.is_some_and(|(digest, _)| found.subject().is(digest)),
        });
    }
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Where.
    pub gate: Gate,
    /// What a refusal does there.
    pub mode: Mode,
    /// Whether to go on.
    pub allowed: bool,
    /// Whether the rules are met; with [`Mode::Warn`] it goes on without.
    pub satisfied: bool,
    /// Whose word counted: keys and identities by their names in the trust file.
    pub by: Vec<String>,
    /// What did not count, and what is missing.
    pub why_not: Vec<Reason>,
}

/// Why a signature does not count, or all do not suffice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A newer trust file was in force already.
    StalePolicy {
        /// This file's number.
        found: u64,
        /// The greatest that was seen.
        newest: u64,
    },
    /// No signature.
    Unsigned,
    /// The trust file does not have the key.
    UnknownKey(String),
    /// Whose certificate it is counts already, as another identity.
    CountsAlready {
        /// As whom it would count.
        key: String,
        /// As whom it counts.
        counted: String,
    },
    /// The key was revoked.
    Revoked {
        /// Its name.
        key: String,
        /// Why.
        reason: String,
        /// When.
        date: String,
    },
    /// The signature says something else than was asked, or of something else.
    AboutOther {
        /// Whose.
        key: String,
        /// What it says.
        found: String,
    },
    /// The key may not say this.
    NoRole {
        /// Its name.
        key: String,
        /// What it said.
        what: String,
    },
    /// The rule wants others.
    NotWanted {
        /// The key's name.
        key: String,
        /// A group's or key's name.
        by: String,
    },
    /// Too few of a group signed.
    BelowThreshold {
        /// Its name.
        group: String,
        /// How many must.
        threshold: usize,
        /// How many did.
        found: usize,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StalePolicy { found, newest } => {
                write!(f, "the trust file has sequence {found}, but {newest} was in force already")
            }
            Self::Unsigned => f.write_str("no valid signature found"),
            Self::UnknownKey(hint) => write!(f, "the key with hint {hint} is not trusted"),
            Self::CountsAlready { key, counted } => {
                write!(f, "who signed as `{key}` counts already, as `{counted}`")
            }
            Self::Revoked { key, reason, date } => write!(f, "`{key}` was revoked on {date}: {reason}"),
            Self::AboutOther { key, found } => write!(f, "`{key}` signed something else: {found}"),
            Self::NoRole { key, what } => write!(f, "`{key}` may not sign this: {what}"),
            Self::NotWanted { key, by } => write!(f, "`{key}` is not `{by}`, whose word is asked for"),
            Self::BelowThreshold { group, threshold, found } => {
                write!(f, "{found} of the {threshold} that must of `{group}` signed")
            }
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl TrustFile {
    /// Decides at a gate. Each signer counts once, however often it signed and with however many of its keys.
    #[must_use]
    pub fn decide(&self, gate: Gate, claims: &Claims) -> Decision {
        let mut why_not = Vec::new();
        // By hint, so that nobody counts twice.
        let mut counted: BTreeMap<&str, &Holder> = BTreeMap::new();
        let mut persons: BTreeMap<&(String, String), &Holder> = BTreeMap::new();
        for word in &claims.words {
            let heard = self.hear(word, claims).and_then(|holder| match &word.person {
                Some(person) => once(persons.entry(person).or_insert(holder), holder),
                None => Ok(holder),
            });
            match heard {
                Ok(holder) => {
                    counted.insert(word.signer.hint(), holder);
                }
                Err(reason) if why_not.contains(&reason) => {}
                Err(reason) => why_not.push(reason),
            }
        }
        let by = self.suffice(gate, claims, counted.into_values().collect(), &mut why_not);
        let stale = self.sequence() < claims.newest_policy;
        if stale {
            let (found, newest) = (self.sequence(), claims.newest_policy);
            why_not.insert(0, Reason::StalePolicy { found, newest });
        }
        let satisfied = by.is_some() && !stale;
        let mode = self.mode(gate);
        let by = by.filter(|_| satisfied).unwrap_or_default();
        Decision { gate, mode, allowed: satisfied || mode == Mode::Warn, satisfied, by, why_not }
    }

    /// Whether one signature counts, and whose it is.
    fn hear(&self, word: &Word, claims: &Claims) -> Result<&Holder, Reason> {
        let hint = word.signer.hint();
        let key = self.holder(hint).ok_or_else(|| Reason::UnknownKey(hint.to_owned()))?;
        let name = || key.name().to_owned();
        if let Some(revocation) = self.revocation(key) {
            let (reason, date) = (revocation.reason().to_owned(), revocation.date().to_owned());
            return Err(Reason::Revoked { key: name(), reason, date });
        }
        if word.what != claims.what || !word.fits {
            return Err(Reason::AboutOther { key: name(), found: word.what.to_string() });
        }
        let image = match (&claims.image, word.format) {
            (Some((_, name)), Some(format)) => Some((name, format)),
            _ => None,
        };
        let deed = Deed { what: &word.what, image, sequence: word.sequence };
        if key.may(&deed, self.open) {
            Ok(key)
        } else {
            Err(Reason::NoRole { key: name(), what: word.what.to_string() })
        }
    }

    /// The names of those whose word is enough.
    fn suffice(
        &self,
        gate: Gate,
        claims: &Claims,
        counted: Vec<&Holder>,
        why_not: &mut Vec<Reason>,
    ) -> Option<Vec<String>> {
        let names = |keys: &[&Holder]| keys.iter().map(|key| key.name().to_owned()).collect::<Vec<_>>();
        if claims.words.is_empty() {
            why_not.push(Reason::Unsigned);
        }
        let Some(by) = self.rule(gate, &claims.what) else {
            return (!counted.is_empty()).then(|| names(&counted));
        };
        let group = self.group(by);
        let (wanted, others): (Vec<_>, Vec<_>) =
            counted.into_iter().partition(|key| self.speaks_for(key, by));
        let other = |key: &Holder| Reason::NotWanted { key: key.name().to_owned(), by: by.to_owned() };
        why_not.extend(others.into_iter().map(other));
        let threshold = group.map_or(1, super::Group::threshold);
        let found = wanted.iter().map(|key| self.signer(key)).collect::<BTreeSet<_>>().len();
        if found >= threshold {
            return Some(names(&wanted));
        }
        if group.is_some() {
            let group = by.to_owned();
            why_not.push(Reason::BelowThreshold { group, threshold, found });
        }
        None
    }
}

/// One person is one signer, even where authorities of several roots vouch for the same.
fn once<'a>(counted: &Holder, holder: &'a Holder) -> Result<&'a Holder, Reason> {
    if counted == holder {
        return Ok(holder);
    }
    Err(Reason::CountsAlready { key: holder.name().to_owned(), counted: counted.name().to_owned() })
}
