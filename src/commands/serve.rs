//! `airlock serve`.
//!
//! `document`: the configuration file; `inbox`: its section about the inbox; `plan`: the effective configuration and its
//! rules; `access`: who may pull and push; `rules`: the rules of the store; `sources`, `load`: its files; `start`, `reload`:
//! applies it; `check`: prints it; `scrub`, `retain`: verify the store and remove expired tags meanwhile.
//!
//! `flags | document -> Plan -> Loaded -> Running`

mod access;
mod check;
mod document;
mod inbox;
mod load;
mod plan;
mod reload;
mod retain;
mod rules;
mod scrub;
mod sources;
mod start;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use audit::EventType;
use clap::Args;
use private::Readers;
use registry::server::{Cidr, Observer};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use self::document::json_schema;
use self::plan::{At, Form};
pub(crate) use self::rules::rules_of;
use self::start::Configured;
use crate::cli::{GateArgs, TrustArg};
use crate::commands::tls::Tls;
use crate::env;
use crate::failure::{Status, Usage};
use crate::logged::{AuditObserver, Journals, Logs};
use crate::observability::ObservabilityArgs;
use crate::printer::Printer;

/// The flags for what the configuration file sets. For `store` and `trust`, which have environment variables, see
/// [`Serve::beside_file`].
const IN_FILE: [&str; 16] = [
    "listen",
    "tls_cert",
    "tls_key",
    "self_signed",
    "tls_dir",
    "tls_name",
    "htpasswd",
    "anonymous_pull",
    "anonymous_push",
    "read_only",
    "allow_plain_http",
    "trusted_proxy",
    "connections_per_client",
    "referrers_per_user",
    "allow_unnamed",
    "registry_name",
];

#[derive(Debug, Args)]
#[command(
    after_help = "Example: airlock serve --store store --listen 0.0.0.0:5000 --self-signed --htpasswd users"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a command-line flag")]
pub(crate) struct Serve {
    /// The folder of the store.
    #[arg(long, env = env::STORE, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// A configuration file, instead of the flags for what it sets. `airlock schema registry` prints its schema.
    #[arg(long, short, value_name = "FILE", conflicts_with_all = IN_FILE)]
    pub(crate) file: Option<PathBuf>,
    /// Check the configuration and print it, without serving.
    #[arg(long)]
    pub(crate) check: bool,
    /// Create an empty store if none exists.
    #[arg(long, conflicts_with = "read_only")]
    pub(crate) create: bool,
    /// The address and port, host and port, or `:PORT` for all addresses. Port 0 selects a free port. `systemd` or
    /// `systemd:NAME` uses the sockets that systemd passes.
    #[arg(long, default_value = "127.0.0.1:5000", value_name = "ADDRESS", value_parser = At::parse)]
    pub(crate) listen: At,
    #[command(flatten)]
    pub(crate) tls: Tls,
    /// A password file (`htpasswd -B`). Without it, everyone on this machine can pull and push.
    #[arg(long, value_name = "FILE")]
    pub(crate) htpasswd: Option<PathBuf>,
    /// With a password file: allow pulls without a password.
    #[arg(long)]
    pub(crate) anonymous_pull: bool,
    /// Allow everyone who can reach the registry to push and delete without a password.
    #[arg(long, conflicts_with = "read_only")]
    pub(crate) anonymous_push: bool,
    /// Refuse pushes and deletes.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Serve plain HTTP on an address that others can reach.
    #[arg(long)]
    pub(crate) allow_plain_http: bool,
    /// Trust a proxy at this address or in this range to name the client of a request. Can be repeated.
    #[arg(long, value_name = "CIDR")]
    pub(crate) trusted_proxy: Vec<Cidr>,
    /// The maximum number of open connections per client; 0 for no limit.
    #[arg(long, value_name = "NUMBER", default_value_t = 256)]
    pub(crate) connections_per_client: usize,
    /// The maximum number of referrers of one image, and of indexes that list it, per user; 0 for no limit.
    #[arg(long, value_name = "NUMBER", default_value_t = 2000)]
    pub(crate) referrers_per_user: u64,
    /// Write the URL to this file when the server is ready.
    #[arg(long, value_name = "FILE")]
    pub(crate) address_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) observability: ObservabilityArgs,
    #[command(flatten)]
    pub(crate) trust: TrustArg,
    #[command(flatten)]
    pub(crate) gate: GateArgs,
    /// A flag on the command line that sets the same as a configuration file.
    #[arg(skip)]
    pub(crate) beside_file: Option<&'static str>,
}

pub(crate) async fn run(settings: Serve, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    if let Some(flag) = settings.beside_file {
        let message = format!("--{flag} and --file contradict each other: the file sets `{flag}`");
        return Err(Usage { message, hint: "omit one of them" }.into());
    }
    let configured = Configured::read(&settings)?;
    if settings.check {
        return check::run(&settings, configured, printer);
    }
    // Before the start, so that no signal ends the process.
    let mut hangups = signal(SignalKind::hangup())?;
    let store = configured.plan.store.clone();
    let name = store.display().to_string();
    let mut work = logs.begin(EventType::ServeStart, "store", &name, Some(&store), printer)?;
    let result = start::open(&settings, configured, &mut work, printer).await;
    let (mut running, listeners, observability) = work.end(result)?;
    let mut work = logs.begin(EventType::ServeStop, "store", &name, Some(&store), printer)?;
    work.evidence("url", &running.urls.join(" "));
    let server = running.server.clone();
    let serving = tokio::spawn(async move { server.serve(listeners, ended()).await });
    let watched = running.watch_until_stopped(serving, &mut hangups, (&settings, logs, printer));
    let result = observability.run(watched).await;
    work.end(result)?;
    printer.say("stopped: all open requests were answered");
    Ok(Status::Done)
}

/// The observer that logs the changes of clients, if a log is open.
pub(crate) fn observer(journals: Journals, store: &store::Store) -> Option<Arc<dyn Observer>> {
    let store = store.clone();
    (!journals.is_empty()).then(|| Arc::new(AuditObserver { journals, store }) as Arc<dyn Observer>)
}

/// Writes the registry's URLs to a file for scripts. The file is complete as soon as it exists.
pub(crate) fn write_address(path: Option<&Path>, url: &str) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    crate::files::write(path, format!("{url}\n").as_bytes(), Readers::All)
}

/// Completes when the process is asked to stop.
pub(crate) async fn ended() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// A socket on the address, or on the next free port after it.
pub(crate) async fn listen_near(address: SocketAddr) -> anyhow::Result<TcpListener> {
    for step in 0..100 {
        let near = SocketAddr::new(address.ip(), address.port().saturating_add(step));
        if let Ok(listener) = TcpListener::bind(near).await {
            return Ok(listener);
        }
    }
    anyhow::bail!("no port is free at or after {address}")
}
