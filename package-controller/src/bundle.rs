//! Whether a bundle can be used, and the status of a `PackageBundleController` when another bundle is published.

use package_api::name::PACKAGES_NAMESPACE;
use package_api::{BundleName, BundleState, ControllerState, PackageBundle, PackageBundleController};

use package_api::version;

/// Whether a controller of this version can use a bundle. The checks are in upstream's order.
#[must_use]
pub fn state(bundle: &PackageBundle, controller: &str) -> BundleState {
    let minimum = bundle.spec.min_controller_version.as_deref().unwrap_or_default();
    if bundle.namespace() != PACKAGES_NAMESPACE {
        BundleState::Ignored
    } else if !version::suffices(controller, minimum) {
        BundleState::UpgradeRequired
    } else if bundle.name().parse::<BundleName>().is_err() {
        BundleState::Invalid
    } else {
        BundleState::Available
    }
}

/// The observed state of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The reason why the cluster cannot be reached, if it cannot.
    pub cluster: Result<(), &'a str>,
    /// The newest bundle in the registry for the cluster's Kubernetes version, or the reason why it is not known.
    pub latest: Result<&'a BundleName, &'a str>,
    /// Whether the active bundle exists in the management cluster.
    pub active_is_present: bool,
}

/// The decision on a `PackageBundleController`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The state to write.
    pub state: ControllerState,
    /// Details for the user.
    pub detail: String,
    /// The bundle to activate, only if none is active.
    pub activate: Option<BundleName>,
    /// Whether packages can be installed from the active bundle.
    pub usable: bool,
}

/// Decides on a `PackageBundleController`.
///
/// Unlike upstream, an unreachable registry does not block packages if the bundle exists, and only a newer bundle counts as
/// an upgrade.
#[must_use]
pub fn decide(controller: &PackageBundleController, observation: &Observation<'_>) -> Decision {
    let decision = |state, detail: String, usable| Decision { state, detail, activate: None, usable };
    if controller.namespace() != PACKAGES_NAMESPACE {
        let detail =
            format!("a PackageBundleController has an effect only in the namespace {PACKAGES_NAMESPACE}");
        return decision(ControllerState::Ignored, detail, false);
    }
    if let Err(reason) = observation.cluster {
        return decision(ControllerState::Disconnected, reason.to_owned(), false);
    }
    let active = controller.spec.active_bundle.as_deref().unwrap_or_default();
    let latest = match observation.latest {
        Ok(latest) => latest,
        Err(reason) => {
            let usable = !active.is_empty() && observation.active_is_present;
            return decision(ControllerState::Disconnected, reason.to_owned(), usable);
        }
    };
    if active.is_empty() {
        let activate = Some(latest.clone());
        return Decision { activate, ..decision(ControllerState::Active, String::new(), false) };
    }
    // Admission rejects an invalid name, but it may have been set before admission was active.
    let newer = active.parse::<BundleName>().is_ok_and(|active| latest.supersedes(&active));
    if newer {
        let detail = format!("{latest} available");
        return decision(ControllerState::UpgradeAvailable, detail, observation.active_is_present);
    }
    decision(ControllerState::Active, String::new(), observation.active_is_present)
}

#[cfg(test)]
mod tests {
    use package_api::{PackageBundleControllerSpec, PackageBundleSpec};

    use super::*;

    fn bundle(namespace: &str, name: &str, minimum: Option<&str>) -> PackageBundle {
        let spec = PackageBundleSpec {
            min_controller_version: minimum.map(str::to_owned),
            ..PackageBundleSpec::default()
        };
        let mut bundle = PackageBundle::new(name, spec);
        bundle.metadata.namespace = Some(namespace.to_owned());
        bundle
    }

    #[test]
    fn a_bundle_s_state_is_determined_in_upstream_s_order() {
        let new = Some("v9.0.0");
        assert_eq!(state(&bundle("default", "x", new), "v0.4.4"), BundleState::Ignored);
        assert_eq!(state(&bundle("eksa-packages", "x", new), "v0.4.4"), BundleState::UpgradeRequired);
        assert_eq!(state(&bundle("eksa-packages", "x", None), "v0.4.4"), BundleState::Invalid);
        assert_eq!(state(&bundle("eksa-packages", "v1-21-5", new), "development"), BundleState::Available);
    }

    fn decision(active: &str, latest: Result<&str, &str>, present: bool) -> Decision {
        let active_bundle = (!active.is_empty()).then(|| active.to_owned());
        let spec = PackageBundleControllerSpec { active_bundle, ..PackageBundleControllerSpec::default() };
        let mut controller = PackageBundleController::new("billy", spec);
        controller.metadata.namespace = Some("eksa-packages".to_owned());
        let latest = latest.map(|name| name.parse::<BundleName>().unwrap());
        let latest = latest.as_ref().map_err(|reason| *reason);
        decide(&controller, &Observation { cluster: Ok(()), latest, active_is_present: present })
    }

    #[test]
    fn only_the_first_bundle_is_activated_automatically() {
        let first = decision("", Ok("v1-21-5"), false);
        assert_eq!(first.activate.unwrap().as_str(), "v1-21-5");
        let next = decision("v1-21-4", Ok("v1-21-5"), true);
        assert_eq!((next.state, next.activate), (ControllerState::UpgradeAvailable, None));
        assert_eq!(next.detail, "v1-21-5 available");
    }

    #[test]
    fn an_object_in_another_namespace_is_ignored_with_a_message() {
        let mut controller = PackageBundleController::new("billy", PackageBundleControllerSpec::default());
        controller.metadata.namespace = Some("default".to_owned());
        let observation = Observation { cluster: Ok(()), latest: Err(""), active_is_present: false };
        let ignored = decide(&controller, &observation);
        assert_eq!((ignored.state, ignored.usable), (ControllerState::Ignored, false));
        assert!(ignored.detail.ends_with("only in the namespace eksa-packages"), "{}", ignored.detail);
    }

    #[test]
    fn an_older_bundle_under_latest_is_not_an_upgrade() {
        for latest in ["v1-21-5", "v1-21-4", "v1-22-9"] {
            let decision = decision("v1-21-5", Ok(latest), true);
            assert_eq!((decision.state, decision.usable), (ControllerState::Active, true), "{latest}");
        }
    }

    #[test]
    fn an_existing_bundle_is_usable_while_the_registry_is_unreachable() {
        let gone = decision("v1-21-5", Err("connection refused"), true);
        assert_eq!((gone.state, gone.usable), (ControllerState::Disconnected, true));
        assert!(!decision("v1-21-5", Err("connection refused"), false).usable);
        assert!(!decision("", Err("connection refused"), true).usable);
    }
}
