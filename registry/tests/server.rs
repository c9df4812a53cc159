//! What the server does beyond the specification's clauses: passwords, mirrors' `ns`, hostile and stalled
//! clients, TLS, and its end.

#![expect(clippy::expect_used, reason = "a test may fail where it stands")]

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use oci::Digest;
use registry::server::{Auth, Changed, Htpasswd, Limits, Observer, Refused, ServerConfig, serve};
use store::{Change, Store};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server that ends with the test.
struct Server {
    address: SocketAddr,
    store: Store,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<registry::Result<()>>,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn start(adjust: impl FnOnce(&mut ServerConfig)) -> Self {
        Self::start_with(None, adjust).await
    }

    async fn start_with(
        tls: Option<Arc<rustls::ServerConfig>>,
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
        let task = tokio::spawn(serve(listener, tls, config, shutdown));
        Self { address, store, end: Some(end), task, _folder: folder }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
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

#[tokio::test]
async fn without_a_password_a_closed_registry_only_tells_that_it_lives() {
    let server = Server::start(|config| config.auth = password(false)).await;
    let client = client();
    for path in ["/livez", "/readyz"] {
        assert_eq!(client.get(server.url(path)).send().await.expect("no answer").status(), 200, "{path}");
    }
    for path in ["/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/v1"] {
        let answer = client.get(server.url(path)).send().await.expect("no answer");
        assert_eq!(answer.status(), 401, "{path}");
        assert_eq!(answer.headers()["www-authenticate"], "Basic realm=\"airlock\"");
        assert!(answer.text().await.expect("no body").contains("UNAUTHORIZED"));
    }
    let answer = client.get(server.url("/v2/")).basic_auth("ann", Some("secret")).send().await;
    assert_eq!(answer.expect("no answer").status(), 200);
    let answer = client.get(server.url("/v2/")).basic_auth("ann", Some("wrong")).send().await;
    assert_eq!(answer.expect("no answer").status(), 401);
}

#[tokio::test]
async fn a_registry_whose_store_is_gone_is_not_ready() {
    let server = Server::start(|_| {}).await;
    let marker = server.store.root().join("store.json");
    let ready = || async { client().get(server.url("/readyz")).send().await.expect("no answer").status() };
    assert_eq!(ready().await, 200);
    std::fs::rename(&marker, marker.with_extension("gone")).expect("no store");
    assert_eq!(ready().await, 503);
    assert_eq!(client().get(server.url("/livez")).send().await.expect("no answer").status(), 200);
}

/// The value of a parameter of a challenge.
fn parameter(challenge: &str, name: &str) -> String {
    let (_, rest) = challenge.split_once(&format!("{name}=\"")).expect("no such parameter");
    rest.split_once('"').expect("no end").0.to_owned()
}

/// What Docker, oras, containerd and go-containerregistry do: ask `/v2/`, follow its challenge, use the token.
async fn token(server: &Server, scope: &str, password: Option<&str>) -> Result<String, u16> {
    let client = client();
    let answer = client.get(server.url("/v2/")).send().await.expect("no answer");
    assert_eq!(answer.status(), 401, "Docker heeds a challenge with no other status");
    let challenge = answer.headers()["www-authenticate"].to_str().expect("no text").to_owned();
    assert!(challenge.starts_with("Bearer "), "{challenge}");
    let realm = parameter(&challenge, "realm");
    assert_eq!(realm, server.url("/token"));
    let mut request =
        client.get(format!("{realm}?service={}&scope={scope}", parameter(&challenge, "service")));
    if let Some(password) = password {
        request = request.basic_auth("ann", Some(password));
    }
    let answer = request.send().await.expect("no answer");
    if !answer.status().is_success() {
        return Err(answer.status().as_u16());
    }
    let body: serde_json::Value =
        serde_json::from_slice(&answer.bytes().await.expect("no body")).expect("no JSON");
    assert!(body["expires_in"].as_u64().expect("no number") >= 60);
    assert_eq!(body["token"], body["access_token"]);
    Ok(body["token"].as_str().expect("no token").to_owned())
}

#[tokio::test]
async fn r1_docker_logs_in_with_the_right_password_only_pulls_without_one_and_pushes() {
    let server = Server::start(|config| config.auth = password(true)).await;
    server.add_image("a", "v1", b"config");
    let client = client();
    assert_eq!(token(&server, "", Some("wrong")).await, Err(401), "docker login must fail");
    let user = token(&server, "repository:a:pull,push", Some("secret")).await.expect("no token");
    let anybody = token(&server, "repository:a:pull", None).await.expect("no token");
    for (bearer, base, push) in [(&user, 200, 202), (&anybody, 200, 401)] {
        let get = async |path: &str| {
            client
                .get(server.url(path))
                .bearer_auth(bearer)
                .send()
                .await
                .expect("no answer")
                .status()
                .as_u16()
        };
        assert_eq!(get("/v2/").await, base);
        assert_eq!(get("/v2/a/manifests/v1").await, 200);
        let post = client.post(server.url("/v2/a/blobs/uploads/")).bearer_auth(bearer);
        let answer = post.send().await.expect("no answer");
        assert_eq!(answer.status(), push);
        if push == 401 {
            let challenge = answer.headers()["www-authenticate"].to_str().expect("no text");
            assert_eq!(parameter(challenge, "scope"), "repository:a:pull,push");
        }
    }
    for bearer in ["", "x", "anonymous2"] {
        let answer = client.get(server.url("/v2/a/manifests/v1")).bearer_auth(bearer).send().await;
        assert_eq!(answer.expect("no answer").status(), 401, "{bearer}");
    }
}

#[tokio::test]
async fn r1_clients_that_ask_for_nothing_pull_and_passwords_are_taken_everywhere() {
    let server = Server::start(|config| config.auth = password(true)).await;
    server.add_image("a", "v1", b"config");
    let client = client();
    let answer = client.get(server.url("/v2/a/manifests/v1")).send().await.expect("no answer");
    assert_eq!(answer.status(), 200, "containerd asks for the manifest at once");
    let empty = client.get(server.url("/v2/a/manifests/v1")).basic_auth("", Some(""));
    assert_eq!(empty.send().await.expect("no answer").status(), 200);
    let post = |password| client.post(server.url("/v2/a/blobs/uploads/")).basic_auth("ann", Some(password));
    assert_eq!(post("secret").send().await.expect("no answer").status(), 202);
    assert_eq!(post("wrong").send().await.expect("no answer").status(), 401);
    let base = |password| client.get(server.url("/v2/")).basic_auth("ann", Some(password));
    assert_eq!(base("secret").send().await.expect("no answer").status(), 200);
    assert_eq!(base("wrong").send().await.expect("no answer").status(), 401);
    let post = client.post(server.url("/token")).send().await.expect("no answer");
    assert_eq!(post.status(), 405, "containerd then asks by GET");
    let closed = Server::start(|config| config.auth = password(false)).await;
    let answer = client.get(closed.url("/token")).send().await.expect("no answer");
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn r9_pages_may_be_larger_than_any_number() {
    let server = Server::start(|_| ()).await;
    server.add_image("a", "v1", b"config");
    for path in ["/v2/_catalog", "/v2/a/tags/list"] {
        let status = async |n: &str| {
            client()
                .get(server.url(&format!("{path}?n={n}")))
                .send()
                .await
                .expect("no answer")
                .status()
                .as_u16()
        };
        for n in ["1", "99999", "18446744073709551616", "999999999999999999999999999999"] {
            assert_eq!(status(n).await, 200, "{path} {n}");
        }
        for n in ["-1", "x", ""] {
            assert_eq!(status(n).await, 400, "{path} {n}");
        }
    }
}

#[tokio::test]
async fn r9_manifests_that_other_registries_take_are_taken() {
    let server = Server::start(|_| ()).await;
    let (config, layer) = (server.add("a", b"{}"), server.add("a", b"layer"));
    let text = |own: &str, layer_type: &str, more: &str| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{own}","config":{{"mediaType":"{}","digest":"{config}","size":2}},"layers":[{{"mediaType":"{layer_type}","digest":"{layer}","size":5{more}}}]}}"#,
            oci::media_type::OCI_CONFIG
        )
    };
    let (oci, tar) = (oci::media_type::OCI_MANIFEST, oci::media_type::OCI_LAYER);
    for (at, text) in [
        text("", tar, ""),
        text(oci, tar, r#","urls":null"#),
        text(oci, tar, r#","annotations":null,"platform":null"#),
        text(oci, "layer", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let request = client().put(server.url(&format!("/v2/a/manifests/v{at}")));
        let answer = request.header("content-type", oci).body(text.clone()).send().await.expect("no answer");
        assert_eq!(answer.status(), 201, "{text}");
        let answer =
            client().get(server.url(&format!("/v2/a/manifests/v{at}"))).send().await.expect("no answer");
        assert_eq!(answer.headers()["content-type"], oci);
        assert_eq!(answer.text().await.expect("no text"), text);
    }
}

#[tokio::test]
async fn r11_the_observer_learns_the_address_that_a_trusted_proxy_tells() {
    #[derive(Default)]
    struct Addresses(Mutex<Vec<String>>);
    impl Observer for Addresses {
        fn changed(&self, _: &Changed) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            Ok(())
        }
        fn refused(&self, attempt: &Refused) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            let address = attempt.visitor.address.expect("no address").ip().to_string();
            self.0.lock().expect("no lines").push(address);
            Ok(())
        }
    }
    let mut told = Vec::new();
    for proxies in [&["127.0.0.0/8"][..], &[]] {
        let addresses = Arc::new(Addresses::default());
        let observer = Arc::clone(&addresses);
        let server = Server::start(|config| {
            config.auth = password(true);
            config.observer = Some(observer);
            config.proxies = proxies.iter().map(|text| text.parse().expect("no range")).collect();
        })
        .await;
        let request = client().get(server.url("/v2/")).basic_auth("ann", Some("wrong"));
        let request =
            request.header("x-forwarded-for", "198.51.100.1, 192.0.2.7").header("x-forwarded-proto", "https");
        let answer = request.send().await.expect("no answer");
        let challenge = answer.headers()["www-authenticate"].to_str().expect("no text");
        assert_eq!(parameter(challenge, "realm").starts_with("https://"), !proxies.is_empty());
        told.append(&mut addresses.0.lock().expect("no lines"));
    }
    assert_eq!(told, ["192.0.2.7", "127.0.0.1"]);
}

#[tokio::test]
async fn a_read_only_registry_refuses_every_change_with_a_hint() {
    let server = Server::start(|config| config.read_only = true).await;
    let digest = server.add_image("a", "v1", b"config");
    let client = client();
    assert_eq!(client.get(server.url("/v2/a/manifests/v1")).send().await.expect("no answer").status(), 200);
    for (method, path) in [
        (http::Method::POST, "/v2/a/blobs/uploads/".to_owned()),
        (http::Method::PUT, "/v2/a/manifests/v2".into()),
        (http::Method::DELETE, format!("/v2/a/manifests/{digest}")),
        (http::Method::DELETE, format!("/v2/a/blobs/{digest}")),
    ] {
        let answer = client.request(method, server.url(&path)).send().await.expect("no answer");
        assert_eq!(answer.status(), 405, "{path}");
        assert!(answer.text().await.expect("no body").contains("airlock import"), "{path}");
    }
}

#[tokio::test]
async fn a_mirrors_client_finds_what_ns_means_and_not_what_the_name_means() {
    let server = Server::start(|_| ()).await;
    let mirrored = server.add_image("registry.example/a/b", "v1", b"mirrored");
    let plain = server.add_image("a/b", "v1", b"plain");
    server.add_image("a/b", "local", b"local");
    let client = client();
    let get = async |query: &str| {
        let url = server.url(&format!("/v2/a/b/manifests/{query}"));
        client.get(url).send().await.expect("no answer")
    };
    let answer = get("v1?ns=registry.example").await;
    assert_eq!(answer.headers()["docker-content-digest"], mirrored.to_string());
    assert_eq!(answer.headers()["oci-namespace"], "registry.example");
    for query in ["v1".to_owned(), "v1?ns=".to_owned(), format!("v1?ns={}", server.address)] {
        let answer = get(&query).await;
        assert_eq!(answer.headers()["docker-content-digest"], plain.to_string(), "{query}");
        assert!(!answer.headers().contains_key("oci-namespace"), "{query}");
    }
    for query in
        ["v1?ns=other.example", "v1?ns=..%2f", "local?ns=registry.example", "absent?ns=registry.example"]
    {
        assert_eq!(get(query).await.status(), 404, "{query}");
    }
    let blob = Digest::sha256(b"mirrored");
    let url = server.url(&format!("/v2/a/b/blobs/{blob}?ns=registry.example"));
    assert_eq!(client.get(url).send().await.expect("no answer").text().await.expect("no body"), "mirrored");
    let url = server.url("/v2/a/b/tags/list?ns=registry.example");
    let tags = client.get(url).send().await.expect("no answer").text().await.expect("no body");
    assert_eq!(tags, r#"{"name":"a/b","tags":["v1"]}"#);
}

#[tokio::test]
async fn ranges_are_bounded_and_heed_if_range() {
    let server = Server::start(|_| ()).await;
    let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).take(3_000_000).collect();
    let digest = server.add("a", &bytes);
    let client = client();
    let get = async |headers: &[(&str, String)]| {
        let mut request = client.get(server.url(&format!("/v2/a/blobs/{digest}")));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.send().await.expect("no answer")
    };
    let set = |count: usize| {
        let ranges: Vec<String> = (0..count).map(|at| format!("{}-{}", at * 2000, at * 2000 + 9)).collect();
        vec![("range", format!("bytes={}", ranges.join(",")))]
    };
    let answer = get(&set(1024)).await;
    assert_eq!(answer.status(), 206);
    let length: usize = answer.headers()["content-length"].to_str().expect("text").parse().expect("number");
    let body = answer.bytes().await.expect("no body");
    assert_eq!(body.len(), length);
    assert_eq!(body.windows(14).filter(|window| window == b"Content-Range:").count(), 1024);
    assert_eq!(get(&set(1025)).await.status(), 400);
    let answer = get(&[("range", "bytes=500-0".to_owned())]).await;
    assert_eq!(answer.status(), 416);
    assert_eq!(answer.headers()["content-range"], "bytes */3000000");
    let range = ("range", "bytes=1000000-2099999".to_owned());
    let answer = get(&[range.clone(), ("if-range", format!("\"{digest}\""))]).await;
    assert_eq!(answer.status(), 206);
    assert_eq!(answer.bytes().await.expect("no body"), bytes[1_000_000..2_100_000]);
    let answer = get(&[range, ("if-range", "\"other\"".to_owned())]).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.bytes().await.expect("no body"), bytes);
    let answer = get(&[("if-none-match", format!("\"x\", W/\"{digest}\""))]).await;
    assert_eq!(answer.status(), 304);
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_is_refused_before_its_body() {
    let server = Server::start(|config| config.auth = password(false)).await;
    let mut stream = server.connect().await;
    let request =
        "PUT /v2/a/manifests/v1 HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("not written");
    let head = tokio::time::timeout(Duration::from_secs(5), head_of(&mut stream)).await.expect("no answer");
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_is_asked_where_it_may() {
    let server = Server::start(|_| ()).await;
    let mut stream = server.connect().await;
    let digest = Digest::sha256(b"hello");
    let request = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("not written");
    assert!(head_of(&mut stream).await.starts_with("HTTP/1.1 100"));
    stream.write_all(b"hello").await.expect("not written");
    assert!(head_of(&mut stream).await.starts_with("HTTP/1.1 201"));
}

#[tokio::test]
async fn a_client_with_a_large_body_still_reads_why_it_was_refused() {
    let server = Server::start(|_| ()).await;
    for path in ["/v2/a/manifests/v1", "/v2/a/blobs/uploads/0123456789abcdef0123456789abcdef?digest=x"] {
        let mut stream = server.connect().await;
        let size = 12 * 1024 * 1024;
        let request = format!("PUT {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {size}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("not written");
        // A client that writes all of its body before it reads, as many do.
        let chunk = vec![b'x'; 64 * 1024];
        for _ in 0..size / chunk.len() {
            if stream.write_all(&chunk).await.is_err() {
                break;
            }
        }
        let head = head_of(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 4"), "{path}: {head:?}");
        assert!(head.contains("connection: close"), "{path}: {head:?}");
    }
}

#[tokio::test]
async fn a_second_writer_to_an_upload_is_told_so() {
    let server = Server::start(|_| ()).await;
    let client = client();
    let answer = client.post(server.url("/v2/a/blobs/uploads/")).send().await.expect("no answer");
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    assert!(location.starts_with("/v2/a/blobs/uploads/"), "{location}");
    let mut first = server.connect().await;
    let request = format!("PATCH {location} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello");
    first.write_all(request.as_bytes()).await.expect("not written");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let second = client.patch(server.url(&location)).body("other").send().await.expect("no answer");
    assert_eq!(second.status(), StatusCode::CONFLICT);
    assert_eq!(client.get(server.url(&location)).send().await.expect("no answer").status(), 204);
    first.write_all(b"world").await.expect("not written");
    assert!(head_of(&mut first).await.starts_with("HTTP/1.1 202"));
    let url = server.url(&format!("{location}?digest={}", Digest::sha256(b"helloworld")));
    assert_eq!(client.put(url).send().await.expect("no answer").status(), 201);
}

#[tokio::test]
async fn an_upload_that_broke_off_goes_on_where_it_stopped() {
    let server = Server::start(|_| ()).await;
    let client = client();
    let answer = client.post(server.url("/v2/a/blobs/uploads/")).send().await.expect("no answer");
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    let mut stream = server.connect().await;
    let request = format!("PATCH {location} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello");
    stream.write_all(request.as_bytes()).await.expect("not written");
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(stream);
    let mut range = String::new();
    for _ in 0..50 {
        let status = client.get(server.url(&location)).send().await.expect("no answer");
        range = status.headers()["range"].to_str().expect("text").to_owned();
        if range == "0-4" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(range, "0-4");
    let request = client.patch(server.url(&location)).header("content-range", "5-9").body("world");
    assert_eq!(request.send().await.expect("no answer").status(), 202);
    let url = server.url(&format!("{location}?digest={}", Digest::sha256(b"helloworld")));
    assert_eq!(client.put(url).send().await.expect("no answer").status(), 201);
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let server = Server::start(|config| config.limits.stall = Duration::from_millis(300)).await;
    let mut stream = server.connect().await;
    let request = format!(
        "POST /v2/a/blobs/uploads/?digest={} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello",
        Digest::sha256(b"helloworld")
    );
    stream.write_all(request.as_bytes()).await.expect("not written");
    let head = tokio::time::timeout(Duration::from_secs(10), head_of(&mut stream)).await.expect("no answer");
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up_and_gives_its_turn_back() {
    let server = Server::start(|config| {
        config.limits = Limits { stall: Duration::from_millis(500), transfers: 1, ..config.limits };
    })
    .await;
    let digest = server.add("a", &vec![7; 32 * 1024 * 1024]);
    let path = format!("/v2/a/blobs/{digest}");
    let mut stalled = server.connect().await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    stalled.write_all(request.as_bytes()).await.expect("not written");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut complete = false;
    for _ in 0..20 {
        let answer = client().get(server.url(&path)).send().await.expect("no answer");
        if answer.status() == 200 {
            complete = answer.bytes().await.is_ok_and(|bytes| bytes.len() == 32 * 1024 * 1024);
            break;
        }
        assert_eq!(answer.status(), 429);
    }
    assert!(complete, "the turn was not given back");
}

#[tokio::test]
async fn damaged_blobs_count_as_absent_so_that_they_are_pushed_again() {
    let server = Server::start(|_| ()).await;
    let digest = server.add("a", b"whole");
    let hex = digest.hex();
    let file = server.store.root().join("blobs/sha256").join(&hex[..2]).join(hex);
    std::fs::OpenOptions::new().write(true).open(file).and_then(|file| file.set_len(2)).expect("not cut");
    let client = client();
    let url = server.url(&format!("/v2/a/blobs/{digest}"));
    assert_eq!(client.head(&url).send().await.expect("no answer").status(), 404);
    let upload = server.url(&format!("/v2/a/blobs/uploads/?digest={digest}"));
    assert_eq!(client.post(upload).body("whole").send().await.expect("no answer").status(), 201);
    assert_eq!(client.get(&url).send().await.expect("no answer").text().await.expect("no body"), "whole");
}

#[tokio::test]
async fn over_tls_http_2_is_spoken() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("no certificate");
    let private =
        rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).expect("no key");
    let tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .expect("no tls");
    let server = Server::start_with(Some(Arc::new(tls)), |_| ()).await;
    let bytes = vec![9; 5 * 1024 * 1024];
    let digest = Digest::sha256(&bytes);
    let client = support::Client::trusting(key.cert.der().clone());
    let base = format!("https://localhost:{}", server.address.port());
    let upload = format!("{base}/v2/a/blobs/uploads/?digest={digest}");
    let answer = client.post(upload).body(bytes.clone()).send().await.expect("no answer");
    assert_eq!((answer.status(), answer.version()), (StatusCode::CREATED, http::Version::HTTP_2));
    let answer = client.get(format!("{base}/v2/a/blobs/{digest}")).send().await.expect("no answer");
    assert_eq!(answer.bytes().await.expect("no body"), bytes);
    // Plain HTTP on the TLS port harms nobody else.
    let mut plain = server.connect().await;
    plain.write_all(b"GET /v2/ HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("not written");
    assert_eq!(client.get(format!("{base}/v2/")).send().await.expect("no answer").status(), 200);
}

#[tokio::test]
async fn at_the_end_requests_under_way_are_let_finish() {
    let mut server = Server::start(|_| ()).await;
    let digest = Digest::sha256(b"helloworld");
    let idle = server.connect().await;
    let mut stream = server.connect().await;
    let request = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello"
    );
    stream.write_all(request.as_bytes()).await.expect("not written");
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.end.take().expect("no end").send(()).expect("the server is gone");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(TcpStream::connect(server.address).await.is_err(), "new connections are still taken");
    stream.write_all(b"world").await.expect("not written");
    assert!(head_of(&mut stream).await.starts_with("HTTP/1.1 201"));
    drop((stream, idle));
    let ended = tokio::time::timeout(Duration::from_secs(10), server.task).await.expect("it does not end");
    ended.expect("it panicked").expect("it failed");
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off_at_the_deadline() {
    let mut server = Server::start(|config| config.limits.drain = Duration::from_millis(300)).await;
    let mut stream = server.connect().await;
    let request =
        "POST /v2/a/blobs/uploads/?digest=sha256:x HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("not written");
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.end.take().expect("no end").send(()).expect("the server is gone");
    let ended = tokio::time::timeout(Duration::from_secs(5), server.task).await.expect("it does not end");
    ended.expect("it panicked").expect("it failed");
}

#[tokio::test]
async fn a_name_that_is_not_there_is_a_clean_404_however_it_is_asked_for() {
    let server = Server::start(|_| ()).await;
    server.add_image("public.ecr.aws/a/b", "v1", b"config");
    let client = client();
    let digest = Digest::sha256(b"absent");
    for path in ["absent", "a/b", "public.ecr.aws/absent", "public.ecr.aws/a/b"] {
        for query in ["", "?ns=other.example", "?ns=public.ecr.aws", "?ns=", "?ns=%00", "?ns=a/b"] {
            for (end, known) in [
                ("manifests/v2".to_owned(), ["MANIFEST_UNKNOWN", "NAME_UNKNOWN"]),
                (format!("manifests/{digest}"), ["MANIFEST_UNKNOWN", "NAME_UNKNOWN"]),
                (format!("blobs/{digest}"), ["BLOB_UNKNOWN", "NAME_UNKNOWN"]),
            ] {
                let url = server.url(&format!("/v2/{path}/{end}{query}"));
                let head = client.head(&url).send().await.expect("no answer");
                assert_eq!(head.status(), 404, "HEAD {url}");
                let answer = client.get(&url).send().await.expect("no answer");
                assert_eq!(answer.status(), 404, "{url}");
                assert_eq!(answer.headers()["content-type"], "application/json", "{url}");
                let body: serde_json::Value =
                    serde_json::from_slice(&answer.bytes().await.expect("no body")).expect("no JSON");
                let code = body["errors"][0]["code"].as_str().expect("no code");
                assert!(known.contains(&code), "{url}: {code}");
            }
        }
    }
    let url = server.url("/v2/public.ecr.aws/a/b/manifests/v1?ns=public.ecr.aws");
    assert_eq!(
        client.get(url).send().await.expect("no answer").status(),
        200,
        "a mirror with a path in its URL"
    );
}

/// Keeps what it is told, or cannot.
#[derive(Default)]
struct Notes {
    lines: Mutex<Vec<String>>,
    full: bool,
}

impl Notes {
    fn take(&self, line: String) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if self.full {
            return Err("no room".into());
        }
        self.lines.lock().expect("no lines").push(line);
        Ok(())
    }

    fn lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().expect("no lines"))
    }
}

impl Observer for Notes {
    fn changed(&self, change: &Changed) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let (operation, user) = (change.operation, change.visitor.user.as_deref().unwrap_or("nobody"));
        assert!(change.visitor.address.is_some_and(|address| address.ip().is_loopback()));
        let tags: Vec<_> = change.tags.iter().map(ToString::to_string).collect();
        self.take(format!("{operation:?} {} {} by {user}", change.repository, tags.join(",")))
    }

    fn refused(&self, attempt: &Refused) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let user = attempt.visitor.user.as_deref().unwrap_or("nobody");
        self.take(format!("{} {:?} {} by {user}", attempt.status, attempt.operation, attempt.name))
    }
}

async fn status(request: support::Request) -> u16 {
    request.send().await.expect("no answer").status().as_u16()
}

#[tokio::test]
async fn an_observer_is_told_of_every_change_and_who_made_it_before_the_client_is() {
    let notes = Arc::new(Notes::default());
    let observer = Arc::clone(&notes);
    let server = Server::start(|config| {
        config.observer = Some(observer);
        config.auth = password(false);
    })
    .await;
    let client = client();
    let blob = Digest::sha256(b"{}");
    let ann = |request: support::Request| request.basic_auth("ann", Some("secret"));
    let post = ann(client.post(server.url(&format!("/v2/a/blobs/uploads/?digest={blob}"))).body("{}"));
    assert_eq!((status(post).await, notes.lines()), (201, vec!["PushBlob a  by ann".to_owned()]));
    let mount = ann(client.post(server.url(&format!("/v2/b/blobs/uploads/?mount={blob}&from=a"))));
    assert_eq!((status(mount).await, notes.lines()), (201, vec!["PushBlob b  by ann".to_owned()]));
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": oci::media_type::OCI_MANIFEST, "layers": [],
        "config": { "mediaType": oci::media_type::OCI_CONFIG, "digest": blob.to_string(), "size": 2 },
    });
    let bytes = manifest.to_string();
    let digest = Digest::sha256(bytes.as_bytes());
    for (expected, request, line) in [
        (201, client.put(server.url("/v2/a/manifests/v1")).body(bytes.clone()), "PushManifest a v1 by ann"),
        (400, client.put(server.url("/v2/a/manifests/v2")).body("{"), "400 PushManifest a:v2 by ann"),
        (404, client.delete(server.url("/v2/a/manifests/v3")), "404 DeleteTag a:v3 by ann"),
        (202, client.delete(server.url("/v2/a/manifests/v1")), "DeleteTag a v1 by ann"),
        (202, client.delete(server.url(&format!("/v2/a/manifests/{digest}"))), "DeleteManifest a  by ann"),
        (202, client.delete(server.url(&format!("/v2/b/blobs/{blob}"))), "DeleteBlob b  by ann"),
    ] {
        assert_eq!((status(ann(request)).await, notes.lines()), (expected, vec![line.to_owned()]));
    }
    let wrong = client.get(server.url("/v2/")).basic_auth("bob", Some("guess"));
    assert_eq!((status(wrong).await, notes.lines()), (401, vec!["401 LogIn /v2/ by bob".to_owned()]));
    let silent = client.delete(server.url("/v2/a/manifests/v1"));
    assert_eq!((status(silent).await, notes.lines()), (401, Vec::new()), "the challenge before the password");
    assert_eq!((status(ann(client.get(server.url("/v2/")))).await, notes.lines()), (200, Vec::new()));
}

#[tokio::test]
async fn a_change_that_the_observer_cannot_note_is_not_reported_as_done() {
    let server = Server::start(|config| {
        config.observer = Some(Arc::new(Notes { full: true, ..Notes::default() }));
    })
    .await;
    let digest = server.add_image("a", "v1", b"{}");
    let delete = client().delete(server.url(&format!("/v2/a/manifests/{digest}")));
    assert_eq!(status(delete).await, 500);
}
