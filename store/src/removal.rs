//! Removing names: a tag, a manifest with its tags, a whole repository. The content becomes garbage.

use oci::{Digest, RepositoryName, Tag};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::change::{execute, repository_id};
use crate::journal::Record;
use crate::query::{all, parsed};
use crate::{Result, history, pushed};

/// Removes a tag; its manifest stays.
pub(crate) fn tag(
    connection: &Connection,
    repository: &RepositoryName,
    tag: &Tag,
    actor: Option<&str>,
) -> Result<Record> {
    let id = repository_id(connection, repository)?;
    let sql = "DELETE FROM tags WHERE repository = ?1 AND tag = ?2";
    if connection.prepare_cached(sql)?.execute(params![id, tag.as_str()])? > 0 {
        history::record(connection, (id, tag.as_str()), None, actor)?;
    }
    Ok(Record::TagGone { repository: repository.clone(), tag: tag.clone() })
}

/// Removes a manifest from a repository, with the tags on it.
pub(crate) fn manifest(
    connection: &Connection,
    repository: &RepositoryName,
    digest: &Digest,
    actor: Option<&str>,
) -> Result<Record> {
    let id = repository_id(connection, repository)?;
    let text = digest.to_string();
    let tags: Vec<String> = connection
        .prepare_cached("DELETE FROM tags WHERE repository = ?1 AND digest = ?2 RETURNING tag")?
        .query_map(params![id, text], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for tag in tags {
        history::record(connection, (id, &tag), None, actor)?;
    }
    pushed::forget(connection, id, &text)?;
    execute(connection, "DELETE FROM inbox WHERE repository = ?1 AND digest = ?2", params![id, text])?;
    execute(connection, "DELETE FROM manifests WHERE repository = ?1 AND digest = ?2", params![id, text])?;
    Ok(Record::ManifestGone { repository: repository.clone(), digest: digest.clone() })
}

/// Removes manifests from a repository, with the tags on them.
pub(crate) fn manifests<'a>(
    connection: &Connection,
    repository: &RepositoryName,
    digests: impl Iterator<Item = &'a Digest>,
    actor: Option<&str>,
) -> Result<Vec<Record>> {
    digests.map(|digest| manifest(connection, repository, digest, actor)).collect()
}

/// Removes a repository with everything that refers to it. The journal gets a record for each manifest, which also removes
/// its tags.
pub(crate) fn repository(connection: &Connection, repository: &RepositoryName) -> Result<Vec<Record>> {
    let sql = "SELECT id FROM repositories WHERE name = ?1";
    let id: Option<i64> =
        connection.prepare_cached(sql)?.query_row([repository.as_str()], |row| row.get(0)).optional()?;
    let Some(id) = id else { return Ok(Vec::new()) };
    let manifests = "SELECT digest FROM manifests WHERE repository = ?1";
    let manifests: Vec<Digest> = all(connection, manifests, [id], |row| parsed(row, 0))?;
    for table in ["tags", "tag_history", "pushed", "inbox", "blobs", "manifests"] {
        execute(connection, &format!("DELETE FROM {table} WHERE repository = ?1"), [id])?;
    }
    execute(connection, "DELETE FROM repositories WHERE id = ?1", [id])?;
    let gone = |digest| Record::ManifestGone { repository: repository.clone(), digest };
    Ok(manifests.into_iter().map(gone).collect())
}
