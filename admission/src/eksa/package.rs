//! `Package`: that the active bundle has it, and that its values fit.

use std::time::Duration;

use package_api::name::{Cluster, INTERNAL, PACKAGES_NAMESPACE};
use package_api::{GoDuration, Package, PackageBundle};

use super::{Verdict, failed};
use crate::values;

/// What is known when it is decided.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The object as it was; none when it is new.
    pub old: Option<&'a Package>,
    /// The active bundle of its cluster, or why there is none.
    pub bundle: Result<&'a PackageBundle, &'a str>,
    /// The cluster that manages others.
    pub management: &'a str,
    /// The package that has the release of this name already, in the other namespace of its cluster.
    pub namesake: Option<&'a Package>,
    /// Whether the cluster's rights let whoever asks make packages that are not checked.
    pub may_bypass: bool,
}

/// How long an installation, an upgrade or a removal may take: a duration such as `10m`.
const TIMEOUT: &str = "airlock.dev/timeout";

/// The time that a package asks for.
///
/// # Errors
/// Why its annotation is no time.
pub fn timeout(package: &Package) -> Result<Option<Duration>, String> {
    let Some(text) = package.annotation(TIMEOUT) else { return Ok(None) };
    let read = text.parse::<GoDuration>().map_err(|error| format!("the annotation {TIMEOUT}: {error}"))?;
    Ok(Some(read.get()))
}

/// Decides on a package.
#[must_use]
pub fn decide(object: &Package, facts: &Facts<'_>) -> Verdict {
    let internal = object.annotation(INTERNAL) == Some("true");
    if internal && facts.may_bypass {
        return Verdict::allowed();
    }
    let old_timeout = facts.old.and_then(|old| old.annotation(TIMEOUT));
    if object.annotation(TIMEOUT) != old_timeout
        && let Err(fault) = timeout(object)
    {
        return failed(object.name(), &fault);
    }
    // Who only adds a label, or takes a finalizer away, changes nothing that is judged here.
    if facts.old.is_some_and(|old| old.spec == object.spec) {
        return Verdict::allowed();
    }
    let bundle = match facts.bundle {
        Ok(bundle) => bundle,
        Err(reason) => return Verdict::unknown(format!("getting PackageBundle: {reason}")),
    };
    match fault(object, bundle, facts.management).or_else(|| taken(object, facts)) {
        Some(fault) => failed(object.name(), &fault),
        None => Verdict::Allowed { warnings: warnings(object, bundle, internal) },
    }
}

/// The first fault, in upstream's order.
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
    let is_unfit = matches!(checked, Err(values::Error::Unfit(_)));
    match checked {
        Err(error) if !is_unfit => return Some(error.words()),
        _ if moves(object) => return Some(format!("package {name} targetNamespace is immutable")),
        Err(error) => return Some(error.words()),
        Ok(_) => {}
    }
    None
}

/// A release has one name in a cluster, and the managing one has two namespaces of packages.
fn taken(object: &Package, facts: &Facts<'_>) -> Option<String> {
    let namesake = facts.namesake.filter(|_| facts.old.is_none())?;
    let (name, at, cluster) = (object.name(), namesake.namespace(), facts.management);
    Some(format!(
        "the release {name} of cluster {cluster} is that of package {at}/{name} already; choose another name"
    ))
}

/// Whether what is installed would have to go elsewhere.
fn moves(object: &Package) -> bool {
    let installed = object.status.as_ref().and_then(|status| status.spec.as_ref());
    let installed = installed.and_then(|spec| spec.target_namespace.as_deref()).unwrap_or_default();
    !installed.is_empty() && object.spec.target_namespace.as_deref().unwrap_or_default() != installed
}

fn warnings(object: &Package, bundle: &PackageBundle, internal: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if internal {
        warnings.push(format!("the annotation {INTERNAL} was not heeded: the package was checked"));
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
            warnings.push(format!("invalid package bundle: {dependency}, which it needs, is not in it"));
        }
    }
    warnings
}
