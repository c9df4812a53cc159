//! The `store` commands.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use oci::{Algorithm, Digest, Manifest};
use serde_json::{Value, json};
use store::{Change, Store};

use crate::cli::{airlock, fails};

const TITLE: &str = "org.opencontainers.image.title";

fn put(store: &Store, bytes: &[u8]) -> Digest {
    let mut writer = store.writer(Algorithm::Sha256).unwrap();
    writer.write(bytes).unwrap();
    writer.publish(None).unwrap().0
}

/// Stores files as one artifact in a repository.
fn artifact(store: &Store, name: &str, tag: Option<&str>, files: &[(&str, &[u8])], more: &Value) -> Digest {
    let config = put(store, b"{}");
    let layers = files.iter().map(|(title, bytes)| {
        let digest = put(store, bytes).to_string();
        json!({ "mediaType": "application/octet-stream", "digest": digest, "size": bytes.len(), "annotations": { TITLE: title } })
    });
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": oci::media_type::OCI_MANIFEST, "layers": layers.collect::<Vec<_>>(),
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config.to_string(), "size": 2 },
    });
    manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    name_it(store, name, tag, &manifest)
}

fn name_it(store: &Store, name: &str, tag: Option<&str>, manifest: &Value) -> Digest {
    let manifest = Manifest::parse(manifest.to_string().into_bytes().into(), None).unwrap();
    let (digest, repository): (Digest, oci::RepositoryName) = (manifest.digest(), name.parse().unwrap());
    let put = Change::PutManifest { repository: repository.clone(), digest: digest.clone(), manifest };
    let tag = tag.map(|tag| Change::SetTag { repository, tag: tag.parse().unwrap(), digest: digest.clone() });
    store.commit(std::iter::once(put).chain(tag).collect()).unwrap();
    digest
}

fn list(folder: &Path, arguments: &[&str]) -> String {
    let output = airlock(folder, &[&["store", "list", "--store", "store"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn d18_untagged_images_are_listed_with_their_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    let none = json!({});
    let tagged = artifact(&store, "one/app", Some("v1"), &[("a", b"12345")], &none);
    let loose = artifact(&store, "one/app", None, &[("b", b"1234567")], &none);
    let only = artifact(&store, "two/app", None, &[("c", b"123")], &none);
    let kind = oci::media_type::OCI_MANIFEST;
    let signature =
        |of: &Digest| json!({ "subject": { "mediaType": kind, "digest": of.to_string(), "size": 1 } });
    let about = artifact(&store, "one/app", None, &[("s", b"sig")], &signature(&tagged));
    // A referrer whose subject is missing is listed itself.
    let orphan = artifact(&store, "three/app", None, &[("s", b"other")], &signature(&tagged));
    let size = store.manifests(&"two/app".parse().unwrap()).unwrap()[0].size;
    let index = json!({ "schemaVersion": 2, "manifests": [{ "mediaType": kind, "digest": only.to_string(), "size": size }] });
    let index = name_it(&store, "two/app", None, &index);
    store
        .commit(vec![Change::LinkBlob { repository: "four/app".parse().unwrap(), digest: put(&store, b"x") }])
        .unwrap();
    let lines: Value = serde_json::from_str(&list(folder.path(), &["--output", "json"])).unwrap();
    let listed: Vec<_> = lines.as_array().unwrap().iter().map(|line| line["digest"].clone()).collect();
    let expected = [Value::Null, json!(tagged), json!(loose), json!(orphan), json!(index)];
    assert_eq!(listed, expected);
    assert!(!listed.contains(&json!(about)) && !listed.contains(&json!(only)));
    let bytes = |n: usize| lines[n]["bytes"].as_u64().unwrap();
    let manifest = store.manifests(&"one/app".parse().unwrap()).unwrap();
    let row = manifest.iter().find(|row| row.digest == tagged).unwrap();
    assert_eq!(bytes(1), row.size + 2 + 5);
    assert_eq!(lines[1]["tag"], "v1");
    let text = list(folder.path(), &[]);
    assert!(text.contains(&format!("one/app:v1  {tagged}  ")), "{text}");
    assert!(text.contains(&format!("one/app@{loose}  ")) && text.contains("four/app  (no images)"), "{text}");
}

#[test]
fn o21_untagged_repositories_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    artifact(&store, "a/b", Some("v1"), &[("a", b"1")], &json!({}));
    store
        .commit(vec![Change::DeleteTag { repository: "a/b".parse().unwrap(), tag: "v1".parse().unwrap() }])
        .unwrap();
    assert!(list(folder.path(), &[]).starts_with("a/b@sha256:"));
}

#[test]
fn d15_a_file_is_copied_from_the_store_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let store = Store::open(&here.join("store")).unwrap();
    let digest = artifact(&store, "files/r", Some("v1"), &[("résumé.txt", b"content")], &json!({}));
    artifact(&store, "files/two", Some("v1"), &[("one", b"1"), ("two", b"22")], &json!({}));
    artifact(&store, "files/evil", Some("v1"), &[("../evil", b"evil")], &json!({}));
    let get = |name: &str, to: &str, more: &[&str]| {
        let arguments = [&["store", "get", name, "--store", "store", "--to", to], more].concat();
        let output = airlock(here, &arguments);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    };
    fs::create_dir(here.join("out")).unwrap();
    get("files/r:v1", "plain", &[]);
    get(&format!("files/r@{digest}"), "by-digest", &[]);
    get("résumé.txt", "out", &[]);
    get("files/two:v1", "second", &["--title", "two"]);
    get("files/evil:v1", "out", &[]);
    for (file, content) in
        [("plain", "content"), ("by-digest", "content"), ("out/résumé.txt", "content"), ("second", "22")]
    {
        assert_eq!(fs::read_to_string(here.join(file)).unwrap(), content, "{file}");
    }
    assert!(!here.join("evil").exists() && fs::read_dir(here.join("out")).unwrap().count() == 2);
    let fail = |name: &str, to: &str, code: i32, words: &str| {
        fails(here, &["store", "get", name, "--store", "store", "--to", to], code, words);
    };
    fail("files/r:v1", "plain", 2, "not overwritten");
    fail("files/two:v1", "third", 2, "--title");
    fail("absent", "third", 4, "airlock store list");
    let path = here.join("store/blobs/sha256").join(&Digest::sha256(b"content").hex()[..2]);
    fs::write(path.join(Digest::sha256(b"content").hex()), "c0ntent").unwrap();
    fail("files/r:v1", "third", 3, "cannot write");
    assert!(!here.join("third").exists());
    assert_eq!(fs::read_to_string(here.join("plain")).unwrap(), "content");
}

#[test]
fn a16_a_store_that_others_could_read_is_made_private_with_a_notice() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    drop(Store::open(&root).unwrap());
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    for is_first in [true, false] {
        let output = airlock(folder.path(), &["store", "check", "--store", "store"]);
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(text.contains("other users could read the store"), is_first, "{text}");
        assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn o14_a_file_for_standard_output_is_printed_alone_and_a_damaged_one_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let store = Store::open(&here.join("store")).unwrap();
    let content: Vec<u8> = (0..=255).collect();
    artifact(&store, "files/r", Some("v1"), &[("r", &content)], &json!({}));
    let get = |to| ["store", "get", "files/r:v1", "--store", "store", "--to", to];
    for more in [&[][..], &["--output", "json"]] {
        let output = airlock(here, &[&get("-")[..], more].concat());
        assert!(output.status.success() && output.stdout == content);
    }
    for to in ["/dev/stdout", "/dev/null", "/proc/self/fd/1"] {
        fails(here, &get(to), 2, "a device or a pipe");
    }
    let two = ["store", "get", "files/r:v1", "--title", "s", "--store", "store", "--to", "-"];
    let many = artifact(&store, "files/two", Some("v1"), &[("a", b"1"), ("b", b"2")], &json!({})).to_string();
    fails(here, &[&two[..2], &[&format!("files/two@{many}")], &two[3..]].concat(), 4, "does not contain `s`");
    let digest = Digest::sha256(&content);
    let blob = here.join("store/blobs/sha256").join(&digest.hex()[..2]).join(digest.hex());
    fs::write(blob, vec![0; content.len()]).unwrap();
    fails(here, &get("-"), 3, "cannot print");
}

/// The status of a manifest at a server, and the digest that it states.
fn manifest_at(server: &str, path: &str) -> (u16, Option<String>) {
    let mut stream = TcpStream::connect(server).unwrap();
    write!(stream, "GET /v2/{path} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let digest = answer.lines().find_map(|line| line.strip_prefix("docker-content-digest: "));
    (answer[9..12].parse().unwrap(), digest.map(str::to_owned))
}

#[test]
fn a_server_that_remembers_manifests_sees_at_once_what_another_process_commits() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    let (_served, server) = crate::signing::serve(folder.path(), "store");
    for number in 0..50 {
        let note = json!({ "annotations": { "number": number.to_string() } });
        let digest = artifact(&store, "one/app", Some("v1"), &[("a", b"12345")], &note);
        for _ in 0..3 {
            let found = manifest_at(&server, "one/app/manifests/v1");
            assert_eq!(found, (200, Some(digest.to_string())), "{number}");
        }
        let repository = "one/app".parse().unwrap();
        store.commit(vec![Change::DeleteManifest { repository, digest: digest.clone() }]).unwrap();
        assert_eq!(manifest_at(&server, "one/app/manifests/v1").0, 404, "{number}");
        assert_eq!(manifest_at(&server, &format!("one/app/manifests/{digest}")).0, 404, "{number}");
    }
}
