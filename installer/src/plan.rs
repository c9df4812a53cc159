//! The plan of an installation: a chart by its digest, and values.

use package_api::PackageSource;
use serde_json::{Map, Value, json};

/// The registry of images, unless the `PackageBundleController` of the cluster sets another.
pub const IMAGE_REGISTRY: &str = "783794618700.dkr.ecr.us-west-2.amazonaws.com";
/// The value with which charts of EKS Anywhere receive the registry of their images.
pub const SOURCE_REGISTRY: &str = "sourceRegistry";

/// The plan of an installation.
#[derive(Clone, Debug, PartialEq)]
pub struct Install {
    /// The name of the release, which is the name of the package.
    pub release: String,
    /// The namespace of release records.
    pub release_namespace: &'static str,
    /// The namespace to install into; `None` means the default of the chart.
    pub target_namespace: Option<String>,
    /// Whether to create the namespace.
    pub create_namespace: bool,
    /// The registry of the chart, with a repository prefix.
    pub chart_registry: String,
    /// The chart. It is pulled by its digest; the name of the version is for people.
    pub source: PackageSource,
    /// The version, as in `status.targetVersion`.
    pub target_version: String,
    /// The values.
    pub values: Value,
    /// The names of packages that must be installed first.
    pub dependencies: Vec<String>,
}

impl Install {
    /// The same plan without the values of the package.
    pub(crate) fn without_values(&self) -> Self {
        Self { values: with_registry(Map::new(), None), ..self.clone() }
    }

    /// The same plan without [`SOURCE_REGISTRY`], if it has that value.
    pub(crate) fn without_registry(&self) -> Option<Self> {
        let mut without = self.clone();
        without.values.as_object_mut()?.remove(SOURCE_REGISTRY)?;
        Some(without)
    }
}

/// Whether values set the registry of images.
#[must_use]
pub fn gives_registry(values: &Map<String, Value>) -> bool {
    values.get(SOURCE_REGISTRY).and_then(Value::as_str).is_some_and(|registry| !registry.is_empty())
}

/// Adds [`SOURCE_REGISTRY`], from which charts of EKS Anywhere pull their images. A value of the user takes precedence.
#[must_use]
pub fn with_registry(mut values: Map<String, Value>, registry: Option<&str>) -> Value {
    if !gives_registry(&values) {
        values.insert(SOURCE_REGISTRY.to_owned(), json!(registry.unwrap_or(IMAGE_REGISTRY)));
    }
    Value::Object(values)
}
