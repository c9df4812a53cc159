//! Which manifests of an index are mirrored, by platform.

use std::collections::BTreeSet;

use oci::{Descriptor, Digest, Manifest, Platform};

use crate::complete;

/// The annotation of a manifest in an index that states its subject (buildkit's attestations).
const SUBJECT: &str = "vnd.docker.reference.digest";

/// Whether a manifest in an index is an attestation of another one, and not an image to run.
pub(crate) fn is_attestation(child: &Descriptor) -> bool {
    child.annotations.contains_key(SUBJECT) && child.platform.as_ref().is_none_or(Platform::is_unknown)
}

/// The manifests of an index to take: all, or those of the requested platforms with their attestations, and those without
/// a platform, such as indexes.
pub(crate) fn chosen(index: &Manifest, platforms: &[Platform]) -> Vec<Digest> {
    let children: Vec<&Descriptor> = complete::children(index).collect();
    let wanted = |child: &&&Descriptor| match &child.platform {
        _ if platforms.is_empty() => true,
        Some(platform) if platform.is_unknown() => false,
        Some(platform) => platforms.iter().any(|wanted| wanted.accepts(platform)),
        None => true,
    };
    let taken: BTreeSet<&Digest> = children.iter().filter(wanted).map(|child| &child.digest).collect();
    let attests = |child: &&&Descriptor| {
        child
            .annotations
            .get(SUBJECT)
            .is_some_and(|subject| taken.iter().any(|digest| digest.to_string() == *subject))
    };
    children
        .iter()
        .filter(|child| taken.contains(&child.digest) || attests(child))
        .map(|child| child.digest.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_chosen_by_platform_with_their_attestations() {
        let child = |name: &str, platform: &str| {
            let kind = oci::media_type::OCI_MANIFEST.parse().unwrap();
            let mut child = Descriptor::new(kind, Digest::sha256(name.as_bytes()), 1);
            child.platform = Some(platform.parse().unwrap());
            child
        };
        let attestation = |subject: &Descriptor| {
            let mut child = child(&format!("attestation {}", subject.digest), "unknown/unknown");
            child.annotations.insert(SUBJECT.into(), subject.digest.to_string());
            child
        };
        let (amd, arm) = (child("amd", "linux/amd64"), child("arm", "linux/arm64"));
        let children = [amd.clone(), arm.clone(), attestation(&amd), attestation(&arm)];
        let index = index(&children);
        let only = chosen(&index, &["linux/arm64".parse().unwrap()]);
        assert_eq!(only, [arm.digest.clone(), children[3].digest.clone()]);
        assert_eq!(chosen(&index, &[]).len(), 4);
        assert!(chosen(&index, &["windows/amd64".parse().unwrap()]).is_empty());
    }

    fn index(children: &[Descriptor]) -> Manifest {
        let value = serde_json::json!({ "schemaVersion": 2, "manifests": children });
        Manifest::parse(serde_json::to_vec(&value).unwrap().into(), None).unwrap()
    }

    #[test]
    fn d5_without_platforms_children_of_unknown_platform_are_taken_too() {
        let kind = |text: &str| text.parse().unwrap();
        let mut unknown = Descriptor::new(kind(oci::media_type::OCI_MANIFEST), Digest::sha256(b"a"), 1);
        unknown.platform = Some("unknown/unknown".parse().unwrap());
        let layer = Descriptor::new(kind(oci::media_type::OCI_LAYER), Digest::sha256(b"b"), 1);
        let index = index(&[unknown.clone(), layer]);
        assert_eq!(chosen(&index, &[]), [unknown.digest]);
        assert!(chosen(&index, &["linux/amd64".parse().unwrap()]).is_empty());
    }
}
