//! Broken signatures, attestations and SBOMs upstream: each one is left out and reported, while the image and all other
//! statements about it are mirrored. A broken image is refused.

#[cfg(feature = "slow-tests")]
mod left_out;

use serde_json::{Value, json};

use crate::cli::airlock;
use crate::upstream::{
    Content, INDEX, MANIFEST, Upstream, digest_of, error, image, mirror, put, reply, tag, whole,
};

const LAYER: &[u8] = b"the image's layer";
const GOOD: &[u8] = b"a good statement";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const KIND: &str = "application/vnd.example.statement";

/// Adds the image `a:v1`; returns its descriptor.
fn good(content: &mut Content) -> Value {
    let found = image(content, "a", LAYER);
    tag(content, "a", "v1", &found);
    found
}

fn layer_of(bytes: &[u8], size: usize) -> Value {
    json!({ "mediaType": KIND, "digest": digest_of(bytes), "size": size })
}

/// Adds a statement with this layer; returns its descriptor.
fn statement(content: &mut Content, subject: Option<&Value>, layer: &Value) -> Value {
    let config = put(content, "a", EMPTY, b"{}");
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": KIND, "config": config, "layers": [layer],
    });
    if let Some(subject) = subject {
        manifest["subject"] = subject.clone();
    }
    put(content, "a", MANIFEST, manifest.to_string().as_bytes())
}

fn list_referrers(content: &mut Content, subject: &Value, referrers: &[Value]) {
    let list = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": referrers }).to_string();
    let path = format!("/v2/a/referrers/{}", subject["digest"].as_str().unwrap());
    content.insert(path, (INDEX.to_owned(), list.into_bytes()));
}

fn manifest_of(content: &mut Content, kind: &str, bytes: &[u8]) -> Value {
    content.insert(format!("/v2/a/manifests/{}", digest_of(bytes)), (kind.to_owned(), bytes.to_vec()));
    json!({ "mediaType": kind, "digest": digest_of(bytes), "size": bytes.len() })
}

/// Mirrors `a:v1` from an upstream; returns the reasons for the content that was left out.
fn mirrored(upstream: &Upstream, folder: &std::path::Path, sources: &str) -> Vec<String> {
    let output = mirror(folder, upstream, sources, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let left_out = report["unavailable"].as_array().cloned().unwrap_or_default();
    let reasons = left_out.iter().map(|entry| {
        assert_eq!(entry["image"], "r.example/a:v1", "{report}");
        entry["broken"].as_str().unwrap().to_owned()
    });
    reasons.collect()
}

#[test]
fn d20_an_attestation_that_an_index_lists_is_left_out_when_it_is_broken() {
    let broken: [fn(&mut Content) -> Value; 4] = [
        |content| manifest_of(content, MANIFEST, b"{ no manifest"),
        |content| {
            put(content, "a", KIND, b"attested");
            statement(content, None, &layer_of(b"attested", 1))
        },
        |content| {
            let layer = put(content, "a", KIND, GOOD);
            let mut found = statement(content, None, &layer);
            found["size"] = json!(1);
            found
        },
        |content| statement(content, None, &layer_of(LAYER, 1)),
    ];
    for (number, broken) in broken.into_iter().enumerate() {
        let mut content = Content::new();
        let mut child = image(&mut content, "a", LAYER);
        child["platform"] = json!({ "os": "linux", "architecture": "amd64" });
        let mut about = broken(&mut content);
        about["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
        about["annotations"] = json!({
            "vnd.docker.reference.digest": child["digest"], "vnd.docker.reference.type": "attestation-manifest",
        });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [child, about] });
        let found = put(&mut content, "a", INDEX, index.to_string().as_bytes());
        tag(&mut content, "a", "v1", &found);
        let upstream = Upstream::start(content, Box::new(|_, _, _| None));
        let folder = tempfile::tempdir().unwrap();
        let reasons = mirrored(&upstream, folder.path(), "[{images: ['r.example/a:v1']}]");
        assert_eq!(reasons.len(), 1, "{number}: {reasons:?}");
        let lock = std::fs::read_to_string(folder.path().join("airlock.lock")).unwrap();
        assert!(lock.contains("\"why\": \"unavailable\""), "{number}: {lock}");
        let check = airlock(folder.path(), &["store", "check", "--store", "s"]);
        assert_eq!(check.status.code(), Some(0), "{number}: {}", String::from_utf8_lossy(&check.stderr));
    }
}

#[test]
fn d20_an_image_with_a_wrong_size_is_refused_also_with_keep_going() {
    let mut content = Content::new();
    good(&mut content);
    let config = put(&mut content, "a", EMPTY, b"{}");
    let wrong = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer_of(LAYER, 1)],
    });
    let wrong = put(&mut content, "a", MANIFEST, wrong.to_string().as_bytes());
    tag(&mut content, "a", "wrong", &wrong);
    let upstream = Upstream::start(content, Box::new(|_, _, _| None));
    for tags in ["'r.example/a:wrong'", "'r.example/a:v1', 'r.example/a:wrong'"] {
        let folder = tempfile::tempdir().unwrap();
        let output = mirror(folder.path(), &upstream, &format!("[{{images: [{tags}]}}]"), &["--keep-going"]);
        assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
        let text = whole(&error(&output));
        assert!(text.contains(&digest_of(LAYER)), "{text}");
        assert!(!folder.path().join("airlock.lock").exists());
    }
}

#[test]
fn d9_a_missing_blob_of_a_statement_is_tolerated_if_the_mirror_file_allows_it() {
    let mut content = Content::new();
    let subject = good(&mut content);
    let found = statement(&mut content, Some(&subject), &layer_of(b"gone", 4));
    list_referrers(&mut content, &subject, &[found]);
    let upstream = Upstream::start(content, Box::new(|_, _, _| None));
    let folder = tempfile::tempdir().unwrap();
    let sources = "[{images: ['r.example/a:v1']}]";
    let output = mirror(folder.path(), &upstream, sources, &[]);
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(error(&output)["hint"].as_str().unwrap().contains("follow: available"));
    let tolerant = format!("{sources}\nsignatures: {{follow: available}}");
    let output = mirror(folder.path(), &upstream, &tolerant, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["unavailable"].as_array().unwrap().len(), 1, "{report}");
    assert!(report["unavailable"][0]["broken"].is_null(), "{report}");
    // The lock of a tolerant run does not satisfy a strict one.
    assert_eq!(mirror(folder.path(), &upstream, sources, &[]).status.code(), Some(4));
}

#[test]
fn d11_a_registry_failure_is_never_reported_as_a_broken_statement() {
    let mut content = Content::new();
    let subject = good(&mut content);
    put(&mut content, "a", KIND, GOOD);
    let found = statement(&mut content, Some(&subject), &layer_of(GOOD, GOOD.len()));
    list_referrers(&mut content, &subject, &[found]);
    let at = digest_of(GOOD);
    let upstream = Upstream::start(
        content,
        Box::new(move |asked, _, _| {
            asked.ends_with(&at).then(|| reply("403 Forbidden\r\nContent-Length: 0", b""))
        }),
    );
    let folder = tempfile::tempdir().unwrap();
    let output = mirror(folder.path(), &upstream, "[{images: ['r.example/a:v1']}]", &[]);
    assert_eq!(output.status.code(), Some(6), "{}", String::from_utf8_lossy(&output.stderr));
}
