//! A body of text and parts of files, for a connection that sends files.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use super::queue::{PIECE, Queue};
use crate::server::content::{Content, FilePart, Part};

/// The size of reads that only hash, or only fill the page cache.
const SCRATCH: usize = 64 * 1024;

/// A body on the connection with this queue; `held` is dropped with it.
pub(in crate::server) fn body(queue: Queue, content: Content, held: impl Send + 'static) -> Body {
    let left = content.left();
    let state = State::Ready(Box::new(content));
    Body::new(FileBody { queue, state, left, is_begun: false, _held: Box::new(held) })
}

struct FileBody {
    queue: Queue,
    state: State,
    left: u64,
    is_begun: bool,
    _held: Box<dyn Send>,
}

enum State {
    Ready(Box<Content>),
    /// A piece is read on the blocking pool, because it is hashed, or is not in the page cache.
    Reading(JoinHandle<io::Result<(Box<Content>, FilePart)>>),
    Ended,
}

impl FileBody {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Poll::Ready(Ok(None)),
                State::Reading(mut reading) => {
                    let Poll::Ready(read) = Pin::new(&mut reading).poll(context) else {
                        self.state = State::Reading(reading);
                        return Poll::Pending;
                    };
                    let (content, piece) = read.map_err(io::Error::other).flatten()?;
                    self.state = State::Ready(content);
                    return Poll::Ready(self.queue.push(piece).map(Some));
                }
                State::Ready(mut content) => match content.next(PIECE as u64) {
                    None => {}
                    Some(Part::Text(bytes)) => {
                        self.state = State::Ready(content);
                        return Poll::Ready(Ok(Some(bytes)));
                    }
                    Some(Part::File(piece)) if !content.is_hashing() && piece.is_cached() => {
                        content.is_sent_from_cache(&piece);
                        self.state = State::Ready(content);
                        return Poll::Ready(self.queue.push(piece).map(Some));
                    }
                    Some(Part::File(piece)) => {
                        let reading = tokio::task::spawn_blocking(move || {
                            content.read(&piece, &mut vec![0; SCRATCH])?;
                            Ok((content, piece))
                        });
                        self.state = State::Reading(reading);
                    }
                },
            }
        }
    }
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = ready!(self.poll_piece(context));
        if let Ok(Some(bytes)) = &piece {
            self.is_begun = true;
            self.left = self.left.saturating_sub(bytes.len() as u64);
        }
        if let Err(error) = &piece {
            tracing::warn!(%error, "a download was interrupted");
        }
        Poll::Ready(piece.transpose().map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl Drop for FileBody {
    /// The stand-ins of a body that is dropped early may be dropped with it, so nothing more may be sent.
    fn drop(&mut self) {
        if self.is_begun && self.left > 0 {
            self.queue.break_off();
        }
    }
}
