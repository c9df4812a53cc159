//! A server whose configuration changes while it runs, and one with several listeners.

use std::path::Path;
use std::time::Duration;

use oci::Digest;
use registry::server::{Auth, Change, Limits, Listener, Server, ServerConfig};
use store::Store;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{client, head_of, password};

/// A server on TCP and on a Unix socket that ends with the test.
struct Rig {
    server: Server,
    urls: Vec<String>,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<registry::Result<()>>,
    folder: tempfile::TempDir,
}

impl Rig {
    async fn start(adjust: impl FnOnce(&mut ServerConfig)) -> Self {
        let folder = tempfile::tempdir().expect("no folder");
        let store = Store::open(&folder.path().join("store")).expect("no store");
        let mut config = ServerConfig::new(store);
        adjust(&mut config);
        let (mut listeners, mut urls) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("no port");
            urls.push(format!("http://{}", listener.local_addr().expect("no address")));
            listeners.push(Listener::tcp(listener, None));
        }
        listeners.push(Listener::unix(&folder.path().join("socket")).expect("no socket"));
        let (end, ended) = oneshot::channel::<()>();
        let server = Server::new(config);
        let serving = server.clone();
        let task = tokio::spawn(async move { serving.serve(listeners, async { drop(ended.await) }).await });
        Self { server, urls, end: Some(end), task, folder }
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("socket")
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.urls[0]["http://".len()..]).await.expect("no connection")
    }

    /// The status of a request by a user or with a token.
    async fn status(&self, method: &str, path: &str, authorization: Option<(&str, &str)>) -> u16 {
        let url = format!("{}{path}", self.urls[0]);
        let request = if method == "POST" { client().post(url) } else { client().get(url) };
        let request = match authorization {
            Some(("token", token)) => request.bearer_auth(token),
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        request.send().await.expect("no answer").status().as_u16()
    }
}

fn change(auth: Option<Auth>) -> Change {
    Change { auth, read_only: false, gate: None, limits: Limits::default() }
}

/// The status of a request over a Unix socket.
async fn status_over(path: &Path, target: &str) -> String {
    let mut stream = UnixStream::connect(path).await.expect("no connection");
    let request = format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("not written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("no answer");
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn tokens_and_checked_passwords_end_with_the_authentication_that_they_belong_to() {
    let rig = Rig::start(|config| config.auth = password(true)).await;
    let ann = ("ann", "secret");
    let answer =
        client().get(format!("{}/token", rig.urls[0])).basic_auth("ann", Some("secret")).send().await;
    let body = answer.expect("no answer").bytes().await.expect("no body");
    let body: serde_json::Value = serde_json::from_slice(&body).expect("no JSON");
    let token = ("token", body["token"].as_str().expect("no token"));
    let push = "/v2/a/blobs/uploads/";
    assert_eq!(rig.status("POST", push, Some(token)).await, 202);
    rig.server.change(change(None));
    assert_eq!(rig.status("POST", push, Some(token)).await, 202, "without new passwords, tokens stay valid");
    assert_eq!(rig.status("POST", push, Some(ann)).await, 202);
    let hash = bcrypt::hash("new", 4).expect("no hash");
    let users = registry::server::Htpasswd::parse(&format!("ann:{hash}\n")).expect("no users");
    rig.server.change(change(Some(Auth::Htpasswd { users, anonymous_pull: true })));
    assert_eq!(rig.status("POST", push, Some(token)).await, 401);
    assert_eq!(rig.status("POST", push, Some(ann)).await, 401);
    assert_eq!(rig.status("POST", push, Some(("ann", "new"))).await, 202);
}

#[tokio::test]
async fn requests_that_have_begun_keep_the_configuration_before_a_change() {
    let rig = Rig::start(|_| ()).await;
    let digest = Digest::sha256(b"helloworld");
    let mut stream = rig.connect().await;
    let request = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello"
    );
    stream.write_all(request.as_bytes()).await.expect("not written");
    tokio::time::sleep(Duration::from_millis(200)).await;
    rig.server.change(Change { read_only: true, ..change(None) });
    assert_eq!(rig.status("POST", "/v2/a/blobs/uploads/", None).await, 405);
    stream.write_all(b"world").await.expect("not written");
    assert!(head_of(&mut stream).await.starts_with("HTTP/1.1 201"));
    rig.server.change(change(None));
    assert_eq!(rig.status("POST", "/v2/a/blobs/uploads/", None).await, 202);
}

#[tokio::test]
async fn a_change_of_limits_keeps_the_limits_of_connections() {
    let new = Limits { transfers: 1, per_client: 1, tags_per_push: 3, free_bytes: 7, ..Limits::default() };
    let merged = new.with_fixed_of(&Limits::default());
    assert_eq!(merged, Limits { tags_per_push: 3, free_bytes: 7, ..Limits::default() });
    let rig = Rig::start(|_| ()).await;
    let limits = Limits { free_bytes: u64::MAX, ..Limits::default() };
    assert_eq!(rig.status("GET", "/readyz", None).await, 200);
    rig.server.change(Change { limits, ..change(None) });
    assert_eq!(rig.status("GET", "/readyz", None).await, 503);
    assert_eq!(rig.status("GET", "/livez", None).await, 200);
    rig.server.change(Change { limits, read_only: true, ..change(None) });
    assert_eq!(rig.status("GET", "/readyz", None).await, 200, "a full disk does not matter to readers");
}

#[tokio::test]
async fn a_registry_with_a_full_disk_says_so() {
    let rig = Rig::start(|config| config.limits.free_bytes = u64::MAX).await;
    let answer = client().get(format!("{}/readyz", rig.urls[0])).send().await.expect("no answer");
    assert_eq!(answer.status(), 503);
    let text = answer.text().await.expect("no body");
    assert!(text.contains("the disk is full: "), "{text}");
}

#[tokio::test]
async fn a_registry_without_a_free_slot_is_not_ready() {
    let rig = Rig::start(|config| config.limits.transfers = 1).await;
    let mut stream = rig.connect().await;
    let request = "POST /v2/a/blobs/uploads/?digest=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 \
                   HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello";
    stream.write_all(request.as_bytes()).await.expect("not written");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let answer = client().get(format!("{}/readyz", rig.urls[0])).send().await.expect("no answer");
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.expect("no body").contains("all slots"));
    drop(stream);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(rig.status("GET", "/readyz", None).await, 200);
}

#[tokio::test]
async fn all_listeners_share_the_limits_and_unix_sockets_are_a_client_of_their_own() {
    let rig = Rig::start(|config| config.limits.per_client = 2).await;
    // Connections with an unfinished request count, on either listener.
    let mut held = Vec::new();
    for url in &rig.urls {
        let mut stream = TcpStream::connect(&url["http://".len()..]).await.expect("no connection");
        let request = "POST /v2/a/blobs/uploads/?digest=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 \
                       HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello";
        stream.write_all(request.as_bytes()).await.expect("not written");
        held.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    for url in &rig.urls {
        let answer = client().get(format!("{url}/v2/")).send().await.expect("no answer");
        assert_eq!(answer.status(), 429);
    }
    assert_eq!(status_over(&rig.socket(), "/v2/").await, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn all_listeners_end_together_and_let_requests_finish() {
    let mut rig = Rig::start(|_| ()).await;
    let digest = Digest::sha256(b"helloworld");
    let mut stream = UnixStream::connect(rig.socket()).await.expect("no connection");
    let request = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello"
    );
    stream.write_all(request.as_bytes()).await.expect("not written");
    tokio::time::sleep(Duration::from_millis(200)).await;
    rig.end.take().expect("no end").send(()).expect("the server is gone");
    tokio::time::sleep(Duration::from_millis(200)).await;
    for url in &rig.urls {
        assert!(
            TcpStream::connect(&url["http://".len()..]).await.is_err(),
            "new connections are still taken"
        );
    }
    assert!(!rig.socket().exists());
    stream.write_all(b"world").await.expect("not written");
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.expect("no answer");
    assert_eq!(&status, b"HTTP/1.1 201");
    drop(stream);
    let ended = tokio::time::timeout(Duration::from_secs(10), rig.task).await.expect("it does not end");
    ended.expect("it panicked").expect("it failed");
}
