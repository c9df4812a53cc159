use crypto_primes::{Flavor, is_prime};

use super::*;

fn pairs(primes: &Primes, count: usize) -> Vec<(BoxedUint, BoxedUint)> {
    (0..count).map(|_| primes.pair()).collect()
}

#[test]
fn primes_are_prime_and_make_moduli_of_full_length() {
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
    assert_eq!(all.len(), 8, "each is another");
}

/// Made ahead, made on demand, made alone: the same.
#[test]
fn who_makes_them_and_when_does_not_matter() {
    let alone: Vec<BoxedUint> =
        (0..6).map(|number| Primes::new([5; 32]).shared.make(number).unwrap().1).collect();
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
fn no_more_than_the_bound_is_made_ahead() {
    let primes = Primes::new([7; 32]);
    primes.expect(usize::MAX);
    assert_eq!(primes.shared.wanted.load(Ordering::Relaxed), 2 * AHEAD as u64);
}

#[test]
fn what_is_not_wanted_any_more_is_given_up() {
    let primes = Primes::new([8; 32]);
    primes.shared.stop.store(true, Ordering::Relaxed);
    assert!(primes.shared.make(0).is_none());
    primes.expect(3);
    drop(primes);
}

/// A helper that claimed a prime and died leaves it to the render.
#[test]
fn a_dead_helper_is_done_without() {
    let primes = Primes::new([9; 32]);
    primes.shared.claim(2).unwrap();
    primes.shared.claim(2).unwrap();
    assert_eq!(primes.pair(), Primes::new([9; 32]).pair());
}

#[test]
fn keys_of_4096_bits_get_primes_of_2048() {
    let (p, q) = large_pair([1; 32]).unwrap();
    assert!(p != q && p.bits() == 2048 && q.bits() == 2048);
    assert!(is_prime(Flavor::Any, &p) && is_prime(Flavor::Any, &q));
}
