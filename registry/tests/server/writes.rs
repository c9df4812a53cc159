//! Manifests that are accepted, and changes that are refused.

use std::time::Duration;

use http::StatusCode;
use oci::Digest;
use tokio::io::AsyncWriteExt as _;

use crate::{Server, client, head_of, password};

#[tokio::test]
async fn r9_manifests_that_other_registries_take_are_taken() {
    let server = Server::start(|_| ()).await;
    let (config, layer) = (server.add("a", b"{}"), server.add("a", b"layer"));
    let text = |own: &str, layer_type: &str, more: &str| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{own}","config":{{"mediaType":"{}","digest":"{config}","size":2}},"layers":[{{"mediaType":"{layer_type}","digest":"{layer}","size":5{more}}}]}}"#,
            oci::media_type::OCI_CONFIG
        )
    };
    let (oci, tar) = (oci::media_type::OCI_MANIFEST, oci::media_type::OCI_LAYER);
    for (at, text) in [
        text("", tar, ""),
        text(oci, tar, r#","urls":null"#),
        text(oci, tar, r#","annotations":null,"platform":null"#),
        text(oci, "layer", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let request = client().put(server.url(&format!("/v2/a/manifests/v{at}")));
        let answer = request.header("content-type", oci).body(text.clone()).send().await.expect("no answer");
        assert_eq!(answer.status(), 201, "{text}");
        let answer =
            client().get(server.url(&format!("/v2/a/manifests/v{at}"))).send().await.expect("no answer");
        assert_eq!(answer.headers()["content-type"], oci);
        assert_eq!(answer.text().await.expect("no text"), text);
    }
}

#[tokio::test]
async fn a_read_only_registry_refuses_every_change_with_a_hint() {
    let server = Server::start(|config| config.read_only = true).await;
    let digest = server.add_image("a", "v1", b"config");
    let client = client();
    assert_eq!(client.get(server.url("/v2/a/manifests/v1")).send().await.expect("no answer").status(), 200);
    for (method, path) in [
        (http::Method::POST, "/v2/a/blobs/uploads/".to_owned()),
        (http::Method::PUT, "/v2/a/manifests/v2".into()),
        (http::Method::DELETE, format!("/v2/a/manifests/{digest}")),
        (http::Method::DELETE, format!("/v2/a/blobs/{digest}")),
    ] {
        let answer = client.request(method, server.url(&path)).send().await.expect("no answer");
        assert_eq!(answer.status(), 405, "{path}");
        assert!(answer.text().await.expect("no body").contains("airlock import"), "{path}");
    }
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_is_refused_before_its_body() {
    let server = Server::start(|config| config.auth = password(false)).await;
    let mut stream = server.connect().await;
    let request =
        "PUT /v2/a/manifests/v1 HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("not written");
    let head = tokio::time::timeout(Duration::from_secs(5), head_of(&mut stream)).await.expect("no answer");
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_is_asked_where_it_may() {
    let server = Server::start(|_| ()).await;
    let mut stream = server.connect().await;
    let digest = Digest::sha256(b"hello");
    let request = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("not written");
    assert!(head_of(&mut stream).await.starts_with("HTTP/1.1 100"));
    stream.write_all(b"hello").await.expect("not written");
    assert!(head_of(&mut stream).await.starts_with("HTTP/1.1 201"));
}

#[tokio::test]
async fn a_client_with_a_large_body_still_reads_why_it_was_refused() {
    let server = Server::start(|_| ()).await;
    for path in ["/v2/a/manifests/v1", "/v2/a/blobs/uploads/0123456789abcdef0123456789abcdef?digest=x"] {
        let mut stream = server.connect().await;
        let size = 12 * 1024 * 1024;
        let request = format!("PUT {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {size}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("not written");
        // A client that writes all of its body before it reads, as many do.
        let chunk = vec![b'x'; 64 * 1024];
        for _ in 0..size / chunk.len() {
            if stream.write_all(&chunk).await.is_err() {
                break;
            }
        }
        let head = head_of(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 4"), "{path}: {head:?}");
        assert!(head.contains("connection: close"), "{path}: {head:?}");
    }
}

#[tokio::test]
async fn a_second_writer_to_an_upload_is_told_so() {
    let server = Server::start(|_| ()).await;
    let client = client();
    let answer = client.post(server.url("/v2/a/blobs/uploads/")).send().await.expect("no answer");
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    assert!(location.starts_with("/v2/a/blobs/uploads/"), "{location}");
    let mut first = server.connect().await;
    let request = format!("PATCH {location} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello");
    first.write_all(request.as_bytes()).await.expect("not written");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let second = client.patch(server.url(&location)).body("other").send().await.expect("no answer");
    assert_eq!(second.status(), StatusCode::CONFLICT);
    assert_eq!(client.get(server.url(&location)).send().await.expect("no answer").status(), 204);
    first.write_all(b"world").await.expect("not written");
    assert!(head_of(&mut first).await.starts_with("HTTP/1.1 202"));
    let url = server.url(&format!("{location}?digest={}", Digest::sha256(b"helloworld")));
    assert_eq!(client.put(url).send().await.expect("no answer").status(), 201);
}

#[tokio::test]
async fn an_upload_that_broke_off_goes_on_where_it_stopped() {
    let server = Server::start(|_| ()).await;
    let client = client();
    let answer = client.post(server.url("/v2/a/blobs/uploads/")).send().await.expect("no answer");
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    let mut stream = server.connect().await;
    let request = format!("PATCH {location} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello");
    stream.write_all(request.as_bytes()).await.expect("not written");
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(stream);
    let mut range = String::new();
    for _ in 0..50 {
        let status = client.get(server.url(&location)).send().await.expect("no answer");
        range = status.headers()["range"].to_str().expect("text").to_owned();
        if range == "0-4" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(range, "0-4");
    let request = client.patch(server.url(&location)).header("content-range", "5-9").body("world");
    assert_eq!(request.send().await.expect("no answer").status(), 202);
    let url = server.url(&format!("{location}?digest={}", Digest::sha256(b"helloworld")));
    assert_eq!(client.put(url).send().await.expect("no answer").status(), 201);
}
