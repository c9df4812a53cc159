//! The twelve known ways to bypass an image policy.

use std::time::Duration;

use serde_json::{Value, json};

use super::{FRESH, MINUTE, MULTI, SIGNED, Site, TWIN, UNSIGNED, alone, image_of, pod, shared};
use crate::rig::wait;

const DENIED: &str = "is rejected by TrustPolicy `release`";

/// The message names the image, the rule and the remedy.
#[test]
fn an_unsigned_image_is_rejected_with_a_remedy_and_a_signed_one_is_pinned() {
    let Some((_turn, site)) = shared() else { return };
    let space = site.verified_namespace("plain");
    let said = site.refuses(
        &pod(&space, "bad", UNSIGNED),
        &[
            "verify-images.airlock.dev",
            "image `registry.example/team/other:v1@sha256:",
            "of container `main`",
            DENIED,
            "requires a signature by one of its keys",
            "it is not signed. What to do: sign it with `airlock sign registry.example/team/other@sha256:",
            " --store STORE --key KEY`, with a key that the policy trusts",
        ],
    );
    println!("{said}");
    let made = site.makes(&pod(&space, "good", SIGNED));
    assert_eq!(image_of(&made, "/spec/containers/0/image"), format!("{SIGNED}@{}", site.digest(SIGNED)));
    let mut none = pod(&space, "none", "registry.example/team/app:v9");
    none["spec"]["initContainers"] = json!([{"name": "also", "image": UNSIGNED}]);
    let missing = format!("the registry `{}` has no such tag: `registry.example/team/app:v9`", site.registry);
    let said = site.refuses(
        &none,
        &[
            "`registry.example/team/app:v9` of container `main`",
            &missing,
            "What to do: mirror the image, or use a tag that exists",
            "of init container `also` is rejected",
        ],
    );
    assert_eq!(said.matches(" is rejected by ").count(), 2, "{said}");
    let none = format!("registry.example/team/app@sha256:{}", "1".repeat(64));
    let none =
        site.refuses(&pod(&space, "none", &none), &["has no such image in", "What to do: mirror the image"]);
    assert!(!none.contains("airlock sign"), "{none}");
    let twin = site.refuses(
        &pod(&space, "twin", TWIN),
        &["What to do: sign it with `airlock sign registry.example/elsewhere/app@"],
    );
    println!("{twin}");
    site.refuses(&pod(&space, "odd", "UP/ER:x"), &["its image reference is invalid"]);
}

/// Runs the command of the message as printed.
#[test]
fn the_command_in_a_rejection_makes_the_image_pass() {
    let Some((_turn, site)) = shared() else { return };
    let space = site.verified_namespace("advised");
    let image = FRESH;
    let advised = |said: &str| -> Vec<String> {
        let command = said.split("with `airlock ").nth(1).unwrap().split('`').next().unwrap();
        let command = command.replace("STORE", "store");
        command.split(' ').map(str::to_owned).collect()
    };
    let run = |said: &str, key: &str| {
        let command: Vec<_> = advised(said).into_iter().map(|word| word.replace("KEY", key)).collect();
        site.airlock(&command.iter().map(String::as_str).collect::<Vec<_>>());
    };
    let said = site.refuses(&pod(&space, "fresh", image), &["it is not signed"]);
    run(&said, "other.key");
    let unknown = wait("the other key", MINUTE, || {
        site.create(&pod(&space, "fresh", image), true).err().filter(|said| !said.contains("not signed"))
    });
    let hint = |name: &str| {
        let pem = std::fs::read_to_string(site.folder.path().join(name)).unwrap();
        bundle_signer::PublicKey::from_pem(&pem).unwrap().hint()
    };
    let (other, release) = (hint("other.pub"), hint("release.pub"));
    let words = format!(
        "it is signed only by key {other}, which the policy does not trust; it trusts `release` ({release}). What to do"
    );
    assert!(unknown.contains(&words), "{unknown}");
    run(&unknown, "release.key");
    wait("the signed image", MINUTE, || site.create(&pod(&space, "fresh", image), true).ok());
}

#[test]
fn way_1_an_ephemeral_container_is_verified() {
    let Some((_turn, site)) = shared() else { return };
    let space = site.verified_namespace("way-1");
    site.makes(&pod(&space, "web", SIGNED));
    let debug = |image: &str| {
        let (image, name) =
            (format!("--image={image}"), format!("--container={}", if image == SIGNED { "a" } else { "b" }));
        site.cluster.tries(&[
            "debug",
            "web",
            "-n",
            &space,
            &image,
            &name,
            "--profile=general",
            "--",
            "sleep",
            "1",
        ])
    };
    let (good, said) = debug(UNSIGNED);
    assert!(!good && said.contains(DENIED) && said.contains("ephemeral container `b`"), "{said}");
    let (good, said) = debug(SIGNED);
    assert!(good, "{said}");
    let web = site.cluster.get(&["pod", "web", "-n", &space]).unwrap();
    assert!(image_of(&web, "/spec/ephemeralContainers/0/image").contains("@sha256:"));
}

#[test]
fn way_2_an_image_volume_is_verified() {
    let Some((_turn, site)) = shared() else { return };
    let space = site.verified_namespace("way-2");
    let with = |image: &str| {
        let mut pod = pod(&space, "web", SIGNED);
        pod["spec"]["volumes"] = json!([{"name": "data", "image": {"reference": image}}]);
        pod
    };
    site.refuses(&with(UNSIGNED), &[DENIED, "of volume `data`"]);
    let made = site.makes(&with(SIGNED));
    assert!(image_of(&made, "/spec/volumes/0/image/reference").contains("@sha256:"));
}

#[test]
fn way_3_an_init_container_and_a_sidecar_are_verified() {
    let Some((_turn, site)) = shared() else { return };
    let space = site.verified_namespace("way-3");
    for more in [json!({}), json!({"restartPolicy": "Always"})] {
        let mut pod = pod(&space, "web", SIGNED);
        let mut container = json!({"name": "first", "image": UNSIGNED});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        pod["spec"]["initContainers"] = json!([container]);
        site.refuses(&pod, &[DENIED, "of init container `first`"]);
    }
}

/// Claiming to be the mirror of a static pod does not help. For a real one, the message says that it is already running.
#[test]
fn way_4_the_mirror_of_a_static_pod_is_verified() {
    let Some((_turn, site)) = shared() else { return };
    let space = site.verified_namespace("way-4");
    let mut pod = pod(&space, "static-n1", UNSIGNED);
    pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "0123"});
    pod["spec"]["nodeName"] = json!("fake-0");
    site.refuses(&pod, &[DENIED, "the mirror pod of a static pod, which is already running"]);
}

/// The exemption uses a label that the API server sets itself.
#[test]
fn way_5_a_namespace_cannot_exempt_itself() {
    let Some((_turn, site)) = shared() else { return };
    let space = site.verified_namespace("way-5");
    let label = "kubernetes.io/metadata.name=kube-system";
    site.cluster.tries(&["label", "namespace", &space, label, "--overwrite"]);
    let own = site.cluster.get(&["namespace", &space]).unwrap();
    assert_eq!(own["metadata"]["labels"]["kubernetes.io/metadata.name"], *space);
    for other in ["control-plane=yes", "airlock.dev/ignore=true", "policy.sigstore.dev/exclude=true"] {
        site.cluster.kubectl(&["label", "namespace", &space, other]);
    }
    site.refuses(&pod(&space, "web", UNSIGNED), &[DENIED]);
}

#[test]
fn way_6_an_update_of_nothing_but_the_image_is_verified() {
    let Some((_turn, site)) = shared() else { return };
    let space = site.verified_namespace("way-6");
    site.makes(&pod(&space, "web", SIGNED));
    site.makes(&workload(&space, "apps/v1", "Deployment", SIGNED));
    for object in ["pod/web", "deployment/web"] {
        let image = format!("main={UNSIGNED}");
        let (good, said) = site.cluster.tries(&["set", "image", object, &image, "-n", &space]);
        assert!(!good && said.contains(DENIED), "{object}: {said}");
        let label = ["label", object, "some=label", "-n", &space];
        site.cluster.kubectl(&label);
    }
    site.cluster.kubectl(&["scale", "deployment/web", "--replicas=2", "-n", &space]);
}

#[test]
fn way_7_a_child_that_names_a_verified_owner_is_verified() {
    let Some((_turn, site)) = shared() else { return };
    let space = site.verified_namespace("way-7");
    let owner = site.makes(&workload(&space, "apps/v1", "Deployment", SIGNED));
    let owners = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "controller": true,
        "uid": owner["metadata"]["uid"]}]);
    let mut pod = pod(&space, "child", UNSIGNED);
    pod["metadata"]["ownerReferences"] = owners.clone();
    site.refuses(&pod, &[DENIED]);
    let mut set = workload(&space, "apps/v1", "ReplicaSet", UNSIGNED);
    set["metadata"]["ownerReferences"] = owners;
    site.refuses(&set, &[DENIED]);
}

/// A node's cache cannot hold other content under a digest.
#[test]
fn way_8_a_pull_policy_does_not_bypass_the_digest() {
    let Some((_turn, site)) = shared() else { return };
    let space = site.verified_namespace("way-8");
    for policy in ["Never", "IfNotPresent"] {
        let with = |image: &str| {
            let mut pod = pod(&space, &policy.to_lowercase(), image);
            pod["spec"]["containers"][0]["imagePullPolicy"] = json!(policy);
            pod
        };
        site.refuses(&with(UNSIGNED), &[DENIED]);
        let made = site.makes(&with(SIGNED));
        assert!(image_of(&made, "/spec/containers/0/image").contains("@sha256:"));
    }
}

#[test]
fn way_9_a_moved_tag_does_not_change_verified_objects() {
    let Some((_turn, site)) = shared() else { return };
    let space = site.verified_namespace("way-9");
    let image = "registry.example/team/moving:v1";
    let put = |digest_of: &str| {
        let accept = format!("Accept: {}", super::KIND);
        let from = format!("http://{}/v2/{}", site.registry, digest_of.replace(":v1", "/manifests/v1"));
        let to = format!("http://{}/v2/registry.example/team/moving/manifests/v1", site.registry);
        let file = site.folder.path().join("moving.json").display().to_string();
        let run = |words: &[&str]| {
            let output = site.cluster.command("curl").args(words).output().unwrap();
            assert!(output.status.success(), "{words:?} {output:?}");
        };
        run(&["-sf", "-H", &accept, "-o", &file, &from]);
        let config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let repository = digest_of.trim_end_matches(":v1");
        let blob = image_of(&config, "/config/digest");
        let mount = format!(
            "http://{}/v2/registry.example/team/moving/blobs/uploads/?mount={blob}&from={repository}",
            site.registry
        );
        run(&["-sf", "-X", "POST", "-o", "/dev/null", &mount]);
        let kind = format!("Content-Type: {}", super::KIND);
        run(&["-sf", "-X", "PUT", "-H", &kind, "--data-binary", &format!("@{file}"), &to]);
    };
    put(SIGNED);
    site.airlock(&["sign", image, "--store", "store", "--key", "release.key"]);
    let made = site.makes(&pod(&space, "before", image));
    let pinned = image_of(&made, "/spec/containers/0/image");
    put(UNSIGNED);
    // The pinned reference stays valid.
    site.makes(&pod(&space, "same", &pinned));
    // The moved tag is noticed within seconds, and its new content is not signed.
    wait("the moved tag", Duration::from_secs(20), || {
        let said = site.create(&pod(&space, "after", image), true).err()?;
        assert!(said.contains(DENIED) && said.contains(&site.digest(UNSIGNED)), "{said}");
        Some(())
    });
    // A reference with the moved tag and the old digest: the digest counts.
    site.makes(&pod(&space, "mixed", &format!("{image}@{}", site.digest(SIGNED))));
}

#[test]
fn way_10_the_signature_of_an_index_does_not_cover_its_manifests() {
    let Some((_turn, site)) = shared() else { return };
    let space = site.verified_namespace("way-10");
    let made = site.makes(&pod(&space, "web", MULTI));
    assert_eq!(image_of(&made, "/spec/containers/0/image"), format!("{MULTI}@{}", site.digest(MULTI)));
    let index = std::fs::read(site.folder.path().join("multi/index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let blob = image_of(&index, "/manifests/0/digest").replace("sha256:", "multi/blobs/sha256/");
    let index: Value =
        serde_json::from_slice(&std::fs::read(site.folder.path().join(blob)).unwrap()).unwrap();
    let child = image_of(&index, "/manifests/1/digest");
    site.refuses(&pod(&space, "child", &format!("registry.example/team/multi@{child}")), &[DENIED]);
}

#[test]
fn way_11_the_same_digest_under_another_name_is_another_image() {
    let Some((_turn, site)) = shared() else { return };
    let space = site.verified_namespace("way-11");
    // The verdict for the signed name is cached when the other name is verified.
    site.makes(&pod(&space, "web", SIGNED));
    assert_eq!(site.digest(SIGNED), site.digest(TWIN));
    site.refuses(&pod(&space, "twin", TWIN), &[DENIED]);
    let elsewhere = format!("other.example/team/app@{}", site.digest(SIGNED));
    site.refuses(&pod(&space, "elsewhere", &elsewhere), &[DENIED]);
}

#[test]
fn way_12_a_webhook_configuration_that_is_edited_or_deleted_is_restored() {
    let Some((_turn, site)) = alone() else { return };
    let space = site.verified_namespace("way-12");
    let metric =
        |what: &str| site.metric(&format!("airlock_webhook_configuration_repairs_total{{what=\"{what}\"}}"));
    let edits = [
        json!([{"op": "replace", "path": "/webhooks/4/failurePolicy", "value": "Ignore"}]),
        json!([{"op": "replace", "path": "/webhooks/4/rules/0/resources", "value": ["services"]}]),
        json!([{"op": "add", "path": "/webhooks/4/matchConditions", "value": [{"name": "never", "expression": "false"}]}]),
        json!([{"op": "replace", "path": "/webhooks/4/namespaceSelector/matchExpressions/0/values/0", "value": space}]),
        json!([{"op": "remove", "path": "/webhooks/4"}]),
    ];
    for kind in ["validatingwebhookconfiguration", "mutatingwebhookconfiguration"] {
        let what = kind.strip_suffix("webhookconfiguration").unwrap();
        let whole = || site.cluster.get(&[kind, "airlock"]).map(|object| object["webhooks"].clone());
        let before = whole().unwrap();
        for edit in &edits {
            let seen = metric(what);
            let edit = edit
                .to_string()
                .replace("/webhooks/4", if what == "mutating" { "/webhooks/0" } else { "/webhooks/4" });
            site.cluster.kubectl(&["patch", kind, "airlock", "--type=json", "-p", &edit]);
            wait("the configuration as it was", MINUTE, || (whole()? == before).then_some(()));
            wait("the count", MINUTE, || (metric(what) == seen + 1).then_some(()));
        }
        let seen = metric(what);
        site.cluster.kubectl(&["delete", kind, "airlock"]);
        wait("the configuration again", MINUTE, || (whole()? == before).then_some(()));
        wait("the count", MINUTE, || (metric(what) == seen + 1).then_some(()));
    }
    wait("a refusal", MINUTE, || site.create(&pod(&space, "web", UNSIGNED), true).err());
    let log = std::fs::read_to_string(site.cluster.path("controller.log")).unwrap();
    assert!(log.contains("the validating webhook configuration was deleted"), "{log}");
    assert!(log.contains("the mutating webhook configuration was changed"), "{log}");
}

/// Checks every workload kind, so that none bypasses the policy.
#[test]
fn every_workload_kind_is_verified_and_pinned() {
    let Some((_turn, site)) = shared() else { return };
    let space = site.verified_namespace("kinds");
    for (version, kind, template) in [
        ("apps/v1", "Deployment", "/spec/template"),
        ("apps/v1", "StatefulSet", "/spec/template"),
        ("apps/v1", "DaemonSet", "/spec/template"),
        ("apps/v1", "ReplicaSet", "/spec/template"),
        ("batch/v1", "Job", "/spec/template"),
        ("batch/v1", "CronJob", "/spec/jobTemplate/spec/template"),
        ("v1", "ReplicationController", "/spec/template"),
        ("v1", "PodTemplate", "/template"),
    ] {
        site.refuses(&workload(&space, version, kind, UNSIGNED), &[DENIED]);
        let made = site.create(&workload(&space, version, kind, SIGNED), true).unwrap();
        let image = image_of(&made, &format!("{template}/spec/containers/0/image"));
        assert_eq!(image, format!("{SIGNED}@{}", site.digest(SIGNED)), "{kind}");
    }
}

pub(super) fn workload(space: &str, version: &str, kind: &str, image: &str) -> Value {
    let template = |restart: &str| {
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"restartPolicy": restart,
            "containers": [{"name": "main", "image": image}]}})
    };
    let selector = json!({"matchLabels": {"app": "web"}});
    let mut object =
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": "web", "namespace": space}});
    match kind {
        "Job" => object["spec"] = json!({"template": template("Never")}),
        "CronJob" => {
            object["spec"] =
                json!({"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template("Never")}}});
        }
        "PodTemplate" => object["template"] = template("Always"),
        "ReplicationController" => object["spec"] = json!({"template": template("Always")}),
        "StatefulSet" => {
            object["spec"] =
                json!({"selector": selector, "serviceName": "web", "template": template("Always")});
        }
        _ => object["spec"] = json!({"selector": selector, "template": template("Always")}),
    }
    object
}

impl Site {
    /// The CA bundle that the API server trusts now.
    pub(super) fn ca_bundle(&self) -> String {
        let found = self.cluster.get(&["validatingwebhookconfiguration", "airlock"]).unwrap();
        image_of(&found, "/webhooks/0/clientConfig/caBundle")
    }
}
