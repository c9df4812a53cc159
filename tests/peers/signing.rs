//! Interoperability with real cosign, versions 2 and 3: each program verifies what the other signed in a registry or a store.

use crate::rig::{Site, require, run};

const IMAGE: &str = "registry.example/demo/airlock:0.1.0";
const PREDICATE: &str = r#"{"buildDefinition":{"buildType":"https://example.com/build"},"runDetails":{"builder":{"id":"https://example.com/builder"}}}"#;
const KEY: [&str; 4] = ["--key", "release.key", "--password-file", "password"];

/// A site with a key of airlock, a key of cosign, and trust files for each key and for both.
fn site() -> Site {
    let site = Site::quickstart();
    std::fs::write(site.path("password"), "secret\n").unwrap();
    std::fs::write(site.path("predicate.json"), PREDICATE).unwrap();
    site.airlock(&["keys", "generate", "release", "--password-file", "password"]);
    // If an image has a bundle, version 2.6 reads it and then requires a trusted root even with a key.
    let root = r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;
    std::fs::write(site.path("root.json"), root).unwrap();
    accepted(&site, "cosign3", "generate-key-pair");
    accepted(&site, "cosign3", "signing-config create --out config.json");
    let sign = ["--sign", "signature,slsaprovenance1,cyclonedx", "--to"];
    let trust = |keys: &[&str], to: &str| site.airlock(&[&["keys", "trust"], keys, &sign, &[to]].concat());
    trust(&["release.pub"], "release.yaml");
    trust(&["cosign.pub"], "cosign.yaml");
    let both = trust(&["release.pub", "cosign.pub"], "both.yaml");
    assert!(both.contains('2'));
    let mut text = std::fs::read_to_string(site.path("both.yaml")).unwrap();
    text.push_str("groups: [{name: pair, threshold: 2, keys: [release, cosign]}]\n");
    text.push_str("gates: {pull: {require: [{sign: signature, by: pair}]}}\n");
    std::fs::write(site.path("both.yaml"), text).unwrap();
    site
}

fn accepted(site: &Site, version: &str, line: &str) -> String {
    let (good, said) = site.cosign(version, line);
    assert!(good, "{version} {line}\n{said}");
    said
}

fn refused(site: &Site, version: &str, line: &str) {
    let (good, said) = site.cosign(version, line);
    assert!(!good, "{version} {line}\n{said}");
}

/// Tests both directions against a registry that has the image.
fn both_ways(site: &Site, address: &str) {
    let image = format!("{address}/{IMAGE}");
    let image = image.as_str();
    let verify = |code, more: &[&str]| {
        site.ends(code, &[&["verify-image", image, "--plain-http", "--trust"], more].concat())
    };
    assert!(verify(3, &["release.yaml"]).contains("no valid signature found"));

    let sign = [&["sign", image, "--plain-http", "-a", "sequence=12"], &KEY[..]].concat();
    assert!(site.ends(0, &[&sign[..], &["--dry-run"]].concat()).contains("would sign"));
    verify(3, &["release.yaml"]);
    site.ends(0, &sign);
    assert_eq!(site.ends(0, &sign).matches("already signed").count(), 2);
    let said = verify(0, &["release.yaml"]);
    assert!(said.contains("simpleSigning") && said.contains("bundle") && said.contains("release"), "{said}");
    let json = verify(0, &["release.yaml", "--output", "json", "--quiet"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["verdict"]["decision"]["by"][0], "release");
    assert_eq!(json["verdict"]["signatures"][0]["annotations"]["sequence"], "12");
    let name = image.rsplit_once(':').unwrap().0;
    for version in ["cosign2", "cosign3"] {
        let check = format!(
            "verify --key release.pub --insecure-ignore-tlog --trusted-root root.json -a sequence=12 {image}"
        );
        accepted(site, version, &check);
        refused(site, version, &check.replace("12", "13"));
    }
    // The bundle contains the name; the first format has it in a different place.
    accepted(
        site,
        "cosign3",
        &format!(
            "verify --key release.pub --insecure-ignore-tlog --trusted-root root.json -a name={name} {image}"
        ),
    );

    let attest = [
        &["attest", image, "--plain-http", "--predicate", "predicate.json", "--type", "slsaprovenance1"],
        &KEY[..],
    ];
    site.ends(0, &attest.concat());
    let check = format!(
        "verify-attestation --key release.pub --insecure-ignore-tlog --trusted-root root.json {image} --type"
    );
    for version in ["cosign2", "cosign3"] {
        accepted(site, version, &format!("{check} slsaprovenance1"));
        refused(site, version, &format!("{check} cyclonedx"));
    }
    verify(0, &["release.yaml", "--type", "slsaprovenance1"]);
    verify(3, &["release.yaml", "--type", "cyclonedx"]);

    cosign_adds_signatures(site, image, &verify);
    site.ends(0, &sign);
    verify(0, &["both.yaml"]);
}

/// cosign adds signatures to those of airlock; neither program drops the signatures of the other.
fn cosign_adds_signatures(site: &Site, image: &str, verify: &dyn Fn(i32, &[&str]) -> String) {
    // Nothing is signed with cosign's key yet; afterwards both signatures exist.
    verify(3, &["cosign.yaml"]);
    assert!(verify(3, &["both.yaml"]).contains("1 of the 2"));
    accepted(site, "cosign2", &format!("sign --key cosign.key --tlog-upload=false {image}"));
    verify(0, &["cosign.yaml"]);
    verify(0, &["both.yaml"]);
    accepted(site, "cosign3", &format!("sign --key cosign.key --signing-config config.json {image}"));
    let said = verify(0, &["cosign.yaml", "--allow-unnamed"]);
    assert!(said.contains("good: cosign") && said.contains("bundle"), "{said}");
    accepted(
        site,
        "cosign2",
        &format!("verify --key release.pub --insecure-ignore-tlog --trusted-root root.json {image}"),
    );
}

#[test]
fn airlock_and_cosign_verify_each_other_in_a_served_store() {
    if !require(&["cosign2", "cosign3"]) {
        return;
    }
    let site = site();
    let served = site.serve(&[]);
    both_ways(&site, &served.address);
}

#[test]
fn airlock_and_cosign_verify_each_other_in_a_registry_without_referrers() {
    if !require(&["cosign2", "cosign3", "registry", "skopeo"]) {
        return;
    }
    let site = site();
    let (served, registry) = (site.serve(&[]), site.registry());
    let (from, to) =
        (format!("docker://{}/{IMAGE}", served.address), format!("docker://{}/{IMAGE}", registry.address));
    let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    run("skopeo", &[&["copy", "--quiet", "--preserve-digests"], &plain[..], &[&from, &to]].concat());
    both_ways(&site, &registry.address);
    // An outage is not reported as an unsigned image.
    let image = format!("{}/{IMAGE}", registry.address);
    drop(registry);
    site.ends(6, &["verify-image", &image, "--plain-http", "--trust", "release.yaml"]);
}

#[test]
fn a_signature_made_in_a_store_verifies_in_the_served_registry() {
    if !require(&["cosign2", "cosign3"]) {
        return;
    }
    let site = site();
    let verify = ["verify-image", IMAGE, "--store", "site", "--trust", "release.yaml"];
    site.ends(3, &verify);
    let sign = |more: &[&'static str]| {
        site.ends(0, &[&["sign", IMAGE, "--store", "site", "--recursive"], &KEY[..], more].concat())
    };
    sign(&["--format", "legacy"]);
    let early = site.serve(&["--read-only"]);
    let image = format!("{}/{IMAGE}", early.address);
    accepted(&site, "cosign2", &format!("verify --key release.pub --insecure-ignore-tlog {image}"));
    drop(early);
    std::fs::remove_file(site.path("address-site1")).unwrap();
    sign(&[]);
    site.ends(0, &verify);
    site.ends(3, &[&verify[..], &["--name", "registry.example/demo/other"]].concat());
    site.ends(
        4,
        &["verify-image", "registry.example/demo/none:1", "--store", "site", "--trust", "release.yaml"],
    );
    let served = site.serve(&["--read-only"]);
    for version in ["cosign2", "cosign3"] {
        let image = format!("{}/{IMAGE}", served.address);
        let said = accepted(
            &site,
            version,
            &format!("verify --key release.pub --insecure-ignore-tlog --trusted-root root.json {image}"),
        );
        assert!(said.contains(&site.digest), "{said}");
    }
    site.airlock(&["store", "check", "--store", "site"]);
}
