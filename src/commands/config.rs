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

use std::path::Path;

use anyhow::Context as _;
use private::Readers;
use serde::Serialize;
use site::Site;

use crate::cli::{Client, Config};
use crate::failure::{Status, Usage};
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

pub(crate) fn run(settings: &Config, printer: &Printer) -> anyhow::Result<Status> {
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
        Client::Crio => containers::crio(site)?,
        Client::Podman => containers::podman(site)?,
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
    crate::commands::write(&path, file.content.as_bytes(), readers)
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
