//! The complete workflow for packages: mirrored on the connected side, carried on a drive, imported and served in isolation,
//! and installed in a cluster by a controller from the same registry.

mod source;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use oci::Reference;
use serde_json::{Value, json};

use self::source::{PACKAGES, SANDBOX, Source};
use crate::commands::works;
use crate::curated::{BUNDLE, HELLO};
use crate::egress;
use crate::install::{REGISTRY, Site};
use crate::rig::{Cluster, require, wait};

const NAMESPACE: &str = "eksa-packages-mgmt";

#[test]
fn packages_are_carried_on_a_drive_into_an_isolated_cluster() {
    if !Site::possible() || !require(&["nft", "helm"]) {
        return;
    }
    let mut clock = Clock(Instant::now());
    let Some(source) = Source::make(&OFFERED) else { return };
    clock.report("the drive is packed, and its source is stopped");
    let site = import(&source);
    clock.report("the cluster runs, the drive is imported and served");
    installs_the_controller(&site);
    clock.report("the controller answers, the bundle is active");
    requests_packages(&site);
    for (package, namespace, _) in PACKAGES_AT {
        installed(&site, package);
        clock.report(package);
        assert_eq!(
            site.cluster.matches_manifest(&rendered(&site.cluster, package), namespace),
            Ok(()),
            "{package}"
        );
    }
    clock.report("every object is as rendered");
    answers(&site.cluster);
    images_are_the_sites(&site);
    let (packets, destinations) = egress::counted(&site.cluster);
    assert_eq!((packets, &destinations[..]), (0, &[][..]), "packets were sent outside");
    egress::send_outside(&site.cluster);
    let (packets, destinations) = egress::counted(&site.cluster);
    assert!(packets > 0 && destinations == ["\"192.0.2.1\""], "{packets} {destinations:?}");
    clock.report("no packet was sent outside");
}

/// Prints the duration of each part.
struct Clock(Instant);

impl Clock {
    fn report(&mut self, what: &str) {
        println!("{:5.1} s: {what}", self.0.elapsed().as_secs_f32());
        self.0 = Instant::now();
    }
}

/// The packages of the bundle that are carried.
const OFFERED: [&str; 5] = ["hello-eks-anywhere", "metallb", "emissary-crds", "emissary", "harbor"];
/// The packages, their namespaces, and their minimum numbers of pods.
const PACKAGES_AT: [(&str, &str, usize); 5] = [
    ("hello", "hello", 1),
    ("metallb", "metallb-system", 3),
    ("emissary-crds", "emissary-system", 0),
    ("emissary", "emissary-system", 3),
    ("harbor", "harbor", 7),
];

/// Imports the drive into the registry of an isolated cluster that counts outgoing packets.
fn import(source: &Source) -> Site {
    let cluster = Cluster::isolated_with(1, egress::count);
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

/// Installs the controller with a policy that admits only images signed by the source or the site, and pins tags.
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
    assert!(!good && said.contains("is rejected by TrustPolicy `site`"), "{said}");
}

/// Installs hello on the real node; the other packages run on the kwok node.
fn requests_packages(site: &Site) {
    let cluster = &site.cluster;
    let (registry, tag) = (HELLO.rsplit_once('/').unwrap().0, HELLO.rsplit_once(':').unwrap().1);
    let (registry, tag) = (format!("sourceRegistry={REGISTRY}/{registry}"), format!("tag={tag}"));
    let install =
        ["install", "package", "hello-eks-anywhere", "--package-name", "hello", "--cluster", "mgmt"];
    let set = ["--set", "title=Hello out there", "--set", &tag, "--set", &registry];
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
    // The controller has no permissions for new packages, and creates nothing until they are granted.
    let mut detail = Value::Null;
    let begun = Instant::now();
    while !detail.as_str().is_some_and(|detail| detail.contains("the controller has no permission for ")) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{detail}");
        std::thread::sleep(Duration::from_millis(200));
        detail =
            cluster.get(&["package", "emissary-crds", "-n", NAMESPACE]).unwrap()["status"]["detail"].take();
    }
    let made = cluster.get(&["deployments", "-n", "emissary-system"]).unwrap();
    assert_eq!(made["items"], json!([]));
    works(cluster, &by_charts(&["rights", "--apply"]));
}

/// The arguments of `airlock package` with those to pull charts.
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

/// The values of an image; upstream charts have separate values for each image.
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

/// Creates volumes for Harbor's claims, because there is no provisioner.
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
            let (_, described) = site.cluster.tries(&[
                "describe",
                "packages.packages.eks.amazonaws.com",
                name,
                "-n",
                NAMESPACE,
            ]);
            let (_, all) = site.cluster.tries(&["get", "pods,events", "-A", "-o", "wide"]);
            panic!("{name} is not installed: {described}\n{all}\n{}", site.controller());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The rendered chart. Harbor's chart looks up its own Secrets and renders different checksums the second time, as under
/// Helm, so for Harbor this is the manifest of the release.
fn rendered(cluster: &Cluster, name: &str) -> String {
    if name != "harbor" {
        return works(cluster, &by_charts(&["render", name]));
    }
    let output =
        cluster.command("helm").args(["get", "manifest", name, "-n", "eksa-packages"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The page shows the configured title, at the pod's address and at the service's.
fn answers(cluster: &Cluster) {
    let pods = cluster.get(&["pods", "-n", "hello"]).unwrap();
    let service = cluster.get(&["services", "-n", "hello"]).unwrap();
    let pod = &pods["items"][0];
    assert_eq!(pod["spec"]["nodeName"], "n1");
    for address in [&pod["status"]["podIP"], &service["items"][0]["spec"]["clusterIP"]] {
        let url = format!("http://{}/", address.as_str().unwrap());
        let got = wait("a response", Duration::from_secs(20), || {
            let output = cluster.command("curl").args(["-sf", "--max-time", "5", &url]).output().unwrap();
            output.status.success().then_some(output.stdout)
        });
        assert_eq!(String::from_utf8_lossy(&got), "Hello out there\n");
    }
}

/// Checks that every image is referenced by a digest in the site's registry.
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
        assert!(site.registry_has(&format!("{}/manifests/{digest}", reference.repository())), "{image}");
    }
    println!("{} pods, {} images, each by a digest of the site's registry", pods.len(), images.len());
    assert!(images.len() >= 15, "{images:#?}");
}
