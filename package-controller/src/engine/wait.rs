//! Waiting until objects are ready, or gone.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Error;
use super::cluster::Cluster;
use super::object::Object;
use super::readiness::Readiness;

/// The first pause between two looks, and the longest.
const SOON: Duration = Duration::from_millis(200);
const LATER: Duration = Duration::from_secs(2);

/// Waits until all are ready, beginning with what is known of them.
pub(super) async fn ready(
    cluster: &Cluster,
    mut pending: Vec<(Object, Value)>,
    judge: fn(&Value) -> Readiness,
    until: Until,
) -> Result<(), Error> {
    let mut pause = SOON;
    loop {
        let mut waiting = Vec::new();
        let mut words = Vec::new();
        for (object, live) in pending {
            match judge(&live) {
                Readiness::Ready => {}
                Readiness::Failed(reason) => {
                    return Err(Error::ObjectFailed { object: object.to_string(), reason });
                }
                Readiness::Waiting(reason) => {
                    words.push(format!("{object}: {reason}"));
                    waiting.push(object);
                }
            }
        }
        if waiting.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until.deadline {
            return Err(Error::NotReady { timeout: until.timeout, waiting: words });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LATER);
        pending = Vec::new();
        for object in waiting {
            let live = cluster.get(&object).await?;
            // What is gone is not there to get ready; who took it away must say so by an upgrade.
            let Some(live) = live else {
                return Err(Error::ObjectFailed {
                    object: object.to_string(),
                    reason: "it is gone".to_owned(),
                });
            };
            pending.push((object, live));
        }
    }
}

/// Waits until each is gone, or is another under the same name.
pub(super) async fn gone(
    cluster: &Cluster,
    mut leaving: Vec<(Object, String)>,
    until: Until,
) -> Result<(), Error> {
    let mut pause = SOON;
    loop {
        let mut still = Vec::new();
        for (object, old) in leaving {
            if cluster.get(&object).await?.is_some_and(|live| uid(&live) == old) {
                still.push((object, old));
            }
        }
        if still.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until.deadline {
            let objects = still.iter().map(|(object, _)| object.to_string()).collect();
            return Err(Error::NotGone { timeout: until.timeout, objects });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LATER);
        leaving = still;
    }
}

/// When waiting ends, and how long it was then, for people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Until {
    pub(super) deadline: Instant,
    pub(super) timeout: Duration,
}

impl Until {
    pub(super) fn after(timeout: Duration) -> Self {
        Self { deadline: Instant::now() + timeout, timeout }
    }
}

/// What tells an object from another of the same name.
pub(super) fn uid(live: &Value) -> &str {
    live.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default()
}
