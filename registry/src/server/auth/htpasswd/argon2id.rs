//! Argon2id hashes in the PHC string format: `$argon2id$v=19$m=65536,t=3,p=4$SALT$HASH`.

use std::hint::black_box;
use std::ops::RangeInclusive;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The memory of one check, in KiB. Several checks run at once, one for every two cores.
const MEMORY: RangeInclusive<u32> = 8..=65536;
const PASSES: RangeInclusive<u32> = 1..=10;
const LANES: RangeInclusive<u32> = 1..=16;
const SALT: RangeInclusive<usize> = 8..=64;
const HASH: RangeInclusive<usize> = 16..=64;

/// A hash with its parameters.
#[derive(Clone)]
pub(super) struct Argon2id {
    params: Params,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Argon2id {
    /// Parses a hash; `None` if it is malformed, or needs more memory or time than the limits allow.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("$argon2id$v=19$")?.split('$');
        let (costs, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
        let bytes = |text: &str, length: RangeInclusive<usize>| {
            STANDARD_NO_PAD.decode(text).ok().filter(|bytes| length.contains(&bytes.len()))
        };
        let (salt, hash) = (bytes(salt, SALT)?, bytes(hash, HASH)?);
        let mut costs = costs.split(',');
        let mut cost = |name: &str, range: RangeInclusive<u32>| {
            let value = costs.next()?.strip_prefix(name)?.parse().ok()?;
            range.contains(&value).then_some(value)
        };
        let (memory, passes, lanes) = (cost("m=", MEMORY)?, cost("t=", PASSES)?, cost("p=", LANES)?);
        if parts.next().is_some() || costs.next().is_some() {
            return None;
        }
        let params = Params::new(memory, passes, lanes, Some(hash.len())).ok()?;
        Some(Self { params, salt, hash })
    }

    /// The work of a check, in KiB that are passed over.
    pub(super) fn work(&self) -> u32 {
        self.params.m_cost() * self.params.t_cost()
    }

    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        let mut found = vec![0; self.hash.len()];
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone());
        let computed = argon.hash_password_into(password, &self.salt, &mut found).is_ok();
        let pairs = found.iter().zip(&self.hash);
        computed && black_box(pairs.fold(0, |differences, (a, b)| differences | (a ^ b))) == 0
    }
}

/// Does as much work as a check.
pub(super) fn spend(mut work: u32, password: &[u8]) {
    while work >= *MEMORY.start() {
        let memory = work.min(*MEMORY.end());
        work -= memory;
        if let Ok(params) = Params::new(memory, 1, 1, None) {
            let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let _ = black_box(argon.hash_password_into(password, &[0; 16], &mut [0; 32]));
        }
    }
}
