//! The observer, which receives changes before the client gets a response, and refused changes.

use std::error::Error;
use std::net::SocketAddr;
use std::time::SystemTime;

use oci::{Digest, Manifest, RepositoryName, Tag};

/// The operation of a request on a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A manifest was pushed, with tags.
    PushManifest,
    /// A manifest was pushed with tags, and waits in the inbox for its signatures.
    HoldManifest,
    /// The tags for which a manifest waited in the inbox were set.
    PromoteManifest,
    /// A manifest that waited in the inbox expired. No client caused this.
    ExpireManifest,
    /// A blob was pushed, or mounted from another repository.
    PushBlob,
    /// A manifest was deleted, with all its tags.
    DeleteManifest,
    /// A tag was deleted; its manifest is kept.
    DeleteTag,
    /// A blob was removed from the repository.
    DeleteBlob,
    /// A repository was deleted, with everything in it.
    DeleteRepository,
    /// A request had wrong credentials.
    LogIn,
}

/// The client of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visitor {
    /// The user, if the server requires a password. For [`Operation::LogIn`], the name that was claimed.
    pub user: Option<String>,
    /// The address, if there is a socket.
    pub address: Option<SocketAddr>,
}

impl Visitor {
    /// The client, as the history of tags names it.
    pub(super) fn actor(&self) -> String {
        let user = self.user.as_deref().unwrap_or("anonymous");
        self.address.map_or_else(|| user.to_owned(), |address| format!("{user} from {}", address.ip()))
    }
}

/// A committed change, before the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The operation.
    pub operation: Operation,
    /// The repository.
    pub repository: RepositoryName,
    /// The digest of the manifest or blob; none for a repository.
    pub digest: Option<Digest>,
    /// The tags that were set, that the manifest waits or waited for, or the tag that was deleted.
    pub tags: Vec<Tag>,
    /// The manifest, if one was pushed.
    pub manifest: Option<Manifest>,
    /// The client.
    pub visitor: Visitor,
}

/// A refused change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The requested operation.
    pub operation: Operation,
    /// The repository, with the tag or digest if known; for a failed login, the path.
    pub name: String,
    /// The client.
    pub visitor: Visitor,
    /// The HTTP status of the response.
    pub status: u16,
    /// The reason, as in the response.
    pub message: String,
    /// The number of refusals, if several are reported together.
    pub repeats: Option<Repeats>,
}

/// Refusals that are counted instead of reported one by one. The report shows the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// The number of refusals.
    pub count: u64,
    /// The time of the first one.
    pub first: SystemTime,
    /// The time of the last one.
    pub last: SystemTime,
}

/// Receives the changes that clients make, on the blocking pool.
pub trait Observer: Send + Sync {
    /// Records a change, after its commit. The client gets a success response only after this returns. If this fails, the
    /// client gets an error, but the change stays.
    ///
    /// # Errors
    /// When the change could not be recorded.
    fn changed(&self, change: &Changed) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// Records a change that was refused or failed, before the response.
    ///
    /// # Errors
    /// When the refusal could not be recorded. The client still gets its refusal.
    fn refused(&self, attempt: &Refused) -> Result<(), Box<dyn Error + Send + Sync>>;
}
