//! The controllers, running as processes against a real API server.
//!
//! All tests share one API server. Each test has a management cluster with its own name, and a proxy between its controller
//! and the API server shows the controller only this cluster.

mod adverse;
mod escalations;
mod faults;
mod lifecycle;
mod logged;
mod package_commands;
mod permissions;
mod scale;
mod upstream;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use kube::api::{DeleteParams, PatchParams};
use kube::config::KubeConfigOptions;
use serde_json::Value;

use crate::api_proxy::ApiProxy;
use crate::rig::{Cluster, Running, free_port, possible, wait};

const AIRLOCK: &str = env!("CARGO_BIN_EXE_airlock");
const MINUTE: Duration = Duration::from_mins(1);
const KIND: &str = "application/vnd.oci.image.manifest.v1+json";

static SITE: Mutex<Weak<Site>> = Mutex::new(Weak::new());

/// A cluster, a registry with two bundles, and a proxy to the API server.
struct Site {
    cluster: Mutex<Cluster>,
    folder: tempfile::TempDir,
    registry: String,
    /// kubectl's proxy to the API server.
    upstream: u16,
    runtime: tokio::runtime::Runtime,
    kube: kube::Client,
}

/// Returns the site that all tests share; `None` if programs are missing.
fn site() -> Option<Arc<Site>> {
    if !possible(false) {
        return None;
    }
    let mut shared = SITE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(site) = shared.upgrade() {
        return Some(site);
    }
    let site = Arc::new(Site::start());
    *shared = Arc::downgrade(&site);
    Some(site)
}

impl Site {
    fn start() -> Self {
        Self::with(&[&Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/crds")])
    }

    /// Starts a site with these CRDs.
    fn with(crds: &[&Path]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        store(path);
        let mut cluster = Cluster::start(2);
        let registry = format!("127.0.0.1:{}", free_port());
        cluster.serve(&path.join("store"), &registry, &[]);
        let config = cluster.kubeconfig();
        let upstream = proxy(&mut cluster, "kubectl-proxy", &config);
        for file in crds {
            cluster.kubectl(&["apply", "--server-side", "-f", file.to_str().unwrap()]);
        }
        cluster.kubectl(&["create", "namespace", "eksa-packages"]);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let file = kube::config::Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
        let kube = runtime.block_on(async {
            let config =
                kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
            kube::Client::try_from(config).unwrap()
        });
        Self { cluster: Mutex::new(cluster), folder, registry, upstream, runtime, kube }
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        let mut command = self.kubectl_command();
        let output = command.args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {}\n{said}", arguments.join(" "));
        said.into_owned()
    }

    /// The packages of a namespace.
    fn packages(&self, namespace: &str) -> kube::Api<package_api::Package> {
        kube::Api::namespaced(self.kube.clone(), namespace)
    }

    fn kubectl_command(&self) -> Command {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner).command("kubectl")
    }

    fn get(&self, arguments: &[&str]) -> Option<Value> {
        let output = self.kubectl_command().args(["get", "-o", "json"]).args(arguments).output().unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    fn apply(&self, yaml: &str) {
        use std::io::Write as _;
        let mut command = self.kubectl_command();
        command
            .args(["apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(yaml.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}\n{yaml}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Starts `kubectl proxy` to the API server, over plain HTTP, with the permissions of the kubeconfig's user; returns the port.
fn proxy(cluster: &mut Cluster, name: &str, config: &Path) -> u16 {
    let port = free_port();
    let binary = crate::rig::program("kubectl").display().to_string();
    let config = format!("--kubeconfig={}", config.display());
    let port_word = format!("--port={port}");
    cluster.run_words(name, &binary, &["proxy", &config, &port_word]);
    wait("kubectl's proxy", MINUTE, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    port
}

/// A management cluster with its own name and a controller.
struct Shard {
    site: Arc<Site>,
    name: String,
    proxy: ApiProxy,
    health: u16,
    registry: String,
    /// The controller runs in a different cluster.
    as_workload: bool,
    more: Vec<String>,
}

impl Shard {
    /// Creates the settings and the namespaces of the cluster.
    fn new(site: &Arc<Site>, name: &str, bundle: &str) -> Self {
        Self::through(site, site.upstream, name, bundle)
    }

    /// Like [`Self::new`], with another proxy to the API server.
    fn through(site: &Arc<Site>, upstream: u16, name: &str, bundle: &str) -> Self {
        let proxy = ApiProxy::new(upstream, name);
        let shard = Self {
            site: Arc::clone(site),
            name: name.to_owned(),
            proxy,
            health: free_port(),
            registry: site.registry.clone(),
            as_workload: false,
            more: Vec::new(),
        };
        let registry = &site.registry;
        site.apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: airlock-{name}}}\n---\n\
             apiVersion: v1\nkind: Namespace\nmetadata: {{name: eksa-packages-{name}}}\n---\n\
             apiVersion: packages.eks.amazonaws.com/v1alpha1\nkind: PackageBundleController\n\
             metadata: {{name: {name}, namespace: eksa-packages}}\n\
             spec: {{defaultRegistry: '{registry}', defaultImageRegistry: 'disk.example', activeBundle: {bundle}, createNamespace: true, \
             upgradeCheckShortInterval: 2s}}\n"
        ));
        shard
    }

    fn namespace(&self) -> String {
        format!("eksa-packages-{}", self.name)
    }

    /// Starts a replica.
    fn controller(&self, identity: &str, health: u16) -> Running {
        let path = self.site.folder.path();
        let config = path.join(format!("{}.kubeconfig", self.name));
        fs::write(&config, self.proxy.kubeconfig()).unwrap();
        let log = self.log_file(identity);
        let log = fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
        let child: Child = Command::new(AIRLOCK)
            .args(["controller", "--cluster-name", if self.as_workload { "mgmt" } else { &self.name }])
            .args(["--identity", identity])
            .args(["--namespace", &format!("airlock-{}", self.name), "--kubeconfig"])
            .arg(config)
            .args(["--webhook-listen", "127.0.0.1:0", "--webhook-url", "https://127.0.0.1:1"])
            .args(["--health-listen", &format!("127.0.0.1:{health}")])
            .args(["--registry", &self.registry, "--plain-http"])
            .args(["--bundle-trust", path.join("release.yaml").to_str().unwrap()])
            .args(&self.more)
            .env("RUST_LOG", "info,admission::webhook=off")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Running(child)
    }

    fn start(&self) -> Running {
        self.controller("a", self.health)
    }

    /// Deletes the lease, so that a test need not wait until the lease of a killed controller expires.
    fn delete_lease(&self) {
        use k8s_openapi::api::coordination::v1::Lease;
        let api = kube::Api::<Lease>::namespaced(self.site.kube.clone(), &format!("airlock-{}", self.name));
        let _ = self.site.runtime.block_on(api.delete("airlock-controller", &DeleteParams::default()));
    }

    fn log_file(&self, identity: &str) -> PathBuf {
        self.site.folder.path().join(format!("{}-{identity}.log", self.name))
    }

    fn package(&self, name: &str, of: &str, version: &str, config: &str, annotations: &str) {
        let config: String = config.lines().map(|line| format!("    {line}\n")).collect();
        self.site.apply(&format!(
            "apiVersion: packages.eks.amazonaws.com/v1alpha1\nkind: Package\nmetadata: {{name: {name}, namespace: {}, annotations: {{{annotations}}}}}\n\
             spec:\n  packageName: {of}\n  packageVersion: '{version}'\n  targetNamespace: at-{name}\n  config: |\n{config}",
            self.namespace()
        ));
    }

    fn found(&self, name: &str) -> Option<Value> {
        // Errors are ignored, because the API server may be stopped.
        self.find(name).ok()?
    }

    /// The package, if it exists.
    fn find(&self, name: &str) -> kube::Result<Option<Value>> {
        let api = self.site.packages(&self.namespace());
        let found = self.site.runtime.block_on(api.get_opt(name))?;
        Ok(found.map(|package| serde_json::to_value(package).unwrap()))
    }

    /// Deletes a package without waiting.
    fn delete(&self, name: &str) {
        let api = self.site.packages(&self.namespace());
        drop(self.site.runtime.block_on(api.delete(name, &DeleteParams::default())).unwrap());
    }

    /// Changes the spec of a package.
    fn change(&self, name: &str, spec: &Value) {
        let api = self.site.packages(&self.namespace());
        let patch = kube::api::Patch::Merge(serde_json::json!({ "spec": spec }));
        self.site.runtime.block_on(api.patch(name, &PatchParams::default(), &patch)).unwrap();
    }

    /// Waits until a package satisfies a condition; on timeout, fails with the package and the controller's log.
    fn until(&self, name: &str, most: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = std::time::Instant::now();
        loop {
            let found = self.found(name);
            if let Some(found) = &found
                && wanted(found)
            {
                return found.clone();
            }
            if begun.elapsed() > most {
                let log = fs::read_to_string(self.log_file("a")).unwrap_or_default();
                panic!("{name} after {} s: {found:#?}\n{log}", most.as_secs());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn installed(&self, name: &str, version: &str) -> Value {
        self.until(name, MINUTE, |package| is_installed(package, version))
    }

    fn gone(&self, name: &str) {
        let begun = std::time::Instant::now();
        while let Some(found) = self.found(name) {
            if begun.elapsed() > MINUTE {
                let log = fs::read_to_string(self.log_file("a")).unwrap_or_default();
                panic!("{name} is still there: {found:#?}\n{log}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The revisions of a release and their states, from their Secrets.
    fn revisions(&self, name: &str) -> Vec<String> {
        let label = format!("owner=helm,name={name}");
        let found = self.site.get(&["secrets", "-n", "eksa-packages", "-l", &label]).unwrap();
        let items = found["items"].as_array().unwrap().iter();
        items
            .map(|item| {
                format!("{} {}", item["metadata"]["labels"]["version"], item["metadata"]["labels"]["status"])
            })
            .collect()
    }

    /// The events about a package, oldest first: reason and message.
    fn events(&self, name: &str) -> Vec<(String, String)> {
        let selector = format!("involvedObject.name={name}");
        let found =
            self.site.get(&["events", "-n", &self.namespace(), "--field-selector", &selector]).unwrap();
        let text = |item: &Value, at: &str| item[at].as_str().unwrap_or_default().to_owned();
        let mut found: Vec<_> = found["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| (text(item, "eventTime"), text(item, "reason"), text(item, "message")))
            .collect();
        found.sort();
        found.into_iter().map(|(_, reason, message)| (reason, message)).collect()
    }
}

fn is_installed(package: &Value, version: &str) -> bool {
    let status = &package["status"];
    status["state"] == "installed"
        && status["currentVersion"] == version
        && status["observedGeneration"] == package["metadata"]["generation"]
}

/// The template of the chart `open`, which renders objects from its values.
const OBJECTS: &str = "{{- range .Values.objects }}\n---\n{{ toYaml . }}\n{{- end }}\n{{- if .Values.text }}\n---\n\
    apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-text}\ndata: {text: {{ tpl .Values.text . | quote }}}\n{{- end }}\n";

/// Creates a store with an image, charts and two bundles, signed with the key `release`.
fn store(path: &Path) {
    image(path);
    for version in ["1.0.0", "2.0.0"] {
        for name in ["web", "base", "plain", "open"] {
            pack(&path.join(format!("{name}-{version}.tgz")), name, version);
        }
    }
    let charts: Vec<_> = ["web", "base", "plain", "open"]
        .iter()
        .flat_map(|name| {
            ["1.0.0", "2.0.0"].map(|version| format!("{{file: {name}-{version}.tgz, images: false}}"))
        })
        .collect();
    let file = format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: a}}\nsources:\n\
         - ociLayout: {{path: layout, reference: 'disk.example/team/app:v1'}}\n- charts: [{}]\n",
        charts.join(", ")
    );
    fs::write(path.join("airlock.yaml"), file).unwrap();
    airlock(path, &["mirror", "--store", "store"]);
    airlock(path, &["keys", "generate", "release"]);
    airlock(
        path,
        &["keys", "trust", "release.pub", "--sign", "packageBundle,signature", "--to", "release.yaml"],
    );
    let offer = |name: &str, versions: &str, more: &str| {
        let charts: Vec<_> =
            versions.split(' ').map(|version| format!("'charts/{name}:{version}'")).collect();
        format!("- {{name: {name}, charts: [{}]{more}}}\n", charts.join(", "))
    };
    for (number, versions) in [("2", "2.0.0 1.0.0"), ("1", "1.0.0")] {
        let packages = offer("web", versions, ", dependencies: [base]")
            + &offer("base", versions, "")
            + &offer("plain", versions, "")
            + &offer("open", versions, "");
        let text = format!(
            "apiVersion: airlock.dev/v1alpha1\nkind: BundleConfig\nmetadata: {{name: v1-36-{number}}}\nminControllerVersion: v0.1.0\npackages:\n{packages}"
        );
        fs::write(path.join("packages.yaml"), text).unwrap();
        airlock(
            path,
            &[
                "bundle",
                "create",
                "-f",
                "packages.yaml",
                "--store",
                "store",
                "--key",
                "release.key",
                "--publish",
            ],
        );
    }
}

fn airlock(path: &Path, arguments: &[&str]) {
    let output = Command::new(AIRLOCK)
        .args(arguments)
        .current_dir(path)
        .env("AIRLOCK_KEY_PASSWORD", "a password")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Writes an empty image; pods that use it run on kwok nodes.
fn image(path: &Path) {
    let blobs = path.join("layout/blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = oci::Digest::sha256(bytes).to_string();
        fs::write(blobs.join(&digest[7..]), bytes).unwrap();
        digest
    };
    let config =
        br#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#;
    let image = format!(
        r#"{{"schemaVersion":2,"mediaType":"{KIND}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[]}}"#,
        put(config),
        config.len()
    );
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{KIND}","digest":"{}","size":{}}}]}}"#,
        put(image.as_bytes()),
        image.len()
    );
    fs::write(path.join("layout/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(path.join("layout/index.json"), index).unwrap();
}

/// Writes a packaged chart. `plain` has only `ConfigMaps`; the others also have a Deployment, which becomes ready unless the
/// values prevent it. `open` renders objects from its values and evaluates a text.
fn pack(path: &Path, name: &str, version: &str) {
    let file = fs::File::create(path).unwrap();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: {{ .Release.Name }}, labels: {v: '{{ .Chart.Version }}'}}\n\
                      spec:\n  replicas: {{ .Values.replicas }}\n  selector: {matchLabels: {app: {{ .Release.Name }}}}\n  template:\n    metadata: {labels: {app: {{ .Release.Name }}}}\n\
                      \x20   spec:\n      nodeSelector: {kubernetes.io/os: '{{ .Values.os }}'}\n      containers: [{name: c, image: '{{ .Values.sourceRegistry }}/team/app:v1'}]\n";
    let settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {version: '{{ .Chart.Version }}', word: '{{ .Values.word }}'}\n";
    let old = "{{- if eq .Chart.Version \"1.0.0\" }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-old}\n{{- end }}\n";
    let schema = r#"{"type":"object","properties":{"replicas":{"type":"integer"}}}"#;
    let mut files = vec![
        ("Chart.yaml", format!("apiVersion: v2\nname: {name}\nversion: {version}\n")),
        ("values.yaml", "replicas: 1\nword: x\nos: linux\nsourceRegistry: disk.example\n".to_owned()),
        ("values.schema.json", schema.to_owned()),
        ("templates/settings.yaml", settings.to_owned()),
        ("templates/old.yaml", old.to_owned()),
    ];
    if name != "plain" {
        files.push(("templates/deployment.yaml", deployment.to_owned()));
    }
    if name == "open" {
        files.push(("templates/objects.yaml", OBJECTS.to_owned()));
    }
    for (file, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{name}/{file}"), text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
}
