//! The images that a signed bundle lists for a version of a package, and the digests by which they are pinned.
//!
//! A bundle lists repositories and digests, and no tags. An image by its digest is known by the digest. One by a tag is
//! known by its whole registry and repository, and gets the digest that the bundle lists: a tag that somebody overwrites
//! afterwards is not what runs.

use std::collections::{BTreeMap, BTreeSet};

use brief::few;
use oci::{Digest, Reference, RegistryHost};
use package_api::{SourceVersion, VersionImage};
use serde_json::Value;
use workload_images as images;

use super::shown;
use crate::objects::{self, group, text};

/// Digests by the text of the image that they are for.
pub(crate) type Pins = BTreeMap<String, Digest>;

/// The images of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Digests by registry and repository.
    by_name: BTreeMap<String, Vec<Digest>>,
    digests: BTreeSet<String>,
    /// Repositories as they are listed, for people.
    told: Vec<String>,
}

/// What an image of an object wants.
pub(super) enum Want {
    /// Nothing: it has a digest.
    Nothing,
    /// One of these digests.
    OneOf(Vec<Digest>),
}

impl Listed {
    /// The images of a version; `registries` are those of the cluster, each a host and perhaps a prefix.
    pub(super) fn of(version: &SourceVersion, registries: impl Iterator<Item = String>) -> Self {
        let registries: Vec<_> =
            registries.map(|registry| registry.trim_end_matches('/').to_owned()).collect();
        let (mut by_name, mut digests, mut told) =
            (BTreeMap::<_, Vec<Digest>>::new(), BTreeSet::new(), Vec::new());
        for VersionImage { repository, digest } in version.images.iter().flatten() {
            digests.insert(digest.clone());
            told.push(repository.clone());
            let Ok(digest) = digest.parse::<Digest>() else { continue };
            for name in names(repository, &registries) {
                let known = by_name.entry(name).or_default();
                if !known.contains(&digest) {
                    known.push(digest.clone());
                }
            }
        }
        Self { by_name, digests, told }
    }

    /// What the images of an object want.
    ///
    /// # Errors
    /// One of them is not the bundle's, or cannot be read.
    pub(super) fn of_object(&self, object: &Value, version: &str) -> Result<Vec<(String, Want)>, String> {
        let used = images::images(group(object), text(object, "/kind"), object);
        let used = used.map_err(|error| format!("the chart's {}: {error}", shown(object)))?;
        used.into_iter()
            .map(|used| {
                let want = self
                    .want(&used.image)
                    .map_err(|fault| self.words(object, &used.image, version, fault))?;
                Ok((used.image, want))
            })
            .collect()
    }

    /// Whether an image is one of them.
    pub(super) fn has(&self, image: &str) -> bool {
        self.want(image).is_ok()
    }

    fn want(&self, image: &str) -> Result<Want, Fault> {
        let reference: Reference = image.parse().map_err(|_| Fault::NoName)?;
        if let Some(digest) = reference.digest() {
            return if self.digests.contains(&digest.to_string()) {
                Ok(Want::Nothing)
            } else {
                Err(Fault::Unlisted)
            };
        }
        let (host, repository) = (reference.host(), reference.repository());
        let listed =
            host.as_repository().ok().and_then(|host| self.by_name.get(&format!("{host}/{repository}")));
        let found = listed.or_else(|| self.by_name.get(&format!("{host}/{repository}")));
        found.map(|digests| Want::OneOf(digests.clone())).ok_or(Fault::Unlisted)
    }

    fn words(&self, object: &Value, image: &str, version: &str, fault: Fault) -> String {
        const MOST: usize = 4;
        let object = shown(object);
        match fault {
            Fault::NoName => format!(
                "the chart's {object} uses the image `{image}`, which is not an image's name; what the chart leaves to be \
                 filled in, such as a tag, must stand in the package's config"
            ),
            Fault::Unlisted if self.told.is_empty() => format!(
                "the chart's {object} uses the image {image}, but the signed bundle lists no image for version {version}"
            ),
            Fault::Unlisted => format!(
                "the chart's {object} uses the image {image}, which the signed bundle does not list for version {version}: \
                 it lists {}",
                few(self.told.iter().cloned(), MOST, ", ")
            ),
        }
    }
}

#[derive(Clone, Copy)]
enum Fault {
    NoName,
    Unlisted,
}

/// The whole names of a listed repository. AWS's bundles list repositories without a host: these are in the cluster's
/// registries. Ours list them below their host's name, as `airlock mirror` puts them into a registry.
fn names(listed: &str, registries: &[String]) -> Vec<String> {
    let first = listed.split('/').next().unwrap_or_default();
    let has_host = first.contains('.') || first == "localhost" || first.starts_with("localhost-");
    let own = has_host.then(|| listed.to_owned());
    let below = registries.iter().filter_map(|registry| {
        // A registry of the settings is normalized as an image's name is.
        let reference = format!("{registry}/{listed}").parse::<Reference>().ok()?;
        registry.split('/').next()?.parse::<RegistryHost>().ok()?;
        Some(format!("{}/{}", reference.host(), reference.repository()))
    });
    own.into_iter().chain(below).collect()
}

/// Names every image of a document by its digest; whether anything changed. The tag stays, for people.
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
