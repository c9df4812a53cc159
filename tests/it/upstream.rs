//! Failing upstreams: which requests are retried, what is reported, and that no partial result is published.

mod lookups;
mod missing;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use oci::Digest;
use serde_json::{Value, json};

use crate::cli::airlock;

/// The media types and bytes to serve, by path.
pub(crate) type Content = BTreeMap<String, (String, Vec<u8>)>;
/// Replaces a response. Gets the path, the number of equal requests before, and the content at the path.
pub(crate) type Twist = dyn Fn(&str, usize, Option<&(String, Vec<u8>)>) -> Option<Vec<u8>> + Send + Sync;

/// A received request.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    /// The number of equal requests before.
    pub(crate) before: usize,
}

/// Returns the response to a request; `None` for the usual response.
type Responder = dyn Fn(&Request, Option<&(String, Vec<u8>)>) -> Option<Vec<u8>> + Send + Sync;

/// A registry with fixed content that records each request.
pub(crate) struct Upstream {
    pub(crate) address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    pub(crate) fn start(content: Content, twist: Box<Twist>) -> Self {
        Self::responding(content, Box::new(move |request, found| twist(&request.path, request.before, found)))
    }

    /// Starts a registry whose responses depend on whole requests.
    pub(crate) fn responding(content: Content, responder: Box<Responder>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::on(listener, content, responder)
    }

    /// Starts a registry on this listener.
    pub(crate) fn on(listener: TcpListener, content: Content, responder: Box<Responder>) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (content, responder, noted) = (Arc::new(content), Arc::new(responder), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (content, responder, noted) =
                    (Arc::clone(&content), Arc::clone(&responder), Arc::clone(&noted));
                std::thread::spawn(move || serve(stream, &content, &**responder, &noted));
            }
        });
        Self { address, requests }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, content: &Content, responder: &Responder, noted: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut headers) = (String::new(), BTreeMap::new());
    if reader.read_line(&mut first).is_err() {
        return;
    }
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
        let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
        headers.insert(name.to_lowercase(), value.to_owned());
        line.clear();
    }
    let mut body = vec![0; headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let (method, path) = first.trim_end().split_once(' ').unwrap_or_default();
    let path = path.split_whitespace().next().unwrap_or_default();
    let request = format!("{method} {path}");
    let before = {
        let mut noted = noted.lock().unwrap();
        noted.push(request.clone());
        noted.iter().filter(|earlier| **earlier == request).count() - 1
    };
    let found = content.get(path);
    let (method, path, body) = (method.to_owned(), path.to_owned(), String::from_utf8(body).unwrap());
    let request = Request { method, path, headers, body, before };
    let reply = responder(&request, found).unwrap_or_else(|| usual(found, request.method == "HEAD"));
    let _ = stream.write_all(&reply);
}

fn usual(found: Option<&(String, Vec<u8>)>, head: bool) -> Vec<u8> {
    let Some((kind, body)) = found else {
        return b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec();
    };
    let digest = Digest::sha256(body);
    let mut reply = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nDocker-Content-Digest: {digest}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    if !head {
        reply.extend_from_slice(body);
    }
    reply
}

pub(crate) fn reply(head: &str, body: &[u8]) -> Vec<u8> {
    let mut reply = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").into_bytes();
    reply.extend_from_slice(body);
    reply
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub(crate) fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": kind, "digest": Digest::sha256(bytes), "size": bytes.len() })
}

/// Adds content under its digest; returns its descriptor.
pub(crate) fn put(content: &mut Content, repository: &str, kind: &str, bytes: &[u8]) -> Value {
    let folder = if kind.contains("manifest") || kind.contains("index") { "manifests" } else { "blobs" };
    let path = format!("/v2/{repository}/{folder}/{}", Digest::sha256(bytes));
    content.insert(path, (kind.to_owned(), bytes.to_vec()));
    descriptor(kind, bytes)
}

/// Adds an image with one layer; returns the descriptor of its manifest.
pub(crate) fn image(content: &mut Content, repository: &str, layer: &[u8]) -> Value {
    let config = put(content, repository, "application/vnd.oci.image.config.v1+json", b"{\"os\":\"linux\"}");
    let layer = put(content, repository, "application/vnd.oci.image.layer.v1.tar", layer);
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
    put(content, repository, MANIFEST, manifest.to_string().as_bytes())
}

pub(crate) fn tag(content: &mut Content, repository: &str, name: &str, of: &Value) {
    let digest = of["digest"].as_str().unwrap();
    let found = content[&format!("/v2/{repository}/manifests/{digest}")].clone();
    content.insert(format!("/v2/{repository}/manifests/{name}"), found);
}

pub(crate) fn digest_of(bytes: &[u8]) -> String {
    Digest::sha256(bytes).to_string()
}

/// Mirrors `sources` with the upstream as the mirror of the registry `r.example`.
pub(crate) fn mirror(folder: &Path, upstream: &Upstream, sources: &str, arguments: &[&str]) -> Output {
    let text = format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: a}}\n\
         registries: [{{host: r.example, mirror: '{}', plainHTTP: true}}]\nsources: {sources}\n",
        upstream.address
    );
    std::fs::write(folder.join("airlock.yaml"), text).unwrap();
    let mut all = vec!["mirror", "--store", "s", "--output", "json"];
    all.extend(arguments);
    airlock(folder, &all)
}

pub(crate) fn error(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rev().find(|line| line.starts_with('{')).unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|_| panic!("{text}"))
}

pub(crate) fn whole(error: &Value) -> String {
    let causes = error["causes"].as_array().into_iter().flatten();
    let causes: Vec<_> = causes.map(|cause| cause.as_str().unwrap_or_default()).collect();
    format!("{} {}", error["error"].as_str().unwrap_or_default(), causes.join(" "))
}

/// Writes a partial download with wrong bytes, as a broken disk could leave it.
fn spoil(folder: &Path, digest: &str, size: usize) {
    let partial = folder.join("s/partial");
    assert!(partial.is_dir());
    std::fs::write(partial.join(digest.replace(':', "-")), vec![b'!'; size]).unwrap();
}

#[test]
fn c5_a_partial_download_with_wrong_bytes_is_discarded_and_fetched_in_the_same_run() {
    let layer = vec![b'x'; 100_000];
    for size in [100_000, 100_001, 7] {
        let mut content = Content::new();
        let found = image(&mut content, "a", &layer);
        tag(&mut content, "a", "v1", &found);
        let upstream = Upstream::start(content, Box::new(|_, _, _| None));
        let folder = tempfile::tempdir().unwrap();
        drop(store::Store::open(&folder.path().join("s")).unwrap());
        spoil(folder.path(), &digest_of(&layer), size);
        let output = mirror(folder.path(), &upstream, "[{images: ['r.example/a:v1']}]", &[]);
        assert_eq!(output.status.code(), Some(0), "{size}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn d11_wrong_and_truncated_content_is_fetched_again_and_the_run_succeeds() {
    let layer = b"the layer's content".to_vec();
    let path = format!("/v2/a/blobs/{}", digest_of(&layer));
    let faults: [fn() -> Option<Vec<u8>>; 4] = [
        || Some(reply("200 OK\r\nContent-Length: 19", b"other bytes, as long")),
        || Some(reply("200 OK", b"the layer's")),
        || Some(reply("200 OK\r\nContent-Length: 19", b"the layer's")),
        || Some(reply("503 Busy\r\nRetry-After: 0\r\nContent-Length: 0", b"")),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let mut content = Content::new();
        let found = image(&mut content, "a", &layer);
        tag(&mut content, "a", "v1", &found);
        let at = path.clone();
        let twist = move |asked: &str, before: usize, _: Option<&_>| {
            if asked == at && before == 0 { fault() } else { None }
        };
        let upstream = Upstream::start(content, Box::new(twist));
        let folder = tempfile::tempdir().unwrap();
        let output = mirror(folder.path(), &upstream, "[{images: ['r.example/a:v1']}]", &[]);
        assert_eq!(output.status.code(), Some(0), "{number}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn d12_content_that_stays_wrong_is_reported_with_image_digest_url_registry_and_rule() {
    let layer = b"the layer's content".to_vec();
    let digest = digest_of(&layer);
    let path = format!("/v2/a/blobs/{digest}");
    let mut content = Content::new();
    let found = image(&mut content, "a", &layer);
    tag(&mut content, "a", "v1", &found);
    let at = path.clone();
    let upstream = Upstream::start(
        content,
        Box::new(move |asked, _, _| {
            if asked == at {
                Some(reply("200 OK\r\nContent-Length: 19", b"other bytes as long"))
            } else {
                None
            }
        }),
    );
    let folder = tempfile::tempdir().unwrap();
    let output = mirror(folder.path(), &upstream, "[{images: ['r.example/a:v1']}]", &[]);
    assert_eq!(output.status.code(), Some(3));
    let text = whole(&error(&output));
    let url = format!("http://{}{path}", upstream.address);
    for part in ["r.example/a:v1", &digest, &url, "registry `r.example`", "match their digest", "19 bytes"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(upstream.requests().iter().filter(|asked| asked.ends_with(&path)).count() >= 2);
    assert!(!folder.path().join("airlock.lock").exists());
}

#[test]
fn d12_a_login_page_instead_of_a_file_is_reported_as_one() {
    let mut content = Content::new();
    content.insert("/tool.tgz".to_owned(), ("text/html".to_owned(), b"<html>Log in</html>".to_vec()));
    let upstream = Upstream::start(content, Box::new(|_, _, _| None));
    let folder = tempfile::tempdir().unwrap();
    let sha256 = &digest_of(b"the tool")[7..].to_owned();
    let sources = format!("[{{files: [{{url: 'http://{}/tool.tgz', sha256: {sha256}}}]}}]", upstream.address);
    let output = mirror(folder.path(), &upstream, &sources, &[]);
    assert_eq!(output.status.code(), Some(3));
    let text = whole(&error(&output));
    assert!(text.contains("HTML page") && text.contains("/tool.tgz"), "{text}");
    assert_eq!(upstream.requests().iter().filter(|asked| asked.starts_with("GET ")).count(), 1);
}

#[test]
fn d11_keep_going_reports_all_failures_and_publishes_nothing() {
    let mut content = Content::new();
    for name in ["good", "wrong", "gone"] {
        let found = image(&mut content, name, format!("layer of {name}").as_bytes());
        tag(&mut content, name, "v1", &found);
    }
    let gone = format!("/v2/gone/blobs/{}", digest_of(b"layer of gone"));
    let wrong = format!("/v2/wrong/blobs/{}", digest_of(b"layer of wrong"));
    content.remove(&gone);
    let upstream = Upstream::start(
        content,
        Box::new(move |asked, _, _| {
            if asked == wrong { Some(reply("200 OK\r\nContent-Length: 14", b"LAYER OF WRONG")) } else { None }
        }),
    );
    let folder = tempfile::tempdir().unwrap();
    let images = ["good", "wrong", "gone", "absent"].map(|name| format!("'r.example/{name}:v1'"));
    let sources = format!("[{{charts: [{{file: absent.tgz}}]}}, {{images: [{}]}}]", images.join(", "));
    let output = mirror(folder.path(), &upstream, &sources, &["--keep-going"]);
    assert_eq!(output.status.code(), Some(3));
    let text = whole(&error(&output));
    assert!(text.contains("4 failures") && text.contains("absent.tgz"), "{text}");
    for name in ["wrong", "gone", "absent"] {
        assert!(text.contains(&format!("r.example/{name}:v1")), "{name}: {text}");
    }
    assert!(!text.contains("r.example/good:v1"), "{text}");
    let good = format!("GET /v2/good/blobs/{}", digest_of(b"layer of good"));
    assert!(upstream.requests().contains(&good));
    assert!(!folder.path().join("airlock.lock").exists());
    let listed = airlock(folder.path(), &["store", "list", "--store", "s", "--output", "json"]);
    assert!(!String::from_utf8_lossy(&listed.stdout).contains("good"));
    // Without `--keep-going`, the first failure ends the run.
    let output = mirror(folder.path(), &upstream, &sources, &[]);
    assert!(!whole(&error(&output)).contains("failures"));
}

#[test]
fn d24_exit_codes_are_those_of_the_class() {
    let mut content = Content::new();
    content.insert("/v2/text/manifests/v1".to_owned(), (MANIFEST.to_owned(), b"no manifest".to_vec()));
    let listed = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] }).to_string();
    content.insert("/v2/empty/manifests/v1".to_owned(), (INDEX.to_owned(), listed.clone().into_bytes()));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("text.tar"), "no archive").unwrap();
    std::fs::write(folder.path().join("text.tgz"), "no chart").unwrap();
    std::fs::write(folder.path().join("x"), "x").unwrap();
    std::fs::write(folder.path().join("bad.pem"), "x").unwrap();
    let upstream = Upstream::start(
        content,
        Box::new(|asked, _, _| {
            if asked.contains("/secret/") {
                Some(reply("403 Forbidden\r\nContent-Length: 0", b""))
            } else {
                None
            }
        }),
    );
    let url = format!("http://{}/gone", upstream.address);
    let sha256 = "0".repeat(64);
    for (sources, code) in [
        ("[{images: ['r.example/text:v1']}]".to_owned(), 3),
        ("[{images: ['r.example/gone:v1']}]".to_owned(), 4),
        ("[{images: ['r.example/secret:v1']}]".to_owned(), 6),
        (format!("[{{files: [{{url: '{url}', sha256: {sha256}}}]}}]"), 4),
        ("[{files: [{path: x, name: a}, {path: x, name: b}]}]".to_owned(), 2),
        ("[{ociArchive: {path: text.tar, reference: 'r.example/a:v1'}}]".to_owned(), 3),
        ("[{charts: [{file: text.tgz, images: false}]}]".to_owned(), 3),
        ("[{charts: [{file: absent.tgz, images: false}]}]".to_owned(), 4),
        ("[{files: [{path: absent}]}]".to_owned(), 4),
    ] {
        let output = mirror(folder.path(), &upstream, &sources, &[]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{sources}: {text}");
    }
    let text = "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {name: a}\n\
        registries: [{host: r.example, caFile: bad.pem}]\nsources: [{images: ['r.example/a:v1']}]\n";
    std::fs::write(folder.path().join("airlock.yaml"), text).unwrap();
    let output = airlock(folder.path(), &["mirror", "--store", "s", "--output", "json"]);
    assert_eq!(output.status.code(), Some(2));
    let text = whole(&error(&output));
    assert!(text.contains("bad.pem") && text.contains("BEGIN CERTIFICATE"), "{text}");
}

#[test]
fn d14_no_request_is_made_twice_and_tags_cost_no_pull() {
    let mut content = Content::new();
    for name in ["one", "two"] {
        let found = image(&mut content, name, name.as_bytes());
        for version in 0..5 {
            tag(&mut content, name, &format!("v{version}"), &found);
        }
    }
    // Ten platforms, each with an attestation.
    let mut children = Vec::new();
    for platform in 0..10 {
        let mut child = image(&mut content, "many", format!("platform {platform}").as_bytes());
        let mut about = image(&mut content, "many", format!("attestation {platform}").as_bytes());
        child["platform"] = json!({ "os": "linux", "architecture": format!("a{platform}") });
        about["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
        about["annotations"] = json!({
            "vnd.docker.reference.digest": child["digest"], "vnd.docker.reference.type": "attestation-manifest",
        });
        children.extend([child, about]);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children });
    let found = put(&mut content, "many", INDEX, index.to_string().as_bytes());
    tag(&mut content, "many", "v1", &found);
    let upstream = Upstream::start(content, Box::new(|_, _, _| None));
    let folder = tempfile::tempdir().unwrap();
    let mut images: Vec<_> =
        (0..10).map(|n| format!("'r.example/{}:v{}'", ["one", "two"][n % 2], n / 2)).collect();
    images.push("'r.example/many:v1'".to_owned());
    let sources = format!("[{{images: [{}]}}]", images.join(", "));
    let output = mirror(folder.path(), &upstream, &sources, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let requests = upstream.requests();
    let different: BTreeSet<_> = requests.iter().collect();
    let twice: Vec<_> = different
        .iter()
        .filter(|request| requests.iter().filter(|other| other == *request).count() > 1)
        .collect();
    assert!(twice.is_empty(), "{twice:#?}");
    let count = |method: &str, part: &str, repository: &str| {
        let fits = |request: &&String| {
            request.starts_with(method) && request.contains(part) && request.contains(repository)
        };
        requests.iter().filter(fits).count()
    };
    // Five tags cost five HEAD requests and one GET request.
    assert_eq!((count("HEAD ", "/manifests/v", "/one/"), count("GET ", "/manifests/", "/one/")), (5, 1));
    assert_eq!(count("GET ", "/manifests/", "/many/"), 21);
    // In a repository without referrers, the referrers API is requested once.
    assert_eq!(count("GET ", "/referrers/", "/many/"), 1);
}
