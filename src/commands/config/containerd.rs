//! containerd and kind: one `hosts.toml` for each mirrored host, so that images keep their names.

use oci::{RegistryHost, RepositoryName};
use serde_json::json;

use super::site::Site;
use super::{NodeFile, toml};

/// Major versions of containerd, whose plugins have different names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// The folder that containerd reads by convention.
const CERTS: &str = "/etc/containerd/certs.d";

pub(super) fn files(site: &Site, version: Version) -> Vec<NodeFile> {
    let (number, plugin) = match version {
        Version::One => (2, "io.containerd.grpc.v1.cri"),
        Version::Two => (3, "io.containerd.cri.v1.images"),
    };
    let text =
        format!("version = {number}\n\n[plugins.\"{plugin}\".registry]\n  config_path = \"{CERTS}\"\n");
    let mut files = vec![NodeFile::new("/etc/containerd/conf.d/airlock.toml", text)];
    files.extend(certs(site, CERTS));
    files
}

pub(super) fn kind(site: &Site) -> Vec<NodeFile> {
    let patch = format!("[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"{CERTS}\"\n");
    let mount = json!({ "hostPath": "certs.d", "containerPath": CERTS, "readOnly": true });
    let cluster = json!({
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "containerdConfigPatches": [patch],
        "nodes": [{ "role": "control-plane", "extraMounts": [mount] }],
    });
    let mut files = vec![NodeFile::new("kind.yaml", gostd::yaml::write(&cluster))];
    files.extend(certs(site, "certs.d"));
    files
}

/// The folder of hosts, which is [`CERTS`] on the node.
fn certs(site: &Site, folder: &str) -> Vec<NodeFile> {
    let own = &site.registry.host;
    let mut files = Vec::new();
    if let Some(ca) = &site.ca {
        files.push(NodeFile::new(format!("{folder}/{own}/ca.crt"), ca.as_str()));
    }
    let mirrors = site.mirrors.iter().filter(|(host, _)| *host != own);
    let mirrors = mirrors.map(|(host, namespace)| (host, namespace.as_ref()));
    if site.closed_world {
        // containerd passes the original registry in `?ns=`, which airlock's server understands.
        let everything = hosts(site, own, None);
        files.push(
            NodeFile::new(format!("{folder}/_default/hosts.toml"), everything)
                .secret(site.credentials.is_some()),
        );
    }
    for (host, namespace) in std::iter::once((own, None)).chain(mirrors) {
        let file = NodeFile::new(format!("{folder}/{host}/hosts.toml"), hosts(site, host, namespace));
        files.push(file.secret(site.credentials.is_some()));
    }
    files
}

/// With fallback to the internet, as EKS Anywhere writes it; otherwise the registry replaces the host's server.
pub(super) fn hosts(site: &Site, host: &RegistryHost, namespace: Option<&RepositoryName>) -> String {
    let path = namespace.map(|namespace| format!("/{namespace}")).unwrap_or_default();
    let url = format!("{}/v2{path}", site.registry.url());
    let scheme = if site.registry.plain && *host == site.registry.host { "http" } else { "https" };
    let (mut text, indent) = if site.fallback {
        let server = format!("{scheme}://{}", host.endpoint());
        (format!("server = {}\n\n[host.{}]\n", toml(&server), toml(&url)), "  ")
    } else {
        (format!("server = {}\n", toml(&url)), "")
    };
    text += &format!("{indent}capabilities = [\"pull\", \"resolve\"]\n{indent}override_path = true\n");
    if site.ca.is_some() {
        let file = format!("{CERTS}/{}/ca.crt", site.registry.host);
        text += &format!("{indent}ca = {}\n", toml(&file));
    }
    if site.skip_verify {
        text += &format!("{indent}skip_verify = true\n");
    }
    if let Some(credentials) = &site.credentials {
        let table =
            if site.fallback { format!("  [host.{}.header]\n", toml(&url)) } else { "[header]\n".to_owned() };
        text += &format!("{table}{indent}  authorization = \"Basic {}\"\n", credentials.basic());
    }
    text
}
