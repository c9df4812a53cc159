//! The readiness and the metrics of all parts of a process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::registry::Registry;

/// Shared by all parts of the process. Each part registers its own metrics and reports when it is ready.
#[derive(Clone, Default)]
pub struct Telemetry(Arc<Inner>);

#[derive(Default)]
struct Inner {
    metrics: Mutex<Registry>,
    parts: Mutex<BTreeMap<&'static str, bool>>,
}

/// A part of the process. The process is ready when all its parts are.
#[derive(Clone)]
pub struct Part {
    telemetry: Telemetry,
    name: &'static str,
}

impl Telemetry {
    /// Registers the metrics of a part.
    pub fn register<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut lock(&self.0.metrics))
    }

    /// Adds a part that is not ready yet.
    #[must_use]
    pub fn part(&self, name: &'static str) -> Part {
        let part = Part { telemetry: self.clone(), name };
        part.is_ready(false);
        part
    }

    /// The names of the parts that are not ready.
    #[must_use]
    pub fn unready(&self) -> Vec<&'static str> {
        lock(&self.0.parts).iter().filter(|(_, ready)| !**ready).map(|(name, _)| *name).collect()
    }

    /// All metrics in the Prometheus text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a `String` does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &lock(&self.0.metrics));
        text
    }
}

impl Part {
    /// Sets whether the part is ready.
    pub fn is_ready(&self, ready: bool) {
        lock(&self.telemetry.0.parts).insert(self.name, ready);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn the_process_is_ready_when_all_parts_are() {
        let telemetry = Telemetry::default();
        let (one, two) = (telemetry.part("one"), telemetry.part("two"));
        one.is_ready(true);
        assert_eq!(telemetry.unready(), ["two"]);
        two.is_ready(true);
        assert!(telemetry.unready().is_empty());
        one.is_ready(false);
        assert_eq!(telemetry.unready(), ["one"]);
    }

    #[test]
    fn the_metrics_of_all_parts_are_in_one_text() {
        let telemetry = Telemetry::default();
        let counter = Counter::<u64>::default();
        telemetry.register(|registry| registry.register("airlock_done", "What was done", counter.clone()));
        counter.inc();
        assert!(telemetry.text().contains("airlock_done_total 1\n"), "{}", telemetry.text());
    }
}
