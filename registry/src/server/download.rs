//! Blob bytes to the client: large reads on the blocking pool, one ahead of the socket.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use rustix::buffer::spare_capacity;
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

/// A body of segments, in order. It ends in an error when the client takes them too slowly.
pub(super) fn body(file: File, segments: Vec<Segment>, pace: Pace, turn: Turn) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let sent = send(Arc::new(file), segments, Credit::new(pace), &sender, &turn).await;
        if let Err(error) = sent {
            tracing::warn!(%error, "a download broke off");
            drop(turn);
            let _ = tokio::time::timeout(LAST_WORD, sender.send(Err(error))).await;
        }
    });
    Body::from_stream(stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|item| (item, receiver))
    }))
}

async fn send(
    file: Arc<File>,
    segments: Vec<Segment>,
    mut credit: Credit,
    sender: &mpsc::Sender<io::Result<Bytes>>,
    turn: &Turn,
) -> io::Result<()> {
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
                    let file = Arc::clone(&file);
                    let bytes = tokio::task::spawn_blocking(move || read(&file, at, want)).await??;
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
) -> io::Result<bool> {
    let (begun, len) = (Instant::now(), bytes.len() as u64);
    match tokio::time::timeout(credit.left(), sender.send(Ok(bytes))).await {
        Ok(Err(_)) => Ok(false),
        Ok(Ok(())) if credit.spend(begun.elapsed(), len) => Ok(true),
        Ok(Ok(())) | Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes too few bytes")),
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
