//! The folder `manifests`: generated manifests are up to date, and the manifests are consistent.

use std::path::{Path, PathBuf};

use admission::webhook::{WebhookEndpoint, configurations, empty};
use gostd::{Limits, yaml};
use k8s_openapi::api::rbac::v1::PolicyRule;
use package_controller::rbac;
use serde_json::{Value, json};

use crate::cli::{airlock, fails};
use crate::signing::{site, works};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests")
}

/// All documents of a file.
fn documents(path: &Path) -> Vec<Value> {
    yaml::documents(&std::fs::read_to_string(path).unwrap(), &Limits::default()).unwrap()
}

#[test]
fn the_webhook_configurations_are_those_that_the_controller_writes() {
    let reach = WebhookEndpoint {
        namespace: "eksa-packages".to_owned(),
        service: "airlock-webhook".to_owned(),
        ..WebhookEndpoint::default()
    };
    let (validating, mutating) = configurations(&reach);
    let head = "# For reference: the webhooks that the controller adds, with its CA certificate as caBundle, and restores when they change.\n\
                # To regenerate: `AIRLOCK_TEST_BLESS=1 cargo test -p airlock --test it manifests`.\n";
    let made: Vec<_> = [json!(validating), json!(mutating)].iter().map(yaml::write).collect();
    let text = format!("{head}{}", made.join("---\n"));
    let path = folder().join("webhooks.yaml");
    if std::env::var_os("AIRLOCK_TEST_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a19_the_installation_creates_the_webhook_configurations_and_the_controller_cannot_create_others() {
    let (validating, mutating) = empty();
    let path = folder().join("controller/webhook-configurations.yaml");
    assert_eq!(documents(&path), [json!(validating), json!(mutating)]);
    let own = rbac::fixed_for_webhooks();
    let all =
        [own, rbac::fixed(), rbac::fixed_for_webhooks_in_own_namespace(), rbac::fixed_in_own_namespace()]
            .concat();
    let group = "admissionregistration.k8s.io";
    let rules: Vec<_> =
        all.iter().filter(|rule| rule.api_groups.iter().flatten().any(|other| other == group)).collect();
    assert!(!rules.is_empty());
    for rule in rules {
        assert_eq!(rule.resource_names.as_deref(), Some(&["airlock".to_owned()][..]), "{rule:?}");
    }
}

/// A role and its binding to the controller.
fn role(namespace: Option<&str>, rules: &[PolicyRule]) -> [Value; 2] {
    let (kind, scope) = if namespace.is_some() { ("Role", "") } else { ("ClusterRole", "Cluster") };
    let labels = json!({ "app.kubernetes.io/name": "airlock", "app.kubernetes.io/part-of": "airlock" });
    let mut metadata = json!({ "name": "airlock-controller", "labels": labels });
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    let group = "rbac.authorization.k8s.io";
    let version = format!("{group}/v1");
    [
        json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "rules": rules }),
        json!({
            "apiVersion": version, "kind": format!("{scope}RoleBinding"), "metadata": metadata,
            "roleRef": { "apiGroup": group, "kind": kind, "name": "airlock-controller" },
            "subjects": [{ "kind": "ServiceAccount", "name": "airlock-controller", "namespace": "eksa-packages" }],
        }),
    ]
}

#[test]
fn the_controllers_permissions_are_those_in_its_code() {
    let everywhere = [rbac::fixed(), rbac::fixed_for_webhooks()].concat();
    let own = [rbac::fixed_in_own_namespace(), rbac::fixed_for_webhooks_in_own_namespace()].concat();
    let inside = [role(None, &everywhere), role(Some("eksa-packages"), &own)].concat();
    let outside = role(Some("eksa-system"), &rbac::fixed_in_system_namespace());
    let head = "# Generated from package-controller/src/rbac.rs. To regenerate: `AIRLOCK_TEST_BLESS=1 cargo test -p airlock --test it manifests`.\n";
    for (file, words, roles) in [
        (
            "controller/rbac.yaml",
            "# `airlock package rights` grants the permissions that the charts of packages need.\n",
            &inside[..],
        ),
        (
            "workload-clusters.yaml",
            "# For management clusters, where Cluster API stores the kubeconfigs of other clusters.\n",
            &outside,
        ),
    ] {
        let text = roles.iter().map(yaml::write).collect::<Vec<_>>().join("---\n");
        let (path, text) = (folder().join(file), format!("{head}{words}{text}"));
        if std::env::var_os("AIRLOCK_TEST_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{file}");
    }
    // Each of these would allow privilege escalation.
    let all = json!([inside, outside]).to_string();
    for much in ["\"*\"", "escalate", "bind\"", "impersonate"] {
        assert!(!all.contains(much), "{much}");
    }
}

#[test]
fn every_manifest_is_listed_for_kustomize() {
    let list = documents(&folder().join("kustomization.yaml")).remove(0);
    let resources = list["resources"].as_array().unwrap().iter();
    let listed: Vec<_> = resources.map(|resource| folder().join(resource.as_str().unwrap())).collect();
    for path in &listed {
        assert!(path.exists(), "{}", path.display());
    }
    for below in ["crds", "controller"] {
        for entry in std::fs::read_dir(folder().join(below)).unwrap().flatten() {
            let path = entry.path();
            assert!(listed.contains(&path), "{}", path.display());
        }
    }
}

#[test]
fn the_controllers_pod_is_restricted_and_selected_by_its_service_budget_and_policy() {
    let controller = folder().join("controller");
    let read = |name: &str| documents(&controller.join(name)).remove(0);
    let pod = read("deployment.yaml")["spec"]["template"].clone();
    let labels = &pod["metadata"]["labels"];
    for (file, at) in [
        ("service.yaml", "/spec/selector"),
        ("disruption-budget.yaml", "/spec/selector/matchLabels"),
        ("network-policy.yaml", "/spec/podSelector/matchLabels"),
        ("deployment.yaml", "/spec/selector/matchLabels"),
    ] {
        let manifest = read(file);
        let selector = manifest.pointer(at).unwrap().as_object().unwrap();
        assert!(!selector.is_empty(), "{file}");
        for (key, value) in selector {
            assert_eq!(&labels[key], value, "{file}");
        }
    }
    for (at, expected) in [
        ("/securityContext/runAsNonRoot", json!(true)),
        ("/securityContext/seccompProfile/type", json!("RuntimeDefault")),
        ("/serviceAccountName", json!("airlock-controller")),
    ] {
        assert_eq!(pod["spec"].pointer(at), Some(&expected), "{at}");
    }
    let containers = pod["spec"]["containers"].as_array().unwrap();
    let parts: Vec<_> = containers.iter().map(|container| &container["args"][1]).collect();
    assert_eq!(parts, ["--only=webhooks", "--only=packages"]);
    for container in containers {
        for (at, expected) in [
            ("/securityContext/readOnlyRootFilesystem", json!(true)),
            ("/securityContext/allowPrivilegeEscalation", json!(false)),
            ("/securityContext/capabilities/drop", json!(["ALL"])),
            ("/livenessProbe/httpGet/path", json!("/healthz")),
        ] {
            assert_eq!(container.pointer(at), Some(&expected), "{at}");
        }
    }
    assert_eq!(containers[0]["readinessProbe"]["httpGet"]["path"], "/readyz");
    let namespace = documents(&folder().join("namespace.yaml")).remove(0);
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
}

#[test]
fn a_dry_run_prints_the_manifests_with_the_sites_values_and_sends_no_request() {
    let folder = site();
    let path = folder.path();
    write_ca(path);
    std::fs::write(path.join("credentials"), "ann:secret\n").unwrap();
    std::fs::write(path.join("program"), program()).unwrap();
    let install = [
        "install",
        "controller",
        "--cluster",
        "mgmt",
        "--registry",
        "registry.site:5001",
        "--store",
        "store",
        "--binary",
        "program",
        "--dry-run",
    ];
    let more = [
        "--registry-ca",
        "ca.crt",
        "--registry-credentials",
        "credentials",
        "--bundle-key",
        "release.pub",
        "--registry-prefix",
        "site/all",
        "--replicas",
        "3",
    ];
    let text = works(path, &[&install[..], &more].concat());
    filled_in(&text);
    // No request was sent, and the output is the same each time.
    assert_eq!(works(path, &[&install[..], &more].concat()), text);
    assert!(!works(path, &["store", "list", "--store", "store"]).contains("airlock/airlock"));
    let plain = works(path, &[&install[..], &more[..2], &["--without-settings"]].concat());
    assert!(
        !plain.contains("config.json") && !plain.contains("PackageBundleController\nmetadata:\n  name: mgmt")
    );

    let bad = |option: &str, file: &str, words: &str| {
        let mut more = more;
        let at = more.iter().position(|word| *word == option).unwrap();
        more[at + 1] = file;
        fails(path, &[&install[..], &more].concat(), 2, words);
    };
    bad("--registry-ca", "release.pub", "`release.pub` contains no certificate");
    bad("--bundle-key", "release.key", "is not a public key for bundles");
    std::fs::write(path.join("program"), "#!/bin/sh\n").unwrap();
    fails(path, &[&install[..], &more].concat(), 2, "not a binary for 64-bit Linux");
}

/// Checks that the site's values are in the right places.
fn filled_in(text: &str) {
    let all = yaml::documents(text, &Limits::default()).unwrap();
    let find = |kind: &str, name: &str| {
        let found =
            all.iter().find(|manifest| manifest["kind"] == kind && manifest["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("{kind} {name}\n{text}")).clone()
    };
    assert_eq!(all[0]["kind"], "Namespace");
    let deployment = find("Deployment", "airlock-controller");
    assert_eq!(deployment["spec"]["replicas"], 3);
    let parts = [&["--only=webhooks"][..], &["--only=packages", "--health-listen=0.0.0.0:8082"]];
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), parts.len());
    for (container, part) in containers.iter().zip(parts) {
        let image = container["image"].as_str().unwrap();
        assert!(image.starts_with("registry.site:5001/airlock/airlock@sha256:"), "{image}");
        let site = [
            "--registry=registry.site:5001",
            "--registry-ca=/etc/airlock/registry/ca.crt",
            "--docker-config=/etc/airlock/registry/config.json",
        ];
        assert_eq!(container["args"], json!([&["controller"], part, &site].concat()));
        let environment = container["env"].to_string();
        assert!(environment.contains(r#"{"name":"CLUSTER_NAME","value":"mgmt"}"#), "{environment}");
        assert!(environment.contains(r#""EKSA_PUBLIC_KEY","value":"MFkw"#), "{environment}");
    }
    assert!(find("NetworkPolicy", "airlock-controller")["spec"]["egress"].to_string().contains("5001"));
    let ca = find("Secret", "airlock-registry")["data"]["ca.crt"].to_string();
    assert!(ca.starts_with("\"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"), "{ca}");
    find("Secret", "airlock-registry-pull");
    assert_eq!(
        find("PackageBundleController", "mgmt")["spec"]["defaultRegistry"],
        "registry.site:5001/site/all"
    );
    find("Namespace", "eksa-packages-mgmt");
}

/// Writes the CA certificate of the registry.
fn write_ca(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(["registry.site".to_owned()]).unwrap();
    std::fs::write(folder.join("ca.crt"), made.cert.pem()).unwrap();
}

#[test]
fn a_controller_with_invalid_arguments_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let controller = ["controller", "--cluster-name", "mgmt"];
    let fails =
        |more: &[&str], words: &str| fails(folder.path(), &[&controller[..], more].concat(), 2, words);
    fails(&["--bundle-key", "release.pub"], "is not a public key");
    fails(&["--webhook-url", "x"], "give https://HOST:PORT");
    fails(&["--webhook-url", "https://:9443"], "give https://HOST:PORT");
}

/// The header of a statically linked program.
pub(crate) fn program() -> Vec<u8> {
    let mut bytes = vec![0; 128];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (bytes[18], bytes[32], bytes[54], bytes[56], bytes[64]) = (62, 64, 56, 1, 1);
    bytes
}

#[test]
fn manifests_that_would_lock_airlock_or_the_cluster_out_are_refused() {
    let folder = site();
    let path = folder.path();
    write_ca(path);
    std::fs::write(path.join("program"), program()).unwrap();
    let install = [
        "install",
        "controller",
        "--cluster",
        "mgmt",
        "--registry-ca",
        "ca.crt",
        "--registry",
        "registry.site",
        "--binary",
        "program",
        "--dry-run",
        "-f",
        "extra.yaml",
    ];
    let hook = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: mine}\n\
                webhooks:\n- name: all.example\n  failurePolicy: Fail\n  rules: [{apiGroups: [''], resources: [pods]}]\n";
    std::fs::write(path.join("extra.yaml"), hook).unwrap();
    fails(path, &install, 2, "matches pods in `eksa-packages`");
    std::fs::write(path.join("extra.yaml"), hook.replace("Fail", "Ignore")).unwrap();
    assert!(airlock(path, &install).status.success());
    let policy = "apiVersion: airlock.dev/v1alpha1\nkind: TrustPolicy\nmetadata: {name: strict}\nspec:\n  \
                  namespaces: {names: [kube-system]}\n  trust: {keys: [{name: release, publicKey: x}]}\n";
    std::fs::write(path.join("extra.yaml"), policy).unwrap();
    fails(path, &install, 2, "names `kube-system`, which is always exempt");
    std::fs::write(path.join("extra.yaml"), policy.replace("trust:", "tryst:")).unwrap();
    fails(path, &install, 2, "cannot read a TrustPolicy");
}
