//! The controllers: what the cluster says goes to the decisions, and what they decide is done.
//!
//! One replica leads, by a lease; the others wait. All that the leader does is dropped when it loses the lease, and
//! every step may be lost or done twice.
//!
//! - `lease`: who leads; `world`: what the cluster has
//! - `settings`: clusters and their active bundles; `bundles`: which can be used; `discover`: those of the registry;
//!   `signatures`: which are signed by a key that counts
//! - `packages`: one package after the other, many at a time; `bench`: the places for that; `clusters`: where to
//! - `status`, `tell`: what is written and told; `again`: pauses after failures; `shared`: what all of them share
//!
//! `watch -> store -> decision -> registry, engine -> status, events`

mod again;
mod bench;
mod bundles;
mod clusters;
mod discover;
mod lease;
mod packages;
mod settings;
mod shared;
mod signatures;
mod status;
mod tell;
mod world;

use std::convert::Infallible;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use brief::words;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt as _};
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::{ObjectRef, Store};
use prometheus_client::metrics::gauge::Gauge;

use self::again::{Failures, LONGEST};
use self::bench::Bench;
use self::clusters::Clusters;
use self::shared::{Namespaces, Shared};
use self::signatures::Signatures;
use self::tell::Teller;
use self::world::{Queues, World};
use crate::context::Context;
use crate::error::{Error, Result};

/// How often a log that cannot be opened is tried again.
const LOG_AGAIN: Duration = Duration::from_secs(5);

/// Runs the controllers while this replica holds the lease, until `stop` comes.
///
/// # Errors
/// None by itself: what it cannot do now it tries again.
pub async fn run(context: Context, mut stop: BoxFuture<'static, ()>) -> Result<()> {
    let settings = &context.settings;
    let identity = lease::identity(&settings.identity);
    let mut holder = lease::Holder::new(context.kube.clone(), &settings.namespace, identity);
    let teller = tokio::select! {
        teller = teller(&context) => Arc::new(teller),
        () = &mut stop => return Ok(()),
    };
    let leader = Gauge::default();
    context.telemetry.register(|registry| {
        registry.register("airlock_leader", "Whether this replica leads", leader.clone());
    });
    tokio::select! {
        () = stop => {}
        () = take_turns(&context, &mut holder, &teller, &leader) => {}
    }
    holder.give_up().await;
    Ok(())
}

/// Whether this replica leads, in this process or in another container of its pod.
///
/// # Errors
/// When the API server does not tell.
pub(crate) async fn leads(context: &Context) -> kube::Result<bool> {
    let settings = &context.settings;
    lease::holds(context.kube.clone(), &settings.namespace, &settings.identity).await
}

/// Nothing is done that could not be logged; webhooks are served meanwhile.
async fn teller(context: &Context) -> Teller {
    loop {
        match Teller::new(context) {
            Ok(teller) => return teller,
            Err(error) => {
                tracing::warn!(error = %words(&error), "packages wait: what is done to them cannot be logged");
                tokio::time::sleep(LOG_AGAIN).await;
            }
        }
    }
}

async fn take_turns(context: &Context, holder: &mut lease::Holder, teller: &Arc<Teller>, leader: &Gauge) {
    let identity = &context.settings.identity;
    loop {
        holder.win().await;
        leader.set(1);
        tracing::info!(identity, "this replica leads");
        // A task of its own, so that no work keeps the lease from being renewed; it ends where it is dropped.
        let mut work = tokio::task::JoinSet::new();
        work.spawn(lead(context.clone(), Arc::clone(teller)));
        lease::while_leading(holder, async { work.join_next().await }).await;
        work.shutdown().await;
        leader.set(0);
        tracing::warn!(identity, "this replica leads no longer");
    }
}

/// All controllers, until they are dropped.
async fn lead(context: Context, teller: Arc<Teller>) {
    let (world, writers, queues) = World::new(context.settings.cluster.clone());
    let world = Arc::new(world);
    let shared = Arc::new(Shared {
        clusters: Clusters::new(context.clone()),
        world: Arc::clone(&world),
        signatures: Signatures::default(),
        failures: Failures::default(),
        namespaces: Namespaces::default(),
        bench: Bench::new(context.settings.drift),
        teller,
        context: context.clone(),
    });
    let Queues { packages, bundles, settings } = queues;
    let watched = world::keep(&world, writers, &context);
    // Who does not know yet which bundles there are would tell of each package that its bundle is not there.
    let bundles_known = async { world.bundles.wait_until_ready().await.is_ok() };
    let settings_known = async { world.settings.wait_until_ready().await.is_ok() };
    let settings_driven = async {
        bundles_known.await;
        drive(world.settings.clone(), settings, settings::reconcile, &shared).await;
    };
    let packages_driven = async {
        settings_known.await;
        let _ = world.bundles.wait_until_ready().await;
        drive(world.packages.clone(), packages, packages::reconcile, &shared).await;
    };
    futures::join!(
        watched,
        drive(world.bundles.clone(), bundles, bundles::reconcile, &shared),
        settings_driven,
        packages_driven,
    );
}

/// Reconciles what wakes up; each object by one worker at a time, and as many objects at a time as there are.
async fn drive<K, F>(
    store: Store<K>,
    queue: impl Stream<Item = ObjectRef<K>>,
    reconcile: impl Fn(Arc<K>, Arc<Shared>) -> F,
    shared: &Arc<Shared>,
) where
    K: kube::Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Action>> + Send + 'static,
{
    let reconcile = |object: Arc<K>, shared: Arc<Shared>| {
        let key = format!("{}/{}", K::kind(&()), ObjectRef::from_obj(object.as_ref()));
        let work = reconcile(object, Arc::clone(&shared));
        Box::pin(async move {
            let result = work.await;
            if result.is_ok() {
                shared.failures.over(&key);
            }
            result
        })
    };
    let queue = queue.map(Ok::<_, Infallible>);
    let worked = controller::applier(
        reconcile,
        failed,
        Arc::clone(shared),
        store,
        queue,
        controller::Config::default(),
    );
    worked.for_each(|_| async {}).await;
}

/// Logs what went wrong, and when it is tried again.
#[expect(clippy::needless_pass_by_value, reason = "as kube wants it")]
fn failed<K>(object: Arc<K>, error: &Error, shared: Arc<Shared>) -> Action
where
    K: kube::Resource<DynamicType = ()>,
    ObjectRef<K>: Hash,
{
    let key = format!("{}/{}", K::kind(&()), ObjectRef::from_obj(object.as_ref()));
    if let Error::Kube(source) = error
        && let kube::Error::Api(status) = source.as_ref()
        && (status.is_conflict() || status.is_not_found())
    {
        // The object changed, or went, under our hands: the watch tells.
        tracing::debug!(object = key, "it changed meanwhile");
        return Action::requeue(Duration::from_millis(300));
    }
    let pause = shared.failures.again(key.clone(), LONGEST);
    tracing::warn!(object = key, error = %words(error), pause_s = pause.as_secs(), "it will be tried again");
    Action::requeue(pause)
}
