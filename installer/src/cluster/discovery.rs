//! The discovery of a cluster: its version, and the resource of each kind.
//!
//! Uses aggregated discovery (Kubernetes 1.26 and later), which needs only two requests.

use std::collections::BTreeMap;

use helm::{Capabilities, KubeVersion};
use http::Method;
use serde_json::Value;

use super::{ApiRequest, Cluster, JSON};
use crate::error::Error;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The discovery of a cluster.
pub(crate) struct Discovery {
    version: Value,
    kinds: BTreeMap<(String, String), Resource>,
    versions: Vec<String>,
}

/// The API resource of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    api_version: String,
    plural: String,
    namespaced: bool,
}

impl Resource {
    pub(crate) fn is_namespaced(&self) -> bool {
        self.namespaced
    }

    /// The URL path of an object; if the name is empty, of the collection.
    pub(crate) fn path(&self, namespace: &str, name: &str) -> String {
        let root = if self.api_version.contains('/') { "/apis/" } else { "/api/" };
        let mut path = format!("{root}{}", self.api_version);
        if self.namespaced && !namespace.is_empty() {
            path += &format!("/namespaces/{}", escape(namespace));
        }
        path += &format!("/{}", self.plural);
        if !name.is_empty() {
            path += &format!("/{}", escape(name));
        }
        path
    }
}

/// Escapes a path segment. Names of some kinds, such as roles, may contain colons and other characters.
fn escape(segment: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    let escaped = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    segment.bytes().map(escaped).collect()
}

impl Discovery {
    pub(super) async fn fetch(cluster: &Cluster) -> Result<Self, Error> {
        let groups = |path: &str| ApiRequest {
            action: "get the discovery of the cluster".to_owned(),
            method: Method::GET,
            path: path.to_owned(),
            content: JSON,
            accept: AGGREGATED,
            body: &[],
        };
        let version = ApiRequest::get("get the version of the cluster".to_owned(), "/version".to_owned());
        let version = cluster.request(&version).await?;
        let mut found = Self { version, kinds: BTreeMap::new(), versions: Vec::new() };
        for path in ["/api", "/apis"] {
            found.add(&cluster.request(&groups(path)).await?);
        }
        Ok(found)
    }

    /// Adds the groups of a response.
    fn add(&mut self, response: &Value) {
        for group in list(response, "items") {
            let name = text(group.get("metadata").unwrap_or(&Value::Null), "name");
            for version in list(group, "versions") {
                let number = text(version, "version");
                let api_version =
                    if name.is_empty() { number.to_owned() } else { format!("{name}/{number}") };
                self.versions.push(api_version.clone());
                for resource in list(version, "resources") {
                    self.add_kind(&api_version, resource);
                }
            }
        }
    }

    fn add_kind(&mut self, api_version: &str, resource: &Value) {
        let kind = resource.get("responseKind").map_or("", |kind| text(kind, "kind"));
        if kind.is_empty() {
            return;
        }
        let found = Resource {
            api_version: api_version.to_owned(),
            plural: text(resource, "resource").to_owned(),
            namespaced: text(resource, "scope") == "Namespaced",
        };
        self.versions.push(format!("{api_version}/{kind}"));
        self.kinds.entry((api_version.to_owned(), kind.to_owned())).or_insert(found);
    }

    pub(crate) fn resource(&self, api_version: &str, kind: &str) -> Option<Resource> {
        self.kinds.get(&(api_version.to_owned(), kind.to_owned())).cloned()
    }

    /// The capabilities for templates, including those of CRDs that are applied first.
    pub(crate) fn capabilities(&self, definitions: &[Value]) -> Capabilities {
        let mut api_versions = self.versions.clone();
        for definition in definitions {
            let spec = definition.get("spec").unwrap_or(&Value::Null);
            let kind = spec.get("names").map_or("", |names| text(names, "kind"));
            for version in
                list(spec, "versions").filter(|version| version.get("served") == Some(&Value::Bool(true)))
            {
                let api_version = format!("{}/{}", text(spec, "group"), text(version, "name"));
                for entry in [format!("{api_version}/{kind}"), api_version] {
                    if !api_versions.contains(&entry) {
                        api_versions.push(entry);
                    }
                }
            }
        }
        let of = |name| text(&self.version, name);
        let kube_version = KubeVersion::of_cluster(of("gitVersion"), of("major"), of("minor"));
        Capabilities { kube_version, api_versions, ..Capabilities::default() }
    }
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found() -> Discovery {
        let mut found = Discovery {
            version: json!({"gitVersion": "v1.36.3", "major": "1", "minor": "36"}),
            kinds: BTreeMap::new(),
            versions: Vec::new(),
        };
        found.add(&json!({"items": [{"versions": [{"version": "v1", "resources": [
            {"resource": "pods", "responseKind": {"kind": "Pod"}, "scope": "Namespaced"},
            {"resource": "namespaces", "responseKind": {"kind": "Namespace"}, "scope": "Cluster"}]}]}]}));
        found.add(&json!({"items": [{"metadata": {"name": "rbac.authorization.k8s.io"}, "versions": [
            {"version": "v1", "resources": [
                {"resource": "clusterroles", "responseKind": {"kind": "ClusterRole"}, "scope": "Cluster"}]}]}]}));
        found
    }

    #[test]
    fn paths_follow_from_the_discovery() {
        let path =
            |version, kind, namespace, name| found().resource(version, kind).unwrap().path(namespace, name);
        assert_eq!(path("v1", "Pod", "a", "b"), "/api/v1/namespaces/a/pods/b");
        assert_eq!(path("v1", "Namespace", "ignored", "b"), "/api/v1/namespaces/b");
        let role = path("rbac.authorization.k8s.io/v1", "ClusterRole", "", "system:a b");
        assert_eq!(role, "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a%20b");
        assert_eq!(found().resource("v1", "Nothing"), None);
    }

    #[test]
    fn capabilities_contain_versions_kinds_and_the_chart_s_own_crds() {
        let definition = json!({"spec": {"group": "x.io", "names": {"kind": "X"}, "versions": [
            {"name": "v1", "served": true}, {"name": "v0", "served": false}]}});
        let capabilities = found().capabilities(&[definition]);
        let expected = [
            "v1",
            "v1/Pod",
            "v1/Namespace",
            "rbac.authorization.k8s.io/v1",
            "rbac.authorization.k8s.io/v1/ClusterRole",
            "x.io/v1/X",
            "x.io/v1",
        ];
        assert_eq!(capabilities.api_versions, expected);
        assert_eq!(capabilities.kube_version.version(), "v1.36.3");
    }
}
