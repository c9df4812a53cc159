//! Manifests of EKS Anywhere pass through the types without loss.

#[cfg(test)]
mod tests {
    use gostd::{Limits, yaml};
    use package_api::{
        ControllerState, Package, PackageBundle, PackageBundleController, PackageState, PackageStatus,
        TrustPolicy,
    };
    use proptest::prelude::*;
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    const PACKAGES: &[(&str, &str)] = &[
        ("autoscaler_package", include_str!("data/autoscaler_package.yaml")),
        ("emissary_package", include_str!("data/emissary_package.yaml")),
        ("flux", include_str!("data/flux.yaml")),
        ("harbor", include_str!("data/harbor.yaml")),
        ("metrics_server_package", include_str!("data/metrics_server_package.yaml")),
        ("package_webhook_invalid_config", include_str!("data/package_webhook_invalid_config.yaml")),
        ("package_webhook_invalid_type", include_str!("data/package_webhook_invalid_type.yaml")),
        ("package_webhook_valid_config", include_str!("data/package_webhook_valid_config.yaml")),
        ("prometheus_package_deployment", include_str!("data/prometheus_package_deployment.yaml")),
    ];
    const CONTROLLERS: &[(&str, &str)] = &[
        ("package_webhook_bundle_controller", include_str!("data/package_webhook_bundle_controller.yaml")),
        ("packagebundlecontroller", include_str!("data/packagebundlecontroller.yaml")),
    ];
    const BUNDLES: &[(&str, &str)] = &[
        ("bundle_one", include_str!("data/bundle_one.yaml.signed")),
        ("bundle_two", include_str!("data/bundle_two.yaml.signed")),
        ("v1-24-116-aws", include_str!("data/v1-24-116-aws.yaml")),
        ("v1-24-116-tampered", include_str!("data/v1-24-116-tampered.yaml")),
        ("packagebundle_valid", include_str!("data/packagebundle_valid.yaml.signed")),
        (
            "packagebundle_minControllerVersion",
            include_str!("data/packagebundle_minControllerVersion.yaml.signed"),
        ),
    ];

    /// The manifest, with the template variables of upstream's tests replaced.
    fn read(text: &str) -> Value {
        let text = text.replace("{{.targetNamespace}}", "target").replace("{{.clusterName}}", "billy");
        yaml::parse(&text, &Limits::default()).unwrap()
    }

    /// Removes members that are null, which mean the same as absent ones.
    fn without_nulls(mut value: Value) -> Value {
        match &mut value {
            Value::Object(table) => {
                table.retain(|_, value| !value.is_null());
                for value in table.values_mut() {
                    *value = without_nulls(value.take());
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| *item = without_nulls(item.take())),
            _ => {}
        }
        value
    }

    fn assert_kept<T: Serialize + DeserializeOwned>(name: &str, manifest: &Value) {
        let typed: T =
            serde_json::from_value(manifest.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(serde_json::to_value(&typed).unwrap(), without_nulls(manifest.clone()), "{name}");
    }

    #[test]
    fn manifests_pass_through_the_types_unchanged() {
        for (name, text) in PACKAGES {
            assert_kept::<Package>(name, &read(text));
        }
        for (name, text) in CONTROLLERS {
            assert_kept::<PackageBundleController>(name, &read(text));
        }
        for (name, text) in BUNDLES {
            assert_kept::<PackageBundle>(name, &read(text));
        }
    }

    #[test]
    fn a_full_status_passes_through_unchanged() {
        let package = json!({
            "apiVersion": "packages.eks.amazonaws.com/v1alpha1", "kind": "Package",
            "metadata": {"name": "a", "namespace": "eksa-packages-billy", "annotations": {"x": "y"}, "generation": 3},
            "spec": {"packageName": "harbor", "packageVersion": "latest", "config": "a: 1\n", "targetNamespace": "h"},
            "status": {
                "source": {"registry": "", "repository": "harbor/harbor-helm", "version": "1", "digest": "sha256:00"},
                "currentVersion": "1", "targetVersion": "1 (latest)", "state": "installing dependencies",
                "detail": "Waiting for dependencies: b", "upgradesAvailable": [{"version": "2", "tag": "2"}],
                "spec": {"packageName": "harbor"}, "observedGeneration": 3,
                "conditions": [{
                    "type": "Ready", "status": "False", "reason": "Waiting", "message": "b is not installed",
                    "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 3,
                }],
            },
        });
        assert_kept::<Package>("package", &package);
        let controller = json!({
            "apiVersion": "packages.eks.amazonaws.com/v1alpha1", "kind": "PackageBundleController",
            "metadata": {"name": "billy", "namespace": "eksa-packages"},
            "spec": {
                "activeBundle": "v1-24-116", "defaultRegistry": "r", "defaultImageRegistry": "i",
                "bundleRepository": "b", "createNamespace": false, "upgradeCheckInterval": "24h",
                "upgradeCheckShortInterval": "10s", "logLevel": 4, "privateRegistry": "p",
            },
            "status": {"state": "upgrade available", "detail": "v1-24-117 available", "spec": {"activeBundle": "v1-24-116"}},
        });
        assert_kept::<PackageBundleController>("controller", &controller);
        let policy = json!({
            "apiVersion": "airlock.dev/v1alpha1", "kind": "TrustPolicy", "metadata": {"name": "site"},
            "spec": {
                "mode": "warn", "images": ["registry.site/**"], "tags": "refuse",
                "namespaces": {"names": ["apps"], "matchLabels": {"team": "a"}},
                "trust": {
                    "sequence": 2,
                    "keys": [{"name": "release", "publicKey": "PEM", "roles": [{
                        "sign": ["signature"], "repositories": ["registry.site/a/*"], "formats": ["bundle"],
                    }]}],
                    "groups": [{"name": "both", "threshold": 1, "keys": ["release"]}],
                    "revocations": [{"hint": "00", "reason": "lost", "date": "2026-01-01"}],
                },
                "require": [{"sign": "signature", "by": "both"}],
                "breakGlass": {"until": "2026-01-01T00:00:00Z", "reason": "restore"},
            },
            "status": {"newestSequence": 2, "observedGeneration": 1},
        });
        assert_kept::<TrustPolicy>("policy", &policy);
    }

    #[test]
    fn states_are_written_as_upstream_writes_them() {
        let text = |value: Value| value.as_str().unwrap().to_owned();
        assert_eq!(text(json!(PackageState::InstallingDependencies)), "installing dependencies");
        assert_eq!(text(json!(ControllerState::UpgradeAvailable)), "upgrade available");
        assert_eq!(PackageState::default(), PackageState::Initializing);
    }

    #[test]
    fn an_object_of_another_kind_or_version_is_rejected() {
        let package = |version: &str, kind: &str| {
            let object =
                json!({"apiVersion": version, "kind": kind, "metadata": {}, "spec": {"packageName": "a"}});
            serde_json::from_value::<Package>(object)
        };
        assert!(package("packages.eks.amazonaws.com/v1alpha1", "Package").is_ok());
        for (version, kind) in [
            ("packages.eks.amazonaws.com/v1", "Package"),
            ("packages.eks.amazonaws.com/v1alpha1", "PackageBundle"),
        ] {
            let error = package(version, kind).unwrap_err().to_string();
            assert!(error.contains("expected"), "{error}");
        }
    }

    #[test]
    fn an_object_without_spec_is_accepted_as_upstream_accepts_it() {
        let object = json!({"apiVersion": "packages.eks.amazonaws.com/v1alpha1", "kind": "PackageBundleController",
        "metadata": {"name": "a"}});
        assert!(serde_json::from_value::<PackageBundleController>(object.clone()).is_ok());
        assert_eq!(
            serde_json::from_value::<PackageStatus>(json!({"source": {"registry": "", "repository": "",
        "version": "", "digest": ""}, "currentVersion": ""}))
            .unwrap(),
            PackageStatus::default()
        );
    }

    proptest! {
        #[test]
        fn an_object_is_unchanged_after_writing_and_reading_it(name in "[a-z]{1,9}", version in proptest::option::of(".{0,20}"),
            config in proptest::option::of(".{0,60}"), target in proptest::option::of("[a-z]{0,9}")) {
            let mut object = Package::new(&name, package_api::PackageSpec::default());
            object.spec.package_version = version;
            object.spec.config = config;
            object.spec.target_namespace = target;
            let value = serde_json::to_value(&object).unwrap();
            prop_assert_eq!(serde_json::from_value::<Package>(value).unwrap(), object);
        }
    }
}
