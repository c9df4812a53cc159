//! The events that every command writes to the audit log.

#[cfg(feature = "slow-tests")]
mod commands;
mod logs;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::cli::{airlock, fails};
use crate::signing::site;

fn log(folder: &Path, filter: &[&str]) -> Vec<Value> {
    let output = airlock(folder, &[&["audit", "log", "--output", "json"], filter].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The site of the signing tests, with a configuration file that names its store.
fn configured_site() -> tempfile::TempDir {
    let folder = site();
    let config = folder.path().join(".config/airlock");
    std::fs::create_dir_all(&config).unwrap();
    let store = folder.path().join("store");
    std::fs::write(config.join("config.yaml"), format!("store: {}\n", store.display())).unwrap();
    folder
}

#[test]
fn the_first_use_and_each_change_of_a_trust_file_is_an_event() {
    let folder = configured_site();
    let path = folder.path();
    std::fs::copy(path.join("release.yaml"), path.join("trust.yaml")).unwrap();
    let verify = ["verify-image", "disk.example/team/app:v1", "--store", "store", "--trust", "trust.yaml"];
    for _ in 0..2 {
        airlock(path, &verify);
    }
    let first = log(path, &["--event", "policy"]);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0]["event"]["event"], "policy.first-use");
    std::fs::copy(path.join("other.yaml"), path.join("trust.yaml")).unwrap();
    for _ in 0..2 {
        airlock(path, &verify);
    }
    let policies = log(path, &["--event", "policy"]);
    assert_eq!(policies.len(), 2);
    let change = &policies[1]["event"];
    assert_eq!(change["event"], "policy.change");
    assert_eq!(change["evidence"]["before"], first[0]["event"]["object"]["digests"][0]);
    let newest = &log(path, &["--limit", "1"])[0]["event"];
    assert_eq!(newest["evidence"]["trust"], change["object"]["digests"][0]);
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends one request; returns the status.
fn request(address: &str, head: &str, body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{head} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    )
    .unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn the_registry_logs_pushes_and_deletes_before_it_responds() {
    let folder = configured_site();
    let path = folder.path();
    let mut server = Server(
        Command::new(env!("CARGO_BIN_EXE_airlock"))
            .args(["serve", "--listen", "127.0.0.1:0", "--address-file", "address"])
            .current_dir(path)
            .env_clear()
            .env("HOME", path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let address = loop {
        match std::fs::read_to_string(path.join("address")) {
            Ok(text) => break text.trim().trim_start_matches("http://").to_owned(),
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(20)),
        }
    };
    let newest = || log(path, &["--limit", "1"])[0]["event"].clone();
    assert_eq!(newest()["event"], "serve.start");
    let blob = oci::Digest::sha256(b"{}");
    for (head, body, status, expected, name) in [
        (
            format!("POST /v2/new/blobs/uploads/?digest={blob}"),
            &b"{}"[..],
            201,
            "push success",
            format!("new@{blob}"),
        ),
        ("PUT /v2/new/manifests/v1".to_owned(), b"{", 400, "push refused", "new:v1".to_owned()),
        ("DELETE /v2/new/manifests/v1".to_owned(), b"", 404, "delete refused", "new:v1".to_owned()),
        (format!("DELETE /v2/new/blobs/{blob}"), b"", 202, "delete success", format!("new@{blob}")),
    ] {
        assert_eq!(request(&address, &head, body), status, "{head}");
        let event = newest();
        let found =
            format!("{} {}", event["event"].as_str().unwrap(), event["outcome"]["result"].as_str().unwrap());
        assert_eq!((found.as_str(), event["object"]["name"].as_str().unwrap()), (expected, name.as_str()));
        assert_eq!(
            (&event["actor"]["user"], event["actor"]["address"].as_str()),
            (&Value::Null, Some("127.0.0.1"))
        );
    }
    // If the log cannot be written, no operation is reported as successful.
    std::fs::rename(path.join("store/log/tail"), path.join("tail")).unwrap();
    assert_eq!(request(&address, &format!("POST /v2/new/blobs/uploads/?digest={blob}"), b"{}"), 500);
    std::fs::rename(path.join("tail"), path.join("store/log/tail")).unwrap();
    let id = server.0.id().to_string();
    assert!(Command::new("kill").arg(&id).status().unwrap().success());
    assert!(server.0.wait().unwrap().success());
    assert_eq!(newest()["event"], "serve.stop");
    assert!(airlock(path, &["audit", "verify"]).status.success());
}

#[test]
fn a12_operations_on_a_store_are_always_in_its_own_log() {
    let folder = configured_site();
    let path = folder.path();
    let before = log(path, &[]).len();
    for command in [
        &["store", "check", "--store", "store"][..],
        &["store", "gc", "--store", "store"],
        &["mirror", "--store", "store"],
        &["mirror", "--store", "new"],
    ] {
        let done = airlock(path, &[command, &["--audit-log", "elsewhere"]].concat());
        assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let kinds = |events: &[Value]| -> Vec<String> {
        events.iter().map(|event| event["event"]["event"].as_str().unwrap().to_owned()).collect()
    };
    let own = log(path, &["--store", "store"]);
    assert_eq!(kinds(&own[before..]), ["store.check", "store.gc", "mirror"]);
    assert_eq!(kinds(&log(path, &["--store", "new"])), ["log.start", "mirror"]);
    let named = log(path, &["--audit-log", "elsewhere"]);
    assert_eq!(kinds(&named), ["log.start", "store.check", "store.gc", "mirror", "mirror"]);
    // If `--audit-log` names the store's own log, each event is written once.
    let done = airlock(path, &["store", "check", "--store", "store", "--audit-log", "./store/../store/log"]);
    assert!(done.status.success());
    assert_eq!(log(path, &["--store", "store"]).len(), own.len() + 1);
}

/// Attempts are logged even if no log and no store is given and no cluster answers.
#[test]
fn o13_changes_of_a_cluster_are_logged_even_if_no_log_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.crt"), "none").unwrap();
    fails(folder.path(), &["audit", "log", "--event", "cluster"], 2, "no audit log was given");
    let cluster = ["--cluster", "mgmt", "--kubeconfig", "none"];
    let install = ["install", "controller", "--registry", "r.example:5000", "--registry-ca", "ca.crt"];
    for (arguments, event) in [
        (&install[..], "cluster.install"),
        (&["package", "rights", "--apply"], "package.change"),
        (&["package", "rollback", "a"], "package.change"),
        (&["upgrade", "packages", "--bundle-version", "v1-36-1"], "package.change"),
        (&["delete", "packages", "a"], "package.change"),
        (&["install", "package", "a", "--package-name", "a"], "package.change"),
    ] {
        let output = airlock(folder.path(), &[arguments, &cluster].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && !said.contains("no audit log"), "{arguments:?}: {said}");
        let output = airlock(folder.path(), &["audit", "log", "--output", "json", "--limit", "1"]);
        let newest: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(newest[0]["event"]["event"], event, "{arguments:?}");
        assert_ne!(newest[0]["event"]["outcome"]["result"], "success", "{arguments:?}");
    }
    let output = airlock(folder.path(), &["audit", "log", "--event", "cluster"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("cluster.install"), "{said}");
    assert!(folder.path().join(".local/state/airlock/log/checkpoint").exists());
}
