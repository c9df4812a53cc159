use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt as _;

use super::super::Htpasswd;
use super::*;
use crate::server::access::{AccessConfig, Allow, NewRobot, PolicyConfig, Verdict};

/// A site where this user may pull from `a`, with a robot account.
struct Site {
    auth: Auth,
    secret: String,
}

fn site(password: &str, to: &str, expires: Option<OffsetDateTime>) -> Site {
    let policy =
        PolicyConfig { repositories: vec!["a".into()], to: vec![to.into()], allow: vec![Allow::Pull] };
    let config = AccessConfig { policies: vec![policy], ..AccessConfig::default() };
    let users = Htpasswd::parse(&format!("ann:{}", bcrypt::hash(password, 4).unwrap())).unwrap();
    let new = NewRobot { name: "ci".into(), expires, ..NewRobot::default() };
    let (created, random) = (OffsetDateTime::now_utc() - Duration::from_hours(1), [7; Robots::RANDOM]);
    let (robots, secret) = Robots::default().create(new, created, &random).unwrap();
    let auth = Auth::Policies(Arc::new(Policies::new(config, users, robots).unwrap()));
    Site { auth, secret }
}

fn header(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
}

fn basic(user: &str, password: &str) -> HeaderMap {
    header(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

async fn ask(
    authenticator: &Authenticator,
    permission: Permission,
    headers: &HeaderMap,
) -> Result<(Caller, Rights), (u16, Option<&'static str>)> {
    let network = Network::of([192, 0, 2, 1].into());
    let asked = authenticator.authorize(permission, Presented { headers, certificate: None, network }).await;
    asked.map_err(|refusal| (refusal.status().as_u16(), refusal.token_fault()))
}

async fn token(authenticator: &Authenticator, headers: &HeaderMap, scope: &str) -> HeaderMap {
    let (caller, _) = ask(authenticator, Permission::Token, headers).await.unwrap();
    let response = authenticator.grant(&caller, [scope].into_iter()).unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert!(body["expires_in"].as_u64().unwrap() >= 60 && body["issued_at"].as_str().unwrap().ends_with('Z'));
    header(&format!("Bearer {}", body["token"].as_str().unwrap()))
}

fn judge(rights: &Rights, name: &str) -> Verdict {
    let name = name.parse().unwrap();
    rights.judge(&name, [&name], Allow::Pull)
}

#[tokio::test]
async fn a_token_has_the_rights_of_its_user_within_its_scope() {
    let site = site("secret", "user:ann", None);
    let authenticator = Authenticator::new(site.auth);
    let (caller, rights) = ask(&authenticator, Permission::Pull, &basic("ann", "secret")).await.unwrap();
    assert_eq!(caller, Caller::User("ann".into()));
    assert_eq!((judge(&rights, "a"), judge(&rights, "b")), (Verdict::Allowed, Verdict::Denied));
    let both = "repository:a:pull repository:b:pull";
    for (scope, a, b) in [
        (both, Verdict::Allowed, Verdict::Denied),
        ("repository:b:pull", Verdict::OutOfScope, Verdict::Denied),
        ("", Verdict::OutOfScope, Verdict::Denied),
    ] {
        let token = token(&authenticator, &basic("ann", "secret"), scope).await;
        let (caller, rights) = ask(&authenticator, Permission::Pull, &token).await.unwrap();
        assert_eq!(caller, Caller::User("ann".into()));
        assert_eq!((judge(&rights, "a"), judge(&rights, "b")), (a, b), "{scope}");
        let again = ask(&authenticator, Permission::Token, &token).await.unwrap_err();
        assert_eq!(again, (401, None), "a token does not give another one");
    }
    let wrong = ask(&authenticator, Permission::Pull, &header("Bearer x")).await.unwrap_err();
    assert_eq!(wrong, (401, Some("invalid_token")));
}

#[tokio::test]
async fn a_changed_policy_applies_to_tokens_that_were_issued_before() {
    let authenticator = Authenticator::new(site("secret", "user:bob", None).auth);
    let ann = token(&authenticator, &basic("ann", "secret"), "repository:a:pull").await;
    let robot = site("secret", "user:bob", None).secret;
    let ci = token(&authenticator, &basic("robot$ci", &robot), "repository:a:pull").await;
    let (_, rights) = ask(&authenticator, Permission::Pull, &ann).await.unwrap();
    assert_eq!(judge(&rights, "a"), Verdict::Denied);
    // The hash of the password has another salt, so ann's tokens end.
    let changed = authenticator.succeeded_by(site("secret", "authenticated", None).auth);
    assert_eq!(ask(&changed, Permission::Pull, &ann).await.unwrap_err(), (401, Some("invalid_token")));
    let (_, rights) = ask(&changed, Permission::Pull, &ci).await.unwrap();
    assert_eq!(judge(&rights, "a"), Verdict::Allowed);
    let Auth::Policies(policies) = &changed.auth else { unreachable!() };
    let revoked = policies.robots().revoke("ci", OffsetDateTime::now_utc()).unwrap();
    let policies = Policies::new(AccessConfig::default(), Htpasswd::default(), revoked).unwrap();
    let revoked = changed.succeeded_by(Auth::Policies(Arc::new(policies)));
    assert_eq!(ask(&revoked, Permission::Pull, &ci).await.unwrap_err(), (401, Some("invalid_token")));
    assert_eq!(ask(&revoked, Permission::Pull, &basic("robot$ci", &robot)).await.unwrap_err().0, 401);
}

#[tokio::test]
async fn anonymous_clients_get_a_token_only_if_a_policy_is_about_them() {
    let nobody = HeaderMap::new();
    let closed = Authenticator::new(site("secret", "authenticated", None).auth);
    for (permission, headers) in [(Permission::Token, &nobody), (Permission::LogIn, &nobody)] {
        assert_eq!(ask(&closed, permission, headers).await.unwrap_err(), (401, None));
    }
    assert_eq!(
        ask(&closed, Permission::LogIn, &header("Bearer anonymous")).await.unwrap_err(),
        (401, Some("invalid_token"))
    );
    let open = Authenticator::new(site("secret", "anonymous", None).auth);
    let token = token(&open, &nobody, "repository:a:pull").await;
    assert!(ask(&open, Permission::LogIn, &token).await.is_ok());
    for headers in [&nobody, &token, &basic("", "")] {
        let (caller, rights) = ask(&open, Permission::Pull, headers).await.unwrap();
        assert_eq!(caller, Caller::Anonymous);
        assert_eq!((judge(&rights, "a"), judge(&rights, "b")), (Verdict::Allowed, Verdict::Denied));
    }
    assert_eq!(ask(&open, Permission::LogIn, &nobody).await.unwrap_err(), (401, None));
}

#[tokio::test]
async fn an_expired_robot_is_refused_and_so_are_its_tokens() {
    let soon = OffsetDateTime::now_utc() + Duration::from_millis(1500);
    let site = site("secret", "authenticated", Some(soon));
    let authenticator = Authenticator::new(site.auth);
    let password = basic("robot$ci", &site.secret);
    let token = token(&authenticator, &password, "repository:a:pull").await;
    let (caller, _) = ask(&authenticator, Permission::Pull, &token).await.unwrap();
    assert_eq!(caller.user().unwrap(), "robot$ci");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(ask(&authenticator, Permission::Pull, &password).await.unwrap_err(), (401, None));
    assert_eq!(
        ask(&authenticator, Permission::Pull, &token).await.unwrap_err(),
        (401, Some("invalid_token"))
    );
}

#[tokio::test]
async fn wrong_secrets_are_delayed_and_do_not_limit_the_logins_of_others() {
    let site = site("secret", "authenticated", None);
    let authenticator = Arc::new(Authenticator::new(site.auth));
    let attempts: Vec<_> = (0..100)
        .map(|at| {
            let (authenticator, name) = (Arc::clone(&authenticator), ["ci", "no"][at % 2]);
            let headers = basic(&format!("robot${name}"), &format!("airlock_{at}"));
            tokio::spawn(async move {
                let begun = Instant::now();
                let (status, _) = ask(&authenticator, Permission::Pull, &headers).await.unwrap_err();
                (status, begun.elapsed())
            })
        })
        .collect();
    for attempt in attempts {
        let (status, took) = attempt.await.unwrap();
        assert!(status == 401 && took >= WRONG, "{status} {took:?}");
    }
    assert!(ask(&authenticator, Permission::Pull, &basic("robot$ci", &site.secret)).await.is_ok());
    assert!(ask(&authenticator, Permission::Pull, &basic("ann", "secret")).await.is_ok());
}
