//! Memory for bodies that are held whole: one budget in bytes for a listener, of which each client has a share.
//!
//! What is held grows with what arrives, not with what is announced. When the budget is used up, the body whose client
//! has sent nothing for longest gives its place.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::Notify;

use super::address::Network;
use super::pace::{Credit, Pace};

/// Each client's share is this part of the budget.
const SHARE: usize = 2;
/// A body that got nothing for so long gives its place to one that comes.
const IDLE: Duration = Duration::from_millis(500);
/// How long a body waits for memory.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is held grows in steps of this, and a client that sends less is idle.
const STEP: usize = 4096;
/// What a body may bring before it counts as large.
const SMALL: usize = 256 * 1024;
/// The rate, in bytes per second, at which the large bodies of one client are read together. It keeps the client from
/// taking the processor with what it never completes.
const LARGE_RATE: u64 = 64 << 20;
/// A wait that is not worth a timer.
const BLINK: Duration = Duration::from_millis(4);
/// An answer goes out in pieces of this.
const PIECE: usize = 64 * 1024;

/// A budget.
#[derive(Clone)]
pub struct Memory(Arc<Budget>);

struct Budget {
    most: usize,
    inner: Mutex<Inner>,
    /// Something was given back.
    freed: Notify,
}

#[derive(Default)]
struct Inner {
    next: u64,
    holds: BTreeMap<u64, Hold>,
    /// When each client's large bodies may go on.
    large: BTreeMap<Network, Instant>,
}

struct Hold {
    network: Network,
    bytes: usize,
    /// When it grew last; nothing once it is whole, and is worked with.
    grew: Option<Instant>,
    given_up: Arc<Notify>,
    is_given_up: bool,
}

/// Some of a budget's bytes, given back when it is dropped.
pub struct Held {
    budget: Arc<Budget>,
    number: u64,
    given_up: Arc<Notify>,
}

/// Why a body could not be had whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is longer than it may be.
    TooLong,
    /// It broke off, or came too slowly.
    Lost {
        /// What came of it.
        received: u64,
    },
    /// There is no memory for it now.
    NoMemory,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} of {} bytes)", self.used(), self.0.most)
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

impl Memory {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Budget { most, inner: Mutex::default(), freed: Notify::new() }))
    }

    /// What is held now, in bytes.
    #[must_use]
    pub fn used(&self) -> usize {
        let inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.holds.values().map(|hold| hold.bytes).sum()
    }

    /// Nothing yet, for a client.
    #[must_use]
    pub fn hold(&self, network: Network) -> Held {
        let mut inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let number = inner.next;
        inner.next += 1;
        let given_up = Arc::new(Notify::new());
        let hold = Hold {
            network,
            bytes: 0,
            grew: Some(Instant::now()),
            given_up: Arc::clone(&given_up),
            is_given_up: false,
        };
        inner.holds.insert(number, hold);
        Held { budget: Arc::clone(&self.0), number, given_up }
    }
}

impl Budget {
    /// Whether `more` fits now. Where it does not, the idlest body that stands in the way is told to go.
    fn grow(&self, number: u64, more: usize) -> bool {
        let now = Instant::now();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(network) = inner.holds.get(&number).map(|hold| hold.network) else { return false };
        let of = |inner: &Inner, mine: bool| -> usize {
            let holds = inner.holds.values().filter(|hold| !mine || hold.network == network);
            holds.map(|hold| hold.bytes).sum()
        };
        let share_is_full = of(&inner, true) + more > self.most / SHARE;
        if !share_is_full && of(&inner, false) + more <= self.most {
            if let Some(hold) = inner.holds.get_mut(&number) {
                hold.bytes += more;
                hold.grew = Some(now);
            }
            return true;
        }
        let idle =
            |hold: &Hold| hold.grew.map(|grew| now - grew).filter(|idle| *idle >= IDLE && hold.bytes > 0);
        let others = inner.holds.iter_mut().filter(|(other, hold)| {
            **other != number && !hold.is_given_up && (!share_is_full || hold.network == network)
        });
        let idlest = others.filter_map(|(_, hold)| Some((idle(hold)?, hold))).max_by_key(|(idle, _)| *idle);
        if let Some((_, hold)) = idlest {
            hold.is_given_up = true;
            hold.given_up.notify_one();
        }
        false
    }
}

impl Inner {
    /// Counts bytes of a large body, and says when its client may send more.
    fn spend(&mut self, number: u64, bytes: usize, now: Instant) -> Option<Instant> {
        let network = self.holds.get(&number)?.network;
        let free = self.large.entry(network).or_insert(now);
        *free = (*free).max(now) + Duration::from_nanos(bytes as u64 * 1_000_000_000 / LARGE_RATE);
        Some(*free)
    }

    fn release(&mut self, number: u64) {
        let Some(gone) = self.holds.remove(&number) else { return };
        if !self.holds.values().any(|hold| hold.network == gone.network) {
            self.large.remove(&gone.network);
        }
    }
}

impl Held {
    /// Waits until a client may send more of its large bodies.
    async fn pace(&self, bytes: usize) {
        let now = Instant::now();
        let free = {
            let mut inner = self.budget.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.spend(self.number, bytes, now)
        };
        if let Some(free) = free.filter(|free| *free > now + BLINK) {
            tokio::time::sleep_until(free.into()).await;
        }
    }

    /// Holds so many bytes more, when there is room for them.
    ///
    /// # Errors
    /// [`Unread::TooLong`] when they can never fit, [`Unread::NoMemory`] when they do not fit within some seconds.
    pub async fn grow(&mut self, more: usize) -> Result<(), Unread> {
        let most = self.budget.most / SHARE;
        if more > most {
            return Err(Unread::TooLong);
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let freed = self.budget.freed.notified();
            if self.budget.grow(self.number, more) {
                return Ok(());
            }
            // A body becomes idle without anybody being told.
            let look_again = tokio::time::Instant::now() + IDLE / 2;
            if look_again > deadline {
                return Err(Unread::NoMemory);
            }
            let _ = tokio::time::timeout_at(look_again, freed).await;
        }
    }

    /// From now on it is worked with, and not taken away.
    fn is_whole(&self) {
        let mut inner = self.budget.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hold) = inner.holds.get_mut(&self.number) {
            hold.grew = None;
        }
    }

    fn touch(&self) {
        let mut inner = self.budget.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hold) = inner.holds.get_mut(&self.number) {
            hold.grew = Some(Instant::now());
        }
    }

    /// Reads a whole body of at most `most` bytes at the client's pace, and for no longer than `within`.
    ///
    /// # Errors
    /// [`Unread`].
    pub async fn collect(
        &mut self,
        body: Body,
        most: usize,
        pace: Pace,
        within: Duration,
    ) -> Result<Bytes, Unread> {
        let deadline = tokio::time::Instant::now() + within;
        let given_up = Arc::clone(&self.given_up);
        let mut received = 0;
        let read = self.read(body, most, Credit::new(pace), &mut received);
        let whole = tokio::select! {
            whole = tokio::time::timeout_at(deadline, read) => whole,
            () = given_up.notified() => return Err(Unread::NoMemory),
        };
        let bytes = whole.unwrap_or(Err(Unread::Lost { received }))?;
        self.is_whole();
        Ok(bytes)
    }

    async fn read(
        &mut self,
        body: Body,
        most: usize,
        mut credit: Credit,
        received: &mut u64,
    ) -> Result<Bytes, Unread> {
        let mut frames = body.into_data_stream();
        let mut whole: Vec<u8> = Vec::new();
        let mut touched = 0;
        loop {
            let begun = Instant::now();
            let lost = Unread::Lost { received: whole.len() as u64 };
            let frame = match tokio::time::timeout(credit.left(), frames.next()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => return Ok(Bytes::from(whole)),
                Ok(Some(Err(_))) | Err(_) => return Err(lost),
            };
            if !credit.spend(begun.elapsed(), frame.len() as u64) {
                return Err(lost);
            }
            let needed = whole.len() + frame.len();
            if needed > most {
                return Err(Unread::TooLong);
            }
            if needed > whole.capacity() {
                let capacity = needed.max(whole.capacity() * 2).next_multiple_of(STEP).min(most);
                self.grow(capacity - whole.capacity()).await?;
                whole.reserve_exact(capacity - whole.len());
                touched = needed;
            } else if needed - touched >= STEP {
                self.touch();
                touched = needed;
            }
            whole.extend_from_slice(&frame);
            *received = whole.len() as u64;
            if needed > SMALL {
                self.pace(frame.len()).await;
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.inner.lock().unwrap_or_else(PoisonError::into_inner).release(self.number);
        self.budget.freed.notify_waiters();
    }
}

/// A body of bytes that are held in memory. It hands out copies of pieces, so that the bytes are given back once the
/// client has taken all but the last.
pub(in crate::server) fn body(bytes: Bytes, held: Held) -> Body {
    let pieces = futures::stream::unfold((bytes, held), |(mut rest, held)| async move {
        if rest.is_empty() {
            return None;
        }
        let piece = Bytes::copy_from_slice(&rest.split_to(rest.len().min(PIECE)));
        Some((Ok::<_, std::convert::Infallible>(piece), (rest, held)))
    });
    Body::from_stream(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { patience: Duration::from_mins(1), bytes_per_second: 1 };
    const MIB: usize = 1024 * 1024;

    fn network(last: u8) -> Network {
        Network::of([192, 0, 2, last].into())
    }

    /// A body that stops one byte before its end.
    fn stalled(len: usize) -> Body {
        let whole = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; len]))]);
        Body::from_stream(whole.chain(futures::stream::pending()))
    }

    #[test]
    fn a7_large_bodies_of_one_client_share_a_rate_and_those_of_others_do_not_wait() {
        let memory = Memory::new(32 * MIB);
        let (one, same, other) =
            (memory.hold(network(1)), memory.hold(network(1)), memory.hold(network(200)));
        let now = Instant::now();
        let mut inner = memory.0.inner.lock().unwrap();
        let mut wait = |held: &Held, bytes| inner.spend(held.number, bytes, now).unwrap() - now;
        assert_eq!(wait(&one, 32 * MIB), Duration::from_millis(500));
        assert_eq!(wait(&same, 32 * MIB), Duration::from_secs(1));
        assert_eq!(wait(&other, MIB / 64), Duration::from_nanos(244_140));
        drop(inner);
        drop((one, same));
        assert_eq!(memory.0.inner.lock().unwrap().large.len(), 1);
    }

    #[tokio::test]
    async fn a7_bodies_that_are_held_back_never_take_more_than_the_budget() {
        let memory = Memory::new(32 * MIB);
        let tasks: Vec<_> = (0..60)
            .map(|at| {
                let memory = memory.clone();
                tokio::spawn(async move {
                    let mut held = memory.hold(network(at / 4));
                    held.collect(stalled(8 * MIB - 1), 8 * MIB, PACE, Duration::from_secs(20)).await.err()
                })
            })
            .collect();
        for _ in 0..20 {
            assert!(memory.used() <= 32 * MIB);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let begun = Instant::now();
        let mut held = memory.hold(network(200));
        let good = held.collect(Body::from(vec![1; 3 * MIB]), 8 * MIB, PACE, Duration::from_secs(20)).await;
        assert_eq!(good.map(|bytes| bytes.len()), Ok(3 * MIB), "after {:?}", begun.elapsed());
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
        drop(held);
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn a_body_ends_in_time_whatever_it_is() {
        let memory = Memory::new(32 * MIB);
        let mut held = memory.hold(network(1));
        let late = held.collect(stalled(10), MIB, PACE, Duration::from_millis(50)).await;
        assert_eq!(late, Err(Unread::Lost { received: 10 }));
        let long =
            memory.hold(network(1)).collect(Body::from(vec![0; 11]), 10, PACE, Duration::from_secs(5)).await;
        assert_eq!(long, Err(Unread::TooLong));
        let pace = Pace { patience: Duration::from_millis(50), ..PACE };
        let slow = memory.hold(network(1)).collect(stalled(10), MIB, pace, Duration::from_mins(1)).await;
        assert_eq!(slow, Err(Unread::Lost { received: 10 }));
    }

    #[tokio::test]
    async fn an_answer_s_bytes_are_given_back_with_its_last_piece() {
        let memory = Memory::new(32 * MIB);
        let mut held = memory.hold(network(1));
        held.grow(MIB).await.unwrap();
        let mut frames = body(Bytes::from(vec![7; MIB]), held).into_data_stream();
        let mut len = 0;
        while let Some(frame) = frames.next().await {
            assert_eq!(memory.used(), MIB);
            len += frame.unwrap().len();
        }
        drop(frames);
        assert_eq!((len, memory.used()), (MIB, 0));
    }
}
