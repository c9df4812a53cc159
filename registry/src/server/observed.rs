//! A body that is observed while it is read.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// What reading a body showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Nothing yet.
    Pending,
    /// This number of bytes.
    Bytes(u64),
    Failed,
    End,
}

/// Observes a body. It is dropped with the body.
pub(super) trait Observe: Unpin {
    fn observe(&mut self, read: Read);
}

/// A body with its observer.
pub(super) struct Observed<B, O> {
    pub(super) body: B,
    pub(super) observer: O,
}

impl<B: Body<Data = Bytes> + Unpin, O: Observe> Body for Observed<B, O> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.observer.observe(match &polled {
            Poll::Pending => Read::Pending,
            Poll::Ready(None) => Read::End,
            Poll::Ready(Some(Err(_))) => Read::Failed,
            Poll::Ready(Some(Ok(frame))) => {
                Read::Bytes(frame.data_ref().map_or(0, |bytes| bytes.len() as u64))
            }
        });
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
