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

/// A hash of `secret` by the reference implementation: `printf secret | argon2 somesalt -id -t 2 -k 1024 -p 2 -e`.
const ARGON: &str = "$argon2id$v=19$m=1024,t=2,p=2$c29tZXNhbHQ$U6LnibNwFyFIc1qpY0NRjCMFtXBvZi4DNCbrCLIWDYQ";

#[test]
fn argon2id_hashes_of_other_programs_are_checked() {
    let file = users(&format!("ann:{ARGON}\n"));
    let check = file.check("ann");
    assert!(check.run(b"secret") && !check.run(b"Secret") && !check.run(b""));
    assert!(!file.check("bob").run(b"secret"));
}

#[test]
fn a10_argon2id_hashes_that_need_much_memory_or_time_are_refused() {
    let parse = |text: &str| Htpasswd::parse(&format!("ann:{text}")).is_ok();
    assert!(parse(ARGON));
    for (part, other) in [
        ("m=1024", "m=65537"),
        ("m=1024", "m=4294967295"),
        ("m=1024", "m=7"),
        ("t=2", "t=11"),
        ("t=2", "t=0"),
        ("p=2", "p=17"),
        ("p=2", "p=2,keyid=a"),
        ("m=1024,t=2", "t=2,m=1024"),
        ("v=19", "v=16"),
        ("argon2id", "argon2i"),
        ("argon2id", "argon2d"),
        ("c29tZXNhbHQ", "c29t"),
        ("$c29tZXNhbHQ", ""),
    ] {
        assert!(ARGON.contains(part) && !parse(&ARGON.replacen(part, other, 1)), "{part} {other}");
    }
    assert!(!parse(&format!("{ARGON}$")) && !parse(&format!("{ARGON}=")));
    assert!(!parse(ARGON.rsplit_once('$').unwrap().0));
}

/// The cost of a wrong password, in powers of two.
fn cost(users: &Htpasswd, user: &str) -> u64 {
    let check = users.check(user);
    let own = check.own.as_ref().and_then(Hash::bcrypt);
    own.into_iter().chain(check.bcrypt).map(|cost| 1_u64 << cost).sum()
}

/// The work of a wrong password by Argon2id.
fn argon(users: &Htpasswd, user: &str) -> u32 {
    let check = users.check(user);
    check.own.as_ref().map(Hash::argon).unwrap_or_default() + check.argon
}

#[test]
fn a20_a_wrong_password_costs_the_same_with_hashes_of_both_kinds() {
    let hash = bcrypt::hash("secret", 5).unwrap();
    let more = ARGON.replace("t=2", "t=3");
    let both = users(&format!("ann:{hash}\nbob:{ARGON}\neve:{more}\n"));
    for user in ["ann", "bob", "eve", "nobody"] {
        assert_eq!((cost(&both, user), argon(&both, user)), (1 << 5, 3072), "{user}");
        assert!(!both.check(user).run(b"wrong"), "{user}");
    }
    let one = users(&format!("bob:{ARGON}\n"));
    assert_eq!([argon(&one, "bob"), argon(&one, "nobody")], [2048, 2048]);
    assert_eq!([cost(&one, "bob"), cost(&one, "nobody")], [0, 0]);
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
