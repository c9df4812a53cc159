//! Limits of connections and of time.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use oci::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{HOSTILE, client, hostile, site};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a10_health_checks_are_answered_also_for_a_client_that_has_too_much_open() {
    let site = site(|config| config.limits.per_client = 8).await;
    let mut open = Vec::new();
    let text = "PUT /v2/a/manifests/v1 HTTP/1.1\r\nhost: a\r\nauthorization: Basic YW5uOnNlY3JldA==\r\ncontent-length: 9\r\n\r\n{";
    for _ in 0..40 {
        let mut stream = TcpStream::connect(site.address).await.expect("no connection");
        stream.write_all(text.as_bytes()).await.expect("not written");
        open.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let get = async |path: &str| {
        let client = client(Ipv4Addr::LOCALHOST.into());
        let answer = client.get(format!("http://{}{path}", site.address)).send().await.expect("no answer");
        (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
    };
    assert_eq!(get("/livez").await, (200, false));
    assert_eq!(get("/readyz").await, (200, false));
    assert_eq!(get("/v2/").await, (429, true));
    let other = client(HOSTILE.into()).get(format!("http://{}/v2/_catalog", site.address)).send().await;
    assert_eq!(other.expect("no answer").status(), 200, "another client is not refused");
    // Those that keep the server waiting give way in the end.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(get("/v2/_catalog").await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a10_what_is_slow_ends_in_time() {
    let site = site(|config| {
        config.limits.headers = Duration::from_millis(400);
        config.limits.idle = Duration::from_millis(800);
        config.limits.stall = Duration::from_millis(800);
    })
    .await;
    let upload = "POST /v2/a/blobs/uploads/?digest=sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a \
                  HTTP/1.1\r\nhost: a\r\nauthorization: Basic YW5uOnNlY3JldA==\r\ncontent-length: 100000\r\n\r\n";
    let whole = "GET /livez HTTP/1.1\r\nhost: a\r\n\r\n";
    for (name, text, drip) in [
        ("silence", "", false),
        ("half a head", "GET /livez HTTP/1.1\r\nhost", false),
        ("a head of a byte at a time", "GET /livez HTTP/1.1\r\nx: ", true),
        ("a second head", &format!("{whole}GET /liv"), false),
        ("a second head of a byte at a time", &format!("{whole}GET /livez HTTP/1.1\r\nx: "), true),
        ("idling", whole, false),
        ("a preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false),
        ("half a preface", "PRI * HTTP", false),
        ("a body", upload, false),
        ("a body of a byte at a time", upload, true),
    ] {
        let stream = TcpStream::connect(site.address).await.expect("no connection");
        let (mut reading, mut writing) = stream.into_split();
        writing.write_all(text.as_bytes()).await.expect("not written");
        let begun = Instant::now();
        let dripping = tokio::spawn(async move {
            while drip && writing.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            tokio::time::sleep(Duration::from_mins(1)).await;
            drop(writing);
        });
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(20), reading.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "{name}: it is open after {:?}", begun.elapsed());
        println!("{name}: closed after {:?}", begun.elapsed());
        dripping.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_that_stalls_keeps_no_transfer_that_others_need() {
    let site = site(|config| config.limits.transfers = 4).await;
    let digest = Digest::sha256(b"x");
    let post = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: a\r\nauthorization: Basic YW5uOnNlY3JldA==\r\n\
         content-length: 9\r\n\r\nx"
    );
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut stream = hostile(site.address).await.expect("no connection");
        stream.write_all(post.as_bytes()).await.expect("not written");
        open.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    let url = format!("http://{}/v2/a/blobs/uploads/?digest={digest}", site.address);
    let request = client(Ipv4Addr::LOCALHOST.into()).post(url).basic_auth("ann", Some("secret")).body("x");
    assert_eq!(request.send().await.expect("no answer").status(), 201);
    assert!(begun.elapsed() < Duration::from_secs(20), "it waited for {:?}", begun.elapsed());
}
