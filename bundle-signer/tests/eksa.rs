//! Manifests of EKS Anywhere: those that AWS signed are accepted, and any change to the part that AWS's signature covers
//! is refused. The manifests in `data` are from AWS, under Apache-2.0.

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use bundle_signer::eksa::{
        Coverage, Manifest, Refusal, Uncovered, UncoveredReason, bundles_keys, distro_keys, package_keys,
        sign_bundle, verify_bundles, verify_package_bundle, verify_release,
    };
    use bundle_signer::trust::ContentKind;
    use bundle_signer::{Error, PrivateKey, TrustFile};
    use gostd::{Limits, yaml};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// Signed by AWS's key: `api/testdata/prod_bundle.yaml.signed` in the history of aws/eks-anywhere-packages.
    const AWS: &[u8] = include_bytes!("data/v1-23-70.yaml");
    /// Signed by the public test key: `pkg/signature/testdata` of the same.
    const TEST_KEY: &[u8] = include_bytes!("data/test-key.yaml");

    type Change = fn(&mut Value);

    fn parse(text: &[u8]) -> Value {
        yaml::parse(std::str::from_utf8(text).unwrap(), &Limits::default()).unwrap()
    }

    fn verify(value: &Value) -> Result<Manifest, Error> {
        verify_package_bundle(yaml::write(value).as_bytes(), &package_keys().unwrap())
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
        assert!(matches!(
            refusal(verify_package_bundle(TEST_KEY, &package_keys().unwrap())),
            Refusal::TestKey
        ));
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
    /// `pkg/validations/cluster_test.go` of the same.
    const NAMED_BUNDLES: &str = "\
apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: Bundles
metadata:
  annotations:
    anywhere.eks.amazonaws.com/signature: MEQCICjq1rZmhH0FYOlruZmh6QADCrr5ccrN6hE7Lu0vaXGrAiBhV+kfh64sqLblBt98DvIfHMerEqJVhHzpGy1YJthZQw==
  name: bundles-1
spec:
  number: 1
  versionsBundles:
  - kubeVersion: \"1.31\"
    endOfStandardSupport: \"2026-12-31\"
    eksD:
      name: \"test\"
      channel: \"1-31\"
      manifestUrl: \"https://distro.eks.amazonaws.com/kubernetes-1-31/kubernetes-1-31-eks-1.yaml\"
";
    const RELEASE: &str = "\
apiVersion: distro.eks.amazonaws.com/v1alpha1
kind: Release
metadata:
  name: kubernetes-1-28-46
  namespace: eksa-system
spec:
  channel: 1-28
  number: 46
status:
  components:
  - name: metrics-server
    gitTag: v0.7.2
    assets:
    - name: metrics-server-image
";

    fn bundles(value: &Value) -> Result<Manifest, Error> {
        verify_bundles(yaml::write(value).as_bytes(), &bundles_keys().unwrap())
    }

    #[test]
    fn the_bundles_manifests_of_aws_are_accepted() {
        let manifest = verify_bundles(BUNDLES.as_bytes(), &bundles_keys().unwrap()).unwrap();
        let canonical = r#"{"apiVersion":"anywhere.eks.amazonaws.com/v1alpha1","kind":"Bundles","metadata":{},"spec":{"cliMaxVersion":"","cliMinVersion":"","number":1,"versionsBundles":[{"eksD":{"ami":{"bottlerocket":{}},"containerd":{},"crictl":{},"etcdadm":{},"imagebuilder":{},"kindNode":{},"ova":{"bottlerocket":{}},"raw":{"bottlerocket":{}}},"kubeVersion":"1.31"}]}}"#;
        assert_eq!(std::str::from_utf8(manifest.signed().get().bytes()).unwrap(), canonical);
        let uncovered: Vec<_> = manifest.uncovered().iter().map(Uncovered::path).collect();
        assert_eq!(uncovered, [r#".metadata.annotations["distro.eks.amazonaws.com/signature-1-28"]"#]);
        let manifest = verify_bundles(NAMED_BUNDLES.as_bytes(), &bundles_keys().unwrap()).unwrap();
        let uncovered: Vec<_> = manifest.uncovered().iter().map(Uncovered::path).collect();
        assert_eq!(uncovered, [".spec.versionsBundles[0].eksD.manifestUrl"]);
    }

    #[test]
    fn every_change_in_bundles_is_refused_or_reported() {
        let good = parse(NAMED_BUNDLES.as_bytes());
        let first = "/spec/versionsBundles/0";
        for (pointer, value) in [
            ("/metadata/name", json!("bundles-2")),
            ("/spec/number", json!(2)),
            ("/spec/cliMinVersion", json!("v0.1.0")),
            (&format!("{first}/kubeVersion"), json!("1.32")),
            (&format!("{first}/endOfStandardSupport"), json!("2027-12-31")),
            (&format!("{first}/eksD/name"), json!("a<b>&c")),
            (&format!("{first}/eksD/kindNode"), json!({"uri": "x"})),
            (&format!("{first}/eksD/ova"), json!({"bottlerocket": {"arch": ["amd64"]}})),
            (&format!("{first}/eksD/containerd"), json!({"sha256": "x"})),
            (&format!("{first}/aws"), json!({})),
        ] {
            let mut changed = good.clone();
            set(&mut changed, pointer, value);
            let refused = refusal(bundles(&changed));
            assert!(matches!(refused, Refusal::BadSignature(_)), "{pointer}: {refused}");
        }
        for member in [
            "bootstrap",
            "bottlerocketBootstrapContainers",
            "bottlerocketHostContainers",
            "certManager",
            "cilium",
            "cloudStack",
            "clusterAPI",
            "controlPlane",
            "docker",
            "eksa",
            "eksD/components",
            "eksD/manifestUrl",
            "etcdadmBootstrap",
            "etcdadmController",
            "flux",
            "haproxy",
            "kindnetd",
            "nutanix",
            "packageController",
            "snow",
            "tinkerbell",
            "upgrader",
            "vSphere",
        ] {
            let mut changed = good.clone();
            set(&mut changed, &format!("{first}/{member}"), json!("other"));
            let path = format!(".spec.versionsBundles[0].{}", member.replace('/', "."));
            let uncovered = bundles(&changed).unwrap().into_uncovered();
            let is_reported =
                |value: &Uncovered| value.path() == path && value.reason() == UncoveredReason::Always;
            assert!(uncovered.iter().any(is_reported), "{member}");
        }
        let mut empty = good.clone();
        set(&mut empty, "/spec/versionsBundles", Value::Null);
        assert!(matches!(refusal(bundles(&empty)), Refusal::SelectorMismatch { .. }));
    }

    fn set(value: &mut Value, pointer: &str, new: Value) {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        value.pointer_mut(parent).unwrap()[name] = new;
    }

    #[test]
    fn the_release_of_aws_is_accepted_and_none_of_its_components_is_covered() {
        let trust = distro_keys().unwrap();
        let verify = |release: &str| verify_release(release.as_bytes(), BUNDLES.as_bytes(), &trust);
        let manifest = verify(RELEASE).unwrap();
        let canonical = r#"{"apiVersion":"distro.eks.amazonaws.com/v1alpha1","kind":"Release","metadata":{"name":"kubernetes-1-28-46"},"spec":{"channel":"1-28","number":46}}"#;
        assert_eq!(std::str::from_utf8(manifest.signed().get().bytes()).unwrap(), canonical);
        let uncovered = |manifest: &Manifest| {
            manifest.uncovered().iter().map(|value| value.path().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(uncovered(&manifest), [".metadata.namespace", ".status"]);
        assert!(verify(&RELEASE.replace("metrics-server-image", "evil")).is_ok());
        for (from, to) in [("46\n  namespace", "47\n  namespace"), ("number: 46", "number: 47")] {
            assert!(RELEASE.contains(from));
            assert!(matches!(refusal(verify(&RELEASE.replace(from, to))), Refusal::BadSignature(_)));
        }
        let other = refusal(verify(&RELEASE.replace("channel: 1-28", "channel: 1-29")));
        assert!(matches!(other, Refusal::MissingSignature(name) if name.ends_with("signature-1-29")));
    }

    #[test]
    fn the_shared_manifests_are_parsed_although_their_signatures_are_not_published() {
        let Some(folder) = fixtures("eksa/manifests") else { return };
        let verify = |name: &str| {
            refusal(verify_bundles(&std::fs::read(folder.join(name)).unwrap(), &bundles_keys().unwrap()))
        };
        assert!(matches!(verify("bundles-main.yaml"), Refusal::MissingSignature(_)));
        // It has `cloudStack` twice in each version.
        assert!(matches!(verify("bundles-small.yaml"), Refusal::Yaml(_)));
        let folder = fixtures("eksd").unwrap();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read(&path).unwrap();
            let refused = refusal(verify_release(&text, BUNDLES.as_bytes(), &distro_keys().unwrap()));
            assert!(matches!(refused, Refusal::MissingSignature(_)), "{}: {refused}", path.display());
        }
    }

    fn own() -> (PrivateKey, TrustFile) {
        let key = PrivateKey::generate().unwrap();
        let trust = TrustFile::new(vec![("own".into(), key.public_key().unwrap())])
            .unwrap()
            .limited_to(&[ContentKind::PackageBundle]);
        (key, trust)
    }

    #[test]
    fn our_own_signature_covers_the_source_by_default() {
        let (key, trust) = own();
        let full = sign_bundle(AWS, Coverage::Full, &key).unwrap();
        assert!(full.uncovered().is_empty());
        let like_aws = sign_bundle(AWS, Coverage::WithoutSource, &key).unwrap();
        assert_eq!(
            like_aws.uncovered(),
            verify_package_bundle(AWS, &package_keys().unwrap()).unwrap().uncovered()
        );
        let moved = |text: &str| text.replace("repository: metallb/metallb", "repository: evil/metallb");
        assert_ne!(moved(full.yaml()), full.yaml());
        assert!(verify_package_bundle(full.yaml().as_bytes(), &trust).is_ok());
        assert!(verify_package_bundle(moved(full.yaml()).as_bytes(), &trust).is_err());
        assert!(verify_package_bundle(moved(like_aws.yaml()).as_bytes(), &trust).is_ok());
        assert!(verify_package_bundle(full.yaml().as_bytes(), &package_keys().unwrap()).is_err());
        // Signed again, it has only the new signature, over the same bytes.
        let again = sign_bundle(like_aws.yaml().as_bytes(), Coverage::Full, &key).unwrap();
        let bytes = |text: &str| {
            verify_package_bundle(text.as_bytes(), &trust).unwrap().signed().get().bytes().to_vec()
        };
        assert_eq!(bytes(again.yaml()), bytes(full.yaml()));
    }

    #[test]
    fn a_bundle_with_values_that_no_signature_covers_is_not_signed() {
        let (key, _) = own();
        let mut value = parse(AWS);
        value["spec"]["packages"][0]["extra"] = "x".into();
        let refused = refusal(sign_bundle(yaml::write(&value).as_bytes(), Coverage::Full, &key));
        assert!(matches!(refused, Refusal::UnknownKey(path) if path == ".spec.packages[0].extra"));
        assert!(matches!(
            refusal(sign_bundle(BUNDLES.as_bytes(), Coverage::Full, &key)),
            Refusal::Kind { .. }
        ));
    }

    #[test]
    fn status_and_generated_fields_are_dropped_before_signing() {
        let (key, _) = own();
        let mut value = parse(AWS);
        value["status"] = json!({"state": "available"});
        value["metadata"]["uid"] = "x".into();
        value["metadata"]["creationTimestamp"] = "2022-01-01T00:00:00Z".into();
        let signed = sign_bundle(yaml::write(&value).as_bytes(), Coverage::Full, &key).unwrap();
        assert!(signed.uncovered().is_empty());
        assert!(!signed.yaml().contains("uid") && !signed.yaml().contains("status"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(verify_package_bundle(&bytes, &package_keys().unwrap()).is_err());
        }

        #[test]
        fn a_changed_byte_of_the_text_never_panics_and_never_changes_the_covered_part(
            at in 0..AWS.len(), byte in any::<u8>(),
        ) {
            let trust = package_keys().unwrap();
            let mut text = AWS.to_vec();
            text[at] = byte;
            if let Ok(manifest) = verify_package_bundle(&text, &trust) {
                let good = verify_package_bundle(AWS, &trust).unwrap();
                prop_assert_eq!(manifest.signed().get().bytes(), good.signed().get().bytes());
            }
        }

        #[test]
        fn any_printable_text_can_be_signed_and_verified(texts in proptest::collection::vec("[ -~]{0,120}", 6)) {
            let (key, trust) = own();
            let draft = json!({
                "apiVersion": "packages.eks.amazonaws.com/v1alpha1", "kind": "PackageBundle",
                "metadata": {"name": texts[0], "labels": {&texts[1]: texts[2]}},
                "spec": {"packages": [{"name": texts[3], "source": {"repository": texts[4], "versions": [
                    {"name": texts[5], "digest": "sha256:0"}]}}]},
            });
            let signed = sign_bundle(&serde_json::to_vec(&draft).unwrap(), Coverage::Full, &key).unwrap();
            prop_assert!(verify_package_bundle(signed.yaml().as_bytes(), &trust).is_ok());
        }
    }
}
