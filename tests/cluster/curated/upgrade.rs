//! The curated packages in a cluster: the controller installs them from the store alone, upgrades them to the next bundle,
//! which changes only what differs, and rolls them back.

mod next_bundle;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helm::Limits;
use next_bundle::publish_next;
use serde_json::{Value, json};

use super::{BUNDLE, OFFERS, airlock, publish};
use crate::commands::{AIRLOCK, fails, works};
use crate::images;
use crate::rig::{Cluster, Running, free_port, possible, program, require, wait};

const MINUTE: Duration = Duration::from_mins(1);
/// The bundle after [`BUNDLE`].
const NEXT: &str = "v1-36-2";

/// Kinds whose status other controllers write at any time.
const LIVELY: [&str; 5] = ["Deployment", "DaemonSet", "StatefulSet", "APIService", "PersistentVolumeClaim"];

/// By package and name: an object's manifest, and its mark in the cluster (see [`mark`]).
type Objects = BTreeMap<(&'static str, String), (Value, Value)>;

/// A cluster that requires signed images, with a registry and a controller.
struct Site {
    cluster: Cluster,
    folder: tempfile::TempDir,
    _controller: Running,
}

impl Site {
    fn start() -> Option<Self> {
        if !possible(false) || !images::possible() || !require(&["helm"]) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        if !publish(path) {
            return None;
        }
        airlock(
            path,
            &["keys", "trust", "release.pub", "--sign", "packageBundle,signature", "--to", "release.yaml"],
        );
        let begun = Instant::now();
        sign(&folder, OFFERS.iter().flat_map(|offer| offer.images).copied());
        println!("signed in {:.1} s", begun.elapsed().as_secs_f32());
        let mut cluster = Cluster::start(2);
        let registry = format!("127.0.0.1:{}", free_port());
        cluster.serve(&path.join("store"), &registry, &[]);
        let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/crds");
        cluster.kubectl(&["apply", "--server-side", "-f", crds]);
        for name in ["eksa-packages", "eksa-packages-mgmt"] {
            cluster.kubectl(&["create", "namespace", name]);
        }
        let controller = controller(&cluster, &folder, &registry);
        let settings = json!({
            "apiVersion": "packages.eks.amazonaws.com/v1alpha1", "kind": "PackageBundleController",
            // Both packages have objects there.
            "metadata": { "name": "mgmt", "namespace": "eksa-packages", "annotations": {
                "airlock.dev/allow": "cert-manager:namespace/kube-system, metrics-server:namespace/kube-system" } },
            "spec": { "defaultRegistry": registry, "defaultImageRegistry": registry, "createNamespace": true,
                "upgradeCheckInterval": "2s", "upgradeCheckShortInterval": "2s" },
        });
        let policy = json!({
            "apiVersion": "airlock.dev/v1alpha1", "kind": "TrustPolicy", "metadata": { "name": "release" },
            "spec": { "trust": { "keys": [{ "name": "release",
                "publicKey": fs::read_to_string(path.join("release.pub")).unwrap() }] } },
        });
        let site = Self { cluster, folder, _controller: controller };
        site.applies(&[settings.to_string(), policy.to_string(), volumes()].join("\n---\n"));
        site.cluster.kubectl(&["wait", "--for=condition=Ready", "trustpolicy/release"]);
        Some(site)
    }

    fn applies(&self, yaml: &str) {
        let (good, said) = self.cluster.apply(yaml);
        assert!(good, "{said}");
    }

    fn settings(&self) -> Value {
        self.cluster.get(&["pbc", "mgmt", "-n", "eksa-packages"]).unwrap()
    }

    /// Waits until the `PackageBundleController` has this state and detail.
    fn until(&self, state: &str, detail: &str) {
        let begun = Instant::now();
        loop {
            let status = self.settings()["status"].take();
            if status["state"] == state && status["detail"].as_str().unwrap_or_default() == detail {
                return;
            }
            assert!(begun.elapsed() < MINUTE, "{status:#}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("controller.log")).unwrap_or_default()
    }

    /// Waits until every package is installed in the given revision.
    fn installed(&self, revisions: &BTreeMap<&str, u32>) {
        let begun = Instant::now();
        loop {
            let found =
                self.cluster.get(&["packages.packages.eks.amazonaws.com", "-n", "eksa-packages-mgmt"]);
            let found = found.unwrap();
            let (all, records) = (found["items"].as_array().unwrap(), self.records());
            let is_done = |package: &Value| {
                let name = package["metadata"]["name"].as_str().unwrap();
                let newest = records.get(name).and_then(|records| records.last());
                package["status"]["state"] == "installed"
                    && package["status"]["observedGeneration"] == package["metadata"]["generation"]
                    && newest.is_some_and(|newest| {
                        newest.revision == revisions[name] && newest.status == "deployed"
                    })
            };
            if all.len() == OFFERS.len() && all.iter().all(is_done) {
                return;
            }
            if begun.elapsed() > 2 * MINUTE {
                let states = self.cluster.kubectl(&["get", "packages", "-A", "-o", "wide"]);
                panic!("{states}\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// The records of all releases, oldest first.
    fn records(&self) -> BTreeMap<String, Vec<Revision>> {
        let found = self.cluster.get(&["secrets", "-n", "eksa-packages", "-l", "owner=helm"]).unwrap();
        let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for item in found["items"].as_array().unwrap() {
            let label = |name: &str| item["metadata"]["labels"][name].as_str().unwrap().to_owned();
            let revision = Revision {
                revision: label("version").parse().unwrap(),
                status: label("status"),
                packed: item["data"]["release"].as_str().unwrap().to_owned(),
            };
            all.entry(label("name")).or_default().push(revision);
        }
        for revisions in all.values_mut() {
            revisions.sort_by_key(|revision| revision.revision);
        }
        all
    }

    /// The objects of all packages.
    fn objects(&self) -> Objects {
        let (mut all, records) = (BTreeMap::new(), self.records());
        for offer in &OFFERS {
            let manifest = records[offer.name].last().unwrap().manifest();
            let live = self.cluster.live(&manifest, offer.namespace);
            let documents = gostd::yaml::documents(&manifest, &Limits::default()).unwrap();
            let said: BTreeMap<_, _> =
                documents.into_iter().map(|value| (kind_and_name(&value), value)).collect();
            assert_eq!(said.len(), live.len(), "{}", offer.name);
            for object in live {
                let name = kind_and_name(&object);
                all.insert((offer.name, name.clone()), (said[&name].clone(), mark(&object)));
            }
        }
        all
    }

    /// The objects of all packages, when they no longer change.
    fn settled(&self) -> Objects {
        let mut before = self.objects();
        wait("the objects to settle", MINUTE, || {
            std::thread::sleep(Duration::from_secs(1));
            let now = self.objects();
            let same = now == before;
            before = now;
            same.then_some(())
        });
        before
    }

    fn helm(&self, arguments: &[&str]) -> String {
        let output = Command::new(program("helm"))
            .args(arguments)
            .args(["-n", "eksa-packages"])
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .env("HOME", self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn helm_json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.helm(&[arguments, &["-o", "json"]].concat())).unwrap()
    }
}

/// A release record of Helm.
struct Revision {
    revision: u32,
    status: String,
    packed: String,
}

impl Revision {
    /// The manifest in the record.
    fn manifest(&self) -> String {
        let packed = STANDARD.decode(STANDARD.decode(&self.packed).unwrap()).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["manifest"].as_str().unwrap().to_owned()
    }
}

/// An object's kind and name.
fn kind_and_name(object: &Value) -> String {
    format!("{}/{}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
}

/// A value that changes with every write to an object, except with writes of other controllers to its status.
fn mark(object: &Value) -> Value {
    let meta = &object["metadata"];
    if !LIVELY.contains(&object["kind"].as_str().unwrap()) {
        return json!([meta["uid"], meta["resourceVersion"]]);
    }
    let writes = meta["managedFields"].as_array().unwrap();
    let writes: Vec<_> = writes.iter().filter(|write| write["subresource"] != "status").collect();
    let annotations: BTreeMap<_, _> = meta["annotations"].as_object().into_iter().flatten().collect();
    json!([meta["uid"], meta["generation"], writes.len(), annotations, ours(&writes)])
}

/// The times of airlock's own writes.
fn ours(writes: &[&Value]) -> Vec<Value> {
    let ours = writes.iter().filter(|write| write["operation"] == "Apply");
    ours.map(|write| json!([write["manager"], write["time"]])).collect()
}

fn controller(cluster: &Cluster, folder: &tempfile::TempDir, registry: &str) -> Running {
    let (webhooks, health) = (free_port(), free_port());
    let log = fs::File::create(folder.path().join("controller.log")).unwrap();
    let mut command = cluster.command(AIRLOCK);
    command
        .args(["controller", "--cluster-name", "mgmt", "--plain-http", "--bundle-trust", "release.yaml"])
        .args(["--webhook-url", &format!("https://127.0.0.1:{webhooks}")])
        .args(["--webhook-listen", &format!("127.0.0.1:{webhooks}")])
        .args(["--health-listen", &format!("127.0.0.1:{health}"), "--registry", registry])
        .current_dir(folder.path());
    let running = Running(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    wait("the controller", MINUTE, || {
        let url = format!("http://127.0.0.1:{health}/readyz");
        let probe = cluster.command("curl").args(["-sf", "-o", "/dev/null", &url]).status();
        probe.unwrap().success().then_some(())
    });
    running
}

/// Signs images in the store, in parallel.
fn sign(folder: &tempfile::TempDir, all: impl Iterator<Item = &'static str>) {
    let all: Vec<_> = all.collect();
    std::thread::scope(|scope| {
        for some in all.chunks(all.len().div_ceil(4)) {
            scope.spawn(move || {
                for image in some {
                    airlock(
                        folder.path(),
                        &["sign", image, "--store", "store", "--key", "release.key", "--quiet"],
                    );
                }
            });
        }
    });
}

/// Volumes for Harbor's claims, because there is no provisioner.
fn volumes() -> String {
    let volume = |number: usize| {
        format!(
            "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: v{number}}}\nspec: {{capacity: {{storage: 10Gi}}, \
             accessModes: [ReadWriteOnce], hostPath: {{path: /v{number}}}}}\n"
        )
    };
    (0..6).map(volume).collect::<Vec<_>>().join("---\n")
}

#[test]
fn curated_packages_are_installed_from_the_store_upgraded_where_they_changed_and_rolled_back() {
    let begun = Instant::now();
    let Some(site) = Site::start() else { return };
    println!("the site took {:.1} s", begun.elapsed().as_secs_f32());
    let mut revisions: BTreeMap<_, _> = OFFERS.iter().map(|offer| (offer.name, 1)).collect();
    let begun = Instant::now();
    site.until("active", "");
    // `emissary-crds` is installed as a dependency of `emissary`.
    let wanted: Vec<_> = OFFERS
        .iter()
        .filter(|offer| offer.name != "emissary-crds")
        .map(|offer| offer.package("mgmt"))
        .collect();
    site.applies(&wanted.join("---\n"));
    site.installed(&revisions);
    println!("{} packages installed in {:.1} s", OFFERS.len(), begun.elapsed().as_secs_f32());
    matches_the_bundle(&site, &OFFERS.map(|offer| offer.name));

    publish_next(&site.folder);
    site.until("upgrade available", &format!("{NEXT} available"));
    let before = site.settled();
    let upgrade = ["upgrade", "packages", "--cluster", "mgmt", "--bundle-version"];
    works(&site.cluster, &[&upgrade[..], &[NEXT]].concat());
    revisions.insert("hello-eks-anywhere", 2);
    revisions.insert("metrics-server", 2);
    site.installed(&revisions);
    println!("upgraded after {:.1} s", begun.elapsed().as_secs_f32());
    site.until("active", "");
    let after = site.settled();
    let expected = ["Deployment/hello-eks-anywhere", "Deployment/metrics-server"];
    assert_eq!(only_what_changed(&before, &after), expected);
    matches_the_bundle(&site, &["hello-eks-anywhere", "metrics-server"]);

    roll_back(&site, &mut revisions, &after);
    println!("rolled back after {:.1} s", begun.elapsed().as_secs_f32());
    read_by_helm(&site, &revisions);
}

/// Checks that the active bundle is available, that objects are as rendered, and that pods use the bundle's images by digest.
fn matches_the_bundle(site: &Site, packages: &[&str]) {
    let active = site.settings()["spec"]["activeBundle"].as_str().unwrap().to_owned();
    let bundle = site.cluster.get(&["packagebundle", &active, "-n", "eksa-packages"]).unwrap();
    assert_eq!(bundle["status"]["state"], "available");
    let records = site.records();
    for offer in OFFERS.iter().filter(|offer| packages.contains(&offer.name)) {
        let manifest = records[offer.name].last().unwrap().manifest();
        let same = site.cluster.matches_manifest(&manifest, offer.namespace);
        assert_eq!(same, Ok(()), "{}", offer.name);
    }
    let offered = bundle["spec"]["packages"].as_array().unwrap().iter();
    let versions = offered.flat_map(|package| package["source"]["versions"].as_array().unwrap());
    let images: Vec<_> =
        versions.flat_map(|version| version["images"].as_array().into_iter().flatten()).collect();
    let pods = site.cluster.get(&["pods", "-A"]).unwrap();
    let mut used = 0;
    for pod in pods["items"].as_array().unwrap() {
        let containers = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
        for container in containers.into_iter().flatten().flatten() {
            let image = container["image"].as_str().unwrap();
            let (name, digest) = image.split_once('@').unwrap_or_else(|| panic!("{image} of {pod:#}"));
            let repository = name.rsplit_once(':').unwrap().0;
            let listed =
                images.iter().any(|image| image["repository"] == repository && image["digest"] == digest);
            assert!(listed, "{image} of {}", pod["metadata"]["name"]);
            used += 1;
        }
    }
    assert!(used > 25, "{used}");
}

/// Returns the changed objects, and checks that they are exactly those whose manifest differs.
fn only_what_changed(before: &Objects, after: &Objects) -> Vec<String> {
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    assert!(before.len() > 120, "{}", before.len());
    let mut changed = Vec::new();
    for ((package, name), (said, mark)) in before {
        let (now_said, now_mark) = &after[&(*package, name.clone())];
        assert_eq!(said == now_said, mark == now_mark, "{package}: {name}\n{mark:#}\n{now_mark:#}");
        if said != now_said {
            changed.push(name.clone());
        }
    }
    changed
}

/// Rolls back packages, and then the cluster to the older bundle.
fn roll_back(site: &Site, revisions: &mut BTreeMap<&str, u32>, upgraded: &Objects) {
    let rollback = |name: &str| {
        works(&site.cluster, &["package", "rollback", name, "--cluster", "mgmt"]);
    };
    // hello is rolled back within the newer bundle, which offers both charts; Harbor's values were changed by mistake.
    let portal = json!({ "spec": { "config": "portal: {replicas: 2}\n" } }).to_string();
    let harbor = ["packages.packages.eks.amazonaws.com", "harbor", "-n", "eksa-packages-mgmt"];
    site.cluster.kubectl(&[&["patch"], &harbor[..], &["--type", "merge", "-p", &portal]].concat());
    revisions.insert("harbor", 2);
    site.installed(revisions);
    let same = |name: &str, one: usize, other: usize| {
        let records = site.records();
        records[name][one - 1].manifest() == records[name][other - 1].manifest()
    };
    assert!(!same("harbor", 1, 2));
    for name in ["harbor", "hello-eks-anywhere"] {
        rollback(name);
        revisions.insert(name, 3);
    }
    site.installed(revisions);
    for name in ["harbor", "hello-eks-anywhere"] {
        assert!(same(name, 1, 3), "{name}");
    }
    let held = [&["packages.packages.eks.amazonaws.com", "hello-eks-anywhere"][..], &harbor[2..]].concat();
    let newer = site.cluster.get(&held).unwrap()["status"]["upgradesAvailable"].take();
    assert_eq!(newer, json!([{ "version": "0.2.0", "tag": "0.2.0" }]));

    let upgrade = ["upgrade", "packages", "--cluster", "mgmt", "--bundle-version", BUNDLE];
    fails(&site.cluster, &upgrade, 2, &format!("`{BUNDLE}` is older than the active bundle `{NEXT}`"));
    assert_eq!(site.settings()["spec"]["activeBundle"], NEXT);
    works(&site.cluster, &[&upgrade[..], &["--allow-downgrade"]].concat());
    revisions.insert("metrics-server", 3);
    site.installed(revisions);
    site.until("upgrade available", &format!("{NEXT} available"));
    assert!(same("metrics-server", 1, 3));
    let rolled_back = ["harbor", "hello-eks-anywhere", "metrics-server"];
    let others = |name: &str| !rolled_back.contains(&name);
    for ((package, name), (_, mark)) in site.settled() {
        let was = &upgraded[&(package, name.clone())].1;
        assert!(!others(package) || *was == mark, "{package}: {name}\n{was:#}\n{mark:#}");
    }
    matches_the_bundle(site, &rolled_back);
}

fn read_by_helm(site: &Site, revisions: &BTreeMap<&str, u32>) {
    let listed = site.helm_json(&["list"]);
    let listed: BTreeMap<_, _> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["revision"].as_str().unwrap().parse().unwrap()))
        .collect();
    assert_eq!(listed, *revisions);
    let records = site.records();
    for (name, revision) in revisions {
        let history = site.helm_json(&["history", name]);
        let states = history.as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap());
        let mut expected = vec!["superseded"; *revision as usize - 1];
        expected.push("deployed");
        assert_eq!(states.collect::<Vec<_>>(), expected, "{name}");
        for record in &records[*name] {
            let revision = record.revision.to_string();
            let read = site.helm(&["get", "manifest", name, "--revision", &revision]);
            assert!(read.trim() == record.manifest().trim(), "{name} {revision}");
        }
    }
}
