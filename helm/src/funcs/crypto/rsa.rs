//! RSA keys: PKCS #1 (RFC 8017), generated from the render's seed; ring signs.
//!
//! This does not use the crate `rsa`, which has no release without an open advisory (RUSTSEC-2023-0071).

use crypto_bigint::{BoxedUint, ConcatenatingMul, Gcd, NonZero, Resize};
use der::asn1::UintRef;
use der::{Decode, Reader, SliceReader};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

use super::der as write;
use crate::primes::{EXPONENT, Primes, large_pair, pair_of};

/// How many unusable pairs of primes are tolerated; in practice, none occurs.
const ATTEMPTS: u64 = 4;

/// An RSA private key with two primes. Each number is its big-endian bytes.
pub(super) struct RsaKey {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    /// d, p, q, d mod (p-1), d mod (q-1), q^-1 mod p, in the order of RFC 8017 A.1.2.
    private: [Vec<u8>; 6],
}

impl RsaKey {
    /// Generates a 2048-bit key.
    pub(super) fn generate(primes: &Primes) -> Self {
        loop {
            let (first, second) = primes.pair();
            if let Some(key) = Self::from_primes(first, second) {
                return key;
            }
        }
    }

    /// The 2048-bit key of a seed.
    pub(super) fn of_seed(seed: [u8; 32]) -> Option<Self> {
        (0..ATTEMPTS).find_map(|attempt| pair_of(seed, attempt).and_then(|(p, q)| Self::from_primes(p, q)))
    }

    /// Generates a 4096-bit key.
    pub(super) fn large(random: &mut ChaCha20Rng) -> Option<Self> {
        let mut seed = [0; 32];
        random.fill_bytes(&mut seed);
        let (first, second) = large_pair(seed)?;
        Self::from_primes(first, second)
    }

    /// `None` if the primes are equal or do not fit the exponent.
    fn from_primes(first: BoxedUint, second: BoxedUint) -> Option<Self> {
        // ring, like OpenSSL, requires the larger prime first.
        let (p, q) = if first > second { (first, second) } else { (second, first) };
        let (p, q) = (&p, &q);
        let modulus = p.concatenating_mul(q);
        let one = BoxedUint::one();
        let (before_p, before_q) = (p.wrapping_sub(&one), q.wrapping_sub(&one));
        let common = NonZero::new(before_p.gcd(&before_q)).into_option()?;
        let order = (&before_p / &common).concatenating_mul(&before_q);
        let order = NonZero::new(order.resize(modulus.bits_precision())).into_option()?;
        let exponent = BoxedUint::from(EXPONENT).resize(modulus.bits_precision());
        // None if the exponent divides p-1 or q-1.
        let secret = exponent.invert_mod(&order).into_option()?;
        let modulo = |number: &BoxedUint| NonZero::new(number.clone()).into_option().map(|n| secret.rem(&n));
        let private = [
            bytes(&secret),
            bytes(p),
            bytes(q),
            bytes(&modulo(&before_p)?),
            bytes(&modulo(&before_q)?),
            bytes(&inverse(q, p)?),
        ];
        Some(Self { modulus: bytes(&modulus), exponent: bytes(&BoxedUint::from(EXPONENT)), private })
    }

    /// Reads an `RSAPrivateKey`.
    ///
    /// # Errors
    /// It is not valid DER, or has more than two primes.
    pub(super) fn from_pkcs1(bytes: &[u8]) -> Result<Self, String> {
        let invalid = |error: der::Error| error.to_string();
        let mut reader = SliceReader::new(bytes).map_err(invalid)?;
        let numbers = reader.sequence(|reader| {
            let mut numbers: Vec<Vec<u8>> = Vec::with_capacity(9);
            while !reader.is_finished() && numbers.len() < 9 {
                numbers.push(UintRef::decode(reader)?.as_bytes().to_vec());
            }
            Ok::<_, der::Error>(numbers)
        });
        let numbers = numbers.map_err(invalid)?;
        reader.finish().map_err(invalid)?;
        let [version, modulus, exponent, private @ ..] = numbers.as_slice() else {
            return Err("key is incomplete".into());
        };
        if version.iter().any(|byte| *byte != 0) {
            return Err("key has more than two primes".into());
        }
        let private = private.to_vec().try_into().map_err(|_| "key is incomplete".to_owned())?;
        Ok(Self { modulus: modulus.clone(), exponent: exponent.clone(), private })
    }

    /// Writes an `RSAPrivateKey`.
    pub(super) fn to_pkcs1(&self) -> Vec<u8> {
        let head = [write::integer(&[0]), write::integer(&self.modulus), write::integer(&self.exponent)];
        let private = self.private.iter().map(|number| write::integer(number));
        write::sequence(&head.into_iter().chain(private).collect::<Vec<_>>())
    }

    /// Writes an `RSAPublicKey`.
    pub(super) fn public(&self) -> Vec<u8> {
        write::sequence(&[write::integer(&self.modulus), write::integer(&self.exponent)])
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256, which is deterministic.
    ///
    /// # Errors
    /// ring rejects the key: it supports 2048 to 4096 bits.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let pair = RsaKeyPair::from_der(&self.ordered().to_pkcs1())
            .map_err(|error| format!("rsa key rejected: {error}"))?;
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| "rsa signing failed".to_owned())?;
        Ok(signature)
    }

    /// The same key with the larger prime first. Go writes the primes in the order in which it found them.
    fn ordered(&self) -> Self {
        let number = |bytes: &[u8]| BoxedUint::from_be_slice_vartime(bytes);
        let [secret, p, q, dp, dq, _] = &self.private;
        let (larger, smaller) = (number(q), number(p));
        if smaller >= larger {
            return Self { private: self.private.clone(), ..self.public_part() };
        }
        let coefficient = inverse(&smaller, &larger).map(|number| bytes(&number)).unwrap_or_default();
        let private = [secret, q, p, dq, dp, &coefficient].map(Clone::clone);
        Self { private, ..self.public_part() }
    }

    fn public_part(&self) -> Self {
        Self { modulus: self.modulus.clone(), exponent: self.exponent.clone(), private: Default::default() }
    }
}

fn inverse(number: &BoxedUint, modulus: &BoxedUint) -> Option<BoxedUint> {
    let modulus = NonZero::new(modulus.clone()).into_option()?;
    number.rem(&modulus).invert_mod(&modulus).into_option()
}

fn bytes(number: &BoxedUint) -> Vec<u8> {
    number.to_be_bytes_trimmed_vartime().into_vec()
}

#[cfg(test)]
impl RsaKey {
    /// The same key with its primes in the opposite order, as Go may write them.
    pub(super) fn with_primes_swapped(&self) -> Self {
        let number = |bytes: &[u8]| BoxedUint::from_be_slice_vartime(bytes);
        let [secret, p, q, dp, dq, _] = &self.private;
        let coefficient = bytes(&inverse(&number(p), &number(q)).unwrap());
        let private = [secret, q, p, dq, dp, &coefficient].map(Clone::clone);
        Self { private, ..self.public_part() }
    }
}
