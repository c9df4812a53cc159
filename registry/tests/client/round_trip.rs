//! What is pushed is pulled again, wherever; what broke goes on.

use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use oci::{Descriptor, Digest, Manifest, RegistryHost, RepositoryName, Selector, media_type};
use registry::client::{Client, ClientConfig, HostRule, Pushed};
use registry::server::{ServerConfig, serve};
use serde_json::json;
use store::Store;

pub(crate) fn client(host: &RegistryHost) -> Client {
    Client::new(config(host)).unwrap()
}

/// A client that speaks plain HTTP to a host, and does not wait long before another try.
pub(crate) fn config(host: &RegistryHost) -> ClientConfig {
    let rule =
        HostRule { host: host.clone(), endpoint: host.clone(), prefix: None, plain_http: true, ca_pem: None };
    let pause = std::time::Duration::from_millis(5);
    ClientConfig { hosts: vec![rule], pause, ..ClientConfig::default() }
}

async fn airlock(folder: &std::path::Path) -> RegistryHost {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let store = Store::open(&folder.join("store")).unwrap();
    let config = ServerConfig::new(store);
    tokio::spawn(serve(listener, None, config, std::future::pending()));
    address.parse().unwrap()
}

struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn docker_registry(folder: &std::path::Path) -> Option<(Peer, RegistryHost)> {
    if Command::new("docker-registry").arg("--version").output().is_err() {
        assert!(std::env::var_os("AIRLOCK_TEST_REQUIRE_PEERS").is_none(), "docker-registry is missing");
        println!("skipped: docker-registry is not installed");
        return None;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = folder.join("registry.yml");
    let root = folder.join("peer").display().to_string();
    let text = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new("docker-registry");
    let child =
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let address = format!("127.0.0.1:{port}");
    for _ in 0..200 {
        if std::net::TcpStream::connect(&address).is_ok() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Some((Peer(child), address.parse().unwrap()))
}

fn blob(bytes: &[u8]) -> Descriptor {
    let kind = "application/octet-stream".parse().unwrap();
    Descriptor::new(kind, Digest::sha256(bytes), bytes.len() as u64)
}

async fn push(
    client: &Client,
    host: &RegistryHost,
    repository: &RepositoryName,
    bytes: Vec<u8>,
) -> Descriptor {
    let descriptor = blob(&bytes);
    let open = move |from: u64| {
        let rest = Bytes::copy_from_slice(&bytes[usize::try_from(from).unwrap()..]);
        Ok(stream::iter([Ok::<_, io::Error>(rest)]).boxed())
    };
    client.push_blob(host, repository, &descriptor, None, &open).await.unwrap();
    descriptor
}

async fn round_trip(host: &RegistryHost) {
    let client = client(host);
    let (one, other): (RepositoryName, RepositoryName) =
        ("team/one".parse().unwrap(), "team/other".parse().unwrap());
    let layer = push(&client, host, &one, vec![7; 300_000]).await;
    let never = |_: u64| -> io::Result<_> { Err(io::Error::other("must not be read")) };
    assert_eq!(client.push_blob(host, &one, &layer, None, &never).await.unwrap(), Pushed::Present);
    assert_eq!(client.push_blob(host, &other, &layer, Some(&one), &never).await.unwrap(), Pushed::Mounted);
    let config = push(&client, host, &one, b"{}".to_vec()).await;
    let empty = push(&client, host, &one, Vec::new()).await;
    let body = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": [layer, empty]});
    let image = Manifest::parse(serde_json::to_vec(&body).unwrap().into(), None).unwrap();
    let tag = Selector::Tag("v1".parse().unwrap());
    client.push_manifest(host, &one, &tag, &image).await.unwrap();
    let pulled = client.manifest(host, &one, &tag).await.unwrap().unwrap();
    assert_eq!((pulled.bytes(), pulled.media_type()), (image.bytes(), image.media_type()));

    let body = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": "application/x.test",
        "config": config, "layers": [],
        "subject": {"mediaType": media_type::OCI_MANIFEST, "digest": image.digest(), "size": image.bytes().len()},
    });
    let referrer = Manifest::parse(serde_json::to_vec(&body).unwrap().into(), None).unwrap();
    let selector = Selector::Digest(referrer.digest());
    client.push_manifest(host, &one, &selector, &referrer).await.unwrap();
    let found = client.referrers(host, &one, &image.digest()).await.unwrap();
    assert_eq!(found.iter().map(|entry| &entry.digest).collect::<Vec<_>>(), [&referrer.digest()]);
    assert!(client.referrers(host, &one, &referrer.digest()).await.unwrap().is_empty());

    let missing = Selector::Tag("missing".parse().unwrap());
    assert!(client.manifest(host, &one, &missing).await.unwrap().is_none());
    let mut rest = client.blob(host, &one, &layer, 299_000).await.unwrap();
    assert_eq!(rest.start, 299_000);
    let mut count = 0;
    while let Some(piece) = rest.stream.next().await {
        count += piece.unwrap().len();
    }
    assert_eq!(count, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_to_airlock_is_pulled_again() {
    let folder = tempfile::tempdir().unwrap();
    round_trip(&airlock(folder.path()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_to_docker_registry_is_pulled_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_peer, host)) = docker_registry(folder.path()) else { return };
    round_trip(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_broke_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let host = airlock(folder.path()).await;
    let client = client(&host);
    let repository: RepositoryName = "team/broken".parse().unwrap();
    let bytes: Vec<u8> = (0..4_000_000_u32).map(|n| (n % 251) as u8).collect();
    let descriptor = blob(&bytes);
    let (opened, resumed) = (AtomicU64::new(0), AtomicU64::new(0));
    let open = |from: u64| {
        let rest = bytes[usize::try_from(from).unwrap()..].to_vec();
        if opened.fetch_add(1, Ordering::SeqCst) > 0 {
            resumed.store(from, Ordering::SeqCst);
            return Ok(stream::iter([Ok(Bytes::from(rest))]).boxed());
        }
        let half = Bytes::from(rest[..2_000_000].to_vec());
        let broken = stream::once(async {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            Err(io::Error::other("the cable was pulled"))
        });
        Ok(stream::iter([Ok(half)]).chain(broken).boxed())
    };
    let pushed = client.push_blob(&host, &repository, &descriptor, None, &open).await.unwrap();
    assert_eq!(pushed, Pushed::Sent);
    assert_eq!(opened.load(Ordering::SeqCst), 2);
    assert_eq!(resumed.load(Ordering::SeqCst), 2_000_000);
}
