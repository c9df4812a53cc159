//! A separate cluster with EKS Anywhere's CRDs, which have fewer status fields than airlock's; and tests that need a whole
//! cluster.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};

use super::package_commands::airlock;
use super::{AIRLOCK, MINUTE, Shard, Site};
use crate::rig::{Running, free_port, possible, wait};

#[test]
fn a_cluster_with_the_crds_of_eks_anywhere_is_supported() {
    if !possible(false) {
        return;
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crds = [
        here.join("package-api/tests/data/packages.eks.amazonaws.com.yaml"),
        here.join("manifests/crds/airlock.dev_trustpolicies.yaml"),
    ];
    let site = Arc::new(Site::with(&[&crds[0], &crds[1]]));
    let shard = Shard::new(&site, "given", "v1-36-2");
    shard.proxy.show_all();
    let controller = shard.start();
    gives_up_once(&shard, controller);
    shard.delete_lease();
    let controller = shard.start();
    one_release_is_one_package_s(&shard);
    package_commands_for_workload_clusters(&site);
    drop(controller);
    drop(shard);
    configurations_wait_for_the_service(&site);
}

/// Waits for an installation, using only the fields of these CRDs.
fn installed(shard: &Shard, name: &str, version: &str) {
    shard.until(name, MINUTE, |package| {
        package["status"]["state"] == "installed" && package["status"]["currentVersion"] == version
    });
}

/// EKS Anywhere's CRDs have no conditions, so an annotation records that a package was given up.
fn gives_up_once(shard: &Shard, controller: Running) {
    shard.package("never", "base", "1.0.0", "os: windows", "airlock.dev/timeout: 1s");
    let failed = shard.until("never", MINUTE, |package| {
        !package["metadata"]["annotations"]["airlock.dev/given-up"].is_null()
    });
    assert!(failed["status"]["conditions"].is_null(), "{failed:#}");
    assert!(failed["status"]["detail"].as_str().unwrap().contains("not ready after 1 s"), "{failed:#}");
    let begun = || shard.events("never").iter().filter(|(reason, _)| reason == "Installing").count();
    assert_eq!(begun(), 1);
    // A restarted controller checks all packages, beginning with the one that was given up.
    drop(controller);
    shard.delete_lease();
    let _controller = shard.start();
    shard.package("after", "plain", "1.0.0", "word: x", "");
    installed(shard, "after", "1.0.0");
    assert_eq!(begun(), 1);
    assert!(shard.revisions("never").is_empty());
    // A changed package is retried, and the annotation is removed on success.
    shard.change("never", &json!({ "config": "os: linux" }));
    shard.until("never", MINUTE, |package| package["status"]["state"] == "installed");
    let found = shard.until("never", MINUTE, |package| {
        package["metadata"]["annotations"]["airlock.dev/given-up"].is_null()
    });
    assert_eq!(found["status"]["currentVersion"], "1.0.0");
}

/// Two packages with the same name in the two namespaces of the management cluster, created without admission.
fn one_release_is_one_package_s(shard: &Shard) {
    let site = &shard.site;
    let word = |name: &str| {
        let found = site.get(&["configmap", "twin", "-n", name])?;
        Some(found["data"]["word"].clone())
    };
    let second = || {
        site.apply(
            "apiVersion: packages.eks.amazonaws.com/v1alpha1\nkind: Package\nmetadata: {name: twin, namespace: eksa-packages}\n\
             spec: {packageName: plain, packageVersion: 1.0.0, targetNamespace: at-second, config: 'word: second'}\n",
        );
    };
    let detail = || {
        let found = site.get(&["packages.packages.eks.amazonaws.com", "twin", "-n", "eksa-packages"])?;
        found["status"]["detail"].as_str().map(str::to_owned)
    };
    let delete =
        || site.kubectl(&["delete", "packages.packages.eks.amazonaws.com", "twin", "-n", "eksa-packages"]);
    shard.package("twin", "plain", "1.0.0", "word: first", "");
    installed(shard, "twin", "1.0.0");
    second();
    wait("the second package to be refused", MINUTE, || {
        detail()?.contains("belongs to the package eksa-packages-given/twin").then_some(())
    });
    // Deleting it does not affect the other release.
    delete();
    assert_eq!(word("at-twin"), Some(json!("first")));
    assert_eq!(shard.revisions("twin"), ["\"1\" \"deployed\""]);
    // It gets the name when it is free.
    second();
    wait("the second package to be refused", MINUTE, || {
        detail()?.contains("eksa-packages-given/twin").then_some(())
    });
    shard.delete("twin");
    shard.gone("twin");
    wait("the second's release", MINUTE, || (word("at-second")? == "second").then_some(()));
    assert_eq!(word("at-twin"), None);
    delete();
    assert!(shard.revisions("twin").is_empty());
}

/// `airlock package` finds workload clusters as the controller does.
fn package_commands_for_workload_clusters(site: &Arc<Site>) {
    let far = Shard::new(site, "far", "v1-36-2");
    let charts = ["--cluster", "far", "--registry", &site.registry, "--plain-http"];
    let package =
        |verb: &str, more: &[&str]| airlock(site, &[&["package", verb], more, &charts[..]].concat());
    far.package("away", "plain", "1.0.0", "word: one", "");
    site.apply(&controller_of("given"));
    let (code, said) = package("render", &["away"]);
    assert!(
        code == 4
            && said
                .contains("secret `far-kubeconfig` not found in `eksa-system`, and this cluster is `given`"),
        "{said}"
    );

    // The workload cluster is the same cluster, with another user.
    let unprivileged = site.cluster.lock().unwrap().unprivileged();
    site.kubectl(&["create", "namespace", "eksa-system"]);
    let from = format!("--from-file=value={}", unprivileged.display());
    site.kubectl(&["create", "secret", "generic", "far-kubeconfig", "-n", "eksa-system", &from]);
    let (code, said) = package("diff", &["away"]);
    assert!(code == 1 && said.contains("User \"somebody\" cannot"), "{code}: {said}");
    assert!(!said.contains("Status {"), "{said}");
    let all = ["--clusterrole=cluster-admin", "--user=somebody"];
    site.kubectl(&[&["create", "clusterrolebinding", "somebody"], &all[..]].concat());

    installed(&far, "away", "1.0.0");
    far.package("away", "plain", "2.0.0", "word: two", "");
    installed(&far, "away", "2.0.0");
    let (code, said) = package("render", &["away"]);
    assert!(code == 0 && said.contains("word: 'two'"), "{said}");
    let (code, said) = package("diff", &["away"]);
    assert!(code == 0 && said.starts_with("no difference\n"), "{said}");
    let (code, said) = airlock(site, &["package", "rollback", "away", "--cluster", "far"]);
    assert!(code == 0 && said.contains("returns to revision 1, chart 1.0.0"), "{said}");
    installed(&far, "away", "1.0.0");
    let (code, said) = package("rights", &[]);
    assert!(
        code == 0 && said.contains("name: airlock-packages-far") && said.contains("name: somebody"),
        "{said}"
    );
    let (code, said) = package("rights", &["--apply"]);
    assert!(
        code == 2 && said.contains("this controller cannot grant permissions in cluster `far`"),
        "{said}"
    );
}

/// The Deployment from which the command line reads the name of the cluster.
fn controller_of(cluster: &str) -> String {
    let labels = json!({ "app": "airlock" });
    let container =
        json!({ "name": "controller", "image": "x", "env": [{ "name": "CLUSTER_NAME", "value": cluster }] });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "airlock-controller", "namespace": "eksa-packages" },
        "spec": { "replicas": 0, "selector": { "matchLabels": labels }, "template": {
            "metadata": { "labels": labels }, "spec": { "containers": [container] },
        } },
    })
    .to_string()
}

/// Starts a replica with a service for its webhooks.
fn replica(site: &Site, identity: &str, service: &str, health: u16) -> Running {
    let log = fs::File::create(site.folder.path().join(format!("order-{identity}.log"))).unwrap();
    let mut command = Command::new(AIRLOCK);
    command
        .args(["controller", "--cluster-name", "order", "--identity", identity, "--service", service])
        .args(["--namespace", "airlock-order", "--webhook-listen", "127.0.0.1:0", "--kubeconfig"])
        .arg(site.cluster.lock().unwrap().kubeconfig())
        .args(["--health-listen", &format!("127.0.0.1:{health}")])
        .args(["--registry", &site.registry, "--plain-http"])
        .env("RUST_LOG", "info")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Running(command.spawn().unwrap())
}

/// An `EndpointSlice` whose only endpoint is the pod with this name.
fn endpoint(service: &str, pod: &str, ready: bool) -> String {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": service, "namespace": "airlock-order",
            "labels": { "kubernetes.io/service-name": service } },
        "endpoints": [{ "addresses": ["10.1.2.3"], "conditions": { "ready": ready },
            "targetRef": { "kind": "Pod", "name": pod, "namespace": "airlock-order" } }],
        "ports": [{ "name": "webhook", "port": 9443 }],
    })
    .to_string()
}

/// The webhook configurations are written only when the service routes to a webhook, because they would block every pod
/// before. Replicas with different services do not overwrite each other.
fn configurations_wait_for_the_service(site: &Arc<Site>) {
    site.kubectl(&["create", "namespace", "airlock-order"]);
    site.apply(&endpoint("hook", "a", false));
    let said = |identity: &str| {
        fs::read_to_string(site.folder.path().join(format!("order-{identity}.log"))).unwrap()
    };
    let configuration = || site.get(&["validatingwebhookconfigurations", "airlock"]);
    let service = |found: &Value| found["webhooks"][0]["clientConfig"]["service"]["name"].clone();
    let health = free_port();
    let first = replica(site, "a", "hook", health);
    wait("the first replica", MINUTE, || {
        let url = format!("http://127.0.0.1:{health}/readyz");
        Command::new("curl").args(["-sf", &url]).output().unwrap().status.success().then_some(())
    });
    assert!(
        said("a").contains("stay empty until this pod is a ready endpoint of the service"),
        "{}",
        said("a")
    );
    assert!(configuration().is_none(), "{}", said("a"));
    // The endpoint of another replica does not count.
    site.apply(&endpoint("hook", "other", true));
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert!(configuration().is_none(), "{}", said("a"));
    site.apply(&endpoint("hook", "a", true));
    let made = wait("the configuration", MINUTE, configuration);
    assert_eq!(service(&made), "hook");

    site.apply(&endpoint("elsewhere", "b", true));
    let _second = replica(site, "b", "elsewhere", free_port());
    wait("the second replica", MINUTE, || said("b").contains("the leader decides").then_some(()));
    std::thread::sleep(std::time::Duration::from_secs(3));
    let still = configuration().unwrap();
    assert_eq!(still["metadata"]["generation"], made["metadata"]["generation"]);
    drop(first);
    site.kubectl(&["delete", "lease", "airlock-controller", "-n", "airlock-order"]);
    wait("the second replica's turn", MINUTE, || (service(&configuration()?) == "elsewhere").then_some(()));
}
