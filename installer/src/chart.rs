//! Pulls charts, by their digest only.
//!
//! The registry client verifies the bytes of the manifest and of the archive by their digests. The media types are
//! Helm's (`pkg/registry/constants.go`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use helm::Chart;
use oci::{Content, Descriptor, Digest, Reference, RegistryHost, RepositoryName, Selector, media_type};
use registry::client::{Client, Error as ClientError};
use workload_images::pull_location;

use crate::error::Error;
use crate::plan::Install;

/// The largest accepted archive. Packaged charts are small: Helm's own limit for an unpacked one is 100 MiB.
const MAX_BYTES: u64 = 32 << 20;
/// The most cached charts, and the largest total size of their archives.
const MAX_CHARTS: usize = 32;
const MAX_CACHE_BYTES: usize = 2 << 20;

/// A cached chart, with its digest and the size of its archive.
type CachedChart = (Digest, usize, Arc<Chart>);

/// Pulls charts, and caches the most recent ones.
#[derive(Clone)]
pub(crate) struct Charts {
    registry: Client,
    mirror: Option<RegistryHost>,
    cache: Arc<Mutex<VecDeque<CachedChart>>>,
}

impl Charts {
    pub(crate) fn new(registry: Client, mirror: Option<RegistryHost>) -> Self {
        Self { registry, mirror, cache: Arc::default() }
    }

    /// The chart of a plan.
    pub(crate) async fn get(&self, plan: &Install) -> Result<(Digest, Arc<Chart>), Error> {
        let location = format!("{}/{}", plan.chart_registry, plan.source.repository);
        let invalid = |source| Error::Location { location: location.clone(), source };
        let digest: Digest = plan.source.digest.parse().map_err(invalid)?;
        if let Some(chart) = self.cached(&digest) {
            return Ok((digest, chart));
        }
        let repositories = repositories(&location, self.mirror.as_ref()).map_err(invalid)?;
        let chart = format!("{location}@{digest}");
        for (host, repository) in &repositories {
            if let Some(bytes) = self.pull(host, repository, &digest).await? {
                let size = bytes.len();
                let load = move || Chart::from_archive(bytes.as_slice(), &helm::Limits::default());
                let loaded = tokio::task::spawn_blocking(load).await.map_err(|_| Error::Render)??;
                let loaded = Arc::new(loaded);
                self.cache(&digest, size, &loaded);
                return Ok((digest, loaded));
            }
        }
        Err(Error::NoChart { chart })
    }

    /// The current digest of an image's tag in the registry; `None` if the tag does not exist.
    pub(crate) async fn tagged(&self, image: &Reference) -> Result<Option<Digest>, Error> {
        let location = image.to_string();
        let found = pull_location(image, self.mirror.as_ref());
        let (host, repository) =
            found.map_err(|source| Error::Location { location: location.clone(), source })?;
        let found = self.registry.manifest(&host, &repository, &image.selector()).await;
        let found = found.map_err(|source| Error::Pull { chart: location, source })?;
        Ok(found.map(|manifest| manifest.digest()))
    }

    fn cached(&self, digest: &Digest) -> Option<Arc<Chart>> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.iter().find(|(known, ..)| known == digest).map(|(_, _, chart)| Arc::clone(chart))
    }

    pub(crate) fn cache(&self, digest: &Digest, size: usize, chart: &Arc<Chart>) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.retain(|(known, ..)| known != digest);
        cache.push_back((digest.clone(), size, Arc::clone(chart)));
        while cache.len() > MAX_CHARTS
            || cache.iter().map(|(_, size, _)| size).sum::<usize>() > MAX_CACHE_BYTES
        {
            cache.pop_front();
        }
    }

    /// The archive of a chart; `None` if the registry does not have the manifest.
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
            Err(ClientError::Digest { expected, found, .. }) => Err(Error::Digest { chart, expected, found }),
            Err(ClientError::TooLong { .. }) => {
                let reason = format!("its archive is larger than the {} bytes in its manifest", layer.size);
                Err(Error::NotAChart { chart, reason })
            }
            Err(source) => Err(failed(source)),
        }
    }
}

/// The layer of a chart that contains its archive.
fn archive(content: &Content) -> Result<&Descriptor, String> {
    let Content::Image(manifest) = content else { return Err("it is an index".to_owned()) };
    let config = manifest.config.media_type.as_str();
    if config != media_type::HELM_CONFIG {
        return Err(format!("its config has the media type `{config}`"));
    }
    let mut archives =
        manifest.layers.iter().filter(|layer| layer.media_type.as_str() == media_type::HELM_CHART);
    match (archives.next(), archives.next()) {
        (Some(layer), None) if layer.size <= MAX_BYTES => Ok(layer),
        (Some(layer), None) => {
            Err(format!("its archive has {} bytes; at most {MAX_BYTES} are accepted", layer.size))
        }
        (None, _) => Err(format!("it has no layer of type `{}`", media_type::HELM_CHART)),
        (Some(_), Some(_)) => Err(format!("it has several layers of type `{}`", media_type::HELM_CHART)),
    }
}

/// The repositories that may contain a chart. A mirror of all registries has it below the host's name, as `airlock mirror`
/// stores it, or under its own name, as in EKS Anywhere's mirrors. The digest ensures that both are the same chart.
fn repositories(
    location: &str,
    mirror: Option<&RegistryHost>,
) -> Result<Vec<(RegistryHost, RepositoryName)>, oci::Error> {
    let (host, path) = location.split_once('/').unwrap_or((location, ""));
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

    fn found(location: &str, mirror: Option<&str>) -> Vec<String> {
        let mirror = mirror.map(|mirror| mirror.parse().unwrap());
        let repositories = repositories(location, mirror.as_ref()).unwrap();
        repositories.iter().map(|(host, repository)| format!("{host}/{repository}")).collect()
    }

    #[test]
    fn a_mirror_replaces_every_host() {
        let location = "public.ecr.aws/eks-anywhere/hello";
        assert_eq!(found(location, None), [location]);
        let mirrored =
            ["10.0.0.1:5000/public.ecr.aws/eks-anywhere/hello", "10.0.0.1:5000/eks-anywhere/hello"];
        assert_eq!(found(location, Some("10.0.0.1:5000")), mirrored);
        let own = "10.0.0.1:5000/charts/hello";
        assert_eq!(found(own, Some("10.0.0.1:5000")), [own]);
        assert!(repositories("no-repository", None).is_err());
    }

    fn archive_size(config: &str, layers: &[(&str, u64)]) -> Result<u64, String> {
        let descriptor = |kind: &str, size: u64| json!({"mediaType": kind, "digest": Digest::sha256(kind.as_bytes()), "size": size});
        let layers: Vec<_> = layers.iter().map(|(kind, size)| descriptor(kind, *size)).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": descriptor(config, 2), "layers": layers});
        let manifest = Manifest::parse(manifest.to_string().into(), None).unwrap();
        archive(manifest.content()).map(|layer| layer.size)
    }

    #[test]
    fn only_manifests_in_helm_s_format_are_charts() {
        const PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";
        let chart = (media_type::HELM_CHART, 100);
        assert_eq!(archive_size(media_type::HELM_CONFIG, &[(PROVENANCE, 5), chart]), Ok(100));
        assert!(archive_size("application/vnd.oci.image.config.v1+json", &[chart]).is_err());
        assert!(archive_size(media_type::HELM_CONFIG, &[(media_type::OCI_LAYER, 1)]).is_err());
        assert!(archive_size(media_type::HELM_CONFIG, &[chart, chart]).is_err());
        let error =
            archive_size(media_type::HELM_CONFIG, &[(media_type::HELM_CHART, MAX_BYTES + 1)]).unwrap_err();
        assert!(error.contains("at most 33554432 are accepted"), "{error}");
    }
}
