//! `Package`: checks that the active bundle contains it, and that its values match the schema.

use std::time::Duration;

use package_api::name::{Cluster, INTERNAL, PACKAGES_NAMESPACE};
use package_api::{GoDuration, Package, PackageBundle};

use super::{Verdict, failed};
use crate::values;

/// The state that the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct DecisionInput<'a> {
    /// The object before the change; `None` if it is new.
    pub old: Option<&'a Package>,
    /// The active bundle of the package's cluster, or the reason why there is none.
    pub bundle: Result<&'a PackageBundle, &'a str>,
    /// The name of the management cluster.
    pub management: &'a str,
    /// The package with the same name, and so the same release, in the cluster's other namespace.
    pub namesake: Option<&'a Package>,
    /// Whether the user has permission to create packages without checks.
    pub may_bypass: bool,
}

/// The annotation with the timeout of an installation, upgrade or removal: a duration such as `10m`.
const TIMEOUT: &str = "airlock.dev/timeout";

/// The timeout that a package sets.
///
/// # Errors
/// The reason why the annotation is not a duration.
pub fn timeout(package: &Package) -> Result<Option<Duration>, String> {
    let Some(text) = package.annotation(TIMEOUT) else { return Ok(None) };
    let read = text.parse::<GoDuration>().map_err(|error| format!("the annotation {TIMEOUT}: {error}"))?;
    Ok(Some(read.get()))
}

/// Decides on a package.
#[must_use]
pub fn decide(object: &Package, input: &DecisionInput<'_>) -> Verdict {
    let internal = object.annotation(INTERNAL) == Some("true");
    if internal && input.may_bypass {
        return Verdict::allowed();
    }
    let old_timeout = input.old.and_then(|old| old.annotation(TIMEOUT));
    if object.annotation(TIMEOUT) != old_timeout
        && let Err(fault) = timeout(object)
    {
        return failed(object.name(), &fault);
    }
    // Adding a label or removing a finalizer changes nothing that is checked here.
    if input.old.is_some_and(|old| old.spec == object.spec) {
        return Verdict::allowed();
    }
    let bundle = match input.bundle {
        Ok(bundle) => bundle,
        Err(reason) => return Verdict::unavailable(format!("getting PackageBundle: {reason}")),
    };
    match fault(object, bundle, input.management).or_else(|| taken(object, input)) {
        Some(fault) => failed(object.name(), &fault),
        None => Verdict::Allowed { warnings: warnings(object, bundle, internal) },
    }
}

/// The first violation, in upstream's order.
fn fault(object: &Package, bundle: &PackageBundle, management: &str) -> Option<String> {
    let (spec, name, from) = (&object.spec, object.name(), bundle.name());
    let wanted = spec.package_name.as_str();
    let Some(package) = bundle.spec.package(wanted) else {
        return Some(format!("package not found in bundle ({from}): {wanted}"));
    };
    let version = spec.package_version.as_deref();
    let Some(found) = package.version(version) else {
        let version = version.unwrap_or_default();
        return Some(format!("package version not found in bundle ({from}): {wanted} @ {version}"));
    };
    let on_management =
        Cluster::of(object.namespace()).is_none_or(|cluster| cluster.name(management) == management);
    if package.workload_only == Some(true) && on_management {
        return Some(format!("package {name} should only be installed on a workload cluster"));
    }
    let checked = values::check(found.schema.as_deref().unwrap_or_default(), spec.config.as_deref());
    let is_invalid = matches!(checked, Err(values::Error::Invalid(_)));
    match checked {
        Err(error) if !is_invalid => return Some(error.upstream_message()),
        _ if moves(object) => return Some(format!("package {name} targetNamespace is immutable")),
        Err(error) => return Some(error.upstream_message()),
        Ok(_) => {}
    }
    None
}

/// Whether the release name is in use: names are unique in a cluster, and the management cluster has two namespaces for
/// packages.
fn taken(object: &Package, input: &DecisionInput<'_>) -> Option<String> {
    let namesake = input.namesake.filter(|_| input.old.is_none())?;
    let (name, at, cluster) = (object.name(), namesake.namespace(), input.management);
    Some(format!(
        "the release {name} in cluster {cluster} already belongs to the package {at}/{name}; choose another name"
    ))
}

/// Whether the change would move an installed package to another namespace.
fn moves(object: &Package) -> bool {
    let installed = object.status.as_ref().and_then(|status| status.spec.as_ref());
    let installed = installed.and_then(|spec| spec.target_namespace.as_deref()).unwrap_or_default();
    !installed.is_empty() && object.spec.target_namespace.as_deref().unwrap_or_default() != installed
}

fn warnings(object: &Package, bundle: &PackageBundle, internal: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if internal {
        warnings.push(format!("the annotation {INTERNAL} was ignored: the package was checked"));
    }
    match Cluster::of(object.namespace()) {
        None => warnings.push(format!("Packages namespaces must start with: {PACKAGES_NAMESPACE}")),
        Some(Cluster::Unnamed) => {
            warnings.push(format!("Deprecated package namespace. Move to {PACKAGES_NAMESPACE}-CLUSTER"));
        }
        Some(Cluster::Named(_)) => {}
    }
    let spec = &object.spec;
    let found = bundle.spec.package(&spec.package_name);
    let version = found.and_then(|package| package.version(spec.package_version.as_deref()));
    for dependency in version.and_then(|version| version.dependencies.as_ref()).into_iter().flatten() {
        if bundle.spec.package(dependency).is_none() {
            warnings.push(format!("invalid package bundle: it does not contain the dependency {dependency}"));
        }
    }
    warnings
}
