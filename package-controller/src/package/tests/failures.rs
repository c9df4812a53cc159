//! Failed installations: which are retried, which are given up, and how that is recorded.

use serde_json::json;

use super::{bundle, detail, in_state, offer, step};
use crate::package::*;

#[test]
fn an_error_is_retried_and_an_abandoned_installation_is_not_until_something_changes() {
    let bundle = bundle(vec![offer("a", &["1"], &[])]);
    let mut package = in_state("a", PackageState::Installing);
    let Action::Install(install) = step(&package, &bundle, &[], Release::Absent).action else { panic!() };
    let retry = finish(&package, &install, Outcome::Retry("refused".to_owned()), "m", "t1");
    assert_eq!((retry.status.state, retry.recheck), (Some(PackageState::Installing), LONG));
    package.status = Some(retry.status);
    assert!(matches!(step(&package, &bundle, &[], Release::Absent).action, Action::Install(_)));
    let gave_up = finish(&package, &install, Outcome::GaveUp("not ready".to_owned()), "m", "t2");
    let ready = |status: &PackageStatus| {
        let all = status.conditions.clone().unwrap();
        all.into_iter().find(|condition| condition.kind == "Ready").unwrap()
    };
    assert_eq!(ready(&gave_up.status).last_transition_time, "t1", "it was not ready before");
    package.status = Some(gave_up.status);
    assert!(has_failed(&package));
    let rests = step(&package, &bundle, &[], Release::Absent);
    assert_eq!(rests.action, Action::None);
    assert!(detail(&rests).starts_with("given up: not ready. "), "{rests:?}");
    // A detail that was set in the meantime, such as a missing bundle, is replaced.
    let mut meanwhile = package.clone();
    meanwhile.status.as_mut().unwrap().detail = Some("getting PackageBundle: gone".to_owned());
    assert_eq!(detail(&step(&meanwhile, &bundle, &[], Release::Absent)), detail(&rests));
    // A requested retry is attempted.
    let asks = |package: &Package, value: &str| {
        let mut asks = package.clone();
        asks.metadata.annotations.get_or_insert_default().insert(RETRY.to_owned(), value.to_owned());
        asks
    };
    let mut recheck = asks(&package, "1");
    assert!(matches!(step(&recheck, &bundle, &[], Release::Absent).action, Action::Install(_)));
    let note = given_up(&recheck);
    recheck.metadata.annotations.as_mut().unwrap().insert(GIVEN_UP.to_owned(), note);
    assert_eq!(step(&recheck, &bundle, &[], Release::Absent).action, Action::None);
    let more = asks(&recheck, "2");
    assert!(matches!(step(&more, &bundle, &[], Release::Absent).action, Action::Install(_)));
    package.metadata.generation = Some(2);
    assert!(matches!(step(&package, &bundle, &[], Release::Absent).action, Action::Install(_)));
    package.metadata.generation = Some(1);
    let newer = super::bundle(vec![offer("a", &["2"], &[])]);
    assert!(matches!(step(&package, &newer, &[], Release::Absent).action, Action::Install(_)));
}

#[test]
fn the_progress_of_an_installation_replaces_the_previous_detail() {
    let bundle = bundle(vec![offer("a", &["1"], &[])]);
    let mut package = in_state("a", PackageState::Installing);
    let Action::Install(install) = step(&package, &bundle, &[], Release::Absent).action else { panic!() };
    let retry = finish(&package, &install, Outcome::Retry("no right".to_owned()), "m", "t1");
    package.status = Some(retry.status);
    package.status = Some(in_progress(&package, "waiting for x", "t2"));
    let status = package.status.as_ref().unwrap();
    let ready = &status.conditions.as_ref().unwrap()[0];
    assert_eq!((status.detail.as_deref(), ready.message.as_str()), (Some("waiting for x"), "waiting for x"));
    assert_eq!((ready.reason.as_str(), ready.last_transition_time.as_str()), ("Waiting", "t1"));
    let done = finish(&package, &install, Outcome::Ready, "m", "t3");
    assert_eq!(done.status.detail, None);
}

#[test]
fn an_abandoned_installation_is_recorded_even_if_crds_drop_conditions() {
    let bundle = bundle(vec![offer("a", &["1"], &[])]);
    let mut package = in_state("a", PackageState::Installing);
    let Action::Install(install) = step(&package, &bundle, &[], Release::Absent).action else { panic!() };
    package.status =
        Some(finish(&package, &install, Outcome::GaveUp("not ready".to_owned()), "m", "t").status);
    let note = given_up(&package);
    package.status.as_mut().unwrap().conditions = None;
    assert!(matches!(step(&package, &bundle, &[], Release::Absent).action, Action::Install(_)));
    package.metadata.annotations = Some([(GIVEN_UP.to_owned(), note)].into());
    let rests = step(&package, &bundle, &[], Release::Absent);
    assert_eq!(rests.action, Action::None);
    assert!(detail(&rests).starts_with("given up: not ready. "), "{rests:?}");
    let newer = super::bundle(vec![offer("a", &["2"], &[])]);
    assert!(matches!(step(&package, &newer, &[], Release::Absent).action, Action::Install(_)));
    package.metadata.generation = Some(2);
    assert!(matches!(step(&package, &bundle, &[], Release::Absent).action, Action::Install(_)));
}

#[test]
fn a_new_attempt_after_a_failure_is_retried_if_it_does_not_succeed_at_once() {
    let bundle = bundle(vec![offer("a", &["2"], &[])]);
    let mut package = in_state("a", PackageState::Installing);
    let failed = json!([{"type": "Failed", "status": "True", "reason": "RolledBack", "message": "",
        "lastTransitionTime": "t", "observedGeneration": 1}]);
    package.status.as_mut().unwrap().conditions = serde_json::from_value(failed).unwrap();
    assert!(has_failed(&package));
    let begun = step(&package, &bundle, &[], Release::Absent);
    let Action::Install(install) = begun.action else { panic!("{begun:?}") };
    // The process may end here, or the registry may be unreachable.
    package.status = Some(begun.status);
    assert!(matches!(step(&package, &bundle, &[], Release::Absent).action, Action::Install(_)));
    package.status = Some(finish(&package, &install, Outcome::Retry("away".to_owned()), "m", "t").status);
    assert!(matches!(step(&package, &bundle, &[], Release::Absent).action, Action::Install(_)));
}
