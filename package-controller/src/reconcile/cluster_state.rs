//! The watched objects of the cluster, in memory, and the queues of changed objects.
//!
//! Only this process writes statuses, so a changed status wakes only the packages that wait for it.
//!
//! `watches -> stores + wake-ups -> controllers`

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use error_text::one_line;
use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, ResourceExt as _};
use package_api::name::{Cluster, PACKAGES_NAMESPACE};
use package_api::{AIRLOCK_GROUP, Package, PackageBundle, PackageBundleController, PackageState};
use tokio::sync::Notify;

use crate::context::Context;
use crate::package::{FINALIZER, GIVEN_UP};

/// The watched objects of the cluster.
pub(super) struct ClusterState {
    pub(super) packages: Store<Package>,
    pub(super) bundles: Store<PackageBundle>,
    pub(super) settings: Store<PackageBundleController>,
    wake: Wake,
    /// Packages as last written, because the watch may be behind.
    written: Mutex<HashMap<ObjectRef<Package>, Package>>,
    /// The workers on packages, to notify them of changes.
    workers: Mutex<HashMap<ObjectRef<Package>, Arc<Notify>>>,
    management: String,
}

struct Wake {
    packages: UnboundedSender<ObjectRef<Package>>,
    bundles: UnboundedSender<ObjectRef<PackageBundle>>,
    settings: UnboundedSender<ObjectRef<PackageBundleController>>,
}

/// The queues of changed objects.
pub(super) struct Queues {
    pub(super) packages: UnboundedReceiver<ObjectRef<Package>>,
    pub(super) bundles: UnboundedReceiver<ObjectRef<PackageBundle>>,
    pub(super) settings: UnboundedReceiver<ObjectRef<PackageBundleController>>,
}

/// The writers of the stores.
pub(super) struct Writers {
    packages: Writer<Package>,
    bundles: Writer<PackageBundle>,
    settings: Writer<PackageBundleController>,
}

impl ClusterState {
    pub(super) fn new(management: String) -> (Self, Writers, Queues) {
        let writers =
            Writers { packages: Writer::default(), bundles: Writer::default(), settings: Writer::default() };
        let (packages, packages_queue) = unbounded();
        let (bundles, bundles_queue) = unbounded();
        let (settings, settings_queue) = unbounded();
        let state = Self {
            packages: writers.packages.as_reader(),
            bundles: writers.bundles.as_reader(),
            settings: writers.settings.as_reader(),
            wake: Wake { packages, bundles, settings },
            written: Mutex::default(),
            workers: Mutex::default(),
            management,
        };
        let queues = Queues { packages: packages_queue, bundles: bundles_queue, settings: settings_queue };
        (state, writers, queues)
    }

    /// The `PackageBundleController` of a cluster.
    pub(super) fn settings_of(&self, cluster: &str) -> Option<Arc<PackageBundleController>> {
        self.settings.get(&ObjectRef::new(cluster).within(PACKAGES_NAMESPACE))
    }

    /// The newest known version of a package.
    pub(super) fn newest(&self, seen: &Arc<Package>) -> Package {
        let written = lock(&self.written);
        match written.get(&ObjectRef::from_obj(seen.as_ref())) {
            Some(written) if is_newer(written, seen) => written.clone(),
            _ => seen.as_ref().clone(),
        }
    }

    /// Records a written package.
    pub(super) fn record_write(&self, package: &Package) {
        lock(&self.written).insert(ObjectRef::from_obj(package), package.clone());
    }

    /// Drops the recorded write of a package if the watch has received the same or a newer version.
    fn caught_up(&self, key: &ObjectRef<Package>, package: &Package) {
        let mut written = lock(&self.written);
        if written.get(key).is_some_and(|written| !is_newer(written, package)) {
            written.remove(key);
        }
    }

    /// All packages of the cluster of a namespace.
    pub(super) fn siblings(&self, namespace: &str) -> Vec<Package> {
        let is_sibling = |package: &Package| self.are_together(package.namespace(), namespace);
        self.packages.state_filter(is_sibling).iter().map(|seen| self.newest(seen)).collect()
    }

    /// Whether two namespaces are of the same cluster.
    fn are_together(&self, one: &str, other: &str) -> bool {
        let cluster = |namespace| Cluster::of(namespace).map(|of| of.name(&self.management).to_owned());
        one == other || cluster(one).is_some_and(|one| cluster(other) == Some(one))
    }

    /// Registers a worker, which is notified if the package changes in the meantime.
    pub(super) fn worker(self: &Arc<Self>, package: &Package) -> Worker {
        let key = ObjectRef::from_obj(package);
        let changed = Arc::<Notify>::default();
        lock(&self.workers).insert(key.clone(), Arc::clone(&changed));
        Worker { state: Arc::clone(self), key, changed }
    }

    /// Queues the packages of a namespace's cluster that wait for others.
    fn wake_waiting(&self, namespace: &str) {
        let waits = |package: &Package| {
            let state = package.status.as_ref().and_then(|status| status.state);
            state == Some(PackageState::InstallingDependencies)
                && self.are_together(package.namespace(), namespace)
        };
        for package in self.packages.state_filter(waits) {
            self.wake_package(ObjectRef::from_obj(package.as_ref()));
        }
    }

    /// Queues the packages that wait for the name of a deleted release.
    fn wake_namesakes(&self, gone: &Package) {
        let same = |package: &Package| {
            package.name() == gone.name() && self.are_together(package.namespace(), gone.namespace())
        };
        for package in self.packages.state_filter(same) {
            self.wake_package(ObjectRef::from_obj(package.as_ref()));
        }
    }

    fn wake_package(&self, package: ObjectRef<Package>) {
        // The receiver is dropped when the lease is lost; then no package needs to be queued.
        let _ = self.wake.packages.unbounded_send(package);
    }

    /// Queues all packages of a cluster.
    fn wake_cluster(&self, cluster: &str) {
        let of = |package: &Package| {
            Cluster::of(package.namespace()).is_some_and(|of| of.name(&self.management) == cluster)
        };
        for package in self.packages.state_filter(of) {
            self.wake_package(ObjectRef::from_obj(package.as_ref()));
        }
    }

    fn wake_all_settings(&self) {
        for settings in self.settings.state() {
            let _ = self.wake.settings.unbounded_send(ObjectRef::from_obj(settings.as_ref()));
        }
    }
}

/// A worker on a package.
pub(super) struct Worker {
    state: Arc<ClusterState>,
    key: ObjectRef<Package>,
    changed: Arc<Notify>,
}

impl Worker {
    /// Waits until the package is changed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        lock(&self.state.workers).remove(&self.key);
    }
}

/// Compares resource versions. Those of one object are growing numbers, which Kubernetes guarantees since 1.35.
fn is_newer(one: &Package, other: &Package) -> bool {
    let version = |package: &Package| package.resource_version().and_then(|text| text.parse::<u64>().ok());
    one.metadata.uid == other.metadata.uid && version(one) > version(other)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches all objects until the future is dropped.
pub(super) async fn watch_all(cluster: &ClusterState, writers: Writers, context: &Context) {
    let packages = async {
        let mut fingerprints = HashMap::new();
        pump(Api::all(context.kube.clone()), writers.packages, |event| {
            package_seen(cluster, &mut fingerprints, event);
        })
        .await;
    };
    let bundles = async {
        let mut fingerprints = HashMap::new();
        pump(Api::all(context.kube.clone()), writers.bundles, |event| {
            bundle_seen(cluster, &mut fingerprints, event);
        })
        .await;
    };
    let settings = async {
        let mut fingerprints = HashMap::new();
        let api = Api::all(context.kube.clone());
        pump(api, writers.settings, |event| settings_seen(cluster, &mut fingerprints, event)).await;
    };
    futures::join!(packages, bundles, settings);
}

/// A change of an object.
enum Change<'a, K> {
    Applied(&'a K),
    Deleted(&'a K),
}

/// Forwards changes. Listed objects are forwarded when the list is complete, because only then they are in the store.
async fn pump<K>(api: Api<K>, writer: Writer<K>, mut changed: impl FnMut(&Change<'_, K>))
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug
        + Send
        + 'static,
{
    let stream = watch::watcher(api, watcher::Config::default())
        .modify(|object| object.managed_fields_mut().clear())
        .default_backoff()
        .reflect(writer);
    let mut stream = std::pin::pin!(stream);
    let mut listed = Vec::new();
    while let Some(event) = stream.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => listed.push(object),
            Ok(Event::InitDone) => listed.drain(..).for_each(|object| changed(&Change::Applied(&object))),
            Ok(Event::Apply(object)) => changed(&Change::Applied(&object)),
            Ok(Event::Delete(object)) => changed(&Change::Deleted(&object)),
            Err(error) => {
                tracing::warn!(kind = %K::kind(&()), error = %one_line(&error), "cannot watch objects");
            }
        }
    }
}

/// The parts of a package that other clients may change.
#[derive(Clone, PartialEq)]
struct Fingerprint {
    uid: Option<String>,
    generation: Option<i64>,
    deleted: bool,
    has_finalizer: bool,
    annotations: Vec<(String, String)>,
}

fn fingerprint(package: &Package) -> Fingerprint {
    let ours = format!("{AIRLOCK_GROUP}/");
    // The annotation that this process writes does not count as a change.
    let ours = |name: &str| name.starts_with(&ours) && name != GIVEN_UP;
    let annotations = package.annotations().iter().filter(|(name, _)| ours(name));
    Fingerprint {
        uid: package.uid(),
        generation: package.metadata.generation,
        deleted: package.metadata.deletion_timestamp.is_some(),
        has_finalizer: package.finalizers().iter().any(|name| name == FINALIZER),
        annotations: annotations.map(|(name, value)| (name.clone(), value.clone())).collect(),
    }
}

type Fingerprints = HashMap<ObjectRef<Package>, (Fingerprint, Option<PackageState>)>;

fn package_seen(cluster: &ClusterState, fingerprints: &mut Fingerprints, change: &Change<'_, Package>) {
    match *change {
        Change::Applied(package) => {
            let key = ObjectRef::from_obj(package);
            let (fingerprint, state) =
                (fingerprint(package), package.status.as_ref().and_then(|status| status.state));
            let before = fingerprints.insert(key.clone(), (fingerprint.clone(), state));
            let (before, was) =
                before.map_or((None, None), |(fingerprint, state)| (Some(fingerprint), state));
            // This process added the finalizer itself.
            let same = before.is_some_and(|before| {
                before == fingerprint || Fingerprint { has_finalizer: true, ..before } == fingerprint
            });
            if !same {
                if let Some(changed) = lock(&cluster.workers).get(&key) {
                    changed.notify_one();
                }
                cluster.wake_package(key.clone());
            }
            cluster.caught_up(&key, package);
            if state != was {
                cluster.wake_waiting(package.namespace());
            }
        }
        Change::Deleted(package) => {
            let key = ObjectRef::from_obj(package);
            fingerprints.remove(&key);
            lock(&cluster.written).remove(&key);
            cluster.wake_waiting(package.namespace());
            cluster.wake_namesakes(package);
        }
    }
}

type Generation = (Option<String>, Option<i64>, Option<String>);

fn bundle_seen(
    cluster: &ClusterState,
    fingerprints: &mut HashMap<ObjectRef<PackageBundle>, Generation>,
    change: &Change<'_, PackageBundle>,
) {
    let bundle = match *change {
        Change::Applied(bundle) => {
            let signature = bundle.annotation(package_api::bundle::SIGNATURE).map(str::to_owned);
            let generation = (bundle.uid(), bundle.metadata.generation, signature);
            let key = ObjectRef::from_obj(bundle);
            if fingerprints.insert(key.clone(), generation.clone()).as_ref() == Some(&generation) {
                return;
            }
            let _ = cluster.wake.bundles.unbounded_send(key);
            bundle
        }
        Change::Deleted(bundle) => {
            fingerprints.remove(&ObjectRef::from_obj(bundle));
            bundle
        }
    };
    cluster.wake_all_settings();
    for settings in cluster.settings.state() {
        if settings.spec.active_bundle.as_deref() == Some(bundle.name()) {
            cluster.wake_cluster(settings.name());
        }
    }
}

fn settings_seen(
    cluster: &ClusterState,
    fingerprints: &mut HashMap<ObjectRef<PackageBundleController>, Generation>,
    change: &Change<'_, PackageBundleController>,
) {
    match *change {
        Change::Applied(settings) => {
            let generation = (settings.uid(), settings.metadata.generation, None);
            let key = ObjectRef::from_obj(settings);
            if fingerprints.insert(key.clone(), generation.clone()).as_ref() != Some(&generation) {
                let _ = cluster.wake.settings.unbounded_send(key);
                cluster.wake_cluster(settings.name());
            }
        }
        Change::Deleted(settings) => {
            fingerprints.remove(&ObjectRef::from_obj(settings));
            cluster.wake_cluster(settings.name());
        }
    }
}
