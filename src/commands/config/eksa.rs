//! `registryMirrorConfiguration` of EKS Anywhere's Cluster, within the rules of its own validation.

use serde_json::{Map, Value, json};

use super::NodeFile;
use super::site::Site;
use crate::failure::Usage;

/// The registry of EKS Anywhere itself. If any namespace is given, it must be listed.
const PUBLIC: &str = "public.ecr.aws";
/// The account of curated packages, in any region.
const PACKAGES: (&str, &str) = ("783794618700.dkr.ecr.", ".amazonaws.com");

pub(super) fn files(site: &Site) -> anyhow::Result<Vec<NodeFile>> {
    let usage = |message: &str, hint| Usage { message: message.to_owned(), hint };
    if site.registry.plain {
        let message = "EKS Anywhere uses a registry mirror over HTTPS only";
        return Err(usage(message, "serve with --self-signed or --tls-cert").into());
    }
    let mirrors = || site.mirrors.iter().filter(|(host, _)| **host != site.registry.host);
    if !mirrors().any(|(host, _)| host.as_str() == PUBLIC) {
        let message = "EKS Anywhere requires `public.ecr.aws` among the mirrored registries";
        return Err(usage(message, "mirror its images, and add --mirror public.ecr.aws").into());
    }
    let is_packages = |host: &str| host.starts_with(PACKAGES.0) && host.ends_with(PACKAGES.1);
    if mirrors().filter(|(host, _)| is_packages(host.as_str())).count() > 1 {
        let message = "EKS Anywhere accepts one registry of curated packages, and several are given";
        return Err(
            usage(message, "list the registries in use with --mirror, without --store and --lock").into()
        );
    }
    let namespace = |(host, namespace): (&oci::RegistryHost, &Option<oci::RepositoryName>)| {
        let namespace = namespace.as_ref().map(ToString::to_string).unwrap_or_default();
        json!({ "registry": host.as_str(), "namespace": namespace })
    };
    let (endpoint, port) = site.registry.parts();
    let mut mirror = Map::new();
    mirror.insert("endpoint".to_owned(), json!(endpoint));
    mirror.insert("port".to_owned(), json!(port.unwrap_or_else(|| "443".to_owned())));
    mirror.insert("ociNamespaces".to_owned(), mirrors().map(namespace).collect());
    if let Some(ca) = &site.ca {
        mirror.insert("caCertContent".to_owned(), json!(ca));
    }
    if site.skip_verify {
        mirror.insert("insecureSkipVerify".to_owned(), json!(true));
    }
    if site.credentials.is_some() {
        mirror.insert("authenticate".to_owned(), json!(true));
    }
    let cluster = json!({ "spec": { "registryMirrorConfiguration": Value::Object(mirror) } });
    Ok(vec![NodeFile::new("cluster-patch.yaml", gostd::yaml::write(&cluster))])
}
