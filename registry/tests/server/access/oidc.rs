//! Tokens of issuers: in all places where clients put them, and with keys from a server that is slow, large or gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use registry::server::access::{AccessConfig, Policies, PolicyConfig, Robots};
use registry::server::{Auth, Htpasswd, OidcConfig, OidcIssuer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{PULL, Site, WRITE, oidc_config, pod_token};
use crate::secure::Secure;
use crate::support::Request;
use crate::tokens::Issuer;
use crate::{Server, client};

async fn status(request: Request) -> (u16, String) {
    let answer = request.send().await.expect("no answer");
    let status = answer.status().as_u16();
    (status, answer.text().await.expect("no body"))
}

#[tokio::test]
async fn a_pod_pulls_with_its_token_as_password_or_bearer_and_with_one_for_another_audience_it_does_not() {
    let site = Site::new(&[("team-b/app", "group:pods", PULL), ("shared", "authenticated", WRITE)]);
    let auth = site.auth.clone();
    let server = Server::start(|config| config.auth = auth).await;
    server.add_image("team-b/app", "v1", b"config");
    let manifest = server.url("/v2/team-b/app/manifests/v1");
    let client = client();
    let (_, good) = site.password("pod for registry.site");
    let (_, other) = site.password("pod for other.site");
    // What credential providers send as user name does not matter, even if there is such a user.
    for user in ["<token>", "oauth2accesstoken", "", "admin", "00000000-0000-0000-0000-000000000000"] {
        let by = |token: &str| client.get(&manifest).basic_auth(user, Some(token));
        assert_eq!(status(by(&good)).await.0, 200, "{user}");
        let (refused, said) = status(by(&other)).await;
        assert!(refused == 401 && said.contains("the token is for another audience"), "{user}: {said}");
    }
    assert_eq!(status(client.get(&manifest).basic_auth("robot$ci", Some(&good))).await.0, 401);
    assert_eq!(status(client.get(&manifest).bearer_auth(&good)).await.0, 200);
    assert_eq!(status(client.get(server.url("/v2/")).bearer_auth(&good)).await.0, 200);
    let push = client.post(server.url("/v2/team-b/app/blobs/uploads/")).bearer_auth(&good);
    assert_eq!(status(push).await.0, 403);
    let answer = client.get(&manifest).bearer_auth(&other).send().await.expect("no answer");
    let challenge = answer.headers()["www-authenticate"].to_str().expect("no text").to_owned();
    assert!(answer.status() == 401 && challenge.contains("error=\"invalid_token\""), "{challenge}");
    // Docker and containerd exchange it.
    let scope = "/token?service=airlock&scope=repository:team-b/app:pull,push";
    for request in [
        client.get(server.url(scope)).basic_auth("<token>", Some(&good)),
        client.get(server.url(scope)).bearer_auth(&good),
        client
            .post(server.url("/token"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("grant_type=password&username=x&password={good}&scope=repository:team-b/app:pull")),
    ] {
        let (granted, body) = status(request).await;
        assert_eq!(granted, 200, "{body}");
        let body: serde_json::Value = serde_json::from_str(&body).expect("no JSON");
        let token = body["token"].as_str().expect("no token");
        assert_eq!(status(client.get(&manifest).bearer_auth(token)).await.0, 200);
    }
    assert_eq!(status(client.get(server.url(scope)).basic_auth("x", Some(&other))).await.0, 401);
}

/// How a server of keys behaves.
#[derive(Clone)]
enum Keys {
    Text(String),
    /// More than the limit, without an end.
    Endless,
    Silent,
}

/// A server of keys, and the number of requests that it got.
async fn keys(secure: &Secure, keys: Keys) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("no port");
    let url = format!("https://{}/keys", listener.local_addr().expect("no address"));
    let count = Arc::new(AtomicUsize::new(0));
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&secure.tls));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("not accepted");
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            counted.fetch_add(1, Ordering::Relaxed);
            let keys = keys.clone();
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                match keys {
                    Keys::Text(text) => {
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
                        let _ = stream.write_all(format!("{head}{text}").as_bytes()).await;
                    }
                    Keys::Endless => {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                        while stream.write_all(&[b' '; 8192]).await.is_ok() {}
                    }
                    Keys::Silent => tokio::time::sleep(Duration::from_mins(5)).await,
                }
                let _ = stream.shutdown().await;
            });
        }
    });
    (url, count)
}

/// A registry whose issuer has its keys at a URL.
async fn with_url(url: String, ca: Option<&str>) -> Server {
    let config = OidcConfig { jwks_url: Some(url), ..oidc_config() };
    let issuer = OidcIssuer::new(config, None, ca).expect("no issuer");
    let policy = PolicyConfig {
        repositories: vec!["**".to_owned()],
        to: vec!["authenticated".to_owned()],
        allow: PULL.to_vec(),
    };
    let config = AccessConfig { policies: vec![policy], ..AccessConfig::default() };
    let policies = Policies::new(config, Htpasswd::default(), Robots::default()).expect("no policies");
    let auth = Auth::Policies(Arc::new(policies.with_oidc(vec![issuer])));
    Server::start(|config| config.auth = auth).await
}

fn pem(secure: &Secure) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(&secure.root);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

#[tokio::test]
async fn keys_are_fetched_once_and_unknown_keys_do_not_cause_more_requests() {
    let (secure, issuer, other) = (Secure::new(), Issuer::p256("one"), Issuer::p256("two"));
    let (url, count) = keys(&secure, Keys::Text(issuer.keys())).await;
    let server = with_url(url, Some(&pem(&secure))).await;
    let client = client();
    let ask = async |issuer: &Issuer| {
        status(client.get(server.url("/v2/")).bearer_auth(&pod_token(issuer, "registry.site"))).await
    };
    assert_eq!(count.load(Ordering::Relaxed), 0, "it calls no one before it has to");
    for _ in 0..20 {
        assert_eq!(ask(&issuer).await.0, 200);
        let (refused, said) = ask(&other).await;
        assert!(refused == 401 && said.contains("not among the issuer's keys"), "{said}");
    }
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_server_of_keys_that_is_gone_slow_or_endless_lets_no_one_in() {
    let (secure, issuer) = (Secure::new(), Issuer::p256("one"));
    let ca = pem(&secure);
    let mut servers = Vec::new();
    for behavior in [Keys::Endless, Keys::Silent, Keys::Text("{}".to_owned())] {
        servers.push(with_url(keys(&secure, behavior).await.0, Some(&ca)).await);
    }
    // A certificate that is not trusted, and no server.
    servers.push(with_url(keys(&secure, Keys::Text(issuer.keys())).await.0, None).await);
    servers.push(with_url("https://127.0.0.1:1/keys".to_owned(), Some(&ca)).await);
    let client = client();
    let token = pod_token(&issuer, "registry.site");
    let asked = servers.iter().map(|server| status(client.get(server.url("/v2/")).bearer_auth(&token)));
    for (refused, said) in futures::future::join_all(asked).await {
        assert!(refused == 503 && said.contains("cannot be fetched"), "{refused} {said}");
    }
}
