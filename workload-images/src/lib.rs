//! The images of pods and of all workload kinds of Kubernetes: containers, init containers, ephemeral containers and
//! image volumes. Also the patch that pins a tag to its digest.

use std::fmt;

use error_class::{Class, Classified};
use oci::{Digest, Reference, RegistryHost, RepositoryName};
use serde::Serialize;
use serde_json::{Value, json};

/// The kinds that contain a pod spec: group, kind, and JSON pointer to the pod spec.
const KINDS: [(&str, &str, &str); 9] = [
    ("", "Pod", "/spec"),
    ("", "PodTemplate", "/template/spec"),
    ("", "ReplicationController", "/spec/template/spec"),
    ("apps", "DaemonSet", "/spec/template/spec"),
    ("apps", "Deployment", "/spec/template/spec"),
    ("apps", "ReplicaSet", "/spec/template/spec"),
    ("apps", "StatefulSet", "/spec/template/spec"),
    ("batch", "CronJob", "/spec/jobTemplate/spec/template/spec"),
    ("batch", "Job", "/spec/template/spec"),
];

/// The most images in one list. The API server's limit on the size of an object is close to it.
const MAX_IMAGES: usize = 4096;

/// The use of an image in a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ContainerKind {
    /// A container.
    Container,
    /// A container that runs before the others, or beside them.
    InitContainer,
    /// A container that is added to a running pod.
    EphemeralContainer,
    /// A volume with the files of an image.
    Volume,
}

impl fmt::Display for ContainerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Container => "container",
            Self::InitContainer => "init container",
            Self::EphemeralContainer => "ephemeral container",
            Self::Volume => "volume",
        })
    }
}

/// An image reference in an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageUse {
    /// The location of the reference: a JSON pointer.
    pub pointer: String,
    /// What the image is used for.
    #[serde(rename = "place")]
    pub kind: ContainerKind,
    /// The name of the container or of the volume.
    pub name: String,
    /// The image reference, as in the object.
    pub image: String,
}

/// The images of an object cannot be determined, so it must not be admitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value has another type than the kind prescribes.
    #[error("unexpected type of the value at `{0}`")]
    Shape(String),
    /// A list of the object has too many images.
    #[error("the object has more than {MAX_IMAGES} images")]
    TooMany,
    /// An image reference is invalid.
    #[error("`{image}` at `{pointer}` is not an image reference")]
    Name {
        /// The location of the reference: a JSON pointer.
        pointer: String,
        /// The image reference.
        image: String,
        /// The cause.
        #[source]
        source: oci::Error,
    },
    /// The digest of a tag is not known.
    #[error("`{image}` at `{pointer}` has no digest, and the digest of its tag is not known")]
    Unpinned {
        /// The location of the reference: a JSON pointer.
        pointer: String,
        /// The image reference.
        image: String,
    },
}

/// Whether objects of a kind create pods, or are pods.
#[must_use]
pub fn makes_pods(group: &str, kind: &str) -> bool {
    spec_of(group, kind).is_some()
}

/// The pod spec of an object.
#[must_use]
pub fn pod_spec<'a>(group: &str, kind: &str, object: &'a Value) -> Option<&'a Value> {
    object.pointer(spec_of(group, kind)?)
}

fn spec_of(group: &str, kind: &str) -> Option<&'static str> {
    KINDS.iter().find(|known| (known.0, known.1) == (group, kind)).map(|known| known.2)
}

/// All images of an object; an empty list for a kind without a pod spec.
///
/// # Errors
/// If the object does not have the structure of its kind.
pub fn images(group: &str, kind: &str, object: &Value) -> Result<Vec<ImageUse>, Error> {
    let Some(at) = spec_of(group, kind) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    let spec = match object.pointer(at) {
        None | Some(Value::Null) => return Ok(found),
        Some(Value::Object(_)) => at,
        Some(_) => return Err(Error::Shape(at.to_owned())),
    };
    for (list, container) in [
        ("initContainers", ContainerKind::InitContainer),
        ("containers", ContainerKind::Container),
        ("ephemeralContainers", ContainerKind::EphemeralContainer),
        ("volumes", ContainerKind::Volume),
    ] {
        collect(object, &format!("{spec}/{list}"), container, &mut found)?;
    }
    Ok(found)
}

fn collect(object: &Value, at: &str, kind: ContainerKind, found: &mut Vec<ImageUse>) -> Result<(), Error> {
    let items = match object.pointer(at) {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(Error::Shape(at.to_owned())),
    };
    if items.len() > MAX_IMAGES {
        return Err(Error::TooMany);
    }
    for (index, item) in items.iter().enumerate() {
        let pointer = match kind {
            ContainerKind::Volume => format!("{at}/{index}/image/reference"),
            ContainerKind::Container | ContainerKind::InitContainer | ContainerKind::EphemeralContainer => {
                format!("{at}/{index}/image")
            }
        };
        if !item.is_object() {
            return Err(Error::Shape(format!("{at}/{index}")));
        }
        // A template may omit the image. The API server rejects a pod without one.
        let image = match object.pointer(&pointer) {
            None | Some(Value::Null) => continue,
            Some(Value::String(image)) if image.is_empty() => continue,
            Some(Value::String(image)) => image.clone(),
            Some(_) => return Err(Error::Shape(pointer)),
        };
        let name = item.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        found.push(ImageUse { pointer, kind, name, image });
    }
    // A `volumes[].image` of another type has no member `reference` and must not be overlooked.
    let odd = |item: &&Value| {
        kind == ContainerKind::Volume
            && item.get("image").is_some_and(|image| !image.is_object() && !image.is_null())
    };
    match items.iter().position(|item| odd(&item)) {
        Some(index) => Err(Error::Shape(format!("{at}/{index}/image"))),
        None => Ok(()),
    }
}

/// The images to verify when an object changes: all images, or none if the object had exactly the same images before.
/// So running workloads can be scaled down or labelled after a key was revoked.
///
/// # Errors
/// If the new object does not have the structure of its kind. If the old one does not, all images are verified.
pub fn images_to_verify(
    group: &str,
    kind: &str,
    old: Option<&Value>,
    new: &Value,
) -> Result<Vec<ImageUse>, Error> {
    let now = images(group, kind, new)?;
    let before = old.and_then(|old| images(group, kind, old).ok());
    Ok(if before.as_ref() == Some(&now) { Vec::new() } else { now })
}

/// The host and repository to pull an image from: those of the reference, or with a mirror for all registries, the
/// repository below the name of the original registry, as `airlock mirror` stores it.
///
/// # Errors
/// If the name of the registry cannot be part of a repository name.
pub fn pull_location(
    reference: &Reference,
    mirror: Option<&RegistryHost>,
) -> Result<(RegistryHost, RepositoryName), oci::Error> {
    let (host, repository) = (reference.host(), reference.repository());
    match mirror {
        Some(mirror) if mirror != host => Ok((mirror.clone(), repository.below(&host.as_repository()?)?)),
        _ => Ok((host.clone(), repository.clone())),
    }
}

/// One operation of a JSON patch (RFC 6902).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Operation {
    op: &'static str,
    path: String,
    value: Value,
}

/// The patch that adds the digest to every image reference. Tags stay, for people. A second run changes nothing.
///
/// # Errors
/// [`Error::Name`] and [`Error::Unpinned`]: a patch for only some of the images would look complete.
pub fn pin(
    uses: &[ImageUse],
    digest: &dyn Fn(&Reference) -> Option<Digest>,
) -> Result<Vec<Operation>, Error> {
    let mut patch = Vec::new();
    for used in uses {
        let (pointer, image) = (used.pointer.clone(), used.image.clone());
        let reference = image.parse::<Reference>();
        let reference = reference.map_err(|source| Error::Name {
            pointer: pointer.clone(),
            image: image.clone(),
            source,
        })?;
        if reference.digest().is_some() {
            continue;
        }
        let Some(digest) = digest(&reference) else { return Err(Error::Unpinned { pointer, image }) };
        // If another webhook changed the object in the meantime, this patch must fail.
        patch.push(Operation { op: "test", path: pointer.clone(), value: json!(image) });
        patch.push(Operation { op: "replace", path: pointer, value: json!(format!("{image}@{digest}")) });
    }
    Ok(patch)
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Shape(_) | Self::TooMany | Self::Name { .. } | Self::Unpinned { .. } => Class::Other,
        }
    }
}

#[cfg(test)]
mod tests;
