//! `PackageBundleController`: one cluster's settings for packages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::{Kind, object};
use crate::{Condition, EKS_GROUP};

object! {
    /// One cluster's settings for packages. Its name is the cluster's.
    PackageBundleController, PackageBundleControllerSpec, PackageBundleControllerStatus,
    k8s_openapi::NamespaceResourceScope
}

impl Kind for PackageBundleController {
    const GROUP: &'static str = EKS_GROUP;
    const KIND: &'static str = "PackageBundleController";
    const PLURAL: &'static str = "packagebundlecontrollers";
    const SHORT: &'static [&'static str] = &["pbc"];
    const COLUMNS: &'static [(&'static str, &'static str, &'static str)] = &[
        ("ActiveBundle", "string", ".spec.activeBundle"),
        ("State", "string", ".status.state"),
        ("Detail", "string", ".status.detail"),
    ];
    const DESCRIPTION: &'static str = "One cluster's settings for packages. Its name is the cluster's.";
}

/// A cluster's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageBundleControllerSpec {
    /// The bundle that packages are taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_bundle: Option<String>,
    /// Where charts and bundles are: a registry and the beginning of their repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "public.ecr.aws/eks-anywhere"))]
    pub default_registry: Option<String>,
    /// Where images are; charts get it as the value `sourceRegistry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "783794618700.dkr.ecr.us-west-2.amazonaws.com"))]
    pub default_image_registry: Option<String>,
    /// The repository of bundles below the default registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "eks-anywhere-packages-bundles"))]
    pub bundle_repository: Option<String>,
    /// Make namespaces that packages are to be installed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub create_namespace: Option<bool>,
    /// How often to look for a newer bundle: a duration such as `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "24h"))]
    pub upgrade_check_interval: Option<String>,
    /// How soon to look again after an error.
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

/// What the controller knows of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageBundleControllerStatus {
    /// In a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ControllerState>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<PackageBundleControllerSpec>,
    /// Aspects of the state, by airlock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Option<Vec<Condition>>,
}

/// What the controller knows of a cluster, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ControllerState {
    /// The object is in a namespace where it means nothing.
    #[serde(rename = "ignored")]
    Ignored,
    /// All is well.
    #[serde(rename = "active")]
    Active,
    /// The cluster or the registry does not answer.
    #[serde(rename = "disconnected")]
    Disconnected,
    /// There is a newer bundle.
    #[serde(rename = "upgrade available")]
    UpgradeAvailable,
}
