//! Referrers, in pages and whole.

use oci::{Descriptor, Digest, RepositoryName};

use super::Store;
use crate::Result;
use crate::referrers::{PageLimits, ReferrerPage, ReferrerPosition};

/// A page as long as there can be.
const WHOLE: PageLimits = PageLimits { entries: usize::MAX, bytes: usize::MAX };

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
        let (mut all, mut at) = (Vec::new(), None);
        loop {
            let page = self.referrer_page(repository, subject, artifact_type, at.as_ref(), WHOLE)?;
            all.extend(page.descriptors);
            at = page.next;
            if at.is_none() {
                return Ok(all);
            }
        }
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
