//! The images of everything that makes pods: containers of all three sorts and image volumes, in every kind that
//! Kubernetes has for it, and the patch that pins a tag to its digest.

use std::fmt;

use error_class::{Class, Classified};
use oci::{Digest, Reference, RegistryHost, RepositoryName};
use serde::Serialize;
use serde_json::{Value, json};

/// Kinds that make pods, with the place of the pod's spec.
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

/// More images than this has no pod; the API server's own bound on an object comes near it.
const MOST: usize = 4096;

/// What an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ContainerKind {
    /// A container.
    Container,
    /// A container that runs before the others, or beside them.
    InitContainer,
    /// A container that is added to a pod that runs.
    EphemeralContainer,
    /// A volume whose files are an image's.
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

/// An image that an object names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageUse {
    /// Where its name stands: a JSON pointer.
    pub pointer: String,
    /// What it is for.
    pub place: ContainerKind,
    /// The container's or the volume's name.
    pub name: String,
    /// The image as it is written.
    pub image: String,
}

/// Why the images of an object cannot be told; then it must not pass.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It has a value of another type than its kind has there.
    #[error("`{0}` is not what a pod has there")]
    Shape(String),
    /// It has more images than any pod.
    #[error("there are more than {MOST} images")]
    TooMany,
    /// An image's name is none.
    #[error("`{image}` at `{pointer}` is not an image's name")]
    Name {
        /// Where.
        pointer: String,
        /// What stands there.
        image: String,
        /// Why.
        #[source]
        source: oci::Error,
    },
    /// Nobody knows the digest of a tag.
    #[error("`{image}` at `{pointer}` has no digest, and none is known for it")]
    Unpinned {
        /// Where.
        pointer: String,
        /// What stands there.
        image: String,
    },
}

/// Whether objects of a kind make pods.
#[must_use]
pub fn makes_pods(group: &str, kind: &str) -> bool {
    spec_of(group, kind).is_some()
}

/// The spec of the pods that an object makes.
#[must_use]
pub fn pod_spec<'a>(group: &str, kind: &str, object: &'a Value) -> Option<&'a Value> {
    object.pointer(spec_of(group, kind)?)
}

fn spec_of(group: &str, kind: &str) -> Option<&'static str> {
    KINDS.iter().find(|known| (known.0, known.1) == (group, kind)).map(|known| known.2)
}

/// All images of an object; none for a kind that makes no pods.
///
/// # Errors
/// When it is not shaped like its kind.
pub fn images(group: &str, kind: &str, object: &Value) -> Result<Vec<ImageUse>, Error> {
    let Some(at) = spec_of(group, kind) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    let spec = match object.pointer(at) {
        None | Some(Value::Null) => return Ok(found),
        Some(Value::Object(_)) => at,
        Some(_) => return Err(Error::Shape(at.to_owned())),
    };
    for (list, place) in [
        ("initContainers", ContainerKind::InitContainer),
        ("containers", ContainerKind::Container),
        ("ephemeralContainers", ContainerKind::EphemeralContainer),
        ("volumes", ContainerKind::Volume),
    ] {
        collect(object, &format!("{spec}/{list}"), place, &mut found)?;
    }
    Ok(found)
}

fn collect(object: &Value, at: &str, place: ContainerKind, found: &mut Vec<ImageUse>) -> Result<(), Error> {
    let items = match object.pointer(at) {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(Error::Shape(at.to_owned())),
    };
    if items.len() > MOST {
        return Err(Error::TooMany);
    }
    for (index, item) in items.iter().enumerate() {
        let pointer = match place {
            ContainerKind::Volume => format!("{at}/{index}/image/reference"),
            ContainerKind::Container | ContainerKind::InitContainer | ContainerKind::EphemeralContainer => {
                format!("{at}/{index}/image")
            }
        };
        if !item.is_object() {
            return Err(Error::Shape(format!("{at}/{index}")));
        }
        // A template may leave the image to others; a pod without one is refused by the API server.
        let image = match object.pointer(&pointer) {
            None | Some(Value::Null) => continue,
            Some(Value::String(image)) if image.is_empty() => continue,
            Some(Value::String(image)) => image.clone(),
            Some(_) => return Err(Error::Shape(pointer)),
        };
        let name = item.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        found.push(ImageUse { pointer, place, name, image });
    }
    // `volumes[].image` of another type has no member `reference`, and must not hide so.
    let odd = |item: &&Value| {
        place == ContainerKind::Volume
            && item.get("image").is_some_and(|image| !image.is_object() && !image.is_null())
    };
    match items.iter().position(|item| odd(&item)) {
        Some(index) => Err(Error::Shape(format!("{at}/{index}/image"))),
        None => Ok(()),
    }
}

/// The images to judge when an object changes: all of them, unless exactly these stood there before, so that what
/// runs can be scaled down or labelled after a key was revoked.
///
/// # Errors
/// When the new object is not shaped like its kind; an old one that is not shaped so excuses nothing.
pub fn to_judge(group: &str, kind: &str, old: Option<&Value>, new: &Value) -> Result<Vec<ImageUse>, Error> {
    let now = images(group, kind, new)?;
    let before = old.and_then(|old| images(group, kind, old).ok());
    Ok(if before.as_ref() == Some(&now) { Vec::new() } else { now })
}

/// Where an image is asked for: in its own registry, or in the mirror that stands for all, below its own registry's
/// name, as `airlock mirror` puts it there.
///
/// # Errors
/// When the registry's name has no form in the mirror.
pub fn place_of(
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

/// The patch by which every image is named with its digest. Tags stay, for people; a second run changes nothing.
///
/// # Errors
/// [`Error::Name`], [`Error::Unpinned`]: a patch for a part of the images would look like one for all.
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
        // Another webhook may have changed the object in between; then this patch must not fit.
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
