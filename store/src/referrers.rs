//! What refers to a manifest, in pages: signatures first, so that no client misses them on a first page, and large
//! entries last, so that they cannot push small ones out of it. What nobody
//! pushed, because it was mirrored, imported or signed in the store, comes before what users pushed, and users take
//! turns: nobody puts the signatures of others behind many of their own.

use oci::{Descriptor, Digest, RepositoryName};
use rusqlite::params;

use crate::query::{Readers, all, parsed};
use crate::{Error, Result};

/// A manifest up to this size makes a small entry.
const SMALL: i64 = 64 * 1024;
/// The first group of large entries.
const LARGE: u8 = 2;

/// How many are looked up in the database at once.
const STRETCH: i64 = 256;

/// Where a page ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferrerPosition {
    /// The group: lower ones come first.
    pub rank: u8,
    /// Which one of its user's beside the subject it is; 0 where it is no user's.
    pub turn: u32,
    /// The last digest.
    pub digest: Digest,
}

/// How much a page holds at most; one entry in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimits {
    /// Entries.
    pub entries: usize,
    /// Bytes of their descriptors as JSON.
    pub bytes: usize,
    /// Whether large entries may follow small ones.
    pub large: bool,
}

/// A stretch of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferrerPage {
    /// The descriptors.
    pub descriptors: Vec<Descriptor>,
    /// Where the next page goes on, if there is one.
    pub next: Option<ReferrerPosition>,
}

/// How the artifact types of signatures and attestations begin.
const STATEMENTS: [&str; 3] =
    ["application/vnd.dev.cosign.", "application/vnd.dev.sigstore.", "application/vnd.cncf.notary."];

/// The groups: small signatures, other small ones, large signatures, other large ones.
fn rank() -> String {
    let types = STATEMENTS.map(|begin| format!("lower(coalesce(artifact_type, '')) NOT GLOB '{begin}*'"));
    format!("(size > ?4) * {LARGE} + ({})", types.join(" AND "))
}

/// Whether an artifact type is that of signatures and attestations.
#[must_use]
pub fn is_statement(artifact_type: &str) -> bool {
    let kind = artifact_type.to_ascii_lowercase();
    STATEMENTS.iter().any(|begin| kind.starts_with(begin))
}

impl Readers {
    /// The next page after `after`. Manifests whose files are damaged or gone are left out.
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
                // Before it is read: what is large takes long.
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
            // One that an older version took and this one cannot read must not hide the others.
            Err(Error::Invalid(error)) => {
                tracing::error!(%digest, %error, "a manifest that refers to another cannot be read");
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
        // The `+` has SQLite look up each manifest, and not all that a user pushed beside the subject for each.
        let sql = format!(
            "SELECT rank, turn, digest FROM (
               SELECT {rank_of} AS rank, coalesce(pushed.turn, 0) AS turn, digest
               FROM manifests LEFT JOIN pushed ON pushed.repository = manifests.repository
                 AND +named = ?2 AND manifest = digest
               WHERE manifests.repository = (SELECT id FROM repositories WHERE name = ?1) AND subject = ?2
               AND (?3 IS NULL OR artifact_type = ?3))
             WHERE (rank, turn, digest) > (?5, ?6, ?7) ORDER BY rank, turn, digest LIMIT ?8"
        );
        let (rank, turn, digest) =
            after.map_or((-1, 0, String::new()), |at| (i64::from(at.rank), at.turn, at.digest.to_string()));
        let (repository, subject) = (repository.as_str(), subject.to_string());
        let parameters = params![repository, subject, artifact_type, SMALL, rank, turn, digest, STRETCH];
        self.with(|c| {
            all(c, &sql, parameters, |row| {
                let (rank, turn) = (row.get::<_, u8>(0)?, row.get::<_, u32>(1)?);
                Ok(ReferrerPosition { rank, turn, digest: parsed(row, 2)? })
            })
        })
    }
}
