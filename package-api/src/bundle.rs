//! `PackageBundle`: the packages available for a Kubernetes version, signed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::{CustomResource, object};
use crate::{Condition, EKS_GROUP};

object! {
    /// The packages available for a Kubernetes version, signed.
    PackageBundle, PackageBundleSpec, PackageBundleStatus, k8s_openapi::NamespaceResourceScope
}

impl CustomResource for PackageBundle {
    const GROUP: &'static str = EKS_GROUP;
    const KIND: &'static str = "PackageBundle";
    const PLURAL: &'static str = "packagebundles";
    const COLUMNS: &'static [(&'static str, &'static str, &'static str)] =
        &[("State", "string", ".status.state")];
    const DESCRIPTION: &'static str = "The packages available for a Kubernetes version, signed.";
}

/// The annotation with the signature.
pub const SIGNATURE: &str = "eksa.aws.com/signature";
/// The annotation that lists what the signature does not cover.
pub const EXCLUDES: &str = "eksa.aws.com/excludes";

/// The packages of a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageBundleSpec {
    /// The packages. If two have the same name, the first is used.
    pub packages: Vec<BundlePackage>,
    /// The oldest controller version that can use the bundle, with a leading `v`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_controller_version: Option<String>,
}

/// One package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BundlePackage {
    /// The name of the package.
    pub name: String,
    /// The chart of the package.
    pub source: BundleSource,
    /// Whether the package can be installed on workload clusters only.
    #[serde(rename = "workloadonly", default, skip_serializing_if = "Option::is_none")]
    pub workload_only: Option<bool>,
}

/// The location and the versions of a package's chart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BundleSource {
    /// The registry. Default: the default registry of the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// The repository.
    pub repository: String,
    /// The versions; the first is the latest.
    #[schemars(length(min = 1))]
    pub versions: Vec<SourceVersion>,
}

/// One version of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceVersion {
    /// The name of the version, which is the chart's tag.
    pub name: String,
    /// The digest of the chart's manifest.
    pub digest: String,
    /// The images that the chart uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<VersionImage>>,
    /// The JSON Schema of the values, compressed with gzip and encoded in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The names of packages that must be installed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<Vec<String>>,
}

/// One image of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionImage {
    /// The repository.
    pub repository: String,
    /// The digest of the manifest.
    pub digest: String,
}

/// Whether the bundle can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageBundleStatus {
    /// Whether the bundle can be used.
    pub state: BundleState,
    /// The spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<PackageBundleSpec>,
    /// The conditions, added by airlock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Option<Vec<Condition>>,
}

/// Whether a bundle can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum BundleState {
    /// The bundle can be used.
    #[serde(rename = "available")]
    Available,
    /// The bundle is in a namespace where bundles have no effect.
    #[serde(rename = "ignored")]
    Ignored,
    /// The name of the bundle does not contain a Kubernetes version.
    #[serde(rename = "invalid")]
    Invalid,
    /// The bundle requires a newer controller.
    #[serde(rename = "controller upgrade required")]
    UpgradeRequired,
}

impl PackageBundleSpec {
    /// The first package with this name. Case is ignored.
    #[must_use]
    pub fn package(&self, name: &str) -> Option<&BundlePackage> {
        self.packages.iter().find(|package| folded(&package.name) == folded(name))
    }
}

impl BundlePackage {
    /// The version with this name or digest. For `None`, an empty text and `latest`: the first version.
    #[must_use]
    pub fn version(&self, wanted: Option<&str>) -> Option<&SourceVersion> {
        match wanted.unwrap_or_default() {
            "" | LATEST => self.source.versions.first(),
            wanted => self.source.versions.iter().find(|is| is.name == wanted || is.digest == wanted),
        }
    }
}

/// The version of a package that selects the first version in the bundle.
pub const LATEST: &str = "latest";

/// Names are compared as `strings.EqualFold` does: without regard to case, in all of Unicode.
fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> PackageBundleSpec {
        let version = |name: &str, digest: &str| SourceVersion {
            name: name.to_owned(),
            digest: digest.to_owned(),
            ..SourceVersion::default()
        };
        let package = |versions| BundlePackage {
            name: "Flux".to_owned(),
            source: BundleSource { versions, ..BundleSource::default() },
            ..BundlePackage::default()
        };
        let first = package(vec![version("v2", "sha256:22"), version("v1", "sha256:11")]);
        PackageBundleSpec { packages: vec![first, package(vec![])], ..PackageBundleSpec::default() }
    }

    #[test]
    fn the_first_package_with_a_name_is_used_and_case_is_ignored() {
        let bundle = bundle();
        assert_eq!(bundle.package("fLUX").unwrap().source.versions.len(), 2);
        assert_eq!(bundle.package("flu"), None);
    }

    #[test]
    fn a_version_is_found_by_name_and_by_digest_and_the_first_is_the_latest() {
        let bundle = bundle();
        let package = bundle.package("flux").unwrap();
        for (wanted, found) in [
            (None, Some("v2")),
            (Some(""), Some("v2")),
            (Some("latest"), Some("v2")),
            (Some("v1"), Some("v1")),
            (Some("sha256:11"), Some("v1")),
            (Some("v3"), None),
        ] {
            assert_eq!(package.version(wanted).map(|version| version.name.as_str()), found, "{wanted:?}");
        }
        assert_eq!(BundlePackage::default().version(None), None);
    }
}
