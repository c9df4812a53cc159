//! Blob bytes to the client: large reads on the blocking pool, one ahead of the socket.
//!
//! A body that is a whole blob is hashed on its way. The last bytes are held back until the hash is right, so that no
//! download of wrong bytes ends well; the file is then moved to the quarantine.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use oci::{Digest, Hasher};
use rustix::buffer::spare_capacity;
use store::Store;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::guard::pace::{Credit, Pace};
use super::guard::shares::Share;
use super::range::Span;

/// One read. One is being read, one waits, and one or two are in the socket's queue.
const READ: u64 = 256 * 1024;

/// One read while many transfers are under way, so that all of them together stay small.
const READ_IN_CROWD: u64 = 64 * 1024;

/// More transfers than this are a crowd.
const CROWD: usize = 64;

/// The right to move a blob, given back when dropped.
pub(super) struct Turn {
    permit: OwnedSemaphorePermit,
    _share: Share,
    most: usize,
}

impl Turn {
    /// One of `most` that there are.
    pub(super) fn new(permit: OwnedSemaphorePermit, share: Share, most: usize) -> Self {
        Self { permit, _share: share, most }
    }

    fn read_size(&self) -> u64 {
        let under_way = self.most.saturating_sub(self.permit.semaphore().available_permits());
        if under_way > CROWD { READ_IN_CROWD } else { READ }
    }
}

/// A stretch of an answer's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Text(Bytes),
    File(Span),
}

impl Segment {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Text(bytes) => bytes.len() as u64,
            Self::File(span) => span.len,
        }
    }
}

/// How long an error waits to be taken.
const LAST_WORD: Duration = Duration::from_secs(5);

/// The blob that a body is of.
pub(super) struct Source {
    pub(super) file: File,
    pub(super) digest: Digest,
    pub(super) store: Store,
}

/// Why a body ends early.
enum Broken {
    /// The client takes too few bytes.
    Client(io::Error),
    /// The file cannot be read, or is not what its name says.
    File(io::Error),
}

/// A body of segments, in order; with `whole`, they are the blob and nothing else. It ends in an error when the client
/// takes them too slowly, and when the file is damaged.
pub(super) fn body(source: Source, segments: Vec<Segment>, whole: bool, pace: Pace, turn: Turn) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let Source { file, digest, store } = source;
        let hasher = whole.then(|| Hasher::new(digest.algorithm()));
        let open = Open { file, hasher, digest: digest.clone() };
        let sent = send(open, segments, Credit::new(pace), &sender, &turn).await;
        let Err(broken) = sent else { return };
        drop(turn);
        let error = match broken {
            Broken::Client(error) => error,
            Broken::File(error) => {
                // Before the client learns it, so that it finds no such blob when it asks again.
                let name = digest.clone();
                let inspected = tokio::task::spawn_blocking(move || store.verify_blob(&name)).await;
                let sound = inspected.map_err(io::Error::other).and_then(|it| it.map_err(io::Error::other));
                tracing::error!(%digest, %error, ?sound, "a blob could not be read as what it is");
                error
            }
        };
        tracing::warn!(%error, "a download broke off");
        let _ = tokio::time::timeout(LAST_WORD, sender.send(Err(error))).await;
    });
    Body::from_stream(stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|item| (item, receiver))
    }))
}

async fn send(
    mut open: Open,
    segments: Vec<Segment>,
    mut credit: Credit,
    sender: &mpsc::Sender<io::Result<Bytes>>,
    turn: &Turn,
) -> Result<(), Broken> {
    for segment in segments {
        match segment {
            Segment::Text(bytes) => {
                if !give(sender, bytes, &mut credit).await? {
                    return Ok(());
                }
            }
            Segment::File(span) => {
                let end = span.start + span.len;
                let mut at = span.start;
                while at < end {
                    let want = usize::try_from((end - at).min(turn.read_size())).unwrap_or(usize::MAX);
                    let last = at + want as u64 == end;
                    let read = tokio::task::spawn_blocking(move || open.read(at, want, last)).await;
                    let bytes;
                    (open, bytes) = read.map_err(io::Error::other).flatten().map_err(Broken::File)?;
                    at += bytes.len() as u64;
                    if !give(sender, bytes, &mut credit).await? {
                        return Ok(());
                    }
                }
            }
        }
    }
    Ok(())
}

/// Hands bytes on; `false` when the client is gone, which is no error of ours.
async fn give(
    sender: &mpsc::Sender<io::Result<Bytes>>,
    bytes: Bytes,
    credit: &mut Credit,
) -> Result<bool, Broken> {
    let (begun, len) = (Instant::now(), bytes.len() as u64);
    match tokio::time::timeout(credit.left(), sender.send(Ok(bytes))).await {
        Ok(Err(_)) => Ok(false),
        Ok(Ok(())) if credit.spend(begun.elapsed(), len) => Ok(true),
        Ok(Ok(())) | Err(_) => {
            let slow = io::Error::new(io::ErrorKind::TimedOut, "the client takes too few bytes");
            Err(Broken::Client(slow))
        }
    }
}

/// A blob that is being read.
struct Open {
    file: File,
    /// Of what was read so far, where it is read as a whole.
    hasher: Option<Hasher>,
    digest: Digest,
}

impl Open {
    /// The next bytes; the last ones only when all of them are what the digest says.
    fn read(mut self, at: u64, want: usize, last: bool) -> io::Result<(Self, Bytes)> {
        let bytes = read(&self.file, at, want)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes);
        }
        if last
            && let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.digest
        {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the content is not what its digest says",
            ));
        }
        Ok((self, bytes))
    }
}

/// Reads exactly `want` bytes: a blob does not change, so less is a damaged file.
fn read(file: &File, at: u64, want: usize) -> io::Result<Bytes> {
    let mut buffer = Vec::with_capacity(want);
    while buffer.len() < want {
        let next = at + buffer.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut buffer), next) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // The allocation may be larger than asked for.
    buffer.truncate(want);
    Ok(Bytes::from(buffer))
}
