use crypto_primes::{Flavor, is_prime};

use super::*;

fn pairs(primes: &Primes, count: usize) -> Vec<(BoxedUint, BoxedUint)> {
    (0..count).map(|_| primes.pair()).collect()
}

#[test]
fn primes_are_prime_and_moduli_have_full_length() {
    let found = pairs(&Primes::new([3; 32]), 4);
    for (p, q) in &found {
        for prime in [p, q] {
            assert_eq!(prime.bits(), 1024);
            assert!(prime.bit_vartime(1022), "the second bit from the top");
            assert!(is_prime(Flavor::Any, prime));
        }
    }
    let mut all: Vec<&BoxedUint> = found.iter().flat_map(|(p, q)| [p, q]).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 8, "all primes differ");
}

/// Primes are the same if generated ahead, on demand, or alone.
#[test]
fn primes_do_not_depend_on_thread_or_time() {
    let alone: Vec<BoxedUint> =
        (0..6).map(|number| Primes::new([5; 32]).shared.generate(number).unwrap().1).collect();
    let ahead = Primes::new([5; 32]);
    ahead.expect(100);
    std::thread::sleep(std::time::Duration::from_millis(5));
    for primes in [ahead, Primes::new([5; 32])] {
        let found: Vec<BoxedUint> = pairs(&primes, 3).into_iter().flat_map(|(p, q)| [p, q]).collect();
        assert_eq!(found, alone);
    }
    assert_ne!(Primes::new([6; 32]).pair().0, alone[0]);
}

#[test]
fn no_more_than_the_maximum_is_generated_ahead() {
    let primes = Primes::new([7; 32]);
    primes.expect(usize::MAX);
    assert_eq!(primes.shared.wanted.load(Ordering::Relaxed), 2 * MAX_KEYS_AHEAD as u64);
}

#[test]
fn unneeded_primes_are_abandoned() {
    let primes = Primes::new([8; 32]);
    primes.shared.stop.store(true, Ordering::Relaxed);
    assert!(primes.shared.generate(0).is_none());
    primes.expect(3);
    drop(primes);
}

/// If a helper claimed a prime and died, the render generates it.
#[test]
fn a_dead_helper_is_replaced_by_the_render() {
    let primes = Primes::new([9; 32]);
    primes.shared.claim(2).unwrap();
    primes.shared.claim(2).unwrap();
    assert_eq!(primes.pair(), Primes::new([9; 32]).pair());
}

#[test]
fn keys_with_4096_bits_have_primes_with_2048_bits() {
    let (p, q) = large_pair([1; 32]).unwrap();
    assert!(p != q && p.bits() == 2048 && q.bits() == 2048);
    assert!(is_prime(Flavor::Any, &p) && is_prime(Flavor::Any, &q));
}
