//! Waits until a hook finishes. A hook may be deleted as soon as it finishes, as with `ttlSecondsAfterFinished: 0`, so it
//! is watched: the deletion event contains the last state of the object.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _};
use kube::core::WatchEvent;
use serde_json::Value;

use super::{MAX_PAUSE, MIN_PAUSE, Until, WarningPoller, events, failed, uid};
use crate::cluster::Cluster;
use crate::error::Error;
use crate::object::{Object, is_deleted_when_finished};
use crate::readiness::{Readiness, of_hook};

/// How long the deletion event may arrive after the object is gone.
const DELETION_EVENT: Duration = Duration::from_secs(2);

/// The next observation of an object.
enum Observation {
    Changed(Value),
    /// The object is gone, with its last state if the deletion event contained it.
    Gone(Option<Value>),
}

/// Waits until a hook finishes, starting with its given state.
///
/// # Errors
/// If the hook failed, did not finish in time, or was deleted before it finished.
pub(crate) async fn finished(
    cluster: &Cluster,
    object: &Object,
    live: Value,
    until: Until,
) -> Result<(), Error> {
    let mut last = live;
    let mut watched = ObjectWatch::new();
    let mut warnings = WarningPoller::new();
    loop {
        let reason = match of_hook(&last) {
            Readiness::Ready => return Ok(()),
            Readiness::Failed(reason) => return Err(failed(cluster, object, reason).await),
            Readiness::Waiting(reason) => reason,
        };
        if Instant::now() >= until.deadline {
            let cause = events::newest(cluster, object).await;
            let cause = cause.map_or_else(String::new, |cause| format!(" ({cause})"));
            return Err(Error::NotReady {
                timeout: until.timeout,
                waiting: vec![format!("{reason}{cause}")],
            });
        }
        let cause = warnings.of(cluster, object).await;
        cluster.report(|| format!("waiting for {object}: {reason}{cause} ({})", until.elapsed()));
        match watched.next(cluster, object, &last, until).await? {
            Observation::Changed(live) => last = live,
            Observation::Gone(end) => return gone(cluster, object, &end.unwrap_or(last)).await,
        }
    }
}

/// The result of a deleted hook by its last observed state.
async fn gone(cluster: &Cluster, object: &Object, last: &Value) -> Result<(), Error> {
    let mut last = last.clone();
    if let Some(metadata) = last.get_mut("metadata").and_then(Value::as_object_mut) {
        // The deletion itself does not affect the result.
        metadata.remove("deletionTimestamp");
    }
    match of_hook(&last) {
        Readiness::Ready => Ok(()),
        Readiness::Failed(reason) => Err(failed(cluster, object, reason).await),
        // Only a finished Job is deleted automatically. Its end was not observed, but no failure was either.
        Readiness::Waiting(_) if is_deleted_when_finished(&last) && !has_failures(&last) => Ok(()),
        Readiness::Waiting(seen) => Err(Error::Vanished { object: object.to_string(), seen }),
    }
}

fn has_failures(job: &Value) -> bool {
    job.pointer("/status/failed").and_then(Value::as_u64).is_some_and(|failed| failed > 0)
}

type Events = Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<Value>>> + Send>>;

/// Watches an object, if that is allowed, and also polls it from time to time.
struct ObjectWatch {
    events: Option<Events>,
    /// Whether watching may be possible.
    may_watch: bool,
    pause: Duration,
}

impl ObjectWatch {
    fn new() -> Self {
        Self { events: None, may_watch: true, pause: MIN_PAUSE }
    }

    async fn next(
        &mut self,
        cluster: &Cluster,
        object: &Object,
        last: &Value,
        until: Until,
    ) -> Result<Observation, Error> {
        self.open(cluster, object, last, until).await;
        let pause = self.pause;
        self.pause = (pause * 3 / 2).min(MAX_PAUSE);
        if let Some(seen) = self.within(pause, last).await {
            return Ok(seen);
        }
        match cluster.get(object).await?.filter(|live| uid(live) == uid(last)) {
            Some(live) => Ok(Observation::Changed(live)),
            None => Ok(self.within(DELETION_EVENT, last).await.unwrap_or(Observation::Gone(None))),
        }
    }

    async fn open(&mut self, cluster: &Cluster, object: &Object, last: &Value, until: Until) {
        if self.events.is_some() || !self.may_watch {
            return;
        }
        let version = last.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
        let left = until.deadline.saturating_duration_since(Instant::now());
        match cluster.watch(object, version, left).await {
            Ok(events) => self.events = Some(Box::pin(events)),
            Err(error) => {
                tracing::debug!(%object, error = %error.one_line(), "polling the object instead of watching it");
                self.may_watch = false;
            }
        }
    }

    /// The next event within a time. Without a watch, this only waits.
    async fn within(&mut self, time: Duration, last: &Value) -> Option<Observation> {
        let end = tokio::time::Instant::now() + time;
        while let Some(events) = &mut self.events {
            let Ok(event) = tokio::time::timeout_at(end, events.next()).await else { return None };
            match event {
                Some(Ok(WatchEvent::Added(live) | WatchEvent::Modified(live))) if uid(&live) == uid(last) => {
                    return Some(Observation::Changed(live));
                }
                Some(Ok(WatchEvent::Deleted(live))) if uid(&live) == uid(last) => {
                    return Some(Observation::Gone(Some(live)));
                }
                Some(Ok(
                    WatchEvent::Added(_)
                    | WatchEvent::Modified(_)
                    | WatchEvent::Deleted(_)
                    | WatchEvent::Bookmark(_),
                )) => {}
                // The watch is opened again from the last seen resource version.
                Some(Ok(WatchEvent::Error(_)) | Err(_)) | None => self.events = None,
            }
        }
        tokio::time::sleep_until(end).await;
        None
    }
}
