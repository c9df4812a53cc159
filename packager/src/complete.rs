//! Whether a set on a drive is complete, by the rule of [`mirror::complete`].

use std::collections::BTreeMap;

use mirror::complete::{Carried, Gap};
use oci::{Digest, Manifest};

use crate::bundle::manifest::BundledManifest;
use crate::bundle::{BundleManifest, EntryKind, Error};

/// The check of a whole set, manifest by manifest.
pub(crate) struct SetCheck<'a> {
    sizes: BTreeMap<&'a Digest, u64>,
    carried: Vec<Carried<'a>>,
    /// Each manifest, in each repository that has it.
    places: BTreeMap<&'a Digest, Vec<(usize, &'a BundledManifest)>>,
    gaps: Vec<Gap>,
}

impl<'a> SetCheck<'a> {
    pub(crate) fn new(set: &'a BundleManifest) -> Self {
        let blobs = set.entries.iter().filter(|entry| entry.kind == EntryKind::Blob);
        let mut places: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut carried = Vec::new();
        for (place, repository) in set.repositories.iter().enumerate() {
            for bundled in &repository.manifests {
                places.entry(&bundled.digest).or_default().push((place, bundled));
            }
            carried.push(Carried {
                repository: &repository.name,
                manifests: repository.manifests.iter().map(|bundled| &bundled.digest).collect(),
                undeclared: set.version < 2,
            });
        }
        let sizes = blobs.map(|entry| (&entry.digest, entry.size)).collect();
        Self { sizes, carried, places, gaps: Vec::new() }
    }

    /// Whether some repository has a manifest of this digest.
    pub(crate) fn is_manifest(&self, digest: &Digest) -> bool {
        self.places.contains_key(digest)
    }

    /// Looks at the bytes of a manifest.
    ///
    /// # Errors
    /// When they are no manifest of the type that the set states.
    pub(crate) fn look(&mut self, digest: &Digest, bytes: Vec<u8>) -> Result<(), Error> {
        let bytes = bytes::Bytes::from(bytes);
        for (place, bundled) in self.places.get(digest).into_iter().flatten() {
            let manifest = Manifest::parse(bytes.clone(), Some(&bundled.media_type))?;
            let absent = bundled.absent.iter().map(|absent| &absent.digest).collect();
            let size = |digest: &Digest| self.sizes.get(digest).copied();
            self.gaps.extend(self.carried[*place].gaps((digest, &manifest), &absent, &size));
        }
        Ok(())
    }

    /// # Errors
    /// When something is missing or has another size.
    pub(crate) fn finish(self) -> Result<(), Error> {
        if self.gaps.is_empty() { Ok(()) } else { Err(Error::Incomplete(self.gaps)) }
    }
}
