//! The pins of a lock: each reference of a mirror file that the lock lists resolves to the digest there, whatever its
//! registry has now. `crate::lock` is the format of the file.

use oci::{Digest, Manifest, Reference, Selector};

use crate::lock::Lock;

/// What to request for a reference: the digest in the lock; without one, the digest or tag of the reference.
pub(super) fn selector(lock: Option<&Lock>, reference: &Reference) -> Selector {
    let name = reference.to_string();
    let pinned = lock.and_then(|lock| lock.items.iter().find(|item| item.source == name));
    pinned.map_or_else(|| reference.selector(), |item| Selector::Digest(item.digest.clone()))
}

/// The digest to pin for a requested manifest, in the algorithm of the request if that was by digest.
pub(super) fn digest_of(selector: &Selector, manifest: &Manifest) -> Digest {
    match selector {
        Selector::Digest(digest) => digest.clone(),
        Selector::Tag(_) => manifest.digest().clone(),
    }
}
