//! The gates `pack`, `push` and `pull` of a trust file, and trust files that are older than one used before.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::cli::{airlock, fails};
use crate::signing::{IMAGE, refuses, site, works};

pub(crate) const KIND: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const REPOSITORY: &str = "disk.example/team/app";

/// Writes the trust file of the release key with additional text.
pub(crate) fn trust(path: &Path, name: &str, more: &str) {
    let text = std::fs::read_to_string(path.join("release.yaml")).unwrap();
    std::fs::write(path.join(name), format!("{text}{more}\n")).unwrap();
}

fn event(path: &Path, filter: &[&str]) -> Value {
    let log = ["audit", "log", "--store", "store", "--limit", "1", "--output", "json"];
    let events: Value = serde_json::from_str(&works(path, &[&log[..], filter].concat())).unwrap();
    events[0]["event"].clone()
}

#[test]
fn content_that_the_gate_refuses_is_not_packed() {
    let folder = site();
    let path = folder.path();
    trust(path, "gate.yaml", "gates: {pack: {require: [{sign: signature, by: release}]}}");
    trust(path, "warn.yaml", "gates: {pack: {mode: warn}}");
    let pack = ["pack", "--store", "store", "--key", "release.key", "--to", "drive", "--trust"];
    for dry in [&["--dry-run"][..], &[]] {
        fails(
            path,
            &[&pack[..], &["gate.yaml"], dry].concat(),
            3,
            "gate `pack` refuses disk.example/team/app@",
        );
    }
    assert!(!path.join("drive").exists());
    let refused = event(path, &["--event", "pack"]);
    assert_eq!(
        (&refused["outcome"]["result"], &refused["outcome"]["reason"]),
        (&"refused".into(), &"policy".into())
    );
    assert_eq!(refused["evidence"]["gate"], "pack");
    // A trust file without the gate requires nothing; with `mode: warn`, the command prints a warning.
    works(
        path,
        &["pack", "--store", "store", "--key", "release.key", "--to", "plain", "--trust", "release.yaml"],
    );
    let warned = airlock(path, &[&pack[..6], &["warned", "--trust", "warn.yaml"]].concat());
    assert!(warned.status.success() && String::from_utf8_lossy(&warned.stderr).contains("only warns"));
    assert!(
        event(path, &["--event", "pack"])["evidence"]["warned"]
            .as_str()
            .unwrap()
            .contains("no valid signature")
    );
    works(path, &["sign", IMAGE, "--store", "store", "--key", "other.key"]);
    fails(path, &[&pack[..], &["gate.yaml"]].concat(), 3, "untrusted key");
    works(path, &["sign", IMAGE, "--store", "store", "--key", "release.key"]);
    works(path, &[&pack[..], &["gate.yaml"]].concat());
    assert_eq!(event(path, &["--event", "pack"])["evidence"]["gateSigners"], "release");
}

#[test]
fn o1_the_signatures_that_the_gate_counted_reach_the_site() {
    let folder = site();
    let path = folder.path();
    trust(path, "gate.yaml", "gates: {pack: {require: [{sign: signature, by: release}]}}");
    works(path, &["sign", IMAGE, "--store", "store", "--key", "release.key"]);
    std::fs::write(path.join("said.json"), "{\"found\":0}").unwrap();
    let attest = ["attest", IMAGE, "--store", "store", "--key", "release.key", "--predicate", "said.json"];
    works(path, &[&attest[..], &["--type", "https://example.com/scan/v1"]].concat());
    let pack = ["pack", "--store", "store", "--key", "release.key", "--to", "drive", "--trust", "gate.yaml"];
    let packed = airlock(path, &pack);
    let said = String::from_utf8_lossy(&packed.stderr).into_owned();
    assert!(
        packed.status.success() && said.contains("4 signatures, attestations or SBOMs are included"),
        "{said}"
    );
    works(path, &["import", "drive", "--trust", "release.yaml", "--store", "far"]);
    let verify = ["verify-image", IMAGE, "--store", "far", "--trust", "release.yaml"];
    works(path, &verify);
    works(path, &[&verify[..], &["--type", "https://example.com/scan/v1"]].concat());
    for format in ["legacy", "bundle"] {
        let only = works(path, &[&verify[..], &["--output", "json"]].concat());
        assert!(only.contains(if format == "legacy" { ".sig" } else { "sigstore" }), "{format}: {only}");
    }
}

/// An image that no item of the lock lists, and a signature that cannot be packed.
#[test]
fn o1_the_gate_checks_all_packed_content_and_counts_only_packed_signatures() {
    let folder = site();
    let path = folder.path();
    trust(path, "gate.yaml", "gates: {pack: {require: [{sign: signature, by: release}]}}");
    let pack = ["pack", "--store", "store", "--key", "release.key", "--to", "drive", "--trust", "gate.yaml"];
    let text = std::fs::read_to_string(path.join("airlock.lock")).unwrap();
    let mut lock: Value = serde_json::from_str(&text).unwrap();
    lock["items"] = Value::Array(Vec::new());
    std::fs::write(path.join("airlock.lock"), lock.to_string()).unwrap();
    fails(path, &pack, 3, "gate `pack` refuses disk.example/team/app@");
    assert!(!path.join("drive").exists());
    works(path, &["sign", IMAGE, "--store", "store", "--key", "release.key", "--format", "bundle"]);
    // The blob of the signature is missing: the signature cannot be packed, so it does not count.
    let repository = format!("{}/blobs/sha256", path.join("store").display());
    let bundle = walk(Path::new(&repository))
        .into_iter()
        .find(|file| std::fs::read_to_string(file).is_ok_and(|text| text.contains("\"dsseEnvelope\"")));
    std::fs::remove_file(bundle.unwrap()).unwrap();
    fails(path, &pack, 3, "gate `pack` refuses disk.example/team/app@");
}

/// All files below a folder.
fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() { found.extend(walk(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}

pub(crate) struct Served(Child, String);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Served {
    pub(crate) fn of(path: &Path, trust: &str) -> Self {
        Self::with(path, &["--store", "store", "--listen", "127.0.0.1:0", "--trust", trust])
    }

    pub(crate) fn with(path: &Path, arguments: &[&str]) -> Self {
        let address = path.join("address");
        let _ = std::fs::remove_file(&address);
        let child = Command::new(env!("CARGO_BIN_EXE_airlock"))
            .args(["serve", "--address-file", "address"])
            .args(arguments)
            .current_dir(path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut served = Self(child, String::new());
        for _ in 0..600 {
            if let Ok(url) = std::fs::read_to_string(&address) {
                served.1 = url.trim().trim_start_matches("http://").to_owned();
                return served;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("airlock serve did not start")
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.1
    }

    pub(crate) fn ask(
        &self,
        method: &str,
        target: &str,
        (kind, body): (&str, &[u8]),
    ) -> (u16, String, String) {
        let mut stream = TcpStream::connect(&self.1).unwrap();
        let (host, length) = (&self.1, body.len());
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_owned(), body.to_owned())
    }

    pub(crate) fn get(&self, reference: &str) -> (u16, String) {
        let (status, _, body) =
            self.ask("GET", &format!("/v2/{REPOSITORY}/manifests/{reference}"), ("", b""));
        (status, body)
    }

    pub(crate) fn put(&self, repository: &str, reference: &str, manifest: (&str, &str)) -> (u16, String) {
        let target = format!("/v2/{repository}/manifests/{reference}");
        let (status, _, body) = self.ask("PUT", &target, (manifest.0, manifest.1.as_bytes()));
        (status, body)
    }
}

#[test]
fn the_registry_serves_content_that_the_gate_admits() {
    let folder = site();
    let path = folder.path();
    trust(path, "gate.yaml", "gates: {pull: {require: [{sign: signature, by: release}]}}");
    let served = Served::of(path, "gate.yaml");
    let (status, body) = served.get("v1");
    assert_eq!(status, 403, "{body}");
    for words in ["DENIED", "gate `pull` refuses", "`signature` by `release`", "airlock import"] {
        assert!(body.contains(words), "{body}");
    }
    assert_eq!(served.ask("HEAD", &format!("/v2/{REPOSITORY}/manifests/v1"), ("", b"")).0, 403);
    let refused = event(path, &["--event", "verify"]);
    assert_eq!(
        (&refused["outcome"]["result"], &refused["evidence"]["gate"]),
        (&"refused".into(), &"pull".into())
    );
    let listed = works(path, &["audit", "log", "--store", "store", "--event", "verify"]);
    assert_eq!(listed.matches("refused (policy)").count(), 1, "each decision is logged once: {listed}");

    // A signed index also admits the manifests that it lists.
    let layout = std::fs::read_to_string(path.join("layout/index.json")).unwrap();
    let app: Value = serde_json::from_str(&layout).unwrap();
    let app = app["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let index = layout.replacen('{', r#"{"mediaType":"application/vnd.oci.image.index.v1+json","#, 1);
    let digest = oci::Digest::sha256(index.as_bytes()).to_string();
    let (status, body) = served.put(REPOSITORY, &digest, ("application/vnd.oci.image.index.v1+json", &index));
    assert_eq!(status, 201, "{body}");
    assert_eq!((served.get(&digest).0, served.get(&app).0), (403, 403));
    works(path, &["sign", &format!("{REPOSITORY}@{digest}"), "--store", "store", "--key", "release.key"]);
    assert_eq!((served.get(&digest).0, served.get(&app).0, served.get("v1").0), (200, 200, 200));
    // Signatures are served, so that clients can verify them.
    assert_eq!(served.get(&format!("{}.sig", digest.replace(':', "-"))).0, 200);
    let newest = event(path, &["--event", "verify"]);
    assert_eq!(
        (&newest["outcome"]["result"], &newest["evidence"]["signer"]),
        (&"success".into(), &"release".into())
    );
    works(path, &["audit", "verify", "--store", "store"]);
}

#[test]
fn a_gate_that_only_warns_admits_and_records_it_in_the_log() {
    let folder = site();
    let path = folder.path();
    trust(path, "warn.yaml", "gates: {pull: {mode: warn}, push: {mode: warn}}");
    let served = Served::of(path, "warn.yaml");
    assert_eq!((served.get("v1").0, served.get("v1").0), (200, 200));
    let newest = event(path, &["--event", "verify"]);
    assert_eq!(newest["outcome"]["result"], "success");
    assert!(newest["evidence"]["warned"].as_str().unwrap().contains("no valid signature found"), "{newest}");
    let manifest = served.get("v1").1;
    assert_eq!(served.put(REPOSITORY, "v2", (KIND, &manifest)).0, 201);
    let newest = event(path, &["--event", "verify"]);
    assert_eq!(
        (&newest["evidence"]["gate"], newest["evidence"]["warned"].is_string()),
        (&"push".into(), true)
    );
}

#[test]
fn a_tag_is_accepted_only_after_the_signatures() {
    let folder = site();
    let path = folder.path();
    trust(path, "gate.yaml", "gates: {push: {require: [{sign: signature, by: release}]}}");
    let served = Served::of(path, "gate.yaml");
    let config = b"{}";
    let blob = oci::Digest::sha256(config).to_string();
    let target = format!("/v2/team/new/blobs/uploads/?digest={blob}");
    assert_eq!(served.ask("POST", &target, ("application/octet-stream", config)).0, 201);
    let image = format!(
        r#"{{"schemaVersion":2,"mediaType":"{KIND}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{blob}","size":2}},"layers":[]}}"#
    );
    let digest = oci::Digest::sha256(image.as_bytes()).to_string();
    let (status, body) = served.put("team/new", "v1", (KIND, &image));
    assert!(
        status == 403 && body.contains("gate `push` refuses") && body.contains("by its digest"),
        "{body}"
    );
    let refused = event(path, &["--event", "push"]);
    assert_eq!(
        (&refused["outcome"]["result"], &refused["outcome"]["reason"]),
        (&"refused".into(), &"http-403".into())
    );
    // A tag in a push by digest does not bypass the gate.
    assert_eq!(served.put("team/new", &format!("{digest}?tag=v1"), (KIND, &image)).0, 403);
    assert_eq!(served.put("team/new", &digest, (KIND, &image)).0, 201);
    assert_eq!(served.put("team/new", "v1", (KIND, &image)).0, 403);
    let reference = format!("{}/team/new@{digest}", served.1);
    works(path, &["sign", &reference, "--plain-http", "--key", "other.key"]);
    assert_eq!(served.put("team/new", "v1", (KIND, &image)).0, 403);
    works(path, &["sign", &reference, "--plain-http", "--key", "release.key"]);
    let (status, body) = served.put("team/new", "v1", (KIND, &image));
    assert_eq!(status, 201, "{body}");
    // A signature is accepted under the tag for signatures, and not under a tag of images.
    let signature = format!("{}.sig", digest.replace(':', "-"));
    let (_, _, manifest) = served.ask("GET", &format!("/v2/team/new/manifests/{signature}"), ("", b""));
    assert_eq!(served.put("team/new", "v1", (KIND, &manifest)).0, 403);
    assert_eq!(served.put("team/new", &signature, (KIND, &manifest)).0, 201);
}

#[test]
fn a_trust_file_that_is_older_than_one_used_before_is_refused() {
    let folder = site();
    let path = folder.path();
    trust(path, "four.yaml", "sequence: 4");
    trust(path, "three.yaml", "sequence: 3");
    works(path, &["pack", "--store", "store", "--key", "release.key", "--to", "drive"]);
    let import = ["import", "drive", "--store", "far", "--trust"];
    works(path, &[&import[..], &["three.yaml"]].concat());
    // A dry run and a verification compare the sequence, but do not record it.
    works(path, &[&import[..], &["four.yaml", "--dry-run"]].concat());
    works(path, &["verify", "drive", "--store", "far", "--trust", "four.yaml"]);
    works(path, &[&import[..], &["three.yaml"]].concat());
    works(path, &[&import[..], &["four.yaml"]].concat());
    let stale = "has sequence 3, but 4 was used here before";
    fails(path, &[&import[..], &["three.yaml"]].concat(), 7, stale);
    fails(path, &["verify", "drive", "--store", "far", "--trust", "three.yaml"], 7, stale);
    fails(path, &["verify-image", IMAGE, "--store", "far", "--trust", "three.yaml"], 7, stale);
    let pack = ["pack", "--store", "far", "--key", "release.key", "--to", "other", "--trust"];
    fails(path, &[&pack[..], &["three.yaml"]].concat(), 7, stale);
    fails(path, &["serve", "--store", "far", "--listen", "127.0.0.1:0", "--trust", "three.yaml"], 7, stale);
    // A file without a sequence is older than any file with one.
    fails(path, &[&import[..], &["release.yaml"]].concat(), 7, "has sequence 0");
    // The recorded sequence survives a rebuild of the database.
    std::fs::remove_file(path.join("far/airlock.db")).unwrap();
    works(path, &["store", "rebuild", "--store", "far"]);
    fails(path, &[&import[..], &["three.yaml"]].concat(), 7, stale);
    let accept = ["trust", "accept", "three.yaml", "--store", "far", "--reason", "four was a mistake"];
    assert!(works(path, &accept).contains("the highest sequence was 4"));
    works(path, &[&import[..], &["three.yaml"]].concat());
    let log = ["audit", "log", "--store", "far", "--event", "policy.change", "--output", "json"];
    assert!(works(path, &log).contains("four was a mistake"));
    refuses(path, &["verify", "drive", "--store", "far", "--trust", "other.yaml"], "untrusted key");
}

/// Pushes an index by digest; with `sign`, signs it through the registry with `release` and then pushes its tag.
fn push_signed(path: &Path, served: &Served, sign: bool) -> String {
    let layout = std::fs::read_to_string(path.join("layout/index.json")).unwrap();
    let index = layout.replacen('{', r#"{"mediaType":"application/vnd.oci.image.index.v1+json","#, 1);
    let digest = oci::Digest::sha256(index.as_bytes()).to_string();
    let child: Value = serde_json::from_str(&layout).unwrap();
    let child = child["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let image = std::fs::read_to_string(path.join("layout/blobs/sha256").join(&child[7..])).unwrap();
    assert_eq!(served.put(REPOSITORY, &child, (KIND, &image)).0, 201);
    let kind = "application/vnd.oci.image.index.v1+json";
    assert_eq!(served.put(REPOSITORY, &digest, (kind, &index)).0, 201);
    if sign {
        let reference = format!("{}/{REPOSITORY}@{digest}", served.1);
        let name = ["--name", REPOSITORY];
        let sign = ["sign", &reference, "--plain-http", "--key", "release.key"];
        works(path, &[&sign[..], &name].concat());
        assert_eq!(served.put(REPOSITORY, "many", (kind, &index)).0, 201);
    }
    digest
}

fn finding(path: &Path, control: &str) -> Value {
    let report = ["audit", "report", "--store", "store", "--framework", "nist-800-53r5", "--format", "json"];
    let report: Value = serde_json::from_str(&works(path, &report)).unwrap();
    let controls = report["controls"].as_array().unwrap();
    controls.iter().find(|finding| finding["id"] == control).unwrap().clone()
}

#[test]
fn cm14_an_image_signed_through_the_registry_satisfies_the_control() {
    let folder = site();
    let path = folder.path();
    trust(path, "gate.yaml", "gates: {push: {require: [{sign: signature, by: release}]}}");
    let served = Served::of(path, "gate.yaml");
    let digest = push_signed(path, &served, false);
    assert_eq!(finding(path, "CM-14")["status"], "not-satisfied");
    push_signed(path, &served, true);
    let finding = finding(path, "CM-14");
    assert_eq!(finding["status"], "satisfied", "{finding}");
    let log = ["audit", "log", "--store", "store", "--event", "push", "--output", "json"];
    let events: Value = serde_json::from_str(&works(path, &log)).unwrap();
    let evidence =
        |event: &Value, name: &str| event["event"]["evidence"][name].as_str().unwrap_or_default().to_owned();
    let pushes = events.as_array().unwrap();
    let signatures: Vec<_> = pushes.iter().filter(|push| evidence(push, "holds") == "signature").collect();
    assert_eq!(signatures.len(), 2, "under the tag, and as a referrer: {events}");
    assert!(signatures.iter().all(|push| evidence(push, "subject") == digest), "{signatures:?}");
    let others = pushes.iter().filter(|push| push["event"]["object"]["kind"] == "manifest");
    assert_eq!(others.filter(|push| evidence(push, "holds").is_empty()).count(), 5);
}
