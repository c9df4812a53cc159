//! An in-memory cluster for tests of releases. It implements only the requests of the engine.
//!
//! It applies by merging, sets no defaults, and rejects only the requests that a test specifies.

mod api;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use helm::Chart;
use oci::Digest;
use package_api::PackageSource;
use registry::client::{Client, ClientConfig};
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::error::Error;
use crate::limits::Limits;
use crate::plan::Install;
use crate::prepared::Prepared;
use crate::release::Record;

/// The namespace of records.
pub(crate) const RECORDS: &str = "eksa-packages";

/// Objects by URL path.
pub(crate) type Objects = BTreeMap<String, Value>;

/// A request to the API server.
pub(crate) struct TestRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) body: &'a Value,
    /// The object at this path.
    pub(crate) live: Option<&'a Value>,
}

type Refuse = Box<dyn Fn(&TestRequest<'_>) -> Option<(u16, String)> + Send>;
type React = Box<dyn Fn(&Value, &mut Store) + Send>;

/// The state of the API server.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) objects: Objects,
    /// The last states of deleted objects, for watches.
    pub(crate) ends: Objects,
    /// The writes, as `METHOD path`, without dry runs.
    pub(crate) writes: Vec<String>,
    refuse: Vec<Refuse>,
    react: Vec<React>,
    version: u64,
}

/// A cluster and an engine for it.
pub(crate) struct World {
    store: Arc<Mutex<Store>>,
    pub(crate) engine: Engine,
}

impl World {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = Arc::new(Mutex::new(Store::default()));
        let url = api::serve(Arc::clone(&store)).await;
        let client = kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
        let registry = Client::new(ClientConfig::default()).unwrap();
        Self { store, engine: Engine::new(client, registry, None, "airlock") }
    }

    pub(crate) fn store<T>(&self, look: impl FnOnce(&mut Store) -> T) -> T {
        look(&mut self.store.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds an object without applying it.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.store(|store| store.put(path, object));
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.store(|store| store.objects.get(path).cloned())
    }

    /// The paths of objects, except for records, namespaces and events.
    pub(crate) fn paths(&self) -> Vec<String> {
        let own = |path: &&String| {
            !path.contains("/sh.helm.release.")
                && !path.starts_with("/api/v1/namespaces/") | (path.matches('/').count() > 4)
                && !path.contains("/events/")
        };
        self.store(|store| store.objects.keys().filter(own).cloned().collect())
    }

    pub(crate) fn refuse(&self, refuse: impl Fn(&TestRequest<'_>) -> Option<(u16, String)> + Send + 'static) {
        self.store(|store| store.refuse.push(Box::new(refuse)));
    }

    /// Adds a reaction to each applied object.
    pub(crate) fn react(&self, react: impl Fn(&Value, &mut Store) + Send + 'static) {
        self.store(|store| store.react.push(Box::new(react)));
    }

    /// Removes all rejections and reactions, and clears the recorded writes.
    pub(crate) fn calm(&self) {
        self.store(|store| {
            store.refuse.clear();
            store.react.clear();
            store.writes.clear();
        });
    }

    pub(crate) async fn prepare(&self, chart: &Arc<Chart>, plan: &Install) -> Result<Prepared, Error> {
        let digest = Digest::sha256(format!("{} {}", chart.name(), chart.version()).as_bytes());
        let mut plan = plan.clone();
        plan.source.digest = digest.to_string();
        self.engine.charts.cache(&digest, 1, chart);
        self.engine.prepare(&plan).await
    }

    pub(crate) async fn install(
        &self,
        chart: &Arc<Chart>,
        plan: &Install,
        limits: &Limits,
    ) -> Result<Record, Error> {
        let prepared = self.prepare(chart, plan).await?;
        self.engine.install(&prepared, limits).await
    }

    pub(crate) async fn good(&self, chart: &Arc<Chart>, plan: &Install) -> Record {
        self.install(chart, plan, &limits()).await.unwrap_or_else(|error| panic!("{}", error.one_line()))
    }

    pub(crate) async fn states(&self, release: &str) -> Vec<&'static str> {
        let history = self.engine.history(RECORDS, release).await.unwrap();
        history.iter().map(|record| record.status.as_str()).collect()
    }

    pub(crate) async fn away(&self, release: &str) {
        self.engine
            .uninstall(RECORDS, release, &limits())
            .await
            .unwrap_or_else(|e| panic!("{}", e.one_line()));
    }
}

impl Store {
    pub(crate) fn put(&mut self, path: &str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{}", self.version));
        }
        self.objects.insert(path.to_owned(), object);
    }

    /// Deletes an object, whose last state was `last`.
    pub(crate) fn end(&mut self, path: &str, last: Value) {
        self.objects.remove(path);
        self.ends.insert(path.to_owned(), last);
    }
}

/// The limits of the controller, with a shorter timeout.
pub(crate) fn limits() -> Limits {
    Limits { timeout: Duration::from_secs(2), conflicts: crate::limits::Conflicts::Take, ..Limits::default() }
}

pub(crate) fn chart(version: &str, files: &[(&str, &str)]) -> Arc<Chart> {
    let about = format!("apiVersion: v2\nname: web\nversion: {version}\n");
    let about = ("Chart.yaml", about.as_str());
    let files = files.iter().chain([&about]);
    let files = files.map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    Arc::new(Chart::from_files(files, &helm::Limits::default()).unwrap())
}

/// A plan for the release `web`.
pub(crate) fn plan(namespace: Option<&str>, values: Value) -> Install {
    Install {
        release: "web".to_owned(),
        release_namespace: RECORDS,
        target_namespace: namespace.map(str::to_owned),
        create_namespace: true,
        chart_registry: "registry.example".to_owned(),
        source: PackageSource::default(),
        target_version: String::new(),
        values,
        dependencies: Vec::new(),
    }
}

/// The document of a `ConfigMap` with one entry.
pub(crate) fn config(name: &str, namespace: &str, text: &str) -> String {
    let namespace = if namespace.is_empty() { String::new() } else { format!(", namespace: {namespace}") };
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}{namespace}}}\ndata: {{text: {text}}}\n"
    )
}

/// The CRD of the kind `Thing` with these fields, all strings.
pub(crate) fn definition(fields: &[&str]) -> Value {
    let properties: serde_json::Map<String, Value> =
        fields.iter().map(|field| ((*field).to_owned(), json!({"type": "string"}))).collect();
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.x.example"},
        "spec": {"group": "x.example", "scope": "Namespaced", "names": {"kind": "Thing", "plural": "things"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}}}]}})
}

/// The path of [`definition`].
pub(crate) const DEFINITION: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.x.example";

/// The fields of the live [`definition`].
pub(crate) fn fields(world: &World) -> Vec<String> {
    let live = world.get(DEFINITION).unwrap_or_default();
    let properties = live.pointer("/spec/versions/0/schema/openAPIV3Schema/properties").cloned();
    properties.unwrap_or_default().as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default()
}

/// A Job that is a hook.
pub(crate) fn job(name: &str, namespace: &str, event: &str, more: &str) -> String {
    let namespace = if namespace.is_empty() { String::new() } else { format!(", namespace: {namespace}") };
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}{namespace}, annotations: {{helm.sh/hook: {event}}}}}\n\
         spec: {{{more}template: {{spec: {{restartPolicy: Never, containers: [{{name: c, image: 'x.example/x:1'}}]}}}}}}\n"
    )
}

/// A reaction that finishes every Job with a condition as soon as it is created.
pub(crate) fn ends(condition: &'static str) -> impl Fn(&Value, &mut Store) {
    move |object, store| {
        if object["kind"] == "Job" {
            let path = path_of(object);
            store.put(&path, ended(object, condition));
        }
    }
}

/// A finished Job.
pub(crate) fn ended(job: &Value, condition: &str) -> Value {
    let mut job = job.clone();
    job["status"] = json!({"conditions": [{"type": condition, "status": "True", "reason": "Because"}]});
    job
}

/// The path of a Job.
pub(crate) fn path_of(job: &Value) -> String {
    let text = |name: &str| job["metadata"][name].as_str().unwrap().to_owned();
    format!("/apis/batch/v1/namespaces/{}/jobs/{}", text("namespace"), text("name"))
}
