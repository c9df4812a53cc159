//! Image manifests and indexes (OCI image specification, `manifest.md` and `image-index.md`; Docker v2
//! schema 2). The bytes are kept exactly as received.
//!
//! `members`: rejects JSON that two readers could read as two manifests.

mod members;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::members::is_read_as;
use crate::descriptor::null_is_default;
use crate::media_type::empty_is_none;
use crate::{Descriptor, Digest, Error, MediaType, media_type};

/// A parsed manifest with the bytes it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    bytes: Bytes,
    media_type: MediaType,
    content: Content,
}

/// The parsed content of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// One image or artifact.
    Image(Box<ImageManifest>),
    /// A list of manifests.
    Index(Box<Index>),
}

/// An image manifest, OCI or Docker v2 schema 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Always 2.
    pub schema_version: u64,
    /// The manifest's own type; OCI allows it to be absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_none")]
    pub media_type: Option<MediaType>,
    /// The type of the artifact, if it is not a runnable image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration blob.
    pub config: Descriptor,
    /// The layers, base first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free-form key and value pairs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
}

/// An image index or Docker manifest list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u64,
    /// The index's own type; OCI allows it to be absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_none")]
    pub media_type: Option<MediaType>,
    /// The type of the artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The listed manifests (buildkit caches list layers here).
    #[serde(default, deserialize_with = "null_is_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free-form key and value pairs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
}

/// The members that distinguish an image manifest from an index.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: u64,
    #[serde(default, deserialize_with = "empty_is_none")]
    media_type: Option<MediaType>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
}

impl Manifest {
    /// Parses an image manifest or an index. `sent_as` is the `Content-Type` or the descriptor's type, if known.
    ///
    /// Every manifest on which a decision depends is parsed here and nowhere else: Go's `encoding/json` reads everything
    /// that passes in the same way.
    ///
    /// # Errors
    /// When the bytes are not a schema 2 manifest, could be read as two kinds or as two manifests, or contradict
    /// `sent_as`.
    pub fn parse(bytes: Bytes, sent_as: Option<&MediaType>) -> Result<Self, Error> {
        members::check(&bytes).map_err(Error::ManifestJson)?;
        let shape: Shape = serde_json::from_slice(&bytes).map_err(Error::ManifestJson)?;
        if shape.schema_version != 2 {
            return Err(Error::SchemaVersion(shape.schema_version));
        }
        if let (Some(inside), Some(outside)) = (&shape.media_type, sent_as)
            && inside != outside
        {
            return Err(Error::MediaTypeMismatch {
                inside: inside.to_string(),
                outside: outside.to_string(),
            });
        }
        let image = shape.config.is_some() || shape.layers.is_some();
        let declared =
            shape.media_type.as_ref().or(sent_as).filter(|declared| declared.is_manifest()).cloned();
        let index = match (&declared, image, shape.manifests.is_some()) {
            (_, true, true) => return Err(Error::ManifestAmbiguous),
            (Some(declared), false, false) => declared.is_index(),
            (None, false, false) => return Err(Error::ManifestKind),
            (_, _, index) => index,
        };
        let content = if index {
            Content::Index(serde_json::from_slice(&bytes).map_err(Error::ManifestJson)?)
        } else {
            Content::Image(serde_json::from_slice(&bytes).map_err(Error::ManifestJson)?)
        };
        let media_type = match declared {
            Some(declared) if declared.is_index() == index => declared,
            Some(declared) => {
                let inside = if index { media_type::OCI_INDEX } else { media_type::OCI_MANIFEST };
                return Err(Error::MediaTypeMismatch {
                    inside: inside.to_owned(),
                    outside: declared.to_string(),
                });
            }
            None => (if index { media_type::OCI_INDEX } else { media_type::OCI_MANIFEST }).parse()?,
        };
        Ok(Self { bytes, media_type, content })
    }

    /// The exact bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The media type to serve the manifest with.
    #[must_use]
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// The parsed content.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The SHA-256 digest of the bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::sha256(&self.bytes)
    }

    /// The manifest that it refers to in `subject`, if any.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        match &self.content {
            Content::Image(image) => image.subject.as_ref(),
            Content::Index(index) => index.subject.as_ref(),
        }
    }

    /// Its annotations.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        match &self.content {
            Content::Image(image) => &image.annotations,
            Content::Index(index) => &index.annotations,
        }
    }

    /// The artifact type that the referrers API reports: the manifest's own, or the config type of an image without one.
    #[must_use]
    pub fn artifact_type(&self) -> Option<&str> {
        match &self.content {
            Content::Image(image) => image
                .artifact_type
                .as_deref()
                .filter(|t| !t.is_empty())
                .or(Some(image.config.media_type.as_str())),
            Content::Index(index) => index.artifact_type.as_deref().filter(|t| !t.is_empty()),
        }
    }

    /// The blobs that it needs: the configuration first, then the layers; none for an index.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let image = match &self.content {
            Content::Image(image) => Some(image),
            Content::Index(_) => None,
        };
        image.into_iter().flat_map(|image| std::iter::once(&image.config).chain(&image.layers))
    }

    /// The descriptors that an index lists; none for an image.
    #[must_use]
    pub fn children(&self) -> &[Descriptor] {
        match &self.content {
            Content::Image(_) => &[],
            Content::Index(index) => &index.manifests,
        }
    }

    /// The descriptor of this manifest, as the referrers API lists it.
    #[must_use]
    pub fn referrer_descriptor(&self, digest: Digest) -> Descriptor {
        let mut descriptor = Descriptor::new(self.media_type.clone(), digest, self.bytes.len() as u64);
        descriptor.artifact_type = self.artifact_type().map(str::to_owned);
        descriptor.annotations = self.annotations().clone();
        descriptor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, sent_as: Option<&str>) -> Result<Manifest, Error> {
        let sent_as = sent_as.map(|t| t.parse::<MediaType>().unwrap());
        Manifest::parse(Bytes::copy_from_slice(text.as_bytes()), sent_as.as_ref())
    }

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn image(extra: &str) -> String {
        format!(
            r#"{{"schemaVersion":2{extra},"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{HEX}","size":2}},"layers":[]}}"#
        )
    }

    #[test]
    fn the_kind_follows_from_the_type_or_the_members() {
        let untyped = parse(&image(""), None).unwrap();
        assert_eq!(*untyped.media_type(), media_type::OCI_MANIFEST);
        assert_eq!(untyped.blobs().count(), 1);
        let docker = parse(&image(""), Some(media_type::DOCKER_MANIFEST)).unwrap();
        assert_eq!(*docker.media_type(), media_type::DOCKER_MANIFEST);
        let index = parse(r#"{"schemaVersion":2,"manifests":[]}"#, None).unwrap();
        assert!(index.children().is_empty() && index.media_type().is_index());
    }

    #[test]
    fn contradictions_are_rejected() {
        let typed = image(&format!(r#","mediaType":"{}""#, media_type::OCI_MANIFEST));
        assert!(matches!(
            parse(&typed, Some(media_type::DOCKER_MANIFEST)),
            Err(Error::MediaTypeMismatch { .. })
        ));
        assert!(matches!(parse(&image(r#","manifests":[]"#), None), Err(Error::ManifestAmbiguous)));
        assert!(matches!(
            parse(&image(""), Some(media_type::OCI_INDEX)),
            Err(Error::MediaTypeMismatch { .. })
        ));
        assert!(matches!(parse(r#"{"schemaVersion":1}"#, None), Err(Error::SchemaVersion(1))));
        assert!(matches!(parse(r#"{"schemaVersion":2}"#, None), Err(Error::ManifestKind)));
        assert!(matches!(parse("[]", None), Err(Error::ManifestJson(_))));
    }

    #[test]
    fn bytes_are_kept_exactly() {
        let text = format!("  {}\n\n", image(r#", "unknown":  [1]"#));
        let manifest = parse(&text, None).unwrap();
        assert_eq!(&manifest.bytes()[..], text.as_bytes());
        assert_eq!(manifest.digest(), Digest::sha256(text.as_bytes()));
    }
}
