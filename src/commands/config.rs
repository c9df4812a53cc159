//! `airlock config`: configuration that lets nodes pull from airlock's registry by original image names.
//!
//! [`Site`] is the single source of truth; each kind of client has its own file format. By default, no client falls back
//! to the internet: an image that the registry does not have is an immediate error, not a time-out.
//!
//! - `site`: the registry, the mirrored hosts, the CA and the credentials, from the arguments
//! - `containerd`, `containers`, `bottlerocket`, `rancher`, `eksa`: the files

mod bottlerocket;
mod containerd;
mod containers;
mod eksa;
mod rancher;
mod site;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use private::Readers;
use serde::Serialize;
use site::Site;

use crate::env;
use crate::failure::{Status, Usage};
use crate::files::check_folder;
use crate::printer::Printer;

/// A file for a node.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct NodeFile {
    /// The path on the node.
    path: String,
    content: String,
    /// Whether only its owner may read it.
    secret: bool,
}

impl NodeFile {
    fn new(path: impl Into<String>, content: impl Into<String>) -> Self {
        Self { path: path.into(), content: content.into(), secret: false }
    }

    fn secret(mut self, secret: bool) -> Self {
        self.secret = secret;
        self
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: airlock config containerd --registry https://registry.site:5000 --ca-file store/tls/ca.crt --store store"
)]
pub(crate) struct Config {
    /// The kind of configuration.
    #[arg(value_enum)]
    pub(crate) client: Client,
    /// The registry that airlock serves: `https://HOST:PORT`.
    #[arg(long, env = env::REGISTRY, value_name = "URL")]
    pub(crate) registry: String,
    /// An upstream registry whose images airlock serves, and the namespace that they are served under. Default namespace:
    /// the name of the upstream registry; `HOST=` for none. Can be repeated.
    #[arg(long, value_name = "HOST[=NAMESPACE]")]
    pub(crate) mirror: Vec<String>,
    /// Add every registry from which this store has images or charts.
    #[arg(long, env = env::STORE, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Add every registry whose images or charts this lock file lists.
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// The CA of the registry's certificate, PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Do not verify the registry's certificate.
    #[arg(long, conflicts_with = "ca_file")]
    pub(crate) insecure_skip_verify: bool,
    /// A file whose first line is `USER:PASSWORD`.
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,
    /// Let nodes fall back to the internet for images that the registry does not have.
    #[arg(long)]
    pub(crate) fallback: bool,
    /// Send pulls from every other registry to this one, too, so that nodes pull no image from the internet. For
    /// containerd, kind, k3s, RKE2 and Bottlerocket.
    #[arg(long, conflicts_with = "fallback")]
    pub(crate) closed_world: bool,
    /// Write the files below this folder instead of printing them.
    #[arg(long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// containerd 2.
    Containerd,
    /// containerd 1.
    #[value(name = "containerd-v1")]
    ContainerdV1,
    /// CRI-O.
    Crio,
    /// podman, skopeo and buildah.
    Podman,
    /// Bottlerocket.
    Bottlerocket,
    /// kind.
    Kind,
    /// k3s.
    K3s,
    /// RKE2.
    Rke2,
    /// `registryMirrorConfiguration` of EKS Anywhere.
    EksA,
}

pub(crate) fn run(settings: &Config, printer: &Printer) -> anyhow::Result<Status> {
    if let Some(folder) = &settings.output_dir {
        check_folder(folder)?;
    }
    let site = Site::read(settings, printer)?;
    let files = files(settings.client, &site)?;
    if !site.closed_world {
        printer.say("note: nodes still ask the internet for images of registries that are not listed; add --closed-world to prevent that");
    }
    match &settings.output_dir {
        Some(folder) => {
            for file in &files {
                write(folder, file)?;
            }
            printer.result(&files, |files| listed(folder, files))?;
        }
        None => printer.result(&files, |files| printed(files))?,
    }
    printer.say(&format!("note: {}", advice(settings.client, &site)));
    Ok(Status::Done)
}

fn files(client: Client, site: &Site) -> anyhow::Result<Vec<NodeFile>> {
    if site.closed_world && matches!(client, Client::Crio | Client::Podman | Client::EksA) {
        let message = "this client's configuration has no rule for all registries".to_owned();
        let hint =
            "omit --closed-world, list the registries with --mirror, and block the others in the network";
        return Err(Usage { message, hint }.into());
    }
    Ok(match client {
        Client::Containerd => containerd::files(site, containerd::Version::Two),
        Client::ContainerdV1 => containerd::files(site, containerd::Version::One),
        Client::Kind => containerd::kind(site),
        Client::Crio => containers::crio(site),
        Client::Podman => containers::podman(site),
        Client::Bottlerocket => bottlerocket::files(site),
        Client::K3s => rancher::files(site, "k3s"),
        Client::Rke2 => rancher::files(site, "rke2"),
        Client::EksA => eksa::files(site)?,
    })
}

/// What the user has to do besides installing the files.
fn advice(client: Client, site: &Site) -> &'static str {
    match client {
        Client::Containerd => {
            "containerd reads conf.d if config.toml has: imports = [\"/etc/containerd/conf.d/*.toml\"]; restart \
             containerd for that line, not for hosts.toml"
        }
        Client::ContainerdV1 => {
            "containerd 1 reads conf.d only if config.toml has: imports = [\"/etc/containerd/conf.d/*.toml\"]; restart \
             containerd for that line, not for hosts.toml"
        }
        Client::Kind => "run `kind create cluster --config kind.yaml` in the folder of kind.yaml and certs.d",
        Client::Crio => "restart CRI-O",
        Client::Podman => "it takes effect with the next command",
        Client::Bottlerocket => "pass it as user data, or to `apiclient apply`",
        Client::K3s | Client::Rke2 => "restart the service on each node",
        Client::EksA if site.credentials.is_some() => {
            "merge it into the Cluster; set REGISTRY_USERNAME and REGISTRY_PASSWORD for eksctl anywhere"
        }
        Client::EksA => "merge it into the Cluster",
    }
}

/// All files, each after its name.
fn printed(files: &[NodeFile]) -> String {
    files.iter().map(|file| format!("# ==> {}\n{}\n", file.path, file.content)).collect()
}

fn listed(folder: &Path, files: &[NodeFile]) -> String {
    files.iter().map(|file| format!("{}\n", below(folder, file).display())).collect()
}

fn below(folder: &Path, file: &NodeFile) -> std::path::PathBuf {
    folder.join(file.path.trim_start_matches('/'))
}

fn write(folder: &Path, file: &NodeFile) -> anyhow::Result<()> {
    let path = below(folder, file);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    let readers = if file.secret { Readers::Owner } else { Readers::All };
    crate::files::write(&path, file.content.as_bytes(), readers)
}

/// A TOML basic string.
fn toml(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
