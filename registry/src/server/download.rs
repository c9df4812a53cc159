//! Blob bytes to the client: large reads on the blocking pool, one ahead of the socket.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use rustix::buffer::spare_capacity;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::range::Span;

/// One read. With one being read, one waiting and one or two in the socket's queue a stream holds 1 MiB.
const READ: u64 = 256 * 1024;

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

/// A body of segments, in order. It ends in an error when the client takes nothing for `stall`.
pub(super) fn body(file: File, segments: Vec<Segment>, stall: Duration, turn: OwnedSemaphorePermit) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let _turn = turn;
        let sent = send(Arc::new(file), segments, stall, &sender).await;
        if let Err(error) = sent {
            tracing::warn!(%error, "a download broke off");
            let _ = tokio::time::timeout(stall, sender.send(Err(error))).await;
        }
    });
    Body::from_stream(stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|item| (item, receiver))
    }))
}

async fn send(
    file: Arc<File>,
    segments: Vec<Segment>,
    stall: Duration,
    sender: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    for segment in segments {
        match segment {
            Segment::Text(bytes) => {
                if !give(sender, bytes, stall).await? {
                    return Ok(());
                }
            }
            Segment::File(span) => {
                let end = span.start + span.len;
                let mut at = span.start;
                while at < end {
                    let want = usize::try_from((end - at).min(READ)).unwrap_or(usize::MAX);
                    let file = Arc::clone(&file);
                    let bytes = tokio::task::spawn_blocking(move || read(&file, at, want)).await??;
                    at += bytes.len() as u64;
                    if !give(sender, bytes, stall).await? {
                        return Ok(());
                    }
                }
            }
        }
    }
    Ok(())
}

/// Hands bytes on; `false` when the client is gone, which is no error of ours.
async fn give(sender: &mpsc::Sender<io::Result<Bytes>>, bytes: Bytes, stall: Duration) -> io::Result<bool> {
    match tokio::time::timeout(stall, sender.send(Ok(bytes))).await {
        Ok(sent) => Ok(sent.is_ok()),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no bytes")),
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
