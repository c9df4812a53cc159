//! The plan for a package by the active bundle: a chart by its digest, and values.

use admission::values;
use installer::{Install, SOURCE_REGISTRY, gives_registry, with_registry};
use package_api::name::PACKAGES_NAMESPACE;
use package_api::{AvailableUpgrade, BundlePackage, PackageSource, bundle::LATEST};
use serde_json::Value;

use super::Observed;

/// The registry of charts, unless the bundle or the `PackageBundleController` sets another.
pub const CHART_REGISTRY: &str = "public.ecr.aws/eks-anywhere";

/// A message about the registry that was added to the values because the package does not set one.
#[must_use]
pub fn added_registry(install: &Install, config: Option<&str>) -> Option<String> {
    let registry = install.values.get(SOURCE_REGISTRY)?.as_str()?;
    let given = values::read(config).ok()?;
    (!gives_registry(given.as_object()?)).then(|| {
        format!(
            "`{SOURCE_REGISTRY}` was set to `{registry}`, the cluster's `defaultImageRegistry`; a value in the package's \
             config takes precedence"
        )
    })
}

/// Plans the installation by the active bundle.
///
/// # Errors
/// The problem, as text for the user.
pub(super) fn plan(observed: &Observed<'_>) -> Result<Install, String> {
    let package = observed.package;
    let (spec, settings) = (&package.spec, observed.settings);
    let bundle = observed.bundle.map_err(|reason| format!("getting PackageBundle: {reason}"))?;
    let (name, from) = (&spec.package_name, bundle.name());
    let offered = bundle.spec.package(name);
    let offered = offered.ok_or_else(|| format!("package not found in bundle ({from}): {name}"))?;
    let wanted = spec.package_version.as_deref().unwrap_or_default();
    let version = offered.version(Some(wanted));
    let version =
        version.ok_or_else(|| format!("package version not found in bundle ({from}): {name} @ {wanted}"))?;
    // Only the digest identifies the chart, because a tag can be moved.
    version.digest.parse::<oci::Digest>().map_err(|error| {
        format!("invalid package bundle. (the chart of {name} @ {} has no digest: {error})", version.name)
    })?;
    let registry = given(offered.source.registry.as_deref());
    let default = given(settings.default_registry.as_deref()).unwrap_or(CHART_REGISTRY);
    let values = values::read(spec.config.as_deref()).map_err(|error| error.upstream_message())?;
    let Value::Object(values) = values else { return Err("the configuration is not a map".to_owned()) };
    let latest = wanted.is_empty() || wanted == LATEST;
    Ok(Install {
        release: package.name().to_owned(),
        release_namespace: PACKAGES_NAMESPACE,
        target_namespace: given(spec.target_namespace.as_deref()).map(str::to_owned),
        create_namespace: settings.create_namespace.unwrap_or_default(),
        chart_registry: registry.unwrap_or(default).to_owned(),
        source: PackageSource {
            registry: registry.unwrap_or_default().to_owned(),
            repository: offered.source.repository.clone(),
            version: version.name.clone(),
            digest: version.digest.clone(),
        },
        target_version: if latest { format!("{} (latest)", version.name) } else { version.name.clone() },
        values: with_registry(values, given(settings.default_image_registry.as_deref())),
        dependencies: version.dependencies.clone().unwrap_or_default(),
    })
}

fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// Whether the installed values differ from the planned ones. Pull secrets that upstream's controller added do not count,
/// and neither does the registry if the chart does not accept it.
pub(super) fn differs(wanted: &Value, found: &Value) -> bool {
    const ADDED: &str = "imagePullSecrets";
    if wanted == found {
        return false;
    }
    let (mut wanted, mut found) = (wanted.clone(), found.clone());
    if let (Some(wanted), Some(found)) = (wanted.as_object_mut(), found.as_object_mut()) {
        if !wanted.contains_key(ADDED) {
            found.remove(ADDED);
        }
        if !found.contains_key(SOURCE_REGISTRY) {
            wanted.remove(SOURCE_REGISTRY);
        }
    }
    wanted != found
}

/// The message for a changed target namespace of an installed package.
pub(super) fn moved(package: &package_api::Package, installed: &str) -> String {
    let wanted = package.spec.target_namespace.as_deref().unwrap_or_default();
    format!(
        "it is installed in the namespace `{installed}` and cannot move to `{wanted}`; nothing was changed. Set \
         targetNamespace to `{installed}`, or delete the package and create it again"
    )
}

/// The versions that the bundle lists before this one. Its order is from new to old.
pub(super) fn upgrades(offered: &BundlePackage, version: &str) -> Option<Vec<AvailableUpgrade>> {
    let versions = &offered.source.versions;
    let at = versions.iter().position(|listed| listed.name == version)?;
    let upgrade = |name: &String| AvailableUpgrade { version: name.clone(), tag: name.clone() };
    let newer: Vec<_> = versions.iter().take(at).map(|version| upgrade(&version.name)).collect();
    (!newer.is_empty()).then_some(newer)
}
