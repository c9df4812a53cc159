//! Attacks by users who can create packages, listed and generated.

use package_api::{
    BundlePackage, BundleSource, PackageBundle, PackageBundleControllerSpec, PackageBundleSpec,
    PackageSource, VersionImage,
};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::objects;

mod attacks;

pub(crate) const GOOD: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const BAD: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const CHART: &str = "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

/// The bounds of the package `app`, for which the bundle lists these repositories with the digest [`GOOD`].
pub(crate) fn bounds(listed: &[&str], allow: &str) -> Bounds {
    let images = listed
        .iter()
        .map(|&repository| VersionImage { repository: repository.to_owned(), digest: GOOD.to_owned() });
    let version = SourceVersion {
        name: "1".to_owned(),
        digest: CHART.to_owned(),
        images: Some(images.collect()),
        ..SourceVersion::default()
    };
    let source = BundleSource {
        repository: "charts/app".to_owned(),
        versions: vec![version],
        ..BundleSource::default()
    };
    let offered = BundlePackage { name: "app".to_owned(), source, ..BundlePackage::default() };
    let bundle = PackageBundle::new(
        "v1-36-1",
        PackageBundleSpec { packages: vec![offered], ..PackageBundleSpec::default() },
    );
    let spec = PackageBundleControllerSpec {
        default_image_registry: Some("registry.site:5000/all".to_owned()),
        ..PackageBundleControllerSpec::default()
    };
    let mut settings = PackageBundleController::new("mgmt", spec);
    settings.metadata.annotations = Some([(ALLOW.to_owned(), allow.to_owned())].into());
    let plan = Install {
        release: "app".to_owned(),
        release_namespace: PACKAGES_NAMESPACE,
        target_namespace: None,
        create_namespace: true,
        chart_registry: "registry.site:5000".to_owned(),
        source: PackageSource {
            version: "1".to_owned(),
            digest: CHART.to_owned(),
            ..PackageSource::default()
        },
        target_version: "1".to_owned(),
        values: json!({}),
        dependencies: Vec::new(),
    };
    let mirror = "mirror.site".parse().unwrap();
    let input = BoundsInput {
        bundle: &bundle,
        settings: Some(&settings),
        package: "app",
        plan: &plan,
        mirror: Some(&mirror),
        own: "airlock-own",
    };
    Bounds::of(&input).unwrap()
}

fn object(api_version: &str, kind: &str, namespace: &str) -> Value {
    json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "x", "namespace": namespace } })
}

fn pod(image: &str) -> Value {
    let mut pod = object("v1", "Pod", "shop");
    pod["spec"] = json!({ "containers": [{ "name": "c", "image": image }] });
    pod
}

/// The objects of a manifest.
fn chart_objects(objects: &[Value]) -> Vec<ChartObject> {
    objects.iter().map(|value| ChartObject { value: value.clone(), hook: None }).collect()
}

fn check(bounds: &Bounds, object: &Value) -> Result<CheckResult, String> {
    bounds.check("shop", &chart_objects(std::slice::from_ref(object)))
}

#[test]
fn a2c_an_image_is_accepted_by_its_full_name_or_its_digest_only() {
    let bounds = bounds(&["registry.example/team/app", "metallb/controller", "quay.io-8443/a/b"], "");
    for good in [
        "registry.example/team/app:v1".to_owned(),
        "registry.example/team/app".to_owned(),
        "mirror.site/registry.example/team/app:v1".to_owned(),
        "registry.site:5000/all/registry.example/team/app:v1".to_owned(),
        "registry.site:5000/all/metallb/controller:v1".to_owned(),
        "mirror.site/metallb/controller:v1".to_owned(),
        "quay.io:8443/a/b:1".to_owned(),
        format!("anywhere.example/x@{GOOD}"),
        format!("anywhere.example/x:v1@{GOOD}"),
    ] {
        assert!(check(&bounds, &pod(&good)).is_ok(), "{good}");
    }
    for evil in [
        "evil.example/registry.example/team/app:v1".to_owned(),
        "evil.example/team/app:v1".to_owned(),
        "registry.example/evil/team/app:v1".to_owned(),
        "registry.example/myteam/app:v1".to_owned(),
        "registry.example/team/app/more:v1".to_owned(),
        "registry.site:5000/registry.example/team/app:v1".to_owned(),
        "metallb/controller:v1".to_owned(),
        "docker.io/metallb/controller:v1".to_owned(),
        "evil.example/metallb/controller:v1".to_owned(),
        "team/app:v1".to_owned(),
        "app".to_owned(),
        format!("registry.example/team/app@{BAD}"),
        format!("registry.example/team/app:v1@{BAD}"),
    ] {
        let refused = check(&bounds, &pod(&evil)).unwrap_err();
        assert!(refused.contains(&evil) && refused.contains("does not list for version 1"), "{refused}");
    }
    let refused = check(&bounds, &pod("METALLB/controller:v1")).unwrap_err();
    assert!(refused.contains("which is not an image reference"), "{refused}");
}

#[test]
fn a2c_a_version_without_images_must_not_run_any() {
    let refused = check(&bounds(&[], ""), &pod("registry.example/team/app:v1")).unwrap_err();
    assert!(refused.ends_with("the signed bundle lists no image for version 1"), "{refused}");
    assert!(check(&bounds(&[], ""), &object("v1", "ConfigMap", "shop")).is_ok());
}

#[test]
fn an_unset_value_is_reported_with_its_object_and_the_place_to_set_it() {
    let refused =
        check(&bounds(&["registry.site/team/app"], ""), &pod("registry.site/team/app:{{app}}")).unwrap_err();
    let message = "the chart's Pod \"x\" uses the image `registry.site/team/app:{{app}}`, which is not an image reference";
    assert!(refused.starts_with(message) && refused.ends_with("the package's config"), "{refused}");
}

#[test]
fn o4_every_image_with_a_tag_is_pinned_to_the_digest_in_the_bundle() {
    let bounds = bounds(&["registry.example/team/app"], "");
    let image = "registry.example/team/app:v1";
    let spec = json!({
        "initContainers": [{ "name": "i", "image": image }],
        "containers": [{ "name": "c", "image": image }, { "name": "d", "image": format!("{image}@{GOOD}") }],
        "ephemeralContainers": [{ "name": "e", "image": image }],
        "volumes": [{ "name": "v", "image": { "reference": image } }],
    });
    let template = json!({ "spec": spec });
    for (api_version, kind, inner) in [
        ("v1", "Pod", json!({ "spec": spec })),
        ("v1", "PodTemplate", json!({ "template": template })),
        ("v1", "ReplicationController", json!({ "spec": { "template": template } })),
        ("apps/v1", "Deployment", json!({ "spec": { "template": template } })),
        ("apps/v1", "ReplicaSet", json!({ "spec": { "template": template } })),
        ("apps/v1", "StatefulSet", json!({ "spec": { "template": template } })),
        ("apps/v1", "DaemonSet", json!({ "spec": { "template": template } })),
        ("batch/v1", "Job", json!({ "spec": { "template": template } })),
        ("batch/v1", "CronJob", json!({ "spec": { "jobTemplate": { "spec": { "template": template } } } })),
    ] {
        let mut object = object(api_version, kind, "shop");
        object.as_object_mut().unwrap().extend(inner.as_object().unwrap().clone());
        let tags = check(&bounds, &object).unwrap().tags;
        assert_eq!(tags.keys().collect::<Vec<_>>(), [image], "{kind}");
        let pins: Pins = tags.into_iter().map(|(image, digests)| (image, digests[0].clone())).collect();
        let mut list = json!({ "apiVersion": "v1", "kind": "List", "items": [object] });
        assert!(pin(&mut list, &pins));
        let text = list.to_string();
        assert_eq!(text.matches(&format!("\"{image}@{GOOD}\"")).count(), 5, "{kind}: {text}");
        assert!(!text.contains(&format!("\"{image}\"")), "{kind}");
        assert!(!pin(&mut list, &pins), "a second run changes nothing");
    }
}

#[test]
fn a2d_reserved_namespaces_are_rejected_unless_an_administrator_allows_them() {
    for closed in [
        "kube-system",
        "kube-public",
        "kube-node-lease",
        "eksa-packages",
        "eksa-packages-mgmt",
        "eksa-system",
        "airlock-own",
    ] {
        let refused = bounds(&[], "").target(closed).unwrap_err();
        assert!(
            refused.contains(closed) && refused.contains(&format!("app:namespace/{closed}")),
            "{refused}"
        );
        assert!(bounds(&[], "").check(closed, &[]).is_err());
        assert_eq!(bounds(&[], &format!("app:namespace/{closed}")).target(closed), Ok(()));
        assert!(bounds(&[], &format!("other:namespace/{closed}")).target(closed).is_err());
    }
    for open in ["shop", "default", "kubernetes", "eksa-packagesx"] {
        assert_eq!(bounds(&[], "").target(open), Ok(()), "{open}");
    }
}

#[test]
fn a2d_objects_outside_of_the_package_s_namespace_are_rejected() {
    let closed = bounds(&[], "");
    for object in [
        object("v1", "ConfigMap", "kube-system"),
        object("v1", "ConfigMap", "other"),
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "kube-system" } }),
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "other" } }),
    ] {
        let refused = check(&closed, &object).unwrap_err();
        assert!(
            refused.contains("which is not the package's; an administrator can allow it with"),
            "{refused}"
        );
    }
    assert!(
        check(&closed, &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } }))
            .is_ok()
    );
    assert!(check(&bounds(&[], "app:namespace/other"), &object("v1", "ConfigMap", "other")).is_ok());
}

#[test]
fn a2_a_package_takes_ownership_only_if_an_administrator_allows_it() {
    let refused = bounds(&[], "").may_take_ownership().unwrap_err();
    assert!(refused.contains("airlock.dev/allow='app:ownership'"), "{refused}");
    assert_eq!(bounds(&[], "app:ownership").may_take_ownership(), Ok(()));
}

#[test]
fn a2a_a_package_must_not_contain_kinds_that_control_packages() {
    for object in [
        object("packages.eks.amazonaws.com/v1alpha1", "Package", "shop"),
        object("packages.eks.amazonaws.com/v1alpha1", "PackageBundleController", "shop"),
        object("airlock.dev/v1alpha1", "TrustPolicy", ""),
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": "trustpolicies.airlock.dev" }, "spec": { "group": "airlock.dev" },
        }),
    ] {
        assert!(
            check(&bounds(&[], "*:host"), &object).unwrap_err().contains("airlock's own kinds"),
            "{object}"
        );
    }
}

/// The privileges of objects, as text.
fn reaches(objects: &[Value]) -> Vec<String> {
    let privileges = bounds(&[], "").privileges_of("shop", &chart_objects(objects));
    privileges.beyond(&Privileges::default()).map(|(privilege, _)| privilege.to_string()).collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn a2d_privileges_that_values_add_are_rejected_and_those_of_the_chart_are_not() {
    let with = |spec: Value| {
        let mut pod = object("v1", "Pod", "shop");
        pod["spec"] = spec;
        pod
    };
    let context =
        |context: Value| with(json!({ "containers": [{ "name": "c", "securityContext": context }] }));
    let binding = |subject: Value| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": "b" },
            "subjects": [subject],
        })
    };
    let token = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": { "name": "t", "namespace": "shop", "annotations": { "kubernetes.io/service-account.name": "other" } },
    });
    let hook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": { "name": "w" }, "webhooks": [{ "clientConfig": { "url": "https://evil.example" } }],
    });
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "v" }, "spec": { "hostPath": { "path": "/" } },
    });
    for (object, word) in [
        (with(json!({ "hostNetwork": true })), "hostNetwork"),
        (with(json!({ "hostPID": true })), "hostPID"),
        (with(json!({ "hostIPC": true })), "hostIPC"),
        (with(json!({ "volumes": [{ "name": "v", "hostPath": { "path": "/etc" } }] })), "hostPath /etc"),
        (with(json!({ "serviceAccountName": "other" })), "service account `other`"),
        (with(json!({ "serviceAccount": "other" })), "service account `other`"),
        (with(json!({ "securityContext": { "sysctls": [{ "name": "kernel.core_pattern" }] } })), "sysctl"),
        (with(json!({ "initContainers": [{ "name": "i", "ports": [{ "hostPort": 80 }] }] })), "hostPort 80"),
        (context(json!({ "privileged": true })), "privileged"),
        (context(json!({ "capabilities": { "add": ["SYS_ADMIN"] } })), "capability SYS_ADMIN"),
        (context(json!({ "seccompProfile": { "type": "Unconfined" } })), "seccompProfile"),
        (context(json!({ "procMount": "Unmasked" })), "procMount"),
        (binding(json!({ "kind": "User", "name": "me" })), "User/me"),
        (binding(json!({ "kind": "Group", "name": "system:authenticated" })), "Group/system:authenticated"),
        (
            binding(json!({ "kind": "ServiceAccount", "name": "other", "namespace": "shop" })),
            "ServiceAccount/shop/other",
        ),
        (token, "service account `other`"),
        (hook, "https://evil.example"),
        (volume, "hostPath /"),
    ] {
        let found = reaches(std::slice::from_ref(&object));
        assert!(found.len() == 1 && found[0].contains(word), "{object}: {found:?}");
        let objects = [object];
        let closed = bounds(&[], "");
        let wanted = closed.privileges_of("shop", &chart_objects(&objects));
        let refused = closed.check_privileges(&wanted, &Privileges::default()).unwrap_err();
        assert!(refused.contains("does not do by default; an administrator can allow"), "{refused}");
        assert_eq!(closed.check_privileges(&wanted, &wanted), Ok(()));
        let entry = wanted.beyond(&Privileges::default()).next().unwrap().0.entry();
        assert_eq!(
            bounds(&[], &format!("app:{entry}")).check_privileges(&wanted, &Privileges::default()),
            Ok(()),
            "{entry}"
        );
    }
}

#[test]
fn a_package_may_use_the_objects_that_it_contains() {
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "own", "namespace": "shop" } });
    let mut pod = object("v1", "Pod", "shop");
    pod["spec"] = json!({ "serviceAccountName": "own", "containers": [{ "name": "c", "securityContext": {
        "privileged": false, "capabilities": { "add": ["NET_BIND_SERVICE"], "drop": ["ALL"] } } }] });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": "b", "namespace": "shop" },
        "subjects": [{ "kind": "ServiceAccount", "name": "own", "namespace": "shop" }],
    });
    assert!(reaches(&[account, pod, binding]).is_empty());
}

/// Images that the bundle lists, and images that it does not, in every field of an object that can have one.
fn generated() -> impl Strategy<Value = (Value, bool)> {
    let image = prop_oneof![
        Just(("registry.example/team/app:v1".to_owned(), true)),
        Just((format!("other.example/x@{GOOD}"), true)),
        "[a-z]{1,6}\\.example/registry\\.example/team/app(:[a-z0-9]{1,5})?".prop_map(|image| (image, false)),
        "[a-z]{1,8}(/[a-z]{1,6}){0,2}(:[a-z0-9]{1,5})?".prop_map(|image| (image, false)),
        Just((format!("registry.example/team/app@{BAD}"), false)),
    ];
    let field = prop::sample::select(vec!["initContainers", "containers", "ephemeralContainers", "volumes"]);
    let kind = prop::sample::select(vec![
        ("v1", "Pod", "/spec"),
        ("apps/v1", "Deployment", "/spec/template/spec"),
        ("apps/v1", "DaemonSet", "/spec/template/spec"),
        ("batch/v1", "Job", "/spec/template/spec"),
        ("batch/v1", "CronJob", "/spec/jobTemplate/spec/template/spec"),
    ]);
    let namespace = prop_oneof![
        4 => Just(("shop".to_owned(), true)),
        1 => Just(("kube-system".to_owned(), false)),
        1 => "[a-r]{3,8}".prop_map(|name| (name, false)),
    ];
    (kind, field, image, namespace, 0..4_usize).prop_map(
        |((version, kind, at), field, image, namespace, depth)| {
            let mut generated = object(version, kind, &namespace.0);
            let items = match field {
                "volumes" => json!([{ "name": "v", "image": { "reference": image.0 } }]),
                _ => json!([{ "name": "c", "image": image.0 }]),
            };
            let mut spec = json!({ field: items });
            for part in at.rsplit('/').filter(|part| !part.is_empty()) {
                spec = json!({ part: spec });
            }
            generated.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
            let list = |inner: Value| json!({ "apiVersion": "v1", "kind": "List", "items": [inner] });
            ((0..depth).fold(generated, |inner, _| list(inner)), image.1 && namespace.1)
        },
    )
}

proptest! {
    #[test]
    fn a2_only_images_of_the_bundle_in_the_package_s_namespace_are_accepted((document, good) in generated()) {
        let objects = objects::flatten(document).unwrap();
        let result = bounds(&["registry.example/team/app"], "").check("shop", &chart_objects(&objects));
        prop_assert_eq!(result.is_ok(), good, "{:?}", result);
    }
}
