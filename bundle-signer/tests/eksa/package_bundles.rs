//! Package bundles.

use bundle_signer::Error;
use bundle_signer::eksa::{
    Manifest, Refusal, UncoveredReason, bundles_keys, package_keys, verify_bundles, verify_package_bundle,
};
use gostd::yaml;
use serde_json::{Value, json};

use crate::{AWS, fixtures, parse, refusal};

/// Signed by the public test key: `pkg/signature/testdata` of aws/eks-anywhere-packages.
const TEST_KEY: &[u8] = include_bytes!("../data/test-key.yaml");

type Change = fn(&mut Value);

fn verify(value: &Value) -> Result<Manifest, Error> {
    verify_package_bundle(yaml::write(value).as_bytes(), &package_keys().unwrap())
}

/// Pointers (RFC 6901) to all scalar and null values.
fn leaves(value: &Value, here: &str, all: &mut Vec<String>) {
    let mut each = |name: &str, value| {
        leaves(value, &format!("{here}/{}", name.replace('~', "~0").replace('/', "~1")), all);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| each(name, value)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(at, value)| each(&at.to_string(), value));
        }
        _ => all.push(here.to_owned()),
    }
}

fn changed(value: &Value) -> Value {
    match value {
        Value::String(text) => format!("{text}0").into(),
        Value::Bool(flag) => (!flag).into(),
        Value::Number(number) => (number.as_i64().unwrap() + 1).into(),
        _ => "x".into(),
    }
}

#[test]
fn the_bundle_of_aws_is_accepted_and_its_uncovered_values_are_reported() {
    let manifest = verify_package_bundle(AWS, &package_keys().unwrap()).unwrap();
    assert_eq!(manifest.signed().signer().name(), "AWS EKS Anywhere packages (chart)");
    assert_eq!(manifest.signed().get().object()["metadata"]["name"], "v1-23-70");
    let sources = manifest.uncovered();
    assert!(!sources.is_empty());
    for uncovered in sources {
        assert_eq!(uncovered.reason(), UncoveredReason::Excluded);
        assert!(uncovered.path().ends_with(".source.repository"), "{uncovered}");
    }
    // SHA-256 of `"hello-eks-anywhere"`, with the quotes of JSON.
    assert_eq!(
        serde_json::to_value(&sources[0]).unwrap(),
        json!({
            "path": ".spec.packages[0].source.repository",
            "why": "excluded",
            "sha256": "ae126f34c5d202482b993211a21503554cfc9e89e579766db0e1f7ac242e48ab",
        })
    );
}

#[test]
fn every_changed_leaf_is_refused_or_reported() {
    assert_eq!(change_leaves(AWS), (52, 4));
    let Some(folder) = fixtures("eksa/signed") else { return };
    let large = std::fs::read(folder.join("v1-24-116-aws.yaml")).unwrap();
    assert_eq!(change_leaves(&large), (107, 11));
}

/// Changes each leaf in turn; returns how many changes were refused, and how many were accepted and reported.
fn change_leaves(text: &[u8]) -> (usize, usize) {
    let good = parse(text);
    let before = verify(&good).unwrap().into_uncovered();
    let mut all = Vec::new();
    leaves(&good, "", &mut all);
    let (mut refused, mut accepted) = (0, 0);
    for pointer in &all {
        let mut value = good.clone();
        let leaf = value.pointer_mut(pointer).unwrap();
        *leaf = changed(leaf);
        if pointer.ends_with("/source/repository") {
            let now = verify(&value).unwrap().into_uncovered();
            let differ: Vec<_> = now.iter().zip(&before).filter(|(now, was)| now != was).collect();
            assert_eq!((now.len(), differ.len()), (before.len(), 1), "{pointer}");
            accepted += 1;
        } else {
            verify(&value).unwrap_err();
            refused += 1;
        }
    }
    assert_eq!(accepted, before.len());
    println!("{refused} changed leaves refused, {accepted} accepted and reported");
    (refused, accepted)
}

#[test]
fn added_moved_and_removed_values_are_refused() {
    let good = parse(AWS);
    let changes: &[(&str, Change)] = &[
        ("another name", |v| v["metadata"]["name"] = "v1-23-71".into()),
        ("another namespace", |v| v["metadata"]["namespace"] = "default".into()),
        ("a label", |v| v["metadata"]["labels"] = json!({"a": "b"})),
        ("a finalizer", |v| v["metadata"]["finalizers"] = json!(["a/b"])),
        ("an owner", |v| {
            v["metadata"]["ownerReferences"] =
                json!([{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b"}]);
        }),
        ("a time of deletion", |v| v["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into()),
        ("the annotation includes", |v| {
            v["metadata"]["annotations"]["eksa.aws.com/includes"] = "".into();
        }),
        ("no exclusions", |v| {
            v["metadata"]["annotations"].as_object_mut().unwrap().remove("eksa.aws.com/excludes");
        }),
        ("more exclusions", |v| {
            v["metadata"]["annotations"]["eksa.aws.com/excludes"] =
                "LnNwZWMKLm1ldGFkYXRhLmFubm90YXRpb25zCg==".into();
        }),
        ("packages in another order", |v| v["spec"]["packages"].as_array_mut().unwrap().swap(0, 1)),
        ("a package less", |v| drop(v["spec"]["packages"].as_array_mut().unwrap().pop())),
        ("a package twice", |v| {
            let first = v["spec"]["packages"][0].clone();
            v["spec"]["packages"].as_array_mut().unwrap().push(first);
        }),
        ("no packages", |v| v["spec"]["packages"] = json!([])),
        ("for workload clusters", |v| v["spec"]["packages"][0]["workloadonly"] = true.into()),
        ("another image", |v| {
            v["spec"]["packages"][0]["source"]["versions"][0]["images"] =
                json!([{"repository": "a", "digest": "sha256:b"}]);
        }),
        ("a dependency", |v| {
            v["spec"]["packages"][0]["source"]["versions"][0]["dependencies"] = json!(["a"]);
        }),
    ];
    for (name, change) in changes {
        let mut value = good.clone();
        change(&mut value);
        let refused = refusal(verify(&value));
        assert!(matches!(refused, Refusal::BadSignature(_)), "{name}: {refused}");
    }
}

#[test]
fn unsigned_values_are_accepted_and_reported() {
    let good = parse(AWS);
    let before = verify(&good).unwrap().into_uncovered();
    let changes: &[(&str, UncoveredReason, Change)] = &[
        (".metadata.annotations[\"a/b\"]", UncoveredReason::Annotation, |v| {
            v["metadata"]["annotations"]["a/b"] = "x\ny".into();
        }),
        (".metadata.uid", UncoveredReason::Always, |v| v["metadata"]["uid"] = "x".into()),
        (".metadata.resourceVersion", UncoveredReason::Always, |v| {
            v["metadata"]["resourceVersion"] = "1".into();
        }),
        (".metadata.generation", UncoveredReason::Always, |v| v["metadata"]["generation"] = 1.into()),
        (".metadata.managedFields", UncoveredReason::Always, |v| {
            v["metadata"]["managedFields"] = json!([{"x": 1}]);
        }),
        (".metadata.creationTimestamp", UncoveredReason::Always, |v| {
            v["metadata"]["creationTimestamp"] = "2022-01-01T00:00:00Z".into();
        }),
        (".status", UncoveredReason::Always, |v| {
            v["status"] = json!({"state": "available", "unknown": 1});
        }),
        (".spec.minControllerVersion", UncoveredReason::Always, |v| {
            v["spec"]["minControllerVersion"] = "v9.0.0".into();
        }),
        (".spec.packages[0].source.registry", UncoveredReason::Excluded, |v| {
            v["spec"]["packages"][0]["source"]["registry"] = "evil.example".into();
        }),
        (".unknown", UncoveredReason::Unknown, |v| v["unknown"] = json!({"a": [1.5, "b"]})),
        (".spec.packages[0].extra", UncoveredReason::Unknown, |v| {
            v["spec"]["packages"][0]["extra"] = "x".into();
        }),
    ];
    for (path, reason, change) in changes {
        let mut value = good.clone();
        change(&mut value);
        let manifest = verify(&value).unwrap_or_else(|error| panic!("{path}: {error}"));
        let new: Vec<_> = manifest.uncovered().iter().filter(|value| !before.contains(value)).collect();
        let new: Vec<_> = new.iter().map(|value| (value.path(), value.reason())).collect();
        assert_eq!(new, [(*path, *reason)]);
        assert_eq!(manifest.signed().get().object(), verify(&good).unwrap().signed().get().object());
    }
}

#[test]
fn empty_values_have_the_same_hash_as_missing_ones() {
    let mut value = parse(AWS);
    value["spec"]["packages"][0]["workloadonly"] = false.into();
    value["spec"]["packages"][0]["source"]["versions"][0]["dependencies"] = json!([]);
    value["metadata"]["labels"] = json!({});
    value["status"] = Value::Null;
    assert!(verify(&value).is_ok());
    let json = serde_json::to_vec_pretty(&value).unwrap();
    assert!(verify_package_bundle(&json, &package_keys().unwrap()).is_ok());
    let crlf = yaml::write(&value).replace('\n', "\r\n");
    assert!(verify_package_bundle(crlf.as_bytes(), &package_keys().unwrap()).is_ok());
}

#[test]
fn the_public_test_key_is_refused() {
    assert!(matches!(refusal(verify_package_bundle(TEST_KEY, &package_keys().unwrap())), Refusal::TestKey));
}

#[test]
fn a_key_for_one_kind_is_refused_for_others() {
    let bundles = refusal(verify_package_bundle(AWS, &bundles_keys().unwrap()));
    assert!(matches!(bundles, Refusal::BadSignature(_)));
    assert!(matches!(refusal(verify_bundles(AWS, &package_keys().unwrap())), Refusal::Kind { .. }));
}

#[test]
fn the_shared_package_bundles_are_accepted_or_refused_as_documented() {
    let Some(folder) = fixtures("eksa/signed") else { return };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let trust = package_keys().unwrap();
    let text = read("v1-24-116-aws.yaml");
    let manifest = verify_package_bundle(&text, &trust).unwrap();
    let hash = manifest.signed().get().sha256();
    assert_eq!(manifest.signed().get().bytes().len(), 54_079);
    // `CNq31eevkaCyQXxfAbU3vf5qonscroZi35hsaNPghFA=` in hex.
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "08dab7d5e7af91a0b2417c5f01b537bdfe6aa27b1cae8662df986c68d3e08450");
    let tampered = refusal(verify_package_bundle(&read("v1-24-116-tampered.yaml"), &trust));
    assert!(matches!(tampered, Refusal::BadSignature(_)));
    let mut accepted = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".digest") {
            accepted += usize::from(verify_package_bundle(&read(&name), &trust).is_ok());
        }
    }
    assert_eq!(accepted, 1, "all except the one by AWS are signed with the test key or tampered with");
}
