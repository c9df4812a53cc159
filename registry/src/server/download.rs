//! Sends content on connections that the kernel cannot send files on (TLS, HTTP/2): reads into buffers, one ahead of the
//! socket.

use std::io;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use tokio::sync::mpsc;

use super::buffers::Buffer;
use super::content::{Content, FilePart, Part};
use super::guard::fair::{FairQueue, QueueTicket};
use super::guard::pace::{Credit, Pace};
use super::guard::party::Party;

/// The size of a read. One read is in progress, one waits, and one or two are in the socket's queue.
const READ: u64 = 256 * 1024;

/// The size of a read if there are many transfers, which limits their total memory.
const READ_IN_CROWD: u64 = 64 * 1024;

/// The number of transfers above which reads are smaller.
const CROWD: usize = 64;

/// The permit for a transfer, released when dropped.
pub(super) struct TransferPermit {
    _ticket: QueueTicket<Party>,
    transfers: FairQueue<Party>,
}

impl TransferPermit {
    pub(super) fn new(ticket: QueueTicket<Party>, transfers: FairQueue<Party>) -> Self {
        Self { _ticket: ticket, transfers }
    }

    /// The size of a buffer for the transfer.
    pub(super) fn buffer_size(&self) -> u64 {
        if self.transfers.in_use().0 > CROWD { READ_IN_CROWD } else { READ }
    }
}

/// How long an error waits for the client.
const LAST_WORD: Duration = Duration::from_secs(5);

/// A body of content. It ends with an error if the client reads too slowly or a file is damaged.
pub(super) fn body(content: Content, pace: Pace, permit: TransferPermit) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let sent = send(content, Credit::new(pace), &sender, &permit).await;
        let Err(error) = sent else { return };
        drop(permit);
        tracing::warn!(%error, "a download was interrupted");
        let _ = tokio::time::timeout(LAST_WORD, sender.send(Err(error))).await;
    });
    Body::from_stream(stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|item| (item, receiver))
    }))
}

async fn send(
    mut content: Content,
    mut credit: Credit,
    sender: &mpsc::Sender<io::Result<Bytes>>,
    permit: &TransferPermit,
) -> io::Result<()> {
    while let Some(part) = content.next(permit.buffer_size()) {
        let bytes;
        (content, bytes) = match part {
            Part::Text(bytes) => (content, bytes),
            Part::File(piece) => read(content, piece).await?,
        };
        if !forward(sender, bytes, &mut credit).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Reads a piece: at once if it is in the page cache and not hashed, otherwise on the blocking pool.
async fn read(mut content: Content, piece: FilePart) -> io::Result<(Content, Bytes)> {
    let mut buffer = Buffer::take(usize::try_from(piece.len).map_err(io::Error::other)?);
    if !content.is_hashing() && piece.read_cached(buffer.bytes_mut()) {
        content.is_sent_from_cache(&piece);
        return Ok((content, buffer.into_bytes()));
    }
    let read = tokio::task::spawn_blocking(move || {
        content.read(&piece, buffer.bytes_mut())?;
        Ok((content, buffer.into_bytes()))
    });
    read.await.map_err(io::Error::other).flatten()
}

/// Sends bytes; `false` if the client is gone, which is not an error of the server.
async fn forward(
    sender: &mpsc::Sender<io::Result<Bytes>>,
    bytes: Bytes,
    credit: &mut Credit,
) -> io::Result<bool> {
    let (begun, len) = (Instant::now(), bytes.len() as u64);
    match tokio::time::timeout(credit.left(), sender.send(Ok(bytes))).await {
        Ok(Err(_)) => Ok(false),
        Ok(Ok(())) if credit.spend(begun.elapsed(), len) => Ok(true),
        Ok(Ok(())) | Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly")),
    }
}
