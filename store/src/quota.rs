//! Quotas: limits for the content of all repositories that match a rule.
//!
//! Blobs and manifests count once for each quota, however many of its repositories have them. Triggers of the database
//! count, so that every change of a link counts, whichever code makes it, and no query depends on the store's size. A
//! trigger sees only repositories that were assigned to their quotas, so a new one is assigned, and what it has by then is
//! counted, at the end of the request that created it ([`settle`]).

use oci::{RepositoryName, RepositoryPattern};
use rusqlite::{Connection, params};
use serde::Serialize;

use crate::apply::{execute, signed};
use crate::query::{Readers, all, parsed, size};
use crate::rules::{QuotaRule, is_among, read};
use crate::{Error, Result};

/// The tables of quotas. `quotas` has one row for each rule, numbered from 0.
pub(crate) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS quotas (
  number INTEGER PRIMARY KEY, bytes INTEGER NOT NULL DEFAULT 0, tags INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE IF NOT EXISTS quota_members (
  repository INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE, quota INTEGER NOT NULL,
  PRIMARY KEY (repository, quota)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unsorted (
  repository INTEGER PRIMARY KEY REFERENCES repositories ON DELETE CASCADE) STRICT;
CREATE TRIGGER IF NOT EXISTS repository_added AFTER INSERT ON repositories BEGIN
  INSERT OR IGNORE INTO unsorted (repository) VALUES (NEW.id);
END;
CREATE TRIGGER IF NOT EXISTS quota_blob_added BEFORE INSERT ON blobs
WHEN NOT EXISTS (SELECT 1 FROM blobs WHERE repository = NEW.repository AND digest = NEW.digest) BEGIN
  UPDATE quotas SET bytes = bytes + NEW.size
  WHERE number IN (SELECT quota FROM quota_members WHERE repository = NEW.repository)
  AND NOT EXISTS (SELECT 1 FROM blobs JOIN quota_members USING (repository)
                  WHERE digest = NEW.digest AND quota = number);
END;
CREATE TRIGGER IF NOT EXISTS quota_blob_removed AFTER DELETE ON blobs BEGIN
  UPDATE quotas SET bytes = bytes - OLD.size
  WHERE number IN (SELECT quota FROM quota_members WHERE repository = OLD.repository)
  AND NOT EXISTS (SELECT 1 FROM blobs JOIN quota_members USING (repository)
                  WHERE digest = OLD.digest AND quota = number);
END;
CREATE TRIGGER IF NOT EXISTS quota_manifest_added BEFORE INSERT ON manifests
WHEN NOT EXISTS (SELECT 1 FROM manifests WHERE repository = NEW.repository AND digest = NEW.digest) BEGIN
  UPDATE quotas SET bytes = bytes + NEW.size
  WHERE number IN (SELECT quota FROM quota_members WHERE repository = NEW.repository)
  AND NOT EXISTS (SELECT 1 FROM manifests JOIN quota_members USING (repository)
                  WHERE digest = NEW.digest AND quota = number);
END;
CREATE TRIGGER IF NOT EXISTS quota_manifest_removed AFTER DELETE ON manifests BEGIN
  UPDATE quotas SET bytes = bytes - OLD.size
  WHERE number IN (SELECT quota FROM quota_members WHERE repository = OLD.repository)
  AND NOT EXISTS (SELECT 1 FROM manifests JOIN quota_members USING (repository)
                  WHERE digest = OLD.digest AND quota = number);
END;
CREATE TRIGGER IF NOT EXISTS quota_tag_added BEFORE INSERT ON tags
WHEN NOT EXISTS (SELECT 1 FROM tags WHERE repository = NEW.repository AND tag = NEW.tag) BEGIN
  UPDATE quotas SET tags = tags + 1
  WHERE number IN (SELECT quota FROM quota_members WHERE repository = NEW.repository);
END;
CREATE TRIGGER IF NOT EXISTS quota_tag_removed AFTER DELETE ON tags BEGIN
  UPDATE quotas SET tags = tags - 1
  WHERE number IN (SELECT quota FROM quota_members WHERE repository = OLD.repository);
END;
";

/// What the repositories of a quota have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// The size of their blobs and manifests, each counted once.
    pub bytes: u64,
    /// The number of their tags.
    pub tags: u64,
}

/// A quota, and what counts towards it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuotaUsage {
    /// The quota.
    #[serde(flatten)]
    pub rule: QuotaRule,
    /// What its repositories have.
    pub used: Usage,
}

/// What counts towards each quota.
pub(crate) fn usage(connection: &Connection) -> Result<Vec<Usage>> {
    let sql = "SELECT bytes, tags FROM quotas ORDER BY number";
    all(connection, sql, [], |row| Ok(Usage { bytes: size(row, 0)?, tags: size(row, 1)? }))
}

/// Fails if a request increased what counts towards a quota beyond its limit. A request that does not increase it is allowed,
/// also if the limit was lowered before.
pub(crate) fn check(quotas: &[QuotaRule], before: &[Usage], after: &[Usage]) -> Result<()> {
    for ((rule, before), after) in quotas.iter().zip(before).zip(after) {
        for (most, before, after, what) in
            [(rule.bytes, before.bytes, after.bytes, "bytes"), (rule.tags, before.tags, after.tags, "tags")]
        {
            if let Some(most) = most.filter(|most| after > before && after > *most) {
                return Err(exceeded(rule, (before, after - before), (most, what)));
            }
        }
    }
    Ok(())
}

fn exceeded(rule: &QuotaRule, (used, added): (u64, u64), (most, what): (u64, &'static str)) -> Error {
    let patterns: Vec<_> = rule.repositories.iter().map(RepositoryPattern::to_string).collect();
    Error::QuotaExceeded { quota: patterns.join(", "), used, added, most, what }
}

/// Assigns new repositories to their quotas, and counts what they have.
pub(crate) fn settle(connection: &Connection, quotas: &[QuotaRule]) -> Result<()> {
    let sql = "SELECT id, name FROM unsorted JOIN repositories ON id = repository";
    let new: Vec<(i64, RepositoryName)> = all(connection, sql, [], |row| Ok((row.get(0)?, parsed(row, 1)?)))?;
    if new.is_empty() {
        return Ok(());
    }
    for (id, name) in &new {
        for (number, _) in of_repository(quotas, name) {
            add_member(connection, *id, number)?;
        }
    }
    execute(connection, "DELETE FROM unsorted", [])
}

/// The quotas that a repository counts towards, with their numbers.
fn of_repository<'a>(
    quotas: &'a [QuotaRule],
    repository: &'a RepositoryName,
) -> impl Iterator<Item = (usize, &'a QuotaRule)> {
    quotas.iter().enumerate().filter(|(_, rule)| is_among(repository, &rule.repositories))
}

fn add_member(connection: &Connection, repository: i64, number: usize) -> Result<()> {
    let own = |table: &str| {
        format!(
            "(SELECT coalesce(sum(size), 0) FROM {table} own WHERE repository = ?1 AND NOT EXISTS
              (SELECT 1 FROM {table} JOIN quota_members USING (repository) WHERE digest = own.digest AND quota = ?2))"
        )
    };
    let sql = format!(
        "UPDATE quotas SET bytes = bytes + {} + {}, tags = tags + (SELECT count(*) FROM tags WHERE repository = ?1)
         WHERE number = ?2",
        own("blobs"),
        own("manifests")
    );
    let parameters = params![repository, signed(number as u64)];
    execute(connection, &sql, parameters)?;
    execute(connection, "INSERT INTO quota_members (repository, quota) VALUES (?1, ?2)", parameters)
}

/// Assigns all repositories to new quotas, and counts everything. The time depends on the size of the store.
pub(crate) fn count_all(connection: &Connection, quotas: &[QuotaRule]) -> Result<()> {
    for table in ["quotas", "quota_members", "unsorted"] {
        execute(connection, &format!("DELETE FROM {table}"), [])?;
    }
    for number in 0..quotas.len() {
        execute(connection, "INSERT INTO quotas (number) VALUES (?1)", [signed(number as u64)])?;
    }
    let repositories: Vec<(i64, RepositoryName)> =
        all(connection, "SELECT id, name FROM repositories", [], |row| Ok((row.get(0)?, parsed(row, 1)?)))?;
    for (id, name) in &repositories {
        for (number, _) in of_repository(quotas, name) {
            let sql = "INSERT INTO quota_members (repository, quota) VALUES (?1, ?2)";
            execute(connection, sql, params![id, signed(number as u64)])?;
        }
    }
    let sum = |table: &str| {
        format!(
            "(SELECT coalesce(sum(size), 0) FROM (SELECT max(size) AS size FROM {table}
              JOIN quota_members USING (repository) WHERE quota = number GROUP BY digest))"
        )
    };
    let sql = format!(
        "UPDATE quotas SET bytes = {} + {},
           tags = (SELECT count(*) FROM tags JOIN quota_members USING (repository) WHERE quota = number)",
        sum("blobs"),
        sum("manifests")
    );
    execute(connection, &sql, [])
}

impl Readers {
    /// The quotas, and what counts towards them.
    pub(crate) fn quotas(&self) -> Result<Vec<QuotaUsage>> {
        self.with(|c| {
            let rules = read(c)?.quotas;
            if rules.is_empty() {
                return Ok(Vec::new());
            }
            let used = usage(c)?;
            Ok(rules.into_iter().zip(used).map(|(rule, used)| QuotaUsage { rule, used }).collect())
        })
    }

    /// The room for more bytes in a repository, and the error for more than that; none if no quota limits it.
    pub(crate) fn quota_room(&self, repository: &RepositoryName) -> Result<Option<(u64, Error)>> {
        let found = self.quotas()?;
        let rooms = found.iter().filter(|quota| is_among(repository, &quota.rule.repositories));
        let rooms = rooms.filter_map(|QuotaUsage { rule, used }| {
            let most = rule.bytes?;
            let left = most.saturating_sub(used.bytes);
            Some((left, exceeded(rule, (used.bytes, left.saturating_add(1)), (most, "bytes"))))
        });
        Ok(rooms.min_by_key(|(left, _)| *left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(bytes: Option<u64>, tags: Option<u64>) -> QuotaRule {
        QuotaRule { repositories: vec!["a/**".parse().unwrap()], bytes, tags }
    }

    #[test]
    fn only_an_increase_beyond_the_limit_is_refused() {
        let used = |bytes, tags| Usage { bytes, tags };
        let check = |rule: QuotaRule, before, after| check(&[rule], &[before], &[after]);
        assert!(check(rule(Some(10), None), used(5, 9), used(10, 99)).is_ok());
        let error = check(rule(Some(10), None), used(5, 0), used(11, 0)).unwrap_err();
        let Error::QuotaExceeded { quota, used: 5, added: 6, most: 10, what: "bytes" } = error else {
            panic!("{error:?}");
        };
        assert_eq!(quota, "a/**");
        assert!(check(rule(None, Some(2)), used(0, 2), used(99, 3)).is_err());
        // The limit was lowered.
        assert!(check(rule(Some(10), Some(1)), used(50, 5), used(50, 4)).is_ok());
        assert!(check(rule(Some(10), Some(1)), used(50, 5), used(51, 5)).is_err());
    }

    /// The counters after any sequence of changes equal those that are counted anew.
    #[test]
    fn triggers_count_each_blob_once_for_each_quota() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(crate::schema::TABLES).unwrap();
        connection.execute_batch(TABLES).unwrap();
        let two =
            |pattern: &str| QuotaRule { repositories: vec![pattern.parse().unwrap()], ..rule(None, None) };
        let rules = [two("a/**"), two("**"), two("a/x")];
        count_all(&connection, &rules).unwrap();
        let mut seed = 7_u64;
        let mut random = |most: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % most
        };
        for round in 0..400 {
            let name = ["a/x", "a/y", "b", "b/c"][usize::try_from(random(4)).unwrap()];
            connection.execute("INSERT OR IGNORE INTO repositories (name) VALUES (?1)", [name]).unwrap();
            let id: i64 = connection
                .query_row("SELECT id FROM repositories WHERE name = ?1", [name], |row| row.get(0))
                .unwrap();
            let digest = random(6);
            let sql = match random(8) {
                0 | 1 => "INSERT OR REPLACE INTO blobs (repository, digest, size) VALUES (?1, ?2, 10 + ?2)",
                2 => "DELETE FROM blobs WHERE repository = ?1 AND digest = ?2",
                3 => "DELETE FROM blobs WHERE digest = ?2 AND ?1",
                4 => {
                    "INSERT INTO manifests (repository, digest, media_type, size) VALUES (?1, ?2, '', 100 + ?2)
                     ON CONFLICT (repository, digest) DO UPDATE SET media_type = 'x'"
                }
                5 => "DELETE FROM manifests WHERE repository = ?1 AND digest = ?2",
                6 => {
                    "INSERT INTO tags (repository, tag, digest) VALUES (?1, ?2, '')
                     ON CONFLICT (repository, tag) DO UPDATE SET digest = 'x'"
                }
                _ => "DELETE FROM tags WHERE repository = ?1 AND tag = ?2",
            };
            connection.execute(sql, params![id, signed(digest)]).unwrap();
            settle(&connection, &rules).unwrap();
            let counted = usage(&connection).unwrap();
            count_all(&connection, &rules).unwrap();
            assert_eq!(counted, usage(&connection).unwrap(), "round {round}: {sql}");
        }
    }
}
