//! Lookups in a store, in addition to its log: the images that have a layer, and the digests of names.

use std::path::Path;

use audit::explain::{DigestLookup, LookupResult};
use oci::{Digest, Reference, RepositoryName};
use store::Store;

/// The maximum number of manifests per repository that are returned for a digest.
const MAX_HOLDERS: usize = 1000;

/// A store, read only.
pub(super) struct StoreLookup {
    store: Store,
    repositories: Vec<RepositoryName>,
}

impl StoreLookup {
    /// Opens the store, if it exists.
    pub(super) fn open(path: Option<&Path>) -> anyhow::Result<Option<Self>> {
        let Some(path) = path.filter(|path| Store::is_at(path)) else { return Ok(None) };
        let store = Store::open_to_read(path)?;
        let repositories = store.repositories(None, None)?;
        Ok(Some(Self { store, repositories }))
    }
}

impl DigestLookup for StoreLookup {
    fn containing(&self, digest: &str) -> LookupResult<Vec<(String, String)>> {
        let Ok(digest) = digest.parse::<Digest>() else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for repository in &self.repositories {
            for holder in self.store.manifests_naming(repository, &digest, MAX_HOLDERS)? {
                let Some(manifest) = self.store.manifest(repository, &holder)? else { continue };
                // A manifest that only refers to the image, such as its signature, does not count.
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

    fn with_prefix(&self, prefix: &str) -> LookupResult<Vec<String>> {
        let mut found = Vec::new();
        for repository in &self.repositories {
            for row in self.store.manifests(repository)? {
                let Some(manifest) = self.store.manifest(repository, &row.digest)? else { continue };
                let all =
                    manifest.blobs().map(|blob| blob.digest.to_string()).chain([row.digest.to_string()]);
                found.extend(all.filter(|digest| digest.starts_with(prefix)));
            }
        }
        Ok(found)
    }

    fn resolve(&self, name: &str) -> LookupResult<Option<String>> {
        let Ok(reference) = name.parse::<Reference>() else { return Ok(None) };
        // The name in the store, with the host or without; a name without a slash is not one of Docker Hub's here.
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
