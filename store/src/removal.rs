//! Removing names: a tag, a manifest with its tags, a whole repository. The content becomes garbage. Immutable tags and
//! protected names are not removed, unless the change overrides the rules.

use oci::{Digest, RepositoryName, Selector, Tag};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::apply::{execute, repository_id};
use crate::change::Change;
use crate::journal::Record;
use crate::layout::Layout;
use crate::query::{all, parsed};
use crate::rules::Rules;
use crate::{Result, history, protect, pushed, reach, retention};

/// Applies a removal, and returns its records for the journal; none if the change is none. Without rules, nothing is exempt.
pub(crate) fn apply(
    connection: &Connection,
    layout: &Layout,
    (change, actor): (&Change, Option<&str>),
    rules: Option<&Rules>,
) -> Result<Option<Vec<Record>>> {
    Ok(Some(match change {
        Change::DeleteTag { repository, tag: name } => {
            check(connection, repository, Some(&Selector::Tag(name.clone())), rules)?;
            vec![tag(connection, repository, name, actor)?]
        }
        Change::DeleteManifest { repository, digest } => {
            check(connection, repository, Some(&Selector::Digest(digest.clone())), rules)?;
            vec![manifest(connection, repository, digest, actor)?]
        }
        Change::DeleteRepository { repository: name } => {
            check(connection, name, None, rules)?;
            repository(connection, name, actor)?
        }
        Change::DeleteUntagged { repository, planned, before, keep } => {
            let unkept = reach::unkept(connection, layout, repository, *before, keep)?;
            let gone = unkept.intersection(planned);
            gone.map(|digest| manifest(connection, repository, digest, actor)).collect::<Result<_>>()?
        }
        Change::ExpireTags { repository, planned, keep } => {
            let Some(rules) = rules else { return Ok(Some(Vec::new())) };
            let expired = retention::expired(connection, layout, rules, repository, keep)?;
            let gone = expired.iter().filter(|expired| planned.contains(&expired.tag));
            gone.map(|expired| tag(connection, repository, &expired.tag, actor)).collect::<Result<_>>()?
        }
        _ => return Ok(None),
    }))
}

/// Fails if a removal would remove an immutable tag or a protected name.
fn check(
    connection: &Connection,
    repository: &RepositoryName,
    selector: Option<&Selector>,
    rules: Option<&Rules>,
) -> Result<()> {
    let Some(rules) = rules else { return Ok(()) };
    protect::check_removable(connection, repository, selector)?;
    if rules.immutable_tags.is_empty() {
        return Ok(());
    }
    let digest = match selector {
        Some(Selector::Tag(tag)) => {
            let sql = "SELECT 1 FROM tags WHERE tag = ?2 AND repository = (SELECT id FROM repositories WHERE name = ?1)";
            let exists = connection.prepare_cached(sql)?.exists([repository.as_str(), tag.as_str()])?;
            return if exists { rules.check_movable(repository, tag) } else { Ok(()) };
        }
        Some(Selector::Digest(digest)) => Some(digest.to_string()),
        None => None,
    };
    let sql = "SELECT tag FROM tags WHERE repository = (SELECT id FROM repositories WHERE name = ?1)
               AND (?2 IS NULL OR digest = ?2) ORDER BY tag";
    let tags: Vec<Tag> = all(connection, sql, params![repository.as_str(), digest], |row| parsed(row, 0))?;
    tags.iter().try_for_each(|tag| rules.check_movable(repository, tag))
}

/// Removes a tag; its manifest stays.
fn tag(
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
    execute(connection, "DELETE FROM pulls WHERE repository = ?1 AND digest = ?2", params![id, text])?;
    execute(connection, "DELETE FROM manifests WHERE repository = ?1 AND digest = ?2", params![id, text])?;
    Ok(Record::ManifestGone { repository: repository.clone(), digest: digest.clone() })
}

/// Removes a repository with everything that refers to it, apart from the history of its tags, for which a row stays. The
/// journal gets a record for each manifest, which also removes its tags.
fn repository(
    connection: &Connection,
    repository: &RepositoryName,
    actor: Option<&str>,
) -> Result<Vec<Record>> {
    let sql = "SELECT id FROM repositories WHERE name = ?1";
    let id: Option<i64> =
        connection.prepare_cached(sql)?.query_row([repository.as_str()], |row| row.get(0)).optional()?;
    let Some(id) = id else { return Ok(Vec::new()) };
    let manifests = "SELECT digest FROM manifests WHERE repository = ?1";
    let manifests: Vec<Digest> = all(connection, manifests, [id], |row| parsed(row, 0))?;
    let tags = "DELETE FROM tags WHERE repository = ?1 RETURNING tag";
    let tags: Vec<String> = all(connection, tags, [id], |row| Ok(row.get(0)?))?;
    for tag in tags {
        history::record(connection, (id, &tag), None, actor)?;
    }
    for table in ["pushed", "pulls", "inbox", "blobs", "manifests"] {
        execute(connection, &format!("DELETE FROM {table} WHERE repository = ?1"), [id])?;
    }
    execute(connection, "UPDATE repositories SET removed = 1 WHERE id = ?1", [id])?;
    // Also those whose history was pruned meanwhile.
    let sql = "DELETE FROM repositories WHERE removed AND NOT EXISTS
                 (SELECT 1 FROM tag_history WHERE repository = id)";
    execute(connection, sql, [])?;
    let gone = |digest| Record::ManifestGone { repository: repository.clone(), digest };
    Ok(manifests.into_iter().map(gone).collect())
}
