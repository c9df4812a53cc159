//! Faults that pass: each is tried again, of registries, token services and files alike.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use error_class::{Class, Classified as _};
use futures::StreamExt as _;
use oci::{Descriptor, Digest, RegistryHost, Selector};
use registry::client::{ByteStream, Client, ClientConfig, Error, ProxySettings};

use crate::lying::{MANIFEST, answer, place, server};
use crate::round_trip::{client, config};

/// A server that writes raw bytes by the number of the connection, then closes it; the client's request is read.
fn raw(replies: impl Fn(usize) -> Vec<u8> + Send + 'static) -> (RegistryHost, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string().parse().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 8192]);
            let _ = stream.write_all(&replies(counted.fetch_add(1, Ordering::SeqCst)));
        }
    });
    (host, count)
}

fn http(headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{headers}\r\n{body}").into_bytes()
}

async fn collect(mut bytes: ByteStream) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    while let Some(piece) = bytes.stream.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all)
}

#[tokio::test]
async fn d11_resets_and_cut_manifests_are_tried_again() {
    let whole = http(&format!("Content-Length: {}\r\n", MANIFEST.len()), MANIFEST);
    let (repository, tag) = place();
    let by_digest = Selector::Digest(Digest::sha256(MANIFEST.as_bytes()));
    let cut = [
        Vec::new(),
        b"HTTP/1.1 200".to_vec(),
        http(&format!("Content-Length: {}\r\n", MANIFEST.len()), &MANIFEST[..9]),
        http("", &MANIFEST[..9]),
        http("", ""),
        http("", "{}                               "),
    ];
    for first in cut {
        let text = String::from_utf8_lossy(&first).into_owned();
        for selector in [&tag, &by_digest] {
            // By a tag alone, only what is not whole JSON can be told from a whole manifest.
            if selector == &tag && text.contains("{}") {
                continue;
            }
            let (first, whole) = (first.clone(), whole.clone());
            let (host, count) = raw(move |before| if before == 0 { first.clone() } else { whole.clone() });
            let found = client(&host).manifest(&host, &repository, selector).await;
            assert!(matches!(found, Ok(Some(_))), "{text}: {found:?}");
            assert_eq!(count.load(Ordering::SeqCst), 2, "{text}");
        }
    }
}

#[tokio::test]
async fn d11_a_token_service_that_stumbles_is_asked_again() {
    for status in [429, 500, 502, 503, 504] {
        let host = server(move |request, before| {
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            match request.uri().path() {
                "/token" if before == 1 => answer(status, &[("retry-after", "0")], ""),
                "/token" => answer(200, &[], r#"{"token":"t"}"#),
                _ if request.headers().contains_key("authorization") => answer(200, &[], MANIFEST),
                _ => {
                    let challenge = format!("Bearer realm=\"http://{host}/token\"");
                    answer(401, &[("www-authenticate", &challenge)], "")
                }
            }
        })
        .await;
        let (repository, tag) = place();
        let found = client(&host).manifest(&host, &repository, &tag).await;
        assert!(matches!(found, Ok(Some(_))), "{status}: {found:?}");
    }
}

#[tokio::test]
async fn d11_registry_and_file_servers_that_stumble_are_asked_again() {
    for status in [408, 429, 500, 502, 503, 504] {
        let host = server(move |_, before| match before {
            0 => answer(status, &[], ""),
            _ => answer(200, &[], MANIFEST),
        })
        .await;
        let (repository, tag) = place();
        assert!(client(&host).manifest(&host, &repository, &tag).await.unwrap().is_some(), "{status}");
        let host = server(move |_, before| match before {
            0 => answer(status, &[("retry-after", "1")], ""),
            _ => answer(200, &[], "file"),
        })
        .await;
        let start = Instant::now();
        let file = client(&host).file(&format!("http://{host}/x"), 0).await.unwrap();
        assert_eq!(collect(file).await.unwrap(), b"file");
        assert!(start.elapsed() >= Duration::from_secs(1), "{status}");
    }
}

#[tokio::test]
async fn d12_a_body_that_is_cut_is_told_with_its_url_and_registry() {
    let (host, _) = raw(|_| http("", "half"));
    let (repository, tag) = place();
    let blob = Descriptor::new("a/b".parse().unwrap(), Digest::sha256(b"whole"), 8);
    let cut = collect(client(&host).blob(&host, &repository, &blob, 0).await.unwrap()).await.unwrap_err();
    assert!(matches!(cut, Error::Short { expected: 8, found: 4, .. }) && cut.is_passing(), "{cut}");
    let text = cut.to_string();
    assert!(
        text.contains(&format!("http://{host}/v2/a/b/blobs/sha256:")) && text.contains("registry"),
        "{text}"
    );

    let page = "<html>Log in</html>";
    let (host, _) = raw(move |_| http("Content-Type: text/html; charset=utf-8\r\n", page));
    let refused = client(&host).manifest(&host, &repository, &tag).await.unwrap_err();
    assert!(refused.to_string().contains("HTML page") && refused.class() == Class::Refused, "{refused}");
    let file = client(&host).file(&format!("http://{host}/x.tgz"), 0).await.unwrap();
    assert!(file.html);
}

#[tokio::test]
async fn o22_a_proxy_that_cannot_be_reached_is_named_and_not_the_registry() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (refusing, _) =
        raw(|_| b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n".to_vec());
    for (proxy, plain) in [
        (closed.to_string(), true),
        (closed.to_string(), false),
        (refusing.to_string(), true),
        (refusing.to_string(), false),
    ] {
        let host: RegistryHost = "registry.invalid:5000".parse().unwrap();
        let all = Some(format!("http://user:secret@{proxy}"));
        let mut config =
            ClientConfig { tries: 1, proxies: ProxySettings { all, ..Default::default() }, ..config(&host) };
        if !plain {
            config.hosts.clear();
        }
        let (repository, tag) = place();
        let failed = Client::new(config).unwrap().manifest(&host, &repository, &tag).await.unwrap_err();
        assert!(matches!(failed, Error::Proxy { .. }), "{failed:?}");
        let text = format!("{failed} {failed:?}");
        assert!(text.contains(&proxy) && !text.contains("secret"), "{text}");
        assert!(failed.hint().unwrap().contains("NO_PROXY"));
    }
}

#[tokio::test]
async fn d24_failures_have_the_class_of_what_can_be_done() {
    let (repository, _) = place();
    let blob = Descriptor::new("a/b".parse().unwrap(), Digest::sha256(b"whole"), 8);
    for (status, class) in
        [(404, Class::Missing), (401, Class::Network), (403, Class::Network), (400, Class::Network)]
    {
        let host = server(move |_, _| answer(status, &[], "")).await;
        let failed = client(&host).blob(&host, &repository, &blob, 0).await.err().unwrap();
        assert_eq!(failed.class(), class, "{failed}");
    }
}
