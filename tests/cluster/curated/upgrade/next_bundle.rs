//! The next bundle, with two changed packages.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{NEXT, sign};
use crate::curated::{OFFERS, Offer, bundle, charts, layout, mirror};

const METRICS: &str = "registry.k8s.io/metrics-server/metrics-server";

/// Packages a fixture's chart with replacements in its files; returns the name of the archive.
fn repack(folder: &Path, offer: &Offer, changes: &[(&str, &str, &str)]) -> String {
    let read = fs::File::open(charts().unwrap().join(offer.archive)).unwrap();
    let name = format!("next-{}.tgz", offer.chart);
    let written = fs::File::create(folder.join(&name)).unwrap();
    let mut out = tar::Builder::new(flate2::write::GzEncoder::new(written, flate2::Compression::fast()));
    let mut done = 0;
    for entry in tar::Archive::new(flate2::read::GzDecoder::new(read)).entries().unwrap() {
        let mut entry = entry.unwrap();
        let (path, mut header) = (entry.path().unwrap().into_owned(), entry.header().clone());
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        for (file, old, new) in changes {
            if path.components().skip(1).collect::<PathBuf>() == Path::new(file) {
                let text = String::from_utf8(bytes).unwrap();
                assert!(text.contains(old), "{file} has no `{old}`:\n{text}");
                (bytes, done) = (text.replacen(old, new, 1).into_bytes(), done + 1);
            }
        }
        header.set_size(bytes.len() as u64);
        out.append_data(&mut header, &path, bytes.as_slice()).unwrap();
    }
    out.into_inner().unwrap().finish().unwrap();
    assert_eq!(done, changes.len());
    name
}

/// Publishes the next bundle: hello has a new version with another title, and metrics-server has a changed chart with the
/// same version and another image digest. Everything else is unchanged.
pub(super) fn publish_next(folder: &tempfile::TempDir) {
    let path = folder.path();
    let offer = |name: &str| OFFERS.iter().find(|offer| offer.name == name).unwrap();
    let metrics_next = layout(path, METRICS, &format!("{METRICS}:next"));
    let index = fs::read(path.join(&metrics_next).join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let tag = format!("v0.8.1@{}", index["manifests"][0]["digest"].as_str().unwrap());
    let hello = repack(
        path,
        offer("hello-eks-anywhere"),
        &[
            ("Chart.yaml", "\nversion: 0.1.0", "\nversion: 0.2.0"),
            ("values.yaml", "\"Amazon EKS Anywhere\"", "\"Amazon EKS Anywhere, again\""),
        ],
    );
    let metrics = repack(
        path,
        offer("metrics-server"),
        &[("values.yaml", "  tag: \"\"", &format!("  tag: \"{tag}\""))],
    );
    mirror(
        path,
        &[
            format!("ociLayout: {{path: {metrics_next}, reference: '{METRICS}:next'}}"),
            format!("charts: [{{file: {hello}, images: false}}, {{file: {metrics}, images: false}}]"),
        ],
    );
    sign(folder, std::iter::once("registry.k8s.io/metrics-server/metrics-server:next"));
    let versions = |offer: &'static Offer| match offer.name {
        "hello-eks-anywhere" => (offer, vec!["0.2.0", offer.version]),
        _ => (offer, vec![offer.version]),
    };
    let offers: Vec<_> = OFFERS.iter().map(versions).collect();
    bundle(path, NEXT, &offers);
}
