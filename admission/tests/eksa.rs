//! The responses to EKS Anywhere's own manifests and bundles match those of its webhooks.

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use admission::eksa::{Verdict, bundle, package};
    use admission::values;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bundle_signer::eksa::package_keys;
    use gostd::{Limits, yaml};
    use package_api::{
        BundlePackage, BundleSource, Package, PackageBundle, PackageBundleSpec, PackageSpec, PackageStatus,
        SourceVersion,
    };
    use serde_json::{Value, json};

    const AWS: &str = include_str!("../../package-api/tests/data/v1-24-116-aws.yaml");
    const TAMPERED: &str = include_str!("../../package-api/tests/data/v1-24-116-tampered.yaml");
    const SCHEMA: &str = include_str!("data/package_webhook_schema.json");
    const KEYS: &str = "KEY";

    fn read(text: &str) -> Value {
        yaml::parse(text, &Limits::default()).unwrap()
    }

    fn bundle_verdict(object: &Value) -> Verdict {
        bundle::decide(object, &package_keys().unwrap(), KEYS)
    }

    fn message(verdict: Verdict) -> (u16, String) {
        let Verdict::Denied { code, message } = verdict else { panic!("allowed") };
        (code, message)
    }

    #[test]
    fn the_bundle_signed_by_aws_is_admitted_with_warnings_about_uncovered_values() {
        let Verdict::Allowed { warnings } = bundle_verdict(&read(AWS)) else { panic!("denied") };
        assert!(warnings.iter().any(|warning| warning.contains("repository")), "{warnings:?}");
        assert!(warnings.len() <= 2, "{warnings:?}");
    }

    /// The object as the API server sends it after `kubectl apply`.
    #[test]
    fn metadata_added_by_the_api_server_is_ignored() {
        let mut object = read(AWS);
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.insert("uid".to_owned(), json!("0b7f8c9e"));
        metadata.insert("resourceVersion".to_owned(), json!("77"));
        metadata.insert("generation".to_owned(), json!(1));
        metadata.insert("creationTimestamp".to_owned(), json!("2026-01-01T00:00:00Z"));
        metadata
            .insert("managedFields".to_owned(), json!([{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]));
        let last = format!("{}\n", read(AWS));
        metadata["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = json!(last);
        assert!(bundle_verdict(&object).is_allowed());
    }

    #[test]
    fn a_change_of_any_signed_value_rejects_the_bundle() {
        let object = read(AWS);
        let mut changed = 0;
        for pointer in [
            "/metadata/name",
            "/metadata/namespace",
            "/spec/packages/0/name",
            "/spec/packages/0/source/versions/0/digest",
            "/spec/packages/0/source/versions/0/name",
            "/spec/packages/0/source/versions/0/images/0/digest",
            "/spec/packages/3/source/versions/0/dependencies/0",
            "/spec/packages/5/source/versions/0/schema",
            "/metadata/annotations/eksa.aws.com~1signature",
        ] {
            let mut other = object.clone();
            let text = other
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_else(|| panic!("{pointer}"))
                .to_owned();
            // Another character of the same class, so that names stay valid names and base64 stays valid base64.
            let at = text
                .rfind(|c: char| c.is_ascii_digit())
                .or_else(|| text.rfind(|c: char| c.is_ascii_lowercase()))
                .unwrap();
            let letter = text.as_bytes()[at];
            let next = match letter {
                b'9' => '8',
                b'z' => 'y',
                letter => char::from(letter + 1),
            };
            let text = format!("{}{next}{}", &text[..at], &text[at + 1..]);
            *other.pointer_mut(pointer).unwrap() = json!(text);
            let (code, message) = message(bundle_verdict(&other));
            let name = other["metadata"]["name"].as_str().unwrap();
            let expected = format!(
                "package {name} failed validation with error: The signature is invalid for the configured public key: KEY"
            );
            assert_eq!((code, message), (400, expected), "{pointer}");
            changed += 1;
        }
        assert_eq!(changed, 9);
        assert!(!bundle_verdict(&read(TAMPERED)).is_allowed());
    }

    #[test]
    fn faults_of_a_bundle_have_the_texts_of_the_contract() {
        let with = |change: &dyn Fn(&mut Value)| {
            let mut object = read(AWS);
            change(&mut object);
            message(bundle_verdict(&object))
        };
        let begins = "package v1-24-116 failed validation with error: ";
        let annotation = |name: &'static str, value: Value| {
            with(&move |object| object["metadata"]["annotations"][name] = value.clone()).1
        };
        assert_eq!(
        with(&|object| object["metadata"]["name"] = json!("latest")),
        (400, "package latest failed validation with error: Invalid bundle name (should be in the format vx-xx-xxxx where x is a digit): latest".to_owned())
    );
        assert_eq!(annotation("eksa.aws.com/signature", json!("")), format!("{begins}Missing signature"));
        assert_eq!(
            annotation("eksa.aws.com/signature", json!("*")),
            format!("{begins}signature in metadata isn't base64 encoded")
        );
        let selector = STANDARD.encode("import \"x\"");
        let text = annotation("eksa.aws.com/excludes", json!(selector));
        assert!(text.starts_with(&format!("{begins}invalid selector(s) provided")), "{text}");
    }

    /// Upstream ignores a failing selector, and hashes a constant.
    #[test]
    fn a_failing_selector_rejects_the_bundle() {
        let mut object = read(AWS);
        object["metadata"]["annotations"]["eksa.aws.com/excludes"] =
            json!(STANDARD.encode(".spec.packages[].name[]"));
        assert!(!bundle_verdict(&object).is_allowed());
    }

    fn packed(schema: &str) -> String {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        writer.write_all(schema.as_bytes()).unwrap();
        STANDARD.encode(writer.finish().unwrap())
    }

    fn bundle_with(schema: Option<String>) -> PackageBundle {
        let version = SourceVersion {
            name: "0.1.1".to_owned(),
            digest: "sha256:00".to_owned(),
            schema,
            ..SourceVersion::default()
        };
        let source = BundleSource {
            repository: "hello".to_owned(),
            versions: vec![version],
            ..BundleSource::default()
        };
        let package =
            BundlePackage { name: "hello-eks-anywhere".to_owned(), source, ..BundlePackage::default() };
        PackageBundle::new(
            "v1-21-1001",
            PackageBundleSpec { packages: vec![package], ..PackageBundleSpec::default() },
        )
    }

    fn decided(object: &Package, bundle: &PackageBundle) -> Verdict {
        let input = package::DecisionInput {
            old: None,
            bundle: Ok(bundle),
            management: "mgmt",
            namesake: None,
            may_bypass: false,
        };
        package::decide(object, &input)
    }

    fn manifest(text: &str) -> Package {
        serde_json::from_value(read(text)).unwrap()
    }

    const VALID: &str = include_str!("../../package-api/tests/data/package_webhook_valid_config.yaml");
    const INVALID: &str = include_str!("../../package-api/tests/data/package_webhook_invalid_config.yaml");
    const TYPE: &str = include_str!("../../package-api/tests/data/package_webhook_invalid_type.yaml");
    const BEGINS: &str = "package my-hello-eks-anywhere failed validation with error: ";

    /// The schema of the fixture, without the one requirement that its valid manifest does not meet.
    fn schema() -> String {
        let mut schema: Value = serde_json::from_str(SCHEMA).unwrap();
        schema.as_object_mut().unwrap().remove("required");
        packed(&schema.to_string())
    }

    #[test]
    fn the_responses_to_upstream_s_packages_match_upstream() {
        let bundle = bundle_with(Some(schema()));
        assert_eq!(decided(&manifest(VALID), &bundle), Verdict::allowed());
        let (code, text) = message(decided(&manifest(INVALID), &bundle));
        let expected =
            "error validating configurations - (root): Additional property fakeConfig is not allowed\n";
        assert_eq!((code, text), (400, format!("{BEGINS}{expected}")));
        let (_, text) = message(decided(&manifest(TYPE), &bundle));
        let expected =
            "error validating configurations - title: Invalid type. Expected: string, given: integer\n";
        assert_eq!(text, format!("{BEGINS}{expected}"));
        let (_, text) = message(decided(&manifest(VALID), &bundle_with(Some(packed(SCHEMA)))));
        assert_eq!(text, format!("{BEGINS}error validating configurations - (root): nested is required\n"));
    }

    /// The controller would retry forever. A package that already has an invalid timeout can be labelled, and its finalizers
    /// can be removed.
    #[test]
    fn a_timeout_that_is_not_a_duration_is_rejected_when_it_is_set() {
        let bundle = bundle_with(Some(schema()));
        let with = |text: &str| {
            let mut object = manifest(VALID);
            let annotation = ("airlock.dev/timeout".to_owned(), text.to_owned());
            object.metadata.annotations = Some([annotation].into());
            object
        };
        assert_eq!(decided(&with("15m"), &bundle), Verdict::allowed());
        let (code, text) = message(decided(&with("soon"), &bundle));
        assert!(
            code == 400 && text.starts_with(&format!("{BEGINS}the annotation airlock.dev/timeout: ")),
            "{text}"
        );
        let after = |old: &Package| {
            let input = package::DecisionInput {
                old: Some(old),
                bundle: Ok(&bundle),
                management: "mgmt",
                namesake: None,
                may_bypass: false,
            };
            package::decide(&with("soon"), &input)
        };
        assert!(!after(&with("15m")).is_allowed());
        assert!(after(&with("soon")).is_allowed());
    }

    #[test]
    fn packages_that_are_not_in_the_bundle_produce_the_texts_of_the_contract() {
        let bundle = bundle_with(Some(schema()));
        let text = |change: &dyn Fn(&mut Package)| {
            let mut object = manifest(VALID);
            change(&mut object);
            message(decided(&object, &bundle)).1
        };
        assert_eq!(
            text(&|object| object.spec.package_name = "other".to_owned()),
            format!("{BEGINS}package not found in bundle (v1-21-1001): other")
        );
        assert_eq!(
            text(&|object| object.spec.package_version = Some("9".to_owned())),
            format!("{BEGINS}package version not found in bundle (v1-21-1001): hello-eks-anywhere @ 9")
        );
        assert_eq!(
            text(&|object| {
                let spec =
                    Some(PackageSpec { target_namespace: Some("a".to_owned()), ..PackageSpec::default() });
                object.status = Some(PackageStatus { spec, ..PackageStatus::default() });
                object.spec.target_namespace = Some("b".to_owned());
            }),
            "package my-hello-eks-anywhere failed validation with error: package my-hello-eks-anywhere targetNamespace is immutable"
        );
        assert!(
            text(&|object| object.spec.config = Some("a: [".to_owned()))
                .starts_with(&format!("{BEGINS}error converting package configurations to yaml "))
        );
        let input = package::DecisionInput {
            old: None,
            bundle: Err("not found"),
            management: "mgmt",
            namesake: None,
            may_bypass: false,
        };
        let unknown = package::decide(&manifest(VALID), &input);
        assert_eq!(message(unknown), (500, "getting PackageBundle: not found".to_owned()));
    }

    #[test]
    fn a_package_for_workload_clusters_is_rejected_for_the_management_cluster() {
        let mut bundle = bundle_with(Some(schema()));
        bundle.spec.packages[0].workload_only = Some(true);
        let mut object = manifest(VALID);
        assert!(decided(&object, &bundle).is_allowed());
        for namespace in ["eksa-packages-mgmt", "eksa-packages", "default"] {
            object.metadata.namespace = Some(namespace.to_owned());
            let (_, text) = message(decided(&object, &bundle));
            assert_eq!(
                text,
                format!(
                    "{BEGINS}package my-hello-eks-anywhere should only be installed on a workload cluster"
                )
            );
        }
    }

    #[test]
    fn a_release_name_of_another_package_of_the_cluster_is_rejected() {
        let bundle = bundle_with(Some(schema()));
        let mut namesake = manifest(VALID);
        namesake.metadata.namespace = Some("eksa-packages".to_owned());
        let mut object = manifest(VALID);
        object.metadata.namespace = Some("eksa-packages-mgmt".to_owned());
        let input = package::DecisionInput {
            old: None,
            bundle: Ok(&bundle),
            management: "mgmt",
            namesake: Some(&namesake),
            may_bypass: false,
        };
        let (code, text) = message(package::decide(&object, &input));
        let expected = "the release my-hello-eks-anywhere in cluster mgmt already belongs to the package \
                        eksa-packages/my-hello-eks-anywhere; choose another name";
        assert_eq!((code, text), (400, format!("{BEGINS}{expected}")));
        // Existing packages can be changed; the controller gives the release to the older one.
        let mut old = object.clone();
        old.spec.config = None;
        assert!(package::decide(&object, &package::DecisionInput { old: Some(&old), ..input }).is_allowed());
    }

    #[test]
    fn schemas_that_cannot_be_used_reject_every_package() {
        let text = |schema: Option<&str>| {
            message(decided(&manifest(VALID), &bundle_with(schema.map(str::to_owned)))).1.replace(BEGINS, "")
        };
        assert!(text(None).starts_with("error when uncompressing configurations"));
        assert!(text(Some("!")).starts_with("error decoding configurations"));
        assert!(text(Some(&STANDARD.encode("plain"))).starts_with("error when uncompressing configurations"));
        assert!(text(Some(&STANDARD.encode([0x1f, 0x8b, 8, 0]))).starts_with("error reading configurations"));
        assert!(text(Some(&packed("{"))).starts_with("error compiling schema"));
        assert!(text(Some(&packed(r#"{"type": 5}"#))).starts_with("error compiling schema"));
        assert!(
            text(Some(&packed(r#"{"$ref": "https://elsewhere.example/x"}"#)))
                .starts_with("error compiling schema")
        );
        let bomb = packed(&format!("\"{}\"", "a".repeat(9 << 20)));
        assert!(text(Some(&bomb)).starts_with("error reading configurations"));
    }

    #[test]
    fn the_annotation_skips_the_checks_only_for_users_with_the_permission() {
        let bundle = bundle_with(Some(schema()));
        let mut object = manifest(INVALID);
        object.metadata.annotations =
            Some([("anywhere.eks.aws.com/internal".to_owned(), "true".to_owned())].into());
        assert!(!decided(&object, &bundle).is_allowed());
        let input = package::DecisionInput {
            old: None,
            bundle: Err("none"),
            management: "mgmt",
            namesake: None,
            may_bypass: true,
        };
        assert!(package::decide(&object, &input).is_allowed());
        object.metadata.annotations = None;
        assert!(!package::decide(&object, &input).is_allowed());
    }

    #[test]
    fn an_edit_that_does_not_change_the_spec_is_admitted_without_a_bundle() {
        let old = manifest(INVALID);
        let mut new = old.clone();
        new.metadata.finalizers = Some(vec!["airlock.dev/uninstall".to_owned()]);
        let input = package::DecisionInput {
            old: Some(&old),
            bundle: Err("none"),
            management: "mgmt",
            namesake: None,
            may_bypass: false,
        };
        assert!(package::decide(&new, &input).is_allowed());
        new.spec.config = None;
        assert!(!package::decide(&new, &input).is_allowed());
    }

    /// Messages of gojsonschema 1.2.0 that only summarize other messages. They are omitted here.
    const SUMMARIES: [&str; 3] = [
        "a: Must validate all the schemas (allOf)",
        "a: Must validate \"then\" as \"if\" was valid",
        "a.0: Invalid type. Expected: string, given: integer",
    ];

    #[test]
    fn invalid_values_produce_the_messages_of_gojsonschema() {
        let cases: Vec<Value> = serde_json::from_str(include_str!("data/gojsonschema.json")).unwrap();
        let mut summaries = 0;
        for case in &cases {
            let mut expected: Vec<String> = serde_json::from_value(case["faults"].clone()).unwrap();
            let before = expected.len();
            expected.retain(|line| !SUMMARIES.contains(&line.as_str()));
            summaries += before - expected.len();
            let config = case["values"].to_string();
            let mut found = match values::check(&packed(&case["schema"].to_string()), Some(&config)) {
                Ok(_) => Vec::new(),
                Err(values::Error::Invalid(faults)) => faults,
                Err(error) => panic!("{case}: {error}"),
            };
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{case}");
        }
        assert_eq!((cases.len(), summaries), (51, 3));
    }

    #[test]
    fn every_schema_that_aws_published_can_be_used() {
        let bundle: PackageBundle = serde_json::from_value(read(AWS)).unwrap();
        let mut used = 0;
        for package in &bundle.spec.packages {
            for version in &package.source.versions {
                let schema = version.schema.as_deref().unwrap();
                match values::check(schema, None) {
                    Ok(_) | Err(values::Error::Invalid(_)) => used += 1,
                    Err(error) => panic!("{}: {}", package.name, error.upstream_message()),
                }
            }
        }
        assert_eq!(used, 11);
        let harbor = bundle.spec.package("harbor").and_then(|package| package.version(None)).unwrap();
        let schema = harbor.schema.as_deref().unwrap();
        let Err(values::Error::Invalid(faults)) = values::check(schema, Some("unknown: 1")) else {
            panic!("valid")
        };
        assert!(faults.contains(&"(root): secretKey is required".to_owned()), "{faults:?}");
        assert!(
            faults.contains(&"(root): Additional property unknown is not allowed".to_owned()),
            "{faults:?}"
        );
        assert!(values::check(schema, Some("secretKey: use-a-secret-key")).is_ok());
    }
}
