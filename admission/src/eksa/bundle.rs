//! `PackageBundle`: checks the name and the signature.

use bundle_signer::TrustFile;
use bundle_signer::eksa::{self, Refusal, Uncovered, UncoveredReason};
use package_api::BundleName;
use serde_json::Value;

use super::{Verdict, failed};

/// Decides on a bundle as the API server sends it. Rejections print `keys`: the trusted keys as in EKS Anywhere's
/// configuration, base64 of DER.
#[must_use]
pub fn decide(object: &Value, trust: &TrustFile, keys: &str) -> Verdict {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if name.parse::<BundleName>().is_err() {
        let fault = "Invalid bundle name (should be in the format vx-xx-xxxx where x is a digit)";
        return failed(name, &format!("{fault}: {name}"));
    }
    match eksa::verify_package_bundle(object.to_string().as_bytes(), trust) {
        Ok(manifest) => Verdict::Allowed { warnings: warnings(manifest.uncovered()) },
        Err(error) => failed(name, &fault(&error, keys)),
    }
}

/// The text of the contract, or our own if the contract has none.
#[must_use]
pub fn fault(error: &bundle_signer::Error, keys: &str) -> String {
    let bundle_signer::Error::Eksa(refusal) = error else { return error.to_string() };
    match refusal {
        Refusal::MissingSignature(_) => "Missing signature".to_owned(),
        Refusal::SignatureText(_) => "signature in metadata isn't base64 encoded".to_owned(),
        Refusal::Selector(_) | Refusal::SelectorMismatch { .. } => {
            format!("invalid selector(s) provided: {refusal}")
        }
        // The published test key is not a trusted key.
        Refusal::BadSignature(_) | Refusal::TestKey => {
            format!("The signature is invalid for the configured public key: {keys}")
        }
        other => other.to_string(),
    }
}

/// Warns about values that the signature excludes: one line for each path without its indices.
fn warnings(uncovered: &[Uncovered]) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for value in uncovered.iter().filter(|value| value.reason() == UncoveredReason::Excluded) {
        let path: String = value.path().chars().filter(|c| !c.is_ascii_digit()).collect();
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
        .iter()
        .map(|path| format!("the signature does not cover {path}; charts are verified by their digests"))
        .collect()
}
