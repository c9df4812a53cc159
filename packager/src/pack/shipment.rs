//! The content of a drive: the content of the lock, and evidence and bundles that were added to the store since the lock was
//! written.
//!
//! A shipment includes the signatures, attestations and SBOMs of the lock's images, and package bundles whose charts and
//! images are all in the lock. The gate `pack` and the plan both use the same [`Shipment`], so the gate decides about exactly
//! the content that is written.

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

/// The maximum number of additional manifests of evidence for one image; more are left out and reported.
const MOST_ADDED: usize = 1000;
/// The maximum size of such evidence for one image, in bytes.
const MOST_BYTES: u64 = 256 << 20;
/// The suffixes of the tags under which cosign attaches evidence.
const ATTACHMENTS: [&str; 3] = ["sig", "att", "sbom"];

/// The exact content that is written to a drive.
pub struct Shipment {
    store: Store,
    lock: Lock,
    repositories: BTreeMap<RepositoryName, ShippedRepository>,
    added: Added,
}

/// The content of a shipment that is not in the lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Added {
    /// The number of signatures, attestations and SBOMs.
    pub evidence: u64,
    /// The names of package bundles.
    pub bundles: Vec<String>,
    /// The content that is left out, each with the reason.
    pub left_out: Vec<String>,
}

/// The content of one repository in a shipment.
#[derive(Default)]
struct ShippedRepository {
    manifests: BTreeMap<Digest, Manifest>,
    tags: BTreeMap<Tag, Digest>,
    referrers: BTreeMap<Digest, Vec<Descriptor>>,
    /// Manifests of evidence, which no runtime unpacks.
    evidence: BTreeSet<Digest>,
}

impl ShippedRepository {
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
        let shipped = self.repositories.get(repository)?;
        let digest = match selector {
            Selector::Digest(digest) => digest,
            Selector::Tag(tag) => shipped.tags.get(tag)?,
        };
        shipped.manifests.get(digest)
    }

    fn referrers(&self, repository: &RepositoryName, subject: &Digest) -> &[Descriptor] {
        let shipped = self.repositories.get(repository);
        shipped.and_then(|shipped| shipped.referrers.get(subject)).map_or(&[], Vec::as_slice)
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
    /// Collects the shipment of a lock.
    ///
    /// # Errors
    /// When the store lacks content of the lock, or fails.
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
            let (shipped, repository) = shipment.add_evidence(repository)?;
            shipment.repositories.insert(repository.name.clone(), shipped);
            shipment.lock.repositories[at] = repository;
        }
        Ok(shipment)
    }

    /// The lock, with the additional content.
    #[must_use]
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// The additional content.
    #[must_use]
    pub fn added(&self) -> &Added {
        &self.added
    }

    /// The manifests that a gate must decide about: all except those that an index of the same repository lists, because the
    /// decision about the index covers them, and except evidence, which no runtime unpacks.
    #[must_use]
    pub fn judged(&self) -> Vec<(&RepositoryName, &Digest)> {
        let mut judged = Vec::new();
        for (name, shipped) in &self.repositories {
            let listed: BTreeSet<&Digest> =
                shipped.manifests.values().flat_map(Manifest::children).map(|child| &child.digest).collect();
            let roots = shipped.manifests.keys();
            let roots =
                roots.filter(|digest| !listed.contains(digest) && !shipped.evidence.contains(*digest));
            judged.extend(roots.map(|digest| (name, digest)));
        }
        judged
    }

    /// Adds the package bundles in the store whose charts and images are all in the lock.
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

    /// Adds the evidence in the store for the manifests of a repository.
    fn add_evidence(
        &mut self,
        mut locked: LockedRepository,
    ) -> Result<(ShippedRepository, LockedRepository), Error> {
        let mut shipped = ShippedRepository::default();
        let mut open = VecDeque::new();
        for manifest in &locked.manifests {
            open.push_back(manifest.digest.clone());
            let content = read(&self.store, &manifest.digest, &manifest.media_type)?;
            let is_evidence = is_evidence_only(&self.store, &content)?;
            shipped.add(manifest.digest.clone(), content, is_evidence);
        }
        shipped.tags.extend(locked.tags.iter().map(|tag| (tag.tag.clone(), tag.digest.clone())));
        while let Some(subject) = open.pop_front() {
            for digest in self.add_referrers(&locked.name, &subject, &mut shipped)? {
                open.push_back(digest);
            }
        }
        let known: BTreeSet<Digest> =
            locked.manifests.iter().map(|manifest| manifest.digest.clone()).collect();
        for (digest, manifest) in shipped.manifests.iter().filter(|(digest, _)| !known.contains(digest)) {
            self.added.evidence += 1;
            locked.manifests.push(lock_of(digest, manifest));
        }
        locked.manifests.sort_by(|one, other| one.digest.cmp(&other.digest));
        let tag = |(tag, digest): (&Tag, &Digest)| LockedTag { tag: tag.clone(), digest: digest.clone() };
        locked.tags = shipped.tags.iter().map(tag).collect();
        Ok((shipped, locked))
    }

    /// Adds the evidence in the store for one manifest; returns the new manifests.
    fn add_referrers(
        &mut self,
        repository: &RepositoryName,
        subject: &Digest,
        shipped: &mut ShippedRepository,
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
            if !shipped.manifests.contains_key(&digest) {
                let added = match self.evidence(&digest, &media_type)? {
                    _ if new.len() >= MOST_ADDED => {
                        Err("the image has more evidence than a drive may contain")
                    }
                    Ok((_, size)) if bytes + size > MOST_BYTES => {
                        Err("the image has more evidence than a drive may contain")
                    }
                    added => added,
                };
                match added {
                    Ok((manifest, size)) => {
                        bytes += size;
                        shipped.add(digest.clone(), manifest, true);
                        new.push(digest.clone());
                    }
                    Err(reason) => {
                        let left_out = format!("{repository}@{digest}, a referrer of {subject}: {reason}");
                        self.added.left_out.push(left_out);
                        continue;
                    }
                }
            }
            if let Some(tag) = tag {
                shipped.tags.insert(tag, digest);
            }
        }
        Ok(new)
    }

    /// Reads a manifest of evidence with its size, or the reason why it is left out.
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
        if !is_evidence_only(&self.store, &manifest)? {
            return Ok(Err("it is not a signature, attestation or SBOM, and the lock does not list it"));
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

/// Reads a manifest from the store, and checks its digest.
fn read(store: &Store, digest: &Digest, media_type: &MediaType) -> Result<Manifest, Error> {
    let bytes = read_blob(store, digest)?;
    let found = Digest::of(digest.algorithm(), &bytes);
    if found != *digest {
        return Err(Error::StoreDamaged { expected: digest.clone(), found });
    }
    Ok(Manifest::parse(bytes.into(), Some(media_type))?)
}

/// Whether a manifest is evidence, which no runtime unpacks.
fn is_evidence_only(store: &Store, manifest: &Manifest) -> Result<bool, Error> {
    is_evidence(store, manifest).map_err(|error| of_store(error, store))
}

/// The lock entry of a manifest with all its blobs.
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
