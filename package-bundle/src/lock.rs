//! Adds bundles to a lock: a drive includes the content that its lock lists, and a bundle that was made here is in no
//! mirror file.

use std::path::Path;

use mirror::lock::{ItemKind, Lock, LockedBlob, LockedItem, LockedManifest, LockedRepository, LockedTag};
use oci::{Digest, Manifest};
use store::Store;

use super::publish::blob;
use super::{Error, Published};

/// Adds a bundle in the store to a lock, keeps other bundles in it, and writes the lock.
///
/// # Errors
/// When the store fails or does not have the bundle, or the lock cannot be written.
pub fn add_and_write(path: &Path, mut lock: Lock, store: &Store, bundle: &Published) -> Result<(), Error> {
    add(&mut lock, store, bundle)?;
    mirror::write_durably(path, &lock.to_bytes()).map_err(|error| Error::Lock(Box::new(error)))
}

/// Adds a bundle in the store to a lock.
///
/// # Errors
/// When the store fails or does not have the bundle.
pub fn add(lock: &mut Lock, store: &Store, bundle: &Published) -> Result<(), Error> {
    let manifest = manifest(store, &bundle.digest)?;
    let blobs = manifest.blobs().map(|blob| LockedBlob { digest: blob.digest.clone(), size: blob.size });
    let mut blobs: Vec<_> = blobs.collect();
    blobs.dedup();
    let size = manifest.bytes().len() as u64;
    let whole = size + blobs.iter().map(|blob| blob.size).sum::<u64>();
    let found = lock.repositories.binary_search_by(|known| known.name.cmp(&bundle.repository));
    let at = found.unwrap_or_else(|at| {
        let name = bundle.repository.clone();
        lock.repositories.insert(at, LockedRepository { name, manifests: Vec::new(), tags: Vec::new() });
        at
    });
    let repository = &mut lock.repositories[at];
    if let Err(at) = repository.manifests.binary_search_by(|known| known.digest.cmp(&bundle.digest)) {
        let (digest, media_type) = (bundle.digest.clone(), manifest.media_type().clone());
        repository
            .manifests
            .insert(at, LockedManifest { digest, media_type, size, blobs, absent: Vec::new() });
    }
    lock.made.insert(bundle.digest.clone());
    for tag in &bundle.tags {
        let locked = LockedTag { tag: tag.clone(), digest: bundle.digest.clone() };
        match repository.tags.binary_search_by(|known| known.tag.cmp(tag)) {
            Ok(at) => repository.tags[at] = locked,
            Err(at) => repository.tags.insert(at, locked),
        }
        lock.items.retain(|item| item.repository != bundle.repository || item.tag.as_ref() != Some(tag));
        lock.items.push(LockedItem {
            kind: ItemKind::Bundle,
            source: format!("{}:{tag}", bundle.repository),
            repository: bundle.repository.clone(),
            tag: Some(tag.clone()),
            digest: bundle.digest.clone(),
            platforms: Vec::new(),
            size: whole,
        });
    }
    Ok(())
}

fn manifest(store: &Store, digest: &Digest) -> Result<Manifest, Error> {
    let bytes = blob(store, digest)?.ok_or_else(|| Error::NoBundle(digest.clone()))?;
    Manifest::parse(bytes.into(), None).map_err(Error::Artifact)
}
