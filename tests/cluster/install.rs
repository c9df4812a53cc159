//! Installs the controller in a real cluster: containerd pulls the binary as an image from airlock's registry, the kubelet
//! runs it, and the API server calls it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::commands::{AIRLOCK, airlock, fails, works};
use crate::images;
use crate::rig::{Cluster, NODE, possible, require, wait};

/// A cluster and a registry with TLS, which the nodes trust through the output of `airlock config`.
pub(crate) struct Site {
    pub(crate) cluster: Cluster,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) const REGISTRY: &str = "10.99.0.1:5000";

impl Site {
    /// Reports whether a site can be started; prints which programs are missing.
    pub(crate) fn possible() -> bool {
        possible(true) && images::possible() && require(&["strip", "curl"])
    }

    /// Starts an isolated cluster with a registry, keys, and a real node that pulls only from this registry.
    pub(crate) fn new() -> Self {
        let site = Self::serving(Cluster::isolated(1), tempfile::tempdir().unwrap());
        let pause = site.path("pause");
        images::busybox(&pause, &["sleep", "100000"]);
        site.push(&pause, "pause:1");
        works(&site.cluster, &["keys", "generate", "release"]);
        works(&site.cluster, &["keys", "generate", "other"]);
        site.with_node(&["--mirror", "registry.example"], &format!("{REGISTRY}/pause:1"))
    }

    /// Serves the folder's `store`, and creates it if it does not exist.
    pub(crate) fn serving(mut cluster: Cluster, folder: tempfile::TempDir) -> Self {
        let store = folder.path().join("store").display().to_string();
        let serve = [
            "serve",
            "--store",
            &store,
            "--create",
            "--listen",
            REGISTRY,
            "--self-signed",
            "--tls-name",
            NODE,
            "--anonymous-push",
        ];
        cluster.run_words("registry", AIRLOCK, &serve);
        let site = Self { cluster, folder };
        wait("the registry", Duration::from_secs(30), || site.registry_has("").then_some(()));
        site
    }

    /// Whether the registry responds with success to a path below `/v2/`.
    pub(crate) fn registry_has(&self, path: &str) -> bool {
        let ca = self.path("store/tls/ca.crt").display().to_string();
        let url = format!("https://{REGISTRY}/v2/{path}");
        let output =
            self.cluster.command("curl").args(["-sf", "-o", "/dev/null", "--cacert", &ca, &url]).output();
        output.unwrap().status.success()
    }

    /// Starts a real node that pulls only from this registry, also for the registries in `mirrors`. The kwok node is cordoned,
    /// so that airlock's pods run on the real node.
    pub(crate) fn with_node(mut self, mirrors: &[&str], sandbox: &str) -> Self {
        let certs = self.certs(mirrors);
        self.cluster.start_node(&certs, sandbox);
        self.cordon(true);
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the files of `airlock config containerd`, adapted to the paths of this containerd; returns their folder.
    fn certs(&self, mirrors: &[&str]) -> PathBuf {
        let (ca, to) =
            (self.path("store/tls/ca.crt").display().to_string(), self.path("node").display().to_string());
        let registry = format!("https://{REGISTRY}");
        let config = ["config", "containerd", "--registry", &registry, "--ca-file", &ca, "--output-dir", &to];
        works(&self.cluster, &[&config[..], mirrors].concat());
        let certs = self.path("node/etc/containerd/certs.d");
        for entry in std::fs::read_dir(&certs).unwrap().flatten() {
            let hosts = entry.path().join("hosts.toml");
            let text = std::fs::read_to_string(&hosts).unwrap();
            std::fs::write(hosts, text.replace("/etc/containerd/certs.d", &certs.display().to_string()))
                .unwrap();
        }
        certs
    }

    /// Pushes an OCI layout to the registry.
    pub(crate) fn push(&self, layout: &Path, name: &str) {
        let source = format!("oci:{}", layout.display());
        let target = format!("docker://{REGISTRY}/{name}");
        // In a separate folder, because skopeo would use the key beside it as a client key.
        let tls = self.path("trusted");
        std::fs::create_dir_all(&tls).unwrap();
        std::fs::copy(self.path("store/tls/ca.crt"), tls.join("ca.crt")).unwrap();
        let output = self
            .cluster
            .command("skopeo")
            .args([
                "--insecure-policy",
                "copy",
                "--quiet",
                "--dest-cert-dir",
                &tls.display().to_string(),
                &source,
                &target,
            ])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The static airlock binary without debug information, as in a release.
    pub(crate) fn program(&self) -> String {
        let path = self.path("airlock");
        if !path.exists() {
            assert!(Command::new("strip").arg("-o").arg(&path).arg(AIRLOCK).status().unwrap().success());
        }
        path.display().to_string()
    }

    /// The arguments of `airlock install controller` for this site.
    pub(crate) fn install(&self, more: &[&str]) -> Vec<String> {
        let ca = self.path("store/tls/ca.crt").display().to_string();
        let words = [
            "install",
            "controller",
            "--cluster",
            "mgmt",
            "--registry",
            REGISTRY,
            "--registry-ca",
            &ca,
            "--timeout",
            "90s",
        ];
        let program = self.program();
        let binary = ["--binary", program.as_str()];
        let words = words.iter().chain(&binary).chain(more);
        words.map(|word| (*word).to_owned()).collect()
    }

    pub(crate) fn installs(&self, more: &[&str]) -> String {
        let words = self.install(more);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let output = airlock(&self.cluster, &words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{}", self.controller());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The state and the logs of the controller's pods, for error messages.
    pub(crate) fn controller(&self) -> String {
        let own = ["-n", "eksa-packages", "-l", "app.kubernetes.io/component=controller"];
        let (_, pods) = self.cluster.tries(&[&["get", "pods", "-o", "wide"][..], &own].concat());
        let logs = "tail -n 30 $(ls -t /var/log/pods/eksa-packages_airlock-controller-*/*/*.log | head -n 2)";
        let logs = Command::new("sh").args(["-c", logs]).output().unwrap();
        format!("{pods}\n{}", String::from_utf8_lossy(&logs.stdout))
    }

    pub(crate) fn cordon(&self, on: bool) {
        self.cluster.kubectl(&[if on { "cordon" } else { "uncordon" }, "fake-0"]);
    }
}

#[test]
fn the_controller_is_installed_upgraded_and_uninstalled() {
    if !Site::possible() {
        return;
    }
    let mut site = Site::new();
    let cluster = &site.cluster;
    kustomized(cluster);
    let key = ["--key", "release.key", "--bundle-key", "release.pub"];
    let said = site.installs(&key);
    assert!(said.contains("deployment/airlock-controller configured"), "{said}");
    own_image_runs(cluster);
    // Running it again changes nothing.
    let before = pods(cluster);
    let said = site.installs(&key);
    assert!(said.lines().all(|line| line.ends_with(" unchanged")), "{said}");
    assert_eq!(pods(cluster), before);
    refused(&site);
    upgraded(&mut site);
    uninstalled(&site);
}

/// kustomize builds the folder `manifests`, and the API server accepts the result.
fn kustomized(cluster: &Cluster) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests");
    let built = cluster.kubectl(&["kustomize", folder]);
    for kind in [
        "Namespace",
        "CustomResourceDefinition",
        "Deployment",
        "PodDisruptionBudget",
        "NetworkPolicy",
        "ClusterRole",
    ] {
        assert!(built.contains(&format!("\nkind: {kind}\n")), "{kind}");
    }
    cluster.kubectl(&["apply", "--server-side", "-k", folder]);
    let (good, said) = cluster.apply(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: root, namespace: eksa-packages}\nspec: {containers: [{name: root, image: x}]}\n",
    );
    assert!(!good && said.contains("violates PodSecurity \"restricted:latest\""), "{said}");
}

/// The controller's pods that are running and not being deleted.
fn running(cluster: &Cluster) -> Vec<Value> {
    let own = ["pods", "-n", "eksa-packages", "-l", "app.kubernetes.io/component=controller"];
    let found = cluster.get(&own).unwrap();
    let stays =
        |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null() && pod["status"]["phase"] == "Running";
    found["items"].as_array().unwrap().iter().filter(stays).cloned().collect()
}

fn pods(cluster: &Cluster) -> Vec<String> {
    let mut all: Vec<_> = running(cluster).iter().map(|pod| pod["metadata"]["uid"].to_string()).collect();
    all.sort();
    all
}

/// The pods run the image by its digest, and the API server receives answers from the webhook.
fn own_image_runs(cluster: &Cluster) {
    let ready = running(cluster);
    assert_eq!(ready.len(), 2);
    for pod in ready {
        let image = pod["spec"]["containers"][0]["image"].as_str().unwrap();
        assert!(image.starts_with(&format!("{REGISTRY}/airlock/airlock@sha256:")), "{image}");
        assert_eq!(pod["spec"]["nodeName"], "n1");
    }
    let bundle = json!({
        "apiVersion": "packages.eks.amazonaws.com/v1alpha1", "kind": "PackageBundle",
        "metadata": { "name": "v1-36-1", "namespace": "eksa-packages" }, "spec": { "packages": [] },
    });
    let (good, said) = cluster.apply(&bundle.to_string());
    assert!(!good && said.contains("Missing signature"), "{said}");
    let settings = cluster.get(&["pbc", "mgmt", "-n", "eksa-packages"]).unwrap();
    assert_eq!(settings["spec"]["defaultRegistry"], REGISTRY);
}

/// If a policy would reject airlock's own image, nothing is applied.
fn refused(site: &Site) {
    let policy = |name: &str| {
        let key = std::fs::read_to_string(site.cluster.path(name)).unwrap();
        json!({
            "apiVersion": "airlock.dev/v1alpha1", "kind": "TrustPolicy", "metadata": { "name": "site" },
            "spec": { "trust": { "keys": [{ "name": "site", "publicKey": key }] } },
        })
        .to_string()
    };
    std::fs::write(site.cluster.path("policy.yaml"), policy("other.pub")).unwrap();
    let words = site.install(&["-f", "policy.yaml"]);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    fails(&site.cluster, &words, 3, "the policy `site` would refuse airlock's own image");
    assert!(site.cluster.get(&["trustpolicy", "site"]).is_none());
    std::fs::write(site.cluster.path("policy.yaml"), policy("release.pub")).unwrap();
    site.installs(&["-f", "policy.yaml", "--bundle-key", "release.pub"]);
    assert!(site.cluster.get(&["trustpolicy", "site"]).is_some());
    site.cluster.kubectl(&["delete", "trustpolicy", "site"]);
}

/// Upgrades to another binary, through the store of a registry that requires a password; the pods are replaced.
fn upgraded(site: &mut Site) {
    const USERS: &str = "alice:$2y$05$DNTZIRj6ATkCh9at1M0IfuZCGpbfhnahBQzJ8/zltIw1bV9Bya8xe\n";
    let (before, old) = (pods(&site.cluster), image(&site.cluster));
    // Bytes appended to the binary change nothing but its digest.
    let mut program = std::fs::read(site.program()).unwrap();
    program.extend_from_slice(b"newer");
    std::fs::write(site.program(), program).unwrap();
    let [users, alice, store] = ["users", "alice", "store"].map(|name| site.path(name).display().to_string());
    std::fs::write(&users, USERS).unwrap();
    std::fs::write(&alice, "alice:open sesame\n").unwrap();
    site.cluster.kill("registry");
    let serve = ["serve", "--store", &store, "--listen", REGISTRY, "--self-signed", "--tls-name", NODE];
    site.cluster.run_words("registry", AIRLOCK, &[&serve[..], &["--htpasswd", &users]].concat());
    wait("a registry that requires a password", Duration::from_secs(30), || {
        let url = format!("https://{REGISTRY}/v2/");
        let words = ["-sk", "-o", "/dev/null", "-w", "%{http_code}", &url];
        let output = site.cluster.command("curl").args(words).output().unwrap();
        (output.stdout == b"401").then_some(())
    });
    site.installs(&["--bundle-key", "release.pub", "--store", &store, "--registry-credentials", &alice]);
    own_image_runs(&site.cluster);
    assert_ne!(image(&site.cluster), old);
    assert!(pods(&site.cluster).iter().all(|pod| !before.contains(pod)));
    // The new controller can log in to the registry, unlike the previous one, and finds that there is no bundle.
    wait("the registry's response", Duration::from_mins(2), || {
        let settings = site.cluster.get(&["pbc", "mgmt", "-n", "eksa-packages"])?;
        let detail = settings["status"]["detail"].as_str()?;
        detail.contains("the registry does not have it").then_some(())
    });
}

/// The image of the controller's Deployment.
fn image(cluster: &Cluster) -> String {
    let found = cluster.get(&["deployment", "airlock-controller", "-n", "eksa-packages"]).unwrap();
    found["spec"]["template"]["spec"]["containers"][0]["image"].to_string()
}

fn uninstalled(site: &Site) {
    let cluster = &site.cluster;
    works(cluster, &["uninstall", "controller", "--dry-run"]);
    assert!(cluster.get(&["deployment", "airlock-controller", "-n", "eksa-packages"]).is_some());
    let granted = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": "airlock-packages-mgmt", "labels": { "app.kubernetes.io/part-of": "airlock" } },
    });
    assert!(cluster.apply(&granted.to_string()).0);
    let said = works(cluster, &["uninstall", "controller"]);
    assert!(said.contains("validatingwebhookconfiguration/airlock deleted"), "{said}");
    for gone in [
        "validatingwebhookconfiguration/airlock",
        "mutatingwebhookconfiguration/airlock",
        "clusterrole/airlock-controller",
        "clusterrole/airlock-packages-mgmt",
    ] {
        assert!(cluster.get(&[gone]).is_none(), "{gone}");
    }
    // Pods are no longer rejected, and objects that users created still exist.
    cluster.kubectl(&["run", "free", "--image", "registry.example/free:1"]);
    assert!(cluster.get(&["pbc", "mgmt", "-n", "eksa-packages"]).is_some());
    assert_eq!(works(cluster, &["uninstall", "controller"]), "");
    works(cluster, &["uninstall", "controller", "--all"]);
    for gone in ["eksa-packages", "eksa-packages-mgmt"] {
        assert!(cluster.get(&["namespace", gone]).is_none(), "{gone}");
    }
}
