//! The metrics of a server. Every label has a fixed set of values: routes, methods and decisions, but no names that clients
//! choose.

mod counted;
mod labels;
mod store_size;
mod upkeep;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{Method, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub(super) use counted::{CountedGate, CountedObserver};
pub(super) use labels::route;
pub(super) use store_size::measure;

use super::guard::fair::FairQueue;
use super::guard::party::Party;
use labels::{DecisionLabels, OutcomeLabel, RequestLabels, RouteLabel, TimeLabels, class, method_name};
use store_size::Measured;
use upkeep::UpkeepMetrics;

/// From a cached manifest to a push that waits for a slow disk.
const BUCKETS: [f64; 11] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0];

/// The metrics of a server. Clones share the same values.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<TimeLabels, Histogram>,
    received: Family<RouteLabel, Counter>,
    sent: Family<RouteLabel, Counter>,
    decisions: Family<DecisionLabels, Counter>,
    audit: Family<OutcomeLabel, Counter>,
    missing: Counter,
    dropped: Counter,
    waiting: Gauge,
    blobs: Gauge,
    bytes: Gauge,
    uploads: Gauge,
    free: Gauge,
    damaged: Gauge,
    verified: Gauge,
    certificate: Gauge,
    upkeep: UpkeepMetrics,
    transfers: OnceLock<FairQueue<Party>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Inner {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            received: Family::default(),
            sent: Family::default(),
            decisions: Family::default(),
            audit: Family::default(),
            missing: Counter::default(),
            dropped: Counter::default(),
            waiting: Gauge::default(),
            blobs: Gauge::default(),
            bytes: Gauge::default(),
            uploads: Gauge::default(),
            free: Gauge::default(),
            damaged: Gauge::default(),
            verified: Gauge::default(),
            certificate: Gauge::default(),
            upkeep: UpkeepMetrics::default(),
            transfers: OnceLock::new(),
        }))
    }
}

impl Metrics {
    /// Registers the metrics. The expiry of the certificate is a metric if it is known.
    pub fn register(&self, registry: &mut Registry, certificate_expiry: Option<SystemTime>) {
        let registry = registry.sub_registry_with_prefix("airlock_registry");
        let own = &*self.0;
        // From the first reading on, so that the first failure is an increase.
        for outcome in ["written", "failed"] {
            drop(own.audit.get_or_create(&OutcomeLabel { outcome }));
        }
        for gate in ["pull", "push"] {
            for decision in ["allowed", "denied", "failed"] {
                drop(own.decisions.get_or_create(&DecisionLabels { gate, decision }));
            }
        }
        registry.register("requests", "Responses, by the class of their status", own.requests.clone());
        registry.register("response_seconds", "Time until a response begins", own.seconds.clone());
        registry.register("received_bytes", "Bytes of request bodies", own.received.clone());
        registry.register("sent_bytes", "Bytes of response bodies", own.sent.clone());
        registry.register("gate_decisions", "Decisions of the trust file's gates", own.decisions.clone());
        registry.register("audit_records", "Records in the audit log: written or failed", own.audit.clone());
        let help = "Pulls of manifests that the store does not have";
        registry.register("missing_manifests", help, own.missing.clone());
        let help = "Lines that the access log lacks, because they were written too slowly";
        registry.register("access_log_dropped", help, own.dropped.clone());
        registry.register("transfers_waiting", "Transfers that wait for others", own.waiting.clone());
        registry.register("store_blobs", "Blobs and manifests in the store", own.blobs.clone());
        registry.register("store_bytes", "Their size", own.bytes.clone());
        registry.register("store_free_bytes", "Free space of the store's file system", own.free.clone());
        registry.register("uploads", "Unfinished uploads", own.uploads.clone());
        let help = "Blobs and manifests that are damaged or missing";
        registry.register("store_damaged_blobs", help, own.damaged.clone());
        let help = "The time since which scrubs have verified every blob, in seconds since 1970; 0 if never";
        registry.register("store_verified_timestamp_seconds", help, own.verified.clone());
        if let Some(expiry) = certificate_expiry {
            self.certificate_expires(expiry);
            let help = "When the server's certificate expires, in seconds since 1970";
            registry.register("certificate_expiry_timestamp_seconds", help, own.certificate.clone());
        }
        own.upkeep.register(registry);
        registry.register_collector(Box::new(Transfers(self.clone())));
    }

    /// Sets when the first of the server's certificates expires.
    pub fn certificate_expires(&self, expiry: SystemTime) {
        let seconds = expiry.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.0.certificate.set(gauge(seconds));
    }

    /// Counts a line that the access log lacks.
    pub fn access_log_dropped(&self) {
        self.0.dropped.inc();
    }

    /// Counts a pull of a manifest that the store does not have.
    pub(super) fn missing(&self) {
        self.0.missing.inc();
    }

    /// Counts a response that begins.
    pub(super) fn responded(&self, route: &'static str, method: &Method, status: StatusCode, time: Duration) {
        let method = method_name(method);
        self.0.requests.get_or_create(&RequestLabels { route, method, status: class(status) }).inc();
        self.0.seconds.get_or_create(&TimeLabels { route, method }).observe(time.as_secs_f64());
    }

    /// Counts the bytes of a request body.
    pub(super) fn received(&self, route: &'static str, bytes: u64) {
        self.0.received.get_or_create(&RouteLabel { route }).inc_by(bytes);
    }

    /// The counter for the bytes of response bodies.
    pub(super) fn sent(&self, route: &'static str) -> Counter {
        self.0.sent.get_or_create_owned(&RouteLabel { route })
    }

    /// Counts a transfer as waiting until the result is dropped.
    pub(super) fn waiting(&self) -> Waiting {
        self.0.waiting.inc();
        Waiting(self.clone())
    }

    /// Sets the queue whose tickets are the transfers in progress.
    pub(super) fn watch(&self, transfers: &FairQueue<Party>) {
        // Only one server uses a value.
        let _ = self.0.transfers.set(transfers.clone());
    }

    fn set_measured(&self, Measured { totals, health, upkeep, protected }: Measured) {
        self.0.damaged.set(gauge(health.damaged.len() as u64));
        self.0.verified.set(gauge(health.verified.unwrap_or(0)));
        self.0.upkeep.set(upkeep, protected);
        self.0.blobs.set(gauge(totals.blobs));
        self.0.bytes.set(gauge(totals.bytes));
        self.0.uploads.set(gauge(totals.uploads));
        self.0.free.set(gauge(totals.free_bytes));
    }
}

/// A transfer that waits.
pub(super) struct Waiting(Metrics);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.waiting.dec();
    }
}

/// Reads the number of transfers in progress when the metrics are read.
struct Transfers(Metrics);

impl fmt::Debug for Transfers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transfers")
    }
}

impl Collector for Transfers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some((active, most)) = self.0.0.transfers.get().map(FairQueue::in_use) else { return Ok(()) };
        for (name, help, value) in [
            ("transfers_active", "Transfers in progress", active),
            ("transfers_limit", "The maximum number of transfers in progress", most),
        ] {
            encoder
                .encode_descriptor(name, help, None, MetricType::Gauge)?
                .encode_gauge(&gauge(value as u64))?;
        }
        Ok(())
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::guard::address::Network;
    use crate::server::guard::fair::QueueLimits;

    fn text(metrics: &Metrics, expiry: Option<SystemTime>) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        metrics.register(&mut registry, expiry);
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[tokio::test]
    async fn transfers_in_progress_and_waiting_ones_are_counted() {
        let limits = QueueLimits { at_once: 8, share: 8, waiting: 8, keys: 8 };
        let (metrics, transfers) = (Metrics::default(), FairQueue::new(limits));
        assert!(!text(&metrics, None).contains("transfers_active"));
        metrics.watch(&transfers);
        let client = Party::all(None, Network::UNIX);
        let (held, waiting) = (transfers.acquire(&client).await.unwrap(), metrics.waiting());
        let found = text(&metrics, None);
        for line in ["transfers_active 1\n", "transfers_limit 8\n", "transfers_waiting 1\n"] {
            assert!(found.contains(&format!("airlock_registry_{line}")), "{line} {found}");
        }
        drop((held, waiting));
        let found = text(&metrics, None);
        assert!(
            found.contains("_transfers_active 0\n") && found.contains("_transfers_waiting 0\n"),
            "{found}"
        );
    }

    #[test]
    fn the_expiry_of_a_certificate_is_a_metric_only_with_tls() {
        let name = "airlock_registry_certificate_expiry_timestamp_seconds";
        assert!(!text(&Metrics::default(), None).contains(name));
        let found = text(&Metrics::default(), Some(UNIX_EPOCH + Duration::from_secs(1_900_000_000)));
        assert!(found.contains(&format!("{name} 1900000000\n")), "{found}");
    }
}
