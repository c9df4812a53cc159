//! Waiting for a hook's end. A hook may be deleted as soon as it ended, as by `ttlSecondsAfterFinished: 0`, so its changes
//! are watched: the last state of an object comes with the word that it was deleted.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _};
use kube::core::WatchEvent;
use serde_json::Value;

use super::{LATER, SOON, Until, Why, events, failed, uid};
use crate::cluster::Cluster;
use crate::error::Error;
use crate::object::{Object, goes_by_itself};
use crate::readiness::{Readiness, of_hook};

/// How long the word that an object was deleted may come after it is gone.
const WORD: Duration = Duration::from_secs(2);

/// What comes next of an object.
enum Seen {
    Changed(Value),
    /// It is gone, with its last state if that was told.
    Gone(Option<Value>),
}

/// Waits for the end of a hook, beginning with what is known of it.
///
/// # Errors
/// It failed, did not end in time, or was deleted before it ended.
pub(crate) async fn ended(
    cluster: &Cluster,
    object: &Object,
    live: Value,
    until: Until,
) -> Result<(), Error> {
    let mut last = live;
    let mut watched = Watched::new();
    let mut why = Why::new();
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
        let cause = why.of(cluster, object).await;
        cluster.tell(|| format!("waiting for {object}: {reason}{cause} ({})", until.words()));
        match watched.next(cluster, object, &last, until).await? {
            Seen::Changed(live) => last = live,
            Seen::Gone(end) => return gone(cluster, object, &end.unwrap_or(last)).await,
        }
    }
}

/// A hook that is gone counts by what was seen of it last.
async fn gone(cluster: &Cluster, object: &Object, last: &Value) -> Result<(), Error> {
    let mut last = last.clone();
    if let Some(metadata) = last.get_mut("metadata").and_then(Value::as_object_mut) {
        // That it was on its way out says nothing about how it ended.
        metadata.remove("deletionTimestamp");
    }
    match of_hook(&last) {
        Readiness::Ready => Ok(()),
        Readiness::Failed(reason) => Err(failed(cluster, object, reason).await),
        // Only a job that ended goes by itself. Its end was not seen, and nothing that failed was either.
        Readiness::Waiting(_) if goes_by_itself(&last) && !has_failures(&last) => Ok(()),
        Readiness::Waiting(seen) => Err(Error::Vanished { object: object.to_string(), seen }),
    }
}

fn has_failures(job: &Value) -> bool {
    job.pointer("/status/failed").and_then(Value::as_u64).is_some_and(|failed| failed > 0)
}

type Events = Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<Value>>> + Send>>;

/// An object that is watched, if that is allowed, and looked at now and then.
struct Watched {
    events: Option<Events>,
    /// Whether it makes sense to ask for events.
    may_watch: bool,
    pause: Duration,
}

impl Watched {
    fn new() -> Self {
        Self { events: None, may_watch: true, pause: SOON }
    }

    async fn next(
        &mut self,
        cluster: &Cluster,
        object: &Object,
        last: &Value,
        until: Until,
    ) -> Result<Seen, Error> {
        self.open(cluster, object, last, until).await;
        let pause = self.pause;
        self.pause = (pause * 3 / 2).min(LATER);
        if let Some(seen) = self.within(pause, last).await {
            return Ok(seen);
        }
        match cluster.get(object).await?.filter(|live| uid(live) == uid(last)) {
            Some(live) => Ok(Seen::Changed(live)),
            None => Ok(self.within(WORD, last).await.unwrap_or(Seen::Gone(None))),
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
                tracing::debug!(%object, error = %error.words(), "it is looked at instead of watched");
                self.may_watch = false;
            }
        }
    }

    /// What is told within a time. Without events this only waits.
    async fn within(&mut self, time: Duration, last: &Value) -> Option<Seen> {
        let end = tokio::time::Instant::now() + time;
        while let Some(events) = &mut self.events {
            let Ok(event) = tokio::time::timeout_at(end, events.next()).await else { return None };
            match event {
                Some(Ok(WatchEvent::Added(live) | WatchEvent::Modified(live))) if uid(&live) == uid(last) => {
                    return Some(Seen::Changed(live));
                }
                Some(Ok(WatchEvent::Deleted(live))) if uid(&live) == uid(last) => {
                    return Some(Seen::Gone(Some(live)));
                }
                Some(Ok(
                    WatchEvent::Added(_)
                    | WatchEvent::Modified(_)
                    | WatchEvent::Deleted(_)
                    | WatchEvent::Bookmark(_),
                )) => {}
                // It is asked for again from the last version that was seen.
                Some(Ok(WatchEvent::Error(_)) | Err(_)) | None => self.events = None,
            }
        }
        tokio::time::sleep_until(end).await;
        None
    }
}
