//! Scrubs the store of a running registry at the declared interval. The interval counts from the last scrub, also if that
//! was before the registry started, or was run by `airlock store scrub`.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use audit::{Draft, EventType, Outcome};
use schemars::JsonSchema;
use serde::Deserialize;
use store::{Health, ScrubControl, Store};

use crate::cli::duration;
use crate::commands::pack::parse_size;
use crate::commands::store_content::faults;
use crate::logged::{Journals, outcome};

/// How long to wait after a scrub that failed, and between two looks at whether one is due.
const LOOK: Duration = Duration::from_mins(10);

/// When to scrub, as declared.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScrubText {
    /// The interval, such as `168h`.
    every: String,
    /// The maximum number of bytes to read per second, such as `20MiB`. Default: no limit.
    rate: Option<String>,
}

/// When to scrub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScrubPlan {
    pub(super) every: Duration,
    /// Bytes per second.
    pub(super) rate: Option<u64>,
}

impl ScrubText {
    pub(super) fn plan(&self) -> Result<ScrubPlan, String> {
        let every = duration(&self.every).map_err(|error| format!("`every`: {error}"))?;
        if every < Duration::from_secs(1) {
            return Err("`every` is too short, expected at least `1s`".to_owned());
        }
        let rate = self.rate.as_deref().map(parse_size).transpose();
        let rate = rate.map_err(|error| format!("`rate`: {error}"))?;
        if rate == Some(0) {
            return Err("`rate` is 0; omit it for no limit".to_owned());
        }
        Ok(ScrubPlan { every, rate })
    }
}

/// The scrubs of a running registry. Dropping it ends them; the next start goes on where they stopped.
pub(super) struct Scrubbing {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Whether damage can be recorded.
    can_write: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    plan: Option<ScrubPlan>,
    /// Of the scrub that runs.
    control: Arc<ScrubControl>,
    /// Whether the plan has changed since the thread looked.
    is_new: bool,
    has_ended: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a scrub may be due; returns its control and interval, or none at the end.
    fn next(&self, pause: Duration) -> Option<(Duration, Arc<ScrubControl>)> {
        let same = |state: &mut State| !state.has_ended && !state.is_new;
        let waited = self.changed.wait_timeout_while(self.state(), pause, same);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let idle = |state: &mut State| !state.has_ended && state.plan.is_none();
        let mut state = self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        state.is_new = false;
        let plan = state.plan.filter(|_| !state.has_ended)?;
        state.control = Arc::new(ScrubControl::new(plan.rate));
        Some((plan.every, Arc::clone(&state.control)))
    }
}

impl Scrubbing {
    /// Scrubs by this plan, which can change. A read-only store is not scrubbed.
    pub(super) fn start(store: Store, journals: Journals, plan: Option<ScrubPlan>) -> anyhow::Result<Self> {
        let shared = Arc::<Shared>::default();
        let can_write = !store.is_read_only();
        shared.state().plan = plan.filter(|_| can_write);
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("scrub".to_owned())
            .spawn(move || scrub_when_due(&of_thread, &store, &journals))?;
        Ok(Self { shared, thread: Some(thread), can_write })
    }

    /// Changes the plan. Without one, a running scrub stops.
    pub(super) fn change(&self, plan: Option<ScrubPlan>) {
        let plan = plan.filter(|_| self.can_write);
        let mut state = self.shared.state();
        match plan {
            Some(plan) => state.control.limit(plan.rate),
            None => state.control.stop(),
        }
        (state.plan, state.is_new) = (plan, true);
        self.shared.changed.notify_all();
    }
}

impl Drop for Scrubbing {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.has_ended = true;
        state.control.stop();
        drop(state);
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn scrub_when_due(shared: &Shared, store: &Store, journals: &Journals) {
    let mut pause = Duration::ZERO;
    while let Some((every, control)) = shared.next(pause) {
        let wait = store.health().map(|health| wait(&health, every, SystemTime::now()));
        pause = match wait {
            Ok(wait) if wait.is_zero() => match scrub(store, &control, journals) {
                Ok(()) => Duration::from_millis(200),
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "the store cannot be scrubbed");
                    LOOK
                }
            },
            Ok(wait) => wait.min(LOOK),
            Err(error) => {
                tracing::error!(%error, "cannot read when the store was last scrubbed");
                LOOK
            }
        };
    }
}

/// Scrubs, and logs the outcome of a complete scrub.
fn scrub(store: &Store, control: &ScrubControl, journals: &Journals) -> anyhow::Result<()> {
    let mut draft = Draft::new(EventType::StoreScrub, "store", &store.root().display().to_string());
    let report = match store.scrub(None, control, &mut |_| {}) {
        Ok(report) if report.stopped => return Ok(()),
        Ok(report) => report,
        Err(error) => {
            let error = anyhow::Error::from(error);
            journals.record(&draft, &outcome::of(&error))?;
            return Err(error);
        }
    };
    let health = store.health()?;
    draft.evidence("blobs", &report.blobs);
    draft.evidence("damaged", &health.damaged.len());
    let is_sound = health.damaged.is_empty();
    let outcome = if is_sound { Outcome::success() } else { outcome::faults(&faults(&health)) };
    Ok(journals.record(&draft, &outcome)?)
}

/// How long until the next scrub is due.
fn wait(health: &Health, every: Duration, now: SystemTime) -> Duration {
    let Some(verified) = health.verified.filter(|_| health.unfinished.is_none()) else {
        return Duration::ZERO;
    };
    let due = UNIX_EPOCH.checked_add(Duration::from_secs(verified)).and_then(|at| at.checked_add(every));
    due.map_or(LOOK, |due| due.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrub_is_due_when_the_interval_has_passed_or_one_is_unfinished() {
        let (every, now) = (Duration::from_hours(1), UNIX_EPOCH + Duration::from_secs(10_000));
        let health = |verified, unfinished| Health { verified, unfinished, ..Health::default() };
        assert_eq!(wait(&health(None, None), every, now), Duration::ZERO);
        assert_eq!(wait(&health(Some(9_000), None), every, now), Duration::from_secs(2_600));
        assert_eq!(wait(&health(Some(6_000), None), every, now), Duration::ZERO);
        assert_eq!(wait(&health(Some(9_000), Some(9_500)), every, now), Duration::ZERO);
        assert_eq!(wait(&health(Some(9_000), None), Duration::MAX, now), LOOK);
    }

    #[test]
    fn intervals_and_rates_are_checked() {
        let plan = |every: &str, rate: Option<&str>| {
            ScrubText { every: every.to_owned(), rate: rate.map(str::to_owned) }.plan()
        };
        let week = ScrubPlan { every: Duration::from_hours(168), rate: Some(20 << 20) };
        assert_eq!(plan("168h", Some("20MiB")), Ok(week));
        for (every, rate, words) in [
            ("soon", None, "`every`"),
            ("0s", None, "too short"),
            ("1h", Some("fast"), "`rate`"),
            ("1h", Some("0"), "is 0"),
        ] {
            assert!(plan(every, rate).unwrap_err().contains(words), "{every} {rate:?}");
        }
    }
}
