//! `Package`: one installation of a package from a bundle.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::{CustomResource, object};
use crate::{Condition, EKS_GROUP};

object! {
    /// One installation of a package from a bundle.
    Package, PackageSpec, PackageStatus, k8s_openapi::NamespaceResourceScope
}

impl CustomResource for Package {
    const GROUP: &'static str = EKS_GROUP;
    const KIND: &'static str = "Package";
    const PLURAL: &'static str = "packages";
    const COLUMNS: &'static [(&'static str, &'static str, &'static str)] = &[
        ("Package", "string", ".spec.packageName"),
        ("Age", "date", ".metadata.creationTimestamp"),
        ("State", "string", ".status.state"),
        ("CurrentVersion", "string", ".status.currentVersion"),
        ("TargetVersion", "string", ".status.targetVersion"),
        ("Detail", "string", ".status.detail"),
    ];
    const DESCRIPTION: &'static str = "One installation of a package from a bundle.";
}

/// The package to install, with its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageSpec {
    /// The name of the package in the bundle. Case is ignored.
    pub package_name: String,
    /// The name of a version or the digest of its chart, as in the bundle, or `latest`. Default: the first version in
    /// the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_version: Option<String>,
    /// The values of the chart: a YAML document as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// The namespace to install into. It cannot be changed later. Default: the default of the chart, else `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_namespace: Option<String>,
}

/// The state of an installation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageStatus {
    /// The selected chart.
    pub source: PackageSource,
    /// The version that was installed last.
    pub current_version: String,
    /// The version to install; `NAME (latest)` if `latest` was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_version: Option<String>,
    /// The step of the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<PackageState>,
    /// Details for the user, above all the last error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Newer versions in the active bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrades_available: Option<Vec<AvailableUpgrade>>,
    /// The spec that was applied last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<PackageSpec>,
    /// The conditions, added by airlock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Option<Vec<Condition>>,
    /// The generation that this status describes, added by airlock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// A selected chart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageSource {
    /// The registry, as in the bundle. It is usually empty, which means the default registry of the controller.
    pub registry: String,
    /// The repository.
    pub repository: String,
    /// The name of the version, which is the chart's tag.
    pub version: String,
    /// The digest of the chart's manifest.
    pub digest: String,
}

/// A version to which a package can be upgraded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AvailableUpgrade {
    /// The name of the version.
    pub version: String,
    /// The name of the version or the digest of its chart, as accepted by `spec.packageVersion`.
    pub tag: String,
}

/// The steps of an installation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PackageState {
    /// The package was just created.
    #[default]
    #[serde(rename = "initializing")]
    Initializing,
    /// The chart is being applied.
    #[serde(rename = "installing")]
    Installing,
    /// The controller waits for the packages that this one depends on.
    #[serde(rename = "installing dependencies")]
    InstallingDependencies,
    /// The chart is installed.
    #[serde(rename = "installed")]
    Installed,
    /// The desired state changed.
    #[serde(rename = "updating")]
    Updating,
    /// The package is being removed.
    #[serde(rename = "uninstalling")]
    Uninstalling,
    /// The controller does not act on the package.
    #[serde(rename = "unknown")]
    Unknown,
}
