//! Cosign's verdicts on the same signatures, with the same root and no network.

use std::path::PathBuf;
use std::process::Command;

use crate::fixtures::{GOOD, Good, Signed, path, root, root_json};
use crate::programs::found;

/// Whether cosign accepts a signature over a file, and what it says.
fn accepts(cosign: &PathBuf, good: &Good, subject: &str, issuer: &str, file: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("trusted_root.json");
    std::fs::write(&root, root_json(good.instance)).unwrap();
    let verb = if good.statement { "verify-blob-attestation" } else { "verify-blob" };
    let mut command = Command::new(cosign);
    command.arg(verb).arg("--bundle").arg(path(good.bundle)).arg("--trusted-root").arg(&root);
    command.args(["--certificate-identity", subject, "--certificate-oidc-issuer", issuer]);
    if good.statement {
        command.args(["--type", &predicate_type(good)]);
    }
    // A proxy that nothing listens at, and a home without a cache: what needs the network fails.
    command.env("HTTPS_PROXY", "http://127.0.0.1:9").env("HOME", folder.path());
    let output = command.arg(path(file)).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn predicate_type(good: &Good) -> String {
    let evidence = good.with_root(&root(good.instance)).unwrap();
    let statement: serde_json::Value = serde_json::from_slice(evidence.payload().unwrap()).unwrap();
    statement["predicateType"].as_str().unwrap().to_owned()
}

#[test]
fn cosign_has_the_same_verdicts() {
    let Some(cosign) = found("bin/cosign3") else { return };
    for good in GOOD {
        let Signed::File(file) = good.signed else { continue };
        let (accepted, said) = accepts(&cosign, &good, good.subject, good.issuer, file);
        assert!(accepted, "{}: {said}", good.bundle);
        let (other_subject, _) = accepts(&cosign, &good, "mallory@example.com", good.issuer, file);
        let (other_issuer, _) = accepts(&cosign, &good, good.subject, "https://accounts.example", file);
        let (other_file, _) = accepts(&cosign, &good, good.subject, good.issuer, "README.md");
        assert!(!other_subject && !other_issuer && !other_file, "{}", good.bundle);
    }
}
