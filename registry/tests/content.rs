//! What the server promises about content: sizes bind, damage is absence, lists fit into answers, and uploads are
//! bounded; also beside a second server on the same store.

#![expect(clippy::expect_used, reason = "a test may fail where it stands")]

mod support;

use std::path::PathBuf;

use http::Method;
use oci::Digest;
use registry::server::{Auth, Htpasswd, ServerConfig, serve};
use serde_json::{Value, json};
use store::{NamingLimits, Store, UploadLimits};
use support::Response;
use tokio::net::TcpListener;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A server that ends with the test, and its client.
struct Server {
    base: String,
    root: PathBuf,
    http: support::Client,
}

impl Server {
    async fn over(root: &std::path::Path, adjust: impl FnOnce(&mut ServerConfig)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = ServerConfig::new(Store::open(root).expect("no store"));
        adjust(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("no port");
        let base = format!("http://{}", listener.local_addr().expect("no address"));
        tokio::spawn(serve(listener, None, config, std::future::pending()));
        let http = support::Client::new();
        Self { base, root: root.to_owned(), http }
    }

    async fn send(&self, method: Method, path: &str, body: impl Into<support::Body>) -> Response {
        let request = self.http.request(method, format!("{}{path}", self.base)).body(body);
        request.header("content-type", IMAGE).send().await.expect("no answer")
    }

    async fn status(&self, method: Method, path: &str) -> u16 {
        self.send(method, path, "").await.status().as_u16()
    }

    async fn push_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let answer = self.send(Method::POST, &path, bytes.to_vec()).await;
        assert_eq!(answer.status(), 201);
        digest
    }

    async fn put(&self, repository: &str, reference: &str, manifest: &Value) -> Response {
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.send(Method::PUT, &path, manifest.to_string()).await
    }

    async fn start(&self, repository: &str) -> Response {
        self.send(Method::POST, &format!("/v2/{repository}/blobs/uploads/"), "").await
    }

    fn file(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(&digest.hex()[..2]).join(digest.hex())
    }
}

fn location(answer: &Response) -> String {
    assert_eq!(answer.status(), 202);
    answer.headers()["location"].to_str().expect("text").to_owned()
}

fn image(config: &Digest, size: usize) -> Value {
    json!({
        "schemaVersion": 2, "mediaType": IMAGE, "layers": [],
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.to_string(), "size": size },
    })
}

fn digest_of(manifest: &Value) -> Digest {
    Digest::sha256(manifest.to_string().as_bytes())
}

async fn codes(answer: Response) -> Vec<String> {
    let body: Value = serde_json::from_slice(&answer.bytes().await.expect("no body")).expect("no JSON");
    let errors = body["errors"].as_array().expect("no errors");
    errors.iter().map(|error| error["code"].as_str().expect("no code").to_owned()).collect()
}

#[tokio::test]
async fn d20_a_manifest_with_wrong_sizes_is_refused_at_push() {
    let folder = tempfile::tempdir().expect("no folder");
    let server = Server::over(folder.path(), |_| ()).await;
    let blob = server.push_blob("a", b"four").await;
    for size in [0, 3, 5] {
        let answer = server.put("a", "v1", &image(&blob, size)).await;
        assert_eq!(answer.status(), 400, "{size}");
        assert_eq!(codes(answer).await, ["MANIFEST_INVALID", "SIZE_INVALID"]);
        assert_eq!(server.status(Method::GET, "/v2/a/manifests/v1").await, 404);
    }
    let good = image(&blob, 4);
    assert_eq!(server.put("a", "v1", &good).await.status(), 201);
    let (digest, size) = (digest_of(&good), good.to_string().len());
    let mut layered = image(&blob, 4);
    layered["layers"] = json!([{ "mediaType": "a/b", "digest": blob.to_string(), "size": 40 }]);
    let index = |size: usize| json!({ "schemaVersion": 2, "manifests": [{ "mediaType": IMAGE, "digest": digest.to_string(), "size": size }] });
    let about = |size: usize| {
        let mut manifest = image(&blob, 4);
        manifest["subject"] = json!({ "mediaType": IMAGE, "digest": digest.to_string(), "size": size });
        manifest
    };
    for (what, wrong) in [("layer", layered), ("child", index(size + 1)), ("subject", about(size - 1))] {
        let request = server.http.put(format!("{}/v2/a/manifests/wrong", server.base));
        let answer = request.body(wrong.to_string()).send().await.expect("no answer");
        assert_eq!(answer.status(), 400, "{what}");
        assert!(codes(answer).await.contains(&"MANIFEST_INVALID".to_owned()), "{what}");
    }
    assert_eq!(server.put("a", "about", &about(size)).await.status(), 201);
}

#[tokio::test]
async fn r2_ns_does_not_find_a_repository_that_exists_only_locally() {
    let folder = tempfile::tempdir().expect("no folder");
    let server = Server::over(folder.path(), |_| ()).await;
    let blob = server.push_blob("team/app", b"{}").await;
    let manifest = image(&blob, 2);
    assert_eq!(server.put("team/app", "v1", &manifest).await.status(), 201);
    let digest = digest_of(&manifest);
    let ends = [
        "manifests/v1".to_owned(),
        format!("manifests/{digest}"),
        format!("blobs/{blob}"),
        "tags/list".into(),
    ];
    for end in ends {
        for ns in ["quay.io", "QUAY.io", "docker.io", "localhost", "a/b", "%00", "team", "..", "quay.io:443"]
        {
            let path = format!("/v2/team/app/{end}?ns={ns}");
            assert_eq!(server.status(Method::GET, &path).await, 404, "{path}");
            assert_eq!(server.status(Method::HEAD, &path).await, 404, "{path}");
        }
        assert_eq!(server.status(Method::GET, &format!("/v2/team/app/{end}")).await, 200, "{end}");
    }
}

#[tokio::test]
async fn r12_head_and_get_of_what_is_damaged_are_404_until_it_is_pushed_again() {
    let folder = tempfile::tempdir().expect("no folder");
    let root = folder.path();
    let server = Server::over(root, |_| ()).await;
    let blob = server.push_blob("a", b"content of a blob").await;
    let manifest = image(&blob, 17);
    let digest = digest_of(&manifest);
    assert_eq!(server.put("a", "v1", &manifest).await.status(), 201);
    for (file, damage) in [(&blob, "content of a b1ob"), (&blob, "content"), (&digest, "{}"), (&digest, "")] {
        // Another server meets the files for the first time; the first one has the manifest in memory. It is started before
        // the damage, because a start restores files that are not flushed yet.
        let second = Server::over(root, |_| ()).await;
        std::fs::write(server.file(file), damage).expect("not written");
        let path = if *file == blob { format!("blobs/{blob}") } else { "manifests/v1".to_owned() };
        for method in [Method::HEAD, Method::GET, Method::HEAD] {
            let found = second.status(method.clone(), &format!("/v2/a/{path}")).await;
            assert_eq!(found, 404, "{method} {path} with `{damage}`");
        }
        assert!(!server.file(file).exists() && root.join("quarantine").join(file.hex()).exists());
        if *file == blob {
            // The manifest cannot come back before its content does.
            assert_eq!(second.put("a", "v1", &manifest).await.status(), 404);
            second.push_blob("a", b"content of a blob").await;
        }
        assert_eq!(second.put("a", "v1", &manifest).await.status(), 201);
        assert_eq!(second.status(Method::GET, &format!("/v2/a/{path}")).await, 200);
    }
}

#[tokio::test]
async fn r12_a_download_of_damaged_bytes_never_ends_well_and_the_next_one_finds_nothing() {
    let folder = tempfile::tempdir().expect("no folder");
    let root = folder.path();
    // Too large to be hashed before it is served.
    let content: Vec<u8> = (0_u32..5_000_000).flat_map(u32::to_le_bytes).collect();
    let first = Server::over(root, |_| ()).await;
    let blob = first.push_blob("a", &content).await;
    let path = format!("/v2/a/blobs/{blob}");
    let ways = [None, Some("bytes=0-"), Some("bytes=0-99999999")];
    for (at, way) in [(0, ways[0]), (content.len() - 1, ways[0]), (7_000_000, ways[1]), (9, ways[2])] {
        let mut damaged = content.clone();
        damaged[at] ^= 1;
        std::fs::write(first.file(&blob), &damaged).expect("not written");
        // A server that has not seen the file before cannot know that it was changed.
        let server = Server::over(root, |_| ()).await;
        let get = async |range: Option<&str>| {
            let request = server.http.get(format!("{}{path}", server.base));
            let request = range.into_iter().fold(request, |request, range| request.header("range", range));
            let answer = request.send().await.expect("no answer");
            (answer.status().as_u16(), answer.bytes().await)
        };
        let (status, body) = get(way).await;
        assert!(matches!(status, 200 | 206) && body.is_err(), "{status}: byte {at} was wrong, asked {way:?}");
        assert_eq!(get(way).await.0, 404);
        assert!(!first.file(&blob).exists() && root.join("quarantine").join(blob.hex()).exists());
        server.push_blob("a", &content).await;
        let (status, body) = get(way).await;
        assert!(matches!(status, 200 | 206) && body.expect("it broke off") == content);
    }
}

fn referrer(subject: &Digest, size: usize, kind: &str, number: usize, note: usize) -> Value {
    json!({
        "schemaVersion": 2, "mediaType": IMAGE, "artifactType": kind, "layers": [],
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::sha256(b"{}").to_string(), "size": 2 },
        "subject": { "mediaType": IMAGE, "digest": subject.to_string(), "size": size },
        "annotations": { "number": number.to_string(), "note": "x".repeat(note) },
    })
}

/// All pages; each must be one that clients read.
async fn pages(server: &Server, path: &str) -> Vec<Vec<String>> {
    let (mut pages, mut next) = (Vec::new(), path.to_owned());
    loop {
        let answer = server.send(Method::GET, &next, "").await;
        assert_eq!(answer.status(), 200);
        let link = answer.headers().get("link").map(|link| link.to_str().expect("text").to_owned());
        let body = answer.bytes().await.expect("no body");
        assert!(body.len() <= 4 << 20, "{} bytes", body.len());
        let body: Value = serde_json::from_slice(&body).expect("no JSON");
        let digests = body["manifests"].as_array().expect("no list").iter();
        pages.push(digests.map(|entry| entry["digest"].as_str().expect("text").to_owned()).collect());
        let Some(link) = link else { return pages };
        link.trim_start_matches('<').split('>').next().expect("no target").clone_into(&mut next);
    }
}

#[tokio::test]
async fn r5_the_signature_is_on_the_first_page_and_no_page_is_too_large() {
    let folder = tempfile::tempdir().expect("no folder");
    let server = Server::over(folder.path(), |_| ()).await;
    let empty = server.push_blob("a", b"{}").await;
    let subject = image(&empty, 2);
    assert_eq!(server.put("a", "v1", &subject).await.status(), 201);
    let (digest, size) = (digest_of(&subject), subject.to_string().len());
    let mut all = Vec::new();
    let mut put = async |manifest: Value| {
        let name = digest_of(&manifest).to_string();
        assert_eq!(server.put("a", &name, &manifest).await.status(), 201);
        all.push(name.clone());
        name
    };
    for number in 0..6 {
        put(referrer(&digest, size, "application/sbom", number, 2_000_000)).await;
    }
    put(referrer(&digest, size, BUNDLE, 0, 3_900_000)).await;
    for number in 0..1010 {
        put(referrer(&digest, size, "application/junk", number, 0)).await;
    }
    let signature = put(referrer(&digest, size, BUNDLE, 1, 0)).await;
    let pages_of = pages(&server, &format!("/v2/a/referrers/{digest}")).await;
    assert_eq!(pages_of[0][0], signature);
    let mut found = pages_of.concat();
    assert_eq!(found.len(), all.len());
    found.sort();
    all.sort();
    assert_eq!(found, all);
    let filtered = pages(&server, &format!("/v2/a/referrers/{digest}?artifactType={BUNDLE}")).await.concat();
    assert_eq!(filtered.len(), 2);
    assert_eq!(server.status(Method::GET, &format!("/v2/a/referrers/{digest}?last=x")).await, 400);
}

#[tokio::test]
async fn a9_one_user_puts_only_so_many_referrers_beside_an_image() {
    let folder = tempfile::tempdir().expect("no folder");
    let hash = bcrypt::hash("secret", 4).expect("no hash");
    let users = Htpasswd::parse(&format!("ann:{hash}\nben:{hash}\n")).expect("no users");
    let server = Server::over(folder.path(), |config| {
        config.auth = Auth::Htpasswd { users, anonymous_pull: true };
        config.limits.naming = Some(NamingLimits { manifests: 3, bytes: 1 << 20 });
    })
    .await;
    let push = async |user: &str, method: Method, path: String, body: String| {
        let request = server.http.request(method, format!("{}{path}", server.base)).body(body);
        let request = request.header("content-type", IMAGE).basic_auth(user, Some("secret"));
        request.send().await.expect("no answer")
    };
    let empty = Digest::sha256(b"{}");
    let blob = format!("/v2/a/blobs/uploads/?digest={empty}");
    assert_eq!(push("ann", Method::POST, blob, "{}".to_owned()).await.status(), 201);
    let subject = Digest::sha256(b"an image that comes later");
    let about = |number: usize| referrer(&subject, 9, BUNDLE, number, 0);
    let put = async |user: &str, number: usize| {
        let manifest = about(number);
        let path = format!("/v2/a/manifests/{}", digest_of(&manifest));
        push(user, Method::PUT, path, manifest.to_string()).await
    };
    for number in 0..3 {
        assert_eq!(put("ann", number).await.status(), 201);
    }
    let refused = put("ann", 3).await;
    assert_eq!(refused.status(), 403);
    let text = refused.text().await.expect("no body");
    assert!(
        ["DENIED", "no more than 3", "--referrers-per-user"].iter().all(|word| text.contains(word)),
        "{text}"
    );
    assert_eq!(put("ben", 3).await.status(), 201, "another user has a share of his own");
    assert_eq!(put("ann", 0).await.status(), 201, "what is there costs nothing");
    let gone = format!("/v2/a/manifests/{}", digest_of(&about(0)));
    assert_eq!(push("ann", Method::DELETE, gone, String::new()).await.status(), 202);
    assert_eq!(put("ann", 4).await.status(), 201);
}

#[tokio::test]
async fn a20_open_uploads_are_bounded_in_number_and_bytes() {
    let folder = tempfile::tempdir().expect("no folder");
    let limits = UploadLimits { repository_sessions: 3, sessions: 5, repository_bytes: 1000, bytes: 1500 };
    let server = Server::over(folder.path(), |config| config.limits.uploads = limits).await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(location(&server.start("a").await));
    }
    let refused = server.start("a").await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(codes(refused).await, ["TOOMANYREQUESTS"]);
    let others = [location(&server.start("b").await), location(&server.start("c").await)];
    assert_eq!(server.start("d").await.status(), 429);
    // Whoever finishes makes room.
    assert_eq!(server.status(Method::DELETE, &others[1]).await, 204);
    let other = location(&server.start("d").await);
    let patch = async |location: &str, size: usize| {
        server.send(Method::PATCH, location, vec![b'x'; size]).await.status().as_u16()
    };
    assert_eq!(patch(&sessions[0], 600).await, 202);
    assert_eq!(patch(&sessions[1], 600).await, 429);
    assert_eq!(patch(&sessions[0], 400).await, 202);
    assert_eq!(patch(&sessions[0], 1).await, 429);
    assert_eq!(patch(&other, 501).await, 429);
    let digest = Digest::sha256(&[b'x'; 1000]);
    assert_eq!(server.status(Method::PUT, &format!("{}?digest={digest}", sessions[0])).await, 201);
    assert_eq!(patch(&other, 501).await, 202);
}

/// Two servers on one store, and a client that writes to an upload through the other one while it is finished.
#[tokio::test(flavor = "multi_thread")]
async fn a5_two_servers_on_one_store_serve_only_what_was_hashed() {
    let folder = tempfile::tempdir().expect("no folder");
    let (one, two) = (Server::over(folder.path(), |_| ()).await, Server::over(folder.path(), |_| ()).await);
    let mut acknowledged = 0;
    for number in 0..60 {
        let content = format!("first half of {number}, second half").into_bytes();
        let digest = Digest::sha256(&content);
        let session = location(&one.start("a").await);
        let patched = one.send(Method::PATCH, &session, content[..10].to_vec()).await;
        assert_eq!(patched.status(), 202);
        let put = format!("{session}?digest={digest}");
        let (good, evil, again) = tokio::join!(
            one.send(Method::PUT, &put, content[10..].to_vec()),
            two.send(Method::PATCH, &session, "evil"),
            two.send(Method::PUT, &put, content[10..].to_vec()),
        );
        assert!([202, 404, 409].contains(&evil.status().as_u16()), "{}", evil.status());
        if good.status() == 201 || again.status() == 201 {
            acknowledged += 1;
            let path = format!("/v2/a/blobs/{digest}");
            for server in [&one, &two] {
                let answer = server.send(Method::GET, &path, "").await;
                assert_eq!(answer.status(), 200, "lost after 201");
                assert_eq!(answer.bytes().await.expect("no body"), content);
            }
        }
        let _ = one.send(Method::DELETE, &session, "").await;
    }
    assert!(acknowledged > 5, "{acknowledged}");
}
