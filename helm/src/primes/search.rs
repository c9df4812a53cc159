//! The search for one prime: a sieve, a cheap test for the remaining candidates, and then the full test for those that
//! pass.
//!
//! Most of the time is spent in the cheap test, so it computes only 2^(n-1) mod n. Besides the squarings, this costs
//! one doubling per bit, whereas a power of any other base costs one multiplication per four bits. It accepts some
//! composite numbers, which is harmless, because [`is_prime`] decides.
//!
//! The search is not constant-time, and no search for primes is. These keys are for a manifest that is printed together
//! with them, on the machine of the user who renders it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Limb, NonZero, Odd, Reciprocal, Uint, Word};
use crypto_primes::{Flavor, is_prime};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;

use super::EXPONENT;

/// The end of the sieve's primes. Doubling it would leave 6% fewer candidates, but cost as much as that saves.
const SIEVE_END: usize = 1 << 16;

/// The number of odd candidates to check from a random start before a new start is drawn: twelve times as many as there
/// are between two 1024-bit primes on average.
const WINDOW: usize = 4096;

/// Small primes whose product fits a limb, so that a single division of the large number serves all of them.
struct Batch {
    product: Reciprocal,
    primes: Vec<Word>,
}

static BATCHES: LazyLock<Vec<Batch>> = LazyLock::new(batches);

/// A random prime p of the full width of its type, with the two highest bits set and p-1 coprime to [`EXPONENT`]: FIPS
/// 186-5 section A.1.3, but counting up from a random number instead of drawing a new one for each candidate.
///
/// `None` if `stop` is set during the search.
pub(super) fn search<const LIMBS: usize>(random: &mut ChaCha20Rng, stop: &AtomicBool) -> Option<Uint<LIMBS>> {
    loop {
        let start = start(random);
        for (index, _) in sieve(&start).iter().enumerate().filter(|(_, composite)| !**composite) {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let candidate = start.wrapping_add(&Uint::from(2 * index as u64));
            // Counting up can wrap around to a small number.
            let odd =
                Odd::new(candidate).into_option().filter(|odd| odd.bits_vartime() == Uint::<LIMBS>::BITS);
            if odd.is_some_and(|odd| may_be_prime(&odd))
                && suits_exponent(&candidate)
                && is_prime(Flavor::Any, &candidate)
            {
                return Some(candidate);
            }
        }
    }
}

/// A random odd number with its two highest bits set, so that the product of two such numbers has exactly twice the
/// bits.
fn start<const LIMBS: usize>(random: &mut ChaCha20Rng) -> Uint<LIMBS> {
    let mut words = [0; LIMBS];
    for word in &mut words {
        let mut bytes = [0; size_of::<Word>()];
        random.fill_bytes(&mut bytes);
        *word = Word::from_le_bytes(bytes);
    }
    if let Some(lowest) = words.first_mut() {
        *lowest |= 1;
    }
    if let Some(highest) = words.last_mut() {
        *highest |= 0b11 << (Word::BITS - 2);
    }
    Uint::from_words(words)
}

/// For each of the odd numbers from `start` on: whether a small prime divides it.
fn sieve<const LIMBS: usize>(start: &Uint<LIMBS>) -> [bool; WINDOW] {
    let mut composite = [false; WINDOW];
    for batch in BATCHES.iter() {
        let rest = start.rem_limb_with_reciprocal(&batch.product).0;
        for prime in &batch.primes {
            let short = (prime - rest % prime) % prime;
            // Half the distance to the next odd multiple, because the window holds only odd numbers.
            let first = if short.is_multiple_of(2) { short / 2 } else { (short + prime) / 2 };
            let multiples = composite.iter_mut().skip(usize::try_from(first).unwrap_or(WINDOW));
            multiples.step_by(usize::try_from(*prime).unwrap_or(WINDOW)).for_each(|flag| *flag = true);
        }
    }
    composite
}

/// Fermat's test to base 2, for a number whose highest bit is set.
fn may_be_prime<const LIMBS: usize>(number: &Odd<Uint<LIMBS>>) -> bool {
    let params = FixedMontyParams::new_vartime(*number);
    let one = FixedMontyForm::one(&params);
    let mut power = one.double();
    for bit in (0..Uint::<LIMBS>::BITS - 1).rev() {
        power = power.square();
        // The exponent is number-1, whose lowest bit is zero.
        if bit != 0 && number.bit_vartime(bit) {
            power = power.double();
        }
    }
    power == one
}

/// Whether the public exponent, which is prime, has an inverse modulo number-1.
fn suits_exponent<const LIMBS: usize>(number: &Uint<LIMBS>) -> bool {
    NonZero::new(Limb::from(EXPONENT))
        .into_option()
        .is_some_and(|exponent| number.rem_limb(exponent) != Limb::ONE)
}

/// The odd primes below [`SIEVE_END`], from a sieve of Eratosthenes, in batches.
fn batches() -> Vec<Batch> {
    let mut composite = vec![false; SIEVE_END];
    let mut batches = Vec::new();
    let (mut product, mut primes): (Word, Vec<Word>) = (1, Vec::new());
    for number in (3..SIEVE_END).step_by(2) {
        if composite.get(number).copied().unwrap_or(true) {
            continue;
        }
        composite.iter_mut().skip(number * number).step_by(number).for_each(|flag| *flag = true);
        let Ok(prime) = Word::try_from(number) else { continue };
        if let Some(larger) = product.checked_mul(prime) {
            product = larger;
        } else {
            batches.extend(batch(product, std::mem::take(&mut primes)));
            product = prime;
        }
        primes.push(prime);
    }
    batches.extend(batch(product, primes));
    batches
}

fn batch(product: Word, primes: Vec<Word>) -> Option<Batch> {
    NonZero::new(Limb(product))
        .into_option()
        .map(|product| Batch { product: Reciprocal::new(product), primes })
}
