//! What is to be installed: a chart, held to its digest, and values.

use package_api::PackageSource;
use serde_json::{Map, Value, json};

/// Where images are, unless the cluster's settings say otherwise.
pub const IMAGE_REGISTRY: &str = "783794618700.dkr.ecr.us-west-2.amazonaws.com";
/// The value by which charts of EKS Anywhere take their images from a registry.
pub const SOURCE_REGISTRY: &str = "sourceRegistry";

/// An installation, planned.
#[derive(Clone, Debug, PartialEq)]
pub struct Install {
    /// The release's name, which is the package's.
    pub release: String,
    /// The namespace of release records.
    pub release_namespace: &'static str,
    /// Where to install; none means the chart's own default.
    pub target_namespace: Option<String>,
    /// Whether the namespace is made.
    pub create_namespace: bool,
    /// The registry of the chart and the beginning of its repository, settled.
    pub chart_registry: String,
    /// The chart. It is taken by its digest: the version's name is for people.
    pub source: PackageSource,
    /// The version as `status.targetVersion` says it.
    pub target_version: String,
    /// The values.
    pub values: Value,
    /// Names of packages that must be there before.
    pub dependencies: Vec<String>,
}

impl Install {
    /// The same with no value that the package gives.
    pub(crate) fn without_values(&self) -> Self {
        Self { values: with_registry(Map::new(), None), ..self.clone() }
    }

    /// The same without [`SOURCE_REGISTRY`], if it has that.
    pub(crate) fn without_registry(&self) -> Option<Self> {
        let mut without = self.clone();
        without.values.as_object_mut()?.remove(SOURCE_REGISTRY)?;
        Some(without)
    }
}

/// Whether values say where the images are.
#[must_use]
pub fn gives_registry(values: &Map<String, Value>) -> bool {
    values.get(SOURCE_REGISTRY).and_then(Value::as_str).is_some_and(|registry| !registry.is_empty())
}

/// Charts of EKS Anywhere take their images from [`SOURCE_REGISTRY`]; what the user says goes before.
#[must_use]
pub fn with_registry(mut values: Map<String, Value>, registry: Option<&str>) -> Value {
    if !gives_registry(&values) {
        values.insert(SOURCE_REGISTRY.to_owned(), json!(registry.unwrap_or(IMAGE_REGISTRY)));
    }
    Value::Object(values)
}
