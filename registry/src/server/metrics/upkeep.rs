//! What maintenance of the store did, as the store records it, whichever process ran it.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use store::{Upkeep, UpkeepKind};

use super::gauge;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    kind: &'static str,
    outcome: &'static str,
}

/// The metrics of maintenance.
#[derive(Default)]
pub(super) struct UpkeepMetrics {
    runs: Family<RunLabels, Counter>,
    removed: Family<KindLabel, Counter>,
    freed: Family<KindLabel, Counter>,
    seconds: Family<KindLabel, Gauge<f64, AtomicU64>>,
    last: Family<KindLabel, Gauge>,
    protected: Gauge,
}

impl UpkeepMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        // From the first reading on, so that the first failure is an increase.
        for kind in UpkeepKind::ALL {
            self.set_run(Upkeep {
                kind,
                succeeded: 0,
                failed: 0,
                removed: 0,
                bytes: 0,
                milliseconds: 0,
                last_success: 0,
            });
        }
        let help = "Maintenance runs that succeeded or failed";
        registry.register("upkeep_runs", help, self.runs.clone());
        let help = "Blobs (gc) and tags (retention) that maintenance removed";
        registry.register("upkeep_removed", help, self.removed.clone());
        registry.register("upkeep_freed_bytes", "Bytes that maintenance freed", self.freed.clone());
        registry.register("upkeep_duration_seconds", "The duration of the last run", self.seconds.clone());
        let help = "When maintenance succeeded last, in seconds since 1970; 0 if it never did";
        registry.register("upkeep_last_success_timestamp_seconds", help, self.last.clone());
        registry.register("protected_names", "Names that are protected from removal", self.protected.clone());
    }

    /// Sets what the store records.
    pub(super) fn set(&self, runs: Vec<Upkeep>, protected: usize) {
        self.protected.set(gauge(protected as u64));
        for run in runs {
            self.set_run(run);
        }
    }

    fn set_run(&self, run: Upkeep) {
        let kind = run.kind.name();
        for (outcome, count) in [("succeeded", run.succeeded), ("failed", run.failed)] {
            let labels = RunLabels { kind, outcome };
            self.runs.get_or_create(&labels).inner().store(count, Ordering::Relaxed);
        }
        let label = KindLabel { kind };
        self.removed.get_or_create(&label).inner().store(run.removed, Ordering::Relaxed);
        self.freed.get_or_create(&label).inner().store(run.bytes, Ordering::Relaxed);
        let seconds = std::time::Duration::from_millis(run.milliseconds).as_secs_f64();
        self.seconds.get_or_create(&label).set(seconds);
        self.last.get_or_create(&label).set(gauge(run.last_success));
    }
}
