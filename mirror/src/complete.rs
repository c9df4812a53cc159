//! Checks that a set is complete: for each descriptor of each manifest, the set includes content of the stated size, or
//! declares it absent with a reason. `mirror`, `pack`, `verify` and `import` share this check, so no content gets lost
//! without an error.
//!
//! A `subject` is not content of the manifest that refers to it, so it may be missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use oci::{Descriptor, Digest, Manifest, RepositoryName};

/// The maximum number of gaps that one message lists.
const MOST_NAMED: usize = 20;

/// The blobs of a manifest: its config and layers, and the entries of an index that are not manifests, as in build
/// caches.
pub fn blobs(manifest: &Manifest) -> impl Iterator<Item = &Descriptor> {
    manifest.blobs().chain(manifest.children().iter().filter(|child| !child.media_type.is_manifest()))
}

/// The manifests that an index lists.
pub fn children(manifest: &Manifest) -> impl Iterator<Item = &Descriptor> {
    manifest.children().iter().filter(|child| child.media_type.is_manifest())
}

/// A descriptor whose content is missing or has the wrong size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The repository.
    pub repository: RepositoryName,
    /// The manifest that lists it.
    pub manifest: Digest,
    /// The content's digest.
    pub part: Digest,
    /// The kind of gap.
    pub kind: GapKind,
}

/// The kinds of gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapKind {
    /// The content is neither included nor declared absent.
    Missing,
    /// The content's size differs from the size in the descriptor.
    Size {
        /// The size in the descriptor.
        stated: u64,
        /// The size of the content.
        found: u64,
    },
}

/// The content that a set includes of one repository.
pub struct IncludedContent<'a> {
    /// The repository.
    pub repository: &'a RepositoryName,
    /// Its manifests.
    pub manifests: BTreeSet<&'a Digest>,
    /// Whether content may be missing without a declaration: sets of version 1 do not declare absent content.
    pub undeclared: bool,
}

impl IncludedContent<'_> {
    /// The gaps of one manifest. `absent` lists its content that is declared absent, and `size` returns the size of
    /// included content.
    pub fn gaps(
        &self,
        digest: &Digest,
        manifest: &Manifest,
        absent: &BTreeSet<&Digest>,
        size: &dyn Fn(&Digest) -> Option<u64>,
    ) -> Vec<Gap> {
        let may_lack = |part: &Descriptor, is_child: bool| {
            absent.contains(&part.digest)
                || (self.undeclared && (is_child || part.media_type.is_foreign() || !part.urls.is_empty()))
        };
        let kind = |part: &Descriptor, is_child: bool| {
            let found = if is_child && !self.manifests.contains(&part.digest) {
                None
            } else {
                size(&part.digest).filter(|_| is_child || !absent.contains(&part.digest))
            };
            match found {
                None if may_lack(part, is_child) => None,
                None => Some(GapKind::Missing),
                Some(found) if found == part.size => None,
                Some(found) => Some(GapKind::Size { stated: part.size, found }),
            }
        };
        let parts =
            blobs(manifest).map(|part| (part, false)).chain(children(manifest).map(|part| (part, true)));
        parts
            .filter_map(|(part, is_child)| {
                Some(Gap {
                    repository: self.repository.clone(),
                    manifest: digest.clone(),
                    part: part.digest.clone(),
                    kind: kind(part, is_child)?,
                })
            })
            .collect()
    }
}

/// Formats gaps as one line.
#[must_use]
pub fn list(gaps: &[Gap]) -> String {
    let mut by_manifest: BTreeMap<(&RepositoryName, &Digest), Vec<&Gap>> = BTreeMap::new();
    for gap in gaps.iter().take(MOST_NAMED) {
        by_manifest.entry((&gap.repository, &gap.manifest)).or_default().push(gap);
    }
    let mut text = String::new();
    for ((repository, manifest), gaps) in by_manifest {
        let separator = if text.is_empty() { "" } else { "; " };
        let _ = write!(text, "{separator}`{repository}@{manifest}` lists ");
        for (place, Gap { part, kind, .. }) in gaps.into_iter().enumerate() {
            let separator = if place == 0 { "" } else { ", " };
            let _ = match kind {
                GapKind::Missing => {
                    write!(text, "{separator}`{part}`, which is neither included nor declared absent")
                }
                GapKind::Size { stated, found } => {
                    write!(text, "{separator}`{part}` with {stated} bytes, but it has {found}")
                }
            };
        }
    }
    if gaps.len() > MOST_NAMED {
        let _ = write!(text, "; and {} more", gaps.len() - MOST_NAMED);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest(value: &serde_json::Value) -> Manifest {
        Manifest::parse(serde_json::to_vec(value).unwrap().into(), None).unwrap()
    }

    fn descriptor(kind: &str, bytes: &[u8], size: usize) -> serde_json::Value {
        json!({ "mediaType": kind, "digest": Digest::sha256(bytes), "size": size })
    }

    fn gap_kinds(manifest: &Manifest, there: &[&[u8]], absent: &[&[u8]]) -> Vec<GapKind> {
        let repository = "r.io/a".parse().unwrap();
        let sizes: BTreeMap<_, _> =
            there.iter().map(|bytes| (Digest::sha256(bytes), bytes.len() as u64)).collect();
        let absent: Vec<_> = absent.iter().map(|bytes| Digest::sha256(bytes)).collect();
        let included =
            IncludedContent { repository: &repository, manifests: sizes.keys().collect(), undeclared: false };
        let gaps = included.gaps(&manifest.digest(), manifest, &absent.iter().collect(), &|digest| {
            sizes.get(digest).copied()
        });
        gaps.into_iter().map(|gap| gap.kind).collect()
    }

    #[test]
    fn d4_every_descriptor_of_an_index_is_carried_or_declared_absent() {
        let index = manifest(&json!({ "schemaVersion": 2, "manifests": [
            descriptor(oci::media_type::OCI_LAYER_GZIP, b"layer", 5),
            descriptor(oci::media_type::OCI_MANIFEST, b"child", 5),
            descriptor("application/vnd.buildkit.cacheconfig.v0", b"cache", 5),
        ]}));
        assert_eq!(gap_kinds(&index, &[b"layer", b"child", b"cache"], &[]), []);
        assert_eq!(gap_kinds(&index, &[], &[]), [GapKind::Missing; 3]);
        assert_eq!(gap_kinds(&index, &[b"layer"], &[b"child", b"cache"]), []);
    }

    #[test]
    fn d20_a_size_binds_as_the_digest_does() {
        let image = manifest(&json!({
            "schemaVersion": 2,
            "config": descriptor(oci::media_type::OCI_CONFIG, b"{}", 2),
            "layers": [descriptor(oci::media_type::OCI_LAYER, b"layer", 0)],
        }));
        assert_eq!(gap_kinds(&image, &[b"{}", b"layer"], &[]), [GapKind::Size { stated: 0, found: 5 }]);
    }
}
