//! The whole way of packages: mirrored where there is a network, carried on a drive, imported and served where there is
//! none, and installed in a cluster by a controller that came out of the same registry.

mod source;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use oci::Reference;
use serde_json::{Value, json};

use self::source::{PACKAGES, SANDBOX, Source};
use crate::commands::works;
use crate::curated::{BUNDLE, HELLO};
use crate::fence;
use crate::install::{REGISTRY, Site};
use crate::rig::{Cluster, require, wait};

const NAMESPACE: &str = "eksa-packages-mgmt";

#[test]
fn packages_go_from_a_connected_side_over_a_drive_into_a_cluster_without_a_way_out() {
    if !Site::possible() || !require(&["nft", "helm"]) {
        return;
    }
    let mut clock = Clock(Instant::now());
    let Some(source) = Source::make(&OFFERED) else { return };
    clock.tells("the drive is packed, and its source gone");
    let site = arrives(&source);
    clock.tells("the cluster runs, the drive is imported and served");
    installs_the_controller(&site);
    clock.tells("the controller answers, the bundle is active");
    asks_for_packages(&site);
    for (package, namespace, _) in PACKAGES_AT {
        installed(&site, package);
        clock.tells(package);
        assert_eq!(site.cluster.is_as(&rendered(&site.cluster, package), namespace), Ok(()), "{package}");
    }
    clock.tells("every object is as rendered");
    answers(&site.cluster);
    images_are_the_sites(&site);
    let (packets, strangers) = fence::strangers(&site.cluster);
    assert_eq!((packets, &strangers[..]), (0, &[][..]), "packets went out");
    fence::trespass(&site.cluster);
    let (packets, strangers) = fence::strangers(&site.cluster);
    assert!(packets > 0 && strangers == ["\"192.0.2.1\""], "{packets} {strangers:?}");
    clock.tells("no packet went to anybody else");
}

/// Tells how long each part took.
struct Clock(Instant);

impl Clock {
    fn tells(&mut self, what: &str) {
        println!("{:5.1} s: {what}", self.0.elapsed().as_secs_f32());
        self.0 = Instant::now();
    }
}

/// What the bundle offers, and is asked for.
const OFFERED: [&str; 5] = ["hello-eks-anywhere", "metallb", "emissary-crds", "emissary", "harbor"];
/// Packages, where they go, and how many pods they come to at least.
const PACKAGES_AT: [(&str, &str, usize); 5] = [
    ("hello", "hello", 1),
    ("metallb", "metallb-system", 3),
    ("emissary-crds", "emissary-system", 0),
    ("emissary", "emissary-system", 3),
    ("harbor", "harbor", 7),
];

/// A cluster behind a fence, and the drive's content in the registry there.
fn arrives(source: &Source) -> Site {
    let cluster = Cluster::fenced(1, fence::put_up);
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(source.path("trust.yaml"), cluster.path("trust.yaml")).unwrap();
    std::fs::copy(source.path("made/release.pub"), cluster.path("release.pub")).unwrap();
    let (drive, store) = (source.path("drive"), folder.path().join("store").display().to_string());
    let drive = drive.display().to_string();
    works(&cluster, &["import", &drive, "--trust", "trust.yaml", "--store", &store]);
    works(&cluster, &["keys", "generate", "site"]);
    let site = Site::serving(cluster, folder);
    std::fs::copy(site.path("store/tls/ca.crt"), site.cluster.path("ca.crt")).unwrap();
    site.with_node(&["--store", &store], SANDBOX)
}

/// With a policy by which nothing runs that neither the source nor the site has signed, and never by a tag alone.
fn installs_the_controller(site: &Site) {
    let cluster = &site.cluster;
    let key = |name: &str| json!({ "name": name, "publicKey": std::fs::read_to_string(cluster.path(&format!("{name}.pub"))).unwrap() });
    let policy = json!({
        "apiVersion": "airlock.dev/v1alpha1", "kind": "TrustPolicy", "metadata": { "name": "site" },
        "spec": { "mode": "enforce", "tags": "pin", "trust": { "keys": [key("release"), key("site")] } },
    });
    std::fs::write(cluster.path("policy.yaml"), policy.to_string()).unwrap();
    let keys = ["--key", "site.key", "--bundle-key", "release.pub", "-f", "policy.yaml"];
    site.installs(&[&keys[..], &["--registry-prefix", PACKAGES]].concat());
    wait("an active bundle", Duration::from_secs(30), || {
        let settings = cluster.get(&["pbc", "mgmt", "-n", "eksa-packages"])?;
        (settings["status"]["state"] == "active").then_some(())
    });
    let bundle = cluster.get(&["packagebundle", BUNDLE, "-n", "eksa-packages"]).unwrap();
    assert_eq!(bundle["status"]["state"], "available");
    let stranger = format!("{REGISTRY}/{SANDBOX}");
    let (good, said) = cluster.tries(&["run", "stranger", "--image", &stranger]);
    assert!(!good && said.contains("is refused by TrustPolicy `site`"), "{said}");
}

/// First for what the real node runs; then that node takes no more, and the rest goes where nothing is run.
fn asks_for_packages(site: &Site) {
    let cluster = &site.cluster;
    let (place, tag) = (HELLO.rsplit_once('/').unwrap().0, HELLO.rsplit_once(':').unwrap().1);
    let (place, tag) = (format!("sourceRegistry={REGISTRY}/{place}"), format!("tag={tag}"));
    let install =
        ["install", "package", "hello-eks-anywhere", "--package-name", "hello", "--cluster", "mgmt"];
    let set = ["--set", "title=Hello out there", "--set", &tag, "--set", &place];
    works(cluster, &[&install[..], &["--target-namespace", "hello"], &set].concat());
    works(cluster, &by_charts(&["rights", "--apply"]));
    installed(site, "hello");
    cluster.kubectl(&["taint", "node", "n1", "site.example/real=:NoSchedule"]);
    site.cordon(false);
    volumes(cluster);
    let packages: Vec<_> = [
        package("metallb", "metallb-system", &metallb()),
        package("emissary-crds", "emissary-system", &json!({})),
        package("emissary", "emissary-system", &json!({ "image": at("ghcr.io/emissary-ingress/emissary") })),
        package("harbor", "harbor", &harbor()),
    ]
    .iter()
    .map(Value::to_string)
    .collect();
    std::fs::write(cluster.path("packages.yaml"), packages.join("\n---\n")).unwrap();
    cluster.kubectl(&["apply", "-f", "packages.yaml"]);
    // The controller has no permission for what nobody installed before, and makes nothing until it is granted.
    let mut detail = Value::Null;
    let begun = Instant::now();
    while !detail.as_str().is_some_and(|detail| detail.contains("the controller has no right to ")) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{detail}");
        std::thread::sleep(Duration::from_millis(200));
        detail =
            cluster.get(&["package", "emissary-crds", "-n", NAMESPACE]).unwrap()["status"]["detail"].take();
    }
    let made = cluster.get(&["deployments", "-n", "emissary-system"]).unwrap();
    assert_eq!(made["items"], json!([]));
    works(cluster, &by_charts(&["rights", "--apply"]));
}

/// `airlock package` with what it takes to render charts.
fn by_charts<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let how = ["--cluster", "mgmt", "--registry", REGISTRY, "--registry-ca", "ca.crt"];
    [&["package"][..], words, &how].concat()
}

fn package(name: &str, namespace: &str, values: &Value) -> Value {
    json!({
        "apiVersion": "packages.eks.amazonaws.com/v1alpha1", "kind": "Package",
        "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": { "packageName": name, "targetNamespace": namespace, "config": values.to_string() },
    })
}

/// Charts that are not EKS Anywhere's say for each image where it is.
fn at(image: &str) -> Value {
    json!({ "repository": format!("{REGISTRY}/{image}") })
}

fn metallb() -> Value {
    json!({
        "controller": { "image": at("quay.io/metallb/controller") },
        "speaker": { "image": at("quay.io/metallb/speaker") },
        "frr-k8s": { "frrk8s": {
            "image": at("quay.io/metallb/frr-k8s"), "frr": { "image": at("quay.io/frrouting/frr") },
        }},
    })
}

fn harbor() -> Value {
    let of = |name: &str| json!({ "image": at(&format!("docker.io/goharbor/{name}")) });
    json!({
        "portal": of("harbor-portal"), "core": of("harbor-core"), "jobservice": of("harbor-jobservice"),
        "registry": { "registry": of("registry-photon"), "controller": of("harbor-registryctl") },
        "trivy": of("trivy-adapter-photon"),
        "database": { "internal": of("harbor-db") }, "redis": { "internal": of("valkey-photon") },
    })
}

/// For the claims of Harbor, since nobody provides any here.
fn volumes(cluster: &Cluster) {
    let volume = |number: usize| {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": format!("v{number}") },
            "spec": {
                "capacity": { "storage": "10Gi" }, "accessModes": ["ReadWriteOnce"],
                "hostPath": { "path": format!("/v{number}") },
            },
        })
        .to_string()
    };
    let all: Vec<_> = (0..6).map(volume).collect();
    let (good, said) = cluster.apply(&all.join("\n---\n"));
    assert!(good, "{said}");
}

fn installed(site: &Site, name: &str) {
    let begun = Instant::now();
    loop {
        let found = site.cluster.get(&["package", name, "-n", NAMESPACE]).unwrap();
        if found["status"]["state"] == "installed" {
            return;
        }
        if begun.elapsed() > Duration::from_mins(1) {
            let (_, told) = site.cluster.tries(&[
                "describe",
                "packages.packages.eks.amazonaws.com",
                name,
                "-n",
                NAMESPACE,
            ]);
            let (_, all) = site.cluster.tries(&["get", "pods,events", "-A", "-o", "wide"]);
            panic!("{name} is not installed: {told}\n{all}\n{}", site.controller());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What the chart comes to. Harbor's looks its own secrets up, and has other checksums of them the second time, under
/// Helm as here: of that the release's own manifest is taken, by Helm.
fn rendered(cluster: &Cluster, name: &str) -> String {
    if name != "harbor" {
        return works(cluster, &by_charts(&["render", name]));
    }
    let output =
        cluster.command("helm").args(["get", "manifest", name, "-n", "eksa-packages"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The page has what the package's settings say; it comes by the pod's address and by the service's.
fn answers(cluster: &Cluster) {
    let pods = cluster.get(&["pods", "-n", "hello"]).unwrap();
    let service = cluster.get(&["services", "-n", "hello"]).unwrap();
    let pod = &pods["items"][0];
    assert_eq!(pod["spec"]["nodeName"], "n1");
    for address in [&pod["status"]["podIP"], &service["items"][0]["spec"]["clusterIP"]] {
        let url = format!("http://{}/", address.as_str().unwrap());
        let got = wait("an answer", Duration::from_secs(20), || {
            let output = cluster.command("curl").args(["-sf", "--max-time", "5", &url]).output().unwrap();
            output.status.success().then_some(output.stdout)
        });
        assert_eq!(String::from_utf8_lossy(&got), "Hello out there\n");
    }
}

/// Whatever runs was named by a digest that the site's registry has, in it and nowhere else.
fn images_are_the_sites(site: &Site) {
    let found = site.cluster.get(&["pods", "-A"]).unwrap();
    let pods = found["items"].as_array().unwrap();
    let mut images = BTreeSet::new();
    for pod in pods {
        let owner = &pod["metadata"]["ownerReferences"][0]["kind"];
        assert!(owner != "Node" && owner.is_string(), "{}", pod["metadata"]["name"]);
        for list in ["initContainers", "containers"] {
            let containers = pod["spec"][list].as_array().into_iter().flatten();
            images.extend(containers.map(|container| container["image"].as_str().unwrap().to_owned()));
        }
    }
    for (package, namespace, least) in PACKAGES_AT {
        let count = pods.iter().filter(|pod| pod["metadata"]["namespace"] == namespace).count();
        assert!(count >= least, "{package}: {count} pods");
    }
    for image in &images {
        let reference: Reference = image.parse().unwrap();
        assert_eq!(reference.host().to_string(), REGISTRY, "{image}");
        let digest = reference.digest().unwrap_or_else(|| panic!("{image} has no digest"));
        assert!(site.asks(&format!("{}/manifests/{digest}", reference.repository())), "{image}");
    }
    println!("{} pods, {} images, each by a digest of the site's registry", pods.len(), images.len());
    assert!(images.len() >= 15, "{images:#?}");
}
