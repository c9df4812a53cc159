//! Bottlerocket settings. Its containerd sends `?ns=` to a mirror, by which airlock finds the repository, so an
//! endpoint needs a path only if the namespace differs from the host's name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::site::Site;
use super::{NodeFile, toml};

pub(super) fn files(site: &Site) -> Vec<NodeFile> {
    let mut text = String::new();
    for (host, namespace) in site.mirrors.iter().filter(|(host, _)| **host != site.registry.host) {
        let path = match namespace {
            Some(namespace) if host.as_repository().is_ok_and(|own| own == *namespace) => String::new(),
            Some(namespace) => format!("/v2/{namespace}"),
            None => "/v2".to_owned(),
        };
        text += "[[settings.container-registry.mirrors]]\n";
        text += &format!("registry = {}\n", toml(host.as_str()));
        text += &format!("endpoint = [{}]\n\n", toml(&format!("{}{path}", site.registry.url())));
    }
    if site.closed_world {
        let endpoint = toml(&site.registry.url());
        text += &format!(
            "[[settings.container-registry.mirrors]]\nregistry = \"*\"\nendpoint = [{endpoint}]\n\n"
        );
    }
    if let Some(credentials) = &site.credentials {
        text += "[[settings.container-registry.credentials]]\n";
        text += &format!("registry = {}\n", toml(site.registry.host.as_str()));
        text += &format!("username = {}\n", toml(&credentials.user));
        text += &format!("password = {}\n\n", toml(&credentials.password));
    }
    if let Some(ca) = &site.ca {
        let data = STANDARD.encode(ca);
        text += &format!("[settings.pki.airlock]\ndata = \"{data}\"\ntrusted = true\n");
    }
    vec![NodeFile::new("user-data.toml", text).secret(site.credentials.is_some())]
}
