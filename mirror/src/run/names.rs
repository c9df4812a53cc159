//! The names that a run writes, and its lock. Only this module decides which content is included and which is absent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use evidence::{self, tag_update};
use oci::{Digest, Manifest, RepositoryName, Tag};
use store::{Change, Store};

use super::{Error, provenance};
use crate::complete::{self, Gap, IncludedContent};
use crate::lock::{
    Absence, Absent, Lock, LockedBlob, LockedItem, LockedManifest, LockedRepository, LockedTag, VERSION,
};

/// All content that gets a name.
#[derive(Default)]
pub(super) struct Names {
    pub(super) repositories: BTreeMap<RepositoryName, RepositoryNames>,
    pub(super) items: Vec<LockedItem>,
    /// The blobs to include, of all images.
    pub(super) blobs: BTreeSet<Digest>,
    /// The items that were made here.
    pub(super) made: BTreeSet<Digest>,
}

/// The settings of the mirror file that the lock records.
pub(super) struct Settings {
    /// The set's name.
    pub(super) name: String,
    /// Whether signatures, attestations and SBOMs are mirrored.
    pub(super) follow: bool,
    /// EKS manifests that are accepted without verification.
    pub(super) unverified: Vec<String>,
    /// The keyrings of charts that must be signed, by the charts' names.
    pub(super) keyrings: BTreeMap<String, PathBuf>,
}

/// The new content of a repository.
#[derive(Default)]
pub(super) struct RepositoryNames {
    pub(super) manifests: BTreeMap<Digest, Manifest>,
    pub(super) tags: BTreeMap<Tag, Digest>,
    /// Content that may be absent, and why.
    pub(super) absent: BTreeMap<Digest, Absence>,
}

impl Names {
    /// Keeps the items that were made here and added to the lock before; returns those that the store no longer has.
    pub(super) fn keep_made(
        &mut self,
        made: Vec<LockedItem>,
        store: &Store,
    ) -> Result<Vec<LockedItem>, Error> {
        let mut gone = Vec::new();
        for item in made {
            let Some(manifest) = store.manifest(&item.repository, &item.digest)? else {
                gone.push(item);
                continue;
            };
            self.blobs.extend(complete::blobs(&manifest).map(|blob| blob.digest.clone()));
            let named = self.repositories.entry(item.repository.clone()).or_default();
            named.manifests.insert(item.digest.clone(), manifest);
            if let Some(tag) = item.tag.clone()
                && named
                    .tags
                    .insert(tag.clone(), item.digest.clone())
                    .is_some_and(|other| other != item.digest)
            {
                return Err(Error::Clash(format!("{}:{tag}", item.repository)));
            }
            self.made.insert(item.digest.clone());
            self.items.push(item);
        }
        Ok(gone)
    }

    /// The lock, and the changes that name all content in it.
    ///
    /// # Errors
    /// [`Error::Incomplete`] when the content of a descriptor is neither included, with the stated size, nor declared
    /// absent; [`Error::NotBySigner`] or [`Error::NoProvenance`] when a chart is not signed as required.
    pub(super) fn finish(self, settings: Settings, store: &Store) -> Result<(Lock, Vec<Change>), Error> {
        let manifest = |item: &LockedItem| {
            let named = self.repositories.get(&item.repository);
            Ok(named.and_then(|named| named.manifests.get(&item.digest)).cloned())
        };
        provenance::check(&settings.keyrings, &self.items, manifest, store)?;
        let (mut changes, mut repositories, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
        let mut sets = Vec::new();
        for (repository, named) in self.repositories {
            let locked = named.lock(&repository, &self.blobs, store, &mut gaps)?;
            for LockedTag { tag, digest } in locked.tags.iter().cloned() {
                // Signatures that were added here are kept; the lock records upstream's content.
                let set = match named.manifests.get(&digest) {
                    Some(manifest) => tag_update::changes(store, &repository, &tag, &digest, manifest)
                        .map_err(|source| unread(&repository, source))?,
                    None => vec![Change::SetTag { repository: repository.clone(), tag, digest }],
                };
                sets.extend(set);
            }
            for LockedBlob { digest, .. } in locked.manifests.iter().flat_map(|locked| &locked.blobs) {
                changes.push(Change::Expect { repository: repository.clone(), digest: digest.clone() });
            }
            for (digest, manifest) in named.manifests {
                changes.push(Change::PutManifest { repository: repository.clone(), digest, manifest });
            }
            changes.append(&mut sets);
            repositories.push(locked);
        }
        if !gaps.is_empty() {
            return Err(Error::Incomplete(gaps));
        }
        let Settings { name, follow, unverified, .. } = settings;
        let (file, made, unavailable, items) = (None, self.made, BTreeSet::new(), self.items);
        let lock =
            Lock { version: VERSION, name, follow, unverified, file, made, unavailable, items, repositories };
        Ok((lock, changes))
    }
}

/// The error when the signatures of a repository in the store cannot be read.
pub(super) fn unread(repository: &RepositoryName, source: evidence::Error) -> Error {
    Error::Evidence { reference: repository.to_string(), source: Box::new(source) }
}

impl RepositoryNames {
    fn lock(
        &self,
        repository: &RepositoryName,
        blobs: &BTreeSet<Digest>,
        store: &Store,
        gaps: &mut Vec<Gap>,
    ) -> Result<LockedRepository, Error> {
        let included =
            IncludedContent { repository, manifests: self.manifests.keys().collect(), undeclared: false };
        let mut manifests = Vec::new();
        for (digest, manifest) in &self.manifests {
            let mut sizes = BTreeMap::new();
            for blob in complete::blobs(manifest).filter(|blob| blobs.contains(&blob.digest)) {
                if let Some(size) = store.has_blob(&blob.digest)? {
                    sizes.insert(&blob.digest, size);
                }
            }
            let manifest_size =
                |digest: &Digest| self.manifests.get(digest).map(|found| found.bytes().len() as u64);
            let size = |digest: &Digest| sizes.get(digest).copied().or_else(|| manifest_size(digest));
            let parts = complete::blobs(manifest).chain(complete::children(manifest));
            let absent: BTreeSet<Absent> = parts
                .filter(|part| size(&part.digest).is_none())
                .filter_map(|part| {
                    Some(Absent { digest: part.digest.clone(), why: *self.absent.get(&part.digest)? })
                })
                .collect();
            let declared = absent.iter().map(|absent| &absent.digest).collect();
            gaps.extend(included.gaps(digest, manifest, &declared, &size));
            let blobs = complete::blobs(manifest).filter(|blob| sizes.contains_key(&blob.digest));
            let blobs = blobs.map(|blob| LockedBlob { digest: blob.digest.clone(), size: blob.size });
            manifests.push(LockedManifest {
                digest: digest.clone(),
                media_type: manifest.media_type().clone(),
                size: manifest.bytes().len() as u64,
                blobs: blobs.collect(),
                absent: absent.into_iter().collect(),
            });
        }
        let tags =
            self.tags.iter().map(|(tag, digest)| LockedTag { tag: tag.clone(), digest: digest.clone() });
        Ok(LockedRepository { name: repository.clone(), manifests, tags: tags.collect() })
    }
}
