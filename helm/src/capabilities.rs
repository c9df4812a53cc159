//! `.Capabilities`: what the cluster can do, and which Helm this would be.
//!
//! Source: `pkg/chart/common/capabilities.go` of Helm 4.3.

mod defaults;
mod scope;

use crate::error::Error;

/// What templates may learn of the cluster without asking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The cluster's version.
    pub kube_version: KubeVersion,
    /// `group/version`, and `group/version/Kind` if the cluster was asked.
    pub api_versions: Vec<String>,
    /// The version of Helm that templates are told.
    pub helm_version: String,
}

/// A version of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeVersion {
    version: String,
    /// Without what a vendor adds; empty if the cluster told its version.
    normalized: String,
    major: String,
    minor: String,
}

impl Default for Capabilities {
    /// Those of Helm 4.3 without a cluster: what its client library knows of Kubernetes 1.37.
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
    /// A version as a user gives it, with or without `v`; a constraint sees it without suffix.
    ///
    /// # Errors
    /// It does not begin with at least two numbers.
    pub fn parse(version: &str) -> Result<Self, Error> {
        let fault = || Error::KubeVersion { version: version.to_owned() };
        let trimmed = version.trim_start();
        let plain = trimmed.strip_prefix('v').unwrap_or(trimmed);
        let end = plain.find(|character: char| !character.is_ascii_digit() && character != '.');
        let numbers = plain.get(..end.unwrap_or(plain.len())).unwrap_or_default();
        let numbers: Vec<&str> = numbers.split('.').take_while(|part| !part.is_empty()).collect();
        let is_number = |part: &&str| part.len() < 20 && (part.len() == 1 || !part.starts_with('0'));
        let [major, minor, ..] = numbers.as_slice() else { return Err(fault()) };
        if !numbers.iter().all(is_number) {
            return Err(fault());
        }
        let prefix = if version.starts_with('v') { "" } else { "v" };
        Ok(Self {
            version: format!("{prefix}{version}"),
            normalized: format!("v{}", numbers.join(".")),
            major: (*major).to_owned(),
            minor: (*minor).to_owned(),
        })
    }

    /// What a cluster's `/version` says. As in Helm, a constraint then sees the vendor's suffix too.
    #[must_use]
    pub fn of_cluster(git_version: &str, major: &str, minor: &str) -> Self {
        Self {
            version: git_version.to_owned(),
            normalized: String::new(),
            major: major.to_owned(),
            minor: minor.to_owned(),
        }
    }

    /// The full version, as a cluster has it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The second number, perhaps with a `+`.
    pub(crate) fn minor(&self) -> &str {
        &self.minor
    }

    /// What constraints are checked against.
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
    fn a_clusters_version_stays_as_it_is() {
        let version = KubeVersion::of_cluster("v1.33.4-eks-1", "1", "33+");
        assert_eq!(version.constrained(), "v1.33.4-eks-1");
    }
}
