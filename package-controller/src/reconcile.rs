//! The controllers: they observe the cluster, decide and act.
//!
//! One replica is the leader, by a lease; the others wait. All work of the leader is dropped when it loses the lease, and
//! every step may be lost or repeated.
//!
//! - `lease`: the leader election; `cluster_state`: the watched objects
//! - `settings`: clusters and their active bundles; `bundles`: the usable ones; `discover`: those in the registry;
//!   `signatures`: verification with the trusted keys
//! - `packages`: packages, many at a time; `slots`: the limit for that; `clusters`: the target clusters
//! - `status`, `events`: statuses and reported events; `backoff`: pauses after failures; `shared`: the shared state
//!
//! `watch -> store -> decision -> registry, engine -> status, events`

mod backoff;
mod bundles;
mod cluster_state;
mod clusters;
mod discover;
mod events;
mod lease;
mod packages;
mod settings;
mod shared;
mod signatures;
mod slots;
mod status;

use std::convert::Infallible;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use error_text::one_line;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt as _};
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::{ObjectRef, Store};
use prometheus_client::metrics::gauge::Gauge;

use self::backoff::{Failures, MAX_PAUSE};
use self::cluster_state::{ClusterState, Queues};
use self::clusters::Clusters;
use self::events::EventReporter;
use self::shared::{Namespaces, Shared};
use self::signatures::Signatures;
use self::slots::WorkSlots;
use crate::context::Context;
use crate::error::{Error, Result};

/// How often opening the audit log is retried.
const LOG_RETRY: Duration = Duration::from_secs(5);

/// Runs the controllers while this replica holds the lease, until `stop` completes.
///
/// # Errors
/// None: failures are retried.
pub async fn run(context: Context, mut stop: BoxFuture<'static, ()>) -> Result<()> {
    let settings = &context.settings;
    let identity = lease::identity(&settings.process.identity);
    let mut holder = lease::Holder::new(context.kube.clone(), &settings.process.namespace, identity);
    let reporter = tokio::select! {
        reporter = reporter(&context) => Arc::new(reporter),
        () = &mut stop => return Ok(()),
    };
    let leader = Gauge::default();
    context.telemetry.register(|registry| {
        registry.register("airlock_leader", "Whether this replica is the leader", leader.clone());
    });
    tokio::select! {
        () = stop => {}
        () = lead_repeatedly(&context, &mut holder, &reporter, &leader) => {}
    }
    holder.release().await;
    Ok(())
}

/// Whether this replica is the leader, in this process or in another container of its pod.
///
/// # Errors
/// If the lease cannot be read.
pub(crate) async fn leads(context: &Context) -> kube::Result<bool> {
    let settings = &context.settings;
    lease::holds(context.kube.clone(), &settings.process.namespace, &settings.process.identity).await
}

/// Waits until the audit log can be opened, as changes that cannot be logged must not happen. The webhooks are served in
/// the meantime.
async fn reporter(context: &Context) -> EventReporter {
    loop {
        match EventReporter::new(context) {
            Ok(reporter) => return reporter,
            Err(error) => {
                tracing::warn!(error = %one_line(&error), "packages are not reconciled: the audit log cannot be opened");
                tokio::time::sleep(LOG_RETRY).await;
            }
        }
    }
}

async fn lead_repeatedly(
    context: &Context,
    holder: &mut lease::Holder,
    reporter: &Arc<EventReporter>,
    leader: &Gauge,
) {
    let identity = &context.settings.process.identity;
    loop {
        holder.acquire().await;
        leader.set(1);
        tracing::info!(identity, "this replica is the leader");
        // A separate task, so that work cannot delay the renewal of the lease. It ends when it is dropped.
        let mut work = tokio::task::JoinSet::new();
        work.spawn(lead(context.clone(), Arc::clone(reporter)));
        lease::while_leading(holder, async { work.join_next().await }).await;
        work.shutdown().await;
        leader.set(0);
        tracing::warn!(identity, "this replica is no longer the leader");
    }
}

/// Runs all controllers until the future is dropped.
async fn lead(context: Context, reporter: Arc<EventReporter>) {
    let (state, writers, queues) = ClusterState::new(context.settings.process.cluster.clone());
    let state = Arc::new(state);
    let shared = Arc::new(Shared {
        clusters: Clusters::new(context.clone()),
        state: Arc::clone(&state),
        signatures: Signatures::default(),
        failures: Failures::default(),
        namespaces: Namespaces::default(),
        slots: WorkSlots::new(context.settings.drift),
        reporter,
        context: context.clone(),
    });
    let Queues { packages, bundles, settings } = queues;
    let watched = cluster_state::watch_all(&state, writers, &context);
    // Packages wait until the bundles are listed. Otherwise each package would report that its bundle does not exist.
    let bundles_known = async { state.bundles.wait_until_ready().await.is_ok() };
    let settings_known = async { state.settings.wait_until_ready().await.is_ok() };
    let settings_driven = async {
        bundles_known.await;
        drive(state.settings.clone(), settings, settings::reconcile, &shared).await;
    };
    let packages_driven = async {
        settings_known.await;
        let _ = state.bundles.wait_until_ready().await;
        drive(state.packages.clone(), packages, packages::reconcile, &shared).await;
    };
    futures::join!(
        watched,
        drive(state.bundles.clone(), bundles, bundles::reconcile, &shared),
        settings_driven,
        packages_driven,
    );
}

/// Reconciles queued objects: each object by one worker at a time, and all objects concurrently.
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
                shared.failures.reset(&key);
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

/// Logs an error, and schedules the retry.
#[expect(clippy::needless_pass_by_value, reason = "as kube wants it")]
fn failed<K>(object: Arc<K>, error: &Error, shared: Arc<Shared>) -> Action
where
    K: kube::Resource<DynamicType = ()>,
    ObjectRef<K>: Hash,
{
    let key = format!("{}/{}", K::kind(&()), ObjectRef::from_obj(object.as_ref()));
    if let Error::Kube(failed) = error
        && let kube::Error::Api(status) = failed.cause()
        && (status.is_conflict() || status.is_not_found())
    {
        // The object was changed or deleted in the meantime: the watch reports it.
        tracing::debug!(object = key, "the object was changed in the meantime");
        return Action::requeue(Duration::from_millis(300));
    }
    let pause = shared.failures.next_pause(key.clone(), MAX_PAUSE);
    tracing::warn!(object = key, error = %one_line(error), pause_s = pause.as_secs(), "reconciliation failed; retrying");
    Action::requeue(pause)
}
