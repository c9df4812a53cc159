//! Memory for complete bodies: a listener has one budget in bytes, of which each client has a share.
//!
//! Memory use grows with the bytes that arrive, not with the announced length. If the budget is exhausted, the body whose
//! client has been idle for longest is dropped.

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

/// The share of a client is the budget divided by this number.
const SHARE: usize = 2;
/// A body that has been idle for this time is dropped if another one needs its memory.
const IDLE: Duration = Duration::from_millis(500);
/// How long a body waits for memory.
const PATIENCE: Duration = Duration::from_secs(5);
/// Memory grows in steps of this size; a client that sends less is idle.
const STEP: usize = 4096;
/// A body larger than this counts as large.
const SMALL: usize = 256 * 1024;
/// The rate, in bytes per second, at which the large bodies of one client are read together. It keeps a client that
/// never completes its bodies from using all of the processor, and one that does from using all of the disk.
const LARGE_RATE: u64 = 16 << 20;
/// A shorter wait is not worth a timer.
const SHORT_WAIT: Duration = Duration::from_millis(4);
/// A response is sent in pieces of this size.
const PIECE: usize = 64 * 1024;

/// A memory budget.
#[derive(Clone)]
pub struct Memory(Arc<Budget>);

struct Budget {
    most: usize,
    inner: Mutex<Inner>,
    /// Signals that memory was released.
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
    /// When it grew last; `None` once the body is complete and in use.
    grew: Option<Instant>,
    dropped: Arc<Notify>,
    is_dropped: bool,
}

/// A part of a memory budget, released when dropped.
pub struct MemoryLease {
    budget: Arc<Budget>,
    number: u64,
    dropped: Arc<Notify>,
}

/// Why a body could not be received completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The body is too long.
    TooLong,
    /// The body was interrupted, or arrived too slowly.
    Lost {
        /// The number of received bytes.
        received: u64,
    },
    /// Not enough memory is available.
    NoMemory,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} of {} bytes)", self.used(), self.0.most)
    }
}

impl fmt::Debug for MemoryLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryLease")
    }
}

impl Memory {
    /// A budget of this number of bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Budget { most, inner: Mutex::default(), freed: Notify::new() }))
    }

    /// The memory in use, in bytes.
    #[must_use]
    pub fn used(&self) -> usize {
        let inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.holds.values().map(|hold| hold.bytes).sum()
    }

    /// An empty lease for a client.
    #[must_use]
    pub fn lease(&self, network: Network) -> MemoryLease {
        let mut inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let number = inner.next;
        inner.next += 1;
        let dropped = Arc::new(Notify::new());
        let hold = Hold {
            network,
            bytes: 0,
            grew: Some(Instant::now()),
            dropped: Arc::clone(&dropped),
            is_dropped: false,
        };
        inner.holds.insert(number, hold);
        MemoryLease { budget: Arc::clone(&self.0), number, dropped }
    }
}

impl Budget {
    /// Adds `more` bytes if they fit now. If not, the body that has been idle for longest is dropped.
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
            **other != number && !hold.is_dropped && (!share_is_full || hold.network == network)
        });
        let idlest = others.filter_map(|(_, hold)| Some((idle(hold)?, hold))).max_by_key(|(idle, _)| *idle);
        if let Some((_, hold)) = idlest {
            hold.is_dropped = true;
            hold.dropped.notify_one();
        }
        false
    }
}

impl Inner {
    /// Counts bytes of a large body. Returns the time at which its client may send more.
    fn spend(&mut self, number: u64, bytes: usize, now: Instant) -> Option<Instant> {
        let network = self.holds.get(&number)?.network;
        let next = self.large.entry(network).or_insert(now);
        *next = (*next).max(now) + Duration::from_nanos(bytes as u64 * 1_000_000_000 / LARGE_RATE);
        Some(*next)
    }

    fn release(&mut self, number: u64) {
        let Some(released) = self.holds.remove(&number) else { return };
        if !self.holds.values().any(|hold| hold.network == released.network) {
            self.large.remove(&released.network);
        }
    }
}

impl MemoryLease {
    /// Waits until the client may send more of its large bodies.
    async fn pace(&self, bytes: usize) {
        let now = Instant::now();
        let next = {
            let mut inner = self.budget.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.spend(self.number, bytes, now)
        };
        if let Some(next) = next.filter(|next| *next > now + SHORT_WAIT) {
            tokio::time::sleep_until(next.into()).await;
        }
    }

    /// Waits for memory, and adds this number of bytes to the lease.
    ///
    /// # Errors
    /// [`BodyError::TooLong`] when they can never fit, [`BodyError::NoMemory`] when they do not fit within some seconds.
    pub async fn grow(&mut self, more: usize) -> Result<(), BodyError> {
        let most = self.budget.most / SHARE;
        if more > most {
            return Err(BodyError::TooLong);
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let freed = self.budget.freed.notified();
            if self.budget.grow(self.number, more) {
                return Ok(());
            }
            // A body becomes idle without a notification.
            let look_again = tokio::time::Instant::now() + IDLE / 2;
            if look_again > deadline {
                return Err(BodyError::NoMemory);
            }
            let _ = tokio::time::timeout_at(look_again, freed).await;
        }
    }

    /// Marks the body as complete and in use, so that it is not dropped.
    fn mark_complete(&self) {
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

    /// Reads a body of at most `most` bytes, at the given pace and within the time `within`.
    ///
    /// # Errors
    /// [`BodyError`].
    pub async fn collect(
        &mut self,
        body: Body,
        most: usize,
        pace: Pace,
        within: Duration,
    ) -> Result<Bytes, BodyError> {
        let deadline = tokio::time::Instant::now() + within;
        let dropped = Arc::clone(&self.dropped);
        let mut received = 0;
        let read = self.read(body, most, Credit::new(pace), &mut received);
        let whole = tokio::select! {
            whole = tokio::time::timeout_at(deadline, read) => whole,
            () = dropped.notified() => return Err(BodyError::NoMemory),
        };
        let bytes = whole.unwrap_or(Err(BodyError::Lost { received }))?;
        self.mark_complete();
        Ok(bytes)
    }

    async fn read(
        &mut self,
        body: Body,
        most: usize,
        mut credit: Credit,
        received: &mut u64,
    ) -> Result<Bytes, BodyError> {
        let mut frames = body.into_data_stream();
        let mut whole: Vec<u8> = Vec::new();
        let mut touched = 0;
        loop {
            let begun = Instant::now();
            let lost = BodyError::Lost { received: whole.len() as u64 };
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
                return Err(BodyError::TooLong);
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

impl Drop for MemoryLease {
    fn drop(&mut self) {
        self.budget.inner.lock().unwrap_or_else(PoisonError::into_inner).release(self.number);
        self.budget.freed.notify_waiters();
    }
}

/// A body of bytes in memory. It sends copies of pieces, so that the memory is released once the client has read all but
/// the last piece.
pub(in crate::server) fn body(bytes: Bytes, lease: MemoryLease) -> Body {
    let pieces = futures::stream::unfold((bytes, lease), |(mut rest, lease)| async move {
        if rest.is_empty() {
            return None;
        }
        let piece = Bytes::copy_from_slice(&rest.split_to(rest.len().min(PIECE)));
        Some((Ok::<_, std::convert::Infallible>(piece), (rest, lease)))
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
    fn a7_large_bodies_of_one_client_share_a_rate_and_other_clients_do_not_wait() {
        let memory = Memory::new(32 * MIB);
        let (one, same, other) =
            (memory.lease(network(1)), memory.lease(network(1)), memory.lease(network(200)));
        let now = Instant::now();
        let mut inner = memory.0.inner.lock().unwrap();
        let mut wait = |lease: &MemoryLease, bytes| inner.spend(lease.number, bytes, now).unwrap() - now;
        assert_eq!(wait(&one, 32 * MIB), Duration::from_secs(2));
        assert_eq!(wait(&same, 32 * MIB), Duration::from_secs(4));
        assert_eq!(wait(&other, MIB / 64), Duration::from_nanos(976_562));
        drop(inner);
        drop((one, same));
        assert_eq!(memory.0.inner.lock().unwrap().large.len(), 1);
    }

    #[tokio::test]
    async fn a7_stalled_bodies_never_use_more_than_the_budget() {
        let memory = Memory::new(32 * MIB);
        let tasks: Vec<_> = (0..60)
            .map(|at| {
                let memory = memory.clone();
                tokio::spawn(async move {
                    let mut lease = memory.lease(network(at / 4));
                    lease.collect(stalled(8 * MIB - 1), 8 * MIB, PACE, Duration::from_secs(20)).await.err()
                })
            })
            .collect();
        for _ in 0..20 {
            assert!(memory.used() <= 32 * MIB);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let begun = Instant::now();
        let mut lease = memory.lease(network(200));
        let good = lease.collect(Body::from(vec![1; 3 * MIB]), 8 * MIB, PACE, Duration::from_secs(20)).await;
        assert_eq!(good.map(|bytes| bytes.len()), Ok(3 * MIB), "after {:?}", begun.elapsed());
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
        drop(lease);
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn every_body_ends_in_time() {
        let memory = Memory::new(32 * MIB);
        let mut lease = memory.lease(network(1));
        let late = lease.collect(stalled(10), MIB, PACE, Duration::from_millis(50)).await;
        assert_eq!(late, Err(BodyError::Lost { received: 10 }));
        let long =
            memory.lease(network(1)).collect(Body::from(vec![0; 11]), 10, PACE, Duration::from_secs(5)).await;
        assert_eq!(long, Err(BodyError::TooLong));
        let pace = Pace { patience: Duration::from_millis(50), ..PACE };
        let slow = memory.lease(network(1)).collect(stalled(10), MIB, pace, Duration::from_mins(1)).await;
        assert_eq!(slow, Err(BodyError::Lost { received: 10 }));
    }

    #[tokio::test]
    async fn the_memory_of_a_response_is_released_with_its_last_piece() {
        let memory = Memory::new(32 * MIB);
        let mut lease = memory.lease(network(1));
        lease.grow(MIB).await.unwrap();
        let mut frames = body(Bytes::from(vec![7; MIB]), lease).into_data_stream();
        let mut len = 0;
        while let Some(frame) = frames.next().await {
            assert_eq!(memory.used(), MIB);
            len += frame.unwrap().len();
        }
        drop(frames);
        assert_eq!((len, memory.used()), (MIB, 0));
    }
}
