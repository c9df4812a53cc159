//! Hostile clients at a registry's listener: slow, stalled, huge and many, while others work. The short form runs by
//! default; `AIRLOCK_TEST_LONG=1` runs more connections for longer.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a failed setup fails its test, and tests print their results"
)]

mod attacks;
mod limits;
#[path = "../support/mod.rs"]
mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use registry::server::{Auth, Changed, Htpasswd, Observer, Refused, ServerConfig, serve};
use store::Store;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

type Failure = Box<dyn std::error::Error + Send + Sync>;

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

/// A registry that allows anonymous pulls.
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
    let mut found = found.into_inner().expect("no list");
    found.sort();
    // Only `sockets.rs` can use `listener.rs`.
    let known = ["registry/src/server/listener.rs", "registry/src/server/sockets.rs"];
    assert!(
        found.len() == 2 && known.iter().zip(&found).all(|(name, path)| path.ends_with(name)),
        "{found:?}"
    );
}
