//! What a package comes to by the active bundle: a chart, held to its digest, and values.

use admission::values;
use installer::{Install, SOURCE_REGISTRY, gives_registry, with_registry};
use package_api::name::PACKAGES_NAMESPACE;
use package_api::{AvailableUpgrade, BundlePackage, PackageSource, bundle::LATEST};
use serde_json::Value;

use super::Observed;

/// Where charts are, unless the bundle or the cluster's settings say otherwise.
pub const CHART_REGISTRY: &str = "public.ecr.aws/eks-anywhere";

/// The registry that the values got because the package gives none, with where it is from.
#[must_use]
pub fn added_registry(install: &Install, config: Option<&str>) -> Option<String> {
    let registry = install.values.get(SOURCE_REGISTRY)?.as_str()?;
    let given = values::read(config).ok()?;
    (!gives_registry(given.as_object()?)).then(|| {
        format!(
            "`{SOURCE_REGISTRY}` was set to `{registry}`, the cluster's `defaultImageRegistry`; another in the package's \
             config goes before"
        )
    })
}

/// Plans by the active bundle.
///
/// # Errors
/// What a person should know.
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
    // Without a digest nothing says which chart was meant; a tag is anyone's to move.
    version.digest.parse::<oci::Digest>().map_err(|error| {
        format!("invalid package bundle. (the chart of {name} @ {} has no digest: {error})", version.name)
    })?;
    let registry = given(offered.source.registry.as_deref());
    let default = given(settings.default_registry.as_deref()).unwrap_or(CHART_REGISTRY);
    let values = values::read(spec.config.as_deref()).map_err(|error| error.words())?;
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

/// Whether what is installed has other values than are wanted. Secrets for pulling that upstream's controller added
/// are no difference, nor is the registry where the chart did not take it.
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

/// What a person is told who wants to move what is installed.
pub(super) fn moved(package: &package_api::Package, installed: &str) -> String {
    let wanted = package.spec.target_namespace.as_deref().unwrap_or_default();
    format!(
        "it is installed in the namespace `{installed}` and cannot move to `{wanted}`; nothing was changed. Set \
         targetNamespace to `{installed}`, or delete the package and create it again"
    )
}

/// The versions that the bundle lists before this one: its order is from new to old.
pub(super) fn upgrades(offered: &BundlePackage, version: &str) -> Option<Vec<AvailableUpgrade>> {
    let versions = &offered.source.versions;
    let at = versions.iter().position(|listed| listed.name == version)?;
    let upgrade = |name: &String| AvailableUpgrade { version: name.clone(), tag: name.clone() };
    let newer: Vec<_> = versions.iter().take(at).map(|version| upgrade(&version.name)).collect();
    (!newer.is_empty()).then_some(newer)
}
