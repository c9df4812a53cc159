//! Random primes for RSA keys, made on two threads, and ahead of their use when templates look like needing them.
//!
//! Prime n comes from stream n+1 of the render's seed (stream 0 is what templates draw from), so neither who makes
//! it nor when changes what it is. A key that is to stay the same whatever is made before it has a seed of its own
//! ([`pair_of`]), and nobody can make its primes ahead.

mod search;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{Builder, JoinHandle, available_parallelism};

use crypto_bigint::{BoxedUint, U1024, U2048};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use self::search::search;

/// The public exponent of all keys.
pub(crate) const EXPONENT: u32 = 65_537;

/// How many keys are made before anyone asked for them, at most: an authority and two that it signs.
const AHEAD: usize = 3;

/// The primes of 1024 bits of one render, two for each key of a certificate. What is still being made when they are
/// dropped is given up.
pub(crate) struct Primes {
    shared: Arc<Shared>,
    helper: RefCell<Option<Helper>>,
    made: RefCell<BTreeMap<u64, BoxedUint>>,
    /// The first prime of the next key.
    next: Cell<u64>,
}

struct Shared {
    seed: [u8; 32],
    /// All primes below this one are made or being made.
    claimed: AtomicU64,
    /// The helper makes those below this one, and ends.
    wanted: AtomicU64,
    stop: AtomicBool,
}

struct Helper {
    thread: JoinHandle<()>,
    /// Closed when the helper has ended, for whatever reason.
    primes: Receiver<(u64, BoxedUint)>,
}

impl Primes {
    /// Those of `seed`. None is made yet.
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let (claimed, wanted, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { seed, claimed, wanted, stop });
        Self { shared, helper: RefCell::default(), made: RefCell::default(), next: Cell::new(0) }
    }

    /// Starts on those of `keys` keys, which a render may ask for. A guess that is wrong costs another core until
    /// the render ends, and no more than [`AHEAD`] keys do.
    pub(crate) fn expect(&self, keys: usize) {
        self.want(2 * keys.min(AHEAD) as u64);
    }

    /// Two that no other key has.
    pub(crate) fn pair(&self) -> (BoxedUint, BoxedUint) {
        let first = self.next.get();
        let end = first + 2;
        self.next.set(end);
        self.want(end);
        loop {
            let mut made = self.made.borrow_mut();
            if made.contains_key(&first)
                && let Some(second) = made.remove(&(first + 1))
                && let Some(first) = made.remove(&first)
            {
                return (first, second);
            }
            if let Some(number) = self.shared.claim(end) {
                made.extend(self.shared.make(number));
            } else if let Some(prime) = self.helper.borrow().as_ref().and_then(|it| it.primes.recv().ok()) {
                made.extend([prime]);
            } else {
                // The helper took it and died.
                made.extend((first..end).filter_map(|number| self.shared.make(number)));
            }
        }
    }

    /// Has primes below `end` made by a helper, if there is a core for it.
    fn want(&self, end: u64) {
        self.shared.wanted.fetch_max(end, Ordering::Relaxed);
        let mut helper = self.helper.borrow_mut();
        if helper.as_ref().is_some_and(|helper| !helper.thread.is_finished()) {
            return;
        }
        self.made.borrow_mut().extend(helper.take().into_iter().flat_map(|helper| helper.primes));
        let is_work = self.shared.claimed.load(Ordering::Relaxed) < end;
        if is_work && available_parallelism().is_ok_and(|cores| cores.get() > 1) {
            // Without a thread the render makes them itself.
            *helper = Helper::start(Arc::clone(&self.shared)).ok();
        }
    }
}

impl Drop for Primes {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(helper) = self.helper.take() {
            // One that died has been done without.
            helper.thread.join().ok();
        }
    }
}

impl Helper {
    fn start(shared: Arc<Shared>) -> Result<Self, std::io::Error> {
        let (sender, primes) = channel();
        let thread = Builder::new().name("primes".to_owned()).spawn(move || {
            while let Some(number) = shared.claim(shared.wanted.load(Ordering::Relaxed)) {
                let Some(prime) = shared.make(number) else { return };
                if sender.send(prime).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { thread, primes })
    }
}

impl Shared {
    /// The number of a prime below `end` that nobody makes yet: the caller does.
    fn claim(&self, end: u64) -> Option<u64> {
        let next = |claimed| (claimed < end).then_some(claimed + 1);
        self.claimed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()
    }

    /// `None` when they are no longer wanted.
    fn make(&self, number: u64) -> Option<(u64, BoxedUint)> {
        let prime = search::<{ U1024::LIMBS }>(&mut stream(self.seed, number + 1), &self.stop)?;
        Some((number, BoxedUint::from(prime)))
    }
}

/// Two primes of 1024 bits out of `seed`, those of one try for a key that has a seed of its own.
pub(crate) fn pair_of(seed: [u8; 32], attempt: u64) -> Option<(BoxedUint, BoxedUint)> {
    both::<{ U1024::LIMBS }>(seed, attempt.wrapping_mul(2))
}

/// Two primes of 2048 bits out of `seed`.
pub(crate) fn large_pair(seed: [u8; 32]) -> Option<(BoxedUint, BoxedUint)> {
    both::<{ U2048::LIMBS }>(seed, 0)
}

/// The primes of two streams, each on a thread of its own.
fn both<const LIMBS: usize>(seed: [u8; 32], first: u64) -> Option<(BoxedUint, BoxedUint)> {
    let never = AtomicBool::new(false);
    let second = first.wrapping_add(1);
    let make = |number| search::<LIMBS>(&mut stream(seed, number), &never).map(BoxedUint::from);
    std::thread::scope(|scope| {
        let other = Builder::new().name("primes".to_owned()).spawn_scoped(scope, || make(second)).ok();
        let first = make(first);
        let second = other.and_then(|thread| thread.join().ok().flatten()).or_else(|| make(second));
        first.zip(second)
    })
}

fn stream(seed: [u8; 32], number: u64) -> ChaCha20Rng {
    let mut stream = ChaCha20Rng::from_seed(seed);
    stream.set_stream(number);
    stream
}
