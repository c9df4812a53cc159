//! From what somebody typed to a digest.

use std::collections::BTreeSet;

use super::pass::named;
use super::{Beside, Meaning};
use crate::{Error, Event, Reader, Result};

/// Digits of the shortest beginning of a digest; fewer are a slip.
const SHORTEST: usize = 4;

/// Digests that an ambiguous beginning names; a longer one is needed anyway.
const MOST: usize = 20;

/// How many meanings of a name are listed, the newest first.
const MEANINGS: usize = 100;

/// What was meant.
pub(super) struct Found {
    pub(super) digest: String,
    /// The name, if it was one, and what else it meant.
    pub(super) name: Option<String>,
    pub(super) others: Vec<Meaning>,
    /// How many older meanings there are.
    pub(super) others_left_out: u64,
}

impl Found {
    fn digest(digest: String) -> Self {
        Self { digest, name: None, others: Vec::new(), others_left_out: 0 }
    }
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

/// What was meant: a digest, else a name in the log, else the beginning of a digest, else a name beside the log.
pub(super) fn find(reader: &Reader, what: &str, beside: &dyn Beside) -> Result<Found> {
    let digest = parse(what).or_else(|| parse(what.rsplit_once('@')?.1));
    if let Some(digest) = digest {
        return Ok(Found::digest(digest));
    }
    let start = Start::of(what);
    let mut asked =
        Asked { what, starts: start.as_ref().map(Start::whole).unwrap_or_default(), ..Asked::default() };
    reader.all(&mut |index, event, _| asked.take(index, &event))?;
    if let Some(last) = asked.meanings.pop() {
        let name = Some(what.to_owned());
        let (others, others_left_out) = (asked.meanings, asked.left_out);
        return Ok(Found { digest: last.digest, name, others, others_left_out });
    }
    for start in &asked.starts {
        asked.beginning.extend(beside.beginning(start).map_err(Error::Beside)?);
    }
    let mut found = asked.beginning.into_iter();
    match (found.next(), found.next()) {
        (None, _) => {}
        (Some(digest), None) => return Ok(Found::digest(digest)),
        (Some(first), Some(second)) => {
            let found = [first, second].into_iter().chain(found).take(MOST).collect();
            return Err(Error::Ambiguous { start: what.to_owned(), found });
        }
    }
    match (beside.named(what).map_err(Error::Beside)?, start) {
        (Some(digest), _) => Ok(Found { name: Some(what.to_owned()), ..Found::digest(digest) }),
        (None, Some(_)) => Err(Error::Unknown { digest: what.to_owned(), size: reader.size() }),
        (None, None) => Err(Error::Digest(what.to_owned())),
    }
}

/// What the log has about what was typed.
#[derive(Default)]
struct Asked<'a> {
    what: &'a str,
    /// What the name meant, the newest last.
    meanings: Vec<Meaning>,
    left_out: u64,
    /// All that digests can begin with.
    starts: Vec<String>,
    /// The first digests that begin so, in the order of their digits.
    beginning: BTreeSet<String>,
}

impl Asked<'_> {
    fn take(&mut self, index: u64, event: &Event) {
        self.take_name(index, event);
        if self.starts.is_empty() {
            return;
        }
        let starts = &self.starts;
        let begins = |digest: &String| starts.iter().any(|start| digest.starts_with(start));
        self.beginning.extend(named(event).into_iter().filter(begins));
        while self.beginning.len() > MOST {
            self.beginning.pop_last();
        }
    }

    /// Learns what the event's name meant: the only digest, or the set or lock that the digests came in.
    fn take_name(&mut self, index: u64, event: &Event) {
        let object = &event.object;
        if !is_named(&object.name, self.what) {
            return;
        }
        let of_many = || ["set", "lock"].iter().find_map(|kind| parse(event.evidence.get(*kind)?));
        let digest = match object.digests.as_slice() {
            [] => return,
            [digest] => Some(digest.clone()),
            [..] => of_many(),
        };
        let Some(digest) = digest else { return };
        // The newest comes last.
        self.meanings.retain(|meaning| meaning.digest != digest);
        self.meanings.push(Meaning { digest, index });
        if self.meanings.len() > MEANINGS {
            self.meanings.remove(0);
            self.left_out += 1;
        }
    }
}

/// Whether an event's name is the one that is asked for. A push that set several tags has one name, `repository:one,two`;
/// each of them can be asked for.
fn is_named(name: &str, what: &str) -> bool {
    match name.rsplit_once(':').zip(what.rsplit_once(':')) {
        Some(((repository, tags), (of, tag))) if tags.contains(',') && !tags.contains('/') => {
            repository == of && tags.split(',').any(|one| one == tag)
        }
        _ => name == what,
    }
}
