//! `airlock serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use audit::EventType;
use clap::Args;
use packager::witness::notes::{Purpose, note_policy};
use private::Readers;
use registry::server::{Auth, Cidr, Gate, Htpasswd, Limits, Observer, Proxies, ServerConfig, serve};
use serde_json::json;
use store::NamingLimits;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{GateArgs, StoreArg, TrustArg, listen};
use crate::commands::tls::{self, Tls};
use crate::failure::{Status, Usage, unusable};
use crate::files::read;
use crate::gates::name_rule;
use crate::gates::serving::{DecisionCache, Gates};
use crate::logged::{AuditObserver, Journals, Logs, Work};
use crate::observability::{Observability, ObservabilityArgs};
use crate::printer::{Printer, quoted};
use crate::stores::open_or_make;
use crate::trust_input::trust;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: airlock serve --store store --listen 0.0.0.0:5000 --self-signed --htpasswd users"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a command-line flag")]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// Create an empty store if none exists.
    #[arg(long, conflicts_with = "read_only")]
    pub(crate) create: bool,
    /// The address and port, host and port, or `:PORT` for all addresses. Port 0 selects a free port.
    #[arg(long, default_value = "127.0.0.1:5000", value_name = "ADDRESS", value_parser = listen)]
    pub(crate) listen: SocketAddr,
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
}

pub(crate) async fn run(settings: Serve, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let store = settings.store.store.clone();
    let name = store.display().to_string();
    let mut work = logs.begin(EventType::ServeStart, "store", &name, Some(&store), printer)?;
    let result = open(settings, &mut work, printer).await;
    let (url, serving) = work.end(result)?;
    let mut work = logs.begin(EventType::ServeStop, "store", &name, Some(&store), printer)?;
    work.evidence("url", &url);
    let result = serving.await.map_err(anyhow::Error::from);
    work.end(result)?;
    printer.say("stopped: all open requests were answered");
    Ok(Status::Done)
}

/// Opens the registry, and logs and prints its URL. Returns the URL, and the future that serves the registry.
async fn open(
    settings: Serve,
    work: &mut Work<'_>,
    printer: &Printer,
) -> anyhow::Result<(String, impl Future<Output = registry::Result<()>> + use<>)> {
    let plain = settings.tls.tls_cert.is_none() && !settings.tls.self_signed;
    if plain && !settings.listen.ip().is_loopback() && !settings.allow_plain_http {
        let message =
            format!("`{}` is reachable by other machines, and plain HTTP is not encrypted", settings.listen);
        let hint = "use --self-signed or --tls-cert and --tls-key, or give --allow-plain-http";
        return Err(Usage { message, hint }.into());
    }
    let auth = auth(&settings)?;
    let open_to_all = is_open_to_all(&settings)?;
    let store = if settings.create {
        open_or_make(&settings.store, printer)?
    } else {
        store::Store::open_existing(&settings.store.store)?
    };
    if store.is_read_only() && !settings.read_only {
        return Err(store::Error::ReadOnly(settings.store.store).into());
    }
    let served = tls::config(&settings.tls, &settings.store.store, printer)?;
    let expiry = served.as_ref().and_then(|served| served.expiry);
    let observability = Observability::open(&settings.observability, expiry, printer).await?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on `{}`", settings.listen))?;
    let address = listener.local_addr()?;
    let scheme = if served.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}");
    let ca = served.as_ref().and_then(|served| served.ca.as_deref());
    work.evidence("url", &url);
    work.evidence("passwords", &settings.htpasswd.is_some());
    work.evidence("readOnly", &settings.read_only);
    work.evidence("anonymousPush", &open_to_all);
    let gate = gates(&settings, &store, &client_host(address, &settings.tls.tls_name), work)?;
    let journals = work.journals()?;
    work.done()?;
    announce(&url, &client_host(address, &settings.tls.tls_name), ca, printer)?;
    if open_to_all {
        printer.say("warning: everyone who can reach this registry can push and delete without a password");
    }
    write_address(settings.address_file.as_deref(), &url)?;
    let observer = observer(journals, &store);
    let read_only = settings.read_only;
    let limits = limits(&settings);
    let proxies: Proxies = settings.trusted_proxy.iter().copied().collect();
    let (metrics, access_log) = (observability.metrics(), observability.access_log());
    let config =
        ServerConfig { store, auth, read_only, limits, observer, gate, proxies, metrics, access_log };
    let serving = serve(listener, served.map(|served| served.config), config, ended());
    Ok((url, observability.run(serving)))
}

/// Limits on clients, some of which are configurable.
fn limits(settings: &Serve) -> Limits {
    let manifests = settings.referrers_per_user;
    let usual = NamingLimits::default();
    // More referrers may have more bytes.
    let bytes = usual.bytes.saturating_mul(manifests.div_ceil(usual.manifests));
    let naming = (manifests > 0).then_some(NamingLimits { manifests, bytes });
    Limits { per_client: settings.connections_per_client, naming, ..Limits::default() }
}

/// The gates `push` and `pull` of the trust file, if it has rules for them.
fn gates(
    settings: &Serve,
    store: &store::Store,
    host: &str,
    work: &mut Work<'_>,
) -> anyhow::Result<Option<Arc<dyn Gate>>> {
    let Some(trust) = trust(&settings.trust, work)? else { return Ok(None) };
    note_policy(store, Purpose::Content, trust.sequence())?;
    if !Gates::are_needed(&trust) {
        return Ok(None);
    }
    let host = settings.gate.registry_name.clone().or_else(|| host.parse().ok());
    let (name_rule, journals) = (name_rule(&settings.gate), work.journals()?);
    let (store, policy, cache) = (store.clone(), work.newest_policy(), DecisionCache::default());
    Ok(Some(Arc::new(Gates { store, trust, policy, name_rule, host, journals, cache })))
}

/// The observer that logs the changes of clients, if a log is open.
pub(crate) fn observer(journals: Journals, store: &store::Store) -> Option<Arc<dyn Observer>> {
    let store = store.clone();
    (!journals.is_empty()).then(|| Arc::new(AuditObserver { journals, store }) as Arc<dyn Observer>)
}

/// Whether users of other machines may push without a password, which requires a flag. With a proxy, they reach any address.
fn is_open_to_all(settings: &Serve) -> anyhow::Result<bool> {
    let reached = !settings.listen.ip().is_loopback() || !settings.trusted_proxy.is_empty();
    let open = reached && settings.htpasswd.is_none() && !settings.read_only;
    if open && !settings.anonymous_push {
        let message = format!(
            "`{}` is reachable by other machines, and without a password file everyone could push and delete",
            settings.listen
        );
        let hint = "use --htpasswd FILE or --read-only, or give --anonymous-push";
        return Err(Usage { message, hint }.into());
    }
    if settings.anonymous_push && settings.htpasswd.is_some() {
        let message = "--anonymous-push contradicts --htpasswd".to_owned();
        return Err(Usage { message, hint: "omit one of them" }.into());
    }
    Ok(open)
}

/// The authentication mode.
fn auth(settings: &Serve) -> anyhow::Result<Auth> {
    let Some(path) = &settings.htpasswd else {
        if settings.anonymous_pull {
            let message = "--anonymous-pull has no effect without a password file".to_owned();
            return Err(Usage { message, hint: "give --htpasswd FILE, or omit --anonymous-pull" }.into());
        }
        return Ok(Auth::Anonymous);
    };
    let text = read(path)?;
    if text.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
        let message = format!("`{}` lists no user, so no one could log in", path.display());
        return Err(Usage { message, hint: "add one with `htpasswd -B FILE USER`" }.into());
    }
    let failed = format!("the password file `{}` cannot be used", path.display());
    let users = Htpasswd::parse(&text).map_err(unusable(failed))?;
    Ok(Auth::Htpasswd { users, anonymous_pull: settings.anonymous_pull })
}

/// The host that clients connect to: no client can connect to 0.0.0.0, and certificates are issued for names.
fn client_host(address: SocketAddr, names: &[String]) -> String {
    match names.first() {
        Some(name) if address.ip().is_unspecified() => format!("{name}:{}", address.port()),
        None if address.ip().is_unspecified() => format!("localhost:{}", address.port()),
        _ => address.to_string(),
    }
}

/// Prints the registry's URL, and how clients can trust its CA.
fn announce(url: &str, host: &str, ca: Option<&Path>, printer: &Printer) -> anyhow::Result<()> {
    let value = json!({ "url": url, "authority": ca, "health": format!("{url}/readyz") });
    printer.result(&value, |_| {
        let mut text = format!("serving {url}\nhealth  {url}/livez and {url}/readyz\n");
        if let Some(path) = ca {
            let path = quoted(&path.display().to_string());
            text += &format!(
                "CA {path}; for clients to trust it:\n  \
                 podman, skopeo: mkdir -p /etc/containers/certs.d/{host} && cp {path} /etc/containers/certs.d/{host}/ca.crt\n  \
                 docker:         mkdir -p /etc/docker/certs.d/{host} && cp {path} /etc/docker/certs.d/{host}/ca.crt\n  \
                 containerd:     ca = {path} in the host's section of hosts.toml\n"
            );
        }
        text
    })
}

/// Writes the registry's URL to a file for scripts. The file is complete as soon as it exists.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_a_name_that_they_can_reach() {
        let any: SocketAddr = "0.0.0.0:5000".parse().unwrap();
        assert_eq!(client_host(any, &["registry.site".into()]), "registry.site:5000");
        assert_eq!(client_host(any, &[]), "localhost:5000");
        assert_eq!(client_host("10.1.2.3:1".parse().unwrap(), &["registry.site".into()]), "10.1.2.3:1");
    }
}
