//! Upstreams whose tags move during a run: the content that was read and verified is mirrored.

use oci::Digest;
use serde_json::{Value, json};

use crate::upstream::{Content, MANIFEST, Upstream, digest_of, image, mirror, put, reply, tag};

const CHART: (&str, &str) =
    ("application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip");
const FILE: (&str, &str) =
    ("application/vnd.unknown.config.v1+json", "application/vnd.oci.image.layer.v1.tar");

/// Adds an artifact with one layer to the repository `a`; returns its manifest.
fn artifact(content: &mut Content, (config, layer): (&str, &str), bytes: &[u8]) -> Vec<u8> {
    let config = put(content, "a", config, b"{}");
    let layer = put(content, "a", layer, bytes);
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
    let manifest = manifest.to_string().into_bytes();
    put(content, "a", MANIFEST, &manifest);
    manifest
}

/// A registry whose tag `a:v1` is `first` for the first request, and `then` for all later requests.
fn moving(content: Content, first: Vec<u8>, then: Vec<u8>) -> Upstream {
    let twist = move |path: &str, before: usize, _: Option<&_>| {
        let body = if before == 0 { &first } else { &then };
        let head = format!("200 OK\r\nContent-Type: {MANIFEST}\r\nContent-Length: {}", body.len());
        (path == "/v2/a/manifests/v1").then(|| reply(&head, body))
    };
    Upstream::start(content, Box::new(twist))
}

/// Mirrors twice, and then with the lock into an empty store; returns the digests in the lock.
fn mirrored(upstream: &Upstream, sources: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("airlock.lock");
    for is_empty in [false, false, true] {
        if is_empty {
            std::fs::remove_dir_all(folder.path().join("s")).unwrap();
        }
        let output = mirror(folder.path(), upstream, sources, &["--lock", "airlock.lock"]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let lock: Value = serde_json::from_slice(&std::fs::read(lock).unwrap()).unwrap();
    let items = lock["items"].as_array().unwrap().iter();
    items.map(|item| item["digest"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_bundle_whose_tag_moves_is_mirrored_as_it_was_read() {
    let mut content = Content::new();
    let image = image(&mut content, "p/image", b"layer")["digest"].as_str().unwrap().to_owned();
    let mut bundle = |number: u8, images: &str| {
        let text = format!(
            "apiVersion: packages.eks.amazonaws.com/v1alpha1\nkind: PackageBundle\nmetadata: {{name: v1-35-{number}}}\n\
             spec:\n  packages:\n  - name: p\n    source:\n      repository: p/chart\n      versions:\n      \
             - {{name: v1, digest: '{image}', images: [{images}]}}\n"
        );
        artifact(&mut content, FILE, text.as_bytes())
    };
    let first = bundle(1, &format!("{{repository: p/image, digest: '{image}'}}"));
    let then = bundle(2, "");
    let found = content[&format!("/v2/p/image/manifests/{image}")].clone();
    content.insert(format!("/v2/p/chart/manifests/{image}"), found);
    for (path, found) in content.clone() {
        content.insert(path.replace("/v2/p/image/", "/v2/p/chart/"), found);
    }
    let expected = digest_of(&first);
    let upstream = moving(content, first, then);
    let sources = "[{packageBundle: {reference: 'r.example/a:v1', registry: r.example, unverified: true}}]";
    assert_eq!(mirrored(&upstream, sources), [expected, image.clone(), image]);
}

#[test]
fn a_chart_whose_tag_moves_is_mirrored_as_it_was_rendered() {
    let mut content = Content::new();
    let images = ["one", "two"].map(|name| {
        let found = image(&mut content, "p/image", name.as_bytes());
        tag(&mut content, "p/image", name, &found);
        found["digest"].as_str().unwrap().to_owned()
    });
    let mut packed = |name| artifact(&mut content, CHART, &chart(name));
    let (first, then) = (packed("one"), packed("two"));
    let expected = [Digest::sha256(&first).to_string(), images[0].clone()];
    let upstream = moving(content, first, then);
    assert_eq!(mirrored(&upstream, "[{charts: [{reference: 'r.example/a:v1'}]}]"), expected);
}

/// A chart with a pod whose image is `p/image` with this tag.
fn chart(image: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{containers: [{{name: a, image: 'r.example/p/image:{image}'}}]}}\n"
    );
    for (name, text) in [
        ("a/Chart.yaml", "apiVersion: v2\nname: a\nversion: 1.0.0\n"),
        ("a/templates/pod.yaml", pod.as_str()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}
