//! Charts, pulled by their digest and by nothing else.
//!
//! What came is what the digest says, or nothing: the registry's client checks the bytes of the
//! manifest and of the archive. Its media types are Helm's (`pkg/registry/constants.go`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use helm::Chart;
use oci::{Content, Descriptor, Digest, Reference, RegistryHost, RepositoryName, Selector, media_type};
use registry::client::{Client, Error as Unanswered};
use workload_images::place_of;

use crate::error::Error;
use crate::plan::Install;

/// Packaged charts are small: Helm's own bound for one unpacked is 100 MiB.
const MOST_BYTES: u64 = 32 << 20;
/// Charts kept, and the bytes that their archives may have together.
const KEPT: usize = 32;
const KEPT_BYTES: usize = 2 << 20;

/// A chart and the size of its archive.
type Kept = (Digest, usize, Arc<Chart>);

/// Where charts come from, and those that came last.
#[derive(Clone)]
pub(crate) struct Charts {
    registry: Client,
    mirror: Option<RegistryHost>,
    kept: Arc<Mutex<VecDeque<Kept>>>,
}

impl Charts {
    pub(crate) fn new(registry: Client, mirror: Option<RegistryHost>) -> Self {
        Self { registry, mirror, kept: Arc::default() }
    }

    /// The chart of a plan.
    pub(crate) async fn get(&self, plan: &Install) -> Result<(Digest, Arc<Chart>), Error> {
        let place = format!("{}/{}", plan.chart_registry, plan.source.repository);
        let wrong = |source| Error::Place { place: place.clone(), source };
        let digest: Digest = plan.source.digest.parse().map_err(wrong)?;
        if let Some(chart) = self.kept(&digest) {
            return Ok((digest, chart));
        }
        let places = places(&place, self.mirror.as_ref()).map_err(wrong)?;
        let chart = format!("{place}@{digest}");
        for (host, repository) in &places {
            if let Some(bytes) = self.pull(host, repository, &digest).await? {
                let size = bytes.len();
                let load = move || Chart::from_archive(bytes.as_slice(), &helm::Limits::default());
                let loaded = tokio::task::spawn_blocking(load).await.map_err(|_| Error::Render)??;
                let loaded = Arc::new(loaded);
                self.keep(&digest, size, &loaded);
                return Ok((digest, loaded));
            }
        }
        Err(Error::NoChart { chart })
    }

    /// The digest that an image's tag has in the registry now; none if there is no such tag.
    pub(crate) async fn tagged(&self, image: &Reference) -> Result<Option<Digest>, Error> {
        let place = image.to_string();
        let found = place_of(image, self.mirror.as_ref());
        let (host, repository) = found.map_err(|source| Error::Place { place: place.clone(), source })?;
        let found = self.registry.manifest(&host, &repository, &image.selector()).await;
        let found = found.map_err(|source| Error::Pull { chart: place, source })?;
        Ok(found.map(|manifest| manifest.digest()))
    }

    fn kept(&self, digest: &Digest) -> Option<Arc<Chart>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(known, ..)| known == digest).map(|(_, _, chart)| Arc::clone(chart))
    }

    pub(crate) fn keep(&self, digest: &Digest, size: usize, chart: &Arc<Chart>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(known, ..)| known != digest);
        kept.push_back((digest.clone(), size, Arc::clone(chart)));
        while kept.len() > KEPT || kept.iter().map(|(_, size, _)| size).sum::<usize>() > KEPT_BYTES {
            kept.pop_front();
        }
    }

    /// A chart's archive; none if the registry does not have the manifest.
    async fn pull(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Vec<u8>>, Error> {
        let chart = format!("{host}/{repository}@{digest}");
        let failed = |source| Error::Pull { chart: chart.clone(), source };
        let selector = Selector::Digest(digest.clone());
        let found = self.registry.manifest(host, repository, &selector).await.map_err(failed)?;
        let Some(manifest) = found else { return Ok(None) };
        let layer = archive(manifest.content())
            .map_err(|reason| Error::NotAChart { chart: chart.clone(), reason })?
            .clone();
        match self.registry.small_blob(host, repository, &layer, layer.size).await {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(Unanswered::Digest { expected, found, .. }) => Err(Error::Digest { chart, expected, found }),
            Err(Unanswered::TooLong { .. }) => {
                let reason = format!("more than the {} bytes came that its manifest names", layer.size);
                Err(Error::NotAChart { chart, reason })
            }
            Err(source) => Err(failed(source)),
        }
    }
}

/// The one layer of a chart that is its archive.
fn archive(content: &Content) -> Result<&Descriptor, String> {
    let Content::Image(manifest) = content else { return Err("it is an index".to_owned()) };
    let config = manifest.config.media_type.as_str();
    if config != media_type::HELM_CONFIG {
        return Err(format!("its configuration is `{config}`"));
    }
    let mut archives =
        manifest.layers.iter().filter(|layer| layer.media_type.as_str() == media_type::HELM_CHART);
    match (archives.next(), archives.next()) {
        (Some(layer), None) if layer.size <= MOST_BYTES => Ok(layer),
        (Some(layer), None) => {
            Err(format!("its archive has {} bytes, and {MOST_BYTES} are taken", layer.size))
        }
        (None, _) => Err(format!("it has no layer `{}`", media_type::HELM_CHART)),
        (Some(_), Some(_)) => Err(format!("it has several layers `{}`", media_type::HELM_CHART)),
    }
}

/// Where a chart may be. A mirror that stands for every host has it below the host's name, as `airlock mirror` puts
/// it, or under its own, as EKS Anywhere's mirrors have it; the digest makes either the same chart.
fn places(
    place: &str,
    mirror: Option<&RegistryHost>,
) -> Result<Vec<(RegistryHost, RepositoryName)>, oci::Error> {
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let (host, repository): (RegistryHost, RepositoryName) = (host.parse()?, path.parse()?);
    Ok(match mirror {
        Some(mirror) if *mirror != host => {
            let below = host.as_repository().and_then(|prefix| repository.below(&prefix));
            let names = below.into_iter().chain([repository]);
            names.map(|name| (mirror.clone(), name)).collect()
        }
        _ => vec![(host, repository)],
    })
}

#[cfg(test)]
mod tests {
    use oci::Manifest;
    use serde_json::json;

    use super::*;

    fn found(place: &str, mirror: Option<&str>) -> Vec<String> {
        let mirror = mirror.map(|mirror| mirror.parse().unwrap());
        let places = places(place, mirror.as_ref()).unwrap();
        places.iter().map(|(host, repository)| format!("{host}/{repository}")).collect()
    }

    #[test]
    fn a_mirror_stands_for_every_host() {
        let place = "public.ecr.aws/eks-anywhere/hello";
        assert_eq!(found(place, None), [place]);
        let mirrored =
            ["10.0.0.1:5000/public.ecr.aws/eks-anywhere/hello", "10.0.0.1:5000/eks-anywhere/hello"];
        assert_eq!(found(place, Some("10.0.0.1:5000")), mirrored);
        let own = "10.0.0.1:5000/charts/hello";
        assert_eq!(found(own, Some("10.0.0.1:5000")), [own]);
        assert!(places("no-repository", None).is_err());
    }

    fn judge(config: &str, layers: &[(&str, u64)]) -> Result<u64, String> {
        let descriptor = |kind: &str, size: u64| json!({"mediaType": kind, "digest": Digest::sha256(kind.as_bytes()), "size": size});
        let layers: Vec<_> = layers.iter().map(|(kind, size)| descriptor(kind, *size)).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": descriptor(config, 2), "layers": layers});
        let manifest = Manifest::parse(manifest.to_string().into(), None).unwrap();
        archive(manifest.content()).map(|layer| layer.size)
    }

    #[test]
    fn only_what_helm_pushes_is_a_chart() {
        const PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";
        let chart = (media_type::HELM_CHART, 100);
        assert_eq!(judge(media_type::HELM_CONFIG, &[(PROVENANCE, 5), chart]), Ok(100));
        assert!(judge("application/vnd.oci.image.config.v1+json", &[chart]).is_err());
        assert!(judge(media_type::HELM_CONFIG, &[(media_type::OCI_LAYER, 1)]).is_err());
        assert!(judge(media_type::HELM_CONFIG, &[chart, chart]).is_err());
        let error = judge(media_type::HELM_CONFIG, &[(media_type::HELM_CHART, MOST_BYTES + 1)]).unwrap_err();
        assert!(error.contains("33554432 are taken"), "{error}");
    }
}
