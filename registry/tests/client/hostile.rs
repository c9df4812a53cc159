//! Upstreams that would fill disk, memory or time.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use oci::{Descriptor, Digest, RegistryHost};
use registry::client::{ByteStream, Client, ClientConfig, Error};

use crate::lying::{answer, place, server};
use crate::round_trip::{client, config};

fn blob(size: u64) -> Descriptor {
    Descriptor::new("a/b".parse().unwrap(), Digest::sha256(b"x"), size)
}

fn endless(headers: &[(&str, &str)]) -> Response {
    let bytes = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 4096])));
    let mut response = Response::builder().status(200);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Body::from_stream(bytes)).unwrap()
}

/// How many bytes come before the end, and how it ends.
async fn drain(mut bytes: ByteStream) -> (usize, Option<Error>) {
    let mut count = 0;
    while let Some(piece) = bytes.stream.next().await {
        match piece {
            Ok(piece) => count += piece.len(),
            Err(error) => return (count, Some(error)),
        }
    }
    (count, None)
}

#[tokio::test]
async fn a13_a_blob_never_has_more_bytes_than_its_descriptor_says() {
    let host = server(|_, _| endless(&[])).await;
    let (repository, _) = place();
    for size in [0, 1, 5_000, 100_000] {
        let bytes = client(&host).blob(&host, &repository, &blob(size), 0).await.unwrap();
        let (count, error) = drain(bytes).await;
        assert!(matches!(error, Some(Error::TooLong { limit, .. }) if limit == size), "{size}: {error:?}");
        assert!(count as u64 <= size + 70_000, "{count}");
    }
    let host = server(|_, _| answer(200, &[], "too much")).await;
    let bytes = client(&host).blob(&host, &repository, &blob(3), 0).await.unwrap();
    let (count, error) = drain(bytes).await;
    assert!(count == 0 && matches!(error, Some(Error::TooLong { .. })), "{count} {error:?}");
}

#[tokio::test]
async fn a13_manifests_tokens_and_lists_without_end_are_bounded() {
    let host = server(|request, _| {
        let host = request.headers()["host"].to_str().unwrap().to_owned();
        match request.uri().path() {
            path if path.contains("/referrers/") => {
                endless(&[("content-type", "application/vnd.oci.image.index.v1+json")])
            }
            path if path.contains("/guarded/") => {
                let challenge = format!("Bearer realm=\"http://{host}/token\"");
                answer(401, &[("www-authenticate", &challenge)], "")
            }
            _ => endless(&[]),
        }
    })
    .await;
    let client = client(&host);
    let (repository, tag) = place();
    let work = async {
        let manifest = client.manifest(&host, &repository, &tag).await.unwrap_err();
        assert!(matches!(manifest, Error::TooLong { .. }), "{manifest}");
        let listed = client.referrers(&host, &repository, &Digest::sha256(b"x")).await.unwrap_err();
        assert!(matches!(listed, Error::TooLong { .. }), "{listed}");
        let guarded = "a/guarded".parse().unwrap();
        let token = client.manifest(&host, &guarded, &tag).await.unwrap_err();
        assert!(matches!(token, Error::TooLong { .. }), "{token}");
    };
    tokio::time::timeout(Duration::from_mins(1), work).await.expect("an end");
}

/// A registry whose pages of referrers have no end.
async fn pages(
    next: impl Fn(usize) -> String + Clone + Send + Sync + 'static,
    entries: usize,
) -> RegistryHost {
    server(move |request, before| {
        if !request.uri().path().contains("/referrers/") {
            return answer(404, &[], "");
        }
        let listed: Vec<_> = (0..entries)
            .map(|n| {
                let digest = Digest::sha256(format!("{before} {n}").as_bytes());
                serde_json::json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1})
            })
            .collect();
        let body = serde_json::json!({"schemaVersion": 2, "manifests": listed}).to_string();
        let link = format!("<{}{}>; rel=\"next\"", request.uri().path(), next(before));
        Response::builder()
            .header("content-type", "application/vnd.oci.image.index.v1+json")
            .header("link", link)
            .body(Body::from(body))
            .unwrap()
    })
    .await
}

#[tokio::test]
async fn a13_pages_of_referrers_without_end_are_bounded() {
    let (repository, _) = place();
    let subject = Digest::sha256(b"x");
    let host = pages(|page| format!("?last={page}"), 500).await;
    let listed = client(&host).referrers(&host, &repository, &subject).await.unwrap_err();
    assert!(matches!(listed, Error::TooMany { .. }), "{listed}");
    let host = pages(|_| "?last=same".to_owned(), 0).await;
    let listed = client(&host).referrers(&host, &repository, &subject).await.unwrap_err();
    assert!(matches!(listed, Error::Protocol { .. }), "{listed}");
}

#[tokio::test]
async fn a13_a_body_that_drips_is_given_up() {
    let host = server(|_, _| {
        let drip = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
        });
        Response::builder().status(200).body(Body::from_stream(drip)).unwrap()
    })
    .await;
    let config = ClientConfig { idle: Duration::from_secs(1), least: 1000, tries: 0, ..config(&host) };
    let client = Client::new(config).unwrap();
    let (repository, tag) = place();
    let start = Instant::now();
    let bytes = client.blob(&host, &repository, &blob(1 << 30), 0).await.unwrap();
    let (_, error) = drain(bytes).await;
    assert!(matches!(error, Some(Error::Stalled { .. })), "{error:?}");
    let manifest = client.manifest(&host, &repository, &tag).await.unwrap_err();
    assert!(matches!(manifest, Error::Stalled { .. }), "{manifest}");
    assert!(start.elapsed() < Duration::from_secs(20));
}
