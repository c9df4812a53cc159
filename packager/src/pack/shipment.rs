//! What goes onto a drive: what the lock names, and what the store has been given about it since the lock was written.
//!
//! Signatures, attestations and bills of materials beside an image of the lock go along, and so do package bundles whose
//! charts and images all do. The gate `pack` and the plan both take a [`Shipment`] and nothing else: what the gate counts is
//! what is written, and what is written was asked about.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use evidence::Contents;
use evidence::shape::is_evidence;
use mirror::lock::{Lock, LockedBlob, LockedManifest, LockedRepository, LockedTag};
use oci::{Descriptor, Digest, Manifest, MediaType, RepositoryName, Selector, Tag};
use serde::Serialize;
use store::Store;

use crate::bundle::Error;
use crate::bundle::error::of_store;
use crate::import::read_blob;

/// Evidence about one image that the lock does not name; what is more stays behind, and is told.
const MOST_ADDED: usize = 1000;
/// Bytes of such evidence about one image.
const MOST_BYTES: u64 = 256 << 20;
/// Cosign's tags, beside those of an image.
const ATTACHMENTS: [&str; 3] = ["sig", "att", "sbom"];

/// Everything that is written to a drive, and nothing else.
pub struct Shipment {
    store: Store,
    lock: Lock,
    repositories: BTreeMap<RepositoryName, Held>,
    added: Added,
}

/// What goes along that the lock does not name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Added {
    /// Signatures, attestations and bills of materials.
    pub evidence: u64,
    /// Package bundles, by name.
    pub bundles: Vec<String>,
    /// What stays behind, each with the reason.
    pub left_out: Vec<String>,
}

/// What goes along of a repository.
#[derive(Default)]
struct Held {
    manifests: BTreeMap<Digest, Manifest>,
    tags: BTreeMap<Tag, Digest>,
    referrers: BTreeMap<Digest, Vec<Descriptor>>,
    /// Manifests that no runtime unpacks.
    evidence: BTreeSet<Digest>,
}

impl Held {
    fn add(&mut self, digest: Digest, manifest: Manifest, is_evidence: bool) {
        if is_evidence {
            self.evidence.insert(digest.clone());
        }
        if let Some(subject) = manifest.subject() {
            let listed = self.referrers.entry(subject.digest.clone()).or_default();
            listed.push(manifest.referrer_descriptor(digest.clone()));
        }
        self.manifests.insert(digest, manifest);
    }
}

impl Contents for Shipment {
    fn manifest(&self, repository: &RepositoryName, selector: &Selector) -> Option<&Manifest> {
        let held = self.repositories.get(repository)?;
        let digest = match selector {
            Selector::Digest(digest) => digest,
            Selector::Tag(tag) => held.tags.get(tag)?,
        };
        held.manifests.get(digest)
    }

    fn referrers(&self, repository: &RepositoryName, subject: &Digest) -> &[Descriptor] {
        let held = self.repositories.get(repository);
        held.and_then(|held| held.referrers.get(subject)).map_or(&[], Vec::as_slice)
    }

    fn has_blob(&self, repository: &RepositoryName, digest: &Digest) -> bool {
        let repositories = self.lock.repositories.iter().filter(|known| known.name == *repository);
        let mut blobs = repositories.flat_map(|known| &known.manifests).flat_map(|manifest| &manifest.blobs);
        blobs.any(|blob| blob.digest == *digest)
    }

    fn store(&self) -> &Store {
        &self.store
    }
}

impl Shipment {
    /// Collects what goes along with a lock.
    ///
    /// # Errors
    /// When the store lacks something that the lock names, or fails.
    pub fn of(lock: &Lock, store: &Store) -> Result<Self, Error> {
        let mut shipment = Self {
            store: store.clone(),
            lock: lock.clone(),
            repositories: BTreeMap::new(),
            added: Added::default(),
        };
        shipment.add_bundles()?;
        for at in 0..shipment.lock.repositories.len() {
            let repository = shipment.lock.repositories[at].clone();
            let (held, repository) = shipment.add_evidence(repository)?;
            shipment.repositories.insert(repository.name.clone(), held);
            shipment.lock.repositories[at] = repository;
        }
        Ok(shipment)
    }

    /// The lock with all that was added to it.
    #[must_use]
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// What was added.
    #[must_use]
    pub fn added(&self) -> &Added {
        &self.added
    }

    /// What a gate has to be asked about: all manifests but those that an index of the same repository lists, for which
    /// that one stands, and those that no runtime unpacks.
    #[must_use]
    pub fn judged(&self) -> Vec<(&RepositoryName, &Digest)> {
        let mut judged = Vec::new();
        for (name, held) in &self.repositories {
            let listed: BTreeSet<&Digest> =
                held.manifests.values().flat_map(Manifest::children).map(|child| &child.digest).collect();
            let asked = held.manifests.keys();
            let asked = asked.filter(|digest| !listed.contains(digest) && !held.evidence.contains(*digest));
            judged.extend(asked.map(|digest| (name, digest)));
        }
        judged
    }

    /// Adds the package bundles of the store all of whose charts and images are in the lock.
    fn add_bundles(&mut self) -> Result<(), Error> {
        let failed = |error| Error::Bundles(Box::new(error));
        for bundle in package_bundle::listed(&self.store).map_err(failed)? {
            let is_locked = |known: &LockedRepository| {
                known.name == bundle.repository
                    && bundle.tags.iter().all(|tag| {
                        known.tags.iter().any(|known| known.tag == *tag && known.digest == bundle.digest)
                    })
            };
            if self.lock.repositories.iter().any(is_locked) {
                continue;
            }
            let Some(needs) = package_bundle::needs(&self.store, &bundle.digest).map_err(failed)? else {
                continue;
            };
            let manifests = self.lock.repositories.iter().flat_map(|repository| &repository.manifests);
            let locked: BTreeSet<String> = manifests.map(|manifest| manifest.digest.to_string()).collect();
            let name = bundle.name.clone().unwrap_or_else(|| bundle.digest.to_string());
            let missing = needs.iter().filter(|needed| !locked.contains(*needed)).count();
            if missing > 0 {
                let of = needs.len();
                self.added.left_out.push(format!(
                    "package bundle {name}: the lock lacks {missing} of its {of} charts and images"
                ));
                continue;
            }
            package_bundle::add(&mut self.lock, &self.store, &bundle).map_err(failed)?;
            self.added.bundles.push(name);
        }
        Ok(())
    }

    /// Adds what the store has about the manifests of a repository.
    fn add_evidence(&mut self, mut locked: LockedRepository) -> Result<(Held, LockedRepository), Error> {
        let mut held = Held::default();
        let mut open = VecDeque::new();
        for manifest in &locked.manifests {
            open.push_back(manifest.digest.clone());
            let content = read(&self.store, &manifest.digest, &manifest.media_type)?;
            let said = says_only(&self.store, &content)?;
            held.add(manifest.digest.clone(), content, said);
        }
        held.tags.extend(locked.tags.iter().map(|tag| (tag.tag.clone(), tag.digest.clone())));
        while let Some(subject) = open.pop_front() {
            for digest in self.about(&locked.name, &subject, &mut held)? {
                open.push_back(digest);
            }
        }
        let known: BTreeSet<Digest> =
            locked.manifests.iter().map(|manifest| manifest.digest.clone()).collect();
        for (digest, manifest) in held.manifests.iter().filter(|(digest, _)| !known.contains(digest)) {
            self.added.evidence += 1;
            locked.manifests.push(lock_of(digest, manifest));
        }
        locked.manifests.sort_by(|one, other| one.digest.cmp(&other.digest));
        let tag = |(tag, digest): (&Tag, &Digest)| LockedTag { tag: tag.clone(), digest: digest.clone() };
        locked.tags = held.tags.iter().map(tag).collect();
        Ok((held, locked))
    }

    /// Adds what the store has about one manifest; gives what is new.
    fn about(
        &mut self,
        repository: &RepositoryName,
        subject: &Digest,
        held: &mut Held,
    ) -> Result<Vec<Digest>, Error> {
        let mut found: Vec<(Option<Tag>, Digest, MediaType)> = Vec::new();
        for tag in ATTACHMENTS.iter().filter_map(|suffix| Tag::of_attachment(subject, suffix).ok()) {
            if let Some(row) = self.store.resolve(repository, &Selector::Tag(tag.clone()))? {
                found.push((Some(tag), row.digest, row.media_type));
            }
        }
        for referrer in self.store.referrers(repository, subject, None)? {
            found.push((None, referrer.digest, referrer.media_type));
        }
        let (mut new, mut bytes) = (Vec::new(), 0_u64);
        for (tag, digest, media_type) in found {
            if !held.manifests.contains_key(&digest) {
                let added = match self.evidence(&digest, &media_type)? {
                    _ if new.len() >= MOST_ADDED => Err("there is more about this image than goes along"),
                    Ok((_, size)) if bytes + size > MOST_BYTES => {
                        Err("there is more about this image than goes along")
                    }
                    added => added,
                };
                match added {
                    Ok((manifest, size)) => {
                        bytes += size;
                        held.add(digest.clone(), manifest, true);
                        new.push(digest.clone());
                    }
                    Err(why) => {
                        self.added.left_out.push(format!("{repository}@{digest}, about {subject}: {why}"));
                        continue;
                    }
                }
            }
            if let Some(tag) = tag {
                held.tags.insert(tag, digest);
            }
        }
        Ok(new)
    }

    /// A manifest of evidence with its size, if it is that and whole.
    fn evidence(
        &self,
        digest: &Digest,
        media_type: &MediaType,
    ) -> Result<Result<(Manifest, u64), &'static str>, Error> {
        let manifest = match read(&self.store, digest, media_type) {
            Ok(manifest) => manifest,
            Err(Error::NotInStore(_)) => return Ok(Err("it is not in the store")),
            Err(Error::StoreDamaged { .. } | Error::Oci(_)) => return Ok(Err("it is damaged")),
            Err(error) => return Err(error),
        };
        if !says_only(&self.store, &manifest)? {
            return Ok(Err(
                "it is no signature, attestation or bill of materials, and the lock does not name it",
            ));
        }
        let mut size = manifest.bytes().len() as u64;
        for blob in manifest.blobs() {
            if self.store.has_blob(&blob.digest)? != Some(blob.size) {
                return Ok(Err("the store lacks its content"));
            }
            size = size.saturating_add(blob.size);
        }
        Ok(Ok((manifest, size)))
    }
}

/// A manifest out of the store: the bytes of its digest.
fn read(store: &Store, digest: &Digest, media_type: &MediaType) -> Result<Manifest, Error> {
    let bytes = read_blob(store, digest)?;
    let found = Digest::of(digest.algorithm(), &bytes);
    if found != *digest {
        return Err(Error::StoreDamaged { expected: digest.clone(), found });
    }
    Ok(Manifest::parse(bytes.into(), Some(media_type))?)
}

/// Whether a manifest is evidence, and nothing that a runtime unpacks.
fn says_only(store: &Store, manifest: &Manifest) -> Result<bool, Error> {
    is_evidence(store, manifest).map_err(|error| of_store(error, store))
}

/// A manifest all of whose blobs go along.
fn lock_of(digest: &Digest, manifest: &Manifest) -> LockedManifest {
    let mut seen = BTreeSet::new();
    let blobs = manifest.blobs().filter(|blob| seen.insert(&blob.digest));
    LockedManifest {
        digest: digest.clone(),
        media_type: manifest.media_type().clone(),
        size: manifest.bytes().len() as u64,
        blobs: blobs.map(|blob| LockedBlob { digest: blob.digest.clone(), size: blob.size }).collect(),
        absent: Vec::new(),
    }
}
