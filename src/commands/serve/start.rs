//! Starts a registry: opens the store, loads the files, binds the sockets, and prints the URLs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use oci::RegistryHost;
use packager::witness::notes::{Purpose, note_policy};
use registry::server::{ClientAuthorities, Listener, Server, ServerConfig};
use rustls::sign::CertifiedKey;
use serde_json::json;
use store::Store;
use tokio::net::TcpListener;

use super::load::{Loaded, Trusted, load, plan_of};
use super::plan::{At, Listen, Plan, Security};
use super::reload::{GateInUse, Running};
use super::scrub::Scrubbing;
use super::sources::{Sources, Watch};
use super::{Serve, observer, write_address};
use crate::commands::tls::{self, CurrentCertificate};
use crate::logged::{Work, log_damage};
use crate::observability::Observability;
use crate::passed::{self, PassedSocket};
use crate::printer::{Printer, quoted};
use crate::stores::open_or_make;
use crate::trust_input::note_roots;

/// The configuration of a registry that has not started, with the files that it was read from.
pub(super) struct Configured {
    pub(super) plan: Plan,
    pub(super) sources: Sources,
}

impl Configured {
    pub(super) fn read(settings: &Serve) -> anyhow::Result<Self> {
        let mut sources = Sources::default();
        Ok(Self { plan: plan_of(settings, &mut sources)?, sources })
    }
}

/// Opens the registry, and logs and prints its URLs. Returns the registry with its sockets.
pub(super) async fn open(
    settings: &Serve,
    configured: Configured,
    work: &mut Work<'_>,
    printer: &Printer,
) -> anyhow::Result<(Running, Vec<Listener>, Observability)> {
    let Configured { plan, mut sources } = configured;
    plan.check()?;
    let Loaded { auth, certificates, clients, trust } = load(&plan, &mut sources, printer)?;
    let store = open_store(settings, &plan, printer)?;
    let clients: Vec<_> = clients.into_iter().map(|clients| clients.map(Arc::new)).collect();
    let issued = issue(&plan)?;
    let certificates = certificates.into_iter().zip(&plan.listeners);
    let certificates = certificates.map(|(own, listener)| current(own, listener, issued.as_ref()));
    let certificates: Vec<_> = certificates.collect();
    let expiry = tls::first_expiry(certificates.iter().flatten().map(|certificate| certificate.get()));
    let observability = Observability::open(&settings.observability, expiry, printer).await?;
    let Bound { listeners, addresses, urls } = bind(&plan.listeners, &certificates, &clients).await?;
    let host = addresses.iter().find_map(|at| client_host(at, &plan.authority.names));
    work.evidence("url", &urls.join(" "));
    note(&plan, &sources, settings, work);
    let gate = gate_of(trust, &plan, &store, host.as_deref(), work)?;
    let journals = work.journals()?;
    log_damage(&store, journals.clone());
    let scrubbing = Scrubbing::start(store.clone(), journals.clone(), plan.scrub)?;
    work.done()?;
    announce(&plan, &urls, host.as_deref(), printer)?;
    write_address(settings.address_file.as_deref(), &urls.join("\n"))?;
    let server = Server::new(ServerConfig {
        store: store.clone(),
        auth,
        read_only: plan.read_only,
        limits: plan.limits,
        observer: observer(journals.clone(), &store),
        gate: gate.gate.clone(),
        proxies: plan.proxies.iter().copied().collect(),
        metrics: observability.metrics(),
        access_log: observability.access_log(),
    });
    let host = host.and_then(|host| host.parse().ok());
    let mut watch = Watch::default();
    watch.loaded(&sources);
    let running = Running {
        server,
        store,
        plan,
        sources,
        watch,
        certificates,
        clients,
        metrics: observability.metrics(),
        gate,
        host,
        journals,
        urls,
        scrubbing,
    };
    Ok((running, listeners, observability))
}

/// Opens the store, which must be writable unless the registry is read-only, and applies the rules of the configuration to it.
fn open_store(settings: &Serve, plan: &Plan, printer: &Printer) -> anyhow::Result<Store> {
    let store = if settings.create {
        open_or_make(&plan.store, printer)?
    } else {
        Store::open_existing(&plan.store)?
    };
    if store.is_read_only() && !plan.read_only {
        return Err(store::Error::ReadOnly(plan.store.clone()).into());
    }
    if store.is_read_only() && plan.scrub.is_some() {
        printer.say("warning: the store is read-only, so it is not scrubbed");
    }
    if let Some(found) = plan.rules.as_ref().filter(|_| !store.is_read_only()) {
        store.set_rules(&found.rules)?;
    }
    Ok(store)
}

/// The gate of the trust file, which is noted as used, if there is one.
fn gate_of(
    trust: Option<Trusted>,
    plan: &Plan,
    store: &Store,
    host: Option<&str>,
    work: &mut Work<'_>,
) -> anyhow::Result<GateInUse> {
    let Some(trust) = trust else { return Ok(GateInUse::default()) };
    note_policy(store, Purpose::Content, trust.file.sequence())?;
    work.policy(&trust.path, &trust.text);
    note_roots(&trust.file, work);
    let basis = Some(trust.basis(plan));
    let host: Option<RegistryHost> = host.and_then(|host| host.parse().ok());
    let gate = trust.gate(plan, store, host.as_ref(), work.journals()?);
    Ok(GateInUse { basis, gate })
}

/// Issues the certificate of the self-signed listeners, if there are any.
pub(super) fn issue(plan: &Plan) -> anyhow::Result<Option<CertifiedKey>> {
    let needed = plan.listeners.iter().any(|listener| listener.security == Security::SelfSigned);
    needed.then(|| tls::issue(&plan.authority_folder(), &plan.authority.names)).transpose()
}

/// The certificate of a listener: its own, or the issued one.
pub(super) fn certificate_of(
    own: Option<CertifiedKey>,
    listener: &Listen,
    issued: Option<&CertifiedKey>,
) -> Option<CertifiedKey> {
    own.or_else(|| issued.filter(|_| listener.security == Security::SelfSigned).cloned())
}

fn current(
    own: Option<CertifiedKey>,
    listener: &Listen,
    issued: Option<&CertifiedKey>,
) -> Option<Arc<CurrentCertificate>> {
    certificate_of(own, listener, issued).map(|certificate| Arc::new(CurrentCertificate::new(certificate)))
}

/// Records the configuration in the event of the work.
pub(super) fn note(plan: &Plan, sources: &Sources, settings: &Serve, work: &mut Work<'_>) {
    work.evidence("passwords", &plan.access.htpasswd.is_some());
    work.evidence("readOnly", &plan.read_only);
    work.evidence("anonymousPush", &plan.is_open_to_all());
    let certificates = plan.listeners.iter().filter_map(|listener| match &listener.security {
        Security::Files { cert, .. } => Some(cert.as_path()),
        Security::Plain { .. } | Security::SelfSigned => None,
    });
    let mut add = |name: &str, paths: Vec<&Path>| {
        let digests: Vec<_> =
            paths.iter().filter_map(|path| sources.digest(path)).map(ToString::to_string).collect();
        if !digests.is_empty() {
            work.evidence(name, &digests.join(" "));
        }
    };
    add("config", settings.file.as_deref().into_iter().collect());
    add("htpasswd", plan.access.htpasswd.as_deref().into_iter().collect());
    add("certificates", certificates.collect());
    add("clientCA", plan.listeners.iter().filter_map(|listener| listener.client_ca.as_deref()).collect());
}

/// The sockets of a registry, and where they listen.
#[derive(Default)]
struct Bound {
    listeners: Vec<Listener>,
    addresses: Vec<At>,
    urls: Vec<String>,
}

impl Bound {
    fn add(&mut self, listen: &Listen, at: At, listener: Listener) {
        self.urls.push(listen.url(&at));
        self.addresses.push(at);
        self.listeners.push(listener);
    }
}

/// Binds the sockets, or takes those that systemd passes.
async fn bind(
    listeners: &[Listen],
    certificates: &[Option<Arc<CurrentCertificate>>],
    clients: &[Option<Arc<ClientAuthorities>>],
) -> anyhow::Result<Bound> {
    let mut all = Bound::default();
    for ((listen, certificate), clients) in listeners.iter().zip(certificates).zip(clients) {
        let failed = || format!("cannot listen on `{}`", listen.at);
        let secure = |current| tls::config(Arc::clone(current), clients.as_ref());
        let tls = certificate.as_ref().map(secure).transpose()?;
        match &listen.at {
            At::Address(address) => {
                let socket = TcpListener::bind(address).await.with_context(failed)?;
                all.add(
                    listen,
                    At::Address(socket.local_addr()?),
                    Listener::tcp(socket, tls).with_clients(clients.clone()),
                );
            }
            At::Unix(path) => {
                all.add(listen, listen.at.clone(), Listener::unix(path).with_context(failed)?);
            }
            At::Systemd(name) => {
                for socket in passed::take(name.as_deref()).with_context(failed)? {
                    let (at, listener) = of_systemd(socket, tls.clone()).with_context(failed)?;
                    all.add(listen, at, listener.with_clients(clients.clone()));
                }
            }
        }
    }
    Ok(all)
}

/// A listener of a passed socket, and where it listens. A Unix socket has no TLS.
fn of_systemd(
    socket: PassedSocket,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> std::io::Result<(At, Listener)> {
    match socket {
        PassedSocket::Tcp(socket) => {
            socket.set_nonblocking(true)?;
            let at = At::Address(socket.local_addr()?);
            Ok((at, Listener::tcp(TcpListener::from_std(socket)?, tls)))
        }
        PassedSocket::Unix(socket) => {
            let path = socket.local_addr()?.as_pathname().map(Path::to_owned);
            let at = At::Unix(path.unwrap_or_else(|| PathBuf::from("(unnamed)")));
            Ok((at, Listener::passed_unix(socket)?))
        }
    }
}

/// The host that clients connect to: no client can connect to 0.0.0.0, and certificates are issued for names.
fn client_host(at: &At, names: &[String]) -> Option<String> {
    let At::Address(address) = at else { return None };
    Some(host_of(*address, names))
}

fn host_of(address: SocketAddr, names: &[String]) -> String {
    match names.first() {
        Some(name) if address.ip().is_unspecified() => format!("{name}:{}", address.port()),
        None if address.ip().is_unspecified() => format!("localhost:{}", address.port()),
        _ => address.to_string(),
    }
}

/// Prints the registry's URLs, and how clients can trust its CA.
fn announce(plan: &Plan, urls: &[String], host: Option<&str>, printer: &Printer) -> anyhow::Result<()> {
    let self_signed = plan.listeners.iter().any(|listener| listener.security == Security::SelfSigned);
    let ca: Option<PathBuf> = self_signed.then(|| plan.authority_folder().join("ca.crt"));
    let url = &urls[0];
    let value = json!({ "url": url, "listeners": urls, "authority": ca, "health": format!("{url}/readyz") });
    printer.result(&value, |_| {
        let mut text: String = urls.iter().map(|url| format!("serving {url}\n")).collect();
        text += &format!("health  {url}/livez and {url}/readyz\n");
        if let (Some(path), Some(host)) = (&ca, host) {
            let path = quoted(&path.display().to_string());
            text += &format!(
                "CA {path}; for clients to trust it:\n  \
                 podman, skopeo: mkdir -p /etc/containers/certs.d/{host} && cp {path} /etc/containers/certs.d/{host}/ca.crt\n  \
                 docker:         mkdir -p /etc/docker/certs.d/{host} && cp {path} /etc/docker/certs.d/{host}/ca.crt\n  \
                 containerd:     ca = {path} in the host's section of hosts.toml\n"
            );
        }
        text
    })?;
    if plan.is_open_to_all() {
        printer.say("warning: everyone who can reach this registry can push and delete without a password");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_a_name_that_they_can_reach() {
        let any: SocketAddr = "0.0.0.0:5000".parse().unwrap();
        assert_eq!(host_of(any, &["registry.site".into()]), "registry.site:5000");
        assert_eq!(host_of(any, &[]), "localhost:5000");
        assert_eq!(host_of("10.1.2.3:1".parse().unwrap(), &["registry.site".into()]), "10.1.2.3:1");
    }
}
