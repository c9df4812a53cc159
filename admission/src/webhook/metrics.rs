//! What the webhooks count.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use telemetry::Telemetry;

/// From half a millisecond to the deadline.
const BUCKETS: [f64; 11] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 4.0, 8.0];

/// Which webhook, and what it said.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decided {
    webhook: &'static str,
    decision: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    webhook: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    what: &'static str,
}

/// The webhooks' metrics. Clones count together.
#[derive(Clone)]
pub struct Metrics {
    decisions: Family<Decided, Counter>,
    seconds: Family<Asked, Histogram>,
    index: Family<Named, Counter>,
    registry: Counter,
    repaired: Family<Named, Counter>,
    break_glass: Counter,
    rotations: Counter,
}

impl Metrics {
    /// Metrics that the process serves.
    #[must_use]
    pub fn new(telemetry: &Telemetry) -> Self {
        let metrics = Self {
            decisions: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            index: Family::default(),
            registry: Counter::default(),
            repaired: Family::default(),
            break_glass: Counter::default(),
            rotations: Counter::default(),
        };
        telemetry.register(|registry| metrics.register(registry));
        metrics
    }

    fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("airlock_webhook");
        registry.register("decisions", "Answers to the API server", self.decisions.clone());
        registry.register("seconds", "Time from a request to its answer", self.seconds.clone());
        registry.register("verdicts", "Questions to the index of verdicts: hit or miss", self.index.clone());
        registry.register(
            "registry_calls",
            "Questions to a registry: a tag's digest, or an image's signatures",
            self.registry.clone(),
        );
        registry.register(
            "configuration_repairs",
            "Webhook configurations that somebody changed or deleted, and that were put right",
            self.repaired.clone(),
        );
        registry.register(
            "break_glass",
            "Objects that passed in a time in which refusals stop nothing",
            self.break_glass.clone(),
        );
        registry.register(
            "certificate_switches",
            "Serving certificates taken into use",
            self.rotations.clone(),
        );
    }

    /// A request was answered.
    pub(super) fn decided(&self, webhook: &'static str, decision: &'static str, took: Duration) {
        self.decisions.get_or_create(&Decided { webhook, decision }).inc();
        self.seconds.get_or_create(&Asked { webhook }).observe(took.as_secs_f64());
    }

    /// The index was asked.
    pub(super) fn looked_up(&self, hit: bool) {
        self.index.get_or_create(&Named { what: if hit { "hit" } else { "miss" } }).inc();
    }

    /// A registry was asked.
    pub(super) fn asked_registry(&self) {
        self.registry.inc();
    }

    /// A configuration was put right.
    pub(super) fn repaired(&self, what: &'static str) {
        self.repaired.get_or_create(&Named { what }).inc();
    }

    /// Something passed that would have been refused.
    pub(super) fn broke_glass(&self) {
        self.break_glass.inc();
    }

    /// Another certificate is served.
    pub(super) fn switched(&self) {
        self.rotations.inc();
    }
}
