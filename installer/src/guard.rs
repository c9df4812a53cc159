//! The guard over what a package makes. A person who may create packages chooses a chart's values, its name and its
//! namespace; the bundle's signer chose the chart, and an administrator the settings. So every object, those of hooks,
//! tests, definitions and lists too, is held to what signer and administrator agreed to:
//!
//! - `images`: every image is one that the signed bundle lists, by its digest
//! - `allowed`: namespaces besides the package's own are those that an administrator lists
//! - `powers`: what reaches beyond the package, such as access to the host, permissions in the whole cluster, others'
//!   service accounts and roles and requests of the API server, is what the chart has by its own defaults, or what an
//!   administrator lists
//!
//! `objects + bounds -> pins + powers`

mod allowed;
mod images;
mod powers;

use std::collections::{BTreeMap, BTreeSet};

use oci::{Digest, RegistryHost};
use package_api::name::{PACKAGES_NAMESPACE, SYSTEM_NAMESPACE};
use package_api::{AIRLOCK_GROUP, EKS_GROUP, PackageBundle, PackageBundleController, SourceVersion};
use serde_json::Value;

pub use self::allowed::ALLOW;
use self::allowed::{Allowed, OWNERSHIP};
use self::images::{Listed, Want};
pub(crate) use self::images::{Pins, pin};
use self::powers::Power;
pub(crate) use self::powers::Powers;
use crate::marks::{MARKS, RELEASE_NAME, TAKE_OWNERSHIP};
use crate::objects::{group, text};
use crate::plan::{IMAGE_REGISTRY, Install};

/// What the objects of a package are held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The package's name in the bundle.
    package: String,
    /// The version's name, for messages.
    version: String,
    images: Listed,
    allowed: Allowed,
    /// The namespace of the controller itself.
    own: String,
    release: String,
}

/// An object that a package brings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Brought {
    /// The object. One of a kind with namespaces says its.
    pub(crate) value: Value,
    /// At which events it is made, if it is of a hook.
    pub(crate) hook: Option<BTreeSet<&'static str>>,
}

/// What bounds are made of.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The active bundle, whose signature was verified.
    pub bundle: &'a PackageBundle,
    /// The cluster's settings, which an administrator writes.
    pub settings: Option<&'a PackageBundleController>,
    /// The package's name in the bundle.
    pub package: &'a str,
    /// What is to be installed.
    pub plan: &'a Install,
    /// The registry that stands for all others.
    pub mirror: Option<&'a RegistryHost>,
    /// The controller's own namespace.
    pub own: &'a str,
}

/// What judging found besides that nothing is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Images that have no digest, with the digests that the bundle lists for them.
    pub(crate) tags: BTreeMap<String, Vec<Digest>>,
    /// What reaches beyond the package.
    pub(crate) powers: Powers,
}

/// The version of the bundle that is planned.
#[must_use]
pub fn offered<'a>(bundle: &'a PackageBundle, package: &str, plan: &Install) -> Option<&'a SourceVersion> {
    let versions = &bundle.spec.package(package)?.source.versions;
    versions
        .iter()
        .find(|version| version.digest == plan.source.digest && version.name == plan.source.version)
}

/// Whether a namespace is the cluster's or airlock's own, where a package has no place.
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
    /// The bundle does not offer what is planned, or the administrator's setting cannot be read.
    pub fn of(facts: &Facts<'_>) -> Result<Self, String> {
        let Facts { bundle, settings, package, plan, .. } = *facts;
        let version = offered(bundle, package, plan).ok_or_else(|| {
            format!("the bundle {} does not offer {package} @ {}", bundle.name(), plan.source.version)
        })?;
        let spec = settings.map(|settings| &settings.spec);
        let given = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
        let images = given(spec.and_then(|spec| spec.default_image_registry.as_ref()));
        let charts = given(spec.and_then(|spec| spec.default_registry.as_ref()));
        let mirror = facts.mirror.map(ToString::to_string);
        let registries = [Some(images.unwrap_or_else(|| IMAGE_REGISTRY.to_owned())), charts, mirror];
        Ok(Self {
            package: package.to_owned(),
            version: version.name.clone(),
            images: Listed::of(version, registries.into_iter().flatten()),
            allowed: Allowed::of(settings, package)?,
            own: facts.own.to_owned(),
            release: plan.release.clone(),
        })
    }

    /// Whether a package may be installed in a namespace.
    ///
    /// # Errors
    /// Why not, and what an administrator does who wants it so.
    pub(crate) fn target(&self, namespace: &str) -> Result<(), String> {
        if !self.is_closed(namespace) || self.allowed.has_namespace(namespace) {
            return Ok(());
        }
        let how = self.allowed.how(&format!("namespace/{namespace}"));
        Err(format!("the target namespace `{namespace}` is reserved for the cluster's own parts; {how}"))
    }

    /// Whether the package's own word is enough to take over objects that are not its release's.
    ///
    /// # Errors
    /// Why not, and what an administrator does who wants it so.
    pub fn may_take(&self) -> Result<(), String> {
        if self.allowed.has(OWNERSHIP) {
            return Ok(());
        }
        let how = self.allowed.how(OWNERSHIP);
        Err(format!("the annotation {TAKE_OWNERSHIP} takes over what is not the package's; {how}"))
    }

    /// Judges all objects of a package that goes to the namespace `target`. Objects of kinds with namespaces say theirs.
    ///
    /// # Errors
    /// The first object that is refused, why, and what to do.
    pub(crate) fn judge(&self, target: &str, objects: &[Brought]) -> Result<Judged, String> {
        self.target(target)?;
        let inside = |namespace: &str| self.is_inside(target, namespace);
        let mut judged = Judged::default();
        for brought in objects {
            let object = &brought.value;
            kind(object)?;
            self.marks(brought)?;
            self.place(object, &inside)?;
            for (image, want) in self.images.of_object(object, &self.version)? {
                if let Want::OneOf(digests) = want {
                    judged.tags.insert(image, digests);
                }
            }
        }
        judged.powers = Powers::of(objects, target, &inside);
        Ok(judged)
    }

    /// Adds to what is reached for the images that are named by other means than in pods, each with the object that names
    /// it: an operator makes pods of them. Images that the bundle lists are none.
    pub(crate) fn add_images<'i>(
        &self,
        named: impl Iterator<Item = (&'i str, &'i str)>,
        powers: &mut Powers,
    ) {
        for (image, object) in named.filter(|(image, _)| !self.images.has(image)) {
            powers.add(Power::Image(image.to_owned()), object.to_owned());
        }
    }

    /// Whether what a package reaches for is what its chart does by its own defaults, or is allowed.
    ///
    /// # Errors
    /// The first that is not, and what an administrator does who wants it so.
    pub(crate) fn powers(&self, wanted: &Powers, by_default: &Powers) -> Result<(), String> {
        for (power, object) in wanted.beyond(by_default) {
            if !self.allowed.has(&power.entry()) {
                let how = self.allowed.how(&power.entry());
                return Err(format!(
                    "the package's values make {object} {power}, which the chart of {} does not do by its own defaults; {how}",
                    self.package
                ));
            }
        }
        Ok(())
    }

    /// What the objects of a package reach for.
    pub(crate) fn powers_of(&self, target: &str, objects: &[Brought]) -> Powers {
        Powers::of(objects, target, &|namespace: &str| self.is_inside(target, namespace))
    }

    fn is_inside(&self, target: &str, namespace: &str) -> bool {
        namespace == target || self.allowed.has_namespace(namespace)
    }

    /// By marks the engine knows what it made, and whose it is. A chart writes none but its own release's, and these the
    /// engine writes itself.
    fn marks(&self, brought: &Brought) -> Result<(), String> {
        let object = &brought.value;
        let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
        for (key, value) in annotations.into_iter().flatten() {
            let is_forged = match key.as_str() {
                // Nothing overwrites what a hook says.
                RELEASE_NAME => brought.hook.is_some() && *value != self.release.as_str(),
                key => MARKS.contains(&key),
            };
            if is_forged {
                let object = shown(object);
                return Err(format!(
                    "the chart's {object} has the annotation `{key}`, by which releases know what is theirs; take it out"
                ));
            }
        }
        Ok(())
    }

    fn place(&self, object: &Value, inside: &impl Fn(&str) -> bool) -> Result<(), String> {
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

/// Packages, bundles and policies decide about packages, so that no package may bring them, nor their definitions.
fn kind(object: &Value) -> Result<(), String> {
    let own = |group: &str| group == EKS_GROUP || group == AIRLOCK_GROUP;
    let defines = text(object, "/kind") == "CustomResourceDefinition" && own(text(object, "/spec/group"));
    if own(group(object)) || defines {
        return Err(format!(
            "the chart's {} is one of airlock's own kinds, which no package may bring",
            shown(object)
        ));
    }
    Ok(())
}

/// An object's kind and name, for people.
fn shown(object: &Value) -> String {
    format!("{} {:?}", text(object, "/kind"), text(object, "/metadata/name"))
}

#[cfg(test)]
pub(crate) mod tests;
