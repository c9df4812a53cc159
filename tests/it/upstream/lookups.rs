//! The number of requests that finding the signatures of an image takes.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Content, INDEX, MANIFEST, Upstream, image, mirror, put, reply, tag};
use crate::cli::airlock;
use crate::signing::works;

/// Adds an image with two platforms, signed under cosign's tag, with an attestation as a referrer of the index; returns the
/// digest of the index.
fn two_platforms(content: &mut Content) -> String {
    let child = |content: &mut Content, architecture: &str| {
        let mut child = image(content, "a", architecture.as_bytes());
        child["platform"] = json!({ "os": "linux", "architecture": architecture });
        child
    };
    let children = [child(content, "amd64"), child(content, "arm64")];
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children }).to_string();
    let index = put(content, "a", INDEX, index.as_bytes());
    tag(content, "a", "v1", &index);
    let digest = index["digest"].as_str().unwrap().to_owned();
    let config = put(content, "a", "application/vnd.oci.empty.v1+json", b"{}");
    let said = |content: &mut Content, kind: &str, subject: Option<&serde_json::Value>| {
        let layer = put(content, "a", kind, format!("{{\"kind\":\"{kind}\"}}").as_bytes());
        let mut manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
        if let Some(subject) = subject {
            manifest["subject"] = subject.clone();
        }
        put(content, "a", MANIFEST, manifest.to_string().as_bytes())
    };
    let signature = said(content, "application/vnd.dev.cosign.simplesigning.v1+json", None);
    tag(content, "a", &format!("{}.sig", digest.replace(':', "-")), &signature);
    let attestation = said(content, "application/vnd.dev.sigstore.bundle.v0.3+json", Some(&index));
    let listed = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [attestation] })
        .to_string()
        .into_bytes();
    content.insert(format!("/v2/a/referrers/{digest}"), (INDEX.to_owned(), listed.clone()));
    content.insert(format!("/v2/a/manifests/{}", digest.replace(':', "-")), (INDEX.to_owned(), listed));
    digest
}

/// An upstream with that image, with or without the referrers API.
fn upstream(api: bool) -> (Upstream, String) {
    let mut content = Content::new();
    let digest = two_platforms(&mut content);
    let none = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] }).to_string();
    let missing = reply("404 Not Found\r\nContent-Length: 0", b"");
    let found =
        reply(&format!("200 OK\r\nContent-Type: {INDEX}\r\nContent-Length: {}", none.len()), none.as_bytes());
    let twist = move |path: &str, _: usize, usual: Option<&(String, Vec<u8>)>| match (api, usual) {
        _ if !path.contains("/referrers/") => None,
        (false, _) => Some(missing.clone()),
        (true, None) => Some(found.clone()),
        (true, Some(_)) => None,
    };
    (Upstream::start(content, Box::new(twist)), digest)
}

/// The requests that look for signatures, attestations and SBOMs. Fails if one is made twice.
fn lookups(requests: &[String]) -> Vec<&String> {
    let different: BTreeSet<_> = requests.iter().collect();
    assert_eq!(different.len(), requests.len(), "requested twice: {requests:#?}");
    let looks = |request: &&String| request.contains("/referrers/") || request.contains("/manifests/sha256-");
    requests.iter().filter(looks).collect()
}

#[test]
fn o36_the_signatures_of_a_two_platform_image_cost_four_lookups_per_manifest() {
    for api in [true, false] {
        let (upstream, digest) = upstream(api);
        let folder = tempfile::tempdir().unwrap();
        let output = mirror(folder.path(), &upstream, "[{images: ['r.example/a:v1']}]", &[]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let requests = upstream.requests();
        let looked = lookups(&requests);
        println!(
            "api: {api}; {} requests, of which {} look for signatures: {looked:#?}",
            requests.len(),
            looked.len()
        );
        // For each of the index, its two children, the signature and the attestation: three tags and the list of referrers.
        // Existing tags are requested by HEAD and read by digest. Without the API, one more request finds that it is missing,
        // and one reads the list under the index's fallback tag.
        let manifests = 5;
        assert_eq!(looked.len(), 4 * manifests + if api { 0 } else { 2 });
        let store = store::Store::open(&folder.path().join("s")).unwrap();
        let kept = store.manifests(&"r.example/a".parse().unwrap()).unwrap();
        assert_eq!(kept.len(), manifests, "{digest}: {kept:?}");
    }
}

#[test]
fn o36_a_verified_image_costs_three_lookups() {
    let (upstream, digest) = upstream(true);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    works(path, &["keys", "generate", "release"]);
    works(path, &["keys", "trust", "release.pub", "--to", "release.yaml"]);
    let image = format!("{}/a:v1", upstream.address);
    let verify = ["verify-image", &image, "--plain-http", "--trust", "release.yaml"];
    let output = airlock(path, &verify);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let requests = upstream.requests();
    let looked = lookups(&requests);
    println!("{} requests, of which {} look for signatures: {looked:#?}", requests.len(), looked.len());
    // Two tags and the referrers; this registry ignores the type filter and lists all referrers.
    assert_eq!(looked.len(), 3, "{digest}: {looked:#?}");
}
