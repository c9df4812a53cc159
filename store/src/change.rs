//! Changes of the names in a store. `apply`: what each one does to the tables.

use std::collections::BTreeSet;
use std::time::SystemTime;

use oci::{Descriptor, Digest, Manifest, RepositoryName, Selector, Tag};

use crate::health::HealthChange;
use crate::inbox::InboxLimits;
use crate::protect::Protection;
use crate::pushed::NamingLimits;
use crate::rules::Rules;
use crate::upkeep::UpkeepRun;
use crate::wanted::{Wanted, WantedName};

/// One change. [`crate::Store::commit`] applies several changes atomically.
#[derive(Clone, Debug)]
pub enum Change {
    /// Makes a blob that is on disk available from a repository, and keeps it for a day.
    LinkBlob {
        /// The repository.
        repository: RepositoryName,
        /// The blob.
        digest: Digest,
    },
    /// Removes a blob from a repository.
    UnlinkBlob {
        /// The repository.
        repository: RepositoryName,
        /// The blob.
        digest: Digest,
    },
    /// Fails if a blob is not on disk: garbage collection may have removed it since it was seen.
    Expect {
        /// The repository that needs it.
        repository: RepositoryName,
        /// The blob.
        digest: Digest,
    },
    /// Adds a manifest to a repository, with links to those of its blobs that are on disk. The store itself
    /// publishes the manifest's bytes first.
    PutManifest {
        /// The repository.
        repository: RepositoryName,
        /// The digest to store it under, of either algorithm.
        digest: Digest,
        /// The manifest.
        manifest: Manifest,
    },
    /// Adds a manifest that a client pushed. It links no blobs: the client could name content of other repositories. What other
    /// repositories have makes no difference. Fails if the repository lacks one of its blobs, except for foreign layers.
    PushManifest {
        /// The repository.
        repository: RepositoryName,
        /// The digest to store it under, of either algorithm.
        digest: Digest,
        /// The manifest.
        manifest: Manifest,
    },
    /// Counts the manifest of the next change as pushed by a user, and rejects it if too many manifests of that user name
    /// the same manifest.
    CountPushed {
        /// The repository.
        repository: RepositoryName,
        /// The manifest's digest.
        digest: Digest,
        /// The manifest.
        manifest: Manifest,
        /// The user who pushes it.
        pusher: String,
        /// The limits for one user.
        most: NamingLimits,
    },
    /// Removes a manifest from a repository, with the tags on it.
    DeleteManifest {
        /// The repository.
        repository: RepositoryName,
        /// The manifest.
        digest: Digest,
    },
    /// Points a tag at a manifest of the same repository.
    SetTag {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
        /// The manifest.
        digest: Digest,
    },
    /// Adds a manifest to the inbox: see [`crate::Store::inbox`]. The store itself publishes the manifest's bytes first.
    Hold {
        /// The repository.
        repository: RepositoryName,
        /// The tags that the manifest waits for. A manifest that waited for one of them no longer does.
        tags: Vec<Tag>,
        /// The manifest's digest.
        digest: Digest,
        /// The manifest.
        manifest: Manifest,
        /// The limits of the repository.
        most: InboxLimits,
    },
    /// Sets a tag to the manifest that waits for it. Fails if that manifest no longer waits.
    Promote {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
        /// The manifest.
        digest: Digest,
    },
    /// Removes a manifest from the inbox. Fails if it no longer waits.
    Discard {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
        /// The manifest.
        digest: Digest,
    },
    /// Removes a tag; the manifest stays.
    DeleteTag {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
    },
    /// Removes a repository with its manifests, tags and links. The history of its tags stays.
    DeleteRepository {
        /// The repository.
        repository: RepositoryName,
    },
    /// Removes those of the planned manifests that nothing keeps when the change is applied: see [`crate::Store::untagged`].
    DeleteUntagged {
        /// The repository.
        repository: RepositoryName,
        /// The planned manifests.
        planned: BTreeSet<Digest>,
        /// Manifests that were pushed or lost their last tag after this time stay.
        before: SystemTime,
        /// These stay, too, with everything that they keep.
        keep: BTreeSet<Digest>,
    },
    /// Removes those of the planned tags that no rule keeps when the change is applied: see [`crate::Store::expired_tags`].
    ExpireTags {
        /// The repository.
        repository: RepositoryName,
        /// The planned tags.
        planned: BTreeSet<Tag>,
        /// Tags on these manifests stay.
        keep: BTreeSet<Digest>,
    },
    /// Makes a change even if rules or protections forbid it: immutable tags, quotas, protected names.
    Overriding(Box<Self>),
    /// Replaces the rules of the store.
    SetRules(Box<Rules>),
    /// Protects a name.
    Protect(Protection),
    /// Ends the protection of a name by a source.
    Unprotect {
        /// The repository.
        repository: RepositoryName,
        /// The tag or manifest; none for the whole repository.
        selector: Option<Selector>,
        /// Who protected it.
        source: String,
    },
    /// Replaces everything that a source protects.
    ReplaceProtected {
        /// The source.
        source: String,
        /// What it protects from now on.
        protections: Vec<Protection>,
    },
    /// Records that a manifest was pulled at a time, given in seconds since 1970.
    Pulled {
        /// The repository.
        repository: RepositoryName,
        /// The manifest.
        digest: Digest,
        /// The time.
        at: u64,
    },
    /// Records a run of maintenance.
    Upkeep(UpkeepRun),
    /// Makes a change in the name of an actor, whom the history of tags records.
    By {
        /// Who makes the change: a user, a command.
        actor: String,
        /// The change.
        change: Box<Self>,
    },
    /// Protects a blob from garbage collection until the lease is released, or for 30 days.
    Lease {
        /// The holder of the lease.
        holder: String,
        /// The blob.
        digest: Digest,
    },
    /// Releases all leases of a holder.
    ReleaseLeases {
        /// The holder of the leases.
        holder: String,
    },
    /// Stores a number for another crate and replaces an older note with the same name.
    Note {
        /// The name of the note.
        name: String,
        /// The number; none deletes the note.
        value: Option<u64>,
    },
    /// Records that clients asked for a manifest that the store does not have.
    Want(Wanted),
    /// Removes what was recorded about a manifest that the store does not have.
    ForgetWanted(WantedName),
    /// Records what was found about the health of blobs.
    Health(HealthChange),
}

impl Change {
    /// Changes that expect the blobs of a manifest, apart from layers that are stored elsewhere.
    pub fn expect_blobs(repository: &RepositoryName, manifest: &Manifest) -> Vec<Self> {
        let expect =
            |blob: &Descriptor| Self::Expect { repository: repository.clone(), digest: blob.digest.clone() };
        own_blobs(manifest).map(expect).collect()
    }

    /// The change itself, without its actor.
    pub(crate) fn bare(&self) -> &Self {
        match self {
            Self::By { change, .. } | Self::Overriding(change) => change.bare(),
            bare => bare,
        }
    }

    pub(crate) fn actor(&self) -> Option<&str> {
        match self {
            Self::By { actor, .. } => Some(actor),
            Self::Overriding(change) => change.actor(),
            _ => None,
        }
    }

    /// Whether it is made even if rules forbid it.
    pub(crate) fn is_overriding(&self) -> bool {
        match self {
            Self::Overriding(_) => true,
            Self::By { change, .. } => change.is_overriding(),
            _ => false,
        }
    }

    /// The change in the name of an actor, if it moves tags and has no actor yet.
    pub(crate) fn by(self, actor: &str) -> Self {
        match self {
            Self::SetTag { .. }
            | Self::Hold { .. }
            | Self::Promote { .. }
            | Self::DeleteTag { .. }
            | Self::DeleteManifest { .. }
            | Self::DeleteRepository { .. }
            | Self::ExpireTags { .. }
            | Self::DeleteUntagged { .. } => Self::By { actor: actor.to_owned(), change: Box::new(self) },
            Self::Overriding(change) => Self::Overriding(Box::new(change.by(actor))),
            other => other,
        }
    }
}

/// The blobs of a manifest except for foreign layers, which are stored elsewhere.
pub(crate) fn own_blobs(manifest: &Manifest) -> impl Iterator<Item = &Descriptor> {
    manifest.blobs().filter(|blob| !blob.media_type.is_foreign() || blob.urls.is_empty())
}
