//! k3s and RKE2: `registries.yaml`.

use serde_json::{Map, Value, json};

use super::NodeFile;
use super::site::Site;

/// `product`: the folder below `/etc/rancher`.
pub(super) fn files(site: &Site, product: &str) -> Vec<NodeFile> {
    let folder = format!("/etc/rancher/{product}");
    let ca = format!("{folder}/airlock-ca.crt");
    let mut mirrors = Map::new();
    for (host, namespace) in site.mirrors.iter().filter(|(host, _)| **host != site.registry.host) {
        let mut mirror = json!({ "endpoint": [site.registry.url()] });
        if let Some(namespace) = namespace {
            mirror["rewrite"] = json!({ "^(.*)$": format!("{namespace}/$1") });
        }
        mirrors.insert(host.to_string(), mirror);
    }
    // The registry under its own name: over plain HTTP, it is only found with this entry.
    mirrors.insert(site.registry.host.to_string(), json!({ "endpoint": [site.registry.url()] }));
    if site.closed_world {
        mirrors.insert("*".to_owned(), json!({ "endpoint": [site.registry.url()] }));
    }
    let mut access = Map::new();
    if let Some(credentials) = &site.credentials {
        access.insert(
            "auth".to_owned(),
            json!({ "username": credentials.user, "password": credentials.password }),
        );
    }
    if site.ca.is_some() {
        access.insert("tls".to_owned(), json!({ "ca_file": ca }));
    } else if site.skip_verify {
        access.insert("tls".to_owned(), json!({ "insecure_skip_verify": true }));
    }
    let mut registries = json!({ "mirrors": mirrors });
    if !access.is_empty() {
        registries["configs"] = json!({ site.registry.host.as_str(): Value::Object(access) });
    }
    let text = gostd::yaml::write(&registries);
    let mut files =
        vec![NodeFile::new(format!("{folder}/registries.yaml"), text).secret(site.credentials.is_some())];
    if let Some(text) = &site.ca {
        files.push(NodeFile::new(ca, text.as_str()));
    }
    if !site.fallback {
        let text = "disable-default-registry-endpoint: true\n";
        files.push(NodeFile::new(format!("{folder}/config.yaml.d/50-airlock.yaml"), text));
    }
    files
}
