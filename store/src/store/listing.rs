//! Referrers, in pages and whole.

use oci::{Descriptor, Digest, RepositoryName};

use super::Store;
use crate::Result;
use crate::referrers::{PageLimits, ReferrerPage, ReferrerPosition};

/// One page that holds everything.
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

    /// The same in pages, after where the last page ended.
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
