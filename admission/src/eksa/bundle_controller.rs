//! `PackageBundleController`: that its bundle exists and is for its cluster.

use package_api::{BundleName, PackageBundleController};

use super::Verdict;

/// What is known when it is decided.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The object as it was; none when it is new.
    pub old: Option<&'a PackageBundleController>,
    /// The names of the bundles in the controller's namespace.
    pub bundles: &'a [String],
    /// Major and minor as the target cluster's API server says them, or why it does not.
    pub kubernetes: Result<(&'a str, &'a str), &'a str>,
}

/// Decides on a controller's settings.
#[must_use]
pub fn decide(object: &PackageBundleController, facts: &Facts<'_>) -> Verdict {
    let active = |object: &PackageBundleController| object.spec.active_bundle.clone().unwrap_or_default();
    let bundle = active(object);
    let before = facts.old.map(active);
    if bundle.is_empty() || before.as_ref() == Some(&bundle) {
        return Verdict::allowed();
    }
    if !facts.bundles.contains(&bundle) {
        return Verdict::refused(format!("activeBundle \"{bundle}\" not present on cluster"));
    }
    let (major, minor) = match facts.kubernetes {
        Ok(version) => version,
        Err(reason) => {
            return Verdict::unknown(format!("getting server version for {}: {reason}", object.name()));
        }
    };
    let name = bundle.parse::<BundleName>();
    if !name.as_ref().is_ok_and(|name| name.is_for(major, minor)) {
        // The spelling is upstream's.
        return Verdict::refused(format!("kuberneetes version v{major}-{minor} does not match {bundle}"));
    }
    let older = |before: BundleName| name.is_ok_and(|name| before.supersedes(&name));
    let mut warnings = Vec::new();
    if let Some(before) = before.and_then(|before| before.parse().ok())
        && older(before)
    {
        warnings.push(format!("{bundle} is older than the bundle that was active: packages are downgraded"));
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
        decide(&controller(new), &Facts { old: old.as_ref(), bundles: &bundles, kubernetes })
    }

    fn message(verdict: Verdict) -> (u16, String) {
        let Verdict::Denied { code, message } = verdict else { panic!("allowed") };
        (code, message)
    }

    #[test]
    fn the_answers_are_those_of_the_contract() {
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
    fn a_cluster_that_does_not_answer_stops_no_other_edit() {
        assert!(decided(Some("v1-21-88"), "v1-21-88", Err("gone")).is_allowed());
        assert!(!decided(Some("v1-21-88"), "v1-21-87", Err("gone")).is_allowed());
    }

    #[test]
    fn a_vendor_s_plus_is_no_other_version_and_a_downgrade_is_told() {
        assert_eq!(decided(Some("v1-21-87"), "v1-21-88", Ok(("1", "21+"))), Verdict::allowed());
        let Verdict::Allowed { warnings } = decided(Some("v1-21-88"), "v1-21-87", Ok(("1", "21"))) else {
            panic!("denied");
        };
        assert!(warnings[0].contains("older"), "{warnings:?}");
    }
}
