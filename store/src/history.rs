//! The history of tags: who moved which tag to which manifest, and when. It keeps the newest changes of each tag, and of
//! all tags together. It is only in the database; a rebuild keeps it if it can read the old database.

use oci::{Digest, RepositoryName, Tag};
use rusqlite::{Connection, params};
use serde::Serialize;

use crate::Result;
use crate::apply::{execute, now};
use crate::query::{Readers, all, parsed, size, to_limit};
use crate::schema::has_column;

/// How many changes of one tag are kept.
const PER_TAG: i64 = 1000;
/// How many changes of all tags are kept.
const IN_TOTAL: i64 = 200_000;
/// The maximum length of an actor in characters.
const MAX_ACTOR: usize = 256;

/// One change of a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TagChange {
    /// The tag.
    pub tag: Tag,
    /// The time of the change, in seconds since 1970.
    pub at: u64,
    /// The manifest before; none if the tag did not exist, or if that change is no longer kept.
    pub from: Option<Digest>,
    /// The manifest after; none if the tag was removed.
    pub to: Option<Digest>,
    /// Who made the change: a user, a command. None if an older version recorded it.
    pub by: Option<String>,
}

/// Records that a tag points to a manifest, or to none, from now on.
pub(crate) fn record(
    connection: &Connection,
    (repository, tag): (i64, &str),
    digest: Option<&str>,
    actor: Option<&str>,
) -> Result<()> {
    let actor: Option<String> = actor.map(|actor| actor.chars().take(MAX_ACTOR).collect());
    let sql = "INSERT INTO tag_history (repository, tag, digest, at, actor) VALUES (?1, ?2, ?3, ?4, ?5)";
    execute(connection, sql, params![repository, tag, digest, now(), actor])?;
    prune(connection, (repository, tag), PER_TAG, IN_TOTAL)
}

/// Removes the oldest changes of a tag, and of all tags.
fn prune(connection: &Connection, (repository, tag): (i64, &str), per_tag: i64, in_total: i64) -> Result<()> {
    let sql = "DELETE FROM tag_history WHERE repository = ?1 AND tag = ?2 AND rowid <=
                 (SELECT rowid FROM tag_history WHERE repository = ?1 AND tag = ?2
                  ORDER BY rowid DESC LIMIT 1 OFFSET ?3)";
    execute(connection, sql, params![repository, tag, per_tag])?;
    let sql = "DELETE FROM tag_history WHERE rowid <= (SELECT max(rowid) FROM tag_history) - ?1";
    execute(connection, sql, [in_total])
}

impl Readers {
    /// The changes of a tag, or of all tags of a repository, newest first.
    pub(crate) fn tag_history(
        &self,
        repository: &RepositoryName,
        tag: Option<&Tag>,
        limit: Option<usize>,
    ) -> Result<Vec<TagChange>> {
        let only = if tag.is_some() { "AND tag = ?2" } else { "AND ?2 IS NULL" };
        let (name, tag) = (repository.as_str(), tag.map(Tag::as_str));
        self.with(|c| {
            // A store that was last written by an older version lacks the column.
            let actor = if has_column(c, "tag_history", "actor")? { "actor" } else { "NULL" };
            let sql = format!(
                "SELECT tag, at, before, digest, actor FROM (
                   SELECT rowid AS number, tag, at, digest, {actor} AS actor,
                     lag(digest) OVER (PARTITION BY tag ORDER BY rowid) AS before
                   FROM tag_history
                   WHERE repository = (SELECT id FROM repositories WHERE name = ?1) {only})
                 ORDER BY number DESC LIMIT ?3"
            );
            all(c, &sql, params![name, tag, to_limit(limit)], |row| {
                let (from, to) = (row.get::<_, Option<String>>(2)?, row.get::<_, Option<String>>(3)?);
                let digest = |text: Option<String>| text.map(|text| text.parse()).transpose();
                Ok(TagChange {
                    tag: parsed(row, 0)?,
                    at: size(row, 1)?,
                    from: digest(from)?,
                    to: digest(to)?,
                    by: row.get(4)?,
                })
            })
        })
    }

    /// The manifests that actors whose names contain `marker` set tags to, each tag's newest one.
    pub(crate) fn manifests_tagged_by(&self, marker: &str) -> Result<Vec<(RepositoryName, Digest)>> {
        // With `max`, SQLite takes the other columns from the row that has the maximum.
        let sql = "SELECT DISTINCT name, digest FROM (
                     SELECT repository, digest, max(rowid) FROM tag_history
                     WHERE instr(actor, ?1) > 0 AND digest IS NOT NULL GROUP BY repository, tag)
                   JOIN repositories ON id = repository";
        self.with(|c| {
            // A store that was last written by an older version lacks the column.
            if !has_column(c, "tag_history", "actor")? {
                return Ok(Vec::new());
            }
            all(c, sql, [marker], |row| Ok((parsed(row, 0)?, parsed(row, 1)?)))
        })
    }

    /// The tags of a repository at a time, given in seconds since 1970. A tag without any recorded change counts as
    /// unchanged.
    pub(crate) fn tags_at(&self, repository: &RepositoryName, at: i64) -> Result<Vec<(Tag, Digest)>> {
        // With `max`, SQLite takes the other columns from the row that has the maximum.
        let sql = "WITH home AS (SELECT id FROM repositories WHERE name = ?1)
                   SELECT tag, digest FROM (
                     SELECT tag, digest, max(rowid) FROM tag_history
                     WHERE repository = (SELECT id FROM home) AND at <= ?2 GROUP BY tag)
                   WHERE digest IS NOT NULL
                   UNION ALL
                   SELECT tag, digest FROM tags WHERE repository = (SELECT id FROM home) AND NOT EXISTS
                     (SELECT 1 FROM tag_history h WHERE h.repository = tags.repository AND h.tag = tags.tag)
                   ORDER BY tag";
        let parameters = params![repository.as_str(), at];
        self.with(|c| all(c, sql, parameters, |row| Ok((parsed(row, 0)?, parsed(row, 1)?))))
    }
}

/// A row of the history, with the repository's name.
pub(crate) struct HistoryRow {
    repository: String,
    tag: String,
    digest: Option<String>,
    at: i64,
    actor: Option<String>,
}

/// The history in a database, oldest first.
pub(crate) fn read_all(connection: &Connection) -> Result<Vec<HistoryRow>> {
    let actor = if has_column(connection, "tag_history", "actor")? { "actor" } else { "NULL" };
    let sql = format!(
        "SELECT name, tag, digest, at, {actor} FROM tag_history JOIN repositories ON id = repository
         ORDER BY tag_history.rowid"
    );
    all(connection, &sql, [], |row| {
        let (repository, tag) = (row.get(0)?, row.get(1)?);
        Ok(HistoryRow { repository, tag, digest: row.get(2)?, at: row.get(3)?, actor: row.get(4)? })
    })
}

/// Replaces the history of a rebuilt database with the old one, and adds the differences between its end and the tags.
pub(crate) fn restore(connection: &Connection, rows: &[HistoryRow], actor: &str) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    execute(connection, "DELETE FROM tag_history", [])?;
    let sql = "INSERT INTO tag_history (repository, tag, digest, at, actor)
               SELECT id, ?2, ?3, ?4, ?5 FROM repositories WHERE name = ?1";
    for row in rows {
        // A repository that was removed has nothing else.
        let removed = "INSERT OR IGNORE INTO repositories (name, removed) VALUES (?1, 1)";
        execute(connection, removed, [&row.repository])?;
        execute(connection, sql, params![row.repository, row.tag, row.digest, row.at, row.actor])?;
    }
    let sql = "INSERT INTO tag_history (repository, tag, digest, at, actor)
               SELECT last.repository, last.tag, tags.digest, ?1, ?2 FROM
                 (SELECT repository, tag, digest, max(rowid) FROM tag_history GROUP BY repository, tag) AS last
                 LEFT JOIN tags ON tags.repository = last.repository AND tags.tag = last.tag
               WHERE tags.digest IS NOT last.digest
               UNION ALL
               SELECT repository, tag, digest, ?1, ?2 FROM tags WHERE NOT EXISTS
                 (SELECT 1 FROM tag_history h WHERE h.repository = tags.repository AND h.tag = tags.tag)";
    execute(connection, sql, params![now(), actor])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_changes_of_a_tag_and_of_all_tags_are_kept() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(crate::schema::TABLES).unwrap();
        connection.execute("INSERT INTO repositories (id, name) VALUES (1, 'a')", []).unwrap();
        let count = |tag: &str| -> i64 {
            let sql = "SELECT count(*) FROM tag_history WHERE tag = ?1";
            connection.query_row(sql, [tag], |row| row.get(0)).unwrap()
        };
        for number in 0..9 {
            let digest = format!("d{number}");
            record(&connection, (1, "moved"), Some(&digest), Some(&"x".repeat(300))).unwrap();
            prune(&connection, (1, "moved"), 3, 100).unwrap();
        }
        assert_eq!(count("moved"), 3);
        let sql = "SELECT min(digest), max(length(actor)) FROM tag_history";
        let oldest = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(oldest, ("d6".to_owned(), 256));
        for _ in 0..5 {
            record(&connection, (1, "other"), None, None).unwrap();
            prune(&connection, (1, "other"), 100, 6).unwrap();
        }
        assert_eq!((count("moved"), count("other")), (1, 5));
    }
}
