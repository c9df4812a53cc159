//! The order of one sender's drives, which applies to tags across sets: a drive that is older than the last one that set a
//! tag must not move the tag back.
//!
//! Drives are numbered by the sender's log. When a drive is admitted, the digest of each tag is recorded with the drive's
//! number. Tags that other senders or registry clients set are not tracked.

use std::collections::BTreeMap;

use oci::{Digest, RepositoryName, Selector, Tag};
use serde::{Deserialize, Serialize};
use store::Store;

use crate::bundle::{BundleManifest, Error};
use crate::drive_log::AlarmKind;

/// The tags that a sender's drives set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetTags {
    /// Drives up to this number were admitted before tags were recorded: the newest of them may have set any tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    untracked: Option<u64>,
    /// The tags, by `repository:tag`.
    set: BTreeMap<String, LastSet>,
}

/// The last digest of a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LastSet {
    number: u64,
    digest: Digest,
}

impl SetTags {
    /// The state for drives that were admitted by a version that did not record tags.
    pub(super) fn untracked(drives: &BTreeMap<String, u64>) -> Self {
        Self { untracked: drives.values().max().copied(), set: BTreeMap::new() }
    }

    /// The alarm that a drive of this number raises, if it would move a tag back.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn moved_back(
        &self,
        manifest: &BundleManifest,
        set: &Digest,
        number: u64,
        store: &Store,
    ) -> Result<Option<AlarmKind>, Error> {
        for (repository, tag, digest) in tags(manifest) {
            let name = name(repository, tag);
            let known = match self.set.get(&name) {
                Some(last) => (last.number > number && last.digest != *digest).then_some(last.number),
                None => {
                    self.untracked.filter(|untracked| *untracked > number).map_or(Ok(None), |untracked| {
                        let now = store.resolve(repository, &Selector::Tag(tag.clone()))?;
                        Ok::<_, Error>(now.filter(|now| now.digest != *digest).map(|_| untracked))
                    })?
                }
            };
            if let Some(known) = known {
                return Ok(Some(AlarmKind::MovedBack { set: set.clone(), tag: name, found: number, known }));
            }
        }
        Ok(None)
    }

    /// The tags, as `repository:tag`, with their digests.
    pub(super) fn digests(&self) -> impl Iterator<Item = (String, Digest)> + '_ {
        self.set.iter().map(|(name, last)| (name.clone(), last.digest.clone()))
    }

    /// Records the tags that a drive sets. Numbers only grow.
    pub(super) fn record(&mut self, manifest: &BundleManifest, number: u64) {
        for (repository, tag, digest) in tags(manifest) {
            let last = LastSet { number, digest: digest.clone() };
            let known = self.set.entry(name(repository, tag)).or_insert_with(|| last.clone());
            if known.number <= number {
                *known = last;
            }
        }
    }
}

fn tags(manifest: &BundleManifest) -> impl Iterator<Item = (&RepositoryName, &Tag, &Digest)> {
    manifest
        .repositories
        .iter()
        .flat_map(|repository| repository.tags.iter().map(|tag| (&repository.name, &tag.tag, &tag.digest)))
}

fn name(repository: &RepositoryName, tag: &Tag) -> String {
    format!("{repository}:{tag}")
}
