//! The media types that matter to a registry (OCI image specification, `media-types.md`; Docker image
//! manifest v2 schema 2).

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Error;

/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// OCI layer, tar with gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// OCI layer, plain tar.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// The empty descriptor's media type; its blob is `{}`.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Docker's counterpart of the image manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's counterpart of the index.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker's layer, tar with gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Helm chart configuration.
pub const HELM_CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
/// Helm chart archive.
pub const HELM_CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// The provenance of a packaged chart, as `helm package --sign` writes it.
pub const HELM_PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";

/// Every media type under which a manifest can be requested.
pub const MANIFESTS: [&str; 4] = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST];

const MAX_LEN: usize = 255;

/// A media type: without parameters if it comes from a header, unchanged if it comes from a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MediaType(String);

impl MediaType {
    /// The type as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the type of an image index or of Docker's manifest list.
    #[must_use]
    pub fn is_index(&self) -> bool {
        matches!(self.as_str(), OCI_INDEX | DOCKER_LIST)
    }

    /// Whether this is the type of an image manifest or an index.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        MANIFESTS.contains(&self.as_str())
    }

    /// The name of a manifest format that is known but not supported.
    #[must_use]
    pub fn unsupported(&self) -> Option<&'static str> {
        match self.as_str() {
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => {
                Some("a Docker schema 1 manifest")
            }
            "application/vnd.oci.artifact.manifest.v1+json" => {
                Some("an OCI artifact manifest, which OCI removed before version 1.1")
            }
            _ => None,
        }
    }

    /// Whether registries may lack layers of this type (OCI "non-distributable", Docker "foreign").
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.0.contains(".nondistributable.") || self.0.contains(".rootfs.foreign.")
    }
}

impl FromStr for MediaType {
    type Err = Error;

    /// Parses a `Content-Type` value; parameters after `;` are dropped.
    fn from_str(text: &str) -> Result<Self, Error> {
        let essence = text.split(';').next().unwrap_or_default().trim();
        let token = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
        };
        match essence.split_once('/') {
            Some((kind, subtype)) if essence.len() <= MAX_LEN && token(kind) && token(subtype) => {
                Ok(Self(essence.to_owned()))
            }
            _ => Err(Error::MediaType(text.to_owned())),
        }
    }
}

impl TryFrom<String> for MediaType {
    type Error = Error;

    /// Accepts the value of a manifest's member. Nothing is dropped or added, because other readers compare the whole
    /// text; some writers omit the slash.
    fn try_from(text: String) -> Result<Self, Error> {
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if printable && (1..=MAX_LEN).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(Error::MediaType(text))
        }
    }
}

impl From<MediaType> for String {
    fn from(media_type: MediaType) -> Self {
        media_type.0
    }
}

impl PartialEq<&str> for MediaType {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads an empty type as none: Go's writers do not distinguish the two.
pub(crate) fn empty_is_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<MediaType>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    text.map(|text| MediaType::try_from(text).map_err(D::Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r9_a_type_in_a_manifest_is_kept_unchanged() {
        let read = |text: &str| serde_json::from_str::<MediaType>(&format!("\"{text}\"")).map(|kind| kind.0);
        for text in ["application/vnd.oci.image.layer.v1.tar; a=b", "text", "a/b/c", "Application/JSON"] {
            assert_eq!(read(text).unwrap(), text);
        }
        assert!(read("").is_err() && read("a/\\u0000b").is_err() && read(&"a".repeat(256)).is_err());
    }

    #[test]
    fn parameters_are_dropped_and_malformed_types_are_rejected() {
        assert_eq!("application/json; charset=utf-8".parse::<MediaType>().unwrap(), "application/json");
        for bad in ["", "application", "/json", "a/b/c", "a b/c", "a/"] {
            assert!(bad.parse::<MediaType>().is_err(), "{bad}");
        }
    }
}
