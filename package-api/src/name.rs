//! Bundle names, and the namespaces that determine the cluster of a package.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::Error;

/// The namespace of the controller, the bundles and the `PackageBundleController` objects.
pub const PACKAGES_NAMESPACE: &str = "eksa-packages";
/// The namespace of the Secrets with the kubeconfigs of other clusters.
pub const SYSTEM_NAMESPACE: &str = "eksa-system";
/// The annotation with which EKS Anywhere marks packages that its own programs create.
pub const INTERNAL: &str = "anywhere.eks.aws.com/internal";

/// The name of a bundle. Ordered by Kubernetes version, then by age: numbered bundles are older than dated ones.
///
/// EKS Anywhere's own parser stops after the third number, which is the year in a dated name, and its comparison is not
/// an order. So this type distinguishes two bundles of the same year, and EKS Anywhere does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleName {
    text: String,
    major: u64,
    minor: u64,
    release: Release,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Release {
    Numbered(u64),
    /// Year, month, day and Unix time.
    Dated([u64; 4]),
}

impl BundleName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The Kubernetes version, as `1-35`.
    #[must_use]
    pub fn kubernetes(&self) -> String {
        format!("{}-{}", self.major, self.minor)
    }

    /// The tag under which the newest bundle for a Kubernetes version is published.
    #[must_use]
    pub fn latest_tag(major: u64, minor: u64) -> String {
        format!("v{major}-{minor}-latest")
    }

    /// Whether the bundle is for the Kubernetes version that an API server reports. Some report `27+`.
    #[must_use]
    pub fn is_for(&self, major: &str, minor: &str) -> bool {
        let same = |number: u64, reported: &str| reported.trim_end_matches('+').parse() == Ok(number);
        same(self.major, major) && same(self.minor, minor)
    }

    /// Whether the bundle replaces the other one: it is for the same Kubernetes version, and newer.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        (self.major, self.minor) == (other.major, other.minor) && self.release > other.release
    }
}

impl FromStr for BundleName {
    type Err = Error;

    /// # Errors
    /// [`Error::BundleName`].
    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = || Error::BundleName(text.to_owned());
        let mut pieces = text.strip_prefix('v').unwrap_or(text).split('-');
        let mut next = || pieces.next().and_then(number).ok_or_else(refused);
        let (major, minor, build) = (next()?, next()?, next()?);
        // EKS Anywhere ignores what follows, so it need not be numbers.
        let rest: Vec<_> = pieces.map(number).collect();
        let release = match rest.as_slice() {
            [Some(month), Some(day), Some(second)] => Release::Dated([build, *month, *day, *second]),
            _ => Release::Numbered(build),
        };
        Ok(Self { text: text.to_owned(), major, minor, release })
    }
}

fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

impl Ord for BundleName {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |name: &Self| (name.major, name.minor);
        (key(self), &self.release, &self.text).cmp(&(key(other), &other.release, &other.text))
    }
}

impl PartialOrd for BundleName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for BundleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The namespace for the packages of a cluster.
#[must_use]
pub fn cluster_namespace(cluster: &str) -> String {
    format!("{PACKAGES_NAMESPACE}-{cluster}")
}

/// The cluster that the packages of a namespace are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cluster {
    /// The management cluster: the namespace without a suffix, which is deprecated.
    Unnamed,
    /// The cluster with this name.
    Named(String),
}

impl Cluster {
    /// The cluster of a namespace; `None` if packages have no effect there.
    #[must_use]
    pub fn of(namespace: &str) -> Option<Self> {
        match namespace.strip_prefix(PACKAGES_NAMESPACE)? {
            "" => Some(Self::Unnamed),
            rest => {
                rest.strip_prefix('-').filter(|name| !name.is_empty()).map(|name| Self::Named(name.into()))
            }
        }
    }

    /// The name of the cluster. `management` is the name of the management cluster.
    #[must_use]
    pub fn name<'a>(&'a self, management: &'a str) -> &'a str {
        match self {
            Self::Unnamed => management,
            Self::Named(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> BundleName {
        text.parse().unwrap()
    }

    #[test]
    fn bundles_are_ordered_by_kubernetes_version_and_then_by_age() {
        let order = [
            "v1-9-500",
            "v1-21-88",
            "v1-21-1001",
            "v1-24-116",
            "v1-24-1191",
            "v1-24-2024-07-01-1719800000",
            "v1-24-2024-07-01-1719800001",
            "v1-24-2024-11-01-1719700000",
            "v1-24-2026-03-12-1773300000",
            "v1-35-1",
        ];
        for pair in order.windows(2) {
            assert!(name(pair[0]) < name(pair[1]), "{pair:?}");
            assert_eq!(name(pair[1]).supersedes(&name(pair[0])), pair[0][..5] == pair[1][..5], "{pair:?}");
            assert!(!name(pair[0]).supersedes(&name(pair[1])), "{pair:?}");
        }
    }

    #[test]
    fn names_that_upstream_accepts_are_accepted() {
        for text in ["1-21-5", "v1-21-5-dev", "v1-35-2026-03-12-1773300000", "v1-21-5-"] {
            assert_eq!(name(text).as_str(), text);
        }
        for text in ["", "v", "v1-21", "1-21", "vv1-2-3", "v1-21-x", "v1--3", "v1-21-+5", "V1-2-3", "latest"]
        {
            assert_eq!(text.parse::<BundleName>(), Err(Error::BundleName(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_vendor_s_plus_does_not_hide_the_kubernetes_version() {
        assert!(name("v1-27-125").is_for("1", "27") && name("v1-27-125").is_for("1", "27+"));
        assert!(!name("v1-27-125").is_for("1", "28") && !name("v1-27-125").is_for("1", ""));
        assert_eq!(name("v1-27-125").kubernetes(), "1-27");
        assert_eq!(BundleName::latest_tag(1, 35), "v1-35-latest");
    }

    #[test]
    fn the_namespace_determines_the_cluster() {
        assert_eq!(Cluster::of("eksa-packages"), Some(Cluster::Unnamed));
        assert_eq!(Cluster::of("eksa-packages-billy"), Some(Cluster::Named("billy".to_owned())));
        for other in ["default", "eksa-packages-", "eksa-packagesbilly", "my-eksa-packages"] {
            assert_eq!(Cluster::of(other), None, "{other}");
        }
        assert_eq!(Cluster::Unnamed.name("mgmt"), "mgmt");
        assert_eq!(cluster_namespace("billy"), "eksa-packages-billy");
    }

    proptest! {
        #[test]
        fn the_order_is_total_and_no_text_makes_the_parser_panic(texts in prop::array::uniform3("v?[0-9]{1,2}-[0-9]{1,2}-[0-9]{1,4}(-[0-9]{2}-[0-9]{2}-[0-9]{4})?"), any in ".{0,40}") {
            let _ = any.parse::<BundleName>();
            let [a, b, c] = texts.map(|text| name(&text));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
            prop_assert_eq!(a.cmp(&b) == Ordering::Equal, a == b);
        }
    }
}
