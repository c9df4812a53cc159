//! The health of a store: scrubs find damage of every kind, nothing damaged is served, and pushes and drives replace it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use oci::Digest;
use serde_json::{Value, json};

use super::Registry;
use crate::cli::airlock;
use crate::signing::{mirror_file, works};

const REPOSITORY: &str = "disk.example/team/app";
/// The kinds of damage.
const KINDS: usize = 7;
/// The kind whose bytes are intact.
const PERMISSIONS: usize = 6;

/// An image of 49 layers and a config.
fn contents() -> Vec<Vec<u8>> {
    let layer = |number: usize| format!("layer {number} ").repeat(20 + 200 * (number % 5)).into_bytes();
    let config =
        br#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#;
    std::iter::once(config.to_vec()).chain((0..49).map(layer)).collect()
}

/// A drive with the image, a site that imported it, and the blobs of the image by digest.
pub(super) fn site_with_drive() -> (tempfile::TempDir, BTreeMap<Digest, Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let contents = contents();
    let blobs = path.join("layout/blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |kind: &str, bytes: &[u8]| {
        fs::write(blobs.join(Digest::sha256(bytes).hex()), bytes).unwrap();
        json!({ "mediaType": kind, "digest": Digest::sha256(bytes), "size": bytes.len() })
    };
    let config = put(oci::media_type::OCI_CONFIG, &contents[0]);
    let layers: Vec<_> = contents[1..].iter().map(|layer| put(oci::media_type::OCI_LAYER, layer)).collect();
    let kind = oci::media_type::OCI_MANIFEST;
    let image = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers });
    let image = put(kind, image.to_string().as_bytes());
    fs::write(
        path.join("layout/index.json"),
        json!({ "schemaVersion": 2, "manifests": [image] }).to_string(),
    )
    .unwrap();
    fs::write(path.join("layout/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let sources = format!("  - ociLayout: {{path: layout, reference: '{REPOSITORY}:v1'}}\n");
    fs::write(path.join("airlock.yaml"), mirror_file("", &sources)).unwrap();
    works(path, &["mirror", "--store", "near"]);
    works(path, &["keys", "generate", "release"]);
    works(path, &["keys", "trust", "release.pub", "--log", "near/log/key.pub", "--to", "trust.yaml"]);
    works(path, &["pack", "--store", "near", "--key", "release.key", "--to", "drive"]);
    works(path, &["import", "drive", "--trust", "trust.yaml", "--store", "far"]);
    let blobs = contents.into_iter().map(|bytes| (Digest::sha256(&bytes), bytes)).collect();
    (folder, blobs)
}

fn file(path: &Path, digest: &Digest) -> PathBuf {
    path.join("far/blobs/sha256").join(&digest.hex()[..2]).join(digest.hex())
}

/// Damages a blob's file.
fn damage(kind: usize, file: &Path, bytes: &[u8]) {
    let half = bytes.len() / 2;
    let changed = match kind {
        // A flipped bit, a truncated file, zeros at the end, other content.
        0 => [&bytes[..half], &[bytes[half] ^ 1], &bytes[half + 1..]].concat(),
        1 => bytes[..half].to_vec(),
        2 => [&bytes[..half], &vec![0; bytes.len() - half]].concat(),
        3 => b"something else".to_vec(),
        PERMISSIONS => {
            return fs::set_permissions(file, fs::Permissions::from_mode(0o000)).unwrap();
        }
        _ => {
            fs::remove_file(file).unwrap();
            if kind == 5 {
                fs::create_dir(file).unwrap();
            }
            return;
        }
    };
    fs::write(file, changed).unwrap();
}

/// Damages all blobs, each in one of all ways.
fn damage_all(path: &Path, blobs: &BTreeMap<Digest, Vec<u8>>) {
    for (number, (digest, bytes)) in blobs.iter().enumerate() {
        damage(number % KINDS, &file(path, digest), bytes);
    }
}

/// A request; returns the status, the body and the head.
pub(super) fn ask(
    registry: &Registry,
    method: &str,
    path: &str,
    kind: &str,
    body: &[u8],
) -> (u16, Vec<u8>, String) {
    ask_at(registry.address(0), method, path, kind, body)
}

pub(super) fn ask_at(
    address: &str,
    method: &str,
    path: &str,
    kind: &str,
    body: &[u8],
) -> (u16, Vec<u8>, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The registry may refuse before it has read the body.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("no response");
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    (head[9..12].parse().unwrap(), answer[end + 4..].to_vec(), head)
}

fn get(registry: &Registry, digest: &Digest) -> (u16, Vec<u8>) {
    let (status, body, _) = ask(registry, "GET", &format!("/v2/{REPOSITORY}/blobs/{digest}"), "a/b", b"");
    (status, body)
}

/// Scrubs, and returns the report.
fn scrub(path: &Path, code: i32) -> Value {
    let output = airlock(path, &["store", "scrub", "--store", "far", "--output", "json"]);
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Damages all blobs, scrubs, and checks that each is found, that none is served with other bytes, and that none can be
/// mounted into the repository `other`.
fn damaged_and_found(path: &Path, blobs: &BTreeMap<Digest, Vec<u8>>, registry: &Registry, other: &str) {
    damage_all(path, blobs);
    let report = scrub(path, 3);
    let found = report["found"].as_array().unwrap().len();
    let restored = usize::try_from(report["permissions"].as_u64().unwrap()).unwrap();
    assert_eq!((found + restored, restored), (50, 7), "{report}");
    assert_eq!(report["damaged"].as_array().unwrap().len(), 43);
    for (number, (digest, bytes)) in blobs.iter().enumerate() {
        let is_intact = number % KINDS == PERMISSIONS;
        let (status, body) = get(registry, digest);
        assert_eq!(status, if is_intact { 200 } else { 404 }, "{number}");
        assert!(!is_intact || body == *bytes);
        let blob = format!("/v2/{REPOSITORY}/blobs/{digest}");
        assert_eq!(ask(registry, "HEAD", &blob, "a/b", b"").0, status);
        let mount = format!("/v2/{other}/blobs/uploads/?mount={digest}&from={REPOSITORY}");
        assert_eq!(ask(registry, "POST", &mount, "a/b", b"").0, if is_intact { 201 } else { 202 });
    }
    let report = works(path, &["store", "list", "--store", "far"]);
    assert!(report.contains(&format!("{REPOSITORY}:v1")), "the manifest stays: {report}");
    let output = airlock(path, &["store", "scrub", "--report", "--store", "far"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(3) && text.contains("43 damaged blobs known"), "{text}");
    let faults = airlock(path, &["store", "check", "--store", "far", "--output", "json"]);
    let faults: Value = serde_json::from_slice(&faults.stdout).unwrap();
    let missing = |fault: &Value| fault["repository"] == REPOSITORY && fault["fault"] == "missing";
    assert_eq!(faults["faults"].as_array().unwrap().iter().filter(|fault| missing(fault)).count(), 43);
}

/// All blobs are served with their bytes, and nothing is wrong with the store.
fn is_whole(path: &Path, blobs: &BTreeMap<Digest, Vec<u8>>, registry: &Registry) {
    for (digest, bytes) in blobs {
        assert!(get(registry, digest) == (200, bytes.clone()), "{digest}");
    }
    assert!(works(path, &["store", "check", "--store", "far"]).contains("0 faults"));
    assert!(works(path, &["store", "scrub", "--report", "--store", "far"]).contains("no damaged blobs"));
    let report = scrub(path, 0);
    assert_eq!((report["found"].as_array().unwrap().len(), &report["blobs"]), (0, &json!(51)));
}

#[test]
fn g_fifty_damaged_blobs_are_found_none_is_served_and_all_are_healed() {
    let (folder, blobs) = site_with_drive();
    let path = folder.path();
    assert_eq!(blobs.len(), 50);
    let registry = Registry::start(path, &["--store", "far", "--listen", "127.0.0.1:0"]);
    is_whole(path, &blobs, &registry);

    // By pushes to one repository, for every repository that has the blob.
    damaged_and_found(path, &blobs, &registry, "one");
    for (digest, bytes) in &blobs {
        let post = format!("/v2/pushed/again/blobs/uploads/?digest={digest}");
        assert_eq!(ask(&registry, "POST", &post, "application/octet-stream", bytes).0, 201);
    }
    is_whole(path, &blobs, &registry);

    // From the drive, which has exactly these bytes.
    damaged_and_found(path, &blobs, &registry, "two");
    let heal = ["store", "heal", "drive", "--trust", "trust.yaml", "--store", "far", "--output", "json"];
    let planned: Value = serde_json::from_str(&works(path, &[&heal[..], &["--dry-run"]].concat())).unwrap();
    assert_eq!((&planned["healed"]["blobs"], &planned["stillDamaged"]), (&json!(43), &json!(0)));
    let still = airlock(path, &["store", "scrub", "--report", "--store", "far"]);
    assert_eq!(still.status.code(), Some(3), "a dry run changes nothing");
    let healed: Value = serde_json::from_str(&works(path, &heal)).unwrap();
    assert_eq!(healed["digests"], planned["digests"]);
    is_whole(path, &blobs, &registry);
    assert_eq!(serde_json::from_str::<Value>(&works(path, &heal)).unwrap()["healed"]["blobs"], 0);

    // By another import.
    damaged_and_found(path, &blobs, &registry, "three");
    works(path, &["import", "drive", "--trust", "trust.yaml", "--store", "far"]);
    is_whole(path, &blobs, &registry);

    // Each damaged blob is an event of the log, as is each scrub.
    let log = |event: &str| {
        let log = ["audit", "log", "--store", "far", "--event", event, "--output", "json"];
        let events: Vec<Value> = serde_json::from_str(&works(path, &log)).unwrap();
        events
    };
    assert_eq!(log("store.damage").len(), 3 * 43);
    assert!(log("store.damage").iter().all(|entry| entry["event"]["object"]["digests"][0].is_string()));
    assert_eq!(log("store.heal").len(), 2);
    assert_eq!(log("store.scrub").len(), 7);
    registry.stop();
}

#[test]
fn a_drive_that_is_not_trusted_or_damaged_heals_nothing() {
    let (folder, blobs) = site_with_drive();
    let path = folder.path();
    let (digest, _) = blobs.iter().next().unwrap();
    fs::remove_file(file(path, digest)).unwrap();
    works(path, &["keys", "generate", "other"]);
    works(path, &["keys", "trust", "other.pub", "--to", "other.yaml"]);
    let heal = |trust: &str| airlock(path, &["store", "heal", "drive", "--trust", trust, "--store", "far"]);
    assert_eq!(heal("other.yaml").status.code(), Some(3));
    assert!(!file(path, digest).exists());
    let volume = fs::read_dir(path.join("drive")).unwrap().map(|entry| entry.unwrap().path());
    let volume = volume.into_iter().find(|path| path.extension().is_some_and(|end| end == "tar")).unwrap();
    let intact = fs::read(&volume).unwrap();
    let mut bytes = intact.clone();
    let at = bytes.len() - 20_000;
    for byte in &mut bytes[at - 60_000..at] {
        *byte ^= 1;
    }
    fs::write(&volume, bytes).unwrap();
    assert_eq!(heal("trust.yaml").status.code(), Some(3));
    assert!(!file(path, digest).exists());
    fs::write(&volume, intact).unwrap();
    assert_eq!(heal("trust.yaml").status.code(), Some(0));
    assert!(file(path, digest).exists());
}

#[test]
fn a_registry_scrubs_at_the_declared_interval_and_in_read_only_mode_refuses_to_heal() {
    let (folder, blobs) = site_with_drive();
    let path = folder.path();
    let write = |more: &str| {
        let text = format!(
            "apiVersion: airlock.dev/v1alpha1\nkind: RegistryConfig\nstore: far\n\
             listeners: [{{address: '127.0.0.1:0'}}]\n{more}\n"
        );
        fs::write(path.join("registry.yaml"), text).unwrap();
    };
    write("readOnly: true");
    let (digest, bytes) = blobs.iter().nth(3).unwrap();
    let registry = Registry::start(path, &["--file", "registry.yaml"]);
    damage(0, &file(path, digest), bytes);
    registry.says_after("changed: scrub", || write("readOnly: true\nscrub: {every: 1s, rate: 100MiB}"));
    registry.until("the scrub moves the blob away", || !file(path, digest).exists());
    assert!(path.join("far/quarantine").join(digest.hex()).exists());
    assert_eq!(get(&registry, digest).0, 404);

    // Nothing is written by clients of a read-only registry, healing included, and the answer says why.
    let (blob, upload) = (format!("/v2/{REPOSITORY}/blobs"), format!("/v2/{REPOSITORY}/blobs/uploads/"));
    let session = format!("{upload}00000000000000000000000000000000");
    let manifest = format!("/v2/{REPOSITORY}/manifests/v1");
    for (method, at) in [
        ("POST", format!("{upload}?digest={digest}")),
        ("POST", format!("{upload}?mount={digest}&from={REPOSITORY}")),
        ("POST", upload),
        ("PATCH", session.clone()),
        ("PUT", format!("{session}?digest={digest}")),
        ("DELETE", session),
        ("PUT", manifest.clone()),
        ("DELETE", manifest),
        ("DELETE", format!("{blob}/{digest}")),
    ] {
        let (status, body, _) = ask(&registry, method, &at, "application/octet-stream", bytes);
        let body = String::from_utf8_lossy(&body);
        assert!(
            status == 405 && body.contains("read-only") && body.contains("hint"),
            "{method} {at}: {body}"
        );
    }
    assert!(!file(path, digest).exists());
    registry.says_after("changed: read-only mode", || write("scrub: {every: 1s}"));
    let post = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={digest}");
    assert_eq!(ask(&registry, "POST", &post, "application/octet-stream", bytes).0, 201);
    assert_eq!(get(&registry, digest), (200, bytes.clone()));
    // Scrubs go on, and log what they find.
    let log = ["audit", "log", "--store", "far", "--event", "store.scrub", "--output", "json"];
    let scrubs = || serde_json::from_str::<Vec<Value>>(&works(path, &log)).unwrap();
    let last =
        |result: &str| scrubs().last().is_some_and(|entry| entry["event"]["outcome"]["result"] == result);
    registry.until("a scrub finds no damage", || last("success"));
    assert!(scrubs().iter().any(|entry| entry["event"]["outcome"]["detail"] == "1 blob damaged or missing"));
    registry.says_after("changed: scrub", || write(""));
    std::thread::sleep(std::time::Duration::from_secs(1));
    let before = scrubs().len();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(scrubs().len(), before, "it was not stopped");
    registry.stop();
}
