//! Sends blob bytes to the client: large reads on the blocking pool, one ahead of the socket.
//!
//! A body with a whole blob is hashed while it is sent. The last bytes are sent only if the hash matches, so that no
//! download of wrong bytes succeeds; otherwise, the file is moved to the quarantine.

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

/// The size of a read. One read is in progress, one waits, and one or two are in the socket's queue.
const READ: u64 = 256 * 1024;

/// The size of a read if there are many transfers, which limits their total memory.
const READ_IN_CROWD: u64 = 64 * 1024;

/// The number of transfers above which reads are smaller.
const CROWD: usize = 64;

/// The permit for a transfer, released when dropped.
pub(super) struct TransferPermit {
    permit: OwnedSemaphorePermit,
    _share: Share,
    most: usize,
}

impl TransferPermit {
    /// One of `most` permits.
    pub(super) fn new(permit: OwnedSemaphorePermit, share: Share, most: usize) -> Self {
        Self { permit, _share: share, most }
    }

    fn read_size(&self) -> u64 {
        let under_way = self.most.saturating_sub(self.permit.semaphore().available_permits());
        if under_way > CROWD { READ_IN_CROWD } else { READ }
    }
}

/// A segment of a response body.
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

/// How long an error waits for the client.
const LAST_WORD: Duration = Duration::from_secs(5);

/// The blob of a body.
pub(super) struct Source {
    pub(super) file: File,
    pub(super) digest: Digest,
    pub(super) store: Store,
}

/// Why a body ends early.
enum Broken {
    /// The client reads too slowly.
    Client(io::Error),
    /// The file cannot be read, or does not match its digest.
    File(io::Error),
}

/// A body of segments, in order; with `whole`, they are exactly the blob. It ends with an error if the client reads too
/// slowly or the file is damaged.
pub(super) fn body(
    source: Source,
    segments: Vec<Segment>,
    whole: bool,
    pace: Pace,
    permit: TransferPermit,
) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let Source { file, digest, store } = source;
        let hasher = whole.then(|| Hasher::new(digest.algorithm()));
        let open = Open { file, hasher, digest: digest.clone() };
        let sent = send(open, segments, Credit::new(pace), &sender, &permit).await;
        let Err(broken) = sent else { return };
        drop(permit);
        let error = match broken {
            Broken::Client(error) => error,
            Broken::File(error) => {
                // Before the client gets the error, so that a retry does not find the damaged blob.
                let name = digest.clone();
                let inspected = tokio::task::spawn_blocking(move || store.verify_blob(&name)).await;
                let sound = inspected.map_err(io::Error::other).and_then(|it| it.map_err(io::Error::other));
                tracing::error!(%digest, %error, ?sound, "a blob cannot be read, or does not match its digest");
                error
            }
        };
        tracing::warn!(%error, "a download was interrupted");
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
    permit: &TransferPermit,
) -> Result<(), Broken> {
    for segment in segments {
        match segment {
            Segment::Text(bytes) => {
                if !forward(sender, bytes, &mut credit).await? {
                    return Ok(());
                }
            }
            Segment::File(span) => {
                let end = span.start + span.len;
                let mut at = span.start;
                while at < end {
                    let want = usize::try_from((end - at).min(permit.read_size())).unwrap_or(usize::MAX);
                    let last = at + want as u64 == end;
                    let read = tokio::task::spawn_blocking(move || open.read(at, want, last)).await;
                    let bytes;
                    (open, bytes) = read.map_err(io::Error::other).flatten().map_err(Broken::File)?;
                    at += bytes.len() as u64;
                    if !forward(sender, bytes, &mut credit).await? {
                        return Ok(());
                    }
                }
            }
        }
    }
    Ok(())
}

/// Sends bytes; `false` if the client is gone, which is not an error of the server.
async fn forward(
    sender: &mpsc::Sender<io::Result<Bytes>>,
    bytes: Bytes,
    credit: &mut Credit,
) -> Result<bool, Broken> {
    let (begun, len) = (Instant::now(), bytes.len() as u64);
    match tokio::time::timeout(credit.left(), sender.send(Ok(bytes))).await {
        Ok(Err(_)) => Ok(false),
        Ok(Ok(())) if credit.spend(begun.elapsed(), len) => Ok(true),
        Ok(Ok(())) | Err(_) => {
            let slow = io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly");
            Err(Broken::Client(slow))
        }
    }
}

/// A blob that is being read.
struct Open {
    file: File,
    /// The hash of the bytes so far, if the whole blob is read.
    hasher: Option<Hasher>,
    digest: Digest,
}

impl Open {
    /// The next bytes; the last ones only if the whole content matches the digest.
    fn read(mut self, at: u64, want: usize, last: bool) -> io::Result<(Self, Bytes)> {
        let bytes = read(&self.file, at, want)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes);
        }
        if last
            && let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.digest
        {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the content does not match its digest"));
        }
        Ok((self, bytes))
    }
}

/// Reads exactly `want` bytes: a blob never changes, so fewer bytes mean a damaged file.
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
    // The allocation may be larger than requested.
    buffer.truncate(want);
    Ok(Bytes::from(buffer))
}
