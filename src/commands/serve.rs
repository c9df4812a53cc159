//! `airlock serve`.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use registry::server::{Auth, Htpasswd, Limits, ServerConfig, serve};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Serve;
use crate::commands::{read, tls};
use crate::failure::{Status, Usage};
use crate::printer::Printer;

pub(crate) async fn run(settings: Serve, printer: &Printer) -> anyhow::Result<Status> {
    let store = store::Store::open(&settings.store.store)?;
    let served = tls::config(&settings.tls, &settings.store.store)?;
    if served.is_none() && !settings.listen.ip().is_loopback() && !settings.allow_plain_http {
        let message =
            format!("`{}` can be reached by others, and plain HTTP protects nothing", settings.listen);
        let hint = "use --self-signed or --tls-cert and --tls-key, or say --allow-plain-http";
        return Err(Usage { message, hint }.into());
    }
    let auth = match &settings.htpasswd {
        Some(path) => {
            let users = Htpasswd::parse(&read(path)?).with_context(|| format!("`{}`", path.display()))?;
            Auth::Htpasswd { users, anonymous_pull: settings.anonymous_pull }
        }
        None if settings.anonymous_pull => {
            let message = "--anonymous-pull means nothing without a password file".to_owned();
            return Err(Usage { message, hint: "give --htpasswd FILE, or leave it out" }.into());
        }
        None => Auth::Anonymous,
    };
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on `{}`", settings.listen))?;
    let address = listener.local_addr()?;
    let scheme = if served.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}");
    announce(&url, served.as_ref().and_then(|served| served.authority.as_deref()), printer)?;
    write_address(settings.address_file.as_deref(), &url)?;
    let config = ServerConfig { store, auth, read_only: settings.read_only, limits: Limits::default() };
    serve(listener, served.map(|served| served.config), config, ended()).await?;
    printer.say("ended: every open request was answered");
    Ok(Status::Done)
}

/// Says where the registry is, and how clients come to trust it.
fn announce(url: &str, authority: Option<&Path>, printer: &Printer) -> anyhow::Result<()> {
    let value = json!({ "url": url, "authority": authority, "health": format!("{url}/readyz") });
    printer.result(&value, |_| {
        let mut text = format!("serving {url}\nhealth  {url}/livez and {url}/readyz\n");
        if let Some(path) = authority {
            let host = url.trim_start_matches("https://");
            let path = path.display();
            text += &format!(
                "authority {path}; clients trust it by:\n  \
                 podman, skopeo: mkdir -p /etc/containers/certs.d/{host} && cp {path} /etc/containers/certs.d/{host}/ca.crt\n  \
                 docker:         mkdir -p /etc/docker/certs.d/{host} && cp {path} /etc/docker/certs.d/{host}/ca.crt\n  \
                 containerd:     ca = \"{path}\" in the host's section of hosts.toml\n"
            );
        }
        text
    })
}

/// Tells scripts where the registry is; the file is complete when it is there.
pub(crate) fn write_address(path: Option<&Path>, url: &str) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, format!("{url}\n"))
        .and_then(|()| std::fs::rename(&temporary, path))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

/// Ready when the process is asked to end.
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
