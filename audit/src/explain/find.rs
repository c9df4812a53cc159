//! Resolves an argument to a digest.

use std::collections::BTreeSet;

use super::pass::digests_of;
use super::{DigestLookup, NamedDigest};
use crate::{Error, Event, Reader, Result};

/// The minimum number of digits of a prefix; fewer are probably a mistake.
const MIN_DIGITS: usize = 4;

/// The maximum number of digests that the error for an ambiguous prefix lists.
const MAX_LISTED: usize = 20;

/// The maximum number of digests of a name that are listed: the newest ones.
const MAX_NAMED: usize = 100;

/// The digest that an argument resolves to.
pub(super) struct Resolved {
    pub(super) digest: String,
    /// The name, if one was given, and the other digests that it referred to.
    pub(super) name: Option<String>,
    pub(super) others: Vec<NamedDigest>,
    /// The number of older digests that are left out.
    pub(super) others_left_out: u64,
}

impl Resolved {
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

/// The prefix of a digest, as `algorithm:digits` or as digits of any algorithm.
struct DigestPrefix<'a> {
    algorithm: Option<&'a str>,
    digits: &'a str,
}

impl<'a> DigestPrefix<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (algorithm, digits) = match text.split_once(':') {
            None => (None, text),
            Some((algorithm @ ("sha256" | "sha512"), digits)) => (Some(algorithm), digits),
            Some(_) => return None,
        };
        let longest = if algorithm == Some("sha256") { 64 } else { 128 };
        let has_valid_length = (MIN_DIGITS..=longest).contains(&digits.len());
        let is_hex = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (has_valid_length && is_hex).then_some(Self { algorithm, digits })
    }

    /// The prefix with each possible algorithm.
    fn with_algorithms(&self) -> Vec<String> {
        let algorithms = self.algorithm.map_or_else(|| vec!["sha256", "sha512"], |one| vec![one]);
        algorithms.into_iter().map(|algorithm| format!("{algorithm}:{}", self.digits)).collect()
    }
}

/// Resolves an argument: a digest, or else a name in the log, a prefix of a digest, or a name in the store.
pub(super) fn resolve(reader: &Reader, argument: &str, lookup: &dyn DigestLookup) -> Result<Resolved> {
    let digest = parse(argument).or_else(|| parse(argument.rsplit_once('@')?.1));
    if let Some(digest) = digest {
        return Ok(Resolved::digest(digest));
    }
    let prefix = DigestPrefix::of(argument);
    let prefixes = prefix.as_ref().map(DigestPrefix::with_algorithms).unwrap_or_default();
    let mut matches = LogMatches { argument, prefixes, ..LogMatches::default() };
    reader.all(&mut |index, event, _| matches.take(index, &event))?;
    if let Some(newest) = matches.named.pop() {
        let name = Some(argument.to_owned());
        let (others, others_left_out) = (matches.named, matches.left_out);
        return Ok(Resolved { digest: newest.digest, name, others, others_left_out });
    }
    for prefix in &matches.prefixes {
        matches.digests.extend(lookup.with_prefix(prefix).map_err(Error::Lookup)?);
    }
    let mut found = matches.digests.into_iter();
    match (found.next(), found.next()) {
        (None, _) => {}
        (Some(digest), None) => return Ok(Resolved::digest(digest)),
        (Some(first), Some(second)) => {
            let found = [first, second].into_iter().chain(found).take(MAX_LISTED).collect();
            return Err(Error::Ambiguous { prefix: argument.to_owned(), found });
        }
    }
    match (lookup.resolve(argument).map_err(Error::Lookup)?, prefix) {
        (Some(digest), _) => Ok(Resolved { name: Some(argument.to_owned()), ..Resolved::digest(digest) }),
        (None, Some(_)) => Err(Error::Unknown { digest: argument.to_owned(), size: reader.size() }),
        (None, None) => Err(Error::Digest(argument.to_owned())),
    }
}

/// The matches of an argument in the log.
#[derive(Default)]
struct LogMatches<'a> {
    argument: &'a str,
    /// The digests that the argument refers to as a name, the newest last.
    named: Vec<NamedDigest>,
    left_out: u64,
    /// The argument as a prefix, with each possible algorithm.
    prefixes: Vec<String>,
    /// The first digests with one of the prefixes, in the order of their digits.
    digests: BTreeSet<String>,
}

impl LogMatches<'_> {
    fn take(&mut self, index: u64, event: &Event) {
        self.take_name(index, event);
        if self.prefixes.is_empty() {
            return;
        }
        let prefixes = &self.prefixes;
        let matches = |digest: &String| prefixes.iter().any(|prefix| digest.starts_with(prefix));
        self.digests.extend(digests_of(event).into_iter().filter(matches));
        while self.digests.len() > MAX_LISTED {
            self.digests.pop_last();
        }
    }

    /// Records the digest that the event's name refers to: the only digest, or the set or lock that contains the digests.
    fn take_name(&mut self, index: u64, event: &Event) {
        let object = &event.object;
        if !matches_name(&object.name, self.argument) {
            return;
        }
        let containing = || ["set", "lock"].iter().find_map(|kind| parse(event.evidence.get(*kind)?));
        let digest = match object.digests.as_slice() {
            [] => return,
            [digest] => Some(digest.clone()),
            [..] => containing(),
        };
        let Some(digest) = digest else { return };
        // The newest comes last.
        self.named.retain(|known| known.digest != digest);
        self.named.push(NamedDigest { digest, index });
        if self.named.len() > MAX_NAMED {
            self.named.remove(0);
            self.left_out += 1;
        }
    }
}

/// Whether the argument is the name in an event. A push that set several tags has the name `repository:one,two`, which
/// matches each of the tags.
fn matches_name(name: &str, argument: &str) -> bool {
    match name.rsplit_once(':').zip(argument.rsplit_once(':')) {
        Some(((repository, tags), (of, tag))) if tags.contains(',') && !tags.contains('/') => {
            repository == of && tags.split(',').any(|one| one == tag)
        }
        _ => name == argument,
    }
}
