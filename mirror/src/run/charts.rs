//! The images of a chart become items of the mirror: the chart is read and rendered, and its images are mirrored, too.

use std::io::Read;

use chart_images::Discovery;
use helm::{Chart, Limits};
use oci::{Digest, Reference, Selector};
use registry::client::Client;
use store::Store;

use super::resolve::{digest_of, locked};
use super::stored_chart::{MOST_BYTES, chart_layer, mirrored};
use super::{Error, fetch};
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
    /// The images in the objects of a chart rendered as `images` specifies, with the digest of the manifest that was
    /// read, if the chart is in a registry.
    pub(super) async fn images(
        &self,
        location: &ChartLocation,
        images: &ChartImages,
    ) -> Result<(Option<Digest>, Vec<Wanted>), Error> {
        let (name, read, archive) = match location {
            ChartLocation::Path(path) => {
                let name = path.display().to_string();
                let read = input::open(path).and_then(|mut file| {
                    let mut bytes = Vec::new();
                    file.by_ref().take(MOST_BYTES + 1).read_to_end(&mut bytes).map(|_| bytes)
                });
                (name.clone(), None, read.map_err(|source| Error::File { path: name, source })?)
            }
            ChartLocation::Reference(reference) => {
                let (digest, archive) = self.archive(reference).await?;
                (reference.to_string(), Some(digest), archive)
            }
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
        self.warn_declared(&name, &found, &declared);
        for (place, text) in &found.unusable {
            let (object, field) = (&place.object, &place.field);
            self.reporter.warn(&format!("{name}: {object} {field}: `{text}` is not an image reference"));
        }
        let wanted = |reference| Wanted::Image { kind: ItemKind::Image, reference, read: None };
        let references = found.images.iter().map(|image| image.reference.parse().map_err(Error::Oci));
        Ok((read, references.map(|reference| reference.map(wanted)).collect::<Result<_, _>>()?))
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
    async fn archive(&self, reference: &Reference) -> Result<(Digest, Vec<u8>), Error> {
        let selector = locked(self.lock, reference).map_or_else(|| reference.selector(), Selector::Digest);
        if let Selector::Digest(digest) = &selector
            && let Some(chart) = mirrored(self.store, reference, &selector)?
        {
            return Ok((digest.clone(), chart.archive));
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
        Ok((digest_of(&selector, &manifest), bytes.to_vec()))
    }
}
