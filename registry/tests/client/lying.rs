//! Servers that lie, stumble or ask for patience.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use oci::{Digest, RegistryHost, RepositoryName, Selector};
use registry::client::Error;

use crate::round_trip::client;

pub(crate) const MANIFEST: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

/// A server that answers by a function of the path and of how many requests came before.
pub(crate) async fn server(
    answer: impl Fn(&Request, usize) -> Response + Clone + Send + Sync + 'static,
) -> RegistryHost {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let router = Router::new().fallback(move |request: Request| {
        let response = answer(&request, count.fetch_add(1, Ordering::SeqCst));
        async move { response }
    });
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            let io = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(async move {
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
            });
        }
    });
    address.parse().unwrap()
}

pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &'static str) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Body::from(body)).unwrap()
}

pub(crate) fn place() -> (RepositoryName, Selector) {
    ("a/b".parse().unwrap(), Selector::Tag("v1".parse().unwrap()))
}

#[tokio::test]
async fn other_bytes_than_asked_for_are_refused() {
    let host = server(|_, _| answer(200, &[], MANIFEST)).await;
    let (repository, _) = place();
    let asked = Selector::Digest(Digest::sha256(b"something else"));
    let refused = client(&host).manifest(&host, &repository, &asked).await;
    assert!(matches!(refused, Err(Error::Digest { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_digest_header_that_does_not_fit_is_refused() {
    let wrong = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    let host = server(move |_, _| answer(200, &[("docker-content-digest", wrong)], MANIFEST)).await;
    let (repository, tag) = place();
    let refused = client(&host).manifest(&host, &repository, &tag).await;
    assert!(matches!(refused, Err(Error::Digest { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_refusal_without_end_is_not_read_to_its_end() {
    let host = server(|_, _| {
        let endless = futures::stream::repeat_with(|| {
            Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[b'x'; 4096]))
        });
        Response::builder().status(400).body(Body::from_stream(endless)).unwrap()
    })
    .await;
    let (repository, tag) = place();
    let client = client(&host);
    let asked = client.manifest(&host, &repository, &tag);
    let refused = tokio::time::timeout(Duration::from_secs(20), asked).await.expect("an answer");
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn patience_is_given_when_asked_for() {
    let host = server(|_, before| match before {
        0 => answer(429, &[("retry-after", "1")], ""),
        _ => answer(200, &[], MANIFEST),
    })
    .await;
    let (repository, tag) = place();
    let start = Instant::now();
    assert!(client(&host).manifest(&host, &repository, &tag).await.unwrap().is_some());
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn trouble_with_referrers_is_not_their_absence() {
    let host = server(|request, _| {
        if request.uri().path().contains("/referrers/") { answer(500, &[], "") } else { answer(404, &[], "") }
    })
    .await;
    let (repository, _) = place();
    let failed = client(&host).referrers(&host, &repository, &Digest::sha256(b"x")).await;
    assert!(matches!(failed, Err(Error::Refused { .. })), "{failed:?}");

    let host = server(|request, _| {
        if request.uri().path().contains("/referrers/") {
            answer(404, &[], "")
        } else {
            answer(403, &[], r#"{"errors":[{"code":"DENIED","message":"not for you"}]}"#)
        }
    })
    .await;
    let failed = client(&host).referrers(&host, &repository, &Digest::sha256(b"x")).await.unwrap_err();
    assert!(failed.to_string().contains("not for you"), "{failed}");
    assert!(failed.hint().unwrap().contains("login"));
}

#[tokio::test]
async fn a_token_is_fetched_when_asked_for_and_used_again() {
    let host = server(|request, before| {
        let host = request.headers()["host"].to_str().unwrap().to_owned();
        let authorised = request.headers().get("authorization").is_some_and(|value| value == "Bearer secret");
        match (request.uri().path(), authorised) {
            ("/token", _) => {
                assert!(before < 4, "a second token was asked for");
                answer(200, &[], r#"{"token":"secret"}"#)
            }
            (_, true) => answer(200, &[], MANIFEST),
            _ => {
                let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"s\"");
                answer(401, &[("www-authenticate", &challenge)], "")
            }
        }
    })
    .await;
    let client = client(&host);
    let (repository, tag) = place();
    for _ in 0..3 {
        assert!(client.manifest(&host, &repository, &tag).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_registry_that_never_authorises_is_asked_twice_and_no_more() {
    let host = server(|request, before| {
        assert!(before < 4, "a loop");
        let challenge =
            if request.uri().path() == "/v2/" { "Basic realm=\"r\"" } else { "Basic realm=\"x\"" };
        answer(401, &[("www-authenticate", challenge)], "")
    })
    .await;
    let (repository, tag) = place();
    let refused = client(&host).manifest(&host, &repository, &tag).await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn another_range_than_asked_for_is_refused() {
    let host = server(|_, _| answer(206, &[("content-range", "bytes 0-3/10")], "abcd")).await;
    let (repository, _) = place();
    let blob = oci::Descriptor::new("application/octet-stream".parse().unwrap(), Digest::sha256(b"x"), 10);
    let refused = client(&host).blob(&host, &repository, &blob, 5).await.err();
    assert!(matches!(refused, Some(Error::Protocol { .. })), "{refused:?}");
}
