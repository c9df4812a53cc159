use super::*;

fn users(text: &str) -> Htpasswd {
    Htpasswd::parse(text).unwrap()
}

fn line(user: &str, password: &str) -> String {
    format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap())
}

fn headers(user: &str, password: &str) -> HeaderMap {
    let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(&value).unwrap())])
}

fn closed(text: &str, anonymous_pull: bool) -> Authenticator {
    Authenticator::new(Auth::Htpasswd { users: users(text), anonymous_pull })
}

async fn ask(
    authenticator: &Authenticator,
    permission: Permission,
    headers: &HeaderMap,
) -> Result<Caller, u16> {
    let network = Network::of([192, 0, 2, 1].into());
    let authorized = authenticator.authorize(permission, headers, network).await;
    authorized.map(|(caller, _)| caller).map_err(|refusal| refusal.status().as_u16())
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

#[tokio::test]
async fn only_the_right_password_is_accepted() {
    let authenticator = closed(&line("ann", "secret"), false);
    for _ in 0..2 {
        assert_eq!(
            ask(&authenticator, Permission::Push, &headers("ann", "secret")).await,
            Ok(Caller::User("ann".to_owned()))
        );
    }
    assert_eq!(authenticator.accepted.lock().unwrap().len(), 1);
    for (user, password) in [("ann", "wrong"), ("ann", ""), ("bob", "secret"), ("", "secret")] {
        assert_eq!(ask(&authenticator, Permission::Pull, &headers(user, password)).await, Err(401), "{user}");
    }
    assert_eq!(ask(&authenticator, Permission::Pull, &HeaderMap::new()).await, Err(401));
    assert!(ask(&authenticator, Permission::None, &HeaderMap::new()).await.is_ok());
}

#[tokio::test]
async fn malformed_credentials_are_refused() {
    let authenticator = closed(&line("ann", "secret"), true);
    for value in ["", "Basic", "Basic !", "Basic bm9jb2xvbg==", "Bearer token", "Digest x"] {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
        assert_eq!(ask(&authenticator, Permission::Pull, &headers).await, Err(401), "{value}");
    }
}

#[tokio::test]
async fn anonymous_clients_may_pull_if_allowed_but_never_push() {
    let authenticator = closed(&line("ann", "secret"), true);
    let anonymous = HeaderMap::new();
    assert_eq!(ask(&authenticator, Permission::Pull, &anonymous).await, Ok(Caller::Anonymous));
    assert_eq!(ask(&authenticator, Permission::Push, &anonymous).await, Err(401));
    assert_eq!(ask(&authenticator, Permission::Pull, &headers("ann", "wrong")).await, Err(401));
    let empty = headers("", "");
    assert_eq!(ask(&authenticator, Permission::Pull, &empty).await, Ok(Caller::Anonymous));
    assert_eq!(ask(&authenticator, Permission::Push, &empty).await, Err(401));
    assert_eq!(ask(&closed("", false), Permission::Pull, &empty).await, Err(401));
    let open = Authenticator::new(Auth::Anonymous);
    assert_eq!(ask(&open, Permission::Push, &anonymous).await, Ok(Caller::Anonymous));
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

#[tokio::test]
async fn a10_a_client_s_flood_of_wrong_passwords_does_not_delay_logins_of_others() {
    let authenticator = Arc::new(closed(&format!("ann:{}\n", bcrypt::hash("secret", 8).unwrap()), false));
    let ask = |last: u8, password: String| {
        let authenticator = Arc::clone(&authenticator);
        tokio::spawn(async move {
            let network = Network::of([192, 0, 2, last].into());
            let headers = headers("ann", &password);
            let begun = Instant::now();
            let asked = authenticator.authorize(Permission::Pull, &headers, network).await;
            (asked.map(|(caller, _)| caller).map_err(|refusal| refusal.status().as_u16()), begun.elapsed())
        })
    };
    let flood: Vec<_> = (0..500).map(|at| ask(1, format!("wrong {at}"))).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (asked, took) = ask(2, "secret".to_owned()).await.unwrap();
    assert_eq!(asked, Ok(Caller::User("ann".to_owned())));
    let mut refused = (0, 0);
    let mut longest = Duration::ZERO;
    for task in flood {
        let (asked, took) = task.await.unwrap();
        longest = longest.max(took);
        match asked {
            Err(429) => refused.0 += 1,
            Err(401) => refused.1 += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused.1 >= WAITING && refused.0 >= 500 - 2 * WAITING, "{refused:?}");
    assert!(took < longest, "the login took {took:?}, the flood {longest:?}");
    let again = ask(1, "wrong 0".to_owned()).await.unwrap();
    assert_eq!(again.0, Err(401));
}

#[tokio::test]
async fn concurrent_requests_with_one_password_check_it_once() {
    let authenticator = Arc::new(closed(&line("ann", "secret"), false));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let authenticator = Arc::clone(&authenticator);
            tokio::spawn(
                async move { ask(&authenticator, Permission::Pull, &headers("ann", "secret")).await },
            )
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(Caller::User("ann".to_owned())));
    }
    assert_eq!(authenticator.accepted.lock().unwrap().len(), 1);
    assert!(authenticator.pending.lock().unwrap().is_empty());
}
