//! The images that a signed bundle lists for a version of a package, and the digests that they are pinned to.
//!
//! A bundle lists repositories and digests, and no tags. An image with a digest is found by the digest. An image with a tag
//! is found by its full registry and repository, and is pinned to the digest in the bundle, so that overwriting the tag has
//! no effect.

use std::collections::{BTreeMap, BTreeSet};

use error_text::join_first;
use oci::{Digest, Reference, RegistryHost};
use package_api::{SourceVersion, VersionImage};
use serde_json::Value;
use workload_images as images;

use super::shown;
use crate::objects::{self, group, text};

/// Digests by image reference.
pub(crate) type Pins = BTreeMap<String, Digest>;

/// The images that a bundle lists for a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListedImages {
    /// The digests by registry and repository.
    by_name: BTreeMap<String, Vec<Digest>>,
    digests: BTreeSet<String>,
    /// The repositories as in the bundle, for messages.
    repositories: Vec<String>,
}

/// The digest of an image.
pub(super) enum DigestChoice {
    /// The reference already has a digest.
    Given,
    /// The reference must be pinned to one of these digests.
    OneOf(Vec<Digest>),
}

impl ListedImages {
    /// The images of a version. `registries` are the registries of the cluster, each a host with an optional prefix.
    pub(super) fn of(version: &SourceVersion, registries: impl Iterator<Item = String>) -> Self {
        let registries: Vec<_> =
            registries.map(|registry| registry.trim_end_matches('/').to_owned()).collect();
        let (mut by_name, mut digests, mut repositories) =
            (BTreeMap::<_, Vec<Digest>>::new(), BTreeSet::new(), Vec::new());
        for VersionImage { repository, digest } in version.images.iter().flatten() {
            digests.insert(digest.clone());
            repositories.push(repository.clone());
            let Ok(digest) = digest.parse::<Digest>() else { continue };
            for name in names(repository, &registries) {
                let known = by_name.entry(name).or_default();
                if !known.contains(&digest) {
                    known.push(digest.clone());
                }
            }
        }
        Self { by_name, digests, repositories }
    }

    /// The images of an object, each with its digests.
    ///
    /// # Errors
    /// If an image is not in the bundle, or is not a valid image reference.
    pub(super) fn of_object(
        &self,
        object: &Value,
        version: &str,
    ) -> Result<Vec<(String, DigestChoice)>, String> {
        let used = images::images(group(object), text(object, "/kind"), object);
        let used = used.map_err(|error| format!("the chart's {}: {error}", shown(object)))?;
        used.into_iter()
            .map(|used| {
                let choice = self
                    .choice(&used.image)
                    .map_err(|fault| self.message(object, &used.image, version, fault))?;
                Ok((used.image, choice))
            })
            .collect()
    }

    /// Whether the bundle lists an image.
    pub(super) fn has(&self, image: &str) -> bool {
        self.choice(image).is_ok()
    }

    fn choice(&self, image: &str) -> Result<DigestChoice, ImageFault> {
        let reference: Reference = image.parse().map_err(|_| ImageFault::InvalidReference)?;
        if let Some(digest) = reference.digest() {
            return if self.digests.contains(&digest.to_string()) {
                Ok(DigestChoice::Given)
            } else {
                Err(ImageFault::Unlisted)
            };
        }
        let (host, repository) = (reference.host(), reference.repository());
        let listed =
            host.as_repository().ok().and_then(|host| self.by_name.get(&format!("{host}/{repository}")));
        let found = listed.or_else(|| self.by_name.get(&format!("{host}/{repository}")));
        found.map(|digests| DigestChoice::OneOf(digests.clone())).ok_or(ImageFault::Unlisted)
    }

    fn message(&self, object: &Value, image: &str, version: &str, fault: ImageFault) -> String {
        const MAX_LISTED: usize = 4;
        let object = shown(object);
        match fault {
            ImageFault::InvalidReference => format!(
                "the chart's {object} uses the image `{image}`, which is not an image reference; set the values that the \
                 chart requires, such as a tag, in the package's config"
            ),
            ImageFault::Unlisted if self.repositories.is_empty() => format!(
                "the chart's {object} uses the image {image}, but the signed bundle lists no image for version {version}"
            ),
            ImageFault::Unlisted => format!(
                "the chart's {object} uses the image {image}, which the signed bundle does not list for version {version}: \
                 it lists {}",
                join_first(self.repositories.iter().cloned(), MAX_LISTED, ", ")
            ),
        }
    }
}

#[derive(Clone, Copy)]
enum ImageFault {
    InvalidReference,
    Unlisted,
}

/// The full names of a listed repository. AWS's bundles list repositories without a host: they are in the cluster's
/// registries. airlock's bundles list them below the name of their host, as `airlock mirror` stores them in a registry.
fn names(listed: &str, registries: &[String]) -> Vec<String> {
    let first = listed.split('/').next().unwrap_or_default();
    let has_host = first.contains('.') || first == "localhost" || first.starts_with("localhost-");
    let own = has_host.then(|| listed.to_owned());
    let below = registries.iter().filter_map(|registry| {
        // The registry from the configuration is normalized like an image reference.
        let reference = format!("{registry}/{listed}").parse::<Reference>().ok()?;
        registry.split('/').next()?.parse::<RegistryHost>().ok()?;
        Some(format!("{}/{}", reference.host(), reference.repository()))
    });
    own.into_iter().chain(below).collect()
}

/// Adds the digest to every image reference of a document. Returns whether anything changed. The tag stays, for people.
pub(crate) fn pin(document: &mut Value, pins: &Pins) -> bool {
    objects::change(document, &mut |object| {
        let used = images::images(group(object), text(object, "/kind"), object).unwrap_or_default();
        let mut changed = false;
        for used in used {
            let Some(digest) = pins.get(&used.image) else { continue };
            if let Some(image) = object.pointer_mut(&used.pointer) {
                *image = Value::String(format!("{}@{digest}", used.image));
                changed = true;
            }
        }
        changed
    })
}
