//! The search for one prime: a sieve, one cheap test of what it leaves, then the full test of what passes.
//!
//! Most of the time goes into the cheap test, so it is 2^(n-1) mod n and nothing else: beside the squarings that
//! costs a doubling for each bit, where a power of any base costs a multiplication for each four. That it lets
//! some composites through harms nothing, since [`is_prime`] has the last word.
//!
//! Not in constant time, as no way to find primes is: these keys are made for a manifest that is printed with them,
//! on the machine of who asked for it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Limb, NonZero, Odd, Reciprocal, Uint, Word};
use crypto_primes::{Flavor, is_prime};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;

use super::EXPONENT;

/// Where the sieve's primes end. Twice as far would leave 6% fewer candidates and cost what that saves.
const SIEVE_END: usize = 1 << 16;

/// How many odd numbers from a random one on are looked at before another random one is drawn: twelve times as
/// many as lie between two primes of 1024 bits.
const WINDOW: usize = 4096;

/// Small primes whose product fits a limb, so that one division of the large number serves all of them.
struct Batch {
    product: Reciprocal,
    primes: Vec<Word>,
}

static BATCHES: LazyLock<Vec<Batch>> = LazyLock::new(batches);

/// A random prime p with all bits of its type, the two highest set, and p-1 prime to [`EXPONENT`]: FIPS 186-5
/// section A.1.3, but from a random number upwards rather than with a new one for each candidate.
///
/// `None` when `stop` was set meanwhile.
pub(super) fn search<const LIMBS: usize>(random: &mut ChaCha20Rng, stop: &AtomicBool) -> Option<Uint<LIMBS>> {
    loop {
        let start = start(random);
        for (index, _) in sieve(&start).iter().enumerate().filter(|(_, composite)| !**composite) {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let candidate = start.wrapping_add(&Uint::from(2 * index as u64));
            let odd =
                Odd::new(candidate).into_option().filter(|odd| odd.bits_vartime() == Uint::<LIMBS>::BITS);
            if odd.is_some_and(|odd| may_be_prime(&odd))
                && fits(&candidate)
                && is_prime(Flavor::Any, &candidate)
            {
                return Some(candidate);
            }
        }
    }
}

/// A random odd number with its two highest bits set, so that the product of two has twice the bits.
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

/// For the odd numbers from `start` on: whether a small prime divides it.
fn sieve<const LIMBS: usize>(start: &Uint<LIMBS>) -> [bool; WINDOW] {
    let mut composite = [false; WINDOW];
    for batch in BATCHES.iter() {
        let rest = start.rem_limb_with_reciprocal(&batch.product).0;
        for prime in &batch.primes {
            let short = (prime - rest % prime) % prime;
            // Half of what is lacking to the next multiple that is odd.
            let first = if short.is_multiple_of(2) { short / 2 } else { (short + prime) / 2 };
            let multiples = composite.iter_mut().skip(usize::try_from(first).unwrap_or(WINDOW));
            multiples.step_by(usize::try_from(*prime).unwrap_or(WINDOW)).for_each(|flag| *flag = true);
        }
    }
    composite
}

/// Fermat's test to base 2 of a number whose highest bit is set.
fn may_be_prime<const LIMBS: usize>(number: &Odd<Uint<LIMBS>>) -> bool {
    let params = FixedMontyParams::new_vartime(*number);
    let one = FixedMontyForm::one(&params);
    let mut power = one.double();
    for bit in (0..Uint::<LIMBS>::BITS - 1).rev() {
        power = power.square();
        // The lowest bit of number-1 is not set.
        if bit != 0 && number.bit_vartime(bit) {
            power = power.double();
        }
    }
    power == one
}

/// Whether the exponent, which is a prime, has an inverse modulo number-1.
fn fits<const LIMBS: usize>(number: &Uint<LIMBS>) -> bool {
    NonZero::new(Limb::from(EXPONENT))
        .into_option()
        .is_some_and(|exponent| number.rem_limb(exponent) != Limb::ONE)
}

/// The odd primes below [`SIEVE_END`], by Eratosthenes.
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
