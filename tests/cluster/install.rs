//! The controller put into a real cluster: our own program as an image, pulled by containerd from our own registry,
//! run by the kubelet, asked by the API server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::commands::{AIRLOCK, airlock, fails, works};
use crate::images;
use crate::rig::{Cluster, NODE, possible, require, wait};

/// The site: a registry with TLS, whose authority nodes know by what `airlock config` prints.
pub(crate) struct Site {
    pub(crate) cluster: Cluster,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) const REGISTRY: &str = "10.99.0.1:5000";

impl Site {
    /// Whether one can be made here; says what is missing.
    pub(crate) fn possible() -> bool {
        possible(true) && images::possible() && require(&["strip", "curl"])
    }

    /// A cluster apart, the registry in it, keys, and a real node that pulls from it alone.
    pub(crate) fn new() -> Self {
        let site = Self::serving(Cluster::apart(1), tempfile::tempdir().unwrap());
        let pause = site.path("pause");
        images::busybox(&pause, &["sleep", "100000"]);
        site.push(&pause, "pause:1");
        works(&site.cluster, &["keys", "generate", "release"]);
        works(&site.cluster, &["keys", "generate", "other"]);
        site.with_node(&["--mirror", "registry.example"], &format!("{REGISTRY}/pause:1"))
    }

    /// The registry of the folder's `store`, which is made if it is not there.
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
        wait("the registry", Duration::from_secs(30), || site.asks("").then_some(()));
        site
    }

    /// Whether the registry has something, by its path below `/v2/`.
    pub(crate) fn asks(&self, path: &str) -> bool {
        let ca = self.path("store/tls/ca.crt").display().to_string();
        let url = format!("https://{REGISTRY}/v2/{path}");
        let answer =
            self.cluster.command("curl").args(["-sf", "-o", "/dev/null", "--cacert", &ca, &url]).output();
        answer.unwrap().status.success()
    }

    /// A real node that pulls from the registry alone; `mirrors` says for which others it stands. Pods of airlock
    /// must not go to the node that runs nothing.
    pub(crate) fn with_node(mut self, mirrors: &[&str], sandbox: &str) -> Self {
        let certs = self.certs(mirrors);
        self.cluster.start_node(&certs, sandbox);
        self.cordon(true);
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What `airlock config` prints for containerd, where this test's containerd looks.
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

    /// Puts an OCI layout into the registry.
    pub(crate) fn push(&self, layout: &Path, name: &str) {
        let source = format!("oci:{}", layout.display());
        let target = format!("docker://{REGISTRY}/{name}");
        // Beside the key, skopeo would take it for a client's.
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

    /// A static airlock without what debuggers need, as a release is.
    pub(crate) fn program(&self) -> String {
        let path = self.path("airlock");
        if !path.exists() {
            assert!(Command::new("strip").arg("-o").arg(&path).arg(AIRLOCK).status().unwrap().success());
        }
        path.display().to_string()
    }

    /// `airlock install controller` with what this site has, and more.
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

    /// What the controller's pods are and say, for messages.
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
fn the_controller_is_installed_answers_is_upgraded_and_goes_again() {
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
    // Once more changes nothing, least of all the pods.
    let before = pods(cluster);
    let said = site.installs(&key);
    assert!(said.lines().all(|line| line.ends_with(" unchanged")), "{said}");
    assert_eq!(pods(cluster), before);
    refused(&site);
    upgraded(&mut site);
    goes(&site);
}

/// The folder `manifests` is built by kustomize, and taken by the API server.
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

/// The controller's pods, but for those that are on their way out.
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

/// The pods run the image by its digest, and the API server gets the webhook's answers.
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

/// A policy that would refuse airlock's own image is not applied, and nothing else is.
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

/// Another program, put into the store of a registry that asks for a password: pods that run it take the others' place.
fn upgraded(site: &mut Site) {
    const USERS: &str = "alice:$2y$05$DNTZIRj6ATkCh9at1M0IfuZCGpbfhnahBQzJ8/zltIw1bV9Bya8xe\n";
    let (before, old) = (pods(&site.cluster), image(&site.cluster));
    // What stands behind a program's own bytes changes nothing but its digest.
    let mut program = std::fs::read(site.program()).unwrap();
    program.extend_from_slice(b"newer");
    std::fs::write(site.program(), program).unwrap();
    let [users, alice, store] = ["users", "alice", "store"].map(|name| site.path(name).display().to_string());
    std::fs::write(&users, USERS).unwrap();
    std::fs::write(&alice, "alice:open sesame\n").unwrap();
    site.cluster.kill("registry");
    let serve = ["serve", "--store", &store, "--listen", REGISTRY, "--self-signed", "--tls-name", NODE];
    site.cluster.run_words("registry", AIRLOCK, &[&serve[..], &["--htpasswd", &users]].concat());
    wait("a registry that asks for a password", Duration::from_secs(30), || {
        let url = format!("https://{REGISTRY}/v2/");
        let words = ["-sk", "-o", "/dev/null", "-w", "%{http_code}", &url];
        let answer = site.cluster.command("curl").args(words).output().unwrap();
        (answer.stdout == b"401").then_some(())
    });
    site.installs(&["--bundle-key", "release.pub", "--store", &store, "--registry-credentials", &alice]);
    own_image_runs(&site.cluster);
    assert_ne!(image(&site.cluster), old);
    assert!(pods(&site.cluster).iter().all(|pod| !before.contains(pod)));
    // The controller itself gets in, too, unlike the one before it: it learns that there is no bundle.
    wait("the registry's answer", Duration::from_mins(2), || {
        let settings = site.cluster.get(&["pbc", "mgmt", "-n", "eksa-packages"])?;
        let detail = settings["status"]["detail"].as_str()?;
        detail.contains("the registry does not have it").then_some(())
    });
}

/// What the controller's Deployment runs.
fn image(cluster: &Cluster) -> String {
    let found = cluster.get(&["deployment", "airlock-controller", "-n", "eksa-packages"]).unwrap();
    found["spec"]["template"]["spec"]["containers"][0]["image"].to_string()
}

fn goes(site: &Site) {
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
    // Nothing is in the way of pods any more, and what users made is there.
    cluster.kubectl(&["run", "free", "--image", "registry.example/free:1"]);
    assert!(cluster.get(&["pbc", "mgmt", "-n", "eksa-packages"]).is_some());
    assert_eq!(works(cluster, &["uninstall", "controller"]), "");
    works(cluster, &["uninstall", "controller", "--all"]);
    for gone in ["eksa-packages", "eksa-packages-mgmt"] {
        assert!(cluster.get(&["namespace", gone]).is_none(), "{gone}");
    }
}
