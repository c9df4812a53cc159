//! Local signatures are kept when a mirror run or an import adds others.

use std::path::Path;

use serde_json::Value;

use crate::signing::{IMAGE, mirror_file, serve, site, works};

/// The keys whose signatures under cosign's tag are valid in a store, by a trust file with all keys.
fn signers(path: &Path, store: &str) -> Vec<String> {
    let verify = ["verify-image", IMAGE, "--store", store, "--trust", "both.yaml", "--output", "json"];
    let verdict: Value = serde_json::from_str(&works(path, &verify)).unwrap();
    let signatures = verdict["verdict"]["signatures"].as_array().unwrap();
    let legacy = signatures.iter().filter(|found| found["format"] == "simpleSigning");
    let mut names: Vec<_> = legacy.map(|found| found["key"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn sign(path: &Path, store: &str, key: &str) {
    works(path, &["sign", IMAGE, "--store", store, "--key", key, "--format", "legacy"]);
}

/// Writes a mirror file whose upstream is the served store `store`.
fn write_mirror_file(path: &Path, address: &str) {
    let registries =
        format!("registries: [{{host: disk.example, mirror: '{address}/disk.example', plainHTTP: true}}]\n");
    std::fs::write(path.join("up.yaml"), mirror_file(&registries, &format!("  - images: ['{IMAGE}']\n")))
        .unwrap();
}

const MIRROR: [&str; 7] = ["mirror", "-f", "up.yaml", "--store", "copy", "--lock", "copy.lock"];

#[test]
fn o1_a_mirror_run_after_signing_keeps_local_signatures() {
    let folder = site();
    let path = folder.path();
    for name in ["third", "late"] {
        works(path, &["keys", "generate", name]);
    }
    let keys = ["release.pub", "other.pub", "third.pub", "late.pub", "--to", "both.yaml"];
    works(path, &[&["keys", "trust"], &keys[..]].concat());
    sign(path, "store", "release.key");
    let (served, address) = serve(path, "store");
    write_mirror_file(path, &address);
    works(path, &MIRROR);
    assert_eq!(signers(path, "copy"), ["release"]);
    sign(path, "copy", "other.key");
    assert_eq!(signers(path, "copy"), ["other", "release"]);

    // Upstream is unchanged: everything is present, and the lock does not change.
    let lock = std::fs::read(path.join("copy.lock")).unwrap();
    let report = works(path, &[&MIRROR[..], &["--output", "json"]].concat());
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["items"][0]["state"], &report["moved"]), (&"present".into(), &Value::Array(vec![])));
    assert_eq!(signers(path, "copy"), ["other", "release"]);
    works(path, &[&MIRROR[..], &["--update"]].concat());
    assert_eq!(signers(path, "copy"), ["other", "release"]);
    assert_eq!(std::fs::read(path.join("copy.lock")).unwrap(), lock);

    // Upstream adds a signature: it is merged, and no signature is lost, also not in the next run.
    sign(path, "store", "third.key");
    for _ in 0..2 {
        works(path, &[&MIRROR[..], &["--update"]].concat());
        assert_eq!(signers(path, "copy"), ["other", "release", "third"]);
    }
    works(path, &["store", "check", "--store", "copy"]);

    // The drive carries the signatures that the gate counted, and the next import keeps the site's own signature.
    let text = std::fs::read_to_string(path.join("both.yaml")).unwrap();
    let group = "groups: [{name: all, threshold: 3, keys: [release, other, third]}]\n\
                 gates: {pack: {require: [{sign: signature, by: all}]}}\n";
    std::fs::write(path.join("gate.yaml"), text + group).unwrap();
    let pack = |to: &'static str| {
        let pack = ["pack", "--lock", "copy.lock", "--store", "copy", "--key", "release.key"];
        [&pack[..], &["--trust", "gate.yaml", "--to", to]].concat()
    };
    works(path, &pack("drive"));
    let import = |from: &'static str| {
        works(path, &["import", from, "--store", "far", "--trust", "both.yaml", "--output", "json"])
    };
    import("drive");
    assert_eq!(signers(path, "far"), ["other", "release", "third"]);
    sign(path, "far", "late.key");
    let report: Value = serde_json::from_str(&import("drive")).unwrap();
    assert_eq!(report["movedTags"], 0, "{report}");
    assert_eq!(signers(path, "far"), ["late", "other", "release", "third"]);
    works(path, &["store", "check", "--store", "far"]);
    drop(served);
}

#[test]
fn o1_content_under_cosigns_tag_that_is_not_a_signature_is_replaced() {
    let folder = site();
    let path = folder.path();
    works(path, &["keys", "trust", "release.pub", "other.pub", "--to", "both.yaml"]);
    sign(path, "store", "release.key");
    let (served, address) = serve(path, "store");
    write_mirror_file(path, &address);
    works(path, &MIRROR);
    // A client pushes the image itself under the tag of its signatures.
    let (near, own) = {
        std::fs::remove_file(path.join("address")).unwrap();
        serve(path, "copy")
    };
    let manifest = std::fs::read_to_string(path.join("layout/index.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let digest = manifest["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let bytes = std::fs::read(path.join("layout/blobs/sha256").join(&digest[7..])).unwrap();
    let tag = format!("{}.sig", digest.replace(':', "-"));
    put(&own, &tag, &bytes);
    drop(near);
    let verify = ["verify-image", IMAGE, "--store", "copy", "--trust", "both.yaml"];
    assert!(!crate::cli::airlock(path, &verify).status.success());
    works(path, &MIRROR);
    assert_eq!(signers(path, "copy"), ["release"]);
    drop(served);
}

fn put(address: &str, tag: &str, manifest: &[u8]) {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head = format!(
        "PUT /v2/{}/manifests/{tag} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
        crate::gates::REPOSITORY,
        crate::gates::KIND,
        manifest.len()
    );
    stream.write_all(&[head.as_bytes(), manifest].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}
