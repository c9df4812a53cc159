//! The controllers: what the cluster says goes to the decisions, and what they decide is done.
//!
//! One replica leads, by a lease; the others wait. All that the leader does is dropped when it loses the lease.
//!
//! - [`lease`]: who leads

mod lease;

use futures::future::BoxFuture;

use crate::Result;
use crate::run::Context;

/// Runs the controllers while this replica holds the lease, until `stop` comes.
///
/// # Errors
/// When the API server refuses what no retry mends.
pub async fn run(context: Context, stop: BoxFuture<'static, ()>) -> Result<()> {
    let started = k8s_openapi::jiff::Timestamp::now().as_microsecond();
    let settings = &context.settings;
    let identity = format!("{}_{started:x}", settings.identity);
    let mut holder = lease::Holder::new(context.kube.clone(), &settings.namespace, identity);
    tokio::select! {
        () = stop => {}
        () = lead(&context, &mut holder) => {}
    }
    holder.give_up().await;
    Ok(())
}

async fn lead(context: &Context, holder: &mut lease::Holder) {
    loop {
        holder.win().await;
        tracing::info!(identity = context.settings.identity, "this replica leads");
        lease::while_leading(holder, std::future::pending::<()>()).await;
        tracing::warn!(identity = context.settings.identity, "this replica leads no longer");
    }
}
