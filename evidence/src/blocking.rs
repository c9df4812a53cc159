//! Runs a store's synchronous calls on the blocking pool, so that they work on every kind of runtime.

use super::Error;

/// Runs synchronous work on the blocking pool. Work that has begun ends, even if the caller is dropped.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Died))
}
