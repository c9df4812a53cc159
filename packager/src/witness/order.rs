//! The order of one sender's drives, which binds tags whatever the sets are called: a drive that is older than the one
//! that set a tag last may not move it back.
//!
//! Numbers are those of the sender's log. What a tag was set to, and by which drive, is remembered when the drive is let in.
//! A tag that other senders or clients of the registry set is nobody's here.

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
    /// Drives up to this number came when tags were not remembered yet: each tag may be of the newest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    untracked: Option<u64>,
    /// By `repository:tag`.
    set: BTreeMap<String, LastSet>,
}

/// What a tag was set to last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LastSet {
    number: u64,
    digest: Digest,
}

impl SetTags {
    /// What is known of tags where a version that did not remember them let these drives in.
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
        (set, number): (&Digest, u64),
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

    /// Remembers what a drive sets. Numbers only grow.
    pub(super) fn remember(&mut self, manifest: &BundleManifest, number: u64) {
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
