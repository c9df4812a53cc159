//! Cosign's verdicts on the same signatures, with the same root and without a network.

use std::path::PathBuf;
use std::process::Command;

use bundle_signer::keyless::{Artifact, Identity, TrustedRoot, verify};
use oci::Digest;

use crate::authority::{Authority, Signer, THEN, statement};
use crate::fixtures::{GITHUB_ACTIONS, GOOD, Good, Signed, path, root, root_json};
use crate::programs::found;

/// Whether cosign accepts a signature over a file, and its output.
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
    // A proxy address without a listener, and a home without a cache: anything that needs the network fails.
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

/// The verdicts of cosign and of airlock on a bundle about a file, under a root.
fn verdicts(cosign: &PathBuf, bundle: &str, root: &str, subject: &str) -> (bool, bool) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("root.json"), root).unwrap();
    std::fs::write(at("bundle.json"), bundle).unwrap();
    std::fs::write(at("file"), "file").unwrap();
    let mut command = Command::new(cosign);
    command.arg("verify-blob-attestation").arg("--bundle").arg(at("bundle.json"));
    command.arg("--trusted-root").arg(at("root.json")).args(["--certificate-identity", subject]);
    command.args(["--certificate-oidc-issuer", GITHUB_ACTIONS, "--type", "slsaprovenance1"]);
    command.env("HTTPS_PROXY", "http://127.0.0.1:9").env("HOME", folder.path());
    let output = command.arg(at("file")).output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stderr));
    let own = TrustedRoot::from_json(root.as_bytes()).unwrap();
    let identity = Identity::exact(subject, GITHUB_ACTIONS).unwrap();
    let digest = Digest::sha256(b"file");
    let accepted = verify(bundle.as_bytes(), Artifact::Digest(&digest), &identity, &own).is_ok();
    (output.status.success(), accepted)
}

#[test]
fn r7_cosign_has_the_same_verdicts_under_a_root_of_the_tests() {
    let Some(cosign) = found("bin/cosign3") else { return };
    let workflow = "https://github.com/team/app/.github/workflows/release.yml@refs/tags/v1";
    let (authority, other) = (Authority::new(), Authority::new());
    let said = statement(&Digest::sha256(b"file"), None, "https://slsa.dev/provenance/v1");
    let signer = Signer::new(workflow, GITHUB_ACTIONS);
    let good = authority.sign(signer, &said);
    let with = |bundle: &serde_json::Value, root: &Authority, subject: &str| {
        verdicts(&cosign, &bundle.to_string(), &root.root(), subject)
    };
    assert_eq!(
        with(&good, &authority, workflow),
        (true, true),
        "the CA of the tests works like that of sigstore"
    );
    let late = authority.sign(Signer { logged: THEN + 601, ..signer }, &said);
    let secret = authority.sign(Signer { public: false, ..signer }, &said);
    let elsewhere = statement(&Digest::sha256(b"other"), None, "https://slsa.dev/provenance/v1");
    let elsewhere = authority.sign(signer, &elsewhere);
    let mut unproven = good.clone();
    let entry = unproven["verificationMaterial"]["tlogEntries"][0].as_object_mut().unwrap();
    entry.remove("inclusionProof");
    for (bundle, root, subject, what) in [
        (&good, &other, workflow, "another root"),
        (&good, &authority, "mallory@example.com", "another subject"),
        (&late, &authority, workflow, "a certificate that expired before the log accepted the signature"),
        (&secret, &authority, workflow, "a certificate that is not in a log"),
        (&elsewhere, &authority, workflow, "another file"),
        (&unproven, &authority, workflow, "no proof"),
    ] {
        assert_eq!(with(bundle, root, subject), (false, false), "{what}");
    }
}
