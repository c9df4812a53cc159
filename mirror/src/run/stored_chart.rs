//! Charts in a store, by their names there or by the references that they were mirrored from.

use std::io::Read as _;

use oci::{Digest, Manifest, Reference, RepositoryName, Selector, media_type};
use store::Store;

use super::Error;

/// The media types of a chart layer, now and in Helm 3.0.
const CHART_LAYERS: [&str; 2] = [media_type::HELM_CHART, "application/tar+gzip"];
/// The maximum size of a packaged chart.
pub(super) const MOST_BYTES: u64 = 64 << 20;

/// A chart in a store.
#[derive(Clone, Debug)]
pub struct StoredChart {
    /// The packaged chart.
    pub archive: Vec<u8>,
    /// The provenance file, as written by `helm package --sign`.
    pub provenance: Option<Vec<u8>>,
}

/// Reads a chart from a store. `name` is a repository in the store with a tag or digest, or the reference that the chart
/// was mirrored from.
///
/// # Errors
/// When the name is invalid, or the store cannot be read.
pub fn stored_chart(store: &Store, name: &str) -> Result<Option<StoredChart>, Error> {
    let own = name.split_once('@').and_then(|(repository, digest)| {
        Some((repository.parse().ok()?, Selector::Digest(digest.parse().ok()?)))
    });
    let own = own.or_else(|| {
        let (repository, tag) = name.rsplit_once(':')?;
        Some((repository.parse().ok()?, Selector::Tag(tag.parse().ok()?)))
    });
    if let Some((repository, selector)) = &own
        && let Some(chart) = stored_in(store, repository, selector)?
    {
        return Ok(Some(chart));
    }
    let reference: Reference = name.parse().map_err(Error::Oci)?;
    mirrored(store, &reference, &reference.selector())
}

/// Reads a chart by the reference that it was mirrored from.
pub(super) fn mirrored(
    store: &Store,
    reference: &Reference,
    selector: &Selector,
) -> Result<Option<StoredChart>, Error> {
    let below = reference.host().as_repository().map_err(Error::Oci)?;
    stored_in(store, &reference.repository().below(&below).map_err(Error::Oci)?, selector)
}

fn stored_in(
    store: &Store,
    repository: &RepositoryName,
    selector: &Selector,
) -> Result<Option<StoredChart>, Error> {
    let Some(row) = store.resolve(repository, selector)? else { return Ok(None) };
    let Some(bytes) = blob(store, &row.digest)? else { return Ok(None) };
    let manifest = Manifest::parse(bytes.into(), Some(&row.media_type)).map_err(Error::Oci)?;
    let Some(layer) = chart_layer(&manifest) else { return Ok(None) };
    let Some(archive) = blob(store, &layer.digest)? else { return Ok(None) };
    let provenance = manifest.blobs().find(|layer| layer.media_type.as_str() == media_type::HELM_PROVENANCE);
    let provenance = provenance.map_or(Ok(None), |layer| blob(store, &layer.digest))?;
    Ok(Some(StoredChart { archive, provenance }))
}

fn blob(store: &Store, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
    let Some(blob) = store.blob(digest)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let read = blob.file.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|source| Error::File { path: digest.to_string(), source })?;
    Ok(Some(bytes))
}

/// The layer that contains the chart.
pub(super) fn chart_layer(manifest: &Manifest) -> Option<&oci::Descriptor> {
    manifest.blobs().find(|blob| CHART_LAYERS.contains(&blob.media_type.as_str()))
}
