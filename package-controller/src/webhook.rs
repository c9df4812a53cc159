//! The webhooks on the network: what [`admission`](crate::admission) and [`images`](crate::images) decide, served
//! over TLS.
//!
//! - `server`: sockets; `certificate`: when the serving certificate is replaced; `keeper`: that the API server trusts
//!   it, and that the webhook configurations stay; `configuration`: what those say
//! - `review`: the API server's question and our answer; `packages`: EKS Anywhere's three webhooks

mod certificate;
mod configuration;
mod keeper;
mod metrics;
mod review;
mod server;

use axum::Router;
use futures::future::BoxFuture;

pub use configuration::{NAME, Reach, configurations};
pub use metrics::Metrics;

use crate::Result;
use crate::run::Context;

/// Serves the webhooks until `stop` comes, and lets requests under way end.
///
/// # Errors
/// When the address is taken or the serving certificate cannot be made.
pub async fn serve(context: Context, stop: BoxFuture<'static, ()>) -> Result<()> {
    let metrics = Metrics::new(&context.telemetry);
    let served = server::Served::default();
    let address = context.settings.webhooks;
    let keeper = keeper::Keeper::new(context.clone(), metrics.clone(), served.clone());
    let router = Router::new();
    tokio::select! {
        result = server::serve(address, served, router, stop) => result,
        () = keeper.keep() => Ok(()),
    }
}
