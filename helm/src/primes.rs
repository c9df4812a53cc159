//! Random primes for RSA keys, generated on two threads, and ahead of their use if templates seem to need them.
//!
//! Prime n comes from stream n+1 of the render's seed (templates draw from stream 0), so it does not depend on the
//! thread that generates it, or on the time. A key that must not depend on the number of earlier keys has its own seed
//! ([`pair_of`]); its primes cannot be generated ahead.

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

/// The maximum number of keys that are generated ahead: a CA and two certificates that it signs.
const MAX_KEYS_AHEAD: usize = 3;

/// The 1024-bit primes of one render, two for each key of a certificate. Dropping them stops the generation of primes
/// that are not finished.
pub(crate) struct Primes {
    shared: Arc<Shared>,
    helper: RefCell<Option<Helper>>,
    ready: RefCell<BTreeMap<u64, BoxedUint>>,
    /// The first prime of the next key.
    next: Cell<u64>,
}

struct Shared {
    seed: [u8; 32],
    /// All primes below this number are generated or being generated.
    claimed: AtomicU64,
    /// The helper generates the primes below this number, and then ends.
    wanted: AtomicU64,
    stop: AtomicBool,
}

struct Helper {
    thread: JoinHandle<()>,
    /// Closed once the helper has ended, for any reason.
    primes: Receiver<(u64, BoxedUint)>,
}

impl Primes {
    /// The primes of `seed`. This does not start to generate any.
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let (claimed, wanted, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { seed, claimed, wanted, stop });
        Self { shared, helper: RefCell::default(), ready: RefCell::default(), next: Cell::new(0) }
    }

    /// Starts to generate the primes of `keys` keys that a render may need. A wrong guess occupies another core until
    /// the render ends, for at most the time of [`MAX_KEYS_AHEAD`] keys.
    pub(crate) fn expect(&self, keys: usize) {
        self.request(2 * keys.min(MAX_KEYS_AHEAD) as u64);
    }

    /// Two primes that no other key has.
    pub(crate) fn pair(&self) -> (BoxedUint, BoxedUint) {
        let first = self.next.get();
        let end = first + 2;
        self.next.set(end);
        self.request(end);
        loop {
            let mut ready = self.ready.borrow_mut();
            if ready.contains_key(&first)
                && let Some(second) = ready.remove(&(first + 1))
                && let Some(first) = ready.remove(&first)
            {
                return (first, second);
            }
            if let Some(number) = self.shared.claim(end) {
                ready.extend(self.shared.generate(number));
            } else if let Some(prime) = self.helper.borrow().as_ref().and_then(|it| it.primes.recv().ok()) {
                ready.extend([prime]);
            } else {
                // The helper claimed the prime and died.
                ready.extend((first..end).filter_map(|number| self.shared.generate(number)));
            }
        }
    }

    /// Lets a helper thread generate the primes below `end`, if another core is available.
    fn request(&self, end: u64) {
        self.shared.wanted.fetch_max(end, Ordering::Relaxed);
        let mut helper = self.helper.borrow_mut();
        if helper.as_ref().is_some_and(|helper| !helper.thread.is_finished()) {
            return;
        }
        self.ready.borrow_mut().extend(helper.take().into_iter().flat_map(|helper| helper.primes));
        let has_work = self.shared.claimed.load(Ordering::Relaxed) < end;
        if has_work && available_parallelism().is_ok_and(|cores| cores.get() > 1) {
            // Without a helper, the render generates the primes itself.
            *helper = Helper::start(Arc::clone(&self.shared)).ok();
        }
    }
}

impl Drop for Primes {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(helper) = self.helper.take() {
            // If the helper panicked, the render has generated its primes itself.
            helper.thread.join().ok();
        }
    }
}

impl Helper {
    fn start(shared: Arc<Shared>) -> Result<Self, std::io::Error> {
        let (sender, primes) = channel();
        let thread = Builder::new().name("primes".to_owned()).spawn(move || {
            while let Some(number) = shared.claim(shared.wanted.load(Ordering::Relaxed)) {
                let Some(prime) = shared.generate(number) else { return };
                if sender.send(prime).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { thread, primes })
    }
}

impl Shared {
    /// Claims a prime below `end` that is not claimed yet, for the caller to generate.
    fn claim(&self, end: u64) -> Option<u64> {
        let next = |claimed| (claimed < end).then_some(claimed + 1);
        self.claimed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()
    }

    /// Generates a prime; `None` if the primes are no longer needed.
    fn generate(&self, number: u64) -> Option<(u64, BoxedUint)> {
        let prime = search::<{ U1024::LIMBS }>(&mut stream(self.seed, number + 1), &self.stop)?;
        Some((number, BoxedUint::from(prime)))
    }
}

/// Two 1024-bit primes from `seed`, for one attempt at a key with its own seed.
pub(crate) fn pair_of(seed: [u8; 32], attempt: u64) -> Option<(BoxedUint, BoxedUint)> {
    both::<{ U1024::LIMBS }>(seed, attempt.wrapping_mul(2))
}

/// Two 2048-bit primes from `seed`.
pub(crate) fn large_pair(seed: [u8; 32]) -> Option<(BoxedUint, BoxedUint)> {
    both::<{ U2048::LIMBS }>(seed, 0)
}

/// The primes of two streams, each generated on its own thread.
fn both<const LIMBS: usize>(seed: [u8; 32], first: u64) -> Option<(BoxedUint, BoxedUint)> {
    let never = AtomicBool::new(false);
    let second = first.wrapping_add(1);
    let generate = |number| search::<LIMBS>(&mut stream(seed, number), &never).map(BoxedUint::from);
    std::thread::scope(|scope| {
        let other = Builder::new().name("primes".to_owned()).spawn_scoped(scope, || generate(second)).ok();
        let first = generate(first);
        let second = other.and_then(|thread| thread.join().ok().flatten()).or_else(|| generate(second));
        first.zip(second)
    })
}

fn stream(seed: [u8; 32], number: u64) -> ChaCha20Rng {
    let mut stream = ChaCha20Rng::from_seed(seed);
    stream.set_stream(number);
    stream
}
