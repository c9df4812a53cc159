//! Whether a bundle can be used, and what a cluster's settings come to when another is published.

use package_api::name::PACKAGES_NAMESPACE;
use package_api::{BundleName, BundleState, ControllerState, PackageBundle, PackageBundleController};

use package_api::version;

/// Whether a bundle can be used by a controller of this version; upstream's order.
#[must_use]
pub fn state(bundle: &PackageBundle, controller: &str) -> BundleState {
    let least = bundle.spec.min_controller_version.as_deref().unwrap_or_default();
    if bundle.namespace() != PACKAGES_NAMESPACE {
        BundleState::Ignored
    } else if !version::suffices(controller, least) {
        BundleState::UpgradeRequired
    } else if bundle.name().parse::<BundleName>().is_err() {
        BundleState::Invalid
    } else {
        BundleState::Available
    }
}

/// What was found out about a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Why the cluster does not answer, if so.
    pub cluster: Result<(), &'a str>,
    /// The newest bundle of the registry for the cluster's Kubernetes, or why the registry does not tell.
    pub latest: Result<&'a BundleName, &'a str>,
    /// Whether the active bundle is on the management cluster.
    pub active_is_present: bool,
}

/// What a cluster's settings come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The state to write.
    pub state: ControllerState,
    /// What a person should know.
    pub detail: String,
    /// The bundle to make active: only where none was.
    pub activate: Option<BundleName>,
    /// Whether packages can be worked on.
    pub usable: bool,
}

/// Decides on a cluster's settings.
///
/// Upstream stops when the registry is gone, though its bundle is there; and takes any other bundle for a newer one.
#[must_use]
pub fn settle(controller: &PackageBundleController, found: &Found<'_>) -> Settled {
    let settled = |state, detail: String, usable| Settled { state, detail, activate: None, usable };
    if controller.namespace() != PACKAGES_NAMESPACE {
        let detail = format!("settings of clusters count in the namespace {PACKAGES_NAMESPACE} only");
        return settled(ControllerState::Ignored, detail, false);
    }
    if let Err(reason) = found.cluster {
        return settled(ControllerState::Disconnected, reason.to_owned(), false);
    }
    let active = controller.spec.active_bundle.as_deref().unwrap_or_default();
    let latest = match found.latest {
        Ok(latest) => latest,
        Err(reason) => {
            let usable = !active.is_empty() && found.active_is_present;
            return settled(ControllerState::Disconnected, reason.to_owned(), usable);
        }
    };
    if active.is_empty() {
        let activate = Some(latest.clone());
        return Settled { activate, ..settled(ControllerState::Active, String::new(), false) };
    }
    // What is no name was not let pass by admission, but may stand there from before.
    let newer = active.parse::<BundleName>().is_ok_and(|active| latest.supersedes(&active));
    if newer {
        let detail = format!("{latest} available");
        return settled(ControllerState::UpgradeAvailable, detail, found.active_is_present);
    }
    settled(ControllerState::Active, String::new(), found.active_is_present)
}

#[cfg(test)]
mod tests {
    use package_api::{PackageBundleControllerSpec, PackageBundleSpec};

    use super::*;

    fn bundle(namespace: &str, name: &str, least: Option<&str>) -> PackageBundle {
        let spec = PackageBundleSpec {
            min_controller_version: least.map(str::to_owned),
            ..PackageBundleSpec::default()
        };
        let mut bundle = PackageBundle::new(name, spec);
        bundle.metadata.namespace = Some(namespace.to_owned());
        bundle
    }

    #[test]
    fn a_bundle_s_state_is_found_in_upstream_s_order() {
        let new = Some("v9.0.0");
        assert_eq!(state(&bundle("default", "x", new), "v0.4.4"), BundleState::Ignored);
        assert_eq!(state(&bundle("eksa-packages", "x", new), "v0.4.4"), BundleState::UpgradeRequired);
        assert_eq!(state(&bundle("eksa-packages", "x", None), "v0.4.4"), BundleState::Invalid);
        assert_eq!(state(&bundle("eksa-packages", "v1-21-5", new), "development"), BundleState::Available);
    }

    fn settled(active: &str, latest: Result<&str, &str>, present: bool) -> Settled {
        let active_bundle = (!active.is_empty()).then(|| active.to_owned());
        let spec = PackageBundleControllerSpec { active_bundle, ..PackageBundleControllerSpec::default() };
        let mut controller = PackageBundleController::new("billy", spec);
        controller.metadata.namespace = Some("eksa-packages".to_owned());
        let latest = latest.map(|name| name.parse::<BundleName>().unwrap());
        let latest = latest.as_ref().map_err(|reason| *reason);
        settle(&controller, &Found { cluster: Ok(()), latest, active_is_present: present })
    }

    #[test]
    fn the_first_bundle_becomes_active_by_itself_and_no_other() {
        let first = settled("", Ok("v1-21-5"), false);
        assert_eq!(first.activate.unwrap().as_str(), "v1-21-5");
        let next = settled("v1-21-4", Ok("v1-21-5"), true);
        assert_eq!((next.state, next.activate), (ControllerState::UpgradeAvailable, None));
        assert_eq!(next.detail, "v1-21-5 available");
    }

    #[test]
    fn settings_in_another_namespace_are_ignored_and_told_so() {
        let mut controller = PackageBundleController::new("billy", PackageBundleControllerSpec::default());
        controller.metadata.namespace = Some("default".to_owned());
        let found = Found { cluster: Ok(()), latest: Err(""), active_is_present: false };
        let ignored = settle(&controller, &found);
        assert_eq!((ignored.state, ignored.usable), (ControllerState::Ignored, false));
        assert!(ignored.detail.ends_with("in the namespace eksa-packages only"), "{}", ignored.detail);
    }

    #[test]
    fn an_older_bundle_under_latest_is_no_upgrade() {
        for latest in ["v1-21-5", "v1-21-4", "v1-22-9"] {
            let settled = settled("v1-21-5", Ok(latest), true);
            assert_eq!((settled.state, settled.usable), (ControllerState::Active, true), "{latest}");
        }
    }

    #[test]
    fn a_registry_that_is_gone_leaves_a_present_bundle_usable() {
        let gone = settled("v1-21-5", Err("connection refused"), true);
        assert_eq!((gone.state, gone.usable), (ControllerState::Disconnected, true));
        assert!(!settled("v1-21-5", Err("connection refused"), false).usable);
        assert!(!settled("", Err("connection refused"), true).usable);
    }
}
