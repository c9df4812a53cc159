//! Waiting until objects are ready, or gone.

mod events;
mod hook;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use brief::few;
use serde_json::Value;

pub(crate) use self::hook::ended;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::object::{Object, goes_by_itself};
use crate::readiness::Readiness;

/// The first pause between two looks, and the longest.
const SOON: Duration = Duration::from_millis(200);
const LATER: Duration = Duration::from_secs(2);
/// What is gone on with has at least this long, or a quarter of its timeout: who only was away is not too late.
const MOMENT: Duration = Duration::from_secs(30);
/// When it is asked first why something is not ready, and how often then.
const WHY_FIRST: Duration = Duration::from_secs(5);
const WHY_EVERY: Duration = Duration::from_secs(15);
/// Of so many objects it is told why they are waited for.
const MOST_CAUSES: usize = 3;

/// Waits until all are ready, beginning with what is known of them.
pub(crate) async fn ready(
    cluster: &Cluster,
    mut pending: Vec<(Object, Value)>,
    judge: fn(&Value) -> Readiness,
    until: Until,
) -> Result<(), Error> {
    let mut pause = SOON;
    let mut why = Why::new();
    loop {
        let mut waiting = Vec::new();
        let mut words = Vec::new();
        for (object, live) in pending {
            match judge(&live) {
                Readiness::Ready => {}
                Readiness::Failed(reason) => return Err(failed(cluster, &object, reason).await),
                Readiness::Waiting(reason) => {
                    words.push(format!("{object}: {reason}"));
                    waiting.push(object);
                }
            }
        }
        let Some(first) = waiting.first() else { return Ok(()) };
        if Instant::now() >= until.deadline {
            // What becomes of it now takes its pods away, and with them what they say.
            let mut told = HashSet::new();
            for (object, words) in waiting.iter().zip(&mut words).take(MOST_CAUSES) {
                let cause = events::newest(cluster, object).await;
                if let Some(cause) = cause.filter(|cause| told.insert(cause.clone())) {
                    *words = format!("{words} ({cause})");
                }
            }
            return Err(Error::NotReady { timeout: until.timeout, waiting: words });
        }
        let cause = why.of(cluster, first).await;
        cluster.tell(|| format!("waiting for {}{cause} ({})", self::first(&words), until.words()));
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LATER);
        pending = Vec::new();
        for object in waiting {
            let live = cluster.get(&object).await?;
            // A job that ended has started, which is all that is asked of it.
            if live.is_none() && goes_by_itself(&object.value) {
                continue;
            }
            // What is gone is not there to get ready; who took it away must say so by an upgrade.
            let Some(live) = live else {
                let reason = "it was deleted while it was waited for".to_owned();
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

/// The newest warning about what is waited for, asked for now and then.
struct Why {
    next: Instant,
    cause: String,
}

impl Why {
    fn new() -> Self {
        Self { next: Instant::now() + WHY_FIRST, cause: String::new() }
    }

    async fn of(&mut self, cluster: &Cluster, object: &Object) -> &str {
        if cluster.is_told() && Instant::now() >= self.next {
            self.next = Instant::now() + WHY_EVERY;
            let cause = events::newest(cluster, object).await;
            self.cause = cause.map_or_else(String::new, |cause| format!("; {cause}"));
        }
        &self.cause
    }
}

/// Waits until an object that is on its way out is gone. One that is not is left alone.
pub(crate) async fn until_gone(cluster: &Cluster, object: &Object, until: Until) -> Result<(), Error> {
    match cluster.get(object).await? {
        Some(live) if live.pointer("/metadata/deletionTimestamp").is_some() => {
            gone(cluster, vec![(object.clone(), uid(&live).to_owned())], until).await
        }
        _ => Ok(()),
    }
}

/// Waits until each is gone, or is another under the same name.
pub(crate) async fn gone(
    cluster: &Cluster,
    mut leaving: Vec<(Object, String)>,
    until: Until,
) -> Result<(), Error> {
    let mut pause = SOON;
    loop {
        let mut still = Vec::new();
        let mut words = Vec::new();
        for (object, old) in leaving {
            let live = cluster.get(&object).await?.filter(|live| uid(live) == old);
            if let Some(live) = live {
                words.push(format!("{object}{}", held(&live)));
                still.push((object, old));
            }
        }
        if still.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until.deadline {
            return Err(Error::NotGone { timeout: until.timeout, objects: words });
        }
        cluster.tell(|| format!("waiting for the end of {} ({})", first(&words), until.words()));
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LATER);
        leaving = still;
    }
}

fn first(words: &[String]) -> String {
    few(words.iter().cloned(), MOST_CAUSES, "; ")
}

/// What keeps an object that is to go.
fn held(live: &Value) -> String {
    let finalizers = live.pointer("/metadata/finalizers").and_then(Value::as_array);
    let names: Vec<_> = finalizers.into_iter().flatten().filter_map(Value::as_str).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => format!(" (finalizer {one})"),
        many => format!(" (finalizers {})", many.join(", ")),
    }
}

/// When waiting ends, and how long it was then, for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    pub(crate) deadline: Instant,
    pub(crate) timeout: Duration,
}

impl Until {
    /// How much of the time is over.
    fn words(self) -> String {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let gone = self.timeout.saturating_sub(left);
        format!("{} s of {} s", gone.as_secs(), self.timeout.as_secs())
    }

    pub(crate) fn after(timeout: Duration) -> Self {
        Self { deadline: Instant::now() + timeout, timeout }
    }

    /// As [`Self::after`], for what was begun `begun`, by another process perhaps, and is gone on with `now`, both in
    /// seconds since 1970. What nobody worked on meanwhile gets a moment all the same.
    pub(crate) fn since(begun: i64, now: i64, timeout: Duration) -> Self {
        let gone = Duration::from_secs(u64::try_from(now.saturating_sub(begun)).unwrap_or_default());
        let left = timeout.saturating_sub(gone).max(MOMENT.min(timeout / 4));
        Self { deadline: Instant::now() + left, timeout }
    }
}

/// What tells an object from another of the same name.
pub(crate) fn uid(live: &Value) -> &str {
    live.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_told_in_few_words() {
        let words = |count: usize| (0..count).map(|number| format!("o{number}")).collect::<Vec<_>>();
        assert_eq!([first(&words(1)), first(&words(5))], ["o0", "o0; o1; o2; and 2 more"]);
        let held_by = |names: Value| held(&serde_json::json!({"metadata": {"finalizers": names}}));
        assert_eq!(held_by(serde_json::json!(["example.com/stay"])), " (finalizer example.com/stay)");
        assert_eq!(held_by(serde_json::json!(["a/b", "c/d"])), " (finalizers a/b, c/d)");
        assert_eq!(held_by(Value::Null), "");
        assert_eq!(Until::after(Duration::from_mins(1)).words(), "0 s of 60 s");
    }

    #[test]
    fn what_is_gone_on_with_ends_when_it_would_have_ended_but_for_a_moment() {
        let left = |gone: i64, timeout: u64| {
            let timeout = Duration::from_secs(timeout);
            let until = Until::since(1_000, 1_000 + gone, timeout);
            assert_eq!(until.timeout, timeout);
            (until.deadline.duration_since(Instant::now()).as_millis() + 500) / 1000
        };
        assert_eq!([left(0, 300), left(100, 300), left(290, 300), left(9_000, 300)], [300, 200, 30, 30]);
        // A clock that is behind the other process's gives no more than the whole.
        assert_eq!([left(-500, 300), left(60, 40)], [300, 10]);
    }
}
