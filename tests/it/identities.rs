//! Signers by certificate, from the command line through every gate, with a sigstore instance of the tests.

use std::path::Path;

use oci::Digest;
use serde_json::{Value, json};

use crate::authority::{Authority, Signer, statement};
use crate::cli::{airlock, fails};
use crate::gates::{KIND, REPOSITORY, Served};
use crate::signing::{IMAGE, refuses, site, works};

const WORKFLOW: &str = "https://github.com/team/app/.github/workflows/release.yml@refs/tags/v1";
const ISSUER: &str = "https://token.actions.githubusercontent.com";
const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Writes `gate.yaml`: the key signs drives, the workflow signs images, and every gate requires the workflow's signature.
fn trust(path: &Path, authority: &Authority, more: &[&str]) {
    std::fs::write(path.join("root.json"), authority.root()).unwrap();
    let _ = std::fs::remove_file(path.join("build.yaml"));
    let who = ["--certificate-identity", WORKFLOW, "--certificate-oidc-issuer", ISSUER];
    let named = ["--trusted-root", "root.json", "--identity-name", "build", "--to", "build.yaml"];
    let said = works(path, &[&["keys", "trust", "release.pub"], &who[..], &named, more].concat());
    assert!(said.contains("accepts 1 key and an identity"), "{said}");
    let text = std::fs::read_to_string(path.join("build.yaml")).unwrap();
    let rule = "{require: [{sign: signature, by: build}]}";
    let gates = format!("gates: {{pack: {rule}, push: {rule}, pull: {rule}}}\n");
    std::fs::write(path.join("gate.yaml"), text + &gates).unwrap();
}

/// The digest and the manifest of the site's image.
fn image(path: &Path) -> (Digest, String) {
    let layout = std::fs::read_to_string(path.join("layout/index.json")).unwrap();
    let layout: Value = serde_json::from_str(&layout).unwrap();
    let digest = layout["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let file = path.join("layout/blobs/sha256").join(&digest[7..]);
    (digest.parse().unwrap(), std::fs::read_to_string(file).unwrap())
}

fn blob(served: &Served, bytes: &[u8]) -> String {
    let digest = Digest::sha256(bytes).to_string();
    let target = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={digest}");
    assert_eq!(served.ask("POST", &target, ("application/octet-stream", bytes)).0, 201);
    digest
}

/// Attaches a bundle to the image, as cosign 3 and GitHub's `attest` do.
fn attach(served: &Served, found: &(Digest, String), bundle: &Value) {
    refer(served, found, BUNDLE, bundle.to_string().as_bytes());
}

/// Pushes a referrer of the image with one layer.
fn refer(served: &Served, (digest, image): &(Digest, String), kind: &str, layer: &[u8]) {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": KIND, "artifactType": kind,
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": blob(served, b"{}"), "size": 2 },
        "layers": [{ "mediaType": kind, "digest": blob(served, layer), "size": layer.len() }],
        "subject": { "mediaType": KIND, "digest": digest, "size": image.len() },
    })
    .to_string();
    let of_it = Digest::sha256(manifest.as_bytes()).to_string();
    let (status, body) = served.put(REPOSITORY, &of_it, (KIND, &manifest));
    assert_eq!(status, 201, "{body}");
}

#[test]
fn r7_every_gate_accepts_an_identitys_signature_and_a_drive_carries_it() {
    let folder = site();
    let path = folder.path();
    let authority = Authority::new();
    trust(path, &authority, &[]);
    let found = image(path);
    let verify = ["verify-image", IMAGE, "--store", "store", "--trust", "gate.yaml"];
    let pack = ["pack", "--store", "store", "--key", "release.key", "--to", "drive", "--trust", "gate.yaml"];
    let served = Served::of(path, "gate.yaml");
    let signer = Signer::new(WORKFLOW, ISSUER);
    let said = statement(&found.0, Some(REPOSITORY), SIGNATURE);
    // A signature by another CA, one by another subject, and one of another artifact.
    attach(&served, &found, &Authority::new().sign(signer, &said));
    attach(&served, &found, &authority.sign(Signer::new("mallory@example.com", ISSUER), &said));
    let other = statement(&Digest::sha256(b"other"), Some(REPOSITORY), SIGNATURE);
    attach(&served, &found, &authority.sign(signer, &other));
    refuses(path, &verify, "the signature is by `mallory@example.com`");
    refuses(path, &verify, "the signature is for a different artifact");
    refuses(path, &verify, "the log entry is not valid");
    // Signatures that cannot be verified are reported, too.
    refer(&served, &found, "application/jose+json", b"{\"payload\":\"\"}");
    refer(&served, &found, "application/cose", &[0xd2, 0x84, 0x40]);
    for kind in ["JWS", "COSE"] {
        refuses(
            path,
            &verify,
            &format!("notation signatures ({kind}) are not supported: only those of cosign and airlock"),
        );
    }
    let (status, body) = served.get("v1");
    assert!(status == 403 && body.contains("`signature` by `build`"), "{body}");
    assert!(body.contains("notation signatures (JWS)"), "{body}");
    assert_eq!(served.put(REPOSITORY, "v2", (KIND, &found.1)).0, 403);
    fails(path, &pack, 3, "gate `pack` refuses");

    attach(&served, &found, &authority.sign(signer, &said));
    assert_eq!(served.get("v1").0, 200);
    assert_eq!(served.put(REPOSITORY, "v2", (KIND, &found.1)).0, 201);
    let text = works(path, &verify);
    assert!(text.contains("good: build (") && text.contains("accepted at gate pull: build"), "{text}");
    assert!(text.contains(&format!("signed by `{WORKFLOW}`, issued by `{ISSUER}`")), "{text}");
    let json: Value =
        serde_json::from_str(&works(path, &[&verify[..], &["--output", "json"]].concat())).unwrap();
    let by = &json["verdict"]["signatures"][0]["certified"];
    assert_eq!((by["subject"].as_str(), by["issuer"].as_str()), (Some(WORKFLOW), Some(ISSUER)));
    let event = ["audit", "log", "--store", "store", "--event", "verify", "--limit", "1", "--output", "json"];
    let event: Value = serde_json::from_str(&works(path, &event)).unwrap();
    let evidence = &event[0]["event"]["evidence"];
    assert_eq!(evidence["signer"], "build");
    assert!(evidence["trustedRoots"].as_str().unwrap().starts_with("sha256:"), "{evidence}");

    works(path, &pack);
    works(path, &["import", "drive", "--store", "far", "--trust", "gate.yaml"]);
    works(path, &["verify-image", IMAGE, "--store", "far", "--trust", "gate.yaml"]);

    // The identity is revoked by name, and with it all its signatures.
    works(path, &["keys", "revoke", "build", "--reason", "account stolen", "--trust", "gate.yaml"]);
    refuses(path, &verify, "was revoked on");
    fails(path, &pack, 3, "was revoked on");
    refuses(path, &["trust", "check", "gate.yaml"], "contradiction: gate `pull` requires");
}

#[test]
fn r7_cosigns_first_format_by_certificate_counts_and_provenance_is_required_by_its_type() {
    let folder = site();
    let path = folder.path();
    let authority = Authority::new();
    trust(path, &authority, &[]);
    let found = image(path);
    let served = Served::of(path, "build.yaml");
    let (layer, payload) = authority.sign_layer(Signer::new(WORKFLOW, ISSUER), &found.0, REPOSITORY);
    blob(&served, &payload);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": KIND,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob(&served, b"{}"), "size": 2 },
        "layers": [layer],
    });
    let tag = format!("{}.sig", found.0.to_string().replace(':', "-"));
    assert_eq!(served.put(REPOSITORY, &tag, (KIND, &manifest.to_string())).0, 201);
    let verify = ["verify-image", IMAGE, "--store", "store", "--trust", "build.yaml"];
    let text = works(path, &verify);
    assert!(text.contains("good: build") && text.contains("simpleSigning"), "{text}");
    // A signature is not provenance, and this identity may not attest.
    let kind = [&verify[..], &["--type", "slsaprovenance1"]].concat();
    refuses(path, &kind, "1 other statements");
    let attested = statement(&found.0, Some(REPOSITORY), PROVENANCE);
    attach(&served, &found, &authority.sign(Signer::new(WORKFLOW, ISSUER), &attested));
    refuses(path, &kind, "`build` may not sign this: slsaprovenance1");
}

#[test]
fn r7_trust_check_explains_identities_and_the_command_line_refuses_incomplete_ones() {
    let folder = site();
    let path = folder.path();
    let authority = Authority::new();
    trust(path, &authority, &[]);
    let said = works(path, &["trust", "check", "build.yaml"]);
    assert!(said.contains("identity `build` (") && said.contains("may sign signature; it is"), "{said}");
    assert!(said.contains("rekor.test") && said.contains(WORKFLOW), "{said}");
    let half = ["keys", "add", "--certificate-identity", "a@example.com", "--trust", "build.yaml"];
    assert_eq!(airlock(path, &half).status.code(), Some(2));
    let add = |more: &[&'static str]| {
        let add = ["keys", "add", "--trust", "build.yaml", "--certificate-oidc-issuer", ISSUER];
        [&add[..], more].concat()
    };
    let drives = add(&["--certificate-identity", "a@example.com", "--sign", "driveManifest"]);
    fails(path, &drives, 2, "signed by keys");
    fails(path, &add(&["--certificate-identity-regexp", "("]), 2, "invalid pattern");
    // Without `--trusted-root`, sigstore's public root is written into the file.
    works(path, &add(&["--certificate-identity-regexp", ".*@example.com"]));
    let said = works(path, &["trust", "check", "build.yaml"]);
    assert!(said.contains("fulcio.sigstore.dev") && said.contains("`e.c`"), "{said}");
    // The root may be a separate file next to the trust file.
    let text = std::fs::read_to_string(path.join("gate.yaml")).unwrap();
    let at = text.find("    trustedRoot: ").unwrap();
    let end = text.find("gates:").unwrap();
    let beside = format!("{}    trustedRoot: root.json\n{}", &text[..at], &text[end..]);
    std::fs::write(path.join("beside.yaml"), beside).unwrap();
    assert!(works(path, &["trust", "check", "beside.yaml"]).contains("rekor.test"));
    std::fs::remove_file(path.join("root.json")).unwrap();
    fails(path, &["trust", "check", "beside.yaml"], 4, "the trusted root `root.json`");
}
