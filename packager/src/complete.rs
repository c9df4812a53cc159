//! Checks that a set on a drive is complete, by the rule of [`mirror::complete`].

use std::collections::BTreeMap;

use mirror::complete::{Gap, IncludedContent};
use oci::{Digest, Manifest};

use crate::bundle::manifest::BundledManifest;
use crate::bundle::{BundleManifest, EntryKind, Error};

/// Checks a set, manifest by manifest.
pub(crate) struct SetCheck<'a> {
    sizes: BTreeMap<&'a Digest, u64>,
    included: Vec<IncludedContent<'a>>,
    /// The repositories of each manifest.
    manifests: BTreeMap<&'a Digest, Vec<(usize, &'a BundledManifest)>>,
    gaps: Vec<Gap>,
}

impl<'a> SetCheck<'a> {
    pub(crate) fn new(set: &'a BundleManifest) -> Self {
        let blobs = set.entries.iter().filter(|entry| entry.kind == EntryKind::Blob);
        let mut manifests: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut included = Vec::new();
        for (index, repository) in set.repositories.iter().enumerate() {
            for bundled in &repository.manifests {
                manifests.entry(&bundled.digest).or_default().push((index, bundled));
            }
            included.push(IncludedContent {
                repository: &repository.name,
                manifests: repository.manifests.iter().map(|bundled| &bundled.digest).collect(),
                undeclared: set.version < 2,
            });
        }
        let sizes = blobs.map(|entry| (&entry.digest, entry.size)).collect();
        Self { sizes, included, manifests, gaps: Vec::new() }
    }

    /// Whether any repository has a manifest with this digest.
    pub(crate) fn is_manifest(&self, digest: &Digest) -> bool {
        self.manifests.contains_key(digest)
    }

    /// Checks the content of a manifest.
    ///
    /// # Errors
    /// When the bytes are not a manifest of the media type that the set states.
    pub(crate) fn add(&mut self, digest: &Digest, bytes: Vec<u8>) -> Result<(), Error> {
        let bytes = bytes::Bytes::from(bytes);
        for (index, bundled) in self.manifests.get(digest).into_iter().flatten() {
            let manifest = Manifest::parse(bytes.clone(), Some(&bundled.media_type))?;
            let absent = bundled.absent.iter().map(|absent| &absent.digest).collect();
            let size = |digest: &Digest| self.sizes.get(digest).copied();
            self.gaps.extend(self.included[*index].gaps(digest, &manifest, &absent, &size));
        }
        Ok(())
    }

    /// # Errors
    /// When content is missing or has another size.
    pub(crate) fn finish(self) -> Result<(), Error> {
        if self.gaps.is_empty() { Ok(()) } else { Err(Error::Incomplete(self.gaps)) }
    }
}
