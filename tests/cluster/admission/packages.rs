//! EKS Anywhere's manifests and bundles, applied as its users do.

use std::path::{Path, PathBuf};

use bundle_signer::PrivateKey;
use bundle_signer::eksa::{Coverage, sign_bundle};
use futures::StreamExt as _;
use gostd::{Limits, yaml};
use serde_json::{Value, json};

use super::{Site, shared};
use crate::rig::wait;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/package-api/tests/data");
const BEGINS: &str = "package my-hello-eks-anywhere failed validation with error: ";

fn file(name: &str) -> PathBuf {
    Path::new(DATA).join(name)
}

fn read(name: &str) -> Value {
    yaml::parse(&std::fs::read_to_string(file(name)).unwrap(), &Limits::default()).unwrap()
}

fn bundle(name: &str, key: &PrivateKey) -> Value {
    // The schema of the same package in AWS's bundle.
    let schema = read("v1-24-116-aws.yaml")["spec"]["packages"][0]["source"]["versions"][0]["schema"].clone();
    let package = |name: &str, more: Value| {
        let mut package = json!({"name": name, "source": {"repository": name, "versions": [
            {"name": "0.1.1", "digest": format!("sha256:{}", "0".repeat(64)), "schema": schema}]}});
        package.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        package
    };
    let packages = [package("hello-eks-anywhere", json!({})), package("away", json!({"workloadonly": true}))];
    let object = json!({"apiVersion": "packages.eks.amazonaws.com/v1alpha1", "kind": "PackageBundle",
        "metadata": {"name": name, "namespace": "eksa-packages"}, "spec": {"packages": packages}});
    let signed = sign_bundle(object.to_string().as_bytes(), Coverage::Full, key).unwrap();
    yaml::parse(signed.yaml(), &Limits::default()).unwrap()
}

fn of_kind(kind: &str, name: &str, namespace: &str, spec: &Value) -> Value {
    json!({"apiVersion": "packages.eks.amazonaws.com/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

impl Site {
    /// Creates and activates a bundle for this API server; returns its name.
    pub(super) fn active(&self) -> String {
        let version = self.cluster.get(&["--raw", "/version"]);
        let minor =
            version.map_or("36".to_owned(), |version| version["minor"].as_str().unwrap().replace('+', ""));
        let name = format!("v1-{minor}-1");
        if self.cluster.get(&["packagebundle", &name, "-n", "eksa-packages"]).is_none() {
            // A concurrent test may have created it.
            let _ = self.create(&bundle(&name, &self.bundles), false);
        }
        let controller =
            of_kind("PackageBundleController", "cluster01", "eksa-packages", &json!({"activeBundle": name}));
        let (good, said) = self.cluster.apply(&controller.to_string());
        assert!(good, "{said}");
        name
    }
}

#[test]
fn the_upstream_crds_and_manifests_apply_unchanged() {
    let Some((_turn, site)) = shared() else { return };
    site.active();
    let crds = file("packages.eks.amazonaws.com.yaml");
    site.cluster.kubectl(&["apply", "--dry-run=server", "-f", crds.to_str().unwrap()]);
    let aws = file("v1-24-116-aws.yaml");
    let (good, said) = site.cluster.tries(&["apply", "-f", aws.to_str().unwrap()]);
    assert!(good, "{said}");
    // A concurrent test may have applied it.
    let is_warned = said.contains("Warning: the signature does not cover");
    assert!(is_warned || said.contains("unchanged"), "{said}");
    let valid = file("package_webhook_valid_config.yaml");
    site.cluster.kubectl(&["apply", "--dry-run=server", "-f", valid.to_str().unwrap()]);
}

/// Changes each value that the signature covers, one at a time.
#[test]
fn aws_s_bundle_is_refused_when_any_signed_field_changes() {
    let Some((_turn, site)) = shared() else { return };
    let whole = read("v1-24-116-aws.yaml");
    let mut leaves = Vec::new();
    collect(&whole["metadata"]["namespace"], "/metadata/namespace", &mut leaves);
    collect(&whole["spec"], "/spec", &mut leaves);
    leaves
        .retain(|pointer| !pointer.ends_with("/source/repository") && !pointer.ends_with("/source/registry"));
    let expected = "package v1-24-116 failed validation with error: The signature is invalid for the configured public key: ";
    let refused = site.runtime.block_on(async {
        let tries = futures::stream::iter(&leaves).map(|pointer| {
            let (site, whole) = (&site, &whole);
            async move {
                let said = site.created(&with_changed(whole, pointer), true).await.expect_err(pointer);
                assert!(said.contains(expected), "{pointer}: {said}");
            }
        });
        tries.buffer_unordered(4).count().await
    });
    println!("{refused} signed fields, each changed separately: {refused} rejections");
    assert!(refused >= 80, "{refused}");
    site.refuses(&read("v1-24-116-tampered.yaml"), &["The signature is invalid"]);
}

fn with_changed(whole: &Value, pointer: &str) -> Value {
    let mut other = whole.clone();
    let value = other.pointer_mut(pointer).unwrap();
    *value = match &*value {
        Value::Bool(is) => json!(!*is),
        // The namespace in which the object is created.
        Value::String(_) if pointer == "/metadata/namespace" => json!("eksa-packages-cluster01"),
        Value::String(text) => json!(changed(text)),
        other => panic!("{pointer}: {other}"),
    };
    other
}

fn collect(value: &Value, pointer: &str, leaves: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                collect(value, &format!("{pointer}/{name}"), leaves);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                collect(value, &format!("{pointer}/{index}"), leaves);
            }
        }
        _ => leaves.push(pointer.to_owned()),
    }
}

/// Replaces a character by one of the same kind, so that names and base64 stay valid.
fn changed(text: &str) -> String {
    let at = text
        .rfind(|c: char| c.is_ascii_digit())
        .or_else(|| text.rfind(|c: char| c.is_ascii_lowercase()))
        .unwrap();
    let next = match text.as_bytes()[at] {
        b'9' => '8',
        b'z' => 'y',
        letter => char::from(letter + 1),
    };
    format!("{}{next}{}", &text[..at], &text[at + 1..])
}

#[test]
fn bundles_are_rejected_with_the_texts_of_the_contract() {
    let Some((_turn, site)) = shared() else { return };
    let with = |change: &dyn Fn(&mut Value)| {
        let mut object = read("v1-24-116-aws.yaml");
        change(&mut object);
        object
    };
    let begins = "package v1-24-116 failed validation with error: ";
    let name = "package latest failed validation with error: Invalid bundle name (should be in the format vx-xx-xxxx where x is a digit): latest";
    site.refuses(
        &with(&|object| object["metadata"]["name"] = json!("latest")),
        &["vpackagebundle.kb.io", name],
    );
    let annotation = |name: &'static str, value: &'static str| {
        with(&|object| object["metadata"]["annotations"][name] = json!(value))
    };
    site.refuses(&annotation("eksa.aws.com/signature", ""), &[&format!("{begins}Missing signature")]);
    let text = format!("{begins}signature in metadata isn't base64 encoded");
    site.refuses(&annotation("eksa.aws.com/signature", "*"), &[&text]);
    // Upstream ignores a failing selector and hashes a constant.
    let selector = "LnNwZWMucGFja2FnZXNbXS5uYW1lW10=";
    site.refuses(&annotation("eksa.aws.com/excludes", selector), &[begins]);
    let stranger = PrivateKey::generate().unwrap();
    site.refuses(
        &bundle("v1-36-9", &stranger),
        &["The signature is invalid for the configured public key: MFkw"],
    );
    for (file, name) in
        [("packagebundle_valid.yaml.signed", "test key"), ("bundle_one.yaml.signed", "test key")]
    {
        let mut published = read(file);
        published["metadata"]["namespace"] = json!("eksa-packages");
        let said = site.create(&published, true).expect_err(name);
        assert!(said.contains("failed validation with error"), "{file}: {said}");
    }
}

#[test]
fn settings_of_clusters_are_rejected_with_the_texts_of_the_contract() {
    let Some((_turn, site)) = shared() else { return };
    let name = site.active();
    let with = |cluster: &str, bundle: &str| {
        of_kind("PackageBundleController", cluster, "eksa-packages", &json!({"activeBundle": bundle}))
    };
    site.create(&with("other", ""), true).unwrap();
    let said = ["vpackagebundlecontroller.kb.io", "activeBundle \"v1-21-99\" not present on cluster"];
    site.refuses(&with("other", "v1-21-99"), &said);
    if site.cluster.get(&["packagebundle", "v1-24-116", "-n", "eksa-packages"]).is_none() {
        let aws = file("v1-24-116-aws.yaml");
        site.cluster.tries(&["apply", "-f", aws.to_str().unwrap()]);
    }
    let version = name.rsplit_once('-').unwrap().0;
    let (good, said) = site.cluster.apply(&with("cluster01", "v1-24-116").to_string());
    assert!(
        !good && said.contains(&format!("kuberneetes version {version} does not match v1-24-116")),
        "{said}"
    );
    let words = "getting server version for far: initializing target client: getting kubeconfig for cluster \"far\": ";
    site.refuses(&with("far", &name), &[words, "not found"]);
}

#[test]
fn packages_are_rejected_with_the_texts_of_the_contract() {
    let Some((_turn, site)) = shared() else { return };
    let nowhere = of_kind("Package", "x", "eksa-packages-nowhere", &json!({"packageName": "harbor"}));
    site.cluster.tries(&["create", "namespace", "eksa-packages-nowhere"]);
    site.refuses(&nowhere, &["vpackage.kb.io", "getting PackageBundle: ", "\"nowhere\" not found"]);
    let name = site.active();
    let package = |spec: &Value| of_kind("Package", "my-hello-eks-anywhere", "eksa-packages-cluster01", spec);
    let refuses = |object: &Value, words: &str| site.refuses(object, &[&format!("{BEGINS}{words}")]);
    refuses(
        &package(&json!({"packageName": "harbor"})),
        &format!("package not found in bundle ({name}): harbor"),
    );
    let version = json!({"packageName": "hello-eks-anywhere", "packageVersion": "9.9.9"});
    let words = format!("package version not found in bundle ({name}): hello-eks-anywhere @ 9.9.9");
    refuses(&package(&version), &words);
    let words = "package my-hello-eks-anywhere should only be installed on a workload cluster";
    refuses(&package(&json!({"packageName": "away"})), words);
    // A release name is unique, although the cluster has two namespaces for packages.
    let plain = read("package_webhook_valid_config.yaml")["spec"].clone();
    let twin = |namespace: &str| of_kind("Package", "twin", namespace, &plain);
    site.create(&twin("eksa-packages-cluster01"), false).unwrap();
    let taken = "package twin failed validation with error: the release twin in cluster cluster01 already belongs to the \
                 package eksa-packages-cluster01/twin; choose another name";
    site.refuses(&twin("eksa-packages"), &["vpackage.kb.io", taken]);
    let words = "error validating configurations - (root): Additional property fakeConfig is not allowed";
    refuses(&read("package_webhook_invalid_config.yaml"), words);
    refuses(
        &read("package_webhook_invalid_type.yaml"),
        "error validating configurations - title: Invalid type. Expected: string, given: integer",
    );
}

/// Upstream skips the checks for every user who sets the annotation.
#[test]
fn the_annotation_that_skips_the_checks_requires_a_permission() {
    let Some((_turn, site)) = shared() else { return };
    site.active();
    let somebody = site.cluster.unprivileged().display().to_string();
    let mut package =
        of_kind("Package", "skipping", "eksa-packages-cluster01", &json!({"packageName": "none"}));
    package["metadata"]["annotations"] = json!({"anywhere.eks.aws.com/internal": "true"});
    let file = site.cluster.path("skipping.json");
    std::fs::write(&file, package.to_string()).unwrap();
    let create = ["create", "--dry-run=server", "-f", file.to_str().unwrap()];
    let tries = || site.cluster.tries(&[&["--kubeconfig", &somebody][..], &create].concat());
    let role = |name: &str, verbs: &str| {
        let resource = "--resource=packages.packages.eks.amazonaws.com";
        site.cluster.kubectl(&["create", "clusterrole", name, &format!("--verb={verbs}"), resource]);
        site.cluster.kubectl(&[
            "create",
            "clusterrolebinding",
            name,
            &format!("--clusterrole={name}"),
            "--user=somebody",
        ]);
    };
    role("makes-packages", "create,get");
    wait("the permission to create packages", super::MINUTE, || {
        (!tries().1.contains("Forbidden")).then_some(())
    });
    let (good, said) = tries();
    assert!(!good && said.contains("package not found in bundle"), "{said}");
    role("bypasses", "bypass");
    wait("the permission to bypass", super::MINUTE, || tries().0.then_some(()));
}
