//! Measures the store periodically, because the number of its blobs determines how long that takes.

use std::time::{Duration, Instant};

use store::Store;

use super::Metrics;

/// The minimum interval of measurements.
const INTERVAL: Duration = Duration::from_mins(1);
/// The minimum interval, as a multiple of the time that the last measurement took.
const FACTOR: u32 = 50;

/// Measures the store, now and periodically.
pub(in crate::server) async fn measure(metrics: Metrics, store: Store) {
    loop {
        let begun = Instant::now();
        let measured = store.clone();
        let measuring = move || Ok::<_, store::Error>((measured.totals()?, measured.health()?));
        match tokio::task::spawn_blocking(measuring).await {
            Ok(Ok((totals, health))) => {
                metrics.set_totals(totals);
                metrics.set_health(&health);
            }
            Ok(Err(error)) => tracing::warn!(%error, "cannot measure the store"),
            Err(error) => tracing::warn!(%error, "the measurement of the store ended unexpectedly"),
        }
        tokio::time::sleep(INTERVAL.max(begun.elapsed() * FACTOR)).await;
    }
}
