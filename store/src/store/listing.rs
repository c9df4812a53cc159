//! Referrers, in pages and as a whole list, and the history of tags.

use oci::{Descriptor, Digest, RepositoryName, Tag};

use super::Store;
use crate::Result;
use crate::history::TagChange;
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

    /// The recorded changes of a tag, or of all tags of a repository, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn tag_history(
        &self,
        repository: &RepositoryName,
        tag: Option<&Tag>,
        limit: Option<usize>,
    ) -> Result<Vec<TagChange>> {
        self.0.readers.tag_history(repository, tag, limit)
    }

    /// The tags of a repository at a time, given in seconds since 1970, as far as the history goes back. A tag without any
    /// recorded change counts as unchanged.
    ///
    /// # Errors
    /// When the database fails.
    pub fn tags_at(&self, repository: &RepositoryName, at: i64) -> Result<Vec<(Tag, Digest)>> {
        self.0.readers.tags_at(repository, at)
    }
}
