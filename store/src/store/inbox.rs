//! The inbox of a store.

use oci::{Digest, RepositoryName, Tag};

use super::Store;
use crate::change::Change;
use crate::inbox::InboxEntry;
use crate::{Error, Result};

impl Store {
    /// The manifests of a repository, or of all repositories, that wait for their tag, by name. Those that have expired are
    /// included until they are removed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn inbox(&self, repository: Option<&RepositoryName>) -> Result<Vec<InboxEntry>> {
        self.0.readers.inbox(repository)
    }

    /// The tags for which a manifest of a repository waits.
    ///
    /// # Errors
    /// When the database fails.
    pub fn waits_for(&self, repository: &RepositoryName, digest: &Digest) -> Result<Vec<Tag>> {
        self.0.readers.waits_for(repository, digest)
    }

    /// Removes the entries of the inbox that have expired, and returns them.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn expire_inbox(&self) -> Result<Vec<InboxEntry>> {
        let mut removed = Vec::new();
        for entry in self.inbox(None)?.into_iter().filter(InboxEntry::is_expired) {
            let InboxEntry { repository, tag, digest, .. } = entry.clone();
            match self.commit(vec![Change::Discard { repository, tag, digest }]) {
                Ok(()) => removed.push(entry),
                // It was replaced or removed meanwhile.
                Err(Error::NotWaiting { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }
}
