//! Publishes a signed bundle in the store, in the format of EKS Anywhere: one layer with the YAML, tagged with the bundle's
//! name and with the tag of the latest bundle for its Kubernetes version.

use std::io::Read as _;

use oci::{Digest, Manifest, RepositoryName, Selector, Tag};
use package_api::{BundleName, PackageBundle};
use serde::Serialize;
use serde_json::json;
use store::{Change, Store};

use super::Error;

/// The last segment of the repository's name.
pub const REPOSITORY: &str = "eks-anywhere-packages-bundles";
/// The media types that `oras push` in upstream's pipeline uses for a file.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.unknown.config.v1+json";
const TITLE: &str = "org.opencontainers.image.title";
const MOST_BYTES: u64 = 4 << 20;

/// A bundle in a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// The repository.
    pub repository: RepositoryName,
    /// The tags.
    pub tags: Vec<Tag>,
    /// The manifest's digest.
    pub digest: Digest,
    /// The bundle's name; `None` if the bundle is not readable.
    pub name: Option<String>,
    /// The names of its packages.
    pub packages: Vec<String>,
}

/// The bundle of this name in a repository, with its text.
///
/// # Errors
/// When the store fails.
pub fn published(
    store: &Store,
    repository: &RepositoryName,
    name: &BundleName,
) -> Result<Option<(Published, String)>, Error> {
    let tag: Tag = name.as_str().parse().map_err(Error::Artifact)?;
    let Some(row) = store.resolve(repository, &Selector::Tag(tag))? else { return Ok(None) };
    let text = text(store, &row.digest)?.unwrap_or_default();
    let tags = store.tags(repository, None, None)?.into_iter();
    let tags = tags.filter(|(_, digest)| *digest == row.digest).map(|(tag, _)| tag).collect();
    let packages = read(store, &row.digest)?.map(|bundle| names(&bundle)).unwrap_or_default();
    let (repository, name) = (repository.clone(), Some(name.to_string()));
    Ok(Some((Published { repository, tags, digest: row.digest, name, packages }, text)))
}

/// Publishes a signed bundle in a repository of the store. The tag of the latest bundle only moves forward.
///
/// # Errors
/// When the store fails.
pub fn publish(
    store: &Store,
    repository: &RepositoryName,
    name: &BundleName,
    yaml: &str,
) -> Result<Published, Error> {
    let artifact = manifest(yaml)?;
    for bytes in [&b"{}"[..], yaml.as_bytes()] {
        store.put_bytes(bytes)?;
    }
    let digest = artifact.digest().clone();
    let mut tags: Vec<Tag> = vec![name.as_str().parse().map_err(Error::Artifact)?];
    let latest: Tag = format!("v{}-latest", name.kubernetes()).parse().map_err(Error::Artifact)?;
    let known = store.resolve(repository, &Selector::Tag(latest.clone()))?;
    let known = known.map(|row| read(store, &row.digest)).transpose()?.flatten();
    let known = known.and_then(|bundle| bundle.name().parse::<BundleName>().ok());
    if known.is_none_or(|known| !known.supersedes(name)) {
        tags.push(latest);
    }
    let mut changes = Change::expect_blobs(repository, &artifact);
    changes.push(Change::PutManifest {
        repository: repository.clone(),
        digest: digest.clone(),
        manifest: artifact,
    });
    changes.extend(tags.iter().map(|tag| Change::SetTag {
        repository: repository.clone(),
        tag: tag.clone(),
        digest: digest.clone(),
    }));
    store.commit(changes)?;
    let packages = read(store, &digest)?.map(|bundle| names(&bundle)).unwrap_or_default();
    Ok(Published { repository: repository.clone(), tags, digest, name: Some(name.to_string()), packages })
}

fn manifest(yaml: &str) -> Result<Manifest, Error> {
    let (config, layer) = (Digest::sha256(b"{}"), Digest::sha256(yaml.as_bytes()));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": oci::media_type::OCI_MANIFEST,
        "config": { "mediaType": CONFIG, "digest": config, "size": 2 },
        "layers": [{
            "mediaType": LAYER, "digest": layer, "size": yaml.len(), "annotations": { TITLE: "bundle.yaml" },
        }],
    });
    let bytes = serde_json::to_vec(&manifest).unwrap_or_default();
    Manifest::parse(bytes.into(), None).map_err(Error::Artifact)
}

/// All bundles in a store, from its repositories named [`REPOSITORY`].
///
/// # Errors
/// When the store fails.
pub fn listed(store: &Store) -> Result<Vec<Published>, Error> {
    let mut all: Vec<Published> = Vec::new();
    for repository in store.repositories(None, None)? {
        if repository.as_str().rsplit('/').next() != Some(REPOSITORY) {
            continue;
        }
        for (tag, digest) in store.tags(&repository, None, None)? {
            let same = |known: &&mut Published| known.repository == repository && known.digest == digest;
            if let Some(known) = all.iter_mut().find(same) {
                known.tags.push(tag);
                continue;
            }
            let bundle = read(store, &digest)?;
            all.push(Published {
                repository: repository.clone(),
                tags: vec![tag],
                name: bundle.as_ref().map(|bundle| bundle.name().to_owned()),
                packages: bundle.as_ref().map(names).unwrap_or_default(),
                digest,
            });
        }
    }
    Ok(all)
}

fn names(bundle: &PackageBundle) -> Vec<String> {
    bundle.spec.packages.iter().map(|package| package.name.clone()).collect()
}

/// The digests of the charts and images of a bundle in the store; `None` if it is not a bundle.
///
/// # Errors
/// When the store fails.
pub fn needs(store: &Store, digest: &Digest) -> Result<Option<Vec<String>>, Error> {
    let Some(bundle) = read(store, digest)? else { return Ok(None) };
    let versions = bundle.spec.packages.iter().flat_map(|package| &package.source.versions);
    let digests = versions.flat_map(|version| {
        let images = version.images.iter().flatten().map(|image| image.digest.clone());
        std::iter::once(version.digest.clone()).chain(images)
    });
    Ok(Some(digests.collect()))
}

/// Reads the bundle from an artifact: its first layer, whatever its media type. `None` if it is not a bundle.
fn read(store: &Store, digest: &Digest) -> Result<Option<PackageBundle>, Error> {
    let Some(text) = text(store, digest)? else { return Ok(None) };
    let value = gostd::yaml::parse(&text, &gostd::Limits::default()).ok();
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}

fn text(store: &Store, digest: &Digest) -> Result<Option<String>, Error> {
    let Some(bytes) = blob(store, digest)? else { return Ok(None) };
    let Ok(manifest) = Manifest::parse(bytes.into(), None) else { return Ok(None) };
    // The first blob is the config.
    let Some(layer) = manifest.blobs().nth(1) else { return Ok(None) };
    let Some(bytes) = blob(store, &layer.digest)? else { return Ok(None) };
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

pub(super) fn blob(store: &Store, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
    let Some(blob) = store.blob(digest)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let read = blob.file.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|source| Error::Read { path: digest.to_string().into(), source })?;
    Ok((bytes.len() as u64 <= MOST_BYTES).then_some(bytes))
}
