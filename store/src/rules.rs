//! The rules of a store: which tags are immutable, quotas, and which tags are retained. `serve` writes them from its
//! configuration file. They are in the database, so that they apply to every process that changes the store, and each commit
//! reads them in its transaction.

use std::sync::Arc;

use oci::{RepositoryName, RepositoryPattern, Tag, TagPattern};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use crate::apply::execute;
use crate::query::Readers;
use crate::reach::subject_of;
use crate::retention::RetentionRules;
use crate::{Error, Result, quota};

/// The rules of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rules {
    /// The tags that cannot be moved or removed.
    pub immutable_tags: Vec<TagRule>,
    /// Limits for the content of repositories.
    pub quotas: Vec<QuotaRule>,
    /// Which tags are kept.
    pub retention: RetentionRules,
}

/// Selects tags of repositories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagRule {
    /// The repositories.
    pub repositories: Vec<RepositoryPattern>,
    /// The tags.
    pub tags: Vec<TagPattern>,
    /// The tags that are not selected nevertheless.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<TagPattern>,
}

/// Limits the content of all repositories that match, together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuotaRule {
    /// The repositories.
    pub repositories: Vec<RepositoryPattern>,
    /// The maximum size of their blobs and manifests in bytes, each counted once.
    pub bytes: Option<u64>,
    /// The maximum number of their tags.
    pub tags: Option<u64>,
}

/// No rules.
pub(crate) static NONE: Rules = Rules {
    immutable_tags: Vec::new(),
    quotas: Vec::new(),
    retention: RetentionRules { untagged_seconds: 0, rules: Vec::new() },
};

impl Rules {
    /// Whether a tag cannot be moved or removed.
    #[must_use]
    pub fn are_immutable(&self, repository: &RepositoryName, tag: &Tag) -> bool {
        self.immutable_tags.iter().any(|rule| rule.selects(repository, tag))
    }

    /// Fails if a tag cannot be moved or removed.
    pub(crate) fn check_movable(&self, repository: &RepositoryName, tag: &Tag) -> Result<()> {
        if self.are_immutable(repository, tag) {
            return Err(Error::TagImmutable { repository: repository.clone(), tag: tag.clone() });
        }
        Ok(())
    }
}

impl TagRule {
    /// Whether the rule is about a tag. Tags of signatures and other referrers, which clients derive from digests, never are:
    /// a client that signs an image again replaces them.
    fn selects(&self, repository: &RepositoryName, tag: &Tag) -> bool {
        let any = |patterns: &[TagPattern]| patterns.iter().any(|pattern| pattern.matches(tag));
        is_among(repository, &self.repositories)
            && any(&self.tags)
            && !any(&self.except)
            && subject_of(tag).is_none()
    }
}

/// Whether one of the patterns matches.
pub(crate) fn is_among(repository: &RepositoryName, patterns: &[RepositoryPattern]) -> bool {
    patterns.iter().any(|pattern| pattern.matches(repository))
}

/// The rules that a connection has read last.
#[derive(Default)]
pub(crate) struct KnownRules {
    version: i64,
    rules: Arc<Rules>,
}

impl KnownRules {
    /// The current rules.
    pub(crate) fn current(&mut self, connection: &Connection) -> Result<Arc<Rules>> {
        let sql = "SELECT version FROM rules";
        let version = connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
        let version = version.unwrap_or_default();
        if version != self.version {
            *self = Self { version, rules: Arc::new(read(connection)?) };
        }
        Ok(Arc::clone(&self.rules))
    }
}

/// The rules in the database. Rules that cannot be read are an error: continuing without them would leave the store unprotected.
pub(crate) fn read(connection: &Connection) -> Result<Rules> {
    // A store that was last written by an older version lacks the table.
    if !connection.table_exists(None, "rules")? {
        return Ok(Rules::default());
    }
    let sql = "SELECT text FROM rules";
    let text: Option<String> = connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
    text.map_or_else(|| Ok(Rules::default()), |text| serde_json::from_str(&text).map_err(Error::Rules))
}

/// Replaces the rules, and counts again what quotas are about if they have changed.
pub(crate) fn replace(connection: &Connection, rules: &Rules) -> Result<()> {
    let before = read(connection);
    let text = serde_json::to_string(rules).map_err(Error::Rules)?;
    let sql = "INSERT INTO rules (id, version, text) VALUES (1, 1, ?1)
               ON CONFLICT (id) DO UPDATE SET version = version + 1, text = excluded.text";
    execute(connection, sql, params![text])?;
    if before.is_ok_and(|before| before.quotas == rules.quotas) {
        return Ok(());
    }
    quota::count_all(connection, &rules.quotas)
}

impl Readers {
    pub(crate) fn rules(&self) -> Result<Rules> {
        self.with(read)
    }
}

#[cfg(test)]
mod tests {
    use oci::Digest;

    use super::*;

    fn rule(repositories: &str, tags: &[&str], except: &[&str]) -> TagRule {
        let parsed = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let repositories = vec![repositories.parse().unwrap()];
        TagRule { repositories, tags: parsed(tags), except: parsed(except) }
    }

    #[test]
    fn a_pattern_selects_versions_but_no_signatures() {
        let rules = Rules {
            immutable_tags: vec![rule("team/**", &["*"], &["latest", "dev-*"]), rule("a", &["v*"], &[])],
            ..Rules::default()
        };
        let is = |repository: &str, tag: &str| {
            rules.are_immutable(&repository.parse().unwrap(), &tag.parse().unwrap())
        };
        assert!(is("team/app", "v1") && is("team/app", "1.2.3") && is("a", "v1"));
        assert!(
            !is("team/app", "latest") && !is("team/app", "dev-1") && !is("a", "latest") && !is("b", "v1")
        );
        let hex = Digest::sha256(b"a").hex().to_owned();
        for end in ["", ".sig", ".att", ".sbom"] {
            assert!(!is("team/app", &format!("sha256-{hex}{end}")), "{end}");
        }
        // Only complete digests name a subject.
        assert!(is("team/app", "sha256-abc.sig"));
    }

    #[test]
    fn rules_survive_the_database_and_bad_ones_are_an_error() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(crate::schema::TABLES).unwrap();
        let rules = Rules { immutable_tags: vec![rule("a/**", &["v*"], &["v0"])], ..Rules::default() };
        let mut known = KnownRules::default();
        assert_eq!(*known.current(&connection).unwrap(), Rules::default());
        replace(&connection, &rules).unwrap();
        assert_eq!(*known.current(&connection).unwrap(), rules);
        replace(&connection, &Rules::default()).unwrap();
        assert_eq!(*known.current(&connection).unwrap(), Rules::default());
        connection.execute("UPDATE rules SET text = '{', version = 9", []).unwrap();
        assert!(matches!(known.current(&connection), Err(Error::Rules(_))));
    }
}
