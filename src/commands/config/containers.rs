//! CRI-O, podman, skopeo and buildah: `registries.conf` of containers/image.

use super::site::Site;
use super::{NodeFile, toml};
use crate::commands::credentials::Credentials;

pub(super) fn crio(site: &Site) -> Vec<NodeFile> {
    let mut files = shared(site);
    if let Some(credentials) = &site.credentials {
        let path = "/etc/crio/airlock-auth.json";
        let text = format!("[crio.image]\nglobal_auth_file = \"{path}\"\n");
        files.push(NodeFile::new("/etc/crio/crio.conf.d/50-airlock.conf", text));
        files.push(auth_file(path, credentials, site));
    }
    files
}

pub(super) fn podman(site: &Site) -> Vec<NodeFile> {
    let mut files = shared(site);
    if let Some(credentials) = &site.credentials {
        let path = "/root/.config/containers/auth.json";
        files.push(auth_file(path, credentials, site));
    }
    files
}

fn auth_file(path: &str, credentials: &Credentials, site: &Site) -> NodeFile {
    let text = format!("{:#}\n", credentials.auth_file(&site.registry.host));
    NodeFile::new(path, text).secret(true)
}

fn shared(site: &Site) -> Vec<NodeFile> {
    let mut files =
        vec![NodeFile::new("/etc/containers/registries.conf.d/50-airlock.conf", registries(site))];
    if let Some(ca) = &site.ca {
        let path = format!("/etc/containers/certs.d/{}/ca.crt", site.registry.host);
        files.push(NodeFile::new(path, ca.as_str()));
    }
    files
}

/// A location replaces the prefix, without fallback; a mirror is tried before the registry itself.
fn registries(site: &Site) -> String {
    let insecure = if site.registry.plain || site.skip_verify { "insecure = true\n" } else { "" };
    let mut text = String::new();
    for (host, namespace) in site.mirrors.iter().filter(|(host, _)| **host != site.registry.host) {
        let (host, location) = (toml(host.as_str()), toml(&site.location(namespace.as_ref())));
        text += &format!("[[registry]]\nprefix = {host}\n");
        text += &if site.fallback {
            format!("location = {host}\n\n[[registry.mirror]]\nlocation = {location}\n{insecure}\n")
        } else {
            format!("location = {location}\n{insecure}\n")
        };
    }
    if !insecure.is_empty() {
        text += &format!("[[registry]]\nlocation = {}\n{insecure}", toml(site.registry.host.as_str()));
    }
    text
}
