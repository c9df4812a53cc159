//! Crowds at a registry in another process: slow readers and writers, while healthy clients push and pull. The short form
//! runs by default; `AIRLOCK_TEST_LONG=1` runs 1,000 slow readers and 1,000 slow writers beside 200 healthy clients.
//! `AIRLOCK_TEST_PROGRAM` names another program, such as the release binary.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use oci::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::cli::AIRLOCK;
use crate::serving::ONE;

/// A busy machine is this slow at times, even without a crowd.
const FLOOR: Duration = Duration::from_secs(3);
/// The memory that the registry may use, in MiB.
const MOST_MEMORY: u64 = 512;
/// More than all socket buffers of a connection.
const LARGE: usize = 24 << 20;
const ANN: &str = "Authorization: Basic YW5uOm9uZQ==\r\n";
const EVE: &str = "Authorization: Basic ZXZlOm9uZQ==\r\n";

fn is_long() -> bool {
    std::env::var_os("AIRLOCK_TEST_LONG").is_some_and(|value| value == "1")
}

/// A registry that ends with the test.
struct Registry {
    child: Child,
    address: SocketAddr,
    large: Digest,
    _folder: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    /// With these limits in its configuration, and with a large blob.
    async fn start(limits: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::write(path.join("users"), format!("{ONE}eve{}", ONE.strip_prefix("ann").unwrap())).unwrap();
        let config = format!(
            "apiVersion: airlock.dev/v1alpha1\nkind: RegistryConfig\nstore: store\nlisteners: [{{address: '127.0.0.1:0'}}]\n\
             access: {{htpasswd: users, anonymous: pull}}\nlimits: {{{limits}}}\n"
        );
        std::fs::write(path.join("registry.yaml"), config).unwrap();
        let child = serve(path);
        let begun = Instant::now();
        while !path.join("address").exists() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the registry did not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let url = std::fs::read_to_string(path.join("address")).unwrap();
        let address = url.trim().strip_prefix("http://").unwrap().parse().unwrap();
        let content = vec![7; LARGE];
        let registry = Self { child, address, large: Digest::sha256(&content), _folder: folder };
        let mut ann = Healthy::connect(&registry, 0).await.unwrap();
        let target = format!("/v2/a/blobs/uploads/?digest={}", registry.large);
        ann.ask("POST", &target, 201, &content).await.unwrap();
        registry
    }

    /// The most memory that the registry ever had, in MiB.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }
}

fn serve(folder: &Path) -> Child {
    let program = std::env::var("AIRLOCK_TEST_PROGRAM").unwrap_or_else(|_| AIRLOCK.to_owned());
    Command::new(program)
        .args(["serve", "--file", "registry.yaml", "--create", "--address-file", "address"])
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.join("stderr")).unwrap())
        .spawn()
        .unwrap()
}

async fn connect(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// A client with one connection, from its own address, and the time of each of its requests.
struct Healthy {
    stream: TcpStream,
    number: usize,
    times: Vec<Duration>,
}

impl Healthy {
    async fn connect(registry: &Registry, number: usize) -> Result<Self, String> {
        let own = Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 1, 1).to_bits() + u32::try_from(number).unwrap());
        let stream =
            connect(own, registry.address).await.map_err(|error| format!("no connection: {error}"))?;
        stream.set_nodelay(true).unwrap();
        Ok(Self { stream, number, times: Vec::new() })
    }

    async fn ask(&mut self, method: &str, target: &str, expected: u16, body: &[u8]) -> Result<(), String> {
        let begun = Instant::now();
        let length = body.len();
        let head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{ANN}Content-Length: {length}\r\n\r\n");
        let failed = |error: std::io::Error| {
            format!("{}: {method} {target}: {error} after {:?}", self.number, begun.elapsed())
        };
        let bytes = [head.as_bytes(), body].concat();
        self.stream.write_all(&bytes).await.map_err(&failed)?;
        let mut answer = Vec::new();
        let end = loop {
            if self.stream.read_buf(&mut answer).await.map_err(&failed)? == 0 {
                return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
            }
            if let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        while answer.len() < end + length.unwrap_or(0) {
            if self.stream.read_buf(&mut answer).await.map_err(&failed)? == 0 {
                return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
        self.times.push(begun.elapsed());
        let status = head.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
        let said = || format!("{}: {method} {target}: {}", self.number, String::from_utf8_lossy(&answer));
        if status == Some(expected) { Ok(()) } else { Err(said()) }
    }

    /// Pushes an image, and pulls it.
    async fn work(mut self, round: usize, pause: Duration) -> Result<Vec<Duration>, String> {
        let number = self.number;
        // The clients do not begin all at once.
        tokio::time::sleep(pause * u32::try_from(number % 16).unwrap() / 16).await;
        let layer = format!("{number} {round}").repeat(8 << 10);
        let (blob, config) = (Digest::sha256(layer.as_bytes()), Digest::sha256(b"{}"));
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": oci::media_type::OCI_MANIFEST,
            "config": { "mediaType": oci::media_type::OCI_CONFIG, "digest": config.to_string(), "size": 2 },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": blob.to_string(), "size": layer.len(),
            }],
        });
        let manifest = manifest.to_string();
        let name = format!("/v2/site/app{number}");
        for (method, target, expected, body) in [
            ("POST", format!("{name}/blobs/uploads/?digest={blob}"), 201, layer.as_bytes()),
            ("POST", format!("{name}/blobs/uploads/?digest={config}"), 201, b"{}"),
            ("PUT", format!("{name}/manifests/v{round}"), 201, manifest.as_bytes()),
            ("GET", format!("{name}/manifests/v{round}"), 200, b""),
            ("GET", format!("{name}/blobs/{blob}"), 200, b""),
            ("GET", "/livez".to_owned(), 200, b""),
        ] {
            self.ask(method, &target, expected, body).await?;
            tokio::time::sleep(pause).await;
        }
        Ok(self.times)
    }
}

/// The sorted times of all healthy clients.
async fn round(registry: &Registry, clients: usize, round: usize) -> Vec<Duration> {
    let pause = Duration::from_millis(clients as u64 * 5 / 2);
    let mut working = JoinSet::new();
    for number in 0..clients {
        let client = Healthy::connect(registry, number).await.unwrap();
        working.spawn(client.work(round, pause));
    }
    let mut times = Vec::new();
    while let Some(done) = working.join_next().await {
        times
            .extend(done.unwrap().unwrap_or_else(|error| panic!("a healthy client was not served: {error}")));
    }
    times.sort_unstable();
    times
}

/// Sends or takes a byte a second, or 8 KiB in the same time, which is faster than the minimum; again and again.
async fn crawl(from: Ipv4Addr, registry: SocketAddr, large: Digest, number: usize) {
    let piece = if number.is_multiple_of(4) { 8 << 10 } else { 1 };
    let request = if number.is_multiple_of(2) {
        format!("GET /v2/a/blobs/{large} HTTP/1.1\r\nHost: a\r\n\r\n")
    } else {
        format!(
            "POST /v2/a/blobs/uploads/?digest={large} HTTP/1.1\r\nHost: a\r\n{EVE}Content-Length: {LARGE}\r\n\r\n"
        )
    };
    let mut bytes = vec![7; piece];
    loop {
        if let Ok(mut stream) = connect(from, registry).await {
            let mut moved = stream.write_all(request.as_bytes()).await;
            while moved.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                moved = if number.is_multiple_of(2) {
                    stream.read_exact(&mut bytes).await.map(drop)
                } else {
                    stream.write_all(&bytes).await
                };
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Healthy clients beside a crowd from some addresses, with these limits.
async fn beside_a_crowd(limits: &str, crowd: usize, addresses: usize, healthy: usize) {
    let registry = Registry::start(limits).await;
    let calm = round(&registry, healthy, 0).await;
    let before = registry.peak();
    let mut crawling = JoinSet::new();
    for number in 0..crowd {
        let from = Ipv4Addr::new(127, 0, 0, u8::try_from(2 + number / 4 % addresses).unwrap());
        crawling.spawn(crawl(from, registry.address, registry.large.clone(), number));
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut times = round(&registry, healthy, 1).await;
    times.extend(round(&registry, healthy, 2).await);
    times.sort_unstable();
    crawling.abort_all();
    let (median, now) = (calm[calm.len() / 2], times[times.len() / 2]);
    let (worst, slowest) = (calm[calm.len() - 1], times[times.len() - 1]);
    let (peak, late) = (registry.peak(), times.iter().filter(|time| **time > median * 3).count());
    println!(
        "{crowd} slow clients from {addresses} addresses, {healthy} healthy ones: median {median:?} -> {now:?}, slowest \
         {worst:?} -> {slowest:?}, {late} of {} slower than 3 medians; {before} -> {peak} MiB at the peak",
        times.len()
    );
    assert!(now <= (median * 3).max(FLOOR), "the median is {now:?}, without the crowd {median:?}");
    let most = (median * 3).max(worst * 3).max(FLOOR);
    assert!(slowest <= most, "a request took {slowest:?}, without the crowd at most {worst:?}");
    assert!(peak < MOST_MEMORY, "{peak} MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_and_writers_of_one_address_stop_nobody() {
    let (crowd, healthy) = if is_long() { (2000, 200) } else { (400, 40) };
    beside_a_crowd("", crowd, 1, healthy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_of_many_addresses_keep_no_transfer_that_others_need() {
    let (limits, crowd, healthy) = if is_long() { ("", 2000, 200) } else { ("transfers: 24", 200, 20) };
    beside_a_crowd(limits, crowd, 8, healthy).await;
}
