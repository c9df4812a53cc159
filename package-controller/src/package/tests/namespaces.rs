//! The owner and the namespace of a release.

use package_api::PackageSpec;
use serde_json::json;

use super::{NAMESPACE, bundle, detail, in_state, offer, package, step, values};
use crate::package::*;

#[test]
fn of_two_packages_with_the_same_release_only_the_older_one_owns_it() {
    let bundle = bundle(vec![offer("a", &["1"], &[])]);
    let created = |state, namespace: &str, second: &str| {
        let mut package = in_state("a", state);
        package.metadata.namespace = Some(namespace.to_owned());
        package.metadata.creation_timestamp =
            serde_json::from_value(json!(format!("2026-01-01T00:00:{second}Z"))).unwrap();
        package
    };
    let older = created(PackageState::Installing, NAMESPACE, "01");
    for (state, second) in [("installing", "02"), ("installed", "02"), ("installing", "01")] {
        let state = serde_json::from_value(json!(state)).unwrap();
        let mut newer = created(state, "eksa-packages", second);
        let (first, mut last) = (older.clone(), newer.clone());
        let both = [newer.clone(), older.clone()];
        assert!(matches!(
            step(&first, &bundle, &both, Release::Absent).action,
            Action::Install(_) | Action::None
        ));
        let waits = step(&last, &bundle, &both, Release::Present(&values()));
        assert_eq!((waits.action, waits.recheck), (Action::None, LONG));
        assert!(
            waits.status.detail.unwrap().contains(&format!("belongs to the package {}/a", first.namespace()))
        );
        last.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:09Z")).unwrap();
        assert_eq!(step(&last, &bundle, &both, Release::Present(&values())).action, Action::RemoveFinalizer);
        // Without the other package, it owns the release.
        newer.metadata.deletion_timestamp = last.metadata.deletion_timestamp.clone();
        assert_eq!(
            step(&newer, &bundle, &[newer.clone()], Release::Present(&values())).action,
            Action::Uninstall
        );
    }
    // Of two from the same second, the one that was started owns it.
    let begun = created(PackageState::Installing, "eksa-packages", "01");
    let mut other = older.clone();
    other.status = None;
    let both = [begun.clone(), other.clone()];
    assert!(matches!(step(&begun, &bundle, &both, Release::Absent).action, Action::Install(_)));
    assert_eq!(step(&other, &bundle, &both, Release::Absent).recheck, LONG);
    // Packages of other clusters are not namesakes.
    let elsewhere = created(PackageState::Installing, "eksa-packages-other", "00");
    assert!(matches!(step(&older, &bundle, &[elsewhere], Release::Absent).action, Action::Install(_)));
}

#[test]
fn a_wrong_namespace_is_reported_and_the_one_without_a_suffix_is_deprecated() {
    let bundle = bundle(vec![offer("a", &["1"], &[])]);
    let mut package = package("a");
    package.metadata.namespace = Some("default".to_owned());
    let reported = step(&package, &bundle, &[], Release::Absent);
    assert_eq!((reported.status.state, reported.recheck), (Some(PackageState::Unknown), Recheck::Never));
    assert_eq!(detail(&reported), "Packages namespaces must start with: eksa-packages");
    let mut package = in_state("a", PackageState::Installing);
    package.metadata.namespace = Some("eksa-packages".to_owned());
    let Action::Install(install) = step(&package, &bundle, &[], Release::Absent).action else { panic!() };
    let done = finish(&package, &install, Outcome::Ready, "mgmt", "t");
    assert_eq!(detail(&done), "Deprecated package namespace. Move to eksa-packages-mgmt");
}

#[test]
fn h2_a_package_that_requests_another_namespace_is_not_moved_and_can_be_changed_back() {
    let bundle = bundle(vec![offer("a", &["1", "2"], &[])]);
    let mut package = in_state("a", PackageState::Installed);
    package.spec.target_namespace = Some("there".to_owned());
    let requested = step(&package, &bundle, &[], Release::Elsewhere("default"));
    let text = detail(&requested);
    assert!(text.contains("installed in the namespace `default` and cannot move to `there`"), "{text}");
    assert_eq!(
        (requested.action.clone(), requested.status.state),
        (Action::None, Some(PackageState::Installed))
    );
    // During other attempts, the status keeps the installed namespace, so that admission accepts changing it back.
    for current in ["1", ""] {
        let mut package = in_state("a", PackageState::Installing);
        package.spec.target_namespace = Some("there".to_owned());
        let status = package.status.get_or_insert_default();
        current.clone_into(&mut status.current_version);
        status.spec = Some(PackageSpec::default());
        let trying = step(&package, &bundle, &[], Release::Absent);
        assert!(matches!(trying.action, Action::Install(_)));
        let target = |status: &PackageStatus| status.spec.as_ref().unwrap().target_namespace.clone();
        let expected = current.is_empty().then(|| "there".to_owned());
        assert_eq!(target(&trying.status), expected, "{current}");
        let Action::Install(plan) = trying.action else { panic!("no plan") };
        let refused = finish(&package, &plan, Outcome::Retry("no".to_owned()), "mgmt", "now");
        assert_eq!(target(&refused.status), expected);
        let ready = finish(&package, &plan, Outcome::Ready, "mgmt", "now");
        assert_eq!(target(&ready.status).as_deref(), Some("there"));
    }
    // It can still be deleted.
    package.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    let going = step(&package, &bundle, &[], Release::Elsewhere("default"));
    assert_eq!(going.action, Action::Uninstall);
}
