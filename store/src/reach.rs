//! What keeps the manifests of a repository: a tag, the inbox, an index that lists one, a protection, or the manifest that
//! one is about. Signatures live and die with their subject, whether they name it in their content or by cosign's tag.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oci::{Digest, RepositoryName, Tag};
use rusqlite::{Connection, params};

use crate::apply::now;
use crate::layout::Layout;
use crate::query::{all, parsed, size};
use crate::{Result, protect};

/// The manifests that nothing keeps, by repository.
pub type Untagged = BTreeMap<RepositoryName, BTreeSet<Digest>>;

/// The manifests of all repositories that nothing keeps and that were not pushed, and lost no tag, after `before`. The
/// manifests `keep` stay, with everything that they keep.
pub(crate) fn untagged(
    connection: &Connection,
    layout: &Layout,
    before: SystemTime,
    keep: &Untagged,
) -> Result<Untagged> {
    let none = BTreeSet::new();
    let names: Vec<RepositoryName> =
        all(connection, "SELECT name FROM repositories", [], |row| parsed(row, 0))?;
    let mut found = Untagged::new();
    for name in names {
        let keep = keep.get(&name).unwrap_or(&none);
        let unkept = unkept(connection, layout, &name, before, keep)?;
        if !unkept.is_empty() {
            found.insert(name, unkept);
        }
    }
    Ok(found)
}

/// The same for one repository.
pub(crate) fn unkept(
    connection: &Connection,
    layout: &Layout,
    repository: &RepositoryName,
    before: SystemTime,
    keep: &BTreeSet<Digest>,
) -> Result<BTreeSet<Digest>> {
    let graph = Graph::read(connection, repository)?;
    let loose = graph.unkept(keep);
    if loose.is_empty() {
        return Ok(loose);
    }
    let untagged_at = untagged_at(connection, repository)?;
    let is_recent = |digest: &&Digest| {
        let pushed = fs::metadata(layout.blob(digest)).and_then(|file| file.modified());
        pushed.is_ok_and(|pushed| pushed > before)
            || untagged_at.get(*digest).is_some_and(|untagged| *untagged > before)
    };
    let roots = loose.iter().filter(is_recent).chain(keep).cloned().collect();
    Ok(graph.unkept(&roots))
}

/// When each manifest lost its last tag, as far as the history of tags goes back.
fn untagged_at(connection: &Connection, repository: &RepositoryName) -> Result<BTreeMap<Digest, SystemTime>> {
    let sql = "SELECT digest, max(until) FROM (
                 SELECT digest, lead(at) OVER (PARTITION BY tag ORDER BY rowid) AS until FROM tag_history
                 WHERE repository = (SELECT id FROM repositories WHERE name = ?1))
               WHERE digest IS NOT NULL AND until IS NOT NULL GROUP BY digest";
    let rows = all(connection, sql, [repository.as_str()], |row| Ok((parsed(row, 0)?, size(row, 1)?)))?;
    Ok(rows.into_iter().map(|(digest, at)| (digest, UNIX_EPOCH + Duration::from_secs(at))).collect())
}

/// The digest that the content of a tag is about: cosign's tags, and those of referrers in registries without the
/// referrers API.
pub(crate) fn subject_of(tag: &Tag) -> Option<Digest> {
    tag.attached_to().or_else(|| {
        let subject = tag.as_str().replacen('-', ":", 1).parse().ok()?;
        (Tag::of_referrers(&subject) == *tag).then_some(subject)
    })
}

/// The manifests of a repository, and what refers to them.
#[derive(Debug, Default)]
struct Graph {
    /// The manifests, with their subjects.
    manifests: BTreeMap<Digest, Option<Digest>>,
    /// Indexes, with the manifests that they list.
    children: Vec<(Digest, Digest)>,
    tags: Vec<(Tag, Digest)>,
    /// What leases, protections and the inbox keep.
    leased: BTreeSet<Digest>,
    /// The subjects of tags that only other repositories have: signatures may be in a repository of their own.
    elsewhere: BTreeSet<Digest>,
}

impl Graph {
    fn read(connection: &Connection, repository: &RepositoryName) -> Result<Self> {
        let name = repository.as_str();
        let home = "(SELECT id FROM repositories WHERE name = ?1)";
        let manifests = format!("SELECT digest, subject FROM manifests WHERE repository = {home}");
        let manifests = all(connection, &manifests, [name], |row| {
            let subject = row.get::<_, Option<String>>(1)?.map(|text| text.parse()).transpose()?;
            Ok((parsed(row, 0)?, subject))
        })?;
        let children = format!(
            "SELECT e.parent, e.child FROM manifests p JOIN edges e ON e.parent = p.digest
             JOIN manifests c ON c.repository = p.repository AND c.digest = e.child WHERE p.repository = {home}"
        );
        let children = all(connection, &children, [name], |row| Ok((parsed(row, 0)?, parsed(row, 1)?)))?;
        let tags = format!("SELECT tag, digest FROM tags WHERE repository = {home}");
        let tags: Vec<(Tag, Digest)> =
            all(connection, &tags, [name], |row| Ok((parsed(row, 0)?, parsed(row, 1)?)))?;
        let leased = format!(
            "SELECT m.digest FROM manifests m JOIN leases l ON l.digest = m.digest
             WHERE m.repository = {home} AND l.expires > ?2
             UNION SELECT digest FROM inbox WHERE repository = {home} AND expires > ?2"
        );
        let leased = all(connection, &leased, params![name, now()], |row| parsed(row, 0))?;
        let mut graph = Self {
            manifests: manifests.into_iter().collect(),
            children,
            leased: leased.into_iter().chain(protect::roots(connection, repository)?).collect(),
            ..Self::default()
        };
        let mut exists = connection.prepare_cached("SELECT 1 FROM manifests WHERE digest = ?1")?;
        for subject in tags.iter().filter_map(|(tag, _)| subject_of(tag)) {
            if !graph.manifests.contains_key(&subject) && exists.exists([subject.to_string()])? {
                graph.elsewhere.insert(subject);
            }
        }
        graph.tags = tags;
        Ok(graph)
    }

    /// The manifests that neither a tag nor a lease nor the inbox nor one of `roots` keeps.
    fn unkept(&self, roots: &BTreeSet<Digest>) -> BTreeSet<Digest> {
        let mut open: Vec<&Digest> = roots.iter().chain(&self.leased).collect();
        let mut kept_by: BTreeMap<&Digest, Vec<&Digest>> = BTreeMap::new();
        for (parent, child) in &self.children {
            kept_by.entry(parent).or_default().push(child);
        }
        for (digest, subject) in &self.manifests {
            if let Some(subject) = subject {
                kept_by.entry(subject).or_default().push(digest);
            }
        }
        let subjects: Vec<_> = self.tags.iter().map(|(tag, digest)| (subject_of(tag), digest)).collect();
        for (subject, digest) in &subjects {
            match subject {
                Some(subject) if !self.elsewhere.contains(subject) => {
                    kept_by.entry(subject).or_default().push(digest);
                }
                Some(_) | None => open.push(digest),
            }
        }
        let mut kept = BTreeSet::new();
        while let Some(digest) = open.pop() {
            if kept.insert(digest) {
                open.extend(kept_by.get(digest).into_iter().flatten());
            }
        }
        self.manifests.keys().filter(|digest| !kept.contains(digest)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::sha256(name.as_bytes())
    }

    /// A graph from `name`, `name about subject`, `name in index`, `tag=name`.
    fn unkept(text: &str, roots: &[&str]) -> Vec<String> {
        let mut graph = Graph::default();
        let mut names = BTreeMap::new();
        for part in text.split(", ") {
            let words: Vec<&str> = part.split(' ').collect();
            if let Some((tag, name)) = part.split_once('=') {
                graph.tags.push((tag.parse().unwrap(), digest(name)));
                continue;
            }
            let own = digest(words[0]);
            names.insert(own.clone(), words[0]);
            let subject = (words.get(1) == Some(&"about")).then(|| digest(words[2]));
            let known = graph.manifests.entry(own.clone()).or_default();
            *known = known.take().or(subject);
            if words.get(1) == Some(&"in") {
                graph.children.push((digest(words[2]), own));
            }
        }
        graph.leased.insert(digest("leased"));
        graph.elsewhere.insert(digest("elsewhere"));
        let found = graph.unkept(&roots.iter().map(|name| digest(name)).collect());
        found.iter().map(|digest| names[digest].to_owned()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    #[test]
    fn tags_indexes_and_subjects_keep_manifests() {
        assert_eq!(unkept("a, b, v1=a", &[]), ["b"]);
        assert_eq!(unkept("i, c in i, d in c, s about d, t about s, v1=i", &[]), [""; 0]);
        assert_eq!(unkept("i, c in i, d in c, s about d, t about s", &[]), ["c", "d", "i", "s", "t"]);
        assert_eq!(unkept("i, j, c in i, c in j, v1=j", &[]), ["i"]);
        // A signature does not keep its subject, and a subject that is missing keeps nothing.
        assert_eq!(unkept("a, s about a, signature=s", &[]), ["a"]);
        assert_eq!(unkept("s about gone", &[]), ["s"]);
        assert_eq!(unkept("leased, s about leased", &[]), [""; 0]);
    }

    #[test]
    fn tags_of_cosign_count_only_while_their_subject_is_kept() {
        let tag = |name: &str, end: &str| format!("{}{end}", digest(name).to_string().replacen(':', "-", 1));
        for end in [".sig", ".att", ".sbom", ""] {
            let text = |more: &str| format!("a, s, {}=s{more}", tag("a", end));
            assert_eq!(unkept(&text(""), &[]), ["a", "s"], "{end}");
            assert_eq!(unkept(&text(", v1=a"), &[]), [""; 0], "{end}");
            assert_eq!(unkept(&text(", kept=s"), &[]), ["a"], "{end}");
        }
        assert_eq!(unkept(&format!("s, {}=s", tag("gone", ".sig")), &[]), ["s"]);
        assert_eq!(unkept(&format!("s, {}=s", tag("elsewhere", ".sig")), &[]), [""; 0]);
    }

    /// What is too recent to be removed keeps what it needs.
    #[test]
    fn a_recent_manifest_keeps_its_children_and_its_signatures() {
        let text = "i, c in i, s about i, other";
        assert_eq!(unkept(text, &["i"]), ["other"]);
        assert_eq!(unkept(text, &["c"]), ["i", "other", "s"]);
    }
}
