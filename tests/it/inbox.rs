//! The inbox of a registry with the gate `push`: unsigned manifests wait there for their signatures.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::cli::fails;
use crate::gates::{KIND, Served, trust};
use crate::serving::ONE;
use crate::signing::{site, works};

const CONFIG: &str = "apiVersion: airlock.dev/v1alpha1
kind: RegistryConfig
store: store
listeners: [{address: '127.0.0.1:0'}]
trust: gate.yaml
gates: {registryName: registry.example, inbox: {hours: 1, manifests: 2}}
access:
  htpasswd: users
  policies:
    - {repositories: ['team/**'], to: ['user:ann'], allow: [pull, push]}
    - {repositories: ['team/**'], to: [anonymous], allow: [pull]}
";
/// Ann may push; the others may pull.
const USERS: [Option<&str>; 3] = [Some("ann"), Some("bob"), None];

/// A registry whose gates `push` and `pull` require a signature.
fn registry(path: &Path) -> Served {
    std::fs::write(path.join("users"), format!("{ONE}{}", ONE.replace("ann", "bob"))).unwrap();
    std::fs::write(path.join("registry.yaml"), CONFIG).unwrap();
    let require = "require: [{sign: signature, by: release}]";
    trust(path, "gate.yaml", &format!("gates: {{push: {{{require}}}, pull: {{{require}}}}}"));
    Served::with(path, &["--file", "registry.yaml"])
}

/// Status, head and body of a request about the repository `team/app`.
fn ask(served: &Served, user: Option<&str>, line: &str, (kind, body): (&str, &str)) -> (u16, String, String) {
    let (method, rest) = line.split_once(' ').unwrap();
    let login = user.map(|name| STANDARD.encode(format!("{name}:one")));
    let login = login.map(|login| format!("authorization: Basic {login}\r\n")).unwrap_or_default();
    let mut stream = TcpStream::connect(served.address()).unwrap();
    let length = body.len();
    let head = format!(
        "{method} /v2/team/app/{rest} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{login}content-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_lowercase(), body.to_owned())
}

fn get(served: &Served, user: Option<&str>, reference: &str) -> u16 {
    let got = ask(served, user, &format!("GET manifests/{reference}"), ("", ""));
    let head = ask(served, user, &format!("HEAD manifests/{reference}"), ("", ""));
    assert_eq!(got.0, head.0, "{reference}");
    got.0
}

/// The manifest of an image, whose configuration is `{}`.
fn image(note: &str) -> String {
    let blob = oci::Digest::sha256(b"{}");
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{KIND}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{blob}","size":2}},"layers":[],"annotations":{{"note":"{note}"}}}}"#
    )
}

/// Pushes an image with a tag; returns its digest, the status and the head of the response.
fn push_as(served: &Served, user: Option<&str>, tag: &str, note: &str) -> (String, u16, String) {
    let image = image(note);
    let upload = format!("POST blobs/uploads/?digest={}", oci::Digest::sha256(b"{}"));
    assert_eq!(ask(served, user, &upload, ("application/octet-stream", "{}")).0, 201);
    let (status, head, _) = ask(served, user, &format!("PUT manifests/{tag}"), (KIND, &image));
    (oci::Digest::sha256(image.as_bytes()).to_string(), status, head)
}

fn push(served: &Served, tag: &str, note: &str) -> (String, u16, String) {
    push_as(served, USERS[0], tag, note)
}

/// Signs in the store, which the registry does not notice, and pushes the same signature to the registry.
fn sign(path: &Path, served: &Served, digest: &str, key: &str) {
    sign_in_store(path, digest, key);
    let tag = format!("{}.sig", digest.replace(':', "-"));
    let (status, _, signature) = ask(served, USERS[0], &format!("GET manifests/{tag}"), ("", ""));
    assert_eq!(status, 200);
    assert_eq!(ask(served, USERS[0], &format!("PUT manifests/{tag}"), (KIND, &signature)).0, 201);
}

fn sign_in_store(path: &Path, digest: &str, key: &str) {
    let image = format!("team/app@{digest}");
    let sign = ["sign", &image, "--store", "store", "--name", "registry.example/team/app", "--key", key];
    works(path, &[&sign[..], &["--format", "legacy"]].concat());
}

fn listed(path: &Path) -> Vec<(String, String)> {
    let list = works(path, &["inbox", "list", "team/app", "--store", "store", "--output", "json"]);
    let list: Vec<Value> = serde_json::from_str(&list).unwrap();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    list.iter().map(|entry| (text(entry, "tag"), text(entry, "digest"))).collect()
}

fn events(path: &Path, kind: &str) -> Vec<Value> {
    let log = works(path, &["audit", "log", "--store", "store", "--event", kind, "--output", "json"]);
    serde_json::from_str(&log).unwrap()
}

/// The number of events of a kind that ended with success.
fn done(path: &Path, kind: &str) -> usize {
    events(path, kind).iter().filter(|event| event["event"]["outcome"]["result"] == "success").count()
}

#[test]
fn an_unsigned_push_is_hidden_until_its_signature_sets_the_tag() {
    let folder = site();
    let path = folder.path();
    let served = registry(path);
    let (digest, status, head) = push(&served, "v1", "one");
    let warning = "warning: 299 - \"team/app:v1 is not set yet: the manifest waits 1 h in the inbox";
    assert!(status == 201 && head.contains(warning) && head.contains(&digest), "{head}");
    // Those who may push can sign it, whatever the gate `pull` requires. No cache may keep it.
    assert_eq!(USERS.map(|user| get(&served, user, &digest)), [200, 404, 404]);
    assert_eq!(USERS.map(|user| get(&served, user, "v1")), [404; 3]);
    let (_, head, _) = ask(&served, USERS[0], &format!("GET manifests/{digest}"), ("", ""));
    assert!(head.contains("cache-control: no-cache"), "{head}");
    assert!(!ask(&served, USERS[0], "GET tags/list", ("", "")).2.contains("v1"));
    assert_eq!(listed(path), [("v1".to_owned(), digest.clone())]);
    let held = &events(path, "inbox.hold")[0]["event"];
    assert_eq!(
        (&held["actor"]["user"], &held["object"]["name"]),
        (&"ann".into(), &"team/app:v1".into()),
        "{held}"
    );

    sign(path, &served, &digest, "other.key");
    assert_eq!(USERS.map(|user| get(&served, user, "v1")), [404; 3]);
    assert_eq!(listed(path).len(), 1);
    sign(path, &served, &digest, "release.key");
    assert_eq!(USERS.map(|user| get(&served, user, "v1")), [200; 3]);
    assert_eq!(USERS.map(|user| get(&served, user, &digest)), [200; 3]);
    assert!(listed(path).is_empty());
    let promoted = &events(path, "inbox.promote")[0]["event"];
    assert_eq!(promoted["object"]["digests"][0], digest.as_str(), "{promoted}");
    let verified = &events(path, "verify")[0]["event"];
    assert_eq!(
        (&verified["evidence"]["gate"], &verified["evidence"]["signer"]),
        (&"push".into(), &"release".into())
    );
    assert!(
        works(path, &["tags", "history", "team/app:v1", "--store", "store"]).contains("ann from 127.0.0.1")
    );
    // A signed image gets other tags at once.
    assert_eq!(push(&served, "v2", "one").1, 201);
    assert_eq!(get(&served, None, "v2"), 200);
    works(path, &["audit", "verify", "--store", "store"]);
    works(path, &["store", "check", "--store", "store"]);
}

#[test]
fn a_tag_keeps_its_image_while_another_one_waits_and_the_last_push_counts() {
    let folder = site();
    let path = folder.path();
    let served = registry(path);
    let (old, ..) = push(&served, "v1", "old");
    sign(path, &served, &old, "release.key");
    let of_tag = || {
        let (status, head, _) = ask(&served, None, "HEAD manifests/v1", ("", ""));
        (
            status,
            head.lines().find_map(|line| line.strip_prefix("docker-content-digest: ").map(str::to_owned)),
        )
    };
    let (first, ..) = push(&served, "v1", "first");
    assert_eq!(of_tag(), (200, Some(old.clone())));
    let (second, ..) = push(&served, "v1", "second");
    assert_eq!(get(&served, USERS[0], &first), 404);
    assert_eq!(listed(path), [("v1".to_owned(), second.clone())]);
    sign(path, &served, &second, "release.key");
    assert_eq!(of_tag(), (200, Some(second)));
    // A full inbox refuses, and a tag that waits already can be pushed again.
    let statuses = ["v2", "v3", "v4", "v3"].map(|tag| push(&served, tag, &format!("{tag} again")).1);
    assert_eq!(statuses, [201, 201, 403, 201]);
    assert_eq!(listed(path).len(), 2);
}

/// Without log-ins, everyone may push: the gate `pull` must still protect everyone.
#[test]
fn in_an_open_registry_the_gate_pull_applies_to_what_waits() {
    let folder = site();
    let path = folder.path();
    drop(registry(path));
    let config = CONFIG.split("access:").next().unwrap();
    std::fs::write(path.join("registry.yaml"), config).unwrap();
    let served = Served::with(path, &["--file", "registry.yaml"]);
    let (digest, status, _) = push_as(&served, None, "v1", "one");
    assert_eq!((status, get(&served, None, &digest)), (201, 403));
    assert_eq!(listed(path).len(), 1);
}

#[test]
fn what_waits_is_promoted_or_dropped_by_commands() {
    let folder = site();
    let path = folder.path();
    let served = registry(path);
    let (digest, ..) = push(&served, "v1", "one");
    let promote = ["inbox", "promote", "team/app:v1", "--store", "store", "--trust"];
    let with = |file, more: &[&'static str]| {
        [&promote[..], &[file, "--registry-name", "registry.example"], more].concat()
    };
    fails(path, &with("gate.yaml", &[]), 3, "gate `push` refuses team/app@");
    fails(path, &with("release.yaml", &[]), 2, "no gate `push`");
    fails(path, &promote[..5], 2, "no trust file");
    sign_in_store(path, &digest, "release.key");
    assert_eq!(get(&served, None, "v1"), 404);
    assert!(works(path, &with("gate.yaml", &["--dry-run"])).contains("would set team/app:v1"));
    assert_eq!((get(&served, None, "v1"), done(path, "inbox.promote")), (404, 0));
    assert!(works(path, &with("gate.yaml", &[])).contains(&format!("set team/app:v1  {digest}")));
    assert_eq!((get(&served, None, "v1"), done(path, "inbox.promote")), (200, 1));
    fails(path, &with("gate.yaml", &[]), 4, "the inbox has no manifest for `team/app:v1`");

    let (other, ..) = push(&served, "v2", "two");
    let drop = ["inbox", "drop", "team/app:v2", "--store", "store"];
    assert!(works(path, &[&drop[..], &["--dry-run"]].concat()).contains("would drop"));
    assert_eq!(get(&served, USERS[0], &other), 200);
    assert!(works(path, &drop).contains(&other));
    assert_eq!(get(&served, USERS[0], &other), 404);
    fails(path, &drop, 4, "the inbox has no manifest");
    assert_eq!(done(path, "inbox.drop"), 1);
    assert!(works(path, &["inbox", "list", "--store", "store"]).contains("no manifests in the inbox"));
}

#[test]
fn an_inbox_without_a_gate_or_with_a_wrong_limit_is_refused() {
    let folder = site();
    let path = folder.path();
    drop(registry(path));
    let refused = |from: &str, to: &str, words: &str| {
        std::fs::write(path.join("registry.yaml"), CONFIG.replace(from, to)).unwrap();
        fails(path, &["serve", "--check", "--file", "registry.yaml"], 2, words);
    };
    refused("trust: gate.yaml\n", "", "`gates.inbox` has no effect without `trust`");
    refused("hours: 1", "hours: 0", "`gates.inbox.hours` is too small");
    refused("hours: 1", "days: 1", "days");
    std::fs::write(path.join("registry.yaml"), CONFIG).unwrap();
    let checked = works(path, &["serve", "--check", "--file", "registry.yaml"]);
    assert!(checked.contains("hours 1, manifests 2, sizeMiB 20480"), "{checked}");
}
