//! The images of a chart: the chart is read, rendered, and what it names is wanted, too.

use std::fs::File;
use std::io::Read;

use chart_images::Discovery;
use helm::{Chart, Limits};
use oci::{Digest, Manifest, Reference, RepositoryName, Selector};
use registry::client::Client;
use store::Store;

use super::{Error, fetch};
use crate::config::ChartLocation;
use crate::lock::{ItemKind, Lock};
use crate::reporter::Reporter;
use crate::source::{ChartImages, HELM_PROVENANCE, Wanted};

/// The layer of a chart's artifact that is the chart, now and as Helm 3.0 had it.
const CHART_LAYERS: [&str; 2] =
    ["application/vnd.cncf.helm.chart.content.v1.tar+gzip", "application/tar+gzip"];
/// A packed chart is not larger than this.
const MOST_BYTES: u64 = 64 << 20;

/// What it takes to read charts.
pub(super) struct Closure<'a> {
    pub(super) client: &'a Client,
    pub(super) store: &'a Store,
    pub(super) lock: Option<&'a Lock>,
    pub(super) reporter: &'a dyn Reporter,
}

impl Closure<'_> {
    /// The images that a chart names when it is rendered as `images` says.
    pub(super) async fn images(
        &self,
        location: &ChartLocation,
        images: &ChartImages,
    ) -> Result<Vec<Wanted>, Error> {
        let (name, archive) = match location {
            ChartLocation::Path(path) => {
                let name = path.display().to_string();
                let read = File::open(path).and_then(|mut file| {
                    let mut bytes = Vec::new();
                    file.by_ref().take(MOST_BYTES + 1).read_to_end(&mut bytes).map(|_| bytes)
                });
                (name.clone(), read.map_err(|source| Error::File { path: name, source })?)
            }
            ChartLocation::Reference(reference) => (reference.to_string(), self.archive(reference).await?),
        };
        if archive.len() as u64 > MOST_BYTES {
            return Err(Error::ChartTooLarge(name));
        }
        let (images, chart) = (images.clone(), name.clone());
        let found = fetch::blocking(move || {
            let failed = |source| Error::Render { chart: chart.clone(), source: Box::new(source) };
            let loaded = Chart::from_archive(archive.as_slice(), &Limits::default()).map_err(failed)?;
            images.find(&loaded, &chart)
        });
        let (found, declared) = found.await?;
        self.tell_declared(&name, &found, &declared);
        for (place, text) in &found.unusable {
            let (object, field) = (&place.object, &place.field);
            self.reporter.warn(&format!("{name}: {object} {field}: `{text}` is not an image reference"));
        }
        let wanted = |reference: Reference| Wanted::Image { kind: ItemKind::Image, reference };
        let references = found.images.iter().map(|image| image.reference.parse().map_err(Error::Oci));
        references.map(|reference| reference.map(wanted)).collect()
    }

    /// Tells images that a chart declares and does not render: whether they are needed, its user knows.
    fn tell_declared(&self, chart: &str, found: &Discovery, declared: &[String]) {
        let taken = |text: &String| {
            let reference = text.parse::<Reference>().map(|reference| reference.to_string());
            found.images.iter().any(|image| reference.as_ref().is_ok_and(|of| *of == image.reference))
        };
        let others: Vec<_> = declared.iter().filter(|text| !taken(text)).map(String::as_str).collect();
        if !others.is_empty() {
            self.reporter.warn(&format!(
                "{chart}: declares images by `artifacthub.io/images` that it does not render with these values, so they \
                 are not taken: {}; name them under `images` if they are needed",
                others.join(", ")
            ));
        }
    }

    /// A chart's archive: out of the store if the lock says which it is, else from its registry.
    async fn archive(&self, reference: &Reference) -> Result<Vec<u8>, Error> {
        if let Some(bytes) = self.locked(reference)? {
            return Ok(bytes);
        }
        let (host, repository) = (reference.host(), reference.repository());
        let name = reference.to_string();
        let failed = |error| Error::Client(error).about(&name);
        let found = self.client.manifest(host, repository, &reference.selector()).await;
        let manifest = found.map_err(failed)?.ok_or_else(|| Error::NotFound(name.clone()))?;
        let layer = chart_layer(&manifest).ok_or_else(|| Error::NoChart(name.clone()))?;
        if layer.size > MOST_BYTES {
            return Err(Error::ChartTooLarge(name));
        }
        let bytes = self.client.small_blob(host, repository, layer, MOST_BYTES).await.map_err(failed)?;
        Ok(bytes.to_vec())
    }

    fn locked(&self, reference: &Reference) -> Result<Option<Vec<u8>>, Error> {
        let name = reference.to_string();
        let item = self.lock.and_then(|lock| lock.items.iter().find(|item| item.source == name));
        let Some(item) = item else { return Ok(None) };
        let chart = stored(self.store, reference, &Selector::Digest(item.digest.clone()))?;
        Ok(chart.map(|chart| chart.archive))
    }
}

/// A chart in a store.
#[derive(Clone, Debug)]
pub struct StoredChart {
    /// The packed chart.
    pub archive: Vec<u8>,
    /// Who says that it is theirs, as `helm package --sign` writes it.
    pub provenance: Option<Vec<u8>>,
}

/// A chart out of a store: `name` is a repository there with a tag or digest, or the reference that the chart was
/// mirrored from.
///
/// # Errors
/// When the name is neither, or the store cannot be read.
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
    stored(store, &reference, &reference.selector())
}

fn stored(store: &Store, reference: &Reference, selector: &Selector) -> Result<Option<StoredChart>, Error> {
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
    let provenance = manifest.blobs().find(|layer| layer.media_type.as_str() == HELM_PROVENANCE);
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

pub(super) fn chart_layer(manifest: &Manifest) -> Option<&oci::Descriptor> {
    manifest.blobs().find(|blob| CHART_LAYERS.contains(&blob.media_type.as_str()))
}
