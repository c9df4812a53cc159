//! The server beyond the clauses of the specification: passwords, mirrors' `ns`, hostile and stalled clients, TLS, and its end.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a failed setup fails its test, and counts are printed"
)]

mod access;
mod collected;
mod connections;
mod files;
mod governed;
mod metrics;
mod namespaces;
mod observers;
mod passwords;
#[expect(dead_code, reason = "other suites use the rest")]
#[path = "../../../tests/peers/programs.rs"]
mod programs;
mod reads;
mod running;
mod secure;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tokens.rs"]
mod tokens;
mod writes;

use std::net::SocketAddr;
use std::sync::Arc;

use oci::Digest;
use registry::server::{Auth, Htpasswd, Listener, ServerConfig};
use secure::Secure;
use store::{Change, Store};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server that ends with the test.
struct Server {
    address: SocketAddr,
    scheme: &'static str,
    store: Store,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<registry::Result<()>>,
    folder: tempfile::TempDir,
}

impl Server {
    async fn start(adjust: impl FnOnce(&mut ServerConfig)) -> Self {
        Self::start_with(None, adjust).await
    }

    async fn start_with(
        tls: Option<Arc<rustls::ServerConfig>>,
        adjust: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        Self::start_at(|socket| Listener::tcp(socket, tls), "http", adjust).await
    }

    /// A server with TLS and client certificates.
    async fn start_secure(secure: &Secure, adjust: impl FnOnce(&mut ServerConfig)) -> Self {
        Self::start_at(|socket| secure.listener(socket), "https", adjust).await
    }

    async fn start_at(
        listen: impl FnOnce(TcpListener) -> Listener,
        scheme: &'static str,
        adjust: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        let folder = tempfile::tempdir().expect("no folder");
        let store = Store::open(folder.path()).expect("no store");
        let mut config = ServerConfig::new(store.clone());
        adjust(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("no port");
        let address = listener.local_addr().expect("no address");
        let (end, ended) = oneshot::channel();
        let shutdown = async {
            let _ = ended.await;
        };
        let listener = listen(listener);
        let server = registry::server::Server::new(config);
        let task = tokio::spawn(async move { server.serve(vec![listener], shutdown).await });
        Self { address, scheme, store, end: Some(end), task, folder }
    }

    /// Stops it; returns the folder of its store.
    async fn stop(mut self) -> tempfile::TempDir {
        drop(self.end.take());
        self.task.await.expect("no end").expect("it failed");
        self.folder
    }

    fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("no connection")
    }

    /// Puts a blob into a repository without the network.
    fn add(&self, repository: &str, bytes: &[u8]) -> Digest {
        let mut writer = self.store.writer(oci::Algorithm::Sha256).expect("no writer");
        writer.write(bytes).expect("not written");
        let (digest, _) = writer.publish(None).expect("not published");
        let repository = repository.parse().expect("no name");
        self.store.commit(vec![Change::LinkBlob { repository, digest: digest.clone() }]).expect("no commit");
        digest
    }

    /// Puts an image with one blob into a repository; gives its digest.
    fn add_image(&self, repository: &str, tag: &str, config: &[u8]) -> Digest {
        let blob = self.add(repository, config);
        let text = serde_json::json!({
            "schemaVersion": 2, "mediaType": oci::media_type::OCI_MANIFEST, "layers": [],
            "config": { "mediaType": oci::media_type::OCI_CONFIG, "digest": blob.to_string(), "size": config.len() },
        });
        let manifest = oci::Manifest::parse(text.to_string().into_bytes().into(), None).expect("no manifest");
        let digest = manifest.digest();
        let repository: oci::RepositoryName = repository.parse().expect("no name");
        let tag = tag.parse().expect("no tag");
        self.store
            .commit(vec![
                Change::PutManifest { repository: repository.clone(), digest: digest.clone(), manifest },
                Change::SetTag { repository, tag, digest: digest.clone() },
            ])
            .expect("no commit");
        digest
    }
}

fn client() -> support::Client {
    support::Client::new()
}

fn password(anonymous_pull: bool) -> Auth {
    let hash = bcrypt::hash("secret", 4).expect("no hash");
    let users = Htpasswd::parse(&format!("ann:{hash}\n")).expect("no users");
    Auth::Htpasswd { users, anonymous_pull }
}

/// Writes a raw request and reads until the answer's head is there.
async fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).expect("not text")
}

/// The value of a parameter of a challenge.
fn parameter(challenge: &str, name: &str) -> String {
    let (_, rest) = challenge.split_once(&format!("{name}=\"")).expect("no such parameter");
    rest.split_once('"').expect("no end").0.to_owned()
}
