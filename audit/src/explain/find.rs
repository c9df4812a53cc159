//! From what somebody typed to a digest.

use std::collections::BTreeSet;

use super::{Beside, Meaning, Mentions};
use crate::{Error, Event, Result};

/// Digits of the shortest beginning of a digest; fewer are a slip.
const SHORTEST: usize = 4;

/// Digests that an ambiguous beginning names; a longer one is needed anyway.
const MOST: usize = 20;

/// What was meant.
pub(super) struct Found {
    pub(super) digest: String,
    /// The name, if it was one, and what else it meant.
    pub(super) name: Option<String>,
    pub(super) others: Vec<Meaning>,
}

/// `algorithm:digits` in lower case.
pub(super) fn parse(text: &str) -> Option<String> {
    let hex = |digits: &str, length| {
        digits.len() == length && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    match text.split_once(':') {
        None if hex(text, 64) => Some(format!("sha256:{text}")),
        Some(("sha256", digits)) if hex(digits, 64) => Some(text.to_owned()),
        Some(("sha512", digits)) if hex(digits, 128) => Some(text.to_owned()),
        _ => None,
    }
}

/// The beginning of a digest, as `algorithm:digits` or as digits of any algorithm.
struct Start<'a> {
    algorithm: Option<&'a str>,
    digits: &'a str,
}

impl<'a> Start<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (algorithm, digits) = match text.split_once(':') {
            None => (None, text),
            Some((algorithm @ ("sha256" | "sha512"), digits)) => (Some(algorithm), digits),
            Some(_) => return None,
        };
        let longest = if algorithm == Some("sha256") { 64 } else { 128 };
        let fits = (SHORTEST..=longest).contains(&digits.len());
        let is_hex = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (fits && is_hex).then_some(Self { algorithm, digits })
    }

    /// All that digests can begin with.
    fn whole(&self) -> Vec<String> {
        let algorithms = self.algorithm.map_or_else(|| vec!["sha256", "sha512"], |one| vec![one]);
        algorithms.into_iter().map(|algorithm| format!("{algorithm}:{}", self.digits)).collect()
    }
}

impl Mentions {
    /// What was meant: a digest, else a name in the log, else the beginning of a digest, else a name beside the log.
    pub(super) fn find(&self, what: &str, beside: &dyn Beside, size: u64) -> Result<Found> {
        let digest = parse(what).or_else(|| parse(what.rsplit_once('@')?.1));
        if let Some(digest) = digest {
            return Ok(Found { digest, name: None, others: Vec::new() });
        }
        if let Some((last, others)) = self.names.get(what).and_then(|meanings| meanings.split_last()) {
            return Ok(Found {
                digest: last.digest.clone(),
                name: Some(what.to_owned()),
                others: others.to_vec(),
            });
        }
        let start = Start::of(what);
        if let Some(start) = &start {
            let mut found = self.beginning(start, beside)?.into_iter();
            match (found.next(), found.next()) {
                (None, _) => {}
                (Some(digest), None) => return Ok(Found { digest, name: None, others: Vec::new() }),
                (Some(first), Some(second)) => {
                    let found = [first, second].into_iter().chain(found).take(MOST).collect();
                    return Err(Error::Ambiguous { start: what.to_owned(), found });
                }
            }
        }
        match (beside.named(what).map_err(Error::Beside)?, start) {
            (Some(digest), _) => Ok(Found { digest, name: Some(what.to_owned()), others: Vec::new() }),
            (None, Some(_)) => Err(Error::Unknown { digest: what.to_owned(), size }),
            (None, None) => Err(Error::Digest(what.to_owned())),
        }
    }

    fn beginning(&self, start: &Start<'_>, beside: &dyn Beside) -> Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        for start in start.whole() {
            let here = self.leaves.range(start.clone()..).map(|(digest, _)| digest);
            found.extend(here.take_while(|digest| digest.starts_with(&start)).cloned());
            found.extend(beside.beginning(&start).map_err(Error::Beside)?);
        }
        Ok(found)
    }

    /// Learns what the event's name meant: the only digest, or the set or lock that the digests came in.
    pub(super) fn take_name(&mut self, leaf: u64, event: &Event) {
        let object = &event.object;
        let of_many = || ["set", "lock"].iter().find_map(|kind| parse(event.evidence.get(*kind)?));
        let digest = match object.digests.as_slice() {
            [] => return,
            [digest] => Some(digest.clone()),
            [..] => of_many(),
        };
        let Some(digest) = digest else { return };
        for name in names_of(&object.name) {
            let meanings = self.names.entry(name).or_default();
            // The newest comes last.
            meanings.retain(|meaning| meaning.digest != digest);
            meanings.push(Meaning { digest: digest.clone(), index: leaf });
        }
    }
}

/// A push that set several tags has one name, `repository:one,two`; each of them can be asked for.
fn names_of(name: &str) -> Vec<String> {
    match name.rsplit_once(':') {
        Some((repository, tags)) if tags.contains(',') && !tags.contains('/') => {
            tags.split(',').map(|tag| format!("{repository}:{tag}")).collect()
        }
        _ => vec![name.to_owned()],
    }
}
