//! `PackageBundleController`: the package configuration of one cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::{CustomResource, object};
use crate::{Condition, EKS_GROUP};

object! {
    /// The package configuration of one cluster. The name of the object is the name of the cluster.
    PackageBundleController, PackageBundleControllerSpec, PackageBundleControllerStatus,
    k8s_openapi::NamespaceResourceScope
}

impl CustomResource for PackageBundleController {
    const GROUP: &'static str = EKS_GROUP;
    const KIND: &'static str = "PackageBundleController";
    const PLURAL: &'static str = "packagebundlecontrollers";
    const SHORT: &'static [&'static str] = &["pbc"];
    const COLUMNS: &'static [(&'static str, &'static str, &'static str)] = &[
        ("ActiveBundle", "string", ".spec.activeBundle"),
        ("State", "string", ".status.state"),
        ("Detail", "string", ".status.detail"),
    ];
    const DESCRIPTION: &'static str =
        "The package configuration of one cluster. The name of the object is the name of the cluster.";
}

/// The package configuration of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageBundleControllerSpec {
    /// The bundle that packages are installed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_bundle: Option<String>,
    /// The registry of charts and bundles, with a repository prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "public.ecr.aws/eks-anywhere"))]
    pub default_registry: Option<String>,
    /// The registry of images. Charts receive it as the value `sourceRegistry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "783794618700.dkr.ecr.us-west-2.amazonaws.com"))]
    pub default_image_registry: Option<String>,
    /// The repository of bundles below the default registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "eks-anywhere-packages-bundles"))]
    pub bundle_repository: Option<String>,
    /// Whether to create the target namespaces of packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub create_namespace: Option<bool>,
    /// How often to check for a newer bundle: a duration such as `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "24h"))]
    pub upgrade_check_interval: Option<String>,
    /// How soon to check again after an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "1h"))]
    pub upgrade_check_short_interval: Option<String>,
    /// Not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_level: Option<i32>,
    /// Not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_registry: Option<String>,
}

/// The observed state of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageBundleControllerStatus {
    /// The state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ControllerState>,
    /// Details for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<PackageBundleControllerSpec>,
    /// The conditions, added by airlock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Option<Vec<Condition>>,
}

/// The state of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ControllerState {
    /// The object is in a namespace where it has no effect.
    #[serde(rename = "ignored")]
    Ignored,
    /// The cluster and the registry answer, and no newer bundle exists.
    #[serde(rename = "active")]
    Active,
    /// The cluster or the registry does not answer.
    #[serde(rename = "disconnected")]
    Disconnected,
    /// A newer bundle exists.
    #[serde(rename = "upgrade available")]
    UpgradeAvailable,
}
