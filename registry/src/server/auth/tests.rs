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

async fn ask(authenticator: &Authenticator, right: Right, headers: &HeaderMap) -> Result<Caller, u16> {
    authenticator.authorize(right, headers).await.map_err(|refusal| refusal.status().as_u16())
}

#[test]
fn password_files_are_read_strictly() {
    let hash = bcrypt::hash("secret", 4).unwrap();
    let apache = hash.replacen("$2b$", "$2y$", 1);
    let file = users(&format!("# people\n\nann:{hash}\n  bob:{apache}\r\n"));
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
fn nobodys_hash_is_one() {
    assert!(bcrypt::HashParts::from_str(NOBODY).is_ok());
}

#[tokio::test]
async fn only_the_right_password_opens() {
    let authenticator = closed(&line("ann", "secret"), false);
    for _ in 0..2 {
        assert_eq!(
            ask(&authenticator, Right::Push, &headers("ann", "secret")).await,
            Ok(Caller::User("ann".to_owned()))
        );
    }
    assert_eq!(authenticator.remembered.lock().unwrap().len(), 1);
    for (user, password) in [("ann", "wrong"), ("ann", ""), ("bob", "secret"), ("", "secret")] {
        assert_eq!(ask(&authenticator, Right::Pull, &headers(user, password)).await, Err(401), "{user}");
    }
    assert_eq!(ask(&authenticator, Right::Pull, &HeaderMap::new()).await, Err(401));
    assert!(ask(&authenticator, Right::None, &HeaderMap::new()).await.is_ok());
}

#[tokio::test]
async fn malformed_credentials_are_refused() {
    let authenticator = closed(&line("ann", "secret"), true);
    for value in ["", "Basic", "Basic !", "Basic bm9jb2xvbg==", "Bearer token", "Digest x"] {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
        assert_eq!(ask(&authenticator, Right::Pull, &headers).await, Err(401), "{value}");
    }
}

#[tokio::test]
async fn anybody_pulls_where_that_is_allowed_but_nobody_pushes() {
    let authenticator = closed(&line("ann", "secret"), true);
    let nobody = HeaderMap::new();
    assert_eq!(ask(&authenticator, Right::Pull, &nobody).await, Ok(Caller::Anonymous { challenge: true }));
    assert_eq!(ask(&authenticator, Right::Push, &nobody).await, Err(401));
    assert_eq!(ask(&authenticator, Right::Pull, &headers("ann", "wrong")).await, Err(401));
    let empty = headers("", "");
    assert_eq!(ask(&authenticator, Right::Pull, &empty).await, Ok(Caller::Anonymous { challenge: true }));
    assert_eq!(ask(&authenticator, Right::Push, &empty).await, Err(401));
    assert_eq!(ask(&closed("", false), Right::Pull, &empty).await, Err(401));
    let open = Authenticator::new(Auth::Anonymous);
    assert_eq!(ask(&open, Right::Push, &nobody).await, Ok(Caller::Anonymous { challenge: false }));
}

/// With `htpasswd -B` a known user's hash is cheap; an unknown user must not cost more or less.
#[test]
fn an_unknown_user_costs_what_a_known_one_does() {
    let users = Htpasswd::parse(&line("ann", "secret")).unwrap();
    let (known, own) = users.hash_of("ann");
    assert_eq!((known, users.hash_of("bob")), (true, (false, own)));
    assert_eq!(Htpasswd::parse("").unwrap().hash_of("bob"), (false, NOBODY));
}

#[tokio::test]
async fn many_at_once_check_one_password_once() {
    let authenticator = Arc::new(closed(&line("ann", "secret"), false));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let authenticator = Arc::clone(&authenticator);
            tokio::spawn(async move { ask(&authenticator, Right::Pull, &headers("ann", "secret")).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(Caller::User("ann".to_owned())));
    }
    assert!(authenticator.remembered.lock().unwrap().len() <= CHECKS_AT_ONCE);
}
