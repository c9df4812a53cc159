//! The content that crosses the air gap is complete, or the run fails and names the missing content: images with foreign
//! layers, indexes of layers, wrong sizes, and manifests of old formats.

use std::collections::BTreeMap;
use std::path::Path;

use oci::{Digest, media_type};
use serde_json::{Value, json};

use crate::http::{FileServer, request};
use crate::rig::{airlock, make_keys, run, run_json, serve};

/// The content that a registry serves, by path.
#[derive(Default)]
struct Content(BTreeMap<String, Vec<u8>>);

impl Content {
    fn blob(&mut self, kind: &str, bytes: &[u8]) -> Value {
        let digest = Digest::sha256(bytes);
        self.0.insert(format!("/v2/app/blobs/{digest}"), bytes.to_vec());
        json!({ "mediaType": kind, "digest": digest, "size": bytes.len() })
    }

    fn manifest(&mut self, tag: &str, body: &Value) -> Value {
        let bytes = serde_json::to_vec(body).unwrap();
        let digest = Digest::sha256(&bytes);
        let kind = body["mediaType"].as_str().unwrap_or(media_type::OCI_MANIFEST).to_owned();
        for name in [tag, &digest.to_string()] {
            self.0.insert(format!("/v2/app/manifests/{name}"), bytes.clone());
        }
        json!({ "mediaType": kind, "digest": digest, "size": bytes.len() })
    }

    fn image(&mut self, tag: &str, layers: &[Value]) -> Value {
        let config = self.blob(media_type::OCI_CONFIG, format!("{{\"of\":\"{tag}\"}}").as_bytes());
        self.manifest(tag, &image(&config, layers))
    }
}

fn image(config: &Value, layers: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": layers })
}

fn index(children: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": children })
}

/// Writes a mirror file for images of the server.
fn write(root: &Path, server: &FileServer, more: &str, tags: &[&str]) {
    let images: Vec<_> = tags.iter().map(|tag| format!("'{}/app:{tag}'", server.address)).collect();
    let text = format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: whole}}\nregistries: [{{host: '{}', plainHTTP: true}}]\n{more}sources: [{{images: [{}]}}]\n",
        server.address,
        images.join(", ")
    );
    std::fs::write(root.join("airlock.yaml"), text).unwrap();
}

const MIRROR: [&str; 3] = ["mirror", "--store", "near"];

/// Runs `mirror`, expects it to fail with `code`, and returns the error message.
fn refuses(root: &Path, code: i32) -> String {
    let output = airlock(root, &MIRROR).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(!root.join("airlock.lock").exists(), "a run that failed left a lock");
    text
}

/// Packs the mirrored content and imports it on the other side.
fn cross(root: &Path) {
    make_keys(root);
    std::fs::create_dir(root.join("drive")).unwrap();
    run(root, &["pack", "--store", "near", "--to", "drive", "--key", "release.key"]);
    run(root, &["verify", "drive", "--trust", "trust.yaml"]);
    run(root, &["import", "drive", "--trust", "trust.yaml", "--store", "far"]);
}

/// Checks that the other side serves exactly the content of the upstream.
fn serves(root: &Path, server: &FileServer, content: &BTreeMap<String, Vec<u8>>) {
    let site = serve(root, "far");
    let below = server.address.replace(':', "-");
    let mut checked = 0;
    for (path, bytes) in content.iter().filter(|(path, _)| path.starts_with("/v2/app/")) {
        let rest = path.strip_prefix("/v2/").unwrap();
        let response = request(&site.address, "GET", &format!("/v2/{below}/{rest}"), &[], b"");
        assert_eq!((response.status, &response.body), (200, bytes), "{path}");
        checked += 1;
    }
    assert!(checked >= 3, "{checked}");
}

const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

#[test]
fn d2_foreign_layers_come_from_the_registry_or_an_allowed_url_or_are_declared_absent() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let elsewhere = FileServer::start(BTreeMap::from([("/layers/base".to_owned(), b"at a URL".to_vec())]));
    let mut content = Content::default();
    let mut held = content.blob(FOREIGN, b"held by the registry");
    held["urls"] = json!(["https://unreachable.example/layer"]);
    let url = json!([format!("http://{}/layers/base", elsewhere.address)]);
    let at_url =
        json!({ "mediaType": FOREIGN, "digest": Digest::sha256(b"at a URL"), "size": 8, "urls": url });
    let nowhere = Digest::sha256(b"nowhere");
    let gone = json!({ "mediaType": FOREIGN, "digest": nowhere, "size": 7 });
    content.image("windows", &[held, at_url, gone]);
    let server = FileServer::start(content.0.clone());

    write(root, &server, "", &["windows"]);
    let said = refuses(root, 4);
    assert!(
        said.contains("app:windows") && said.contains("sha256:") && said.contains("foreignLayers"),
        "{said}"
    );
    let allowed = format!("foreignLayers: {{urls: ['http://{}/layers/']", elsewhere.address);
    write(root, &server, &format!("{allowed}}}\n"), &["windows"]);
    let said = refuses(root, 4);
    assert!(said.contains("app:windows") && said.contains(&nowhere.to_string()), "{said}");
    let image = format!("{}/app:windows", server.address);
    let absent = format!("{allowed}, absent: [{{image: '{image}', layer: '{nowhere}'}}]}}\n");
    write(root, &server, &absent, &["windows"]);
    run(root, &MIRROR);
    let lock = std::fs::read_to_string(root.join("airlock.lock")).unwrap();
    let lock: Value = serde_json::from_str(&lock).unwrap();
    let manifest = &lock["repositories"][0]["manifests"][0];
    assert_eq!(manifest["absent"], json!([{ "digest": nowhere, "why": "declared" }]));
    assert_eq!(manifest["blobs"].as_array().unwrap().len(), 3);
    // A run with a complete lock fetches nothing.
    assert_eq!(run_json(root, &MIRROR)["totals"]["fetchedBytes"], 0);
    cross(root);
    serves(root, &server, &content.0);
}

#[test]
fn d4_an_index_of_layers_and_d5_children_without_a_platform_cross_with_their_content() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut content = Content::default();
    let layer = content.blob(media_type::OCI_LAYER_GZIP, b"a cached layer");
    let cache = content.blob("application/vnd.buildkit.cacheconfig.v0", b"{\"layers\":[]}");
    content.manifest("cache", &index(&[layer, cache]));
    let mut child = content.image("child", &[]);
    child["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    content.manifest("index", &index(&[child]));
    let server = FileServer::start(content.0.clone());
    write(root, &server, "", &["cache", "index", "child"]);
    run(root, &MIRROR);
    cross(root);
    serves(root, &server, &content.0);
}

#[test]
fn f_a_run_with_all_kinds_of_faults_names_each_one_and_succeeds_without_them() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut content = Content::default();
    let layer = content.blob(media_type::OCI_LAYER_GZIP, b"a cached layer");
    content.manifest("cache", &index(std::slice::from_ref(&layer)));
    let mut held = content.blob(FOREIGN, b"held by the registry");
    held["urls"] = json!(["https://unreachable.example/layer"]);
    let mut child = content.image("windows", &[held, layer.clone()]);
    child["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    content.manifest("index", &index(&[child]));
    let good = content.0.clone();
    let one = json!({ "schemaVersion": 1, "name": "app", "fsLayers": [], "history": [], "signatures": [] });
    content.manifest("schema1", &one);
    let nowhere = Digest::sha256(b"nowhere");
    content.image("foreign", &[json!({ "mediaType": FOREIGN, "digest": nowhere, "size": 7 })]);
    let mut wrong = content.blob(media_type::OCI_LAYER, b"of another size");
    wrong["size"] = json!(3);
    content.image("wrong", &[wrong]);
    let server = FileServer::start(content.0);
    let bad = ["schema1", "foreign", "wrong", "missing"];
    write(root, &server, "", &[&["cache", "windows", "index"][..], &bad].concat());
    let output = airlock(root, &[&MIRROR[..], &["--keep-going"]].concat()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    for tag in bad {
        assert!(said.contains(&format!("app:{tag}")), "{tag}: {said}");
    }
    for cause in ["schema 1", &nowhere.to_string(), "sent more than 3 bytes"] {
        assert!(said.contains(cause), "{cause}: {said}");
    }
    assert!(!root.join("airlock.lock").exists());
    write(root, &server, "", &["cache", "windows", "index"]);
    run(root, &MIRROR);
    cross(root);
    serves(root, &server, &good);
}

#[test]
fn d20_a_size_that_differs_from_the_content_is_refused_by_mirror() {
    for (stated, shown) in [(0, "0 bytes"), (4, "4 bytes"), (400, "400 bytes")] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let mut content = Content::default();
        let mut layer = content.blob(media_type::OCI_LAYER, b"a layer");
        content.image("right", &[layer.clone()]);
        layer["size"] = json!(stated);
        content.image("wrong", &[layer]);
        let server = FileServer::start(content.0.clone());
        write(root, &server, "", &["wrong"]);
        let said = refuses(root, 3);
        assert!(said.contains(&Digest::sha256(b"a layer").to_string()), "{said}");
        // The wrong size is refused even if the store already has the content.
        write(root, &server, "", &["right"]);
        run(root, &MIRROR);
        std::fs::remove_file(root.join("airlock.lock")).unwrap();
        write(root, &server, "", &["wrong"]);
        let said = refuses(root, 3);
        assert!(said.contains(shown), "{said}");
    }
}

#[test]
fn d20_pack_refuses_a_lock_that_omits_content() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut content = Content::default();
    let layer = content.blob(media_type::OCI_LAYER, b"a layer");
    content.image("v1", &[layer]);
    let server = FileServer::start(content.0.clone());
    write(root, &server, "", &["v1"]);
    run(root, &MIRROR);
    let path = root.join("airlock.lock");
    let mut lock: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    lock["repositories"][0]["manifests"][0]["blobs"].as_array_mut().unwrap().remove(1);
    std::fs::write(&path, lock.to_string()).unwrap();
    make_keys(root);
    std::fs::create_dir(root.join("drive")).unwrap();
    let pack = ["pack", "--store", "near", "--to", "drive", "--key", "release.key"];
    let output = airlock(root, &pack).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(&Digest::sha256(b"a layer").to_string()) && said.contains("mirror"), "{said}");
}

#[test]
fn d21_manifests_of_unsupported_kinds_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut content = Content::default();
    let one = json!({ "schemaVersion": 1, "name": "app", "fsLayers": [], "history": [], "signatures": [] });
    content.manifest("schema1", &one);
    let kind = "application/vnd.oci.artifact.manifest.v1+json";
    let artifact =
        content.manifest("artifact", &json!({ "mediaType": kind, "artifactType": "a/b", "blobs": [] }));
    content.manifest("listed", &index(&[artifact]));
    let server = FileServer::start(content.0);
    for (tag, words) in
        [("schema1", "schema 1"), ("artifact", "OCI artifact manifest"), ("listed", "OCI artifact manifest")]
    {
        write(root, &server, "", &[tag]);
        let said = refuses(root, 3);
        assert!(said.contains(words) && said.contains("not supported") && said.contains("app"), "{said}");
    }
}

#[test]
fn d3_passwords_and_signatures_of_urls_stay_out_of_every_file_and_message() {
    const SECRETS: [&str; 3] = ["hunter2", "S1GNATURE", "FRAGM3NT"];
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let path = "/dir/tool.tgz?X-Amz-Signature=S1GNATURE";
    let server = FileServer::start(BTreeMap::from([(path.to_owned(), b"a tool".to_vec())]));
    let file = |path: &str, hash: &Digest| {
        format!(
            "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: whole}}\nsources: [{{files: [{{url: 'http://user:hunter2@{}{path}#FRAGM3NT', sha256: {}}}]}}]\n",
            server.address,
            hash.hex()
        )
    };
    let hidden = |text: &str| {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    };
    let good = Digest::sha256(b"a tool");
    let wrong = file(path, &Digest::sha256(b"another tool"));
    let missing = file("/dir/missing.tgz?X-Amz-Signature=S1GNATURE", &good);
    let malformed = file(path, &good).replace("http://user:hunter2@", "http://user:hunter2@ ");
    let reference = "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {name: a}\nsources: [{images: ['user:hunter2@r.example/a:b']}]\n";
    for text in [wrong, missing, malformed, reference.to_owned(), file(path, &good)] {
        std::fs::write(root.join("airlock.yaml"), text).unwrap();
        for more in [&["--dry-run", "--output", "json"][..], &["-vv"], &[]] {
            let _ = std::fs::remove_file(root.join("airlock.lock"));
            let output = airlock(root, &[&MIRROR[..], more].concat()).output().unwrap();
            hidden(&String::from_utf8_lossy(&output.stdout));
            hidden(&String::from_utf8_lossy(&output.stderr));
        }
    }
    let said = airlock(root, &MIRROR).output().unwrap();
    assert!(said.status.success());
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(
        said.contains("user name, password and query"),
        "mirror does not report that it hides parts of the URL: {said}"
    );
    cross(root);
    let page = run(root, &["inspect", "drive", "--output", "json"]);
    hidden(&String::from_utf8_lossy(&page.stdout));
    let mut files = 0;
    for file in crate::rig::files(root).iter().filter(|file| !file.ends_with("airlock.yaml")) {
        hidden(&format!("{} {}", file.display(), String::from_utf8_lossy(&std::fs::read(file).unwrap())));
        files += 1;
    }
    assert!(files > 20, "{files}");
}
