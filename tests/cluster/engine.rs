//! Charts that the engine installs in a real cluster: the objects are as rendered, real Helm reads the records, and the next
//! run repairs what a kill at any call leaves.

mod behaviour;
mod curated;
mod kills;
mod preserved;

use std::path::{Path, PathBuf};
use std::process::Command;

use installer::Install;
use installer::{Engine, Limits, Prepared, Record};
use package_api::PackageSource;
use registry::client::{Client, ClientConfig, HostRule};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::rig::{Cluster, free_port, possible, program, require};

/// The namespace of release records, as in EKS Anywhere.
const RECORDS: &str = "eksa-packages";
const MANAGER: &str = "airlock";

/// A cluster, a registry with charts, and an engine.
struct World {
    cluster: Cluster,
    runtime: Runtime,
    registry: String,
    folder: tempfile::TempDir,
}

/// A chart in the registry.
#[derive(Clone)]
struct Chart {
    name: String,
    version: String,
    digest: String,
}

impl World {
    fn start() -> Option<Self> {
        if !possible(false) || !require(&["helm"]) {
            return None;
        }
        let mut cluster = Cluster::start(2);
        let folder = tempfile::tempdir().unwrap();
        let registry = format!("127.0.0.1:{}", free_port());
        cluster.serve(&folder.path().join("store"), &registry, &[]);
        cluster.kubectl(&["create", "namespace", RECORDS]);
        Some(Self { cluster, runtime: Runtime::new().unwrap(), registry, folder })
    }

    async fn kube(&self) -> kube::Client {
        kube::Client::try_from(self.config().await).unwrap()
    }

    async fn config(&self) -> kube::Config {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file = kube::config::Kubeconfig::read_from(self.cluster.kubeconfig()).unwrap();
        kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default()).await.unwrap()
    }

    fn pulls(&self) -> Client {
        let host: oci::RegistryHost = self.registry.parse().unwrap();
        let rule = HostRule { endpoint: host.clone(), host, prefix: None, plain_http: true, ca_pem: None };
        Client::new(ClientConfig { hosts: vec![rule], ..ClientConfig::default() }).unwrap()
    }

    fn engine(&self) -> Engine {
        self.runtime.block_on(async { Engine::new(self.kube().await, self.pulls(), None, MANAGER) })
    }

    /// Pushes a packaged chart to the registry.
    fn push(&self, archive: &Path) -> Chart {
        let target = format!("oci://{}/charts", self.registry);
        let said = self.helm(&["push", archive.to_str().unwrap(), &target, "--plain-http"]);
        let after =
            |word: &str| said.split(word).nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        let pushed = after("Pushed:");
        let (name, version) = pushed.rsplit('/').next().unwrap().split_once(':').unwrap();
        Chart { name: name.to_owned(), version: version.replace('_', "+"), digest: after("Digest:") }
    }

    /// Packages a chart from these files, and pushes it to the registry.
    fn chart(&self, name: &str, version: &str, files: &[(&str, &str)]) -> Chart {
        let folder = self.folder.path().join(format!("{name}-{version}")).join(name);
        let chart = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
        for (path, text) in files.iter().chain([&("Chart.yaml", chart.as_str())]) {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let out = folder.parent().unwrap().to_owned();
        self.helm(&["package", folder.to_str().unwrap(), "--destination", out.to_str().unwrap()]);
        self.push(&out.join(format!("{name}-{version}.tgz")))
    }

    fn plan(&self, release: &str, namespace: &str, chart: &Chart, values: Value) -> Install {
        Install {
            release: release.to_owned(),
            release_namespace: RECORDS,
            target_namespace: Some(namespace.to_owned()),
            create_namespace: true,
            chart_registry: self.registry.clone(),
            source: PackageSource {
                registry: String::new(),
                repository: format!("charts/{}", chart.name),
                version: chart.version.clone(),
                digest: chart.digest.clone(),
            },
            target_version: chart.version.clone(),
            values,
            dependencies: Vec::new(),
        }
    }

    /// Runs Helm and expects success; returns its output.
    fn helm(&self, arguments: &[&str]) -> String {
        let (good, said) = self.tries(arguments);
        assert!(good, "helm {}\n{said}", arguments.join(" "));
        said
    }

    fn tries(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(program("helm"));
        command.args(arguments).env("KUBECONFIG", self.cluster.kubeconfig()).env("HOME", self.folder.path());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said.into_owned())
    }

    fn helm_json(&self, arguments: &[&str]) -> Value {
        let said = self.helm(&[arguments, &["-n", RECORDS, "-o", "json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    fn matches_manifest(&self, manifest: &str, namespace: &str) -> Result<(), String> {
        let file = self.folder.path().join(format!("{namespace}.yaml"));
        let mut objects = gostd::yaml::documents(manifest, &gostd::Limits::default()).unwrap();
        // Kubernetes itself sets the rules of aggregated roles.
        for role in objects.iter_mut().filter(|object| object.get("aggregationRule").is_some()) {
            role.as_object_mut().unwrap().remove("rules");
        }
        let objects: Vec<_> = objects.iter().map(gostd::yaml::write).collect();
        std::fs::write(&file, objects.join("---\n")).unwrap();
        // With `--namespace`, kubectl rejects objects of other namespaces.
        let config = self.folder.path().join(format!("{namespace}.config"));
        std::fs::copy(self.cluster.kubeconfig(), &config).unwrap();
        let kubectl = |words: &[&str]| {
            let mut command = self.cluster.command("kubectl");
            let output = command.env("KUBECONFIG", &config).args(words).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            (output.status.success(), said.into_owned())
        };
        kubectl(&["config", "set-context", "--current", "--namespace", namespace]);
        let words = ["diff", "--server-side", "--force-conflicts", "--field-manager", "judge", "-f"];
        let (same, said) = kubectl(&[&words[..], &[file.to_str().unwrap()]].concat());
        if same { Ok(()) } else { Err(said) }
    }

    /// The objects of a namespace by kind and name, without those that every namespace has.
    fn objects(&self, kinds: &str, namespace: &str) -> Vec<String> {
        let said = self.cluster.kubectl(&["get", kinds, "-n", namespace, "-o", "name"]);
        let own =
            |line: &&str| !line.ends_with("/kube-root-ca.crt") && !line.ends_with("serviceaccount/default");
        said.lines().filter(own).filter(|line| line.contains('/')).map(str::to_owned).collect()
    }
}

fn done(engine: &Engine, world: &World, plan: &Install, limits: &Limits) -> (Prepared, Record) {
    world.runtime.block_on(async {
        let prepared = engine.prepare(plan).await.unwrap_or_else(|error| panic!("{}", error.one_line()));
        let record = engine.install(&prepared, limits).await;
        (prepared, record.unwrap_or_else(|error| panic!("{}: {}", plan.release, error.one_line())))
    })
}

/// A chart of the curated packages, which are stored outside of the repository.
fn fixture(name: &str) -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("AIRLOCK_SHARED").map_or_else(default, PathBuf::from);
    let file = shared.join("fixtures/charts").join(name);
    if file.exists() {
        return Some(file);
    }
    println!("skipped: {} does not exist", file.display());
    None
}
