//! The privileges that an administrator allows packages beyond their charts' defaults: an annotation of the cluster's
//! `PackageBundleController`, which users who can only create packages cannot write. It is an annotation because EKS
//! Anywhere's own CRDs drop unknown fields.

use std::collections::BTreeSet;

use package_api::PackageBundleController;
use package_api::name::PACKAGES_NAMESPACE;

/// The annotation of a `PackageBundleController`: entries `PACKAGE:PRIVILEGE`, separated by commas or spaces. `PACKAGE` is
/// the name of a package in the bundle, or `*` for all packages.
pub const ALLOW: &str = "airlock.dev/allow";

/// The entry that allows a package to take over objects that do not belong to its release.
pub(super) const OWNERSHIP: &str = "ownership";

/// Entries without a name.
const PLAIN: [&str; 4] = ["host", OWNERSHIP, "owner", "permissions"];
/// Entries with a name.
const NAMED: [&str; 8] =
    ["namespace", "serviceaccount", "subject", "role", "webhook", "label", "finalizer", "image"];

/// The privileges that an administrator allows a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    package: String,
    /// The name of the `PackageBundleController`, which is the name of the cluster.
    cluster: String,
    /// The value of the annotation.
    all: String,
    entries: BTreeSet<String>,
}

impl Allowed {
    /// Parses the annotation.
    ///
    /// # Errors
    /// If an entry is invalid, so that a typo is not silently ignored.
    pub(super) fn of(settings: Option<&PackageBundleController>, package: &str) -> Result<Self, String> {
        let all = settings.and_then(|settings| settings.annotation(ALLOW)).unwrap_or_default();
        let cluster = settings.map(PackageBundleController::name).unwrap_or_default();
        let mut entries = BTreeSet::new();
        for entry in all.split(|separator: char| separator == ',' || separator.is_whitespace()) {
            let entry = entry.trim();
            if entry.is_empty() {
                continue;
            }
            let parsed = entry.split_once(':').filter(|(_, privilege)| is_valid(privilege));
            let (of, privilege) = parsed.ok_or_else(|| {
                format!(
                    "the annotation {ALLOW} of the PackageBundleController `{cluster}` has the invalid entry `{entry}`; use \
                     PACKAGE:namespace/NAME, PACKAGE:serviceaccount/NAME, PACKAGE:subject/KIND/NAME, \
                     PACKAGE:role/KIND/NAME, PACKAGE:webhook/WHAT, PACKAGE:label/KEY, PACKAGE:finalizer/NAME, \
                     PACKAGE:image/REFERENCE, or one of {} after PACKAGE:",
                    PLAIN.join(", ")
                )
            })?;
            if of == "*" || of.eq_ignore_ascii_case(package) {
                entries.insert(privilege.to_owned());
            }
        }
        Ok(Self {
            package: package.to_owned(),
            cluster: cluster.to_owned(),
            all: all.trim().to_owned(),
            entries,
        })
    }

    /// Whether a privilege is allowed.
    pub(super) fn has(&self, privilege: &str) -> bool {
        self.entries.contains(privilege)
    }

    /// Whether the package may have objects in another namespace than its own.
    pub(super) fn has_namespace(&self, namespace: &str) -> bool {
        self.has(&format!("namespace/{namespace}"))
    }

    /// How an administrator can allow a privilege.
    pub(super) fn how(&self, privilege: &str) -> String {
        let before = if self.all.is_empty() { String::new() } else { format!("{},", self.all) };
        format!(
            "an administrator can allow it with `kubectl annotate pbc -n {PACKAGES_NAMESPACE} {} --overwrite \
             {ALLOW}='{before}{}:{privilege}'`",
            self.cluster, self.package
        )
    }
}

fn is_valid(privilege: &str) -> bool {
    let named = privilege.split_once('/').filter(|(kind, _)| NAMED.contains(kind));
    PLAIN.contains(&privilege) || named.is_some_and(|(_, name)| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use package_api::PackageBundleControllerSpec;

    use super::*;

    fn read(text: &str, package: &str) -> Result<Allowed, String> {
        let mut settings = PackageBundleController::new("mgmt", PackageBundleControllerSpec::default());
        settings.metadata.annotations = Some([(ALLOW.to_owned(), text.to_owned())].into());
        Allowed::of(Some(&settings), package)
    }

    #[test]
    fn a2d_an_entry_applies_only_to_its_package() {
        let text = "cert-manager:namespace/kube-system, *:host\n metallb:serviceaccount/speaker";
        let allowed = read(text, "cert-manager").unwrap();
        assert!(allowed.has_namespace("kube-system") && allowed.has("host"));
        assert!(!allowed.has("serviceaccount/speaker") && !allowed.has_namespace("kube-public"));
        assert!(!read(text, "metallb").unwrap().has_namespace("kube-system"));
        assert!(!Allowed::of(None, "metallb").unwrap().has("host"));
    }

    #[test]
    fn a2d_an_invalid_entry_is_rejected() {
        for text in ["kube-system", "a:kube-system", "a:namespace/", "a:*"] {
            let error = read(text, "a").unwrap_err();
            assert!(error.contains(text) && error.contains("PACKAGE:namespace/NAME"), "{error}");
        }
    }

    #[test]
    fn a2d_the_command_that_allows_a_privilege_keeps_those_that_are_allowed() {
        let how = read("a:host", "b").unwrap().how("namespace/x");
        assert!(
            how.contains("pbc -n eksa-packages mgmt --overwrite airlock.dev/allow='a:host,b:namespace/x'"),
            "{how}"
        );
    }
}
