//! What a store knows beside its log: which images have a layer, and what names mean.

use std::path::Path;

use audit::explain::{Answer, Beside};
use oci::{Digest, Reference, RepositoryName};
use store::Store;

/// Manifests of one repository that have something in them; more are not told.
const MOST: usize = 1000;

/// A store, read only.
pub(super) struct Held {
    store: Store,
    repositories: Vec<RepositoryName>,
}

impl Held {
    /// The store, where there is one.
    pub(super) fn open(path: Option<&Path>) -> anyhow::Result<Option<Self>> {
        let Some(path) = path.filter(|path| Store::is_at(path)) else { return Ok(None) };
        let store = Store::open_to_read(path)?;
        let repositories = store.repositories(None, None)?;
        Ok(Some(Self { store, repositories }))
    }
}

impl Beside for Held {
    fn holders(&self, digest: &str) -> Answer<Vec<(String, String)>> {
        let Ok(digest) = digest.parse::<Digest>() else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for repository in &self.repositories {
            for holder in self.store.manifests_naming(repository, &digest, MOST)? {
                let Some(manifest) = self.store.manifest(repository, &holder)? else { continue };
                // What is only about an image, as its signature is, does not have it.
                let kind = if manifest.children().iter().any(|child| child.digest == digest) {
                    "index"
                } else if manifest.blobs().any(|blob| blob.digest == digest) {
                    "image"
                } else {
                    continue;
                };
                found.push((kind.to_owned(), holder.to_string()));
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    fn beginning(&self, start: &str) -> Answer<Vec<String>> {
        let mut found = Vec::new();
        for repository in &self.repositories {
            for row in self.store.manifests(repository)? {
                let Some(manifest) = self.store.manifest(repository, &row.digest)? else { continue };
                let all =
                    manifest.blobs().map(|blob| blob.digest.to_string()).chain([row.digest.to_string()]);
                found.extend(all.filter(|digest| digest.starts_with(start)));
            }
        }
        Ok(found)
    }

    fn named(&self, name: &str) -> Answer<Option<String>> {
        let Ok(reference) = name.parse::<Reference>() else { return Ok(None) };
        // As the store has it, with the host or without; a name without a slash is none of Docker Hub's here.
        let bare =
            name.rsplit_once(':').map_or(name, |(path, tag)| if tag.contains('/') { name } else { path });
        let names = [bare.parse::<RepositoryName>().ok(), Some(reference.repository().clone())];
        for repository in names.into_iter().flatten() {
            if let Some(row) = self.store.resolve(&repository, &reference.selector())? {
                return Ok(Some(row.digest.to_string()));
            }
        }
        Ok(None)
    }
}
