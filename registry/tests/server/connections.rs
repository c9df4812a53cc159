//! Stalled clients, TLS, readiness, and the end of the server.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use oci::Digest;
use registry::server::Limits;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::{Server, client, head_of, support};

#[tokio::test]
async fn a_registry_whose_store_is_gone_is_not_ready() {
    let server = Server::start(|_| {}).await;
    let marker = server.store.root().join("store.json");
    let ready = || async { client().get(server.url("/readyz")).send().await.expect("no answer").status() };
    assert_eq!(ready().await, 200);
    std::fs::rename(&marker, marker.with_extension("gone")).expect("no store");
    assert_eq!(ready().await, 503);
    assert_eq!(client().get(server.url("/livez")).send().await.expect("no answer").status(), 200);
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let server = Server::start(|config| config.limits.stall = Duration::from_millis(300)).await;
    let mut stream = server.connect().await;
    let request = format!(
        "POST /v2/a/blobs/uploads/?digest={} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello",
        Digest::sha256(b"helloworld")
    );
    stream.write_all(request.as_bytes()).await.expect("not written");
    let head = tokio::time::timeout(Duration::from_secs(10), head_of(&mut stream)).await.expect("no answer");
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up_and_gives_its_turn_back() {
    let server = Server::start(|config| {
        config.limits = Limits { stall: Duration::from_millis(500), transfers: 1, ..config.limits };
    })
    .await;
    let digest = server.add("a", &vec![7; 32 * 1024 * 1024]);
    let path = format!("/v2/a/blobs/{digest}");
    let mut stalled = server.connect().await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    stalled.write_all(request.as_bytes()).await.expect("not written");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut complete = false;
    for _ in 0..20 {
        let answer = client().get(server.url(&path)).send().await.expect("no answer");
        if answer.status() == 200 {
            complete = answer.bytes().await.is_ok_and(|bytes| bytes.len() == 32 * 1024 * 1024);
            break;
        }
        assert_eq!(answer.status(), 429);
    }
    assert!(complete, "the turn was not given back");
}

#[tokio::test]
async fn over_tls_http_2_is_spoken() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("no certificate");
    let private =
        rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).expect("no key");
    let tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .expect("no tls");
    let server = Server::start_with(Some(Arc::new(tls)), |_| ()).await;
    let bytes = vec![9; 5 * 1024 * 1024];
    let digest = Digest::sha256(&bytes);
    let client = support::Client::trusting(key.cert.der().clone());
    let base = format!("https://localhost:{}", server.address.port());
    let upload = format!("{base}/v2/a/blobs/uploads/?digest={digest}");
    let answer = client.post(upload).body(bytes.clone()).send().await.expect("no answer");
    assert_eq!((answer.status(), answer.version()), (StatusCode::CREATED, http::Version::HTTP_2));
    let answer = client.get(format!("{base}/v2/a/blobs/{digest}")).send().await.expect("no answer");
    assert_eq!(answer.bytes().await.expect("no body"), bytes);
    // Plain HTTP on the TLS port affects no other client.
    let mut plain = server.connect().await;
    plain.write_all(b"GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("not written");
    assert_eq!(client.get(format!("{base}/v2/")).send().await.expect("no answer").status(), 200);
}

#[tokio::test]
async fn at_the_end_requests_under_way_are_let_finish() {
    let mut server = Server::start(|_| ()).await;
    let digest = Digest::sha256(b"helloworld");
    let idle = server.connect().await;
    let mut stream = server.connect().await;
    let request = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello"
    );
    stream.write_all(request.as_bytes()).await.expect("not written");
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.end.take().expect("no end").send(()).expect("the server is gone");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(TcpStream::connect(server.address).await.is_err(), "new connections are still taken");
    stream.write_all(b"world").await.expect("not written");
    assert!(head_of(&mut stream).await.starts_with("HTTP/1.1 201"));
    drop((stream, idle));
    let ended = tokio::time::timeout(Duration::from_secs(10), server.task).await.expect("it does not end");
    ended.expect("it panicked").expect("it failed");
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off_at_the_deadline() {
    let mut server = Server::start(|config| config.limits.drain = Duration::from_millis(300)).await;
    let mut stream = server.connect().await;
    let request =
        "POST /v2/a/blobs/uploads/?digest=sha256:x HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("not written");
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.end.take().expect("no end").send(()).expect("the server is gone");
    let ended = tokio::time::timeout(Duration::from_secs(5), server.task).await.expect("it does not end");
    ended.expect("it panicked").expect("it failed");
}
