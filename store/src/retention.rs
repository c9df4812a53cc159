//! Retention: which tags are removed, because no rule keeps them. Only repositories that a rule names are touched.
//!
//! The decision is pure ([`decide`]); it is made again in the transaction that removes the tags, so that a tag that was moved
//! or protected meanwhile stays. Tags of signatures are not decided about: they live and die with their subject (`reach`).

use std::collections::BTreeSet;
use std::fs;
use std::time::UNIX_EPOCH;

use oci::{Digest, RepositoryName, RepositoryPattern, Tag, TagPattern};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use crate::apply::now;
use crate::layout::Layout;
use crate::query::{all, parsed};
use crate::reach::subject_of;
use crate::rules::{Rules, is_among};
use crate::{Result, protect, pulls};

/// Which tags are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetentionRules {
    /// How long a manifest of these repositories stays after it was pushed and after it lost its last tag.
    pub untagged_seconds: u64,
    /// The rules. A tag stays if one rule about its repository keeps it.
    pub rules: Vec<RetentionRule>,
}

impl RetentionRules {
    /// Whether a rule is about a repository.
    #[must_use]
    pub fn name(&self, repository: &RepositoryName) -> bool {
        self.rules.iter().any(|rule| is_among(repository, &rule.repositories))
    }
}

/// Keeps some tags of repositories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionRule {
    /// The repositories.
    pub repositories: Vec<RepositoryPattern>,
    /// Keeps this many of the tags that were set last.
    pub newest: Option<u64>,
    /// Keeps the tags that were set within this time.
    pub newer_than_seconds: Option<u64>,
    /// Keeps the tags that match.
    pub tags: Vec<TagPattern>,
    /// Keeps the tags whose manifests were pulled within this time.
    pub pulled_within_seconds: Option<u64>,
}

/// A tag, with everything that the rules depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TagFacts {
    pub(crate) tag: Tag,
    pub(crate) digest: Digest,
    /// When it was set, in seconds since 1970, and the number of this change; the time is unknown if the history no longer
    /// has it and the manifest's file cannot be read.
    pub(crate) set: Option<(u64, i64)>,
    /// When its manifest was pulled last.
    pub(crate) pulled: Option<u64>,
    /// Whether a rule makes it immutable, or a protection or a drive needs it.
    pub(crate) spared: bool,
}

/// A tag that is removed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpiredTag {
    /// The tag.
    pub tag: Tag,
    /// Its manifest.
    pub digest: Digest,
    /// Its position among the tags of the repository, the newest being 1.
    pub position: u64,
    /// The seconds since it was set.
    pub age_seconds: u64,
    /// The seconds since its manifest was pulled, if it ever was.
    pub pulled_seconds_ago: Option<u64>,
}

/// The tags of a repository that no rule keeps, the oldest first.
pub(crate) fn decide(rules: &[&RetentionRule], mut tags: Vec<TagFacts>, now: u64) -> Vec<ExpiredTag> {
    tags.retain(|tag| subject_of(&tag.tag).is_none());
    // A tag whose time is unknown counts as the newest: it is rather kept.
    tags.sort_by(|a, b| {
        let time = |tag: &TagFacts| tag.set.unwrap_or((u64::MAX, i64::MAX));
        time(b).cmp(&time(a)).then_with(|| b.tag.cmp(&a.tag))
    });
    let mut expired = Vec::new();
    for (position, tag) in (1..).zip(tags) {
        let age = tag.set.map(|(at, _)| now.saturating_sub(at));
        let pulled = tag.pulled.map(|at| now.saturating_sub(at));
        let within = |age: Option<u64>, most: Option<u64>| matches!((age, most), (Some(age), Some(most)) if age <= most);
        let keeps = |rule: &&&RetentionRule| {
            rule.newest.is_some_and(|newest| position <= newest)
                || within(age, rule.newer_than_seconds)
                || within(pulled, rule.pulled_within_seconds)
                || rule.tags.iter().any(|pattern| pattern.matches(&tag.tag))
        };
        let Some(age_seconds) = age else { continue };
        if !tag.spared && !rules.is_empty() && rules.iter().find(keeps).is_none() {
            let TagFacts { tag, digest, .. } = tag;
            expired.push(ExpiredTag { tag, digest, position, age_seconds, pulled_seconds_ago: pulled });
        }
    }
    expired.reverse();
    expired
}

/// The tags of one repository that no rule keeps. Tags on the manifests `keep` stay.
pub(crate) fn expired(
    connection: &Connection,
    layout: &Layout,
    rules: &Rules,
    repository: &RepositoryName,
    keep: &BTreeSet<Digest>,
) -> Result<Vec<ExpiredTag>> {
    let own = rules.retention.rules.iter();
    let own: Vec<_> = own.filter(|rule| is_among(repository, &rule.repositories)).collect();
    if own.is_empty() {
        return Ok(Vec::new());
    }
    let spared = protect::roots(connection, repository)?;
    let last = "FROM tag_history h WHERE h.repository = t.repository AND h.tag = t.tag ORDER BY h.rowid DESC LIMIT 1";
    // A store that was last written by an older version lacks the table.
    let pulled = if connection.table_exists(None, "pulls")? {
        "SELECT at FROM pulls p WHERE p.repository = t.repository AND p.digest = t.digest"
    } else {
        "NULL"
    };
    let sql = format!(
        "SELECT tag, digest, (SELECT at {last}), (SELECT h.rowid {last}),
           ({pulled})
         FROM tags t WHERE repository = (SELECT id FROM repositories WHERE name = ?1)"
    );
    let facts = all(connection, &sql, params![repository.as_str()], |row| {
        let (tag, digest): (Tag, Digest) = (parsed(row, 0)?, parsed(row, 1)?);
        let seconds = |at: Option<i64>| at.map(|at| u64::try_from(at).unwrap_or(0));
        let set = seconds(row.get(2)?).zip(row.get(3)?).or_else(|| published(layout, &digest));
        let pulled = seconds(row.get(4)?).map(pulls::end_of);
        let spared =
            keep.contains(&digest) || spared.contains(&digest) || rules.are_immutable(repository, &tag);
        Ok(TagFacts { tag, digest, set, pulled, spared })
    })?;
    Ok(decide(&own, facts, u64::try_from(now()).unwrap_or(0)))
}

/// When a manifest's file was written. The history of tags is older than that, if it no longer has the tag.
fn published(layout: &Layout, digest: &Digest) -> Option<(u64, i64)> {
    let written = fs::metadata(layout.blob(digest)).and_then(|file| file.modified()).ok()?;
    Some((written.duration_since(UNIX_EPOCH).ok()?.as_secs(), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;

    fn rule() -> RetentionRule {
        let repositories = vec!["**".parse().unwrap()];
        RetentionRule {
            repositories,
            newest: None,
            newer_than_seconds: None,
            tags: Vec::new(),
            pulled_within_seconds: None,
        }
    }

    /// Tags that were set on the days of their numbers.
    fn tags(names: &[(&str, u64)]) -> Vec<TagFacts> {
        let one = |(name, day): &(&str, u64)| TagFacts {
            tag: name.parse().unwrap(),
            digest: Digest::sha256(name.as_bytes()),
            set: Some((day * DAY, 0)),
            pulled: None,
            spared: false,
        };
        names.iter().map(one).collect()
    }

    fn gone(rules: &[&RetentionRule], tags: Vec<TagFacts>) -> Vec<String> {
        decide(rules, tags, 100 * DAY).iter().map(|tag| tag.tag.to_string()).collect()
    }

    #[test]
    fn a_tag_stays_if_one_rule_keeps_it() {
        let four = || tags(&[("a", 10), ("v1", 20), ("b", 97), ("c", 99)]);
        let newest = RetentionRule { newest: Some(2), ..rule() };
        let newer = RetentionRule { newer_than_seconds: Some(2 * DAY), ..rule() };
        let named = RetentionRule { tags: vec!["v*".parse().unwrap()], ..rule() };
        let pulled = RetentionRule { pulled_within_seconds: Some(5 * DAY), ..rule() };
        assert_eq!(gone(&[&newest], four()), ["a", "v1"]);
        assert_eq!(gone(&[&newer], four()), ["a", "v1", "b"]);
        assert_eq!(gone(&[&newest, &named], four()), ["a"]);
        assert_eq!(gone(&[], four()), [""; 0]);
        let mut used = four();
        (used[0].pulled, used[1].pulled) = (Some(96 * DAY), Some(94 * DAY));
        assert_eq!(gone(&[&pulled], used.clone()), ["v1", "b", "c"]);
        used[1].spared = true;
        assert_eq!(gone(&[&pulled], used), ["b", "c"]);
    }

    #[test]
    fn signatures_count_neither_as_tags_nor_among_the_newest() {
        let hex = Digest::sha256(b"x").hex().to_owned();
        let names = [format!("sha256-{hex}.sig"), format!("sha256-{hex}"), format!("sha256-{hex}.sbom")];
        let mut found = tags(&[("a", 10), ("b", 11), ("c", 12)]);
        found.extend(names.iter().flat_map(|name| tags(&[(name, 50)])));
        assert_eq!(gone(&[&RetentionRule { newest: Some(1), ..rule() }], found), ["a", "b"]);
    }

    #[test]
    fn changes_of_one_second_are_in_order_and_an_unknown_time_keeps_a_tag() {
        let mut found = tags(&[("a", 10), ("b", 10), ("c", 10)]);
        for (number, tag) in (0..).zip(&mut found) {
            tag.set = Some((10 * DAY, number));
        }
        let one = RetentionRule { newest: Some(1), ..rule() };
        let expired = decide(&[&one], found.clone(), 100 * DAY);
        let positions: Vec<_> = expired.iter().map(|tag| (tag.tag.as_str(), tag.position)).collect();
        assert_eq!(positions, [("a", 3), ("b", 2)]);
        assert_eq!(expired[0].age_seconds, 90 * DAY);
        found[0].set = None;
        assert_eq!(gone(&[&one], found), ["b", "c"]);
    }

    /// A clock that was set back, or a tag from the future, removes nothing that is new.
    #[test]
    fn a_tag_from_the_future_is_new() {
        let newer = RetentionRule { newer_than_seconds: Some(DAY), ..rule() };
        assert_eq!(gone(&[&newer], tags(&[("a", 500), ("b", 10)])), ["b"]);
    }
}
