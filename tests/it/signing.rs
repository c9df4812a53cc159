//! Signing, verification and trust files on the command line. `tests/peers` tests them with real cosign.

#[cfg(feature = "slow-tests")]
mod unreachable;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::cli::{airlock, fails};

pub(crate) const IMAGE: &str = "disk.example/team/app:v1";
const KIND: &str = "application/vnd.oci.image.manifest.v1+json";

fn digest(bytes: &[u8]) -> String {
    oci::Digest::sha256(bytes).to_string()
}

/// A store with an image, and two keys with a trust file for each.
pub(crate) fn site() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let blobs = path.join("layout/blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| std::fs::write(blobs.join(&digest(bytes)[7..]), bytes).unwrap();
    let config =
        br#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#;
    let image = format!(
        r#"{{"schemaVersion":2,"mediaType":"{KIND}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[]}}"#,
        digest(config),
        config.len()
    );
    put(config);
    put(image.as_bytes());
    std::fs::write(path.join("layout/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{KIND}","digest":"{}","size":{}}}]}}"#,
        digest(image.as_bytes()),
        image.len()
    );
    std::fs::write(path.join("layout/index.json"), index).unwrap();
    let sources = format!("  - ociLayout: {{path: layout, reference: '{IMAGE}'}}\n");
    std::fs::write(path.join("airlock.yaml"), mirror_file("", &sources)).unwrap();
    works(path, &["mirror", "--store", "store"]);
    for name in ["release", "other"] {
        works(path, &["keys", "generate", name]);
        let (key, file) = (format!("{name}.pub"), format!("{name}.yaml"));
        works(path, &["keys", "trust", &key, "--sign", "anything", "--to", &file]);
    }
    folder
}

/// A trust file of the site without the roles of its key; tests append their own.
pub(crate) fn without_roles(folder: &Path, file: &str) -> String {
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let kept: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("roles:")).collect();
    assert_eq!(kept.len() + 1, text.lines().count(), "{text}");
    kept.join("\n") + "\n"
}

pub(crate) fn mirror_file(registries: &str, sources: &str) -> String {
    format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: a}}\n{registries}sources:\n{sources}"
    )
}

pub(crate) fn works(folder: &Path, arguments: &[&str]) -> String {
    let output = airlock(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Expects exit code 3, and these words in the output.
pub(crate) fn refuses(folder: &Path, arguments: &[&str], words: &str) {
    let output = airlock(folder, arguments);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains(words), "{arguments:?}: {said}");
}

#[test]
fn a_signature_in_a_store_is_valid_for_one_key_and_one_name() {
    let folder = site();
    let path = folder.path();
    let verify = ["verify-image", IMAGE, "--store", "store", "--trust"];
    let with = |more: &[&'static str]| [&verify[..], more].concat();
    refuses(path, &with(&["release.yaml"]), "no valid signature found");
    let sign = ["sign", IMAGE, "--store", "store", "--key", "release.key"];
    assert!(works(path, &[&sign[..], &["--dry-run"]].concat()).contains("(legacy, bundle)"));
    refuses(path, &with(&["release.yaml"]), "no valid signature found");
    assert_eq!(works(path, &sign).matches("signed sha256").count(), 2);
    assert!(works(path, &with(&["release.yaml"])).contains("accepted at gate pull: release"));
    refuses(path, &with(&["other.yaml"]), "is by an untrusted key");
    refuses(path, &with(&["release.yaml", "--name", "disk.example/team/other"]), "signed as");
    refuses(path, &with(&["release.yaml", "--type", "spdx"]), "2 other statements");
    refuses(path, &with(&["release.yaml", "--min-trust-sequence", "1"]), "was already in force");
    fails(path, &["sign", IMAGE, "--store", "store"], 2, "signing needs a private key");
    fails(path, &["sign", "a b", "--store", "store"], 2, "is not an image reference");
    fails(
        path,
        &["sign", "disk.example/none:1", "--store", "store", "--key", "release.key"],
        4,
        "does not exist",
    );
    fails(path, &["verify-image", IMAGE, "--store", "store"], 2, "needs a trust file");
}

#[test]
fn an_attestation_has_the_type_that_was_given() {
    let folder = site();
    let path = folder.path();
    std::fs::write(path.join("sbom.json"), r#"{"spdxVersion":"SPDX-2.3"}"#).unwrap();
    let attest = ["attest", IMAGE, "--store", "store", "--key", "release.key", "--predicate", "sbom.json"];
    let typed = |kind: &'static str| [&attest[..], &["--type", kind]].concat();
    assert_eq!(works(path, &typed("spdxjson")).matches("signed sha256").count(), 2);
    let verify = ["verify-image", IMAGE, "--store", "store", "--trust", "release.yaml"];
    let said = works(path, &[&verify[..], &["--type", "spdx"]].concat());
    assert!(said.contains("envelope") && said.contains("bundle"), "{said}");
    refuses(path, &verify, "no valid signature");
    refuses(path, &[&verify[..], &["--type", "https://spdx.dev/Other"]].concat(), "no valid signature");
    fails(path, &typed("sbom"), 2, "expected a URI or one of");
    std::fs::write(path.join("sbom.json"), "SPDXVersion: SPDX-2.3").unwrap();
    fails(path, &typed("spdx"), 2, "is not JSON");
}

#[test]
fn a_trust_file_is_explained_and_its_contradictions_found() {
    let folder = site();
    let path = folder.path();
    assert!(works(path, &["trust", "check", "release.yaml"]).contains("may sign anything"));
    let text = without_roles(path, "release.yaml");
    let scoped = format!("{text}    roles: [{{sign: [driveManifest]}}]\n");
    std::fs::write(path.join("drives.yaml"), &scoped).unwrap();
    assert!(works(path, &["trust", "check", "drives.yaml"]).contains("may sign driveManifest"));
    works(path, &["sign", IMAGE, "--store", "store", "--key", "release.key"]);
    let verify = ["verify-image", IMAGE, "--store", "store", "--trust"];
    refuses(path, &[&verify[..], &["drives.yaml"]].concat(), "may not sign this: signature");
    let gate = format!("{scoped}gates: {{pull: {{require: [{{sign: signature, by: release}}]}}}}\n");
    std::fs::write(path.join("never.yaml"), gate).unwrap();
    refuses(path, &["trust", "check", "never.yaml"], "contradiction");
    std::fs::write(path.join("warn.yaml"), format!("{scoped}gates: {{pull: {{mode: warn}}}}\n")).unwrap();
    works(path, &[&verify[..], &["warn.yaml"]].concat());
    std::fs::write(path.join("odd.yaml"), format!("{text}extra: 1\n")).unwrap();
    fails(path, &["trust", "check", "odd.yaml"], 2, "malformed");
    let schema: serde_json::Value = serde_json::from_str(&works(path, &["trust", "schema"])).unwrap();
    assert_eq!(schema["title"], "Trust");
}

#[test]
fn a_drive_is_refused_by_a_role_and_by_a_revocation() {
    let folder = site();
    let path = folder.path();
    works(path, &["pack", "--store", "store", "--to", "drive", "--key", "release.key"]);
    works(path, &["verify", "drive", "--trust", "release.yaml"]);
    let text = without_roles(path, "release.yaml");
    std::fs::write(path.join("images.yaml"), format!("{text}    roles: [{{sign: [signature]}}]\n")).unwrap();
    refuses(path, &["verify", "drive", "--trust", "images.yaml"], "may not sign this: driveManifest");
    let said = works(path, &["trust", "check", "release.yaml"]);
    let hint = said.split('(').nth(1).unwrap().split(')').next().unwrap();
    let revoked = format!("{text}revocations: [{{hint: '{hint}', reason: lost, date: 2026-11-02}}]\n");
    std::fs::write(path.join("revoked.yaml"), revoked).unwrap();
    refuses(
        path,
        &["import", "drive", "--store", "far", "--trust", "revoked.yaml"],
        "was revoked on 2026-11-02",
    );
}

#[test]
fn a_package_bundle_is_signed_and_verified() {
    let folder = site();
    let path = folder.path();
    let hex = "a".repeat(64);
    let bundle = format!(
        "apiVersion: packages.eks.amazonaws.com/v1alpha1\nkind: PackageBundle\nmetadata:\n  name: v1-31-1\n  namespace: eksa-packages\nspec:\n  packages:\n  - name: app\n    source:\n      registry: registry.example\n      repository: team/app\n      versions:\n      - name: 0.1.0\n        digest: sha256:{hex}\n"
    );
    std::fs::write(path.join("bundle.yaml"), bundle).unwrap();
    works(path, &["sign", "bundle", "bundle.yaml", "--key", "release.key", "--to", "signed.yaml"]);
    let verify = ["verify-manifest", "signed.yaml", "--trust", "release.yaml"];
    assert!(works(path, &verify).contains("signed by release"));
    let partly = ["sign", "bundle", "bundle.yaml", "--key", "release.key", "--without-source"];
    let text = works(path, &partly);
    std::fs::write(path.join("partly.yaml"), &text).unwrap();
    let said = works(path, &["verify-manifest", "partly.yaml", "--trust", "release.yaml"]);
    assert!(said.contains(".spec.packages[0].source.registry"), "{said}");
    fails(path, &["verify-manifest", "signed.yaml"], 3, "is refused");
    fails(path, &["verify-manifest", "signed.yaml", "--trust", "other.yaml"], 3, "is refused");
    let signed = std::fs::read_to_string(path.join("signed.yaml")).unwrap();
    std::fs::write(path.join("signed.yaml"), signed.replace("team/app", "evil/app")).unwrap();
    fails(path, &verify, 3, "is refused");
    std::fs::write(path.join("pod.yaml"), "kind: Pod\n").unwrap();
    fails(path, &["verify-manifest", "pod.yaml"], 2, "is a `Pod`");
}

pub(crate) struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn serve(folder: &Path, store: &str) -> (Served, String) {
    let file = folder.join("address");
    let child = Command::new(env!("CARGO_BIN_EXE_airlock"))
        .args(["serve", "--store", store, "--listen", "127.0.0.1:0", "--address-file", "address"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let served = Served(child);
    for _ in 0..600 {
        if let Ok(url) = std::fs::read_to_string(&file) {
            return (served, url.trim().trim_start_matches("http://").to_owned());
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("airlock serve did not start")
}

#[test]
fn a_mirror_run_publishes_nothing_that_upstream_did_not_sign() {
    let folder = site();
    let path = folder.path();
    let (served, address) = serve(path, "store");
    let write = |file: &str, verify: &str| {
        let registries = format!(
            "registries: [{{host: disk.example, mirror: '{address}/disk.example', plainHTTP: true}}]\n"
        );
        let sources = format!("  - images: ['{IMAGE}']\n{verify}");
        std::fs::write(path.join(file), mirror_file(&registries, &sources)).unwrap();
    };
    write("key.yaml", "    verify: {key: release.pub}\n");
    write("other-key.yaml", "    verify: {key: other.pub}\n");
    write("name.yaml", "    verify: {key: release.pub, name: disk.example/other}\n");
    write("identity.yaml", "    verify: {identity: {subject: a@b.example, issuer: 'https://c.example'}}\n");
    write("none.yaml", "");
    // All cases use the same file name, because a lock belongs to its mirror file.
    let mirror = |file: &str| {
        std::fs::copy(path.join(file), path.join("changing.yaml")).unwrap();
        ["mirror", "-f", "changing.yaml", "--store", "copy", "--lock", "copy.lock"]
    };
    fails(path, &mirror("key.yaml"), 3, "it is not signed");
    assert_eq!(works(path, &["store", "list", "--store", "copy"]), "");
    assert!(!path.join("copy.lock").exists());
    // A lock from a run without verification does not bypass it.
    works(path, &mirror("none.yaml"));
    fails(path, &mirror("key.yaml"), 3, "it is not signed");
    works(path, &["sign", IMAGE, "--store", "store", "--key", "release.key"]);
    fails(path, &mirror("other-key.yaml"), 3, "untrusted key");
    fails(path, &mirror("name.yaml"), 3, "signed as");
    fails(path, &mirror("identity.yaml"), 3, "by an untrusted key");
    works(path, &mirror("key.yaml"));
    let verify = ["verify-image", IMAGE, "--store", "copy", "--trust", "release.yaml"];
    works(path, &verify);
    // The store has the signatures now, so the registry is not needed to verify them.
    drop(served);
    works(path, &mirror("key.yaml"));
    fails(path, &mirror("other-key.yaml"), 6, "cannot fetch");
}
