//! What an administrator allows packages beyond what their charts do by themselves: an annotation of the cluster's
//! settings, which who may only create packages cannot write. EKS Anywhere's own definitions keep annotations, and drop
//! fields that they do not know.

use std::collections::BTreeSet;

use package_api::PackageBundleController;
use package_api::name::PACKAGES_NAMESPACE;

/// The annotation of a `PackageBundleController`: `PACKAGE:WHAT`, separated by commas or spaces. `PACKAGE` is a package's
/// name in the bundle, or `*` for all.
pub const ALLOW: &str = "airlock.dev/allow";

/// What an administrator writes who lets a package take over objects that are not its release's.
pub(super) const OWNERSHIP: &str = "ownership";

/// What stands for itself.
const WORDS: [&str; 4] = ["host", OWNERSHIP, "owner", "permissions"];
/// What is followed by a name.
const NAMED: [&str; 8] =
    ["namespace", "serviceaccount", "subject", "role", "webhook", "label", "finalizer", "image"];

/// What an administrator allows a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    package: String,
    /// The settings' name, which is the cluster's.
    cluster: String,
    /// The annotation as it is.
    all: String,
    entries: BTreeSet<String>,
}

impl Allowed {
    /// Reads the annotation.
    ///
    /// # Errors
    /// An entry that means nothing, so that a slip is not taken for a refusal.
    pub(super) fn of(settings: Option<&PackageBundleController>, package: &str) -> Result<Self, String> {
        let all = settings.and_then(|settings| settings.annotation(ALLOW)).unwrap_or_default();
        let cluster = settings.map(PackageBundleController::name).unwrap_or_default();
        let mut entries = BTreeSet::new();
        for entry in all.split(|separator: char| separator == ',' || separator.is_whitespace()) {
            let entry = entry.trim();
            if entry.is_empty() {
                continue;
            }
            let read = entry.split_once(':').filter(|(_, what)| means_something(what));
            let (of, what) = read.ok_or_else(|| {
                format!(
                    "the annotation {ALLOW} of the PackageBundleController `{cluster}` has `{entry}`; write \
                     PACKAGE:namespace/NAME, PACKAGE:serviceaccount/NAME, PACKAGE:subject/KIND/NAME, \
                     PACKAGE:role/KIND/NAME, PACKAGE:webhook/WHAT, PACKAGE:label/KEY, PACKAGE:finalizer/NAME, \
                     PACKAGE:image/REFERENCE, or one of {} after PACKAGE:",
                    WORDS.join(", ")
                )
            })?;
            if of == "*" || of.eq_ignore_ascii_case(package) {
                entries.insert(what.to_owned());
            }
        }
        Ok(Self {
            package: package.to_owned(),
            cluster: cluster.to_owned(),
            all: all.trim().to_owned(),
            entries,
        })
    }

    /// Whether it is allowed.
    pub(super) fn has(&self, what: &str) -> bool {
        self.entries.contains(what)
    }

    /// Whether the package may have objects in a namespace that is not its own.
    pub(super) fn has_namespace(&self, namespace: &str) -> bool {
        self.has(&format!("namespace/{namespace}"))
    }

    /// What an administrator types to allow it.
    pub(super) fn how(&self, what: &str) -> String {
        let before = if self.all.is_empty() { String::new() } else { format!("{},", self.all) };
        format!(
            "an administrator allows it by `kubectl annotate pbc -n {PACKAGES_NAMESPACE} {} --overwrite \
             {ALLOW}='{before}{}:{what}'`",
            self.cluster, self.package
        )
    }
}

fn means_something(what: &str) -> bool {
    let named = what.split_once('/').filter(|(kind, _)| NAMED.contains(kind));
    WORDS.contains(&what) || named.is_some_and(|(_, name)| !name.is_empty())
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
    fn a2d_an_entry_is_for_the_package_that_it_names() {
        let text = "cert-manager:namespace/kube-system, *:host\n metallb:serviceaccount/speaker";
        let allowed = read(text, "cert-manager").unwrap();
        assert!(allowed.has_namespace("kube-system") && allowed.has("host"));
        assert!(!allowed.has("serviceaccount/speaker") && !allowed.has_namespace("kube-public"));
        assert!(!read(text, "metallb").unwrap().has_namespace("kube-system"));
        assert!(!Allowed::of(None, "metallb").unwrap().has("host"));
    }

    #[test]
    fn a2d_an_entry_that_means_nothing_is_refused() {
        for text in ["kube-system", "a:kube-system", "a:namespace/", "a:*"] {
            let told = read(text, "a").unwrap_err();
            assert!(told.contains(text) && told.contains("PACKAGE:namespace/NAME"), "{told}");
        }
    }

    #[test]
    fn a2d_what_is_refused_is_told_with_a_command_that_keeps_what_was_allowed() {
        let told = read("a:host", "b").unwrap().how("namespace/x");
        assert!(
            told.contains("pbc -n eksa-packages mgmt --overwrite airlock.dev/allow='a:host,b:namespace/x'"),
            "{told}"
        );
    }
}
