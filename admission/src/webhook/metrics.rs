//! The metrics of the webhooks.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use telemetry::Telemetry;

/// From half a millisecond to the API server's timeout.
const BUCKETS: [f64; 11] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 4.0, 8.0];

/// A webhook and its decision.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    webhook: &'static str,
    decision: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WebhookLabel {
    webhook: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhatLabel {
    what: &'static str,
}

/// The metrics of the webhooks. Clones share the same counters.
#[derive(Clone)]
pub struct Metrics {
    decisions: Family<DecisionLabels, Counter>,
    seconds: Family<WebhookLabel, Histogram>,
    index: Family<WhatLabel, Counter>,
    registry: Counter,
    repaired: Family<WhatLabel, Counter>,
    break_glass: Counter,
    rotations: Counter,
}

impl Metrics {
    /// Registers the metrics.
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
        registry.register("decisions", "Responses to the API server", self.decisions.clone());
        registry.register("seconds", "Time from a request to its response", self.seconds.clone());
        registry.register("verdicts", "Lookups in the verdict cache: hit or miss", self.index.clone());
        registry.register(
            "registry_calls",
            "Registry queries: the digest of a tag, or the signatures of an image",
            self.registry.clone(),
        );
        registry.register(
            "configuration_repairs",
            "Changed or deleted webhook configurations that were restored",
            self.repaired.clone(),
        );
        registry.register(
            "break_glass",
            "Objects that were admitted because break-glass was active",
            self.break_glass.clone(),
        );
        registry.register(
            "certificate_switches",
            "Switches to another serving certificate",
            self.rotations.clone(),
        );
    }

    /// Counts a response.
    pub(super) fn decided(&self, webhook: &'static str, decision: &'static str, took: Duration) {
        self.decisions.get_or_create(&DecisionLabels { webhook, decision }).inc();
        self.seconds.get_or_create(&WebhookLabel { webhook }).observe(took.as_secs_f64());
    }

    /// Counts a lookup in the verdict cache.
    pub(super) fn looked_up(&self, hit: bool) {
        self.index.get_or_create(&WhatLabel { what: if hit { "hit" } else { "miss" } }).inc();
    }

    /// Counts a registry query.
    pub(super) fn queried_registry(&self) {
        self.registry.inc();
    }

    /// Counts a restored configuration.
    pub(super) fn repaired(&self, what: &'static str) {
        self.repaired.get_or_create(&WhatLabel { what }).inc();
    }

    /// Counts an object that was admitted because break-glass was active.
    pub(super) fn broke_glass(&self) {
        self.break_glass.inc();
    }

    /// Counts a switch to another certificate.
    pub(super) fn switched(&self) {
        self.rotations.inc();
    }
}
