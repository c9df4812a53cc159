//! The package commands against a real API server: the behaviour and the columns of EKS Anywhere.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use package_api::crd;
use serde_json::{Value, json};

use crate::rig::{Cluster, possible, wait};

pub(crate) const AIRLOCK: &str = env!("CARGO_BIN_EXE_airlock");

/// Runs airlock in the cluster's folder, which is also its home directory.
pub(crate) fn airlock(cluster: &Cluster, arguments: &[&str]) -> Output {
    cluster
        .command(AIRLOCK)
        .args(arguments)
        .env("AIRLOCK_KEY_PASSWORD", "a password")
        .env("AIRLOCK_AUDIT_LOG", cluster.path("log"))
        .output()
        .unwrap()
}

pub(crate) fn works(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = airlock(cluster, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn fails(cluster: &Cluster, arguments: &[&str], code: i32, words: &str) {
    let output = airlock(cluster, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(code) && said.contains(words),
        "{arguments:?}: {:?}: {said}",
        output.status.code()
    );
}

/// The newest event of the audit log.
fn event(cluster: &Cluster) -> Value {
    let text = works(cluster, &["audit", "log", "--limit", "1", "--output", "json"]);
    serde_json::from_str::<Value>(&text).unwrap()[0]["event"].take()
}

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn bundle(name: &str, versions: &[&str]) -> String {
    let version = |version: &&str| json!({ "name": version, "digest": DIGEST });
    let versions: Vec<_> = versions.iter().map(version).collect();
    json!({
        "apiVersion": "packages.eks.amazonaws.com/v1alpha1", "kind": "PackageBundle",
        "metadata": { "name": name, "namespace": "eksa-packages" },
        "spec": { "packages": [
            { "name": "hello-eks-anywhere", "source": { "repository": "charts/hello", "versions": versions } },
            { "name": "metallb", "source": { "repository": "charts/metallb", "versions": [{ "name": "0.13.7", "digest": DIGEST }] } },
        ]},
    })
    .to_string()
}

/// A cluster with the CRDs, two bundles and the settings of the cluster `mgmt`, but without a controller.
fn with_bundles() -> Cluster {
    let cluster = Cluster::start(1);
    let mut all: Vec<_> = crd::all().iter().map(ToString::to_string).collect();
    for namespace in ["eksa-packages", "eksa-packages-mgmt"] {
        all.push(
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }).to_string(),
        );
    }
    let (good, said) = cluster.apply(&all.join("\n---\n"));
    assert!(good, "{said}");
    let settings = json!({
        "apiVersion": "packages.eks.amazonaws.com/v1alpha1", "kind": "PackageBundleController",
        "metadata": { "name": "mgmt", "namespace": "eksa-packages" }, "spec": { "activeBundle": "v1-36-7" },
    });
    let all = [bundle("v1-36-7", &["0.1.0"]), bundle("v1-36-8", &["0.2.0", "0.1.0"]), settings.to_string()];
    wait("the CRDs", Duration::from_secs(20), || cluster.apply(&all.join("\n---\n")).0.then_some(()));
    cluster
}

#[test]
fn packages_are_managed_with_the_commands_of_eks_anywhere() {
    if !possible(false) {
        return;
    }
    let cluster = with_bundles();
    gets(&cluster);
    changes(&cluster);
    upgrades(&cluster);
    keeps_permissions(&cluster);
    deletes(&cluster);
    refuses(&cluster);
}

fn gets(cluster: &Cluster) {
    assert_eq!(
        works(cluster, &["list", "packages", "--cluster", "mgmt"]),
        "Package\t\t\tVersion(s)\n-------\t\t\t----------\nhello-eks-anywhere\t0.1.0\t\t\nmetallb\t\t\t0.13.7\t\t\n"
            .replace("Version(s)\n", "Version(s)\t\n")
            .replace("----------\n", "----------\t\n")
    );
    for (ours, theirs) in [
        (&["get", "packagebundles"][..], "packagebundles"),
        (&["get", "pbc"], "packagebundlecontrollers"),
        (&["get", "packagebundlecontroller"], "packagebundlecontrollers"),
    ] {
        assert_eq!(
            works(cluster, ours),
            cluster.kubectl(&["get", theirs, "-n", "eksa-packages"]),
            "{ours:?}"
        );
    }
    let one: Value =
        serde_json::from_str(&works(cluster, &["get", "packagebundle", "v1-36-7", "-o", "json"])).unwrap();
    assert_eq!(one["metadata"]["name"], "v1-36-7");
    assert!(works(cluster, &["get", "packagebundles", "-o", "yaml"]).starts_with("apiVersion: v1\nitems:\n"));
    assert_eq!(works(cluster, &["get", "packages", "--cluster", "mgmt"]), "");
}

fn changes(cluster: &Cluster) {
    let generated = works(cluster, &["generate", "package", "metallb", "--cluster", "mgmt"]);
    std::fs::write(cluster.path("metallb.yaml"), generated).unwrap();
    let file = ["packages", "-f", "metallb.yaml"];
    let with = |verb: &'static str, more: &[&'static str]| [&[verb][..], &file, more].concat();
    assert_eq!(
        works(cluster, &with("apply", &["--dry-run"])),
        "package/generated-metallb created (dry run)\n"
    );
    assert_eq!(
        works(cluster, &with("create", &["--dry-run"])),
        "package/generated-metallb created (dry run)\n"
    );
    assert!(cluster.get(&["package", "generated-metallb", "-n", "eksa-packages-mgmt"]).is_none());
    assert_eq!(works(cluster, &with("create", &[])), "package/generated-metallb created\n");
    let logged = event(cluster);
    assert_eq!(
        (logged["event"].as_str(), logged["evidence"]["verb"].as_str()),
        (Some("package.change"), Some("create"))
    );
    fails(cluster, &with("create", &[]), 1, "already exists");
    assert_eq!(event(cluster)["outcome"]["result"], "failed");
    assert_eq!(works(cluster, &with("apply", &[])), "package/generated-metallb configured\n");
    assert_eq!(works(cluster, &with("apply", &[])), "package/generated-metallb unchanged\n");

    installs(cluster);
}

fn installs(cluster: &Cluster) {
    let install = ["install", "package", "HELLO-eks-anywhere", "-n", "hello", "--cluster", "mgmt"];
    let set = ["--set", "title=Hi", "--set", "a.b=true", "--target-namespace", "hello"];
    assert_eq!(works(cluster, &[&install[..], &set].concat()), "package/hello created\n");
    let made = cluster.get(&["package", "hello", "-n", "eksa-packages-mgmt"]).unwrap();
    assert_eq!(
        made["spec"],
        json!({ "packageName": "hello-eks-anywhere", "config": "a:\n  b: true\ntitle: Hi\n", "targetNamespace": "hello" })
    );
    let listed = works(cluster, &["get", "packages", "--cluster", "mgmt"]);
    assert_eq!(listed, cluster.kubectl(&["get", "packages", "-n", "eksa-packages-mgmt"]));
    assert!(
        listed.starts_with(
            "NAME                PACKAGE              AGE   STATE   CURRENTVERSION   TARGETVERSION   DETAIL\n"
        ),
        "{listed}"
    );
    let one = works(cluster, &["get", "package", "hello", "--cluster", "mgmt"]);
    assert!(one.lines().count() == 2 && one.contains("\nhello "), "{one}");

    let status = json!({ "status": { "state": "installing", "detail": "no such image", "currentVersion": "",
        "source": { "registry": "", "repository": "charts/hello", "version": "0.1.0", "digest": DIGEST } }});
    cluster.kubectl(&[
        "patch",
        "package",
        "hello",
        "-n",
        "eksa-packages-mgmt",
        "--subresource",
        "status",
        "--type",
        "merge",
        "-p",
        &status.to_string(),
    ]);
    let happened = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": { "name": "hello.1", "namespace": "eksa-packages-mgmt" },
        "involvedObject": { "apiVersion": "packages.eks.amazonaws.com/v1alpha1", "kind": "Package", "name": "hello", "namespace": "eksa-packages-mgmt" },
        "type": "Warning", "reason": "NotReady", "message": "deployment/hello has no ready replica", "count": 4,
    });
    let (good, said) = cluster.apply(&happened.to_string());
    assert!(good, "{said}");
    let described = works(cluster, &["describe", "packages", "--cluster", "mgmt", "hello"]);
    for line in [
        "State:              installing\n",
        "Detail:             no such image\n",
        "Chart digest:       sha256:aaaa",
        "Warning NotReady             deployment/hello has no ready replica (4 times)",
    ] {
        assert!(described.contains(line), "{described}");
    }
}

fn upgrades(cluster: &Cluster) {
    let active = || {
        let settings = cluster.get(&["pbc", "mgmt", "-n", "eksa-packages"]).unwrap();
        settings["spec"]["activeBundle"].as_str().unwrap().to_owned()
    };
    let to = |bundle: &'static str, more: &[&'static str]| {
        [&["upgrade", "packages", "--cluster", "mgmt", "--bundle-version", bundle][..], more].concat()
    };
    works(cluster, &to("v1-36-8", &["--dry-run"]));
    assert_eq!(active(), "v1-36-7");
    let said = works(cluster, &to("v1-36-8", &[]));
    assert_eq!(said, "packagebundlecontroller/mgmt configured: active bundle v1-36-8 (was v1-36-7)\n");
    assert_eq!(event(cluster)["evidence"]["before"], "v1-36-7");
    assert!(works(cluster, &["list", "packages", "--cluster", "mgmt"]).contains("0.2.0, 0.1.0"));
    fails(cluster, &to("v1-36-7", &[]), 2, "is older than the active bundle `v1-36-8`");
    assert_eq!(active(), "v1-36-8");
    works(cluster, &to("v1-36-7", &["--allow-downgrade"]));
    assert_eq!(active(), "v1-36-7");
    fails(cluster, &to("v1-36-9", &[]), 4, "\"v1-36-9\" not found");
    fails(cluster, &to("v1-36-9", &[]), 4, "kubectl patch pbc -n eksa-packages mgmt --type merge");
    fails(cluster, &to("latest", &[]), 2, "latest");
}

fn deletes(cluster: &Cluster) {
    let delete = |names: &[&'static str], more: &[&'static str]| {
        [&["delete", "packages", "--cluster", "mgmt"][..], names, more].concat()
    };
    fails(cluster, &delete(&["hello", "none"], &[]), 4, "packages \"none\" not found");
    works(cluster, &delete(&["hello"], &["--dry-run"]));
    assert!(cluster.get(&["package", "hello", "-n", "eksa-packages-mgmt"]).is_some());
    assert_eq!(works(cluster, &delete(&["hello"], &[])), "package/hello deleted\n");
    assert!(cluster.get(&["package", "hello", "-n", "eksa-packages-mgmt"]).is_none());
    // A finalizer that blocks the deletion is reported, and the command waits no longer than the timeout.
    let hold = json!({ "metadata": { "finalizers": ["example.com/hold"] } }).to_string();
    cluster.kubectl(&[
        "patch",
        "package",
        "generated-metallb",
        "-n",
        "eksa-packages-mgmt",
        "--type",
        "merge",
        "-p",
        &hold,
    ]);
    let words = "still exists after 1 s: the finalizer example.com/hold blocks it";
    fails(cluster, &delete(&["generated-metallb"], &["--timeout", "1s"]), 1, words);
    works(cluster, &delete(&["generated-metallb"], &["--no-wait"]));
}

/// If the registry does not answer, existing permissions are kept.
fn keeps_permissions(cluster: &Cluster) {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "airlock-packages-mgmt" },
        "rules": [{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"] }],
    });
    assert!(cluster.apply(&role.to_string()).0);
    let silent = ["--cluster", "mgmt", "--registry", "127.0.0.1:9", "--plain-http"];
    fails(cluster, &[&["package", "rights", "--apply"][..], &silent].concat(), 6, "--registry HOST:PORT");
    assert_eq!(cluster.get(&["clusterrole", "airlock-packages-mgmt"]).unwrap()["rules"], role["rules"]);
}

/// After a rejected object, the following ones are still created, and the command fails at the end.
fn one_after_another(cluster: &Cluster) {
    let package = |name: &str, spec: &str| {
        format!(
            "---\napiVersion: packages.eks.amazonaws.com/v1alpha1\nkind: Package\nmetadata: {{name: {name}, namespace: eksa-packages-mgmt}}\nspec: {spec}\n"
        )
    };
    let text = package("bad", "{config: \"a: 1\"}") + &package("good", "{packageName: metallb}");
    std::fs::write(cluster.path("two.yaml"), text).unwrap();
    let output = airlock(cluster, &["apply", "packages", "-f", "two.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "package/good created\n");
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: applying package/bad: "));
}

fn refuses(cluster: &Cluster) {
    fails(cluster, &["get", "packages", "--cluster", "No"], 2, "a cluster name is");
    for verb in ["list", "get", "describe"] {
        fails(cluster, &[verb, "packages", "--cluster", "other"], 4, "cluster `other` not found");
    }
    fails(
        cluster,
        &["install", "package", "harbor", "-n", "h", "--cluster", "mgmt"],
        4,
        "has no package `harbor`",
    );
    fails(cluster, &["get", "pbc", "--context", "none"], 4, "cannot be used");
    fails(cluster, &["get", "pbc", "--kubeconfig", "none"], 4, "`none` cannot be used");
    std::fs::write(cluster.path("pod.yaml"), "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n").unwrap();
    fails(cluster, &["apply", "packages", "-f", "pod.yaml"], 2, "is not about packages");
    let mirror = "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {name: a}\n";
    std::fs::write(cluster.path("mirror.yaml"), mirror).unwrap();
    fails(
        cluster,
        &["create", "packages", "-f", "mirror.yaml"],
        2,
        "contains MirrorConfig, which is not about",
    );
    one_after_another(cluster);
    std::fs::write(cluster.path("empty.yaml"), "# nothing\n").unwrap();
    fails(cluster, &["apply", "packages", "-f", "empty.yaml"], 2, "contains no manifest");
    fails(cluster, &["version", "--output", "yaml"], 2, "support `--output yaml`");
    let rights = cluster.unprivileged().display().to_string();
    fails(cluster, &["get", "pbc", "--kubeconfig", &rights], 1, "is forbidden");
    let silent = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    std::fs::write(cluster.path("silent"), silent.replace(&cluster.url(), "https://127.0.0.1:9")).unwrap();
    fails(cluster, &["get", "pbc", "--kubeconfig", "silent"], 6, "does not answer");
    assert!(Path::new(&cluster.path("log")).exists());
}
