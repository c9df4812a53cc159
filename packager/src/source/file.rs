//! Plain files and packaged charts as OCI artifacts (OCI image specification, `manifest.md`, "Guidelines for
//! Artifact Usage"; Helm's `HIPs 0006`). The same file always gives the same manifest.

use oci::{Digest, Manifest, RepositoryName, Tag, media_type};
use serde_json::{Value, json};

use super::Artifact;
use crate::mirror::Error;

/// What a plain file's artifact says that it is.
pub const FILE_TYPE: &str = "application/vnd.airlock.file.v1";
const TITLE: &str = "org.opencontainers.image.title";

/// Where a file from a URL goes: its host and folder are the repository, its name is the tag.
///
/// # Errors
/// When the URL has no host or no file name.
pub fn named_after(url: &str) -> Result<(RepositoryName, Tag), Error> {
    let unusable = || Error::FileName(url.to_owned());
    let (_, rest) = url.split_once("://").ok_or_else(unusable)?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (folder, name) = rest.rsplit_once('/').ok_or_else(unusable)?;
    let clean = |text: &str| -> String {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
        text.to_ascii_lowercase().chars().map(|c| if allowed(c) { c } else { '-' }).collect()
    };
    let repository = folder.split('/').map(clean).collect::<Vec<_>>().join("/");
    Ok((repository.parse().map_err(|_| unusable())?, tag_of(name).ok_or_else(unusable)?))
}

/// A file's name as a tag.
pub(crate) fn tag_of(name: &str) -> Option<Tag> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    name.chars().map(|c| if allowed(c) { c } else { '_' }).collect::<String>().parse().ok()
}

/// The artifact of a plain file.
///
/// # Errors
/// Never for a file that has a digest.
pub fn artifact(name: &str, digest: &Digest, size: u64) -> Result<Artifact, Error> {
    let config = b"{}".to_vec();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "artifactType": FILE_TYPE,
        "config": descriptor(media_type::OCI_EMPTY, &config),
        "layers": [layer("application/octet-stream", digest, size, name)],
    });
    finish(&manifest, config)
}

/// Helm's artifact of a packaged chart whose `Chart.yaml` is `config`.
///
/// # Errors
/// Never for a chart that has a digest.
pub fn chart_artifact(config: &Value, name: &str, digest: &Digest, size: u64) -> Result<Artifact, Error> {
    let config = serde_json::to_vec(config).unwrap_or_default();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": descriptor(media_type::HELM_CONFIG, &config),
        "layers": [layer(media_type::HELM_CHART, digest, size, name)],
    });
    finish(&manifest, config)
}

fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": kind, "digest": Digest::sha256(bytes), "size": bytes.len() })
}

fn layer(kind: &str, digest: &Digest, size: u64, name: &str) -> Value {
    json!({ "mediaType": kind, "digest": digest, "size": size, "annotations": { TITLE: name } })
}

fn finish(manifest: &Value, config: Vec<u8>) -> Result<Artifact, Error> {
    let bytes = serde_json::to_vec(manifest).unwrap_or_default();
    let manifest = Manifest::parse(bytes.into(), None).map_err(Error::Oci)?;
    Ok(Artifact { manifest, config })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_repository_and_tag() {
        let (repository, tag) =
            named_after("https://distro.eks.amazonaws.com/v1.21/Artifacts/cni+1.tar.gz?x=1").unwrap();
        assert_eq!(repository.as_str(), "distro.eks.amazonaws.com/v1.21/artifacts");
        assert_eq!(tag.as_str(), "cni_1.tar.gz");
        assert!(named_after("https://host").is_err() && named_after("https://host/").is_err());
    }

    #[test]
    fn the_same_file_gives_the_same_artifact() {
        let digest = Digest::sha256(b"content");
        let (one, other) = (artifact("a", &digest, 7).unwrap(), artifact("a", &digest, 7).unwrap());
        assert_eq!(one.manifest.digest(), other.manifest.digest());
        assert_eq!(one.manifest.artifact_type(), Some(FILE_TYPE));
        assert_eq!(one.manifest.blobs().nth(1).unwrap().digest, digest);
    }
}
