//! Referrers, in pages and as a whole list.

use oci::{Descriptor, Digest, RepositoryName};

use super::Store;
use crate::Result;
use crate::referrers::{PageLimits, ReferrerPage, ReferrerPosition};

/// The limits of one page with everything.
const WHOLE: PageLimits = PageLimits { entries: usize::MAX, bytes: usize::MAX, large: true };

impl Store {
    /// The manifests whose subject is `subject`, as the referrers API lists them: signatures first, large ones last.
    ///
    /// # Errors
    /// When the database or a manifest's file fails.
    pub fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>> {
        Ok(self.referrer_page(repository, subject, artifact_type, None, WHOLE)?.descriptors)
    }

    /// One page of the same list, after the position where the last page ended.
    ///
    /// # Errors
    /// As [`Store::referrers`].
    pub fn referrer_page(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&ReferrerPosition>,
        limits: PageLimits,
    ) -> Result<ReferrerPage> {
        self.0.readers.referrer_page(repository, subject, artifact_type, after, limits)
    }
}
