//! The images of a chart become items of the mirror: the chart is read and rendered, and its images are mirrored, too.

use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use chart_images::Discovery;
use helm::{Chart, Limits};
use oci::{Digest, Reference, Selector};
use registry::client::Client;
use store::Store;

use super::stored_chart::{MOST_BYTES, chart_layer, mirrored};
use super::{Error, fetch, pins};
use crate::config::ChartLocation;
use crate::lock::{ItemKind, Lock};
use crate::reporter::Reporter;
use crate::source::{ChartImages, Wanted};

/// Reads charts to find their images.
pub(super) struct ChartReader<'a> {
    pub(super) client: &'a Client,
    pub(super) store: &'a Store,
    pub(super) lock: Option<&'a Lock>,
    pub(super) reporter: &'a dyn Reporter,
}

impl ChartReader<'_> {
    /// A chart and, if `images` states how to render it, the images in its objects. A chart that is read here is mirrored
    /// as it was read.
    pub(super) async fn wants(
        &self,
        location: &ChartLocation,
        images: Option<&ChartImages>,
    ) -> Result<Vec<Wanted>, Error> {
        let Some(images) = images else {
            return Ok(vec![match location.clone() {
                ChartLocation::Path(path) => Wanted::Chart { path, archive: None },
                ChartLocation::Reference(reference) => {
                    Wanted::Image { kind: ItemKind::Chart, reference, read: None }
                }
            }]);
        };
        let (chart, archive) = match location.clone() {
            ChartLocation::Path(path) => {
                let archive = read(&path)?;
                (Wanted::Chart { path, archive: Some(archive.clone()) }, archive)
            }
            ChartLocation::Reference(reference) => {
                let (digest, archive) = self.archive(&reference).await?;
                (Wanted::Image { kind: ItemKind::Chart, reference, read: Some(digest) }, archive)
            }
        };
        let mut wants = vec![chart];
        wants.extend(self.images(wants[0].name(), archive, images).await?);
        Ok(wants)
    }

    /// The images in the objects of a chart rendered as `images` specifies.
    async fn images(&self, name: String, archive: Bytes, images: &ChartImages) -> Result<Vec<Wanted>, Error> {
        if archive.len() as u64 > MOST_BYTES {
            return Err(Error::ChartTooLarge(name));
        }
        let (images, chart) = (images.clone(), name.clone());
        let found = fetch::blocking(move || {
            let failed = |source| Error::Render { chart: chart.clone(), source: Box::new(source) };
            let loaded = Chart::from_archive(archive.as_ref(), &Limits::default()).map_err(failed)?;
            images.find(&loaded, &chart)
        });
        let (found, declared) = found.await?;
        self.warn_declared(&name, &found, &declared);
        for (place, text) in &found.unusable {
            let (object, field) = (&place.object, &place.field);
            self.reporter.warn(&format!("{name}: {object} {field}: `{text}` is not an image reference"));
        }
        let wanted = |reference| Wanted::Image { kind: ItemKind::Image, reference, read: None };
        let references = found.images.iter().map(|image| image.reference.parse().map_err(Error::Oci));
        references.map(|reference| reference.map(wanted)).collect()
    }

    /// Warns about images that a chart declares but does not render: only the user knows whether they are needed.
    fn warn_declared(&self, chart: &str, found: &Discovery, declared: &[String]) {
        let taken = |text: &String| {
            let reference = text.parse::<Reference>().map(|reference| reference.to_string());
            found.images.iter().any(|image| reference.as_ref().is_ok_and(|of| *of == image.reference))
        };
        let others: Vec<_> = declared.iter().filter(|text| !taken(text)).map(String::as_str).collect();
        if !others.is_empty() {
            self.reporter.warn(&format!(
                "{chart}: declares images in `artifacthub.io/images` that it does not render with these values, so they \
                 are not mirrored: {}; list them under `images` if they are needed",
                others.join(", ")
            ));
        }
    }

    /// A chart's archive with the digest of its manifest: the one in the lock or, without a lock, the registry's current
    /// one.
    async fn archive(&self, reference: &Reference) -> Result<(Digest, Bytes), Error> {
        let selector = pins::selector(self.lock, reference);
        if let Selector::Digest(digest) = &selector
            && let Some(chart) = mirrored(self.store, reference, &selector)?
        {
            return Ok((digest.clone(), chart.archive.into()));
        }
        let (host, repository) = (reference.host(), reference.repository());
        let name = reference.to_string();
        let failed = |error| Error::Client(error).about(&name);
        let found = self.client.manifest(host, repository, &selector).await;
        let manifest = found.map_err(failed)?.ok_or_else(|| Error::NotFound(name.clone()))?;
        let layer = chart_layer(&manifest).ok_or_else(|| Error::NoChart(name.clone()))?;
        if layer.size > MOST_BYTES {
            return Err(Error::ChartTooLarge(name));
        }
        let bytes = self.client.small_blob(host, repository, layer, MOST_BYTES).await.map_err(failed)?;
        Ok((pins::digest_of(&selector, &manifest), bytes))
    }
}

/// Reads a packaged chart, and at most one byte more than the maximum size.
fn read(path: &Path) -> Result<Bytes, Error> {
    let mut bytes = Vec::new();
    let read = input::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|source| Error::File { path: path.display().to_string(), source })?;
    Ok(bytes.into())
}
