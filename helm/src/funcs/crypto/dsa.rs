//! DSA parameters and keys of 2048 and 256 bits, as Go's `crypto/dsa` generates them: FIPS 186-4 appendix A, without
//! the seed that would let others verify the choice. No certificate supports such a key; Sprig only prints it.
//!
//! This does not use the crate `dsa`, which tests every candidate at full cost and takes half a minute.

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, ConcatenatingMul, Limb, NonZero, Odd, Resize};
use crypto_primes::{Flavor, is_prime, random_prime};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;

const P_BITS: u32 = 2048;
const Q_BITS: u32 = 256;

/// p, q, g, y, x, each as its big-endian bytes.
#[expect(clippy::many_single_char_names, reason = "the standard's names")]
pub(super) fn generate(random: &mut ChaCha20Rng) -> Result<[Vec<u8>; 5], String> {
    let impossible = || "failed to generate dsa params: no generator".to_owned();
    let q: BoxedUint = random_prime(random, Flavor::Any, Q_BITS);
    let p = modulus(random, &q).ok_or_else(impossible)?;
    let params = BoxedMontyParams::new(Odd::new(p.clone()).into_option().ok_or_else(impossible)?);
    let wide = NonZero::new(q.clone().resize(P_BITS)).into_option().ok_or_else(impossible)?;
    let exponent = p.wrapping_sub(BoxedUint::one()) / &wide;
    let power = |base: BoxedUint, exponent: &BoxedUint| {
        BoxedMontyForm::new(base.resize(P_BITS), &params).pow(exponent).retrieve()
    };
    let g = (2..u64::from(u8::MAX))
        .map(|base| power(BoxedUint::from(base), &exponent))
        .find(|g| !bool::from(g.is_one()))
        .ok_or_else(impossible)?;
    let x = secret(random, &q);
    let y = power(g.clone(), &x);
    Ok([p, q, g, y, x].map(|number| number.to_be_bytes_trimmed_vartime().into_vec()))
}

/// A prime p for which q divides p-1.
fn modulus(random: &mut ChaCha20Rng, q: &BoxedUint) -> Option<BoxedUint> {
    let step = NonZero::new(q.concatenating_mul(BoxedUint::from(2_u64)).resize(P_BITS)).into_option()?;
    let small: Vec<NonZero<Limb>> = (3_u32..4000)
        .step_by(2)
        .filter(|number| (3..64).all(|divisor| divisor >= *number || number % divisor != 0))
        .filter_map(|number| NonZero::new(Limb::from(number)).into_option())
        .collect();
    loop {
        let mut bytes = [0; P_BITS as usize / 8];
        random.fill_bytes(&mut bytes);
        bytes[0] |= 0x80;
        let start = BoxedUint::from_be_slice_vartime(&bytes).resize(P_BITS);
        let candidate = start.wrapping_sub(start.rem(&step)).wrapping_add(BoxedUint::one());
        // Trial division rejects most candidates at a fraction of the cost of a primality test.
        let divisible = small.iter().any(|prime| candidate.rem_limb(*prime) == Limb::ZERO);
        if !divisible && candidate.bits_vartime() == P_BITS && is_prime(Flavor::Any, &candidate) {
            return Some(candidate);
        }
    }
}

/// A random number from 1 to q-1.
fn secret(random: &mut ChaCha20Rng, q: &BoxedUint) -> BoxedUint {
    loop {
        let mut bytes = [0; Q_BITS as usize / 8];
        random.fill_bytes(&mut bytes);
        let x = BoxedUint::from_be_slice_vartime(&bytes);
        if x < *q && !bool::from(x.is_zero()) {
            return x;
        }
    }
}
