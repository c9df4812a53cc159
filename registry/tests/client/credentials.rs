//! Whose password goes where.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::extract::Request;
use axum::response::Response;
use oci::{Descriptor, Digest, RegistryHost};
use registry::client::{Client, ClientConfig, Error, HostRule};

use crate::lying::{MANIFEST, answer, place, server};
use crate::round_trip::config;

/// What a server was sent: path and `Authorization`.
pub(crate) type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// A server that notes paths and credentials.
pub(crate) async fn noting(
    reply: impl Fn(&Request, &str) -> Response + Clone + Send + Sync + 'static,
) -> (RegistryHost, Seen) {
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    let host = server(move |request, _| {
        let value = request.headers().get("authorization");
        let value = value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        noted.lock().unwrap().push((request.uri().to_string(), value.clone()));
        reply(request, &value)
    })
    .await;
    (host, seen)
}

fn docker(folder: &Path, text: &str) -> std::path::PathBuf {
    let path = folder.join("config.json");
    std::fs::write(&path, text).unwrap();
    path
}

/// `Basic` for `mirror:own`.
const OWN: &str = "Basic bWlycm9yOm93bg==";

#[tokio::test]
async fn d1_a_mirror_gets_its_own_password_and_never_that_of_the_host_it_stands_for() {
    let (mirror, seen) = noting(|_, value| match value {
        OWN => answer(200, &[], MANIFEST),
        _ => answer(401, &[("www-authenticate", "Basic realm=\"m\"")], ""),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    // `hub:secret`, `mirror:own`
    let text = format!(
        r#"{{"auths":{{"hub.example":{{"auth":"aHViOnNlY3JldA=="}},"{mirror}":{{"auth":"bWlycm9yOm93bg=="}}}}}}"#
    );
    let rule = |ca_pem| HostRule {
        host: "hub.example".parse().unwrap(),
        endpoint: mirror.clone(),
        prefix: Some("proxy".parse().unwrap()),
        plain_http: true,
        ca_pem,
    };
    let docker_config = Some(docker(folder.path(), &text));
    let config = ClientConfig { hosts: vec![rule(None)], docker_config, ..config(&mirror) };
    let (repository, tag) = place();
    let client = Client::new(config.clone()).unwrap();
    let hub = "hub.example".parse().unwrap();
    assert!(client.manifest(&hub, &repository, &tag).await.unwrap().is_some());
    let sent = seen.lock().unwrap().clone();
    assert!(sent.iter().any(|(path, value)| path.starts_with("/v2/proxy/") && value == OWN), "{sent:?}");
    assert!(sent.iter().all(|(_, value)| value.is_empty() || value == OWN), "{sent:?}");

    // Without a password of its own the mirror gets none at all.
    seen.lock().unwrap().clear();
    docker(folder.path(), r#"{"auths":{"hub.example":{"auth":"aHViOnNlY3JldA=="}}}"#);
    let refused = Client::new(config).unwrap().manifest(&hub, &repository, &tag).await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    let sent = seen.lock().unwrap().clone();
    assert!(sent.iter().all(|(_, value)| value.is_empty()), "{sent:?}");
}

#[tokio::test]
async fn d1_a_redirect_to_another_host_carries_no_authorization_and_may_ask_for_none() {
    let (other, seen) = noting(|request, _| {
        if request.uri().path().contains("ask") {
            return answer(401, &[("www-authenticate", "Basic realm=\"o\"")], "");
        }
        answer(200, &[], "content")
    })
    .await;
    let target = other.to_string();
    let (registry, asked) = noting(move |request, value| {
        if value != OWN {
            return answer(401, &[("www-authenticate", "Basic realm=\"r\"")], "");
        }
        let ask = if request.uri().path().contains("/a/ask/") { "ask" } else { "x" };
        answer(307, &[("location", &format!("http://thief:word@{target}/{ask}?sig=1"))], "")
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        r#"{{"auths":{{"{registry}":{{"auth":"bWlycm9yOm93bg=="}},"{other}":{{"auth":"aHViOnNlY3JldA=="}}}}}}"#
    );
    let docker_config = Some(docker(folder.path(), &text));
    let client = Client::new(ClientConfig { docker_config, ..config(&registry) }).unwrap();
    let blob = Descriptor::new("a/b".parse().unwrap(), Digest::sha256(b"content"), 7);
    let (repository, _) = place();
    assert!(client.blob(&registry, &repository, &blob, 0).await.is_ok());
    let asking = "a/ask".parse().unwrap();
    let refused = client.blob(&registry, &asking, &blob, 0).await.err().unwrap();
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    assert!(!refused.to_string().contains("sig=") && !refused.to_string().contains("word"), "{refused}");
    assert!(seen.lock().unwrap().iter().all(|(_, value)| value.is_empty()), "{:?}", seen.lock());
    assert!(seen.lock().unwrap().len() >= 2 && asked.lock().unwrap().len() >= 3);
}

#[tokio::test]
async fn d1_an_upload_that_goes_on_at_another_host_carries_no_token() {
    let (other, seen) = noting(|_, _| answer(201, &[], "")).await;
    let target = other.to_string();
    let (registry, _) = noting(move |request, value| match (request.method().as_str(), value) {
        (_, "") => answer(401, &[("www-authenticate", "Basic realm=\"r\"")], ""),
        ("POST", _) => answer(202, &[("location", &format!("http://{target}/up"))], ""),
        _ => answer(404, &[], ""),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let text = format!(r#"{{"auths":{{"{registry}":{{"auth":"bWlycm9yOm93bg=="}}}}}}"#);
    let docker_config = Some(docker(folder.path(), &text));
    let client = Client::new(ClientConfig { docker_config, ..config(&registry) }).unwrap();
    let (repository, _) = place();
    let empty = Descriptor::new("a/b".parse().unwrap(), Digest::sha256(b""), 0);
    let never = |_: u64| Err(std::io::Error::other("must not be read"));
    client.push_blob(&registry, &repository, &empty, None, &never).await.unwrap();
    let sent = seen.lock().unwrap().clone();
    assert!(!sent.is_empty() && sent.iter().all(|(_, value)| value.is_empty()), "{sent:?}");
}

#[tokio::test]
async fn d13_an_identity_token_is_changed_for_an_access_token_even_where_v2_is_open() {
    let (host, seen) = noting(|request, value| {
        let host = request.headers()["host"].to_str().unwrap().to_owned();
        match (request.uri().path(), request.method().as_str(), value) {
            ("/token", "POST", "") => answer(200, &[], r#"{"access_token":"access"}"#),
            ("/v2/", ..) => answer(200, &[], "{}"),
            (_, _, "Bearer access") => answer(200, &[], MANIFEST),
            _ => {
                let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"s\"");
                answer(401, &[("www-authenticate", &challenge)], "")
            }
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let text = format!(r#"{{"auths":{{"{host}":{{"identitytoken":"refresh"}}}}}}"#);
    let docker_config = Some(docker(folder.path(), &text));
    let client = Client::new(ClientConfig { docker_config, ..config(&host) }).unwrap();
    let (repository, tag) = place();
    assert!(client.manifest(&host, &repository, &tag).await.unwrap().is_some());
    let sent = seen.lock().unwrap().clone();
    assert!(
        sent.iter().all(|(path, value)| !path.contains("refresh") && !value.contains("refresh")),
        "{sent:?}"
    );
}

#[tokio::test]
async fn d3_no_error_about_a_file_has_its_password_or_query() {
    let (host, seen) = noting(|_, _| answer(403, &[], "no")).await;
    let client = Client::new(config(&host)).unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for place in [host.to_string(), closed.to_string(), "[broken".to_owned()] {
        let url = format!("http://user:secret@{place}/x?X-Amz-Signature=secret#secret");
        let error = client.file(&url, 0).await.err().unwrap();
        let mut text = format!("{error} {error:?}");
        let mut cause = std::error::Error::source(&error);
        while let Some(found) = cause {
            text.push_str(&format!(" {found} {found:?}"));
            cause = found.source();
        }
        assert!(!text.contains("secret"), "{text}");
    }
    // What is not shown is still sent, to that server alone.
    let sent = seen.lock().unwrap().clone();
    assert!(sent[0].0.contains("X-Amz-Signature=secret") && sent[0].1.starts_with("Basic "), "{sent:?}");
}
