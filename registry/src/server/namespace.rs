//! The registry that a pull means. A client of a mirror sends its upstream registry as `ns`. Only content that was mirrored
//! from that registry may answer such a pull: a repository of this registry that only has the same name belongs to someone
//! else (dependency confusion).

use oci::{RegistryHost, RepositoryName};

use super::handle::RepositoryCandidate;
use super::route::Query;

/// Other names of Docker Hub, which in references is always `docker.io`.
const HUB_NAMES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

/// The meaning of a request's `ns`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Namespace {
    /// This registry: `ns` is absent, empty, or the name that the request was sent to.
    Own,
    /// Another registry, whether or not it is mirrored here.
    Upstream(RegistryHost),
    /// No registry: `ns` is malformed, or its values differ. Nothing answers such a pull.
    Invalid,
}

impl Namespace {
    /// Reads `ns`; `own` is the host that the request was sent to. A host name is the same in upper and lower case.
    pub(super) fn of(query: &Query, own: Option<&str>) -> Self {
        let mut names = query.values("ns");
        let name = names.next().unwrap_or_default().to_ascii_lowercase();
        if names.any(|other| !other.eq_ignore_ascii_case(&name)) {
            return Self::Invalid;
        }
        if name.is_empty() || own.is_some_and(|own| is_same_host(own, &name)) {
            return Self::Own;
        }
        // As in references, a name without a dot or port is not a registry, but the first segment of a repository.
        let is_host = name.contains(['.', ':']) || name == "localhost";
        let host = name.parse::<RegistryHost>().ok().filter(|_| is_host);
        host.and_then(upstream).map_or(Self::Invalid, Self::Upstream)
    }

    /// The repositories to search, the most likely one first.
    pub(super) fn candidates(&self, repository: &RepositoryName) -> Vec<RepositoryCandidate> {
        let host = match self {
            Self::Own => {
                return vec![RepositoryCandidate { repository: repository.clone(), namespace: None }];
            }
            Self::Upstream(host) => host,
            Self::Invalid => return Vec::new(),
        };
        // With the default port and without it, a name leads to the same registry.
        let mut names = vec![host.clone(), host.without_default_port()];
        names.dedup();
        let mut found = Vec::new();
        for prefix in names.iter().filter_map(|name| name.as_repository().ok()) {
            found.extend(repository.below(&prefix).ok());
            if let Some(library) = in_library(host, repository) {
                found.extend(library.below(&prefix).ok());
            }
            // A client of a mirror with a path in its URL requests the full name.
            if repository.as_str().strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/')) {
                found.push(repository.clone());
            }
        }
        let candidate = |repository| RepositoryCandidate { repository, namespace: Some(host.clone()) };
        found.into_iter().map(candidate).collect()
    }
}

/// The upstream registry that a host names: Docker Hub has several names.
fn upstream(host: RegistryHost) -> Option<RegistryHost> {
    let bare = host.without_default_port();
    let is_hub = bare.as_str() == RegistryHost::DOCKER_HUB || HUB_NAMES.contains(&bare.as_str());
    if is_hub { RegistryHost::DOCKER_HUB.parse().ok() } else { Some(host) }
}

/// The full name of one of Docker Hub's official images, which have no namespace in references.
pub(super) fn in_library(host: &RegistryHost, repository: &RepositoryName) -> Option<RepositoryName> {
    let is_short = host.as_str() == RegistryHost::DOCKER_HUB && !repository.as_str().contains('/');
    is_short.then(|| format!("library/{repository}").parse().ok()).flatten()
}

/// Whether two hosts are the same: clients may omit the default port.
fn is_same_host(one: &str, other: &str) -> bool {
    let bare = |host: &str| host.strip_suffix(":443").unwrap_or(host).to_ascii_lowercase();
    bare(one) == bare(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(query: &str) -> Namespace {
        Namespace::of(&Query::parse(Some(query)).unwrap(), Some("registry.site:5000"))
    }

    /// The repositories that are searched for a pull of `repository`.
    fn searched(query: &str, repository: &str) -> Vec<String> {
        let candidates = namespace(query).candidates(&repository.parse().unwrap());
        candidates.into_iter().map(|candidate| candidate.repository.to_string()).collect()
    }

    #[test]
    fn a_pull_for_another_registry_never_searches_the_repository_of_the_same_name() {
        for (query, expected) in [
            ("ns=quay.io", &["quay.io/team/app"][..]),
            ("ns=QUAY.io", &["quay.io/team/app"]),
            ("ns=quay.io&ns=Quay.IO", &["quay.io/team/app"]),
            ("ns=quay.io:443", &["quay.io-443/team/app", "quay.io/team/app"]),
            ("ns=quay.io:5000", &["quay.io-5000/team/app"]),
            ("ns=localhost", &["localhost/team/app"]),
            ("ns=registry.site", &["registry.site/team/app"]),
            ("ns=registry.site:5001", &["registry.site-5001/team/app"]),
        ] {
            assert_eq!(searched(query, "team/app"), expected, "{query}");
        }
    }

    #[test]
    fn a_malformed_or_contradictory_ns_searches_nothing() {
        for query in [
            "ns=quay",
            "ns=a/b",
            "ns=..%2F",
            "ns=%00",
            "ns=quay.io:",
            "ns=quay.io:0",
            "ns=quay.io.",
            "ns=%20quay.io",
            "ns=https://quay.io",
            "ns=quay.io&ns=registry.site:5000",
            "ns=registry.site:5000&ns=quay.io",
            "ns=&ns=quay.io",
            "ns=%D1%80.io",
        ] {
            assert_eq!(namespace(query), Namespace::Invalid, "{query}");
            assert!(searched(query, "team/app").is_empty(), "{query}");
        }
    }

    #[test]
    fn the_registrys_own_name_and_an_empty_ns_are_local_pulls() {
        for query in ["", "ns=", "ns", "ns=registry.site:5000", "ns=Registry.Site:5000"] {
            assert_eq!(searched(query, "team/app"), ["team/app"], "{query}");
        }
        let own = Namespace::of(&Query::parse(Some("ns=registry.site:443")).unwrap(), Some("registry.site"));
        assert_eq!(own, Namespace::Own);
    }

    #[test]
    fn all_names_of_docker_hub_are_one_registry() {
        for host in ["docker.io", "index.docker.io", "registry-1.docker.io", "Docker.IO:443"] {
            let query = format!("ns={host}");
            assert_eq!(searched(&query, "library/nginx"), ["docker.io/library/nginx"], "{host}");
            assert_eq!(searched(&query, "nginx"), ["docker.io/nginx", "docker.io/library/nginx"], "{host}");
        }
        assert_eq!(searched("ns=quay.io", "nginx"), ["quay.io/nginx"], "other registries have no library");
        assert_eq!(searched("ns=docker.io:5000", "nginx"), ["docker.io-5000/nginx"]);
    }

    #[test]
    fn a_mirror_with_a_path_in_its_url_is_asked_for_the_full_name() {
        assert_eq!(searched("ns=quay.io", "quay.io/app"), ["quay.io/quay.io/app", "quay.io/app"]);
        assert_eq!(searched("ns=quay.io", "quay.io.evil/app"), ["quay.io/quay.io.evil/app"]);
    }
}
