//! Why a blob or a manifest is kept: the tags, indexes, subjects, leases and protections that lead to it.

use std::collections::{BTreeMap, VecDeque};

use oci::{Digest, RepositoryName, Selector, Tag};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;

use crate::apply::now;
use crate::protect::Protection;
use crate::query::{all, parsed, size};
use crate::{Result, protect};

/// The maximum number of reasons that are listed.
const MAX_REASONS: usize = 100;

/// What keeps a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// The digest.
    pub digest: Digest,
    /// The paths that lead to it.
    pub reasons: Vec<Reason>,
    /// Whether there are more reasons than those listed.
    pub more: bool,
    /// The leases on it.
    pub leases: Vec<LeaseRow>,
    /// The repositories from which a client can download it as a blob.
    pub linked: Vec<RepositoryName>,
    /// The protections of what the paths lead through.
    pub protections: Vec<Protection>,
}

/// A path to the digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The repository.
    pub repository: RepositoryName,
    /// The tag at which the path begins; none if it begins at a manifest without a tag.
    pub tag: Option<Tag>,
    /// The manifests and blobs from the beginning to the digest itself.
    pub path: Vec<PathStep>,
}

/// One manifest or blob of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathStep {
    /// Its digest.
    pub digest: Digest,
    /// How the step before leads to it; none for the first step.
    pub relation: Option<Relation>,
}

/// How one step of a path leads to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// The manifest before lists it.
    Content,
    /// It is about the manifest before, as signatures are.
    Referrer,
}

/// A lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeaseRow {
    /// Its holder.
    pub holder: String,
    /// When it expires, in seconds since 1970.
    pub expires: u64,
}

/// A manifest or blob in a repository.
type Place = (RepositoryName, Digest);

/// Searches upwards from a digest, nearest reasons first.
pub(crate) fn why(connection: &Connection, digest: &Digest) -> Result<Kept> {
    let text = digest.to_string();
    let leases = "SELECT holder, expires FROM leases WHERE digest = ?1 AND expires > ?2 ORDER BY holder";
    let leases = all(connection, leases, params![text, now()], |row| {
        Ok(LeaseRow { holder: row.get(0)?, expires: size(row, 1)? })
    })?;
    let linked =
        "SELECT name FROM blobs JOIN repositories ON id = repository WHERE digest = ?1 ORDER BY name";
    let linked = all(connection, linked, [&text], |row| parsed(row, 0))?;
    let (digest_of, reasons, protections) = (digest.clone(), Vec::new(), Vec::new());
    let mut kept = Kept { digest: digest_of, reasons, more: false, leases, linked, protections };
    let mut search = Search { connection, towards: BTreeMap::new(), open: VecDeque::new() };
    let own =
        "SELECT name FROM manifests JOIN repositories ON id = repository WHERE digest = ?1 ORDER BY name";
    for repository in all(connection, own, [&text], |row| parsed(row, 0))? {
        search.add((repository, digest.clone()), None);
    }
    let naming = "SELECT r.name, m.digest FROM edges e JOIN manifests m ON m.digest = e.parent
                  JOIN repositories r ON r.id = m.repository WHERE e.child = ?1 ORDER BY r.name, m.digest";
    for (repository, parent) in
        all(connection, naming, [&text], |row| Ok((parsed(row, 0)?, parsed(row, 1)?)))?
    {
        search.add((repository, parent), Some((digest.clone(), Relation::Content)));
    }
    'search: while let Some(place) = search.open.pop_front() {
        for reason in search.reasons(&place, digest)? {
            if kept.reasons.len() >= MAX_REASONS {
                kept.more = true;
                break 'search;
            }
            kept.reasons.push(reason);
        }
    }
    kept.protections = protect::read_all(connection)?;
    let Kept { protections, reasons, .. } = &mut kept;
    protections.retain(|protection| reasons.iter().any(|reason| reason.is_protected_by(protection)));
    Ok(kept)
}

impl Reason {
    fn is_protected_by(&self, protection: &Protection) -> bool {
        self.repository == protection.repository
            && match &protection.selector {
                None => true,
                Some(Selector::Tag(tag)) => self.tag.as_ref() == Some(tag),
                Some(Selector::Digest(digest)) => self.path.iter().any(|step| step.digest == *digest),
            }
    }
}

struct Search<'a> {
    connection: &'a Connection,
    /// The next step from each place towards the digest; none for the digest itself.
    towards: BTreeMap<Place, Option<(Digest, Relation)>>,
    open: VecDeque<Place>,
}

impl Search<'_> {
    fn add(&mut self, place: Place, next: Option<(Digest, Relation)>) {
        if !self.towards.contains_key(&place) {
            self.towards.insert(place.clone(), next);
            self.open.push_back(place);
        }
    }

    /// Adds what leads to a manifest, and returns the paths that begin there.
    fn reasons(&mut self, place: &Place, digest: &Digest) -> Result<Vec<Reason>> {
        let (repository, at) = place;
        let (name, text) = (repository.as_str(), at.to_string());
        let home = "(SELECT id FROM repositories WHERE name = ?1)";
        let parents = format!(
            "SELECT m.digest FROM edges e JOIN manifests m ON m.digest = e.parent
             WHERE e.child = ?2 AND m.repository = {home} ORDER BY m.digest"
        );
        let parents: Vec<Digest> = all(self.connection, &parents, [name, &text], |row| parsed(row, 0))?;
        let subject = format!(
            "SELECT s.digest FROM manifests m JOIN manifests s ON s.repository = m.repository
             AND s.digest = m.subject WHERE m.repository = {home} AND m.digest = ?2"
        );
        let subject: Option<String> = self
            .connection
            .prepare_cached(&subject)?
            .query_row([name, &text], |row| row.get(0))
            .optional()?;
        let subject = subject.map(|subject| subject.parse::<Digest>()).transpose()?;
        let is_root = parents.is_empty() && subject.is_none();
        let above = parents.into_iter().map(|parent| (parent, Relation::Content));
        for (above, relation) in above.chain(subject.map(|subject| (subject, Relation::Referrer))) {
            self.add((repository.clone(), above), Some((at.clone(), relation)));
        }
        let tags = format!("SELECT tag FROM tags WHERE repository = {home} AND digest = ?2 ORDER BY tag");
        let tags: Vec<Tag> = all(self.connection, &tags, [name, &text], |row| parsed(row, 0))?;
        let path = self.path(place, digest);
        let reason = |tag| Reason { repository: repository.clone(), tag, path: path.clone() };
        if tags.is_empty() && is_root {
            return Ok(vec![reason(None)]);
        }
        Ok(tags.into_iter().map(|tag| reason(Some(tag))).collect())
    }

    fn path(&self, place: &Place, digest: &Digest) -> Vec<PathStep> {
        let (repository, start) = place;
        let mut path = vec![PathStep { digest: start.clone(), relation: None }];
        let mut at = start.clone();
        while at != *digest {
            let Some(Some((next, relation))) = self.towards.get(&(repository.clone(), at)) else { break };
            path.push(PathStep { digest: next.clone(), relation: Some(*relation) });
            at = next.clone();
        }
        path
    }
}
