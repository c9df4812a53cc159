//! The referrers of a manifest, in pages: signatures first, so that no client misses them on a first page, and large
//! entries last, so that they cannot push small ones off it. Referrers that no user pushed, because they were mirrored,
//! imported or signed in the store, come before those that users pushed. The referrers of different users alternate, so
//! no user can hide another user's signatures behind many of their own.

use oci::{Descriptor, Digest, RepositoryName};
use rusqlite::params;

use crate::query::{Readers, all, parsed};
use crate::{Error, Result};

/// The maximum manifest size of a small entry.
const SMALL: i64 = 64 * 1024;
/// The first group of large entries.
const LARGE: u8 = 2;

/// How many referrers one database query returns.
const BATCH: i64 = 256;

/// The position at which a page ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferrerPosition {
    /// The group: lower ones come first.
    pub rank: u8,
    /// The number of the referrer among those of its user for the subject; 0 if no user pushed it.
    pub turn: u32,
    /// The last digest.
    pub digest: Digest,
}

/// The limits of a page. A page holds at least one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimits {
    /// The maximum number of entries.
    pub entries: usize,
    /// The maximum size of their descriptors as JSON, in bytes.
    pub bytes: usize,
    /// Whether large entries may follow small ones.
    pub large: bool,
}

/// A page of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferrerPage {
    /// The descriptors.
    pub descriptors: Vec<Descriptor>,
    /// The position after which the next page starts, if there is one.
    pub next: Option<ReferrerPosition>,
}

/// The prefixes of the artifact types of signatures and attestations.
const STATEMENTS: [&str; 3] =
    ["application/vnd.dev.cosign.", "application/vnd.dev.sigstore.", "application/vnd.cncf.notary."];

/// The SQL expression of the group: small signatures, other small entries, large signatures, other large entries.
fn rank() -> String {
    let types = STATEMENTS.map(|begin| format!("lower(coalesce(artifact_type, '')) NOT GLOB '{begin}*'"));
    format!("(size > ?4) * {LARGE} + ({})", types.join(" AND "))
}

/// Whether this is an artifact type of signatures or attestations.
#[must_use]
pub fn is_statement(artifact_type: &str) -> bool {
    let kind = artifact_type.to_ascii_lowercase();
    STATEMENTS.iter().any(|begin| kind.starts_with(begin))
}

impl Readers {
    /// The page after `after`. Manifests with damaged or missing files are omitted.
    pub(crate) fn referrer_page(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&ReferrerPosition>,
        limits: PageLimits,
    ) -> Result<ReferrerPage> {
        let mut page = ReferrerPage::default();
        let mut bytes = 0;
        let mut at = after.cloned();
        loop {
            let found = self.referrers_after(repository, subject, artifact_type, at.as_ref())?;
            if found.is_empty() {
                return Ok(page);
            }
            for position in found {
                let was_small = at.as_ref().is_none_or(|at| at.rank < LARGE);
                let ends = page.descriptors.len() >= limits.entries
                    || !limits.large && was_small && position.rank >= LARGE;
                // Decided before the manifest is read, because reading a large one takes long.
                if ends && !page.descriptors.is_empty() {
                    page.next = at;
                    return Ok(page);
                }
                let Some(descriptor) = self.described(repository, &position.digest)? else {
                    at = Some(position);
                    continue;
                };
                let size = serde_json::to_vec(&descriptor).map_or(0, |json| json.len() + 1);
                if bytes + size > limits.bytes && !page.descriptors.is_empty() {
                    page.next = at;
                    return Ok(page);
                }
                bytes += size;
                page.descriptors.push(descriptor);
                at = Some(position);
            }
        }
    }

    fn described(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<Descriptor>> {
        match self.manifest(repository, digest) {
            Ok(manifest) => Ok(manifest.map(|manifest| manifest.referrer_descriptor(digest.clone()))),
            // A manifest that an older version accepted and this one cannot read must not hide the others.
            Err(Error::Invalid(error)) => {
                tracing::error!(%digest, %error, "cannot read the manifest of a referrer");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn referrers_after(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&ReferrerPosition>,
    ) -> Result<Vec<ReferrerPosition>> {
        let rank_of = rank();
        // The `+` makes SQLite look up each manifest by itself, instead of scanning a user's pushes for each one.
        let sql = format!(
            "SELECT rank, turn, digest FROM (
               SELECT {rank_of} AS rank, coalesce(pushed.turn, 0) AS turn, digest
               FROM manifests LEFT JOIN pushed ON pushed.repository = manifests.repository
                 AND +named = ?2 AND manifest = digest
               WHERE manifests.repository = (SELECT id FROM repositories WHERE name = ?1) AND subject = ?2
               AND (?3 IS NULL OR artifact_type = ?3) AND NOT EXISTS (SELECT 1 FROM inbox i
                 WHERE i.repository = manifests.repository AND i.digest = manifests.digest AND i.held))
             WHERE (rank, turn, digest) > (?5, ?6, ?7) ORDER BY rank, turn, digest LIMIT ?8"
        );
        let (rank, turn, digest) =
            after.map_or((-1, 0, String::new()), |at| (i64::from(at.rank), at.turn, at.digest.to_string()));
        let (repository, subject) = (repository.as_str(), subject.to_string());
        let parameters = params![repository, subject, artifact_type, SMALL, rank, turn, digest, BATCH];
        self.with(|c| {
            all(c, &sql, parameters, |row| {
                let (rank, turn) = (row.get::<_, u8>(0)?, row.get::<_, u32>(1)?);
                Ok(ReferrerPosition { rank, turn, digest: parsed(row, 2)? })
            })
        })
    }
}
