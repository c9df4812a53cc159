//! Whose a release is, and where it may go.

use package_api::PackageSpec;
use serde_json::json;

use super::{NAMESPACE, bundle, detail, in_state, offer, package, step, values};
use crate::package::*;

#[test]
fn of_two_packages_of_one_release_the_older_has_it_and_the_other_never_touches_it() {
    let bundle = bundle(vec![offer("a", &["1"], &[])]);
    let made = |state, namespace: &str, second: &str| {
        let mut package = in_state("a", state);
        package.metadata.namespace = Some(namespace.to_owned());
        package.metadata.creation_timestamp =
            serde_json::from_value(json!(format!("2026-01-01T00:00:{second}Z"))).unwrap();
        package
    };
    let older = made(PackageState::Installing, NAMESPACE, "01");
    for (state, second) in [("installing", "02"), ("installed", "02"), ("installing", "01")] {
        let state = serde_json::from_value(json!(state)).unwrap();
        let mut newer = made(state, "eksa-packages", second);
        let (first, mut last) = (older.clone(), newer.clone());
        let both = [newer.clone(), older.clone()];
        assert!(matches!(
            step(&first, &bundle, &both, Release::Absent).action,
            Action::Install(_) | Action::None
        ));
        let waits = step(&last, &bundle, &both, Release::Present(&values()));
        assert_eq!((waits.action, waits.again), (Action::None, LONG));
        assert!(
            waits.status.detail.unwrap().contains(&format!("that of the package {}/a", first.namespace()))
        );
        last.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:09Z")).unwrap();
        assert_eq!(step(&last, &bundle, &both, Release::Present(&values())).action, Action::Release);
        // Alone again it is its own.
        newer.metadata.deletion_timestamp = last.metadata.deletion_timestamp.clone();
        assert_eq!(
            step(&newer, &bundle, &[newer.clone()], Release::Present(&values())).action,
            Action::Uninstall
        );
    }
    // Of two of one second, the one that was begun has it.
    let begun = made(PackageState::Installing, "eksa-packages", "01");
    let mut other = older.clone();
    other.status = None;
    let both = [begun.clone(), other.clone()];
    assert!(matches!(step(&begun, &bundle, &both, Release::Absent).action, Action::Install(_)));
    assert_eq!(step(&other, &bundle, &both, Release::Absent).again, LONG);
    // In the same namespace, or on another cluster, are no namesakes.
    let elsewhere = made(PackageState::Installing, "eksa-packages-other", "00");
    assert!(matches!(step(&older, &bundle, &[elsewhere], Release::Absent).action, Action::Install(_)));
}

#[test]
fn a_wrong_namespace_is_told_and_the_bare_one_is_deprecated() {
    let bundle = bundle(vec![offer("a", &["1"], &[])]);
    let mut package = package("a");
    package.metadata.namespace = Some("default".to_owned());
    let told = step(&package, &bundle, &[], Release::Absent);
    assert_eq!((told.status.state, told.again), (Some(PackageState::Unknown), Again::Never));
    assert_eq!(detail(&told), "Packages namespaces must start with: eksa-packages");
    let mut package = in_state("a", PackageState::Installing);
    package.metadata.namespace = Some("eksa-packages".to_owned());
    let Action::Install(install) = step(&package, &bundle, &[], Release::Absent).action else { panic!() };
    let done = finish(&package, &install, Outcome::Ready, "mgmt", "t");
    assert_eq!(detail(&done), "Deprecated package namespace. Move to eksa-packages-mgmt");
}

#[test]
fn h2_a_package_that_asks_for_another_namespace_stays_where_it_is_and_may_go_back() {
    let bundle = bundle(vec![offer("a", &["1", "2"], &[])]);
    let mut package = in_state("a", PackageState::Installed);
    package.spec.target_namespace = Some("there".to_owned());
    let asked = step(&package, &bundle, &[], Release::Elsewhere("default"));
    let told = detail(&asked);
    assert!(told.contains("installed in the namespace `default` and cannot move to `there`"), "{told}");
    assert_eq!((asked.action.clone(), asked.status.state), (Action::None, Some(PackageState::Installed)));
    // Whatever else is tried meanwhile: the status says where it is, so that admission lets it go back.
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
    // It can be deleted all the same.
    package.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    let going = step(&package, &bundle, &[], Release::Elsewhere("default"));
    assert_eq!(going.action, Action::Uninstall);
}
