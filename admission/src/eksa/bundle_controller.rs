//! `PackageBundleController`: checks that the active bundle exists and is for the Kubernetes version of the cluster.

use package_api::{BundleName, PackageBundleController};

use super::Verdict;

/// The state that the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct DecisionInput<'a> {
    /// The object before the change; `None` if it is new.
    pub old: Option<&'a PackageBundleController>,
    /// The names of the bundles in the controller's namespace.
    pub bundles: &'a [String],
    /// The major and minor version that the target cluster's API server reports, or the reason why it does not.
    pub kubernetes: Result<(&'a str, &'a str), &'a str>,
}

/// Decides on a `PackageBundleController`.
#[must_use]
pub fn decide(object: &PackageBundleController, input: &DecisionInput<'_>) -> Verdict {
    let active = |object: &PackageBundleController| object.spec.active_bundle.clone().unwrap_or_default();
    let bundle = active(object);
    let before = input.old.map(active);
    if bundle.is_empty() || before.as_ref() == Some(&bundle) {
        return Verdict::allowed();
    }
    if !input.bundles.contains(&bundle) {
        return Verdict::invalid(format!("activeBundle \"{bundle}\" not present on cluster"));
    }
    let (major, minor) = match input.kubernetes {
        Ok(version) => version,
        Err(reason) => {
            return Verdict::unavailable(format!("getting server version for {}: {reason}", object.name()));
        }
    };
    let name = bundle.parse::<BundleName>();
    if !name.as_ref().is_ok_and(|name| name.is_for(major, minor)) {
        // The spelling is upstream's.
        return Verdict::invalid(format!("kuberneetes version v{major}-{minor} does not match {bundle}"));
    }
    let older = |before: BundleName| name.is_ok_and(|name| before.supersedes(&name));
    let mut warnings = Vec::new();
    if let Some(before) = before.and_then(|before| before.parse().ok())
        && older(before)
    {
        warnings
            .push(format!("{bundle} is older than the previous active bundle: packages will be downgraded"));
    }
    Verdict::Allowed { warnings }
}

#[cfg(test)]
mod tests {
    use package_api::PackageBundleControllerSpec;

    use super::*;

    fn controller(bundle: &str) -> PackageBundleController {
        let active_bundle = (!bundle.is_empty()).then(|| bundle.to_owned());
        let spec = PackageBundleControllerSpec { active_bundle, ..PackageBundleControllerSpec::default() };
        PackageBundleController::new("billy", spec)
    }

    fn decided(old: Option<&str>, new: &str, kubernetes: Result<(&str, &str), &str>) -> Verdict {
        let bundles = ["v1-21-87".to_owned(), "v1-21-88".to_owned(), "v1-22-1".to_owned()];
        let old = old.map(controller);
        decide(&controller(new), &DecisionInput { old: old.as_ref(), bundles: &bundles, kubernetes })
    }

    fn message(verdict: Verdict) -> (u16, String) {
        let Verdict::Denied { code, message } = verdict else { panic!("allowed") };
        (code, message)
    }

    #[test]
    fn the_responses_match_the_contract() {
        let known = Ok(("1", "21"));
        assert!(decided(None, "", Err("gone")).is_allowed());
        assert!(decided(None, "v1-21-88", known).is_allowed());
        let absent = "activeBundle \"v1-21-99\" not present on cluster".to_owned();
        assert_eq!(message(decided(None, "v1-21-99", known)), (400, absent));
        let other = "kuberneetes version v1-21 does not match v1-22-1".to_owned();
        assert_eq!(message(decided(None, "v1-22-1", known)), (400, other));
        let gone = "getting server version for billy: gone".to_owned();
        assert_eq!(message(decided(None, "v1-21-88", Err("gone"))), (500, gone));
    }

    #[test]
    fn an_unreachable_cluster_does_not_block_other_edits() {
        assert!(decided(Some("v1-21-88"), "v1-21-88", Err("gone")).is_allowed());
        assert!(!decided(Some("v1-21-88"), "v1-21-87", Err("gone")).is_allowed());
    }

    #[test]
    fn a_vendor_s_plus_is_ignored_and_a_downgrade_produces_a_warning() {
        assert_eq!(decided(Some("v1-21-87"), "v1-21-88", Ok(("1", "21+"))), Verdict::allowed());
        let Verdict::Allowed { warnings } = decided(Some("v1-21-88"), "v1-21-87", Ok(("1", "21"))) else {
            panic!("denied");
        };
        assert!(warnings[0].contains("older"), "{warnings:?}");
    }
}
