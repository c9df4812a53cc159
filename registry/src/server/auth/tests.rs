use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

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
    let presented = Presented { headers, certificate: None, network };
    let authorized = authenticator.authorize(permission, presented).await;
    authorized.map(|(caller, _)| caller).map_err(|refusal| refusal.status().as_u16())
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

#[tokio::test]
async fn a10_a_client_s_flood_of_wrong_passwords_does_not_delay_logins_of_others() {
    let authenticator = Arc::new(closed(&format!("ann:{}\n", bcrypt::hash("secret", 8).unwrap()), false));
    let ask = |last: u8, password: String| {
        let authenticator = Arc::clone(&authenticator);
        tokio::spawn(async move {
            let network = Network::of([192, 0, 2, last].into());
            let headers = headers("ann", &password);
            let begun = Instant::now();
            let asked = authenticator
                .authorize(Permission::Pull, Presented { headers: &headers, certificate: None, network })
                .await;
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
