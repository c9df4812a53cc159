//! containerd and kind: one `hosts.toml` for each mirrored host, by which images keep their names.

use oci::{RegistryHost, RepositoryName};
use serde_json::json;

use super::site::Site;
use super::{NodeFile, toml};

/// Generations of containerd, whose plugins have other names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// Where containerd looks, as everywhere in the wild.
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

/// The folder of hosts, which on the node is [`CERTS`].
fn certs(site: &Site, folder: &str) -> Vec<NodeFile> {
    let own = &site.registry.host;
    let mut files = Vec::new();
    if let Some(authority) = &site.authority {
        files.push(NodeFile::new(format!("{folder}/{own}/ca.crt"), authority.as_str()));
    }
    let mirrors = site.mirrors.iter().filter(|(host, _)| *host != own);
    let mirrors = mirrors.map(|(host, namespace)| (host, namespace.as_ref()));
    if site.closed_world {
        // containerd names the registry that it wants by `?ns=`, which airlock's server understands.
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

/// With a way back to the internet, as EKS Anywhere writes it; else the registry is made the host's own server.
pub(super) fn hosts(site: &Site, host: &RegistryHost, namespace: Option<&RepositoryName>) -> String {
    let path = namespace.map(|namespace| format!("/{namespace}")).unwrap_or_default();
    let place = format!("{}/v2{path}", site.registry.url());
    let scheme = if site.registry.plain && *host == site.registry.host { "http" } else { "https" };
    let (mut text, indent) = if site.fallback {
        let server = format!("{scheme}://{}", host.endpoint());
        (format!("server = {}\n\n[host.{}]\n", toml(&server), toml(&place)), "  ")
    } else {
        (format!("server = {}\n", toml(&place)), "")
    };
    text += &format!("{indent}capabilities = [\"pull\", \"resolve\"]\n{indent}override_path = true\n");
    if site.authority.is_some() {
        let file = format!("{CERTS}/{}/ca.crt", site.registry.host);
        text += &format!("{indent}ca = {}\n", toml(&file));
    }
    if site.skip_verify {
        text += &format!("{indent}skip_verify = true\n");
    }
    if let Some(credentials) = &site.credentials {
        let table = if site.fallback {
            format!("  [host.{}.header]\n", toml(&place))
        } else {
            "[header]\n".to_owned()
        };
        text += &format!("{table}{indent}  authorization = \"Basic {}\"\n", credentials.basic());
    }
    text
}
