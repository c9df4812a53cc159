//! What the operator of a registry sees: metrics on a separate address, and an access log ([`access_log`]).

mod access_line;
mod access_log;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Args;
use registry::server::{AccessLog, Metrics};
use telemetry::Telemetry;
use tokio::net::TcpListener;

use self::access_line::AccessFormat;
use self::access_log::AccessWriter;
use crate::cli::listen;
use crate::printer::Printer;

#[derive(Debug, Args)]
pub(crate) struct ObservabilityArgs {
    /// Serve metrics for Prometheus at `/metrics` of this address, over plain HTTP and without a password.
    #[arg(long, value_name = "ADDRESS", value_parser = listen)]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Write a line for each request to this file, or to standard output (`-`). The file is reopened after SIGUSR1, or
    /// when it was renamed.
    #[arg(long, value_name = "FILE")]
    pub(crate) access_log: Option<PathBuf>,
    /// The format of the access log.
    #[arg(long, value_enum, default_value_t = AccessFormat::Combined, requires = "access_log")]
    pub(crate) access_log_format: AccessFormat,
}

/// The open metrics address and access log.
pub(crate) struct Observability {
    metrics: Metrics,
    listener: Option<(TcpListener, Telemetry)>,
    writer: Option<AccessWriter>,
}

impl Observability {
    /// Opens both, and prints the address of the metrics.
    pub(crate) async fn open(
        settings: &ObservabilityArgs,
        certificate_expiry: Option<SystemTime>,
        printer: &Printer,
    ) -> anyhow::Result<Self> {
        let metrics = Metrics::default();
        let writer = match &settings.access_log {
            Some(path) => Some(AccessWriter::open(path, settings.access_log_format, metrics.clone())?),
            None => None,
        };
        let mut listener = None;
        if let Some(address) = settings.metrics_listen {
            let bound = telemetry::listen(address).await?;
            printer.say(&format!("metrics http://{}/metrics", bound.local_addr()?));
            let telemetry = Telemetry::default();
            telemetry.register(|registry| metrics.register(registry, certificate_expiry));
            listener = Some((bound, telemetry));
        }
        Ok(Self { metrics, listener, writer })
    }

    /// The metrics, if they are served.
    pub(crate) fn metrics(&self) -> Option<Metrics> {
        self.listener.as_ref().map(|_| self.metrics.clone())
    }

    pub(crate) fn access_log(&self) -> Option<Arc<dyn AccessLog>> {
        self.writer.as_ref().map(AccessWriter::log)
    }

    /// Serves the metrics while the registry is served, and then writes the rest of the access log.
    pub(crate) async fn run<T>(self, serving: impl Future<Output = T>) -> T {
        let metrics = self.listener.map(|(listener, telemetry)| {
            tokio::spawn(async move {
                if let Err(error) = telemetry::serve_on(listener, telemetry).await {
                    tracing::error!(%error, "the metrics are no longer served");
                }
            })
        });
        let reopening = self.writer.as_ref().map(AccessWriter::reopen_on_signal);
        let served = serving.await;
        for task in metrics.into_iter().chain(reopening) {
            task.abort();
        }
        if let Some(writer) = self.writer {
            writer.finish().await;
        }
        served
    }
}
