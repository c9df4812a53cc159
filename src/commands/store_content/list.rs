//! `airlock store list`.

use std::collections::{BTreeMap, BTreeSet};

use oci::{Digest, RepositoryName, Tag};
use serde::Serialize;
use store::Store;

use crate::failure::Status;
use crate::printer::{Printer, size};

/// One image or artifact, under one of its names.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    repository: RepositoryName,
    /// None if only the digest identifies it.
    tag: Option<Tag>,
    /// None for a repository without manifests.
    digest: Option<Digest>,
    /// The bytes of the manifest and of everything that it references in the store.
    bytes: u64,
}

impl Line {
    fn text(&self) -> String {
        let Self { repository, tag, digest, bytes } = self;
        match (tag, digest) {
            (Some(tag), Some(digest)) => format!("{repository}:{tag}  {digest}  {}\n", size(*bytes)),
            (None, Some(digest)) => format!("{repository}@{digest}  {}\n", size(*bytes)),
            (_, None) => format!("{repository}  (no images)\n"),
        }
    }
}

pub(super) fn list(store: &Store, printer: &Printer) -> anyhow::Result<Status> {
    let mut lines = Vec::new();
    for repository in store.repositories(None, None)? {
        lines.extend(lines_of(store, &repository)?);
    }
    printer.result(&lines, |lines| lines.iter().map(Line::text).collect())?;
    Ok(Status::Done)
}

/// The tags, then the manifests that neither a tag nor an index nor, for signatures, a subject leads to.
fn lines_of(store: &Store, repository: &RepositoryName) -> anyhow::Result<Vec<Line>> {
    let contents = Contents::of(store, repository)?;
    let mut lines = Vec::new();
    let mut found = BTreeSet::new();
    for (tag, digest) in store.tags(repository, None, None)? {
        let bytes = contents.bytes(&digest);
        found.insert(digest.clone());
        lines.push(Line { repository: repository.clone(), tag: Some(tag), digest: Some(digest), bytes });
    }
    for (digest, manifest) in &contents.manifests {
        let leads = manifest.subject.as_ref().is_some_and(|subject| contents.manifests.contains_key(subject));
        if !found.contains(digest) && !contents.children.contains(digest) && !leads {
            let (repository, bytes) = (repository.clone(), contents.bytes(digest));
            lines.push(Line { repository, tag: None, digest: Some(digest.clone()), bytes });
        }
    }
    if lines.is_empty() {
        lines.push(Line { repository: repository.clone(), tag: None, digest: None, bytes: 0 });
    }
    Ok(lines)
}

/// The manifests of a repository, and what they reference.
#[derive(Default)]
struct Contents {
    manifests: BTreeMap<Digest, ManifestEntry>,
    children: BTreeSet<Digest>,
}

#[derive(Default)]
struct ManifestEntry {
    bytes: u64,
    subject: Option<Digest>,
    children: Vec<Digest>,
    /// Those that the store has.
    blobs: Vec<(Digest, u64)>,
}

impl Contents {
    fn of(store: &Store, repository: &RepositoryName) -> anyhow::Result<Self> {
        let mut contents = Self::default();
        for row in store.manifests(repository)? {
            let mut entry = ManifestEntry { bytes: row.size, ..ManifestEntry::default() };
            // A manifest that is damaged or cannot be read is listed, too.
            if let Ok(Some(manifest)) = store.manifest(repository, &row.digest) {
                entry.subject = manifest.subject().map(|subject| subject.digest.clone());
                entry.children = manifest.children().iter().map(|child| child.digest.clone()).collect();
                for blob in manifest.blobs().chain(manifest.children()) {
                    if let Some(bytes) = store.blob_in(repository, &blob.digest)? {
                        entry.blobs.push((blob.digest.clone(), bytes));
                    }
                }
            }
            contents.children.extend(entry.children.iter().cloned());
            contents.manifests.insert(row.digest, entry);
        }
        Ok(contents)
    }

    /// Each blob counts once, however often it is referenced.
    fn bytes(&self, root: &Digest) -> u64 {
        let (mut seen, mut bytes, mut open) = (BTreeSet::new(), 0_u64, vec![root]);
        while let Some(digest) = open.pop() {
            let Some(entry) = self.manifests.get(digest).filter(|_| seen.insert(digest)) else { continue };
            bytes = bytes.saturating_add(entry.bytes);
            open.extend(&entry.children);
            for (blob, size) in &entry.blobs {
                if seen.insert(blob) {
                    bytes = bytes.saturating_add(*size);
                }
            }
        }
        bytes
    }
}
