//! The webhooks, called by a real API server.
//!
//! The controller runs as a process, and the API server calls it by URL. Concurrent tests share one cluster; tests that
//! would disturb others use it exclusively.

mod bypass;
mod load;
mod no_replica;
mod packages;
mod policies;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use bundle_signer::trust::ContentKind;
use bundle_signer::{PrivateKey, PublicKey, TrustFile, eksa};
use serde_json::{Value, json};

use crate::rig::{Cluster, Running, free_port, pause, possible, wait};

/// Signed by `release`.
const SIGNED: &str = "registry.example/team/app:v1";
/// Not signed.
const UNSIGNED: &str = "registry.example/team/other:v1";
/// Not signed until a test signs it.
const FRESH: &str = "registry.example/team/fresh:v1";
/// The content of [`SIGNED`] in another repository, for which there is no signature.
const TWIN: &str = "registry.example/elsewhere/app:v1";
/// A signed index of unsigned manifests.
const MULTI: &str = "registry.example/team/multi:v1";
const KIND: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MINUTE: Duration = Duration::from_mins(1);

static SITE: Mutex<Weak<Site>> = Mutex::new(Weak::new());
static ACCESS: RwLock<()> = RwLock::new(());

/// A cluster with a registry and a controller.
struct Site {
    cluster: Cluster,
    folder: tempfile::TempDir,
    /// The key for bundles that the tests create.
    bundles: PrivateKey,
    registry: String,
    /// The registry's process.
    serving: Running,
    controller: Mutex<Option<Running>>,
    webhooks: u16,
    health: u16,
    runtime: tokio::runtime::Runtime,
    kube: kube::Client,
}

/// Returns the site for shared use; `None` if programs are missing. The site is taken before the lock, so that it is not
/// dropped while a test waits.
fn shared() -> Option<(RwLockReadGuard<'static, ()>, Arc<Site>)> {
    let site = site()?;
    Some((ACCESS.read().unwrap_or_else(PoisonError::into_inner), site))
}

/// Returns the site for exclusive use.
fn alone() -> Option<(RwLockWriteGuard<'static, ()>, Arc<Site>)> {
    let site = site()?;
    Some((ACCESS.write().unwrap_or_else(PoisonError::into_inner), site))
}

fn site() -> Option<Arc<Site>> {
    // Before waiting for the lock, while the previous test still holds the site.
    let mut shared = SITE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(site) = shared.upgrade() {
        return Some(site);
    }
    if !possible(false) {
        return None;
    }
    let site = Arc::new(Site::start());
    *shared = Arc::downgrade(&site);
    Some(site)
}

impl Site {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let pem = store(path);
        let cluster = Cluster::start(1);
        let registry = format!("127.0.0.1:{}", free_port());
        let serving = serve(&cluster, path, &registry);
        let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/crds");
        cluster.kubectl(&["apply", "--server-side", "-f", crds.to_str().unwrap()]);
        for name in ["eksa-packages", "eksa-packages-cluster01"] {
            cluster.kubectl(&["create", "namespace", name]);
        }
        let bundles = PrivateKey::generate().unwrap();
        let trust = with_aws(&bundles.public_key().unwrap());
        std::fs::write(path.join("bundles.yaml"), trust).unwrap();
        let (webhooks, health) = (free_port(), free_port());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let kubeconfig = cluster.kubeconfig();
        let kube = runtime.block_on(async {
            let file = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
            let config =
                kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default())
                    .await
                    .unwrap();
            kube::Client::try_from(config).unwrap()
        });
        let controller = Mutex::new(None);
        let site =
            Self { cluster, folder, bundles, registry, serving, controller, webhooks, health, runtime, kube };
        site.restart();
        let (good, said) = site.cluster.apply(
            &policy("release", &pem, "enforce", &json!({"matchLabels": {"verified": "yes"}})).to_string(),
        );
        assert!(good, "{said}");
        site.cluster.kubectl(&["wait", "--for=condition=Ready", "trustpolicy/release"]);
        site
    }

    /// Stops the controller if it is running, and starts it.
    fn restart(&self) {
        let mut running = self.controller.lock().unwrap_or_else(PoisonError::into_inner);
        *running = None;
        let (url, listen) =
            (format!("https://127.0.0.1:{}", self.webhooks), format!("127.0.0.1:{}", self.webhooks));
        let (health, log) = (format!("127.0.0.1:{}", self.health), self.cluster.path("controller.log"));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut command = self.cluster.command(&controller());
        command.args([
            "controller",
            "--cluster-name=cluster01",
            "--plain-http",
            "--bundle-trust=bundles.yaml",
        ]);
        command.args(["--webhook-url", &url, "--webhook-listen", &listen, "--health-listen", &health]);
        command.args(["--registry", &self.registry]).current_dir(self.folder.path());
        *running = Some(Running(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()));
        wait("the controller", MINUTE, || self.probe("readyz"));
    }

    /// Pauses or resumes the registry.
    fn pause_registry(&self, paused: bool) {
        pause(self.serving.0.id(), paused);
    }

    /// Requests a path of the controller's health port; returns the response if it is successful.
    fn probe(&self, path: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}/{path}", self.health);
        let got = self.cluster.command("curl").args(["-sf", &url]).output().unwrap();
        got.status.success().then(|| String::from_utf8_lossy(&got.stdout).into_owned())
    }

    /// The value of a metric of the controller; 0 if it does not exist yet.
    fn metric(&self, name: &str) -> u64 {
        let all = self.probe("metrics").unwrap();
        let line = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |number| number.parse().unwrap())
    }

    /// Creates a namespace whose images are verified.
    fn verified_namespace(&self, name: &str) -> String {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"verified": "yes"}}});
        self.makes(&object);
        wait("the service account", MINUTE, || {
            self.cluster.tries(&["get", "serviceaccount", "default", "-n", name]).0.then_some(())
        });
        name.to_owned()
    }

    /// Creates an object; the error is the API server's message.
    fn create(&self, object: &Value, dry_run: bool) -> Result<Value, String> {
        self.runtime.block_on(self.created(object, dry_run))
    }

    async fn created(&self, object: &Value, dry_run: bool) -> Result<Value, String> {
        use kube::core::{DynamicObject, TypeMeta};
        let types: TypeMeta = serde_json::from_value(object.clone()).unwrap();
        let kind = kube::core::GroupVersionKind::try_from(&types).unwrap();
        let resource = kube::core::ApiResource::from_gvk(&kind);
        let resource = match kind.kind.as_str() {
            "TrustPolicy" => kube::core::ApiResource::from_gvk_with_plural(&kind, "trustpolicies"),
            _ => resource,
        };
        let api: kube::Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => kube::Api::namespaced_with(self.kube.clone(), namespace, &resource),
            None => kube::Api::all_with(self.kube.clone(), &resource),
        };
        let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        let parameters = kube::api::PostParams { dry_run, ..Default::default() };
        match api.create(&parameters, &object).await {
            Ok(made) => Ok(json!(made)),
            Err(kube::Error::Api(status)) => Err(status.message.clone()),
            Err(error) => panic!("{error}"),
        }
    }

    fn makes(&self, object: &Value) -> Value {
        self.create(object, false).unwrap_or_else(|said| panic!("{said}\n{object}"))
    }

    /// Expects that the object is rejected with a message that contains all these words.
    fn refuses(&self, object: &Value, words: &[&str]) -> String {
        let said = self.create(object, true).expect_err("it was admitted");
        for word in words {
            assert!(said.contains(word), "no `{word}` in: {said}");
        }
        said
    }

    /// The digest of an image in the store.
    fn digest(&self, image: &str) -> String {
        let (name, tag) = image.rsplit_once(':').unwrap();
        let url = format!("http://{}/v2/{name}/manifests/{tag}", self.registry);
        let got = self
            .cluster
            .command("curl")
            .args(["-sf", "-H", &format!("Accept: {KIND}, {INDEX}"), &url])
            .output()
            .unwrap();
        assert!(got.status.success(), "{image}");
        oci::Digest::sha256(&got.stdout).to_string()
    }

    /// Runs `airlock` in the site's folder and expects success.
    fn airlock(&self, words: &[&str]) {
        works(self.folder.path(), words);
    }
}

/// The controller's binary; benchmarks use a release build.
fn controller() -> String {
    std::env::var("AIRLOCK_TEST_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_airlock").to_owned())
}

/// Starts `airlock serve`, whose process tests can pause.
fn serve(cluster: &Cluster, folder: &Path, registry: &str) -> Running {
    let log = std::fs::File::create(folder.join("serve.log")).unwrap();
    let words = ["serve", "--store", "store", "--listen", registry];
    let mut command = cluster.command(env!("CARGO_BIN_EXE_airlock"));
    let child =
        command.args(words).current_dir(folder).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let serving = Running(child);
    let url = format!("http://{registry}/v2/");
    wait("the registry", MINUTE, || {
        cluster.command("curl").args(["-sf", "-o", "/dev/null", &url]).status().ok()?.success().then_some(())
    });
    serving
}

/// A trust file with AWS's keys and one more.
fn with_aws(own: &PublicKey) -> String {
    let aws = eksa::package_keys().unwrap();
    let mut keys: Vec<_> = aws.keys().iter().map(|key| (key.name().to_owned(), key.key().clone())).collect();
    keys.push(("own".to_owned(), own.clone()));
    TrustFile::new(keys).unwrap().limited_to(&[ContentKind::PackageBundle]).to_yaml()
}

/// Creates a store with the images, some of them signed; returns the public key.
fn store(path: &Path) -> String {
    let app = layout(path, "app", SIGNED);
    let _ = (layout(path, "other", UNSIGNED), layout(path, "multi", MULTI), layout(path, "fresh", FRESH));
    std::fs::create_dir_all(path.join("twin")).unwrap();
    assert!(
        std::process::Command::new("cp")
            .arg("-r")
            .arg(app.join("."))
            .arg(path.join("twin"))
            .status()
            .unwrap()
            .success()
    );
    let index = std::fs::read_to_string(path.join("twin/index.json")).unwrap();
    std::fs::write(path.join("twin/index.json"), index.replace(SIGNED, TWIN)).unwrap();
    let sources: String =
        [("app", SIGNED), ("other", UNSIGNED), ("multi", MULTI), ("twin", TWIN), ("fresh", FRESH)]
            .iter()
            .map(|(folder, image)| format!("  - ociLayout: {{path: {folder}, reference: '{image}'}}\n"))
            .collect();
    let mirror = format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: a}}\nsources:\n{sources}"
    );
    std::fs::write(path.join("airlock.yaml"), mirror).unwrap();
    works(path, &["mirror", "--store", "store"]);
    for name in ["release", "other"] {
        works(path, &["keys", "generate", name]);
    }
    for image in [SIGNED, MULTI] {
        works(path, &["sign", image, "--store", "store", "--key", "release.key"]);
    }
    std::fs::read_to_string(path.join("release.pub")).unwrap()
}

/// Writes an OCI layout with one image; for `multi`, with an index of two.
fn layout(path: &Path, name: &str, image: &str) -> PathBuf {
    let layout = path.join(name);
    std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let put = |bytes: &[u8], kind: &str| {
        let digest = oci::Digest::sha256(bytes).to_string();
        std::fs::write(layout.join("blobs/sha256").join(&digest[7..]), bytes).unwrap();
        json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
    };
    let manifest = |architecture: &str| {
        let config = json!({"architecture": architecture, "os": "linux", "config": {"Labels": {"name": name}}, "rootfs": {"type": "layers", "diff_ids": []}});
        let config = put(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
        let manifest = json!({"schemaVersion": 2, "mediaType": KIND, "config": config, "layers": []});
        let mut entry = put(manifest.to_string().as_bytes(), KIND);
        entry["platform"] = json!({"architecture": architecture, "os": "linux"});
        entry
    };
    let mut entry = manifest("amd64");
    if name == "multi" {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry, manifest("arm64")]});
        entry = put(index.to_string().as_bytes(), INDEX);
    }
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": image});
    std::fs::write(layout.join("index.json"), json!({"schemaVersion": 2, "manifests": [entry]}).to_string())
        .unwrap();
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    layout
}

fn works(folder: &Path, words: &[&str]) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_airlock"))
        .args(words)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("AIRLOCK_KEY_PASSWORD", "a password")
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn policy(name: &str, pem: &str, mode: &str, namespaces: &Value) -> Value {
    json!({
        "apiVersion": "airlock.dev/v1alpha1", "kind": "TrustPolicy", "metadata": {"name": name},
        "spec": {"mode": mode, "namespaces": namespaces, "trust": {"keys": [{"name": "release", "publicKey": pem}]}},
    })
}

fn pod(namespace: &str, name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "main", "image": image}]},
    })
}

fn image_of(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).unwrap().as_str().unwrap().to_owned()
}
