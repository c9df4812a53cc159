//! The controllers: what the cluster says goes to the decisions, and what they decide is done.

use crate::Result;
use crate::run::Context;

/// Runs the controllers while this replica holds the lease.
///
/// # Errors
/// When the API server refuses what no retry mends.
pub async fn run(context: Context) -> Result<()> {
    let _ = context;
    std::future::pending().await
}
