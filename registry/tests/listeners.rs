//! Hostile clients at a registry's listener: slow, stalled, huge and many, while others work. The short form runs by
//! default; `AIRLOCK_TEST_LONG=1` runs more connections for longer.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may fail where it stands, and prints its figures"
)]

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use oci::Digest;
use registry::server::{Auth, Changed, Htpasswd, Observer, Refused, ServerConfig, serve};
use store::Store;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Clients that work, and how often each does everything in one round.
const CLIENTS: usize = 20;
const TURNS: usize = 3;
/// A busy machine is this slow at times, whoever attacks.
const FLOOR: Duration = Duration::from_secs(3);
const HOSTILE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn is_long() -> bool {
    std::env::var_os("AIRLOCK_TEST_LONG").is_some_and(|value| value == "1")
}

/// As many connections as the test is about, or as descriptors allow: each has two ends in this process.
fn many(short: usize, long: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let open = limits.lines().find(|line| line.starts_with("Max open files"));
    let most = open.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok()).unwrap_or(1024);
    let wanted = if is_long() { long } else { short };
    wanted.min(most.saturating_sub(200) / 2)
}

/// Counts events.
#[derive(Default)]
struct Events(AtomicUsize);

impl Observer for Events {
    fn changed(&self, _: &Changed) -> Result<(), Failure> {
        Ok(())
    }

    fn refused(&self, _: &Refused) -> Result<(), Failure> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

struct Site {
    address: SocketAddr,
    events: Arc<Events>,
    task: JoinHandle<registry::Result<()>>,
    _folder: tempfile::TempDir,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A registry of which anybody may pull.
async fn site(adjust: impl FnOnce(&mut ServerConfig)) -> Site {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().expect("no folder");
    let hash = bcrypt::hash("secret", 6).expect("no hash");
    let users = Htpasswd::parse(&format!("ann:{hash}\n")).expect("no users");
    let events = Arc::new(Events::default());
    let mut config = ServerConfig::new(Store::open(folder.path()).expect("no store"));
    config.auth = Auth::Htpasswd { users, anonymous_pull: true };
    config.observer = Some(Arc::clone(&events) as Arc<dyn Observer>);
    adjust(&mut config);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("no port");
    let address = listener.local_addr().expect("no address");
    let task = tokio::spawn(serve(listener, None, config, std::future::pending()));
    Site { address, events, task, _folder: folder }
}

fn client(from: IpAddr) -> support::Client {
    support::Client::from(from)
}

/// A socket from the hostile client's address.
async fn hostile(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((HOSTILE, 0).into())?;
    socket.connect(address).await
}

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

#[tokio::test]
async fn a20_a_request_with_two_lengths_is_refused() {
    let site = site(|_| ()).await;
    for fields in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "TRANSFER-ENCODING: chunked\r\nx: y\r\ncontent-length: 0",
    ] {
        let mut stream = TcpStream::connect(site.address).await.expect("no connection");
        let text = format!("POST /v2/a/blobs/uploads/ HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n0\r\n\r\n");
        stream.write_all(text.as_bytes()).await.expect("not written");
        let mut answer = String::new();
        let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{fields}: {answer}");
    }
    let mut stream = TcpStream::connect(site.address).await.expect("no connection");
    let text = "GET /livez HTTP/1.1\r\nhost: a\r\ncontent-length: 55\r\n\r\n\nContent-Length: 5\nTransfer-Encoding: chunked\n\nbody body b";
    stream.write_all(text.as_bytes()).await.expect("not written");
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.expect("no answer");
    assert_eq!(&head, b"HTTP/1.1 200 OK", "what a body holds is no head");
}

/// Only one place accepts connections, so that no listener is without bounds.
#[test]
fn a10_every_listener_is_guarded() {
    fn visit(folder: &std::path::Path, found: &Mutex<Vec<String>>) {
        for entry in std::fs::read_dir(folder).expect("no folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                // Doubles for tests, which no program has.
                if !path.ends_with("testing") {
                    visit(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("no text");
                // Tests of their own may listen as they like.
                let text = text.split("#[cfg(test)]").next().unwrap_or_default();
                let accepts = ["axum::serve", ".accept().await", "serve_connection("];
                if accepts.iter().any(|word| text.contains(word)) && !path.ends_with("tests.rs") {
                    found.lock().expect("no list").push(path.display().to_string());
                }
            }
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("no root");
    let found = Mutex::default();
    let crates = std::fs::read_dir(root).expect("no root");
    let folders = crates.map(|entry| entry.expect("no entry").path().join("src"));
    let folders: Vec<_> = folders.filter(|folder| folder.is_dir()).chain([root.join("src")]).collect();
    assert!(folders.iter().any(|folder| folder.ends_with("admission/src")), "{folders:?}");
    for folder in &folders {
        visit(folder, &found);
    }
    let found = found.into_inner().expect("no list");
    assert!(found.len() == 1 && found[0].ends_with("registry/src/server/sockets.rs"), "{found:?}");
}
