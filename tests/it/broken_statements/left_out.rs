//! Each kind of broken statement is left out and reported.

use serde_json::{Value, json};

use super::{GOOD, KIND, LAYER, good, layer_of, list_referrers, manifest_of, mirrored, statement};
use crate::cli::airlock;
use crate::upstream::{Content, INDEX, MANIFEST, Upstream, digest_of, put, tag};

/// Adds broken content next to the image; returns the descriptors of referrers to list.
type Junk = fn(&mut Content, &Value, &Value) -> Vec<Value>;

const JUNK: [(&str, Junk); 14] = [
    ("a layer that is shorter than stated", |content, subject, _| {
        put(content, "a", KIND, b"short");
        vec![statement(content, Some(subject), &layer_of(b"short", 8))]
    }),
    ("a layer that is longer than stated", |content, subject, _| {
        put(content, "a", KIND, b"rather long");
        vec![statement(content, Some(subject), &layer_of(b"rather long", 3))]
    }),
    ("the image's layer with other sizes", |content, subject, _| {
        [0, 1, 1_000_000].map(|size| statement(content, Some(subject), &layer_of(LAYER, size))).to_vec()
    }),
    ("the good statement's layer with other sizes", |content, subject, _| {
        [0, 1, 1_000_000].map(|size| statement(content, Some(subject), &layer_of(GOOD, size))).to_vec()
    }),
    ("the good statement with another size", |content, subject, good| {
        let mut good = good.clone();
        good["size"] = json!(7);
        let index =
            json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [good], "subject": subject });
        vec![put(content, "a", INDEX, index.to_string().as_bytes())]
    }),
    ("a manifest that is not JSON", |content, _, _| vec![manifest_of(content, MANIFEST, b"{ this is none")]),
    ("a manifest of schema 1", |content, _, _| {
        vec![manifest_of(
            content,
            "application/vnd.docker.distribution.manifest.v1+json",
            b"{\"schemaVersion\":1}",
        )]
    }),
    ("an artifact manifest", |content, subject, _| {
        let kind = "application/vnd.oci.artifact.manifest.v1+json";
        let manifest = json!({ "mediaType": kind, "artifactType": KIND, "blobs": [], "subject": subject });
        vec![manifest_of(content, kind, manifest.to_string().as_bytes())]
    }),
    ("a manifest that does not match its digest", |content, subject, _| {
        let found = statement(content, Some(subject), &layer_of(GOOD, GOOD.len()));
        let digest = digest_of(b"another");
        let bytes = content[&format!("/v2/a/manifests/{}", found["digest"].as_str().unwrap())].clone();
        content.insert(format!("/v2/a/manifests/{digest}"), bytes);
        vec![json!({ "mediaType": MANIFEST, "digest": digest, "size": 7 })]
    }),
    ("an index without the selected platforms", |content, subject, good| {
        let mut child = good.clone();
        child["platform"] = json!({ "os": "plan9", "architecture": "mips" });
        let index =
            json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [child], "subject": subject });
        vec![put(content, "a", INDEX, index.to_string().as_bytes())]
    }),
    ("an index of a manifest that is not JSON", |content, subject, _| {
        let child = manifest_of(content, MANIFEST, b"{ nor is this");
        let index =
            json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [child], "subject": subject });
        vec![put(content, "a", INDEX, index.to_string().as_bytes())]
    }),
    ("a foreign layer that exists nowhere", |content, subject, _| {
        let mut layer = layer_of(b"nobody has this", 15);
        layer["urls"] = json!(["https://layers.example/one"]);
        vec![statement(content, Some(subject), &layer)]
    }),
    ("a signature's tag without a valid manifest", |content, subject, _| {
        let name = subject["digest"].as_str().unwrap().replace(':', "-") + ".sig";
        content.insert(format!("/v2/a/manifests/{name}"), (MANIFEST.to_owned(), b"{ nor this".to_vec()));
        vec![]
    }),
    ("an attestation's tag whose layer has another size", |content, subject, _| {
        put(content, "a", KIND, b"attested");
        let found = statement(content, None, &layer_of(b"attested", 2));
        tag(content, "a", &(subject["digest"].as_str().unwrap().replace(':', "-") + ".att"), &found);
        vec![]
    }),
];

#[test]
fn d20_a_broken_statement_about_an_image_is_left_out_and_reported_and_the_rest_is_mirrored() {
    for (name, junk) in JUNK {
        let mut content = Content::new();
        let subject = good(&mut content);
        let layer = put(&mut content, "a", KIND, GOOD);
        let statement = statement(&mut content, Some(&subject), &layer);
        let mut referrers = junk(&mut content, &subject, &statement);
        let count = referrers.len().max(1);
        referrers.insert(referrers.len() / 2, statement.clone());
        list_referrers(&mut content, &subject, &referrers);
        let upstream = Upstream::start(content, Box::new(|_, _, _| None));
        let folder = tempfile::tempdir().unwrap();
        let sources = "[{images: ['r.example/a:v1']}]\nplatforms: [linux/amd64]";
        let reasons = mirrored(&upstream, folder.path(), sources);
        assert_eq!(reasons.len(), count, "{name}: {reasons:?}");
        let stored = store::Store::open(&folder.path().join("s")).unwrap();
        let repository = "r.example/a".parse().unwrap();
        let listed = stored
            .referrers(&repository, &subject["digest"].as_str().unwrap().parse().unwrap(), None)
            .unwrap();
        let listed: Vec<_> = listed.iter().map(|listed| listed.digest.to_string()).collect();
        assert_eq!(listed, [statement["digest"].as_str().unwrap()], "{name}");
        drop(stored);
        let check = airlock(folder.path(), &["store", "check", "--store", "s"]);
        assert_eq!(check.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&check.stderr));
        // The lock records the broken content, so nothing is requested again.
        let before = upstream.requests().len();
        let again = mirrored(&upstream, folder.path(), sources);
        assert_eq!((upstream.requests().len(), again.len()), (before, count), "{name}");
        airlock(folder.path(), &["keys", "generate", "k"]);
        let lock = folder.path().join("other.lock");
        let output = airlock(folder.path(), &["mirror", "--store", "s2", "--lock", lock.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("warning: r.example/a:v1: ") && said.contains("left out"), "{name}: {said}");
        let pack = airlock(folder.path(), &["pack", "--store", "s", "--key", "k.key", "--to", "drive"]);
        assert_eq!(pack.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&pack.stderr));
    }
}
