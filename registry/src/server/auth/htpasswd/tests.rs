use std::time::Instant;

use super::*;

fn users(text: &str) -> Htpasswd {
    Htpasswd::parse(text).unwrap()
}

#[test]
fn password_files_are_read_strictly() {
    let hash = bcrypt::hash("secret", 4).unwrap();
    let apache = hash.replacen("$2b$", "$2y$", 1);
    let file = users(&format!("# users\n\nann:{hash}\n  bob:{apache}\r\n"));
    assert_eq!(file.len(), 2);
    assert!(users("").is_empty());
    assert!(matches!(Htpasswd::parse("ann"), Err(Error::PasswordLine { line: 1 })));
    assert!(matches!(Htpasswd::parse(&format!("\n:{hash}")), Err(Error::PasswordLine { line: 2 })));
    for bad in ["secret", "$apr1$x$y", "{SHA}x", "$2y$", "$2b$04$short", "$2x$04$abc"] {
        let parsed = Htpasswd::parse(&format!("#\nann:{bad}"));
        assert!(matches!(parsed, Err(Error::PasswordHash { line: 2, .. })), "{bad}");
    }
    let twice = format!("ann:{hash}\nann:{hash}");
    assert!(matches!(Htpasswd::parse(&twice), Err(Error::PasswordTwice { line: 2, .. })));
    assert!(!format!("{file:?}").contains("$2"));
}

#[test]
fn the_dummy_hash_is_valid() {
    let check = Htpasswd::parse("").unwrap().check("bob");
    assert!(bcrypt::HashParts::from_str(&check.hash).is_ok() && !check.known && check.padding.is_empty());
}

/// The cost of a wrong password, in powers of two.
fn cost(users: &Htpasswd, user: &str) -> u64 {
    let check = users.check(user);
    let own = bcrypt::HashParts::from_str(&check.hash).unwrap().get_cost();
    (1 << own) + check.padding.map(|cost| 1_u64 << cost).sum::<u64>()
}

#[test]
fn a20_a_wrong_password_costs_the_same_for_every_user() {
    let hash = |user: &str, cost| format!("{user}:{}\n", bcrypt::hash("secret", cost).unwrap());
    let users = users(&(hash("ann", 4) + &hash("bob", 7) + &hash("eve", 5)));
    for user in ["ann", "bob", "eve", "anonymous", ""] {
        assert_eq!(cost(&users, user), 1 << 7, "{user}");
        assert!(!users.check(user).run(b"wrong"), "{user}");
    }
    assert!(users.check("ann").run(b"secret") && users.check("bob").run(b"secret"));
    assert_eq!(cost(&Htpasswd::parse("").unwrap(), "bob"), 1 << COST);
    let time = |user: &str| {
        let begun = Instant::now();
        let check = users.check(user);
        (0..40).for_each(|_| assert!(!check.run(b"wrong")));
        begun.elapsed()
    };
    // Without the additional work, the times would differ by a factor of eight.
    let times = ["ann", "bob", "anonymous"].map(|user| (0..3).map(|_| time(user)).min().unwrap());
    assert!(times.iter().max().unwrap() < &(*times.iter().min().unwrap() * 3), "{times:?}");
}
