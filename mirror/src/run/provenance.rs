//! Verifies charts that must be signed by a key of a keyring, like `helm verify --keyring`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bundle_signer::openpgp::SignedBy;
use bundle_signer::provenance;
use oci::{Digest, Manifest, media_type};
use store::Store;

use super::Error;
use super::stored_chart::chart_layer;
use crate::config::MirrorConfig;
use crate::lock::{Lock, LockedItem};
use crate::source::{archive_name, chart_config};

/// The maximum size of a provenance file.
pub const MOST_PROVENANCE: u64 = 1 << 20;
/// The maximum size of a keyring.
const MOST_KEYRING: u64 = 16 << 20;

/// Verifies all charts with a keyring in the mirror file.
pub(super) fn check(
    keyrings: &BTreeMap<String, PathBuf>,
    items: &[LockedItem],
    manifest: impl Fn(&LockedItem) -> Result<Option<Manifest>, Error>,
    store: &Store,
) -> Result<(), Error> {
    for item in items {
        let Some(keyring) = keyrings.get(&item.source) else { continue };
        let manifest = manifest(item)?.ok_or_else(|| Error::NoChart(item.source.clone()))?;
        of_artifact(&item.source, &manifest, keyring, store)?;
    }
    Ok(())
}

/// Verifies the charts of a lock that are in the store.
pub(super) fn check_stored(config: &MirrorConfig, lock: &Lock, store: &Store) -> Result<(), Error> {
    let manifest = |item: &LockedItem| Ok(store.manifest(&item.repository, &item.digest)?);
    check(&config.keyrings(), &lock.items, manifest, store)
}

/// Verifies a chart's artifact, whose blobs are in the store.
fn of_artifact(name: &str, manifest: &Manifest, keyring: &Path, store: &Store) -> Result<(), Error> {
    let chart = chart_layer(manifest).ok_or_else(|| Error::NoChart(name.to_owned()))?;
    let missing = || Error::NoProvenance(name.to_owned());
    let layer = manifest
        .blobs()
        .find(|blob| blob.media_type.as_str() == media_type::HELM_PROVENANCE)
        .ok_or_else(missing)?;
    let open = |digest: &Digest| {
        let blob = store.blob(digest)?.ok_or_else(|| Error::NotFound(digest.to_string()))?;
        Ok::<File, Error>(blob.file)
    };
    let text = read(open(&layer.digest)?, &format!("{name}.prov"), MOST_PROVENANCE)?;
    verify_chart(name, &text, keyring, open(&chart.digest)?, &chart.digest).map(|_| ())
}

/// Verifies the provenance of a chart archive with this digest.
///
/// # Errors
/// [`Error::NotBySigner`], or when the archive or the keyring cannot be read.
pub fn verify_chart(
    name: &str,
    provenance: &[u8],
    keyring: &Path,
    archive: impl Read,
    digest: &Digest,
) -> Result<SignedBy, Error> {
    let file = archive_name(&chart_config(archive, name)?);
    let path = keyring.display().to_string();
    let keys = input::read(keyring, MOST_KEYRING).map_err(|source| Error::File { path, source })?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    provenance::verify(provenance, &keys, &file, digest, now)
        .map_err(|source| Error::NotBySigner { chart: name.to_owned(), source: Box::new(source) })
}

fn read(file: File, path: &str, most: u64) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(failed(std::io::Error::other("the file is too large")));
    }
    Ok(bytes)
}
