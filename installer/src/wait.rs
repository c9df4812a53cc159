//! Waits until objects are ready, or deleted.

mod events;
mod hook;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use error_text::join_first;
use serde_json::Value;

pub(crate) use self::hook::finished;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::object::{Object, is_deleted_when_finished};
use crate::readiness::Readiness;

/// The first pause between two checks, and the longest.
const MIN_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// The least time for a resumed operation, if a quarter of its timeout is not less: it must not fail only because no
/// process was running in the meantime.
const MIN_RESUMED: Duration = Duration::from_secs(30);
/// When the warnings about an object are first fetched, and how often after that.
const FIRST_WARNING: Duration = Duration::from_secs(5);
const WARNING_INTERVAL: Duration = Duration::from_secs(15);
/// The most objects in a progress message.
const MAX_CAUSES: usize = 3;

/// Waits until all objects are ready, starting with their given states.
pub(crate) async fn ready(
    cluster: &Cluster,
    mut pending: Vec<(Object, Value)>,
    readiness: fn(&Value) -> Readiness,
    until: Until,
) -> Result<(), Error> {
    let mut pause = MIN_PAUSE;
    let mut warnings = WarningPoller::new();
    loop {
        let mut waiting = Vec::new();
        let mut messages = Vec::new();
        for (object, live) in pending {
            match readiness(&live) {
                Readiness::Ready => {}
                Readiness::Failed(reason) => return Err(failed(cluster, &object, reason).await),
                Readiness::Waiting(reason) => {
                    messages.push(format!("{object}: {reason}"));
                    waiting.push(object);
                }
            }
        }
        let Some(first) = waiting.first() else { return Ok(()) };
        if Instant::now() >= until.deadline {
            // The following undo deletes the pods, and their warnings with them.
            let mut seen = HashSet::new();
            for (object, message) in waiting.iter().zip(&mut messages).take(MAX_CAUSES) {
                let cause = events::newest(cluster, object).await;
                if let Some(cause) = cause.filter(|cause| seen.insert(cause.clone())) {
                    *message = format!("{message} ({cause})");
                }
            }
            return Err(Error::NotReady { timeout: until.timeout, waiting: messages });
        }
        let cause = warnings.of(cluster, first).await;
        cluster.report(|| format!("waiting for {}{cause} ({})", self::first(&messages), until.elapsed()));
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(MAX_PAUSE);
        pending = Vec::new();
        for object in waiting {
            let live = cluster.get(&object).await?;
            // A finished Job was started, which is sufficient.
            if live.is_none() && is_deleted_when_finished(&object.value) {
                continue;
            }
            // A deleted object cannot become ready. To remove it, the package must be upgraded.
            let Some(live) = live else {
                let reason = "it was deleted before it was ready".to_owned();
                return Err(Error::ObjectFailed { object: object.to_string(), reason });
            };
            pending.push((object, live));
        }
    }
}

/// An object that failed, with the newest warning about it.
async fn failed(cluster: &Cluster, object: &Object, mut reason: String) -> Error {
    if let Some(cause) = events::newest(cluster, object).await.filter(|cause| !reason.contains(cause)) {
        reason = format!("{reason} ({cause})");
    }
    Error::ObjectFailed { object: object.to_string(), reason }
}

/// Fetches the newest warning about an object from time to time.
struct WarningPoller {
    next: Instant,
    cause: String,
}

impl WarningPoller {
    fn new() -> Self {
        Self { next: Instant::now() + FIRST_WARNING, cause: String::new() }
    }

    async fn of(&mut self, cluster: &Cluster, object: &Object) -> &str {
        if cluster.has_progress() && Instant::now() >= self.next {
            self.next = Instant::now() + WARNING_INTERVAL;
            let cause = events::newest(cluster, object).await;
            self.cause = cause.map_or_else(String::new, |cause| format!("; {cause}"));
        }
        &self.cause
    }
}

/// If an object is being deleted, waits until it is gone.
pub(crate) async fn until_gone(cluster: &Cluster, object: &Object, until: Until) -> Result<(), Error> {
    match cluster.get(object).await? {
        Some(live) if live.pointer("/metadata/deletionTimestamp").is_some() => {
            gone(cluster, vec![(object.clone(), uid(&live).to_owned())], until).await
        }
        _ => Ok(()),
    }
}

/// Waits until each object is gone, or another object has its name.
pub(crate) async fn gone(
    cluster: &Cluster,
    mut deleted: Vec<(Object, String)>,
    until: Until,
) -> Result<(), Error> {
    let mut pause = MIN_PAUSE;
    loop {
        let mut remaining = Vec::new();
        let mut messages = Vec::new();
        for (object, old) in deleted {
            let live = cluster.get(&object).await?.filter(|live| uid(live) == old);
            if let Some(live) = live {
                messages.push(format!("{object}{}", finalizers(&live)));
                remaining.push((object, old));
            }
        }
        if remaining.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until.deadline {
            return Err(Error::NotGone { timeout: until.timeout, objects: messages });
        }
        cluster.report(|| format!("waiting for the deletion of {} ({})", first(&messages), until.elapsed()));
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(MAX_PAUSE);
        deleted = remaining;
    }
}

fn first(messages: &[String]) -> String {
    join_first(messages.iter().cloned(), MAX_CAUSES, "; ")
}

/// The finalizers that block the deletion of an object.
fn finalizers(live: &Value) -> String {
    let finalizers = live.pointer("/metadata/finalizers").and_then(Value::as_array);
    let names: Vec<_> = finalizers.into_iter().flatten().filter_map(Value::as_str).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => format!(" (finalizer {one})"),
        many => format!(" (finalizers {})", many.join(", ")),
    }
}

/// The deadline, and the whole timeout, for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    pub(crate) deadline: Instant,
    pub(crate) timeout: Duration,
}

impl Until {
    /// The elapsed time.
    fn elapsed(self) -> String {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let elapsed = self.timeout.saturating_sub(left);
        format!("{} s of {} s", elapsed.as_secs(), self.timeout.as_secs())
    }

    pub(crate) fn after(timeout: Duration) -> Self {
        Self { deadline: Instant::now() + timeout, timeout }
    }

    /// As [`Self::after`], for an operation that was started at `start`, perhaps by another process, and is resumed at
    /// `now`, both Unix times. It gets a minimum of time even if the timeout has passed in the meantime.
    pub(crate) fn since(start: i64, now: i64, timeout: Duration) -> Self {
        let elapsed = Duration::from_secs(u64::try_from(now.saturating_sub(start)).unwrap_or_default());
        let left = timeout.saturating_sub(elapsed).max(MIN_RESUMED.min(timeout / 4));
        Self { deadline: Instant::now() + left, timeout }
    }
}

/// The UID, which distinguishes an object from another one with the same name.
pub(crate) fn uid(live: &Value) -> &str {
    live.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_messages_are_short() {
        let messages = |count: usize| (0..count).map(|number| format!("o{number}")).collect::<Vec<_>>();
        assert_eq!([first(&messages(1)), first(&messages(5))], ["o0", "o0; o1; o2; and 2 more"]);
        let with = |names: Value| finalizers(&serde_json::json!({"metadata": {"finalizers": names}}));
        assert_eq!(with(serde_json::json!(["example.com/stay"])), " (finalizer example.com/stay)");
        assert_eq!(with(serde_json::json!(["a/b", "c/d"])), " (finalizers a/b, c/d)");
        assert_eq!(with(Value::Null), "");
        assert_eq!(Until::after(Duration::from_mins(1)).elapsed(), "0 s of 60 s");
    }

    #[test]
    fn a_resumed_operation_keeps_its_deadline_but_has_a_minimum_of_time() {
        let left = |elapsed: i64, timeout: u64| {
            let timeout = Duration::from_secs(timeout);
            let until = Until::since(1_000, 1_000 + elapsed, timeout);
            assert_eq!(until.timeout, timeout);
            (until.deadline.duration_since(Instant::now()).as_millis() + 500) / 1000
        };
        assert_eq!([left(0, 300), left(100, 300), left(290, 300), left(9_000, 300)], [300, 200, 30, 30]);
        // If the clock is behind that of the other process, the time is not more than the timeout.
        assert_eq!([left(-500, 300), left(60, 40)], [300, 10]);
    }
}
