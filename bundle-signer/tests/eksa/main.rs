//! Manifests of EKS Anywhere: those that AWS signed are accepted, and any change to the part that AWS's signature covers
//! is refused. The manifests in `data` are from AWS, under Apache-2.0.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed setup fails its test, and a skipped test prints a message"
)]

mod package_bundles;
mod releases;
mod signed;

use std::path::PathBuf;

use bundle_signer::Error;
use bundle_signer::eksa::Refusal;
use gostd::{Limits, yaml};
use serde_json::Value;

/// Signed by AWS's key: `api/testdata/prod_bundle.yaml.signed` in the history of aws/eks-anywhere-packages.
const AWS: &[u8] = include_bytes!("../data/v1-23-70.yaml");

fn parse(text: &[u8]) -> Value {
    yaml::parse(std::str::from_utf8(text).unwrap(), &Limits::default()).unwrap()
}

fn refusal<T>(result: Result<T, Error>) -> Refusal {
    match result.map(|_| ()).unwrap_err() {
        Error::Eksa(refusal) => refusal,
        other => panic!("{other}"),
    }
}

fn fixtures(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("AIRLOCK_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), Into::into);
    let folder = root.join("fixtures").join(folder);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: the shared fixtures are missing; set AIRLOCK_SHARED");
    None
}

/// `pkg/signature/manifest_test.go` of aws/eks-anywhere.
const BUNDLES: &str = "\
apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: Bundles
metadata:
  annotations:
    anywhere.eks.amazonaws.com/signature: MEYCIQCiWwxw/Nchkgtan47FzagXHgB45Op7YWxvSZjFzHau8wIhALG2kbm+H8HJEfN/rUQ0ldo298MnzyhukBptUm0jCtZZ
    distro.eks.amazonaws.com/signature-1-28: MEUCIQC3uP3Dhfb/nhCeir0Hwtf4bddKVfVIauFWBidT18XZOwIgHjzH1mOxBm1N2l2w9wBVy9W1o6CQXpdDz7UcbCszZYc=
spec:
  number: 1
  versionsBundles:
  - kubeVersion: \"1.31\"
";
