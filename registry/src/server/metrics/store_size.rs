//! Measures the store periodically, because the number of its blobs determines how long that takes.

use std::time::{Duration, Instant};

use store::{Health, Store, Totals, Upkeep};

use super::Metrics;

/// The minimum interval of measurements.
const INTERVAL: Duration = Duration::from_mins(1);
/// The minimum interval, as a multiple of the time that the last measurement took.
const FACTOR: u32 = 50;

/// A measurement.
pub(super) struct Measured {
    pub(super) totals: Totals,
    pub(super) health: Health,
    pub(super) upkeep: Vec<Upkeep>,
    /// The number of protected names.
    pub(super) protected: usize,
}

impl Measured {
    fn of(store: &Store) -> store::Result<Self> {
        let (upkeep, protected) = (store.upkeep()?, store.protections()?.len());
        Ok(Self { totals: store.totals()?, health: store.health()?, upkeep, protected })
    }
}

/// Measures the store, now and periodically.
pub(in crate::server) async fn measure(metrics: Metrics, store: Store) {
    loop {
        let begun = Instant::now();
        let measured = store.clone();
        match tokio::task::spawn_blocking(move || Measured::of(&measured)).await {
            Ok(Ok(measured)) => metrics.set_measured(measured),
            Ok(Err(error)) => tracing::warn!(%error, "cannot measure the store"),
            Err(error) => tracing::warn!(%error, "the measurement of the store ended unexpectedly"),
        }
        tokio::time::sleep(INTERVAL.max(begun.elapsed() * FACTOR)).await;
    }
}
