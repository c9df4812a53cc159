//! Nothing that a runtime can unpack passes the gates unsigned, and nothing hides a signature.

#[cfg(feature = "slow-tests")]
mod runtimes;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::cli::fails;
use crate::gates::{KIND, REPOSITORY, Served, trust};
use crate::signing::{IMAGE, site, works};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Layer media types of statements about other content.
const STATEMENT_TYPES: [&str; 5] = [
    "application/vnd.dev.cosign.simplesigning.v1+json",
    "application/vnd.in-toto+json",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "text/spdx",
    "application/cose",
];

fn digest(bytes: &[u8]) -> String {
    oci::Digest::sha256(bytes).to_string()
}

/// The tag that cosign uses for signatures of this content.
fn attachment(of: &[u8]) -> String {
    format!("{}.sig", digest(of).replace(':', "-"))
}

fn blob(served: &Served, bytes: &[u8], kind: &str) -> Value {
    let target = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={}", digest(bytes));
    let (status, _, body) = served.ask("POST", &target, ("application/octet-stream", bytes));
    assert_eq!(status, 201, "{body}");
    json!({ "mediaType": kind, "digest": digest(bytes), "size": bytes.len() })
}

/// A tar archive with one file.
fn tar() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o755);
    builder.append_data(&mut header, "run", &b"hello"[..]).unwrap();
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, bytes).unwrap();
    packed.finish().unwrap()
}

fn guarded() -> (tempfile::TempDir, Served) {
    let folder = site();
    let rule = "{require: [{sign: signature, by: release}]}";
    trust(folder.path(), "gate.yaml", &format!("gates: {{push: {rule}, pull: {rule}}}"));
    let served = Served::of(folder.path(), "gate.yaml");
    (folder, served)
}

#[test]
fn a1_a_manifest_that_go_would_read_differently_is_refused_at_push() {
    let (_folder, served) = guarded();
    let config = blob(&served, br#"{"os":"linux","architecture":"amd64"}"#, CONFIG);
    let said = blob(&served, b"{}", STATEMENT_TYPES[0]);
    let files = blob(&served, &gzip(&tar()), "application/vnd.oci.image.layer.v1.tar+gzip");
    for name in ["Layers", "LAYERS", "layer\u{17f}", "layers"] {
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{KIND}","config":{config},"layers":[{said}],"{name}":[{files}]}}"#
        );
        for reference in [attachment(b"x"), digest(manifest.as_bytes())] {
            let (status, body) = served.put(REPOSITORY, &reference, (KIND, &manifest));
            assert!(status == 400 && body.contains("MANIFEST_INVALID"), "{name}: {body}");
        }
    }
}

#[test]
fn a1_content_that_a_runtime_unpacks_passes_no_gate_unsigned_whatever_its_media_type() {
    let (_folder, served) = guarded();
    let none = blob(&served, br#"{"os":"","architecture":"","config":{}}"#, CONFIG);
    let image = blob(&served, br#"{"os":"linux","architecture":"amd64","config":{"Cmd":["/run"]}}"#, CONFIG);
    let zstd = zstd::encode_all(&tar()[..], 1).unwrap();
    let contents = [tar(), gzip(&tar()), zstd];
    let mut refused = Vec::new();
    for kind in STATEMENT_TYPES {
        for (at, bytes) in contents.iter().enumerate() {
            let layer = blob(&served, bytes, kind);
            let config = if at == 0 { &image } else { &none };
            refused
                .push(json!({ "schemaVersion": 2, "mediaType": KIND, "config": config, "layers": [layer] }));
        }
        // Text, next to a configuration that describes an image, and next to files.
        let text = blob(&served, b"{\"a\":1}", kind);
        let files = blob(&served, &gzip(&tar()), kind);
        refused.push(json!({ "schemaVersion": 2, "mediaType": KIND, "config": image, "layers": [text] }));
        refused
            .push(json!({ "schemaVersion": 2, "mediaType": KIND, "config": none, "layers": [text, files] }));
    }
    for manifest in &refused {
        let text = manifest.to_string();
        let (status, body) = served.put(REPOSITORY, &attachment(text.as_bytes()), (KIND, &text));
        assert!(status == 403 && body.contains("gate `push`"), "{status} {body} {text}");
        assert_eq!(served.put(REPOSITORY, &digest(text.as_bytes()), (KIND, &text)).0, 201);
        let (status, body) = served.get(&digest(text.as_bytes()));
        assert!(status == 403 && body.contains("gate `pull`"), "{status} {body}");
    }
    let said = json!({ "schemaVersion": 2, "mediaType": KIND, "config": none, "layers": [blob(&served, b"{}", STATEMENT_TYPES[0])] });
    let text = said.to_string();
    assert_eq!(served.put(REPOSITORY, &attachment(text.as_bytes()), (KIND, &text)).0, 201);
    assert_eq!(served.get(&attachment(text.as_bytes())).0, 200);
}

#[test]
fn a9_unsigned_indexes_with_the_same_child_do_not_hide_the_signed_one() {
    let folder = site();
    let path = folder.path();
    trust(path, "gate.yaml", "gates: {pull: {require: [{sign: signature, by: release}]}}");
    let served = Served::of(path, "gate.yaml");
    let layout: Value =
        serde_json::from_str(&std::fs::read_to_string(path.join("layout/index.json")).unwrap()).unwrap();
    let app = layout["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let index = |number: usize| {
        json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": layout["manifests"],
            "annotations": { "number": number.to_string() } })
        .to_string()
    };
    // The signed index has the greatest digest, so it is at the end of any list; a limit must not cut it off.
    let mut all: Vec<_> = (0..200).map(index).collect();
    all.sort_by_key(|index| digest(index.as_bytes()));
    let signed = all.last().unwrap().clone();
    for index in &all {
        assert_eq!(served.put(REPOSITORY, &digest(index.as_bytes()), (INDEX, index)).0, 201);
    }
    assert_eq!(served.get(&app).0, 403);
    let reference = format!("{REPOSITORY}@{}", digest(signed.as_bytes()));
    works(path, &["sign", &reference, "--store", "store", "--key", "release.key"]);
    assert_eq!(served.get(&app).0, 200);
}

#[test]
fn a9_a_manifest_that_states_a_wrong_size_is_refused_at_push() {
    let folder = site();
    let served = Served::of(folder.path(), "release.yaml");
    let config = blob(&served, b"{}", CONFIG);
    let mut layer = blob(&served, b"layer", STATEMENT_TYPES[0]);
    layer["size"] = 7.into();
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": KIND, "config": config, "layers": [layer] }).to_string();
    let (status, body) = served.put(REPOSITORY, "v2", (KIND, &manifest));
    assert!(status == 400 && body.contains("SIZE_INVALID"), "{status} {body}");
}

#[test]
fn a3_roles_and_thresholds_apply_to_package_bundles() {
    let folder = site();
    let path = folder.path();
    let hex = "a".repeat(64);
    let bundle = format!(
        "apiVersion: packages.eks.amazonaws.com/v1alpha1\nkind: PackageBundle\nmetadata:\n  name: v1-31-1\n  namespace: eksa-packages\nspec:\n  packages:\n  - name: app\n    source:\n      registry: registry.example\n      repository: team/app\n      versions:\n      - name: 0.1.0\n        digest: sha256:{hex}\n"
    );
    std::fs::write(path.join("bundle.yaml"), bundle).unwrap();
    works(path, &["sign", "bundle", "bundle.yaml", "--key", "release.key", "--to", "one.yaml"]);
    works(path, &["sign", "bundle", "one.yaml", "--add", "--key", "other.key", "--to", "two.yaml"]);
    let both = ["keys", "trust", "release.pub", "other.pub", "--to"];
    works(path, &[&both[..], &["images.yaml", "--sign", "signature,driveManifest"]].concat());
    works(path, &[&both[..], &["bundles.yaml", "--sign", "packageBundle"]].concat());
    fails(
        path,
        &["verify-manifest", "one.yaml", "--trust", "images.yaml"],
        3,
        "may not sign this: packageBundle",
    );
    let text = std::fs::read_to_string(path.join("bundles.yaml")).unwrap();
    let team = "groups: [{name: team, threshold: 2, keys: [release, other]}]\n\
                gates: {import: {require: [{sign: packageBundle, by: team}]}}\n";
    std::fs::write(path.join("team.yaml"), text.clone() + team).unwrap();
    fails(
        path,
        &["verify-manifest", "one.yaml", "--trust", "team.yaml"],
        3,
        "1 of the 2 required signers of `team`",
    );
    assert!(works(path, &["verify-manifest", "two.yaml", "--trust", "team.yaml"]).contains("and by other"));
    // Keys without roles sign only images and drives.
    let bare: String = text
        .lines()
        .filter(|line| !line.to_lowercase().contains("roles"))
        .fold(String::new(), |all, line| all + line + "\n");
    std::fs::write(path.join("bare.yaml"), bare).unwrap();
    fails(path, &["verify-manifest", "one.yaml", "--trust", "bare.yaml"], 3, "may not sign this");
    fails(path, &["sign", "bundle", "bundle.yaml", "--add", "--key", "other.key"], 3, "has no signature");
    works(path, &["trust", "check", "team.yaml"]);
}

#[test]
fn r6_a_bill_of_materials_of_megabytes_is_attested_and_verified() {
    let folder = site();
    let path = folder.path();
    let text = base64::engine::general_purpose::STANDARD.encode(vec![7; 1_200_000]);
    std::fs::write(path.join("sbom.json"), json!({ "spdxVersion": "SPDX-2.3", "name": text }).to_string())
        .unwrap();
    let attest = ["attest", IMAGE, "--store", "store", "--key", "release.key", "--type", "spdxjson"];
    works(path, &[&attest[..], &["--predicate", "sbom.json"]].concat());
    let verify = ["verify-image", IMAGE, "--store", "store", "--trust", "release.yaml", "--type", "spdxjson"];
    assert_eq!(works(path, &verify).matches("good: release").count(), 2);
}

/// Starts a registry without the referrers API that serves these paths; returns its address.
fn registry_with(answers: Vec<(String, &'static str, String)>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answers = answers.clone();
            std::thread::spawn(move || {
                use std::io::{BufRead as _, BufReader, Write as _};
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let first = lines.next().unwrap().unwrap();
                let asked = first.split(' ').nth(1).unwrap().to_owned();
                lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
                let found = answers.iter().find(|(path, ..)| asked.ends_with(path.as_str()));
                let (status, kind, body) =
                    found.map_or(("404 X", "text/plain", ""), |(_, kind, body)| ("200 OK", kind, body));
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
                );
            });
        }
    });
    address
}

#[test]
fn d6_a_fallback_tag_that_returns_the_image_itself_adds_no_other_platform() {
    let mut answers = Vec::new();
    let mut children = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let config = json!({ "os": "linux", "architecture": architecture }).to_string();
        let described =
            json!({ "mediaType": CONFIG, "digest": digest(config.as_bytes()), "size": config.len() });
        let image =
            json!({ "schemaVersion": 2, "mediaType": KIND, "config": described, "layers": [] }).to_string();
        children.push(json!({ "mediaType": KIND, "digest": digest(image.as_bytes()), "size": image.len(),
            "platform": { "os": "linux", "architecture": architecture } }));
        answers.push((format!("/blobs/{}", digest(config.as_bytes())), "application/octet-stream", config));
        answers.push((format!("/manifests/{}", digest(image.as_bytes())), KIND, image));
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children }).to_string();
    // And a list that is another index, which names what refers to nothing.
    let other =
        json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children, "annotations": { "a": "b" } });
    let tag = |of: &str| format!("/manifests/{}", of.replace(':', "-"));
    answers.push(("/manifests/v1".to_owned(), INDEX, index.clone()));
    answers.push((format!("/manifests/{}", digest(index.as_bytes())), INDEX, index.clone()));
    answers.push((tag(&digest(index.as_bytes())), INDEX, index.clone()));
    answers.push((tag(children[0]["digest"].as_str().unwrap()), INDEX, other.to_string()));
    let address = registry_with(answers);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let text = format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: a}}\nplatforms: [linux/amd64]\n\
         registries: [{{host: r.example, mirror: '{address}', plainHTTP: true}}]\nsources: [{{images: ['r.example/a:v1']}}]\n"
    );
    std::fs::write(path.join("airlock.yaml"), text).unwrap();
    works(path, &["mirror", "--store", "store"]);
    let store = store::Store::open(&path.join("store")).unwrap();
    let kept = store.manifests(&"r.example/a".parse().unwrap()).unwrap();
    let kept: Vec<_> = kept.iter().map(|row| row.digest.to_string()).collect();
    let arm = children[1]["digest"].as_str().unwrap();
    assert!(kept.len() == 2 && !kept.iter().any(|digest| digest == arm), "{kept:?}");
}
