//! Restricts the objects of a package. A user who can create packages chooses the values of a chart, its name and its
//! namespace; the signer of the bundle chose the chart, and an administrator the configuration. So every object, including
//! those of hooks, tests, CRDs and lists, must be within the bounds that the signer and the administrator set:
//!
//! - `images`: every image is in the signed bundle, by its digest
//! - `allowed`: other namespaces than the package's own are allowed by an administrator
//! - `privileges`: access beyond the package, such as to the host, to permissions in the whole cluster, to service accounts
//!   and roles of others and to requests of the API server, is part of the chart's defaults or allowed by an administrator
//!
//! `objects + bounds -> pins + privileges`

mod allowed;
mod images;
mod privileges;

use std::collections::{BTreeMap, BTreeSet};

use oci::{Digest, RegistryHost};
use package_api::name::{PACKAGES_NAMESPACE, SYSTEM_NAMESPACE};
use package_api::{AIRLOCK_GROUP, EKS_GROUP, PackageBundle, PackageBundleController, SourceVersion};
use serde_json::Value;

pub use self::allowed::ALLOW;
use self::allowed::{Allowed, OWNERSHIP};
use self::images::{DigestChoice, ListedImages};
pub(crate) use self::images::{Pins, pin};
use self::privileges::Privilege;
pub(crate) use self::privileges::Privileges;
use crate::annotations::{RELEASE_NAME, RESERVED, TAKE_OWNERSHIP};
use crate::objects::{group, text};
use crate::plan::{IMAGE_REGISTRY, Install};

/// The bounds for the objects of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The name of the package in the bundle.
    package: String,
    /// The name of the version, for messages.
    version: String,
    images: ListedImages,
    allowed: Allowed,
    /// The namespace of the controller itself.
    own: String,
    release: String,
}

/// An object of a package.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChartObject {
    /// The object. If its kind is namespaced, it has a namespace.
    pub(crate) value: Value,
    /// The events at which it is created, if it is of a hook.
    pub(crate) hook: Option<BTreeSet<&'static str>>,
}

/// The input for [`Bounds::of`].
#[derive(Clone, Copy, Debug)]
pub struct BoundsInput<'a> {
    /// The active bundle, whose signature was verified.
    pub bundle: &'a PackageBundle,
    /// The cluster's `PackageBundleController`, which an administrator writes.
    pub settings: Option<&'a PackageBundleController>,
    /// The name of the package in the bundle.
    pub package: &'a str,
    /// The plan of the installation.
    pub plan: &'a Install,
    /// The mirror of all registries.
    pub mirror: Option<&'a RegistryHost>,
    /// The namespace of the controller itself.
    pub own: &'a str,
}

/// The result of a check that found no violation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CheckResult {
    /// Images without a digest, with the digests that the bundle lists for them.
    pub(crate) tags: BTreeMap<String, Vec<Digest>>,
    /// The access beyond the package.
    pub(crate) privileges: Privileges,
}

/// The version in the bundle that the plan installs.
#[must_use]
pub fn offered<'a>(bundle: &'a PackageBundle, package: &str, plan: &Install) -> Option<&'a SourceVersion> {
    let versions = &bundle.spec.package(package)?.source.versions;
    versions
        .iter()
        .find(|version| version.digest == plan.source.digest && version.name == plan.source.version)
}

/// Whether a namespace is reserved for the cluster or for airlock, so that packages must not use it.
#[must_use]
pub fn is_reserved(namespace: &str) -> bool {
    let below = |prefix: &str| namespace.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('-'));
    namespace == PACKAGES_NAMESPACE
        || below(PACKAGES_NAMESPACE)
        || namespace == SYSTEM_NAMESPACE
        || below("kube")
}

impl Bounds {
    /// The bounds of a package.
    ///
    /// # Errors
    /// If the bundle does not contain the planned version, or the administrator's annotation is invalid.
    pub fn of(input: &BoundsInput<'_>) -> Result<Self, String> {
        let BoundsInput { bundle, settings, package, plan, .. } = *input;
        let version = offered(bundle, package, plan).ok_or_else(|| {
            format!("the bundle {} does not contain {package} @ {}", bundle.name(), plan.source.version)
        })?;
        let spec = settings.map(|settings| &settings.spec);
        let given = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
        let images = given(spec.and_then(|spec| spec.default_image_registry.as_ref()));
        let charts = given(spec.and_then(|spec| spec.default_registry.as_ref()));
        let mirror = input.mirror.map(ToString::to_string);
        let registries = [Some(images.unwrap_or_else(|| IMAGE_REGISTRY.to_owned())), charts, mirror];
        Ok(Self {
            package: package.to_owned(),
            version: version.name.clone(),
            images: ListedImages::of(version, registries.into_iter().flatten()),
            allowed: Allowed::of(settings, package)?,
            own: input.own.to_owned(),
            release: plan.release.clone(),
        })
    }

    /// Checks that a package may be installed in a namespace.
    ///
    /// # Errors
    /// The reason, and how an administrator can allow it.
    pub(crate) fn target(&self, namespace: &str) -> Result<(), String> {
        if !self.is_closed(namespace) || self.allowed.has_namespace(namespace) {
            return Ok(());
        }
        let how = self.allowed.how(&format!("namespace/{namespace}"));
        Err(format!("the target namespace `{namespace}` is reserved for components of the cluster; {how}"))
    }

    /// Checks that the package may take over objects that do not belong to its release.
    ///
    /// # Errors
    /// The reason, and how an administrator can allow it.
    pub fn may_take_ownership(&self) -> Result<(), String> {
        if self.allowed.has(OWNERSHIP) {
            return Ok(());
        }
        let how = self.allowed.how(OWNERSHIP);
        Err(format!("the annotation {TAKE_OWNERSHIP} takes over objects that are not the package's; {how}"))
    }

    /// Checks all objects of a package with the target namespace `target`. Objects of namespaced kinds have a namespace.
    ///
    /// # Errors
    /// The first violation: the object, the reason, and what to do.
    pub(crate) fn check(&self, target: &str, objects: &[ChartObject]) -> Result<CheckResult, String> {
        self.target(target)?;
        let inside = |namespace: &str| self.is_inside(target, namespace);
        let mut result = CheckResult::default();
        for chart_object in objects {
            let object = &chart_object.value;
            check_kind(object)?;
            self.check_annotations(chart_object)?;
            self.check_namespace(object, &inside)?;
            for (image, choice) in self.images.of_object(object, &self.version)? {
                if let DigestChoice::OneOf(digests) = choice {
                    result.tags.insert(image, digests);
                }
            }
        }
        result.privileges = Privileges::of(objects, target, &inside);
        Ok(result)
    }

    /// Adds images that are not in the bundle and that objects other than pods refer to, each with the object: an operator may
    /// create pods with them.
    pub(crate) fn add_images<'i>(
        &self,
        named: impl Iterator<Item = (&'i str, &'i str)>,
        privileges: &mut Privileges,
    ) {
        for (image, object) in named.filter(|(image, _)| !self.images.has(image)) {
            privileges.add(Privilege::Image(image.to_owned()), object.to_owned());
        }
    }

    /// Checks that the privileges of a package are part of its chart's defaults, or allowed.
    ///
    /// # Errors
    /// The first privilege that is not, and how an administrator can allow it.
    pub(crate) fn check_privileges(
        &self,
        wanted: &Privileges,
        by_default: &Privileges,
    ) -> Result<(), String> {
        for (privilege, object) in wanted.beyond(by_default) {
            if !self.allowed.has(&privilege.entry()) {
                let how = self.allowed.how(&privilege.entry());
                return Err(format!(
                    "the package's values make {object} {privilege}, which the chart of {} does not do by default; {how}",
                    self.package
                ));
            }
        }
        Ok(())
    }

    /// The privileges of a package's objects.
    pub(crate) fn privileges_of(&self, target: &str, objects: &[ChartObject]) -> Privileges {
        Privileges::of(objects, target, &|namespace: &str| self.is_inside(target, namespace))
    }

    fn is_inside(&self, target: &str, namespace: &str) -> bool {
        namespace == target || self.allowed.has_namespace(namespace)
    }

    /// Rejects forged annotations. The engine identifies its objects and their releases by annotations that it sets itself. A
    /// chart may only set the name of its own release.
    fn check_annotations(&self, chart_object: &ChartObject) -> Result<(), String> {
        let object = &chart_object.value;
        let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
        for (key, value) in annotations.into_iter().flatten() {
            let is_forged = match key.as_str() {
                // The engine does not overwrite it in a hook.
                RELEASE_NAME => chart_object.hook.is_some() && *value != self.release.as_str(),
                key => RESERVED.contains(&key),
            };
            if is_forged {
                let object = shown(object);
                return Err(format!(
                    "the chart's {object} has the annotation `{key}`, which is reserved for identifying releases; remove it"
                ));
            }
        }
        Ok(())
    }

    fn check_namespace(&self, object: &Value, inside: &impl Fn(&str) -> bool) -> Result<(), String> {
        let is_namespace = group(object).is_empty() && text(object, "/kind") == "Namespace";
        let at = if is_namespace { "/metadata/name" } else { "/metadata/namespace" };
        let namespace = text(object, at);
        if namespace.is_empty() || inside(namespace) {
            return Ok(());
        }
        let how = self.allowed.how(&format!("namespace/{namespace}"));
        let object = shown(object);
        Err(format!(
            "the chart's {object} belongs to the namespace `{namespace}`, which is not the package's; {how}"
        ))
    }

    fn is_closed(&self, namespace: &str) -> bool {
        is_reserved(namespace) || namespace == self.own
    }
}

/// Rejects packages, bundles and policies, and their CRDs: they control packages, so packages must not contain them.
fn check_kind(object: &Value) -> Result<(), String> {
    let own = |group: &str| group == EKS_GROUP || group == AIRLOCK_GROUP;
    let defines = text(object, "/kind") == "CustomResourceDefinition" && own(text(object, "/spec/group"));
    if own(group(object)) || defines {
        return Err(format!(
            "the chart's {} is one of airlock's own kinds, which packages must not contain",
            shown(object)
        ));
    }
    Ok(())
}

/// The kind and name of an object, for messages.
fn shown(object: &Value) -> String {
    format!("{} {:?}", text(object, "/kind"), text(object, "/metadata/name"))
}

#[cfg(test)]
pub(crate) mod tests;
