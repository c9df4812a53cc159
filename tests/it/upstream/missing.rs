//! Listed but missing content.

use serde_json::{Value, json};

use super::{Content, INDEX, MANIFEST, Upstream, digest_of, error, image, mirror, put, reply, tag, whole};

/// Adds an index of one image with an attestation and a referrer that are listed but missing.
fn with_missing(content: &mut Content) -> [String; 2] {
    let mut child = image(content, "a", b"the platform");
    child["platform"] = json!({ "os": "linux", "architecture": "amd64" });
    let (attestation, referrer) = (digest_of(b"attestation"), digest_of(b"referrer"));
    let about = json!({
        "mediaType": MANIFEST, "digest": attestation, "size": 11,
        "platform": { "os": "unknown", "architecture": "unknown" },
        "annotations": { "vnd.docker.reference.digest": child["digest"] },
    });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [child, about] }).to_string();
    let found = put(content, "a", INDEX, index.as_bytes());
    tag(content, "a", "v1", &found);
    let listed = json!({ "mediaType": MANIFEST, "digest": referrer, "size": 8 });
    let listed = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [listed] }).to_string();
    let path = format!("/v2/a/referrers/{}", found["digest"].as_str().unwrap());
    content.insert(path, (INDEX.to_owned(), listed.into_bytes()));
    [attestation, referrer]
}

#[test]
fn d9_listed_but_missing_content_fails_the_run_or_is_tolerated_and_named() {
    let mut content = Content::new();
    let missing = with_missing(&mut content);
    let upstream = Upstream::start(content, Box::new(|_, _, _| None));
    let folder = tempfile::tempdir().unwrap();
    let strict = "[{images: ['r.example/a:v1']}]";
    let output = mirror(folder.path(), &upstream, strict, &[]);
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    let error = error(&output);
    assert!(whole(&error).contains("r.example/a:v1") && whole(&error).contains(&missing[0]), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("follow: available"), "{error}");

    let tolerant = format!("{strict}\nsignatures: {{follow: available}}");
    let output = mirror(folder.path(), &upstream, &tolerant, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let listed: Vec<_> = report["unavailable"].as_array().unwrap().iter().collect();
    assert_eq!(listed.len(), 2, "{report}");
    for digest in &missing {
        assert!(listed.iter().any(|entry| entry["image"] == "r.example/a:v1" && entry["digest"] == **digest));
    }
    let lock = std::fs::read_to_string(folder.path().join("airlock.lock")).unwrap();
    assert!(missing.iter().all(|digest| lock.contains(digest)), "{lock}");
    // The lock of a tolerant run does not satisfy a strict one.
    let output = mirror(folder.path(), &upstream, strict, &[]);
    assert_eq!(output.status.code(), Some(4));
}

#[test]
fn d9_a_missing_platform_or_a_registry_failure_is_never_tolerated() {
    let mut content = Content::new();
    let child = json!({
        "mediaType": MANIFEST, "digest": digest_of(b"gone"), "size": 4,
        "platform": { "os": "linux", "architecture": "amd64" },
    });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [child] }).to_string();
    let found = put(&mut content, "b", INDEX, index.as_bytes());
    tag(&mut content, "b", "v1", &found);
    let [_, referrer] = with_missing(&mut content);
    let upstream = Upstream::start(
        content,
        Box::new(move |asked, _, _| {
            if asked.ends_with(&referrer) {
                Some(reply("403 Forbidden\r\nContent-Length: 0", b""))
            } else {
                None
            }
        }),
    );
    let folder = tempfile::tempdir().unwrap();
    for (image, code) in [("b", 4), ("a", 6)] {
        let sources = format!("[{{images: ['r.example/{image}:v1']}}]\nsignatures: {{follow: available}}");
        let output = mirror(folder.path(), &upstream, &sources, &[]);
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
