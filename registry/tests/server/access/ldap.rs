//! Users of a directory: a real `slapd`, which others may read less of than the registry's account, and servers that do not
//! behave.

mod slapd;

use std::sync::Arc;
use std::time::{Duration, Instant};

use registry::server::access::{AccessConfig, Policies, PolicyConfig, Robots};
use registry::server::{Auth, Htpasswd, LdapDirectory};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use self::slapd::{ACCOUNT, Slapd};
use super::PULL;
use crate::support::Request;
use crate::{Server, client};

const MANIFEST: &str = "/v2/team-a/app/manifests/v1";

async fn status(request: Request) -> u16 {
    request.send().await.expect("no answer").status().as_u16()
}

/// A registry with a directory. The password file has the user `admin`, and the group `devs` may pull.
async fn registry(url: &str, ca: Option<&str>, change: &Value) -> Server {
    let mut config = json!({
        "url": url,
        "bindDN": "cn=search,dc=site",
        "userSearch": { "base": "dc=site" },
        "groupSearch": { "base": "ou=groups,dc=site" },
        "usernamePrefix": "ldap:",
        "groupsPrefix": "ldap:",
    });
    for (name, value) in change.as_object().expect("no object") {
        config[name] = value.clone();
    }
    let config = serde_json::from_value(config).expect("no configuration");
    let directory = LdapDirectory::new(config, Some(ACCOUNT), ca).expect("no directory");
    let hash = bcrypt::hash("of the file", 4).expect("no hash");
    let users = Htpasswd::parse(&format!("admin:{hash}\n")).expect("no users");
    let policy = PolicyConfig {
        repositories: vec!["team-a/**".to_owned()],
        to: ["group:devs", "user:admin", "user:ldap:carol"].map(str::to_owned).to_vec(),
        allow: PULL.to_vec(),
    };
    let groups = [("devs".to_owned(), vec!["group:ldap:devs".to_owned()])].into();
    let config = AccessConfig { groups, policies: vec![policy], ..AccessConfig::default() };
    let policies = Policies::new(config, users, Robots::default()).expect("no policies");
    let auth = Auth::Policies(Arc::new(policies.with_ldap(Some(directory))));
    let server = Server::start(|config| config.auth = auth).await;
    server.add_image("team-a/app", "v1", b"config");
    server
}

async fn pull(server: &Server, user: &str, password: &str) -> u16 {
    status(client().get(server.url(MANIFEST)).basic_auth(user, Some(password))).await
}

#[tokio::test]
async fn users_log_in_with_their_passwords_and_pull_by_name_or_group() {
    let Some(slapd) = Slapd::start() else { return };
    for (url, change) in [(slapd.secure(), json!({})), (slapd.plain(), json!({ "startTLS": true }))] {
        let server = registry(&url, Some(&slapd.ca), &change).await;
        for (user, password, expected) in [
            ("ann", "secret of ann", 200),
            ("carol", "secret of carol", 200),
            ("bob", "secret of bob", 403),
            ("ann", "secret of bob", 401),
            ("ann", "", 401),
            ("nobody", "secret of ann", 401),
            // An entry without a password, one that two entries have, and one that is not a person.
            ("blank", "secret of blank", 401),
            ("twin", "secret of twin", 401),
            ("search", ACCOUNT, 401),
            // The password file comes first.
            ("admin", "of the file", 200),
            ("admin", "secret of admin", 401),
            ("robot$ci", "secret of robot$ci", 401),
        ] {
            assert_eq!(pull(&server, user, password).await, expected, "{url} {user} {password}");
        }
        for name in [
            "*",
            "an*",
            "ann)(uid=*",
            ")(uid=*",
            "ann)(|(uid=*)",
            r"\61nn",
            "ann\0",
            "uid=ann,ou=people,dc=site",
        ] {
            assert_eq!(pull(&server, name, "secret of ann").await, 401, "{url} {name}");
        }
    }
}

#[tokio::test]
async fn a_token_has_the_groups_of_its_user() {
    let Some(slapd) = Slapd::start() else { return };
    let server = registry(&slapd.secure(), Some(&slapd.ca), &json!({})).await;
    let client = client();
    for (user, expected) in [("ann", 200), ("bob", 403)] {
        let url = server.url("/token?service=airlock&scope=repository:team-a/app:pull");
        let request = client.get(url).basic_auth(user, Some(&format!("secret of {user}")));
        let text = request.send().await.expect("no answer").text().await.expect("no body");
        let body: Value = serde_json::from_str(&text).expect("no JSON");
        let token = body["token"].as_str().expect("no token");
        assert_eq!(status(client.get(server.url(MANIFEST)).bearer_auth(token)).await, expected, "{user}");
    }
    // Without a search for groups, no user has any.
    let server = registry(&slapd.secure(), Some(&slapd.ca), &json!({ "groupSearch": null })).await;
    assert_eq!(pull(&server, "ann", "secret of ann").await, 403);
    assert_eq!(pull(&server, "carol", "secret of carol").await, 200);
}

#[tokio::test]
async fn a_server_that_is_down_lets_in_only_who_has_just_logged_in() {
    let Some(mut slapd) = Slapd::start() else { return };
    let server = registry(&slapd.secure(), Some(&slapd.ca), &json!({})).await;
    assert_eq!(pull(&server, "ann", "secret of ann").await, 200);
    slapd.stop();
    assert_eq!(pull(&server, "ann", "secret of ann").await, 200, "it is known for a minute");
    assert_eq!(pull(&server, "ann", "wrong").await, 503);
    assert_eq!(pull(&server, "carol", "secret of carol").await, 503);
    assert_eq!(pull(&server, "admin", "of the file").await, 200);
    slapd.run();
    assert_eq!(pull(&server, "carol", "secret of carol").await, 200);
    assert_eq!(pull(&server, "ann", "wrong").await, 401);
}

#[tokio::test]
async fn a_server_that_is_not_trusted_or_refuses_the_account_lets_no_one_in() {
    let Some(slapd) = Slapd::start() else { return };
    let other = slapd::authority().1;
    let account = |name: &str| json!({ "bindDN": name });
    for (ca, change) in [
        (None, json!({})),
        (Some(other.as_str()), json!({})),
        (Some(slapd.ca.as_str()), account("cn=nobody,dc=site")),
        (Some(slapd.ca.as_str()), json!({ "userSearch": { "base": "dc=other" } })),
    ] {
        let server = registry(&slapd.secure(), ca, &change).await;
        assert_eq!(pull(&server, "ann", "secret of ann").await, 503, "{change}");
    }
    let server = registry(&slapd.plain(), Some(&other), &json!({ "startTLS": true })).await;
    assert_eq!(pull(&server, "ann", "secret of ann").await, 503);
}

#[tokio::test]
async fn guesses_are_limited() {
    let Some(slapd) = Slapd::start() else { return };
    let server = registry(&slapd.secure(), Some(&slapd.ca), &json!({})).await;
    let started = Instant::now();
    loop {
        match pull(&server, "ann", "wrong").await {
            401 => assert!(started.elapsed() < Duration::from_mins(1), "there is no limit"),
            other => return assert_eq!(other, 429),
        }
    }
}

#[tokio::test]
async fn a_server_that_is_gone_silent_or_speaks_another_protocol_lets_no_one_in() {
    let mut urls = vec!["ldap://127.0.0.1:1".to_owned()];
    for answer in
        [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x30\x84\xff\xff\xff\xff", b"\x30\x03\x02\x01\x01"]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("no port");
        urls.push(format!("ldap://{}", listener.local_addr().expect("no address")));
        tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.expect("not accepted");
                let _ = stream.write_all(answer).await;
                open.push(stream);
            }
        });
    }
    let asked = urls.iter().map(async |url| {
        let server = registry(url, None, &json!({})).await;
        (pull(&server, "ann", "").await, pull(&server, "ann", "secret of ann").await)
    });
    for (empty, refused) in futures::future::join_all(asked).await {
        assert_eq!((empty, refused), (401, 503));
    }
}
