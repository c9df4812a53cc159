//! Bodies: bounded in bytes and in time, and reported as short when they are.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};

use super::error::{At, Error};
use super::exchange::Response;

/// What a body may be.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// For messages.
    pub(super) at: At,
    /// The most bytes.
    pub(super) most: u64,
    /// How many bytes it has, where that is known.
    pub(super) expected: Option<u64>,
    /// The time in which `least` bytes must come.
    pub(super) idle: Duration,
    /// The fewest bytes in that time, unless the body ends.
    pub(super) least: u64,
}

/// A body on its way.
struct Flow {
    body: BoxStream<'static, Result<Bytes, hyper::Error>>,
    bounds: Bounds,
    total: u64,
    /// How long was waited for the bytes since the last full portion, and how many those are. The time in which the
    /// taker is busy does not count.
    waited: Duration,
    came: u64,
}

/// The pieces of a body, until it ends or breaks its bounds.
pub(super) fn pieces(response: Response, bounds: Bounds) -> BoxStream<'static, Result<Bytes, Error>> {
    let announced = response.content_length();
    let body = response.pieces();
    if announced.is_some_and(|announced| announced > bounds.most) {
        let Bounds { at, most, .. } = bounds;
        return stream::once(async move { Err(Error::TooLong { at: Box::new(at), limit: most }) }).boxed();
    }
    let flow = Flow { body, bounds, total: 0, waited: Duration::ZERO, came: 0 };
    stream::unfold(Some(flow), |flow| async {
        let mut flow = flow?;
        match flow.next().await {
            None => None,
            Some(Ok(piece)) => Some((Ok(piece), Some(flow))),
            Some(Err(error)) => Some((Err(error), None)),
        }
    })
    .boxed()
}

/// A whole body in memory.
pub(super) async fn whole(response: Response, bounds: Bounds) -> Result<Bytes, Error> {
    let mut pieces = pieces(response, bounds);
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes.into())
}

impl Flow {
    async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        let at = || Box::new(self.bounds.at.clone());
        loop {
            let left = self.bounds.idle.saturating_sub(self.waited);
            let began = Instant::now();
            let item = tokio::time::timeout(left, self.body.next()).await;
            self.waited += began.elapsed();
            let Ok(item) = item else {
                if self.came < self.bounds.least {
                    let (least, seconds) = (self.bounds.least, self.bounds.idle.as_secs());
                    return Some(Err(Error::Stalled { at: at(), least, seconds }));
                }
                (self.waited, self.came) = (Duration::ZERO, 0);
                continue;
            };
            let piece = match item {
                None => return self.short().map(Err),
                Some(Err(source)) => {
                    return Some(Err(Error::Broken { at: at(), source }));
                }
                Some(Ok(piece)) => piece,
            };
            self.total += piece.len() as u64;
            self.came += piece.len() as u64;
            if self.total > self.bounds.most {
                return Some(Err(Error::TooLong { at: at(), limit: self.bounds.most }));
            }
            if self.came >= self.bounds.least {
                (self.waited, self.came) = (Duration::ZERO, 0);
            }
            return Some(Ok(piece));
        }
    }

    /// A body without a length that ends when the connection does may have been cut.
    fn short(&self) -> Option<Error> {
        let expected = self.bounds.expected.filter(|expected| self.total < *expected)?;
        Some(Error::Short { at: Box::new(self.bounds.at.clone()), expected, found: self.total })
    }
}
