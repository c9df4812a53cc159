//! Healthy clients work while one hostile client attacks.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use oci::Digest;
use registry::server::{Auth, Htpasswd};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::{HOSTILE, Site, client, hostile, is_long, many, site, support};

/// Clients that work, and how often each does everything in one round.
const CLIENTS: usize = 20;
const TURNS: usize = 3;
/// A busy machine is this slow at times, even without an attack.
const FLOOR: Duration = Duration::from_secs(3);

/// What one client does: it pushes an image, pulls it, and asks whether the registry lives. The time of each request.
async fn work(address: SocketAddr, number: usize, turn: usize) -> Result<Vec<Duration>, String> {
    let client = client(Ipv4Addr::LOCALHOST.into());
    let url = |path: &str| format!("http://{address}{path}");
    let layer = format!("{number} {turn}").repeat(8 * 1024);
    let (blob, config) = (Digest::sha256(layer.as_bytes()), Digest::sha256(b"{}"));
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": oci::media_type::OCI_MANIFEST,
        "config": { "mediaType": oci::media_type::OCI_CONFIG, "digest": config.to_string(), "size": 2 },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": blob.to_string(), "size": layer.len() }],
    })
    .to_string();
    let repository = format!("/v2/site/app{number}");
    let ann = |request: support::Request| request.basic_auth("ann", Some("secret"));
    let upload = |digest: &Digest| url(&format!("{repository}/blobs/uploads/?digest={digest}"));
    let requests = [
        (201, ann(client.post(upload(&blob)).body(layer.clone()))),
        (201, ann(client.post(upload(&config)).body("{}"))),
        (201, ann(client.put(url(&format!("{repository}/manifests/v{turn}"))).body(manifest))),
        (200, client.get(url(&format!("{repository}/manifests/v{turn}")))),
        (200, client.get(url(&format!("{repository}/blobs/{blob}")))),
        (200, ann(client.get(url("/v2/")))),
        (200, client.get(url("/livez"))),
    ];
    let mut times = Vec::new();
    for (at, (expected, request)) in requests.into_iter().enumerate() {
        let begun = Instant::now();
        let answer = request.send().await.map_err(|error| format!("request {at}: {error:?}"))?;
        let status = answer.status().as_u16();
        answer.bytes().await.map_err(|error| format!("request {at}: {error:?}"))?;
        if status != expected {
            return Err(format!("request {at} was answered with {status}"));
        }
        times.push(begun.elapsed());
    }
    Ok(times)
}

/// All clients' times, sorted.
async fn round(address: SocketAddr, offset: usize) -> Vec<Duration> {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            tokio::spawn(async move {
                let mut times = Vec::new();
                for turn in 0..TURNS {
                    times.extend(work(address, number, offset + turn).await?);
                }
                Ok::<_, String>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await.expect("it panicked").expect("a healthy client was not served"));
    }
    times.sort_unstable();
    times
}

/// The most memory that this process ever had, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Rounds of healthy clients while connections of one hostile client do `what`, again and again.
async fn under_attack<F>(name: &str, site: &Site, count: usize, what: impl Fn(SocketAddr, usize) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let calm = round(site.address, 0).await;
    let before = peak();
    let attackers: Vec<_> = (0..count).map(|number| tokio::spawn(what(site.address, number))).collect();
    tokio::time::sleep(Duration::from_millis(if is_long() { 10_000 } else { 700 })).await;
    let mut times = Vec::new();
    for offset in 1..=if is_long() { 5 } else { 1 } {
        times.extend(round(site.address, 1000 * offset).await);
    }
    attackers.iter().for_each(JoinHandle::abort);
    times.sort_unstable();
    let (median, worst) = (calm[calm.len() / 2], calm[calm.len() - 1]);
    let (now, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    let slow = times.iter().filter(|time| **time > median * 3).count();
    let grown = peak().saturating_sub(before);
    println!(
        "{name}: {count} connections; median {median:?} -> {now:?}, slowest {worst:?} -> {slowest:?}, {slow} of {} slower \
         than 3 medians; {grown} MiB more at the peak; {} events",
        times.len(),
        site.events.0.load(Ordering::SeqCst),
    );
    assert!(
        now <= (median * 3).max(FLOOR),
        "{name}: a healthy request took {now:?}, without the attack {median:?}"
    );
    assert!(slowest <= (worst * 3).max(FLOOR * 3), "{name}: {slowest:?}, without the attack {worst:?}");
    assert!(grown < 256, "{name}: {grown} MiB more");
}

async fn until_closed(mut stream: TcpStream) {
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
}

/// Connects again and again, says `text`, and then nothing.
async fn says(address: SocketAddr, text: Arc<Vec<u8>>) {
    loop {
        if let Ok(mut stream) = hostile(address).await
            && stream.write_all(&text).await.is_ok()
        {
            until_closed(stream).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a10_wrong_passwords_of_one_client_stop_nobody() {
    let site = site(|_| ()).await;
    under_attack("wrong passwords", &site, many(300, 1500), |address, number| async move {
        let client = client(HOSTILE.into());
        for at in 0.. {
            let request = client.get(format!("http://{address}/v2/"));
            let _ = request.basic_auth("ann", Some(&format!("{number} {at}"))).send().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a10_half_heads_of_one_client_stop_nobody() {
    let site = site(|_| ()).await;
    let heads =
        ["GET /v2/ HTTP/1.1\r\nhost: a\r\nx-slow: ", "PRI * HT", "", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"];
    let heads = heads.map(|head| Arc::new(head.as_bytes().to_vec()));
    under_attack("half heads", &site, many(400, 2100), |address, number| {
        says(address, Arc::clone(&heads[number % heads.len()]))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a10_stalled_manifests_of_one_client_stop_nobody() {
    let site = site(|config| {
        let hash = bcrypt::hash("secret", 4).expect("no hash");
        let users = Htpasswd::parse(&format!("ann:{hash}\n")).expect("no users");
        config.auth = Auth::Htpasswd { users, anonymous_pull: true };
    })
    .await;
    let most = 4 * 1024 * 1024;
    let mut text = format!(
        "PUT /v2/a/manifests/v1 HTTP/1.1\r\nhost: a\r\nauthorization: Basic YW5uOnNlY3JldA==\r\ncontent-length: {most}\r\n\r\n"
    )
    .into_bytes();
    text.resize(text.len() + most - 1, b' ');
    let text = Arc::new(text);
    under_attack("stalled manifests", &site, many(100, 400), |address, _| says(address, Arc::clone(&text)))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a10_transfers_without_progress_of_one_client_stop_nobody() {
    let site = site(|_| ()).await;
    let layer = vec![7; 8 * 1024 * 1024];
    let digest = Digest::sha256(&layer);
    let post = client(Ipv4Addr::LOCALHOST.into())
        .post(format!("http://{}/v2/a/blobs/uploads/?digest={digest}", site.address))
        .basic_auth("ann", Some("secret"))
        .body(layer);
    assert_eq!(post.send().await.expect("no answer").status(), 201);
    under_attack("stalled transfers", &site, many(150, 512), |address, number| {
        let digest = digest.clone();
        async move {
            let request = if number % 2 == 0 {
                format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nhost: a\r\n\r\n")
            } else {
                format!(
                    "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: a\r\nauthorization: Basic YW5uOnNlY3JldA==\r\n\
                     content-length: 100000\r\n\r\nx"
                )
            };
            loop {
                if let Ok(mut stream) = hostile(address).await
                    && stream.write_all(request.as_bytes()).await.is_ok()
                {
                    // It takes one byte of an answer each 20 s, and sends none.
                    while stream.read_u8().await.is_ok() {
                        tokio::time::sleep(Duration::from_secs(20)).await;
                    }
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a6_a_flood_of_refused_requests_is_a_few_events_and_stops_nobody() {
    let site = site(|_| ()).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    under_attack("refused pushes", &site, many(50, 200), move |address, number| {
        let counted = Arc::clone(&counted);
        async move {
            let client = client(HOSTILE.into());
            for at in 0.. {
                let request = match at % 2 {
                    0 => client.put(format!("http://{address}/v2/a/manifests/v{at}")).body("{"),
                    _ => client.delete(format!("http://{address}/v2/a/manifests/v{at}")),
                };
                let request = request.basic_auth(format!("user {number} {at}"), Some("wrong"));
                if request.send().await.is_ok() {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    })
    .await;
    let events = site.events.0.load(Ordering::SeqCst);
    let sent = sent.load(Ordering::SeqCst);
    println!("{sent} refused requests were {events} events");
    // Who guesses passwords is answered slowly, so that a short run has only so many.
    assert!(sent > 20 && events <= 20 && events * 3 < sent, "{sent} requests, {events} events");
}
