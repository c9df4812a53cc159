//! Admission while no replica of the controller is running.

use std::time::Instant;

use serde_json::{Value, json};

use super::{MINUTE, SIGNED, Site, alone, pod, policy};
use crate::rig::wait;

fn deployment(namespace: &str, name: &str, image: &str) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]},
        }},
    })
}

impl Site {
    fn ready(&self, namespace: &str, name: &str, replicas: u64) {
        wait(&format!("{replicas} pods of {namespace}/{name}"), MINUTE, || {
            let found = self.cluster.get(&["deployment", name, "-n", namespace])?;
            (found["status"]["readyReplicas"] == replicas && found["status"]["updatedReplicas"] == replicas)
                .then_some(())
        });
    }
}

#[test]
fn without_a_replica_verified_objects_are_rejected_and_all_others_are_not() {
    let Some((_turn, site)) = alone() else { return };
    let space = site.verified_namespace("gone");
    site.active();
    site.makes(&deployment(&space, "web", SIGNED));
    site.ready(&space, "web", 2);
    *site.controller.lock().unwrap() = None;

    let package = json!({
        "apiVersion": "packages.eks.amazonaws.com/v1alpha1", "kind": "Package",
        "metadata": {"name": "waits", "namespace": "eksa-packages-cluster01"},
        "spec": {"packageName": "hello-eks-anywhere", "targetNamespace": "waits"},
    });
    // The message is the API server's. The cause in it depends on whether a connection was still open.
    let images = ["failed calling webhook \"mutate-images.airlock.dev\""];
    site.refuses(&pod(&space, "new", SIGNED), &images);
    site.refuses(&deployment(&space, "new", SIGNED), &images);
    site.refuses(&package, &["failed calling webhook \"vpackage.kb.io\""]);
    let policy = policy("gone", "none", "enforce", &json!({"names": ["gone"]}));
    site.refuses(&policy, &["failed calling webhook \"trustpolicies.airlock.dev\""]);

    for namespace in ["kube-system", "eksa-packages"] {
        site.makes(&pod(namespace, "alone", SIGNED));
        site.makes(&deployment(namespace, "web", SIGNED));
        site.ready(namespace, "web", 2);
    }
    let settings =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": space}});
    site.makes(&settings);

    // Pods of an existing Deployment are missing, and more are requested.
    site.cluster.kubectl(&["scale", "deployment", "web", "-n", &space, "--replicas=4"]);
    site.cluster.kubectl(&["delete", "pods", "-n", &space, "-l", "app=web", "--force", "--grace-period=0"]);
    wait("the event", MINUTE, || {
        let failed = ["-n", &space, "--field-selector=reason=FailedCreate"];
        let said = site.cluster.kubectl(&[&["get", "events"], &failed[..]].concat());
        said.contains("failed calling webhook").then_some(())
    });
    let begun = Instant::now();
    site.restart();
    let answers = begun.elapsed();
    site.ready(&space, "web", 4);
    println!(
        "a replica answered after {:.1} s, and all pods ran after {:.1} s",
        answers.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    let pods = site.cluster.get(&["pods", "-n", &space, "-l", "app=web"]).unwrap();
    let pinned = format!("{SIGNED}@{}", site.digest(SIGNED));
    assert!(
        pods["items"].as_array().unwrap().iter().all(|pod| pod["spec"]["containers"][0]["image"] == pinned)
    );
    site.makes(&package);
    site.cluster.kubectl(&[
        "delete",
        "packages.packages.eks.amazonaws.com",
        "waits",
        "-n",
        "eksa-packages-cluster01",
    ]);
    for namespace in ["kube-system", "eksa-packages"] {
        let force = ["-n", namespace, "--force", "--grace-period=0"];
        site.cluster.kubectl(&[&["delete", "deployment/web", "pod/alone"], &force[..]].concat());
    }
}
