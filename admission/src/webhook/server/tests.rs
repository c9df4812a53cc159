//! Hostile clients of the webhooks' listener, which every pod in the cluster can reach.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::post;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;

use super::*;
use crate::webhook::body;

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A resolver for a certificate, and the configuration of a client that trusts it.
fn tls() -> (CertificateResolver, Arc<ClientConfig>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let generated = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(generated.signing_key.serialize_der()).unwrap();
    let key = CertifiedKey::from_der(vec![generated.cert.der().clone()], key, &provider).unwrap();
    let resolver = CertificateResolver::default();
    *resolver.0.write().unwrap() = Some(Arc::new(key));
    let mut roots = RootCertStore::empty();
    roots.add(generated.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    (resolver, Arc::new(client.with_root_certificates(roots).with_no_client_auth()))
}

async fn connect(from: Ipv4Addr, to: SocketAddr, client: &Arc<ClientConfig>) -> Stream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let stream = socket.connect(to).await.unwrap().into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(client), name).unwrap(), stream)
}

/// Sends a review of `len` bytes without the last `less` bytes, and returns the first line of the response.
fn review(mut stream: Stream, len: usize, less: usize) -> String {
    let start = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"kind":"Pod"},"operation":"CREATE","name":""#;
    let end = r#""}}"#;
    let head = format!("POST /verify HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len}\r\n\r\n{start}");
    let mut left = len - start.len() - end.len();
    let mut good = stream.write_all(head.as_bytes()).is_ok();
    while good && left > 0 {
        let piece = left.min(16 * 1024);
        good = stream.write_all(&[b'x'; 16 * 1024][..piece]).is_ok();
        left -= piece;
    }
    let _ = stream.write_all(&end.as_bytes()[..end.len() - less]).and_then(|()| stream.flush());
    let mut response = [0; 64];
    let read = stream.read(&mut response).unwrap_or(0);
    String::from_utf8_lossy(&response[..read]).lines().next().unwrap_or_default().to_owned()
}

/// A memory statistic of this process, in MiB.
fn memory(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a7_incomplete_bodies_do_not_block_the_api_server() {
    let (resolver, client) = tls();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route(
        "/verify",
        post(|http: Request| async {
            match body::read(http).await {
                Ok((request, _held)) => (StatusCode::OK, request.uid),
                Err(rejection) => rejection,
            }
        }),
    );
    let (end, ended) = oneshot::channel::<()>();
    let stop = async { drop(ended.await) };
    let tls = Some(Arc::new(config(resolver).unwrap()));
    let task = tokio::spawn(SOCKETS.serve(listener, tls, Proxies::default(), router, stop));
    let before = memory("VmRSS");
    let mut attackers = Vec::new();
    for number in 0..48_u8 {
        let stream = connect(Ipv4Addr::new(127, 0, 0, 2 + number / 8), address, &client).await;
        attackers.push(tokio::task::spawn_blocking(move || review(stream, 8 << 20, 1)));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (mut slowest, mut peak) = (Duration::ZERO, 0);
    for _ in 0..20 {
        let stream = connect(Ipv4Addr::LOCALHOST, address, &client).await;
        let begun = Instant::now();
        let response = tokio::task::spawn_blocking(move || review(stream, 200_000, 0)).await.unwrap();
        assert_eq!(response, "HTTP/1.1 200 OK");
        slowest = slowest.max(begun.elapsed());
        peak = peak.max(memory("VmRSS"));
    }
    let responses: Vec<_> =
        futures::future::join_all(attackers).await.into_iter().map(Result::unwrap).collect();
    assert!(responses.iter().all(|response| !response.contains("200")), "{responses:?}");
    let more = peak.saturating_sub(before);
    println!(
        "48 connections with incomplete bodies of 8 MiB: the slowest review took {slowest:?}, memory grew by {more} MiB"
    );
    assert!(more < 192, "{more} MiB more");
    assert!(slowest < Duration::from_secs(8), "{slowest:?}");
    drop(end);
    let _ = tokio::time::timeout(Duration::from_secs(20), task).await;
}
