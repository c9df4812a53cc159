//! Local files under a lock: a lock pins what references resolve to in registries, but local files are always read again.

use std::collections::BTreeSet;
use std::path::Path;

use oci::{Algorithm, Digest};
use store::Store;

use super::Error;
use super::make::provenance;
use super::resolve::scratch;
use crate::config::{Location, MirrorConfig};
use crate::lock::{Lock, LockedItem, LockedManifest};
use crate::source::Wanted;
use crate::source::archive::Images;

/// Whether the requested content of local files matches the lock.
///
/// # Errors
/// When a file cannot be read or is missing.
pub(super) fn is_unchanged(
    config: &MirrorConfig,
    wanted: &Wanted,
    item: &LockedItem,
    lock: &Lock,
    store: &Store,
) -> Result<bool, Error> {
    match wanted {
        Wanted::Image { .. } | Wanted::File { location: Location::Url(_), .. } => Ok(true),
        Wanted::File { location: Location::Path(path), .. } | Wanted::Chart { path, .. } => {
            let mut digests = vec![match wanted {
                Wanted::Chart { archive: Some(archive), .. } => Digest::sha256(archive),
                _ => hash(path)?,
            }];
            if matches!(wanted, Wanted::Chart { .. })
                && let Some(text) = provenance(path, &digests[0])?
            {
                digests.push(Digest::sha256(&text));
            }
            let mut manifests = manifests(item, lock).filter(|manifest| manifest.digest == item.digest);
            // Plus the config.
            let expected = digests.len() + 1;
            Ok(manifests.any(|manifest| {
                let has = |digest: &Digest| manifest.blobs.iter().any(|blob| blob.digest == *digest);
                manifest.blobs.len() == expected && digests.iter().all(has)
            }))
        }
        Wanted::Archive { format, path, image, .. } => {
            let images = Images { format: *format, path, scratch: &scratch(store) };
            let found = images.find(image.as_deref(), &config.platforms)?;
            let known: BTreeSet<_> = manifests(item, lock).map(|manifest| &manifest.digest).collect();
            Ok(found.root == item.digest && found.manifests.keys().all(|digest| known.contains(digest)))
        }
    }
}

/// The manifests in the item's repository.
fn manifests<'a>(item: &'a LockedItem, lock: &'a Lock) -> impl Iterator<Item = &'a LockedManifest> {
    let repositories = lock.repositories.iter().filter(|repository| repository.name == item.repository);
    repositories.flat_map(|repository| &repository.manifests)
}

/// The digest of a file.
fn hash(path: &Path) -> Result<Digest, Error> {
    let failed = |source| Error::File { path: path.display().to_string(), source };
    input::open(path).and_then(|file| Digest::of_reader(Algorithm::Sha256, file)).map_err(failed)
}
