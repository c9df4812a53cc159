//! The parts of files that the stand-ins on one connection stand for.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::server::content::FilePart;

/// The maximum size of a piece. It is small enough for the slowest client: a connection may end soon after its last piece
/// was given to hyper.
pub(super) const PIECE: usize = 256 * 1024;
/// The distance between the addresses of consecutive stand-ins, and the number of these addresses.
const STEP: usize = 64;
const STEPS: usize = 1024;

static STAND_IN: [u8; PIECE + STEP * STEPS] = [0; PIECE + STEP * STEPS];

/// The queue of one connection.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Queue(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Waiting>,
    next: usize,
    is_broken: bool,
}

/// A part of a file that is not completely sent yet, and the rest of its stand-in.
#[derive(Debug)]
struct Waiting {
    part: FilePart,
    stand_in: &'static [u8],
}

/// Whether the bytes are a stand-in.
pub(super) fn is_stand_in(bytes: &[u8]) -> bool {
    !bytes.is_empty() && STAND_IN.as_ptr_range().contains(&bytes.as_ptr())
}

impl Queue {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a part of at most [`PIECE`] bytes, and returns its stand-in.
    pub(super) fn push(&self, part: FilePart) -> io::Result<Bytes> {
        let mut inner = self.inner();
        let start = inner.next * STEP;
        inner.next = (inner.next + 1) % STEPS;
        let end = usize::try_from(part.len).ok().and_then(|len| start.checked_add(len));
        let stand_in = end.and_then(|end| STAND_IN.get(start..end));
        let stand_in = stand_in.ok_or_else(|| io::Error::other("a piece of a file is too long"))?;
        inner.waiting.push_back(Waiting { part, stand_in });
        Ok(Bytes::from_static(stand_in))
    }

    /// What the bytes stand for.
    ///
    /// # Errors
    /// When they are not the next stand-in: then the connection cannot go on.
    pub(super) fn next(&self, bytes: &[u8]) -> io::Result<FilePart> {
        let mut inner = self.inner();
        let next = inner.waiting.front().filter(|_| !inner.is_broken);
        let next = next.filter(|next| next.stand_in.as_ptr_range() == bytes.as_ptr_range());
        if let Some(next) = next {
            return Ok(next.part.clone());
        }
        inner.is_broken = true;
        Err(io::Error::other("a piece of a file is missing"))
    }

    /// Records that these bytes of the next part were sent.
    pub(super) fn sent(&self, count: usize) {
        let mut inner = self.inner();
        let Some(next) = inner.waiting.front_mut() else { return };
        next.part.at += count as u64;
        next.part.len = next.part.len.saturating_sub(count as u64);
        next.stand_in = next.stand_in.get(count..).unwrap_or_default();
        if next.stand_in.is_empty() {
            inner.waiting.pop_front();
        }
    }

    /// Ends the connection at its next write, because a body ended early.
    pub(super) fn break_off(&self) {
        self.inner().is_broken = true;
    }

    pub(super) fn is_broken(&self) -> bool {
        self.inner().is_broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(at: u64, len: u64) -> FilePart {
        FilePart { file: Arc::new(std::fs::File::open("/dev/null").unwrap()), at, len }
    }

    #[test]
    fn a_stand_in_is_recognized_by_its_address_and_stands_for_its_part() {
        let queue = Queue::default();
        let first = queue.push(part(10, 100)).unwrap();
        let second = queue.push(part(500, PIECE as u64)).unwrap();
        assert!(is_stand_in(&first) && is_stand_in(&second) && is_stand_in(&second[PIECE - 1..]));
        assert!(!is_stand_in(&[0; 100]) && !is_stand_in(b"") && !is_stand_in(&STAND_IN[..0]));
        assert_eq!(queue.next(&first).map(|part| (part.at, part.len)).unwrap(), (10, 100));
        queue.sent(40);
        assert_eq!(queue.next(&first[40..]).map(|part| (part.at, part.len)).unwrap(), (50, 60));
        queue.sent(60);
        assert_eq!(queue.next(&second).map(|part| (part.at, part.len)).unwrap(), (500, PIECE as u64));
    }

    #[test]
    fn a_lost_repeated_or_shortened_stand_in_breaks_the_queue() {
        let pushed = || {
            let queue = Queue::default();
            let pieces = [queue.push(part(0, 100)).unwrap(), queue.push(part(100, 100)).unwrap()];
            (queue, pieces)
        };
        let (queue, [first, second]) = pushed();
        assert!(queue.next(&second).is_err(), "the first one is lost");
        assert!(queue.next(&first).is_err(), "it stays broken");
        let (queue, [first, _]) = pushed();
        queue.next(&first).unwrap();
        queue.sent(100);
        assert!(queue.next(&first).is_err(), "repeated");
        let (queue, [first, _]) = pushed();
        assert!(queue.next(&first[..99]).is_err(), "shortened");
        let (queue, [first, _]) = pushed();
        queue.break_off();
        assert!(queue.next(&first).is_err(), "the body ended early");
        assert!(Queue::default().next(&first).is_err(), "of another connection");
    }

    #[test]
    fn no_part_is_longer_than_the_stand_in() {
        let queue = Queue::default();
        for _ in 0..STEPS * 2 {
            assert_eq!(queue.push(part(0, PIECE as u64)).unwrap().len(), PIECE);
        }
        assert!(queue.push(part(0, (PIECE + STEP * STEPS + 1) as u64)).is_err());
    }
}
