//! `.Capabilities`: the versions of the cluster and its APIs, and the version of Helm that templates see.
//!
//! Source: `pkg/chart/common/capabilities.go` of Helm 4.3.

mod defaults;
mod scope;

use crate::error::Error;

/// The information about the cluster that templates have without a request to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The cluster's version.
    pub kube_version: KubeVersion,
    /// `group/version`, and also `group/version/Kind` if they come from a cluster.
    pub api_versions: Vec<String>,
    /// The version of Helm that templates see.
    pub helm_version: String,
}

/// A version of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeVersion {
    version: String,
    /// The version without a vendor suffix; empty if the version comes from a cluster.
    normalized: String,
    major: String,
    minor: String,
}

impl Default for Capabilities {
    /// The capabilities of Helm 4.3 without a cluster: those that its client library has for Kubernetes 1.37.
    fn default() -> Self {
        Self {
            kube_version: KubeVersion {
                version: "v1.37.0".to_owned(),
                normalized: "v1.37.0".to_owned(),
                major: "1".to_owned(),
                minor: "37".to_owned(),
            },
            api_versions: defaults::API_VERSIONS.iter().map(|&version| version.to_owned()).collect(),
            helm_version: "v4.3.0".to_owned(),
        }
    }
}

impl KubeVersion {
    /// Parses a version from a user, with or without `v`. Constraints see it without its suffix.
    ///
    /// # Errors
    /// It does not begin with at least two numbers.
    pub fn parse(version: &str) -> Result<Self, Error> {
        let invalid = || Error::KubeVersion { version: version.to_owned() };
        let trimmed = version.trim_start();
        let plain = trimmed.strip_prefix('v').unwrap_or(trimmed);
        let end = plain.find(|character: char| !character.is_ascii_digit() && character != '.');
        let numbers = plain.get(..end.unwrap_or(plain.len())).unwrap_or_default();
        let numbers: Vec<&str> = numbers.split('.').take_while(|part| !part.is_empty()).collect();
        let is_number = |part: &&str| part.len() < 20 && (part.len() == 1 || !part.starts_with('0'));
        let [major, minor, ..] = numbers.as_slice() else { return Err(invalid()) };
        if !numbers.iter().all(is_number) {
            return Err(invalid());
        }
        let prefix = if version.starts_with('v') { "" } else { "v" };
        Ok(Self {
            version: format!("{prefix}{version}"),
            normalized: format!("v{}", numbers.join(".")),
            major: (*major).to_owned(),
            minor: (*minor).to_owned(),
        })
    }

    /// The version from a cluster's `/version`. As in Helm, constraints then see the vendor suffix too.
    #[must_use]
    pub fn of_cluster(git_version: &str, major: &str, minor: &str) -> Self {
        Self {
            version: git_version.to_owned(),
            normalized: String::new(),
            major: major.to_owned(),
            minor: minor.to_owned(),
        }
    }

    /// The full version, as a cluster reports it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The second number, perhaps with a `+`.
    pub(crate) fn minor(&self) -> &str {
        &self.minor
    }

    /// The version that constraints are checked against.
    #[must_use]
    pub fn constrained(&self) -> &str {
        if self.normalized.is_empty() { &self.version } else { &self.normalized }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_version_is_normalised() {
        let version = KubeVersion::parse("1.33.4-gke.1245000").unwrap();
        assert_eq!(version.version(), "v1.33.4-gke.1245000");
        assert_eq!(version.constrained(), "v1.33.4");
        assert_eq!(KubeVersion::parse("v1.20").unwrap().constrained(), "v1.20");
        for wrong in ["", "v1", "x", "1.x", "01.2", "v1.02"] {
            assert!(matches!(KubeVersion::parse(wrong), Err(Error::KubeVersion { .. })), "{wrong}");
        }
    }

    #[test]
    fn the_version_of_a_cluster_is_not_normalised() {
        let version = KubeVersion::of_cluster("v1.33.4-eks-1", "1", "33+");
        assert_eq!(version.constrained(), "v1.33.4-eks-1");
    }
}
