//! `Package`: one installation of something that a bundle offers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::{Kind, object};
use crate::{Condition, EKS_GROUP};

object! {
    /// One installation of something that a bundle offers.
    Package, PackageSpec, PackageStatus, k8s_openapi::NamespaceResourceScope
}

impl Kind for Package {
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
    const DESCRIPTION: &'static str = "One installation of something that a bundle offers.";
}

/// What to install, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageSpec {
    /// The package's name in the bundle; upper and lower case are the same.
    pub package_name: String,
    /// A version's name or its chart's digest, as the bundle has it, or `latest`; the bundle's first when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_version: Option<String>,
    /// The chart's values: a YAML document as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Where to install; the chart's own default, else `default`, when absent. It cannot change afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_namespace: Option<String>,
}

/// How far an installation is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageStatus {
    /// Which chart was chosen.
    pub source: PackageSource,
    /// The version that was installed last.
    pub current_version: String,
    /// The version that is wanted; `NAME (latest)` when the latest was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_version: Option<String>,
    /// The step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<PackageState>,
    /// What a person should know, above all the last error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Newer versions in the active bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrades_available: Option<Vec<AvailableUpgrade>>,
    /// What was applied last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<PackageSpec>,
    /// Aspects of the state, by airlock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Option<Vec<Condition>>,
    /// The generation that all this is about, by airlock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// A chart, settled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageSource {
    /// The registry, as the bundle has it; mostly empty, which means the controller's default.
    pub registry: String,
    /// The repository.
    pub repository: String,
    /// The version's name, which is the chart's tag.
    pub version: String,
    /// The digest of the chart's manifest.
    pub digest: String,
}

/// A version to which a package can be upgraded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AvailableUpgrade {
    /// The version's name.
    pub version: String,
    /// The same or the chart's digest, as `spec.packageVersion` takes it.
    pub tag: String,
}

/// The steps of an installation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PackageState {
    /// Just seen.
    #[default]
    #[serde(rename = "initializing")]
    Initializing,
    /// The chart is being applied.
    #[serde(rename = "installing")]
    Installing,
    /// Packages that this one needs are looked for, and waited for.
    #[serde(rename = "installing dependencies")]
    InstallingDependencies,
    /// Done.
    #[serde(rename = "installed")]
    Installed,
    /// Something changed.
    #[serde(rename = "updating")]
    Updating,
    /// Being removed.
    #[serde(rename = "uninstalling")]
    Uninstalling,
    /// Nothing is done about it.
    #[serde(rename = "unknown")]
    Unknown,
}
