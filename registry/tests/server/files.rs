//! Blobs that the kernel sends on plain connections, and their counterparts over TLS and HTTP/2: every response has exactly
//! the bytes of the blob, whatever happens to the connection or to the file.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use oci::Digest;
use store::{Change, Store};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::{Server, client, support};

const MIB: usize = 1 << 20;

/// Bytes that no other place of the test has: a wrong byte, or a zero from nowhere, is always noticed.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn file_of(server: &Server, digest: &Digest) -> PathBuf {
    server.store.root().join("blobs/sha256").join(&digest.hex()[..2]).join(digest.hex())
}

/// Removes the file's pages from the page cache.
fn evict(server: &Server, digest: &Digest) {
    let file = File::open(file_of(server, digest)).expect("no file");
    file.sync_all().expect("not flushed");
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("not evicted");
}

fn request(method: &str, digest: &Digest, headers: &str) -> String {
    format!("{method} /v2/a/blobs/{digest} HTTP/1.1\r\nhost: a\r\n{headers}\r\n")
}

struct Answer {
    head: String,
    body: Vec<u8>,
}

/// Reads the response to a request; the body of a response to HEAD is empty.
async fn answer(stream: &mut TcpStream, is_head: bool) -> Answer {
    let head = crate::head_of(stream).await;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.expect("no length").parse().expect("no number");
    let mut body = vec![0; if is_head { 0 } else { length }];
    stream.read_exact(&mut body).await.expect("the response is too short");
    Answer { head, body }
}

/// Whether it is not `assert_eq!`, which would print megabytes.
fn same(found: &[u8], expected: &[u8]) -> bool {
    found == expected
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_get_exactly_their_bytes_in_order() {
    let server = Server::start(|_| ()).await;
    let contents: Vec<Vec<u8>> = [3 * MIB + 17, 300_000, 16 * 1024, 100, 262_144, 262_145, 0]
        .iter()
        .zip(1..)
        .map(|(len, seed)| noise(*len, seed))
        .collect();
    let digests: Vec<Digest> = contents.iter().map(|bytes| server.add("a", bytes)).collect();
    let mut stream = server.connect().await;
    for round in 0..3 {
        let mut text = String::new();
        for digest in &digests {
            text += &request("GET", digest, "");
            text += &request("HEAD", digest, "");
        }
        stream.write_all(text.as_bytes()).await.expect("not written");
        for (bytes, digest) in contents.iter().zip(&digests) {
            let got = answer(&mut stream, false).await;
            assert!(
                got.head.starts_with("HTTP/1.1 200") && got.head.contains(&digest.to_string()),
                "{}",
                got.head
            );
            assert!(same(&got.body, bytes), "round {round}: {digest} of {} bytes", bytes.len());
            let head = answer(&mut stream, true).await.head;
            assert!(head.contains(&format!("content-length: {}\r\n", bytes.len())), "{head}");
        }
        if round == 1 {
            for digest in &digests {
                evict(&server, digest);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_and_their_separators_alternate_as_requested() {
    let server = Server::start(|_| ()).await;
    let bytes = noise(5 * MIB + 3, 7);
    let digest = server.add("a", &bytes);
    let mut stream = server.connect().await;
    let sets: &[&[(usize, usize)]] = &[
        &[(0, 2 * MIB)],
        &[(1_000_001, 2_000_002)],
        &[(4 * MIB, 5 * MIB + 2), (0, 0), (70_000, 400_000), (1, 65_536)],
        &[(5 * MIB + 2, 5 * MIB + 2), (0, 262_143), (262_144, 524_287)],
        &[(10, 20), (30, 40)],
    ];
    for set in sets {
        let ranges: Vec<String> = set.iter().map(|(first, last)| format!("{first}-{last}")).collect();
        let text = request("GET", &digest, &format!("range: bytes={}\r\n", ranges.join(",")));
        stream.write_all(text.as_bytes()).await.expect("not written");
        let got = answer(&mut stream, false).await;
        assert!(got.head.starts_with("HTTP/1.1 206"), "{}", got.head);
        let mut expected = Vec::new();
        for (index, (first, last)) in set.iter().enumerate() {
            if set.len() > 1 {
                let line = if index == 0 { "" } else { "\r\n" };
                expected.extend_from_slice(
                    format!(
                        "{line}--{}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {first}-{last}/{}\r\n\r\n",
                        &digest.hex()[..32],
                        bytes.len()
                    )
                    .as_bytes(),
                );
            }
            expected.extend_from_slice(&bytes[*first..=*last]);
        }
        if set.len() > 1 {
            expected.extend_from_slice(format!("\r\n--{}--\r\n", &digest.hex()[..32]).as_bytes());
        }
        assert!(same(&got.body, &expected), "{set:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_at_once_do_not_mix_their_files() {
    let server = Server::start(|_| ()).await;
    let contents: Vec<Vec<u8>> = (1..=8).map(|seed| noise(MIB + seed, seed as u64)).collect();
    let digests: Vec<Digest> = contents.iter().map(|bytes| server.add("a", bytes)).collect();
    let all = Arc::new((contents, digests));
    let tasks: Vec<_> = (0..16)
        .map(|start| {
            let (all, address) = (Arc::clone(&all), server.address);
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("no connection");
                for at in (0..16).map(|at| (start + at) % 8) {
                    let text = request("GET", &all.1[at], "");
                    stream.write_all(text.as_bytes()).await.expect("not written");
                    assert!(same(&answer(&mut stream, false).await.body, &all.0[at]), "{at}");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("it failed");
    }
}

#[tokio::test]
async fn a_client_that_leaves_early_gives_its_turn_back() {
    let server = Server::start(|config| config.limits.transfers = 1).await;
    let bytes = noise(24 * MIB, 3);
    let digest = server.add("a", &bytes);
    for _ in 0..3 {
        let mut stream = server.connect().await;
        stream.write_all(request("GET", &digest, "").as_bytes()).await.expect("not written");
        let mut some = vec![0; 300_000];
        stream.read_exact(&mut some).await.expect("no bytes");
        assert!(same(&some[head_length(&some)..], &bytes[..300_000 - head_length(&some)]));
    }
    let got = client().get(server.url(&format!("/v2/a/blobs/{digest}"))).send().await.expect("no answer");
    assert!(same(&got.bytes().await.expect("no body"), &bytes));
}

/// The length of the head at the start of a response.
fn head_length(bytes: &[u8]) -> usize {
    bytes.windows(4).position(|end| end == b"\r\n\r\n").expect("no head") + 4
}

/// Reads a response slowly, as long as it goes on: whether it arrived completely, and its body.
async fn read_slowly(rate: u64, piece: usize, bytes: &[u8]) -> (bool, Vec<u8>) {
    let server = Server::start(|config| {
        config.limits.stall = Duration::from_millis(300);
        config.limits.bytes_per_second = rate;
    })
    .await;
    let digest = server.add("a", bytes);
    let mut stream = narrow(&server).await;
    stream.write_all(request("GET", &digest, "").as_bytes()).await.expect("not written");
    let head = crate::head_of(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let (mut got, mut buffer, begun) = (Vec::new(), vec![0; piece], Instant::now());
    while got.len() < bytes.len() {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return (false, got),
            Ok(count) => got.extend_from_slice(&buffer[..count]),
        }
        // Then only the bytes that the kernel already has are left.
        if begun.elapsed() < Duration::from_secs(8) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    (true, got)
}

#[tokio::test]
async fn a_client_that_reads_slowly_but_steadily_gets_everything() {
    let bytes = noise(6 * MIB, 5);
    // This takes longer than a client may stall: the bytes that the kernel sends count.
    let (complete, got) = read_slowly(100_000, 48 * 1024, &bytes).await;
    assert!(complete && same(&got, &bytes), "{} bytes", got.len());
}

#[tokio::test]
async fn a_client_that_reads_below_the_minimum_rate_is_cut_off() {
    let bytes = noise(24 * MIB, 6);
    let (complete, got) = read_slowly(50_000_000, 8 * 1024, &bytes).await;
    assert!(!complete && same(&got, &bytes[..got.len()]), "{} bytes", got.len());
}

/// A connection with a small receive buffer, so that the server cannot send far ahead.
async fn narrow(server: &Server) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("no socket");
    socket.set_recv_buffer_size(64 * 1024).expect("not set");
    socket.connect(server.address).await.expect("no connection")
}

#[tokio::test]
async fn a_file_that_became_shorter_closes_the_connection_and_no_zeros_are_sent() {
    let server = Server::start(|_| ()).await;
    for (range, seed) in [("", 9), ("range: bytes=1-\r\n", 10)] {
        let bytes = noise(12 * MIB, seed);
        let digest = server.add("a", &bytes);
        let mut stream = narrow(&server).await;
        stream.write_all(request("GET", &digest, range).as_bytes()).await.expect("not written");
        let mut got = vec![0; 64 * 1024];
        stream.read_exact(&mut got).await.expect("no bytes");
        let file = OpenOptions::new().write(true).open(file_of(&server, &digest)).expect("no file");
        file.set_len(8 * MIB as u64).expect("not cut");
        stream.read_to_end(&mut got).await.ok();
        let skip = usize::from(!range.is_empty());
        let body = &got[head_length(&got)..];
        assert!(body.len() <= 8 * MIB - skip, "{}", body.len());
        assert!(same(body, &bytes[skip..skip + body.len()]));
    }
}

/// Adds a blob as another process does, and changes a byte of its file before the server meets it.
fn add_damaged(server: &Server, bytes: &[u8], at: usize) -> Digest {
    let other = Store::open(server.store.root()).expect("no store");
    let mut writer = other.writer(oci::Algorithm::Sha256).expect("no writer");
    writer.write(bytes).expect("not written");
    let (digest, _) = writer.publish(None).expect("not published");
    let repository = "a".parse().expect("no name");
    other.commit(vec![Change::LinkBlob { repository, digest: digest.clone() }]).expect("no commit");
    let file = OpenOptions::new().write(true).open(file_of(server, &digest)).expect("no file");
    file.write_all_at(&[!bytes[at]], at as u64).expect("not damaged");
    digest
}

#[tokio::test]
async fn a_download_of_a_damaged_blob_never_ends_well_and_the_next_request_finds_none() {
    let (server, tls) = (Server::start(|_| ()).await, Secure::start().await);
    for (server, client, base) in
        [(&server, client(), server.url("")), (&tls.server, tls.client.clone(), tls.base.clone())]
    {
        for (at, seed) in [(0, 11), (9 * MIB, 12), (17 * MIB - 1, 13)] {
            let bytes = noise(17 * MIB, seed);
            let digest = add_damaged(server, &bytes, at);
            let url = format!("{base}/v2/a/blobs/{digest}");
            let broken = client.get(&url).send().await.expect("no answer");
            assert_eq!(broken.status(), 200);
            assert!(broken.bytes().await.is_err(), "{at}");
            assert_eq!(client.get(&url).send().await.expect("no answer").status(), 404, "{at}");
        }
    }
}

#[tokio::test]
async fn damage_is_found_although_the_blob_was_hashed_before() {
    let server = Server::start(|_| ()).await;
    let bytes = noise(17 * MIB, 13);
    let digest = server.add("a", &bytes);
    let url = server.url(&format!("/v2/a/blobs/{digest}"));
    for _ in 0..2 {
        let got = client().get(&url).send().await.expect("no answer");
        assert!(same(&got.bytes().await.expect("no body"), &bytes));
    }
    let file = OpenOptions::new().write(true).open(file_of(&server, &digest)).expect("no file");
    file.write_all_at(&[!bytes[5]], 5).expect("not damaged");
    assert_eq!(client().get(&url).send().await.expect("no answer").status(), 404);
}

/// A server with TLS, and a client that trusts it.
struct Secure {
    server: Server,
    client: support::Client,
    base: String,
}

impl Secure {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("no certificate");
        let private =
            rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).expect("no key");
        let tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .expect("no tls");
        let server = Server::start_with(Some(Arc::new(tls)), |_| ()).await;
        let client = support::Client::trusting(key.cert.der().clone());
        let base = format!("https://localhost:{}", server.address.port());
        Self { server, client, base }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_and_http_2_the_bytes_are_the_same() {
    let tls = Secure::start().await;
    for (len, seed) in [(4 * MIB + 5, 1), (70_000, 2), (1000, 3)] {
        let bytes = noise(len, seed);
        let digest = tls.server.add("a", &bytes);
        for round in 0..3 {
            let url = format!("{}/v2/a/blobs/{digest}", tls.base);
            let got = tls.client.get(url).send().await.expect("no answer");
            assert_eq!(got.version(), http::Version::HTTP_2);
            assert!(same(&got.bytes().await.expect("no body"), &bytes), "{len} in round {round}");
            if round == 1 {
                evict(&tls.server, &digest);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_without_tls_mixes_no_streams() {
    let server = Server::start(|_| ()).await;
    let contents: Vec<Vec<u8>> = (1..=6).map(|seed| noise(MIB + seed, seed as u64)).collect();
    let digests: Vec<Digest> = contents.iter().map(|bytes| server.add("a", bytes)).collect();
    let io = TokioIo::new(server.connect().await);
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("no HTTP/2");
    tokio::spawn(connection);
    let requests = digests.iter().zip(&contents).cycle().take(24).map(|(digest, bytes)| {
        let mut sender = sender.clone();
        let request = http::Request::get(server.url(&format!("/v2/a/blobs/{digest}")));
        let request = request.body(Empty::<bytes::Bytes>::new()).expect("no request");
        async move {
            let got = sender.send_request(request).await.expect("no answer");
            assert_eq!(got.version(), http::Version::HTTP_2);
            assert!(same(&got.into_body().collect().await.expect("no body").to_bytes(), bytes));
        }
    });
    futures::future::join_all(requests).await;
}
