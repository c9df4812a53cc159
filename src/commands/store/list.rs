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
    /// None where only the digest names it.
    tag: Option<Tag>,
    /// None for a repository without manifests.
    digest: Option<Digest>,
    /// Bytes of the manifest and all that it names and the store has.
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

/// The tags, then what no tag names: neither a tag nor an index nor, for signatures, a subject leads to it.
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

/// The manifests of a repository, and what they name.
#[derive(Default)]
struct Contents {
    manifests: BTreeMap<Digest, Named>,
    children: BTreeSet<Digest>,
}

#[derive(Default)]
struct Named {
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
            let mut named = Named { bytes: row.size, ..Named::default() };
            // One that is damaged or cannot be read is listed all the same.
            if let Ok(Some(manifest)) = store.manifest(repository, &row.digest) {
                named.subject = manifest.subject().map(|subject| subject.digest.clone());
                named.children = manifest.children().iter().map(|child| child.digest.clone()).collect();
                for blob in manifest.blobs().chain(manifest.children()) {
                    if let Some(bytes) = store.blob_in(repository, &blob.digest)? {
                        named.blobs.push((blob.digest.clone(), bytes));
                    }
                }
            }
            contents.children.extend(named.children.iter().cloned());
            contents.manifests.insert(row.digest, named);
        }
        Ok(contents)
    }

    /// Each content counts once, however often it is named.
    fn bytes(&self, root: &Digest) -> u64 {
        let (mut seen, mut bytes, mut open) = (BTreeSet::new(), 0_u64, vec![root]);
        while let Some(digest) = open.pop() {
            let Some(named) = self.manifests.get(digest).filter(|_| seen.insert(digest)) else { continue };
            bytes = bytes.saturating_add(named.bytes);
            open.extend(&named.children);
            for (blob, size) in &named.blobs {
                if seen.insert(blob) {
                    bytes = bytes.saturating_add(*size);
                }
            }
        }
        bytes
    }
}
