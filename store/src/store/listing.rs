//! Referrers, in pages and as a whole list; the history of tags; manifests that clients asked for in vain; and the store's
//! size.

use oci::{Descriptor, Digest, RepositoryName, Tag};

use super::Store;
use crate::Result;
use crate::history::TagChange;
use crate::referrers::{PageLimits, ReferrerPage, ReferrerPosition};
use crate::totals::Totals;
use crate::wanted::{Wanted, WantedName};

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

    /// The manifests that clients asked for and that the store did not have, by name: see [`crate::Change::Want`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn wanted(&self) -> Result<Vec<Wanted>> {
        self.0.readers.wanted()
    }

    /// Whether it is recorded that clients asked for a manifest in vain.
    ///
    /// # Errors
    /// When the database fails.
    pub fn is_wanted(&self, name: &WantedName) -> Result<bool> {
        self.0.readers.is_wanted(name)
    }

    /// The store's size. The time that this takes depends on the number of blobs.
    ///
    /// # Errors
    /// When the database or the file system fails.
    pub fn totals(&self) -> Result<Totals> {
        self.0.readers.totals(&self.0.layout)
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

    /// The manifests that actors whose names contain `marker` set tags to, each tag's newest one, as far as the history goes
    /// back.
    ///
    /// # Errors
    /// When the database fails.
    pub fn manifests_tagged_by(&self, marker: &str) -> Result<Vec<(RepositoryName, Digest)>> {
        self.0.readers.manifests_tagged_by(marker)
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
