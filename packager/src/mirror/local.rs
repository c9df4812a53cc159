//! Local files under a lock: a lock settles what a registry means by a name; a file means its bytes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use oci::{Algorithm, Digest, Hasher};

use super::Error;
use crate::config::{Location, MirrorConfig};
use crate::lock::{Lock, LockedItem, LockedManifest};
use crate::source::{Wanted, archive};

/// The unit of reading.
const BUFFER: usize = 256 * 1024;

/// Whether what is wanted from local files is what the lock holds.
///
/// # Errors
/// When it cannot be read: a file that is gone is no content.
pub(super) fn is_unchanged(
    config: &MirrorConfig,
    wanted: &Wanted,
    item: &LockedItem,
    lock: &Lock,
) -> Result<bool, Error> {
    match wanted {
        Wanted::Image { .. } | Wanted::File { location: Location::Url(_), .. } => Ok(true),
        Wanted::File { location: Location::Path(path), .. } | Wanted::Chart { path } => {
            let digest = hash(path)?;
            let mut manifests = manifests(item, lock).filter(|manifest| manifest.digest == item.digest);
            Ok(manifests.any(|manifest| manifest.blobs.iter().any(|blob| blob.digest == digest)))
        }
        Wanted::Archive { format, path, image, .. } => {
            let found = archive::find(*format, path, image.as_deref(), &config.platforms)?;
            let known: BTreeSet<_> = manifests(item, lock).map(|manifest| &manifest.digest).collect();
            Ok(found.root == item.digest && found.manifests.keys().all(|digest| known.contains(digest)))
        }
    }
}

/// The manifests of the item's repository.
fn manifests<'a>(item: &'a LockedItem, lock: &'a Lock) -> impl Iterator<Item = &'a LockedManifest> {
    let repositories = lock.repositories.iter().filter(|repository| repository.name == item.repository);
    repositories.flat_map(|repository| &repository.manifests)
}

/// What a file hashes to.
fn hash(path: &Path) -> Result<Digest, Error> {
    let failed = |source| Error::File { path: path.display().to_string(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}
