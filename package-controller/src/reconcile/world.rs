//! What the cluster has, kept in memory by watching it, and what is to be looked at because it changed.
//!
//! Statuses are written by this process alone, so a change of one wakes nobody but who waits for it.
//!
//! `watches -> stores + wake-ups -> controllers`

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use brief::words;
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

/// What the cluster has.
pub(super) struct World {
    pub(super) packages: Store<Package>,
    pub(super) bundles: Store<PackageBundle>,
    pub(super) settings: Store<PackageBundleController>,
    wake: Wake,
    /// Packages as they were written last: the watch may be behind.
    written: Mutex<HashMap<ObjectRef<Package>, Package>>,
    /// Who works on a package, to be told that it changed.
    workers: Mutex<HashMap<ObjectRef<Package>, Arc<Notify>>>,
    management: String,
}

struct Wake {
    packages: UnboundedSender<ObjectRef<Package>>,
    bundles: UnboundedSender<ObjectRef<PackageBundle>>,
    settings: UnboundedSender<ObjectRef<PackageBundleController>>,
}

/// What woke up.
pub(super) struct Queues {
    pub(super) packages: UnboundedReceiver<ObjectRef<Package>>,
    pub(super) bundles: UnboundedReceiver<ObjectRef<PackageBundle>>,
    pub(super) settings: UnboundedReceiver<ObjectRef<PackageBundleController>>,
}

/// What fills the stores.
pub(super) struct Writers {
    packages: Writer<Package>,
    bundles: Writer<PackageBundle>,
    settings: Writer<PackageBundleController>,
}

impl World {
    pub(super) fn new(management: String) -> (Self, Writers, Queues) {
        let writers =
            Writers { packages: Writer::default(), bundles: Writer::default(), settings: Writer::default() };
        let (packages, packages_queue) = unbounded();
        let (bundles, bundles_queue) = unbounded();
        let (settings, settings_queue) = unbounded();
        let world = Self {
            packages: writers.packages.as_reader(),
            bundles: writers.bundles.as_reader(),
            settings: writers.settings.as_reader(),
            wake: Wake { packages, bundles, settings },
            written: Mutex::default(),
            workers: Mutex::default(),
            management,
        };
        let queues = Queues { packages: packages_queue, bundles: bundles_queue, settings: settings_queue };
        (world, writers, queues)
    }

    /// A cluster's settings.
    pub(super) fn settings_of(&self, cluster: &str) -> Option<Arc<PackageBundleController>> {
        self.settings.get(&ObjectRef::new(cluster).within(PACKAGES_NAMESPACE))
    }

    /// A package as it is now, as far as is known.
    pub(super) fn newest(&self, seen: &Arc<Package>) -> Package {
        let written = lock(&self.written);
        match written.get(&ObjectRef::from_obj(seen.as_ref())) {
            Some(written) if is_newer(written, seen) => written.clone(),
            _ => seen.as_ref().clone(),
        }
    }

    /// Remembers a package as it was written.
    pub(super) fn wrote(&self, package: &Package) {
        lock(&self.written).insert(ObjectRef::from_obj(package), package.clone());
    }

    /// The watch brought a package: what was remembered of it is needed no longer, unless it is newer.
    fn caught_up(&self, key: &ObjectRef<Package>, package: &Package) {
        let mut written = lock(&self.written);
        if written.get(key).is_some_and(|written| !is_newer(written, package)) {
            written.remove(key);
        }
    }

    /// All packages of a namespace's cluster.
    pub(super) fn siblings(&self, namespace: &str) -> Vec<Package> {
        let there = |package: &Package| self.are_together(package.namespace(), namespace);
        self.packages.state_filter(there).iter().map(|seen| self.newest(seen)).collect()
    }

    /// Whether two namespaces are of one cluster.
    fn are_together(&self, one: &str, other: &str) -> bool {
        let cluster = |namespace| Cluster::of(namespace).map(|of| of.name(&self.management).to_owned());
        one == other || cluster(one).is_some_and(|one| cluster(other) == Some(one))
    }

    /// A worker's ear: told when the package changes while it is worked on.
    pub(super) fn worker(self: &Arc<Self>, package: &Package) -> Worker {
        let key = ObjectRef::from_obj(package);
        let changed = Arc::<Notify>::default();
        lock(&self.workers).insert(key.clone(), Arc::clone(&changed));
        Worker { world: Arc::clone(self), key, changed }
    }

    /// Packages of a namespace's cluster that wait for others are to look again.
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

    /// A release is free: who waits for its name is to look again.
    fn wake_namesakes(&self, gone: &Package) {
        let same = |package: &Package| {
            package.name() == gone.name() && self.are_together(package.namespace(), gone.namespace())
        };
        for package in self.packages.state_filter(same) {
            self.wake_package(ObjectRef::from_obj(package.as_ref()));
        }
    }

    fn wake_package(&self, package: ObjectRef<Package>) {
        // The receiver goes when the lease is lost; then nobody need be woken.
        let _ = self.wake.packages.unbounded_send(package);
    }

    /// A cluster's packages are to look again.
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

/// Somebody at work on a package.
pub(super) struct Worker {
    world: Arc<World>,
    key: ObjectRef<Package>,
    changed: Arc<Notify>,
}

impl Worker {
    /// Waits until somebody changes the package.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        lock(&self.world.workers).remove(&self.key);
    }
}

/// Versions of one object are numbers that grow, which Kubernetes 1.35 has made a promise.
fn is_newer(one: &Package, other: &Package) -> bool {
    let version = |package: &Package| package.resource_version().and_then(|text| text.parse::<u64>().ok());
    one.metadata.uid == other.metadata.uid && version(one) > version(other)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches everything until it is dropped.
pub(super) async fn keep(world: &World, writers: Writers, context: &Context) {
    let packages = async {
        let mut causes = HashMap::new();
        pump(Api::all(context.kube.clone()), writers.packages, |event| {
            package_seen(world, &mut causes, event);
        })
        .await;
    };
    let bundles = async {
        let mut causes = HashMap::new();
        pump(Api::all(context.kube.clone()), writers.bundles, |event| bundle_seen(world, &mut causes, event))
            .await;
    };
    let settings = async {
        let mut causes = HashMap::new();
        let api = Api::all(context.kube.clone());
        pump(api, writers.settings, |event| settings_seen(world, &mut causes, event)).await;
    };
    futures::join!(packages, bundles, settings);
}

/// What became of an object.
enum Seen<'a, K> {
    There(&'a K),
    Gone(&'a K),
}

/// What a listing brings is told when the listing is complete, because only then it is in the store.
async fn pump<K>(api: Api<K>, writer: Writer<K>, mut seen: impl FnMut(&Seen<'_, K>))
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
            Ok(Event::InitDone) => listed.drain(..).for_each(|object| seen(&Seen::There(&object))),
            Ok(Event::Apply(object)) => seen(&Seen::There(&object)),
            Ok(Event::Delete(object)) => seen(&Seen::Gone(&object)),
            Err(error) => tracing::warn!(kind = %K::kind(&()), error = %words(&error), "watching fails"),
        }
    }
}

/// What of a package is somebody else's to change, and its state, which others wait for.
#[derive(Clone, PartialEq)]
struct Cause {
    uid: Option<String>,
    generation: Option<i64>,
    deleted: bool,
    held: bool,
    annotations: Vec<(String, String)>,
}

fn cause(package: &Package) -> Cause {
    let ours = format!("{AIRLOCK_GROUP}/");
    // What this process notes is nobody's change.
    let ours = |name: &str| name.starts_with(&ours) && name != GIVEN_UP;
    let annotations = package.annotations().iter().filter(|(name, _)| ours(name));
    Cause {
        uid: package.uid(),
        generation: package.metadata.generation,
        deleted: package.metadata.deletion_timestamp.is_some(),
        held: package.finalizers().iter().any(|name| name == FINALIZER),
        annotations: annotations.map(|(name, value)| (name.clone(), value.clone())).collect(),
    }
}

type Causes = HashMap<ObjectRef<Package>, (Cause, Option<PackageState>)>;

fn package_seen(world: &World, causes: &mut Causes, seen: &Seen<'_, Package>) {
    match *seen {
        Seen::There(package) => {
            let key = ObjectRef::from_obj(package);
            let (cause, state) = (cause(package), package.status.as_ref().and_then(|status| status.state));
            let before = causes.insert(key.clone(), (cause.clone(), state));
            let (before, was) = before.map_or((None, None), |(cause, state)| (Some(cause), state));
            // That the finalizer comes is our own doing.
            let same =
                before.is_some_and(|before| before == cause || Cause { held: true, ..before } == cause);
            if !same {
                if let Some(changed) = lock(&world.workers).get(&key) {
                    changed.notify_one();
                }
                world.wake_package(key.clone());
            }
            world.caught_up(&key, package);
            if state != was {
                world.wake_waiting(package.namespace());
            }
        }
        Seen::Gone(package) => {
            let key = ObjectRef::from_obj(package);
            causes.remove(&key);
            lock(&world.written).remove(&key);
            world.wake_waiting(package.namespace());
            world.wake_namesakes(package);
        }
    }
}

type Generation = (Option<String>, Option<i64>, Option<String>);

fn bundle_seen(
    world: &World,
    causes: &mut HashMap<ObjectRef<PackageBundle>, Generation>,
    seen: &Seen<'_, PackageBundle>,
) {
    let bundle = match *seen {
        Seen::There(bundle) => {
            let signature = bundle.annotation(package_api::bundle::SIGNATURE).map(str::to_owned);
            let generation = (bundle.uid(), bundle.metadata.generation, signature);
            let key = ObjectRef::from_obj(bundle);
            if causes.insert(key.clone(), generation.clone()).as_ref() == Some(&generation) {
                return;
            }
            let _ = world.wake.bundles.unbounded_send(key);
            bundle
        }
        Seen::Gone(bundle) => {
            causes.remove(&ObjectRef::from_obj(bundle));
            bundle
        }
    };
    world.wake_all_settings();
    for settings in world.settings.state() {
        if settings.spec.active_bundle.as_deref() == Some(bundle.name()) {
            world.wake_cluster(settings.name());
        }
    }
}

fn settings_seen(
    world: &World,
    causes: &mut HashMap<ObjectRef<PackageBundleController>, Generation>,
    seen: &Seen<'_, PackageBundleController>,
) {
    match *seen {
        Seen::There(settings) => {
            let generation = (settings.uid(), settings.metadata.generation, None);
            let key = ObjectRef::from_obj(settings);
            if causes.insert(key.clone(), generation.clone()).as_ref() != Some(&generation) {
                let _ = world.wake.settings.unbounded_send(key);
                world.wake_cluster(settings.name());
            }
        }
        Seen::Gone(settings) => {
            causes.remove(&ObjectRef::from_obj(settings));
            world.wake_cluster(settings.name());
        }
    }
}
