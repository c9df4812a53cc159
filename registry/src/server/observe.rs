//! Who is told of changes before the client is, and of those that were refused.

use std::error::Error;
use std::net::SocketAddr;
use std::time::SystemTime;

use oci::{Digest, Manifest, RepositoryName, Tag};

/// What a request did to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A manifest came in, with the tags set on it.
    PushManifest,
    /// A blob came in, or was mounted from another repository.
    PushBlob,
    /// A manifest went, with all tags on it.
    DeleteManifest,
    /// A tag went; its manifest stays.
    DeleteTag,
    /// A blob was taken out of the repository.
    DeleteBlob,
    /// Credentials were shown that are not right.
    LogIn,
}

/// Who asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visitor {
    /// The user, if the server asked for a password. For a [`Operation::LogIn`] only what was claimed.
    pub user: Option<String>,
    /// From where, if there is a socket.
    pub address: Option<SocketAddr>,
}

/// A change that is committed and not yet answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// What was done.
    pub deed: Operation,
    /// Where.
    pub repository: RepositoryName,
    /// To what.
    pub digest: Digest,
    /// The tags that were set, or the one that went.
    pub tags: Vec<Tag>,
    /// What came in, where a manifest did.
    pub manifest: Option<Manifest>,
    /// By whom.
    pub visitor: Visitor,
}

/// A change that was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What was wanted.
    pub deed: Operation,
    /// The repository, with the tag or digest if it is known; the path where a log-in failed.
    pub name: String,
    /// By whom.
    pub visitor: Visitor,
    /// The answer's HTTP status.
    pub status: u16,
    /// Why, as the client is told.
    pub message: String,
    /// Where many are told at once: how many.
    pub repeats: Option<Repeats>,
}

/// Refusals that were counted instead of being told one by one. What is told of them is that of the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// How many.
    pub count: u64,
    /// When the first one was.
    pub first: SystemTime,
    /// When the last one was.
    pub last: SystemTime,
}

/// Is told of what clients do to the store, on the blocking pool.
pub trait Observer: Send + Sync {
    /// Takes note of a change, after its commit. The client gets its success only after this returned, and an error
    /// instead of it when this fails; the change itself stays.
    ///
    /// # Errors
    /// When no note could be taken.
    fn changed(&self, change: &Changed) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// Takes note of a change that was refused or failed, before the client is told.
    ///
    /// # Errors
    /// When no note could be taken. The client gets its refusal all the same.
    fn refused(&self, attempt: &Refused) -> Result<(), Box<dyn Error + Send + Sync>>;
}
