//! Plain files and packaged charts as OCI artifacts (OCI image specification, `manifest.md`, "Guidelines for
//! Artifact Usage"; Helm's `HIPs 0006`). The same file always gives the same manifest.

use std::borrow::Cow;

use oci::{Digest, Manifest, RepositoryName, Tag, media_type};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::Artifact;
use crate::Error;

/// The artifact type of a plain file.
pub const FILE_TYPE: &str = "application/vnd.airlock.file.v1";
const TITLE: &str = "org.opencontainers.image.title";

/// The repository and tag of a file from a URL: its host and folder become the repository, and its name the tag. Invalid
/// characters are replaced; the artifact's title keeps the original name.
///
/// # Errors
/// When the URL has no host or no file name.
pub fn named_after(url: &str) -> Result<(RepositoryName, Tag), Error> {
    let unusable = || Error::FileName(url.to_owned());
    let (_, rest) = url.split_once("://").ok_or_else(unusable)?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (folder, name) = rest.rsplit_once('/').ok_or_else(unusable)?;
    let parts: Vec<String> = folder.split('/').filter(|part| !part.is_empty()).map(component).collect();
    Ok((parts.join("/").parse().map_err(|_| unusable())?, tag_of(name).ok_or_else(unusable)?))
}

/// A folder name as a component of a repository name, in which separators are single and between letters or digits.
fn component(name: &str) -> String {
    let mut clean = String::new();
    for c in name.chars().map(|c| c.to_ascii_lowercase()) {
        let is_word = c.is_ascii_lowercase() || c.is_ascii_digit();
        let separator = if matches!(c, '.' | '_') { c } else { '-' };
        match (is_word, clean.chars().last()) {
            (true, _) => clean.push(c),
            (false, Some(last)) if last.is_ascii_alphanumeric() => clean.push(separator),
            (false, Some('-')) if separator == '-' => clean.push(separator),
            (false, Some('_')) if separator == '_' && !clean.ends_with("__") => clean.push(separator),
            (false, _) => {}
        }
    }
    let clean = clean.trim_end_matches(['.', '_', '-']);
    // A name without any such letter or digit becomes its digest, so that it stays unique.
    if clean.is_empty() { Digest::sha256(name.as_bytes()).hex()[..12].to_owned() } else { clean.to_owned() }
}

/// A file name as a tag: invalid characters become `_`, and a name that is too long ends in a digest. `None` for an empty
/// name.
pub(crate) fn tag_of(name: &str) -> Option<Tag> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let mut tag: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    if tag.starts_with(['.', '-']) {
        tag.insert(0, '_');
    }
    if tag.len() > Tag::MAX_LEN {
        let digest = Digest::sha256(name.as_bytes());
        tag = format!("{}-{}", &tag[..Tag::MAX_LEN - 13], &digest.hex()[..12]);
    }
    tag.parse().ok()
}

/// The file name at the end of a URL's path, with the percent encoding decoded if the result is a valid name.
pub(crate) fn title_of(url: &str) -> String {
    let raw = url.rsplit('/').next().unwrap_or_default();
    let is_name = |name: &String| {
        !name.contains(|c: char| c.is_control() || c == '/') && !matches!(name.as_str(), "" | "." | "..")
    };
    let decoded = percent_decode_str(raw).decode_utf8().ok().map(Cow::into_owned);
    decoded.filter(is_name).unwrap_or_else(|| raw.to_owned())
}

/// The artifact of a plain file.
///
/// # Errors
/// Never, for a valid digest.
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

/// The Helm artifact of a packaged chart whose `Chart.yaml` is `config`.
///
/// # Errors
/// Never, for a valid digest.
pub fn chart_artifact(
    config: &Value,
    name: &str,
    digest: &Digest,
    size: u64,
    provenance: Option<&[u8]>,
) -> Result<Artifact, Error> {
    let config = serde_json::to_vec(config).unwrap_or_default();
    let mut layers = vec![layer(media_type::HELM_CHART, digest, size, name)];
    if let Some(text) = provenance {
        let digest = Digest::sha256(text);
        layers.push(layer(media_type::HELM_PROVENANCE, &digest, text.len() as u64, &format!("{name}.prov")));
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": descriptor(media_type::HELM_CONFIG, &config),
        "layers": layers,
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
    fn a_url_gives_a_repository_and_a_tag() {
        let (repository, tag) =
            named_after("https://distro.eks.amazonaws.com/v1.21/Artifacts/cni+1.tar.gz?x=1").unwrap();
        assert_eq!(repository.as_str(), "distro.eks.amazonaws.com/v1.21/artifacts");
        assert_eq!(tag.as_str(), "cni_1.tar.gz");
        assert!(named_after("https://host").is_err() && named_after("https://host/").is_err());
    }

    #[test]
    fn d15_a_file_keeps_its_name_as_title_and_gets_a_safe_tag() {
        for (url, name, title) in [
            ("https://h.io/~user/dir//a.tgz", "h.io/user/dir:a.tgz", "a.tgz"),
            ("https://h.io/.hidden/_x/a__b/c++/.profile", "h.io/hidden/x/a__b/c:_.profile", ".profile"),
            ("https://h.io/r%C3%A9sum%C3%A9.txt", "h.io:r_C3_A9sum_C3_A9.txt", "résumé.txt"),
            ("https://h.io/a/résumé.txt", "h.io/a:r_sum_.txt", "résumé.txt"),
            ("https://h.io/a/100%.txt", "h.io/a:100_.txt", "100%.txt"),
            ("https://h.io/a/b%2Fc", "h.io/a:b_2Fc", "b%2Fc"),
            ("https://h.io:8443/A-/-b/x", "h.io-8443/a/b:x", "x"),
        ] {
            let (repository, tag) = named_after(url).unwrap();
            assert_eq!((format!("{repository}:{tag}").as_str(), title_of(url).as_str()), (name, title));
        }
        let (one, other) =
            (named_after("https://h.io/é/x").unwrap(), named_after("https://h.io/ü/x").unwrap());
        assert_ne!(one.0, other.0);
        let long = |end: &str| tag_of(&format!("{}{end}", "a".repeat(200))).unwrap();
        assert!(long("b") != long("c") && long("b").as_str().len() <= Tag::MAX_LEN);
    }

    proptest::proptest! {
        #[test]
        fn d15_every_file_name_gives_a_valid_repository_and_tag(folder in "[^?#@:\\\\\\s]{0,20}", name in "[^/?#@\\\\\\s]{1,300}") {
            let url = format!("https://h.io/{folder}/{name}");
            proptest::prop_assert!(named_after(&url).is_ok(), "{}", url);
        }
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
