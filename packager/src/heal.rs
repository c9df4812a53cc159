//! Replaces the damaged and missing blobs of a store with those of a drive. The signature is verified first, and each blob is
//! hashed before it replaces anything. No name changes, so neither the sender's log nor the age of the drive matters: the
//! store's own manifests say which bytes are right.

use std::collections::BTreeSet;

use bundle_signer::Verified;
use mirror::reporter::Reporter;
use oci::Digest;
use serde::Serialize;
use store::Store;

use crate::bundle::{BundleManifest, Entry, EntryKind, Error};
use crate::import::walk::Volumes;
use crate::import::{Count, load};
use crate::media::Media;

/// The result of healing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealReport {
    /// The set.
    pub set: String,
    /// Its name.
    pub name: String,
    /// The key that signed it, by its name in the trust file.
    pub signer: String,
    /// The blobs that are replaced.
    pub healed: Count,
    /// Their digests.
    pub digests: BTreeSet<Digest>,
}

/// The expected result of healing.
///
/// # Errors
/// When the store cannot be read.
pub fn plan(manifest: &Verified<BundleManifest>, media: &Media, store: &Store) -> Result<HealReport, Error> {
    let (set, name) = (media.set().to_string(), manifest.get().name.clone());
    let signer = manifest.signer().name().to_owned();
    let mut report = HealReport { set, name, signer, ..HealReport::default() };
    for entry in blobs(manifest.get()) {
        if store.is_lost(&entry.digest)? && report.digests.insert(entry.digest.clone()) {
            report.healed.add(entry.size);
        }
    }
    Ok(report)
}

/// Replaces the damaged and missing blobs that the set contains.
///
/// # Errors
/// When a volume differs from the manifest, or the store fails. Blobs that were replaced before stay.
pub fn heal(
    media: &Media,
    manifest: &Verified<BundleManifest>,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<HealReport, Error> {
    let report = plan(manifest, media, store)?;
    let set = manifest.get();
    let volumes = Volumes { numbers: needed(set, &report.digests), window_log: media.limits().window_log };
    media.with_copies(set, || {
        reporter.begin("heal", report.healed.bytes);
        let payloads = &mut |number| media.payload(number);
        load(set, Some(&report.digests), &volumes, payloads, store, reporter).map(drop)
    })?;
    reporter.end();
    for warning in media.warnings() {
        reporter.warn(&warning);
    }
    store.healed(report.digests.iter().cloned().collect())?;
    Ok(report)
}

fn blobs(set: &BundleManifest) -> impl Iterator<Item = &Entry> {
    set.entries.iter().filter(|entry| entry.kind == EntryKind::Blob)
}

/// The volumes that have these blobs.
fn needed(set: &BundleManifest, wanted: &BTreeSet<Digest>) -> Vec<u32> {
    let entries = blobs(set).filter(|entry| wanted.contains(&entry.digest));
    let volumes: BTreeSet<u32> =
        entries.flat_map(|entry| entry.extents.iter().map(|extent| extent.volume)).collect();
    volumes.into_iter().collect()
}
