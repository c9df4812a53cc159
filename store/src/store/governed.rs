//! The rules of the store, and what they decide: quotas, protections, and the tags that no rule retains.

use std::collections::BTreeMap;

use oci::{RepositoryName, Selector};

use super::Store;
use crate::change::Change;
use crate::protect::{self, Protection};
use crate::quota::QuotaUsage;
use crate::reach::Untagged;
use crate::retention::{self, ExpiredTag};
use crate::rules::Rules;
use crate::upkeep::Upkeep;
use crate::{Error, Result};

/// The tags that no rule keeps, by repository.
pub type ExpiredTags = BTreeMap<RepositoryName, Vec<ExpiredTag>>;

impl Store {
    /// The rules of the store.
    ///
    /// # Errors
    /// When the database fails, or has rules that this version cannot read.
    pub fn rules(&self) -> Result<Rules> {
        self.0.readers.rules()
    }

    /// Replaces the rules of the store, unless it has them already. The time depends on the size of the store if quotas are
    /// changed.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn set_rules(&self, rules: &Rules) -> Result<()> {
        match self.rules() {
            Ok(current) if current == *rules => return Ok(()),
            // Rules that cannot be read are replaced.
            Ok(_) | Err(Error::Rules(_)) => {}
            Err(error) => return Err(error),
        }
        // The change must not depend on rules that cannot be read.
        self.writer_thread()?.commit(vec![Change::SetRules(Box::new(rules.clone()))], Vec::new())
    }

    /// The quotas, and what counts towards them.
    ///
    /// # Errors
    /// When the database fails.
    pub fn quotas(&self) -> Result<Vec<QuotaUsage>> {
        self.0.readers.quotas()
    }

    /// How many more bytes the quotas of a repository allow at this moment, and the error for more than that; none if no
    /// quota limits it. A commit decides for good.
    ///
    /// # Errors
    /// When the database fails.
    pub fn quota_room(&self, repository: &RepositoryName) -> Result<Option<(u64, Error)>> {
        self.0.readers.quota_room(repository)
    }

    /// Everything that is protected, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub fn protections(&self) -> Result<Vec<Protection>> {
        self.0.readers.protections()
    }

    /// The protections that speak against the removal of a tag, a manifest or a whole repository.
    ///
    /// # Errors
    /// When the database fails.
    pub fn protections_of(
        &self,
        repository: &RepositoryName,
        selector: Option<&Selector>,
    ) -> Result<Vec<Protection>> {
        self.0.readers.with(|connection| protect::of_removal(connection, repository, selector))
    }

    /// The tags that `rules` do not keep, in the repositories that they name. Tags on the manifests `keep` stay.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn expired_tags(&self, rules: &Rules, keep: &Untagged) -> Result<ExpiredTags> {
        let mut found = ExpiredTags::new();
        for repository in self.repositories(None, None)? {
            if !rules.retention.name(&repository) {
                continue;
            }
            let keep = keep.get(&repository).cloned().unwrap_or_default();
            let layout = &self.0.layout;
            let expired = self
                .0
                .readers
                .with(|connection| retention::expired(connection, layout, rules, &repository, &keep))?;
            if !expired.is_empty() {
                found.insert(repository, expired);
            }
        }
        Ok(found)
    }

    /// Removes those of the planned tags that the rules of the store still do not keep, and returns them.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn expire_tags(&self, planned: &ExpiredTags, keep: &Untagged) -> Result<ExpiredTags> {
        let mut removed = ExpiredTags::new();
        for (repository, expired) in planned {
            let tags = expired.iter().map(|expired| expired.tag.clone()).collect();
            let keep = keep.get(repository).cloned().unwrap_or_default();
            let name = repository.clone();
            self.commit(vec![Change::ExpireTags { repository: name, planned: tags, keep }])?;
            let mut gone = Vec::new();
            for expired in expired {
                if self.resolve(repository, &Selector::Tag(expired.tag.clone()))?.is_none() {
                    gone.push(expired.clone());
                }
            }
            if !gone.is_empty() {
                removed.insert(repository.clone(), gone);
            }
        }
        Ok(removed)
    }

    /// What maintenance did, of each kind that ever ran.
    ///
    /// # Errors
    /// When the database fails.
    pub fn upkeep(&self) -> Result<Vec<Upkeep>> {
        self.0.readers.upkeep()
    }
}
