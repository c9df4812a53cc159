//! EKS Anywhere's own manifests and bundles, answered as its webhooks answer.

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
    fn the_bundle_that_aws_signed_passes_and_what_is_not_covered_is_told() {
        let Verdict::Allowed { warnings } = bundle_verdict(&read(AWS)) else { panic!("denied") };
        assert!(warnings.iter().any(|warning| warning.contains("repository")), "{warnings:?}");
        assert!(warnings.len() <= 2, "{warnings:?}");
    }

    /// As the API server sends what `kubectl apply` gave it.
    #[test]
    fn what_the_api_server_adds_does_not_matter() {
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
    fn every_signed_leaf_that_changes_refuses_the_bundle() {
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
            // Another letter of the same sort, so that names stay names and base64 stays base64.
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
    fn faults_of_a_bundle_are_told_in_the_contract_s_words() {
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
        let told = annotation("eksa.aws.com/excludes", json!(selector));
        assert!(told.starts_with(&format!("{begins}invalid selector(s) provided")), "{told}");
    }

    /// Upstream ignores that a selector fails, and hashes a constant.
    #[test]
    fn a_selector_that_does_not_fit_refuses_the_bundle() {
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

    fn offered(schema: Option<String>) -> PackageBundle {
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
        let facts = package::Facts {
            old: None,
            bundle: Ok(bundle),
            management: "mgmt",
            namesake: None,
            may_bypass: false,
        };
        package::decide(object, &facts)
    }

    fn manifest(text: &str) -> Package {
        serde_json::from_value(read(text)).unwrap()
    }

    const VALID: &str = include_str!("../../package-api/tests/data/package_webhook_valid_config.yaml");
    const INVALID: &str = include_str!("../../package-api/tests/data/package_webhook_invalid_config.yaml");
    const TYPE: &str = include_str!("../../package-api/tests/data/package_webhook_invalid_type.yaml");
    const BEGINS: &str = "package my-hello-eks-anywhere failed validation with error: ";

    /// The fixture's schema without the one demand that its valid manifest does not meet.
    fn schema() -> String {
        let mut schema: Value = serde_json::from_str(SCHEMA).unwrap();
        schema.as_object_mut().unwrap().remove("required");
        packed(&schema.to_string())
    }

    #[test]
    fn upstream_s_packages_are_answered_as_upstream_answers() {
        let bundle = offered(Some(schema()));
        assert_eq!(decided(&manifest(VALID), &bundle), Verdict::allowed());
        let (code, told) = message(decided(&manifest(INVALID), &bundle));
        let expected =
            "error validating configurations - (root): Additional property fakeConfig is not allowed\n";
        assert_eq!((code, told), (400, format!("{BEGINS}{expected}")));
        let (_, told) = message(decided(&manifest(TYPE), &bundle));
        let expected =
            "error validating configurations - title: Invalid type. Expected: string, given: integer\n";
        assert_eq!(told, format!("{BEGINS}{expected}"));
        let (_, told) = message(decided(&manifest(VALID), &offered(Some(packed(SCHEMA)))));
        assert_eq!(told, format!("{BEGINS}error validating configurations - (root): nested is required\n"));
    }

    /// Else it would be tried for good; but what has it already can be labelled, and its finalizers can go.
    #[test]
    fn a_timeout_that_is_no_duration_is_refused_when_it_is_set() {
        let bundle = offered(Some(schema()));
        let with = |text: &str| {
            let mut object = manifest(VALID);
            let annotation = ("airlock.dev/timeout".to_owned(), text.to_owned());
            object.metadata.annotations = Some([annotation].into());
            object
        };
        assert_eq!(decided(&with("15m"), &bundle), Verdict::allowed());
        let (code, told) = message(decided(&with("soon"), &bundle));
        assert!(
            code == 400 && told.starts_with(&format!("{BEGINS}the annotation airlock.dev/timeout: ")),
            "{told}"
        );
        let after = |old: &Package| {
            let facts = package::Facts {
                old: Some(old),
                bundle: Ok(&bundle),
                management: "mgmt",
                namesake: None,
                may_bypass: false,
            };
            package::decide(&with("soon"), &facts)
        };
        assert!(!after(&with("15m")).is_allowed());
        assert!(after(&with("soon")).is_allowed());
    }

    #[test]
    fn what_the_bundle_does_not_have_is_told_in_the_contract_s_words() {
        let bundle = offered(Some(schema()));
        let told = |change: &dyn Fn(&mut Package)| {
            let mut object = manifest(VALID);
            change(&mut object);
            message(decided(&object, &bundle)).1
        };
        assert_eq!(
            told(&|object| object.spec.package_name = "other".to_owned()),
            format!("{BEGINS}package not found in bundle (v1-21-1001): other")
        );
        assert_eq!(
            told(&|object| object.spec.package_version = Some("9".to_owned())),
            format!("{BEGINS}package version not found in bundle (v1-21-1001): hello-eks-anywhere @ 9")
        );
        assert_eq!(
            told(&|object| {
                let spec =
                    Some(PackageSpec { target_namespace: Some("a".to_owned()), ..PackageSpec::default() });
                object.status = Some(PackageStatus { spec, ..PackageStatus::default() });
                object.spec.target_namespace = Some("b".to_owned());
            }),
            "package my-hello-eks-anywhere failed validation with error: package my-hello-eks-anywhere targetNamespace is immutable"
        );
        assert!(
            told(&|object| object.spec.config = Some("a: [".to_owned()))
                .starts_with(&format!("{BEGINS}error converting package configurations to yaml "))
        );
        let facts = package::Facts {
            old: None,
            bundle: Err("not found"),
            management: "mgmt",
            namesake: None,
            may_bypass: false,
        };
        let unknown = package::decide(&manifest(VALID), &facts);
        assert_eq!(message(unknown), (500, "getting PackageBundle: not found".to_owned()));
    }

    #[test]
    fn a_package_for_workload_clusters_stays_off_the_one_that_manages_them() {
        let mut bundle = offered(Some(schema()));
        bundle.spec.packages[0].workload_only = Some(true);
        let mut object = manifest(VALID);
        assert!(decided(&object, &bundle).is_allowed());
        for namespace in ["eksa-packages-mgmt", "eksa-packages", "default"] {
            object.metadata.namespace = Some(namespace.to_owned());
            let (_, told) = message(decided(&object, &bundle));
            assert_eq!(
                told,
                format!(
                    "{BEGINS}package my-hello-eks-anywhere should only be installed on a workload cluster"
                )
            );
        }
    }

    #[test]
    fn a_release_that_another_package_of_the_cluster_has_is_not_given_twice() {
        let bundle = offered(Some(schema()));
        let mut namesake = manifest(VALID);
        namesake.metadata.namespace = Some("eksa-packages".to_owned());
        let mut object = manifest(VALID);
        object.metadata.namespace = Some("eksa-packages-mgmt".to_owned());
        let facts = package::Facts {
            old: None,
            bundle: Ok(&bundle),
            management: "mgmt",
            namesake: Some(&namesake),
            may_bypass: false,
        };
        let (code, told) = message(package::decide(&object, &facts));
        let expected = "the release my-hello-eks-anywhere of cluster mgmt is that of package \
                        eksa-packages/my-hello-eks-anywhere already; choose another name";
        assert_eq!((code, told), (400, format!("{BEGINS}{expected}")));
        // Those that are there already can be changed; the controller lets the older one have it.
        let mut old = object.clone();
        old.spec.config = None;
        assert!(package::decide(&object, &package::Facts { old: Some(&old), ..facts }).is_allowed());
    }

    #[test]
    fn schemas_that_cannot_be_used_let_nothing_pass() {
        let told = |schema: Option<&str>| {
            message(decided(&manifest(VALID), &offered(schema.map(str::to_owned)))).1.replace(BEGINS, "")
        };
        assert!(told(None).starts_with("error when uncompressing configurations"));
        assert!(told(Some("!")).starts_with("error decoding configurations"));
        assert!(told(Some(&STANDARD.encode("plain"))).starts_with("error when uncompressing configurations"));
        assert!(told(Some(&STANDARD.encode([0x1f, 0x8b, 8, 0]))).starts_with("error reading configurations"));
        assert!(told(Some(&packed("{"))).starts_with("error compiling schema"));
        assert!(told(Some(&packed(r#"{"type": 5}"#))).starts_with("error compiling schema"));
        assert!(
            told(Some(&packed(r#"{"$ref": "https://elsewhere.example/x"}"#)))
                .starts_with("error compiling schema")
        );
        let bomb = packed(&format!("\"{}\"", "a".repeat(9 << 20)));
        assert!(told(Some(&bomb)).starts_with("error reading configurations"));
    }

    #[test]
    fn the_annotation_lets_pass_only_whom_the_cluster_s_rights_let_pass() {
        let bundle = offered(Some(schema()));
        let mut object = manifest(INVALID);
        object.metadata.annotations =
            Some([("anywhere.eks.aws.com/internal".to_owned(), "true".to_owned())].into());
        assert!(!decided(&object, &bundle).is_allowed());
        let facts = package::Facts {
            old: None,
            bundle: Err("none"),
            management: "mgmt",
            namesake: None,
            may_bypass: true,
        };
        assert!(package::decide(&object, &facts).is_allowed());
        object.metadata.annotations = None;
        assert!(!package::decide(&object, &facts).is_allowed());
    }

    #[test]
    fn an_edit_that_leaves_the_spec_alone_passes_though_the_bundle_is_gone() {
        let old = manifest(INVALID);
        let mut new = old.clone();
        new.metadata.finalizers = Some(vec!["airlock.dev/uninstall".to_owned()]);
        let facts = package::Facts {
            old: Some(&old),
            bundle: Err("none"),
            management: "mgmt",
            namesake: None,
            may_bypass: false,
        };
        assert!(package::decide(&new, &facts).is_allowed());
        new.spec.config = None;
        assert!(!package::decide(&new, &facts).is_allowed());
    }

    /// What gojsonschema 1.2.0 said of these, and what only sums up other lines, which ours leaves out.
    const SUMMARIES: [&str; 3] = [
        "a: Must validate all the schemas (allOf)",
        "a: Must validate \"then\" as \"if\" was valid",
        "a.0: Invalid type. Expected: string, given: integer",
    ];

    #[test]
    fn values_are_refused_in_the_words_of_gojsonschema() {
        let cases: Vec<Value> = serde_json::from_str(include_str!("data/gojsonschema.json")).unwrap();
        let mut summed_up = 0;
        for case in &cases {
            let mut expected: Vec<String> = serde_json::from_value(case["faults"].clone()).unwrap();
            let before = expected.len();
            expected.retain(|line| !SUMMARIES.contains(&line.as_str()));
            summed_up += before - expected.len();
            let config = case["values"].to_string();
            let mut found = match values::check(&packed(&case["schema"].to_string()), Some(&config)) {
                Ok(_) => Vec::new(),
                Err(values::Error::Unfit(faults)) => faults,
                Err(error) => panic!("{case}: {error}"),
            };
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{case}");
        }
        assert_eq!((cases.len(), summed_up), (51, 3));
    }

    #[test]
    fn every_schema_that_aws_published_can_be_used() {
        let bundle: PackageBundle = serde_json::from_value(read(AWS)).unwrap();
        let mut used = 0;
        for package in &bundle.spec.packages {
            for version in &package.source.versions {
                let schema = version.schema.as_deref().unwrap();
                match values::check(schema, None) {
                    Ok(_) | Err(values::Error::Unfit(_)) => used += 1,
                    Err(error) => panic!("{}: {}", package.name, error.words()),
                }
            }
        }
        assert_eq!(used, 11);
        let harbor = bundle.spec.package("harbor").and_then(|package| package.version(None)).unwrap();
        let schema = harbor.schema.as_deref().unwrap();
        let Err(values::Error::Unfit(faults)) = values::check(schema, Some("unknown: 1")) else {
            panic!("fits")
        };
        assert!(faults.contains(&"(root): secretKey is required".to_owned()), "{faults:?}");
        assert!(
            faults.contains(&"(root): Additional property unknown is not allowed".to_owned()),
            "{faults:?}"
        );
        assert!(values::check(schema, Some("secretKey: use-a-secret-key")).is_ok());
    }
}
