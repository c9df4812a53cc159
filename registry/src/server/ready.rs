//! Whether the server is ready: whether its store, its disk and its slots allow it to do its work.

use std::time::{Duration, Instant};

use http::StatusCode;
use oci::distribution::ErrorCode;
use serde_json::json;
use store::Store;
use tokio::sync::Mutex;

use super::App;
use super::refusal::Refusal;

/// How long the state of the disk is not examined again: everyone may ask for it, and it costs a write.
const FRESH: Duration = Duration::from_secs(5);

/// The last examination of the disk.
#[derive(Default)]
pub(super) struct Readiness(Mutex<Option<(Instant, Disk)>>);

/// The state of a disk that the server writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Disk {
    /// The free space, if it could be determined.
    free: Option<u64>,
    writable: bool,
}

impl Disk {
    fn of(store: &Store) -> Self {
        let writable = match store.check_writable() {
            Ok(()) => true,
            // Another process writes to it at this moment.
            Err(error) if error.is_locked() => true,
            Err(error) => {
                tracing::warn!(%error, "the database cannot be written");
                false
            }
        };
        Self { free: store.free_bytes().ok(), writable }
    }
}

/// Succeeds if the server is ready.
pub(super) async fn check(app: &App) -> Result<(), Refusal> {
    let exists = |store: &Store| {
        store.repositories(None, Some(1))?;
        if store.is_present() { Ok(()) } else { Err(Refusal::store_gone()) }
    };
    app.run(exists).await?;
    let disk = if app.read_only { None } else { Some(disk(app).await?) };
    let (used, most) = app.transfers.in_use();
    let free_slots = most - used;
    let reasons = reasons(disk.as_ref(), app.limits.free_bytes, free_slots);
    if reasons.is_empty() {
        return Ok(());
    }
    let message = format!("the registry is not ready: {}", reasons.join("; "));
    Err(Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Unknown,
        &message,
        json!({ "reasons": reasons }),
    ))
}

async fn disk(app: &App) -> Result<Disk, Refusal> {
    let mut last = app.readiness.0.lock().await;
    if let Some((_, disk)) = last.as_ref().filter(|(when, _)| when.elapsed() < FRESH) {
        return Ok(disk.clone());
    }
    let disk = app.run(|store| Ok(Disk::of(store))).await?;
    *last = Some((Instant::now(), disk.clone()));
    Ok(disk)
}

/// Why the server is not ready. The disk does not matter if the server never writes.
fn reasons(disk: Option<&Disk>, least_free: u64, free_slots: usize) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(disk) = disk {
        if let Some(free) = disk.free.filter(|free| *free < least_free) {
            let (free, least) = (free >> 20, least_free >> 20);
            reasons.push(format!("the disk is full: {free} MiB are free, the minimum is {least} MiB"));
        }
        if !disk.writable {
            reasons.push("the database cannot be written".to_owned());
        }
    }
    if free_slots == 0 {
        reasons.push("all slots for uploads and downloads are in use".to_owned());
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_named() {
        let good = Disk { free: Some(64 << 20), writable: true };
        assert_eq!(reasons(Some(&good), 64 << 20, 1), Vec::<String>::new());
        let full = Disk { free: Some((64 << 20) - 1), ..good.clone() };
        assert_eq!(
            reasons(Some(&full), 64 << 20, 1),
            ["the disk is full: 63 MiB are free, the minimum is 64 MiB"]
        );
        assert_eq!(reasons(Some(&full), 0, 1), Vec::<String>::new());
        let broken = Disk { free: None, writable: false };
        assert_eq!(reasons(Some(&broken), 64 << 20, 1), ["the database cannot be written"]);
        assert_eq!(reasons(None, 64 << 20, 0), ["all slots for uploads and downloads are in use"]);
    }
}
