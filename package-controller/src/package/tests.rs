//! Every state, and a small world in which packages are worked on until all is done, with steps lost on the way.

use package_api::{
    BundlePackage, BundleSource, PackageBundleSpec, PackageSource, PackageSpec, SourceVersion,
};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const NAMESPACE: &str = "eksa-packages-billy";

fn digest(text: &str) -> String {
    oci::Digest::sha256(text.as_bytes()).to_string()
}

fn offer(name: &str, versions: &[&str], needs: &[&str]) -> BundlePackage {
    let dependencies =
        (!needs.is_empty()).then(|| needs.iter().map(|need| (*need).to_owned()).collect::<Vec<_>>());
    let version = |version: &&str| SourceVersion {
        name: (*version).to_owned(),
        digest: digest(version),
        dependencies: dependencies.clone(),
        ..SourceVersion::default()
    };
    let versions = versions.iter().map(version).collect();
    let source = BundleSource { repository: format!("r/{name}"), versions, ..BundleSource::default() };
    BundlePackage { name: name.to_owned(), source, ..BundlePackage::default() }
}

fn bundle(packages: Vec<BundlePackage>) -> PackageBundle {
    PackageBundle::new("v1-35-1", PackageBundleSpec { packages, ..PackageBundleSpec::default() })
}

fn package(name: &str) -> Package {
    let mut package =
        Package::new(name, PackageSpec { package_name: name.to_owned(), ..PackageSpec::default() });
    package.metadata.namespace = Some(NAMESPACE.to_owned());
    package.metadata.generation = Some(1);
    package.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    package
}

fn in_state(name: &str, state: PackageState) -> Package {
    let mut package = package(name);
    let source = PackageSource {
        repository: format!("r/{name}"),
        version: "1".to_owned(),
        digest: digest("1"),
        ..PackageSource::default()
    };
    package.status = Some(PackageStatus { state: Some(state), source, ..PackageStatus::default() });
    package
}

fn step(package: &Package, bundle: &PackageBundle, siblings: &[Package], release: Release<'_>) -> Step {
    let settings = PackageBundleControllerSpec::default();
    next(&Observed { package, bundle: Ok(bundle), settings: &settings, siblings, release })
}

fn detail(step: &Step) -> &str {
    step.status.detail.as_deref().unwrap_or_default()
}

fn values() -> Value {
    json!({ "sourceRegistry": IMAGE_REGISTRY })
}

#[test]
fn a_package_goes_through_upstream_s_states_with_upstream_s_pauses() {
    use PackageState as S;
    let bundle = bundle(vec![offer("a", &["1"], &[])]);
    let seen = step(&package("a"), &bundle, &[], Release::Absent);
    assert_eq!((seen.status.state, seen.again), (Some(S::InstallingDependencies), NOW));
    assert_eq!(seen.status.source.digest, digest("1"));
    assert_eq!(seen.status.target_version.as_deref(), Some("1 (latest)"));
    let ready = step(&in_state("a", S::InstallingDependencies), &bundle, &[], Release::Absent);
    assert_eq!(ready.status.state, Some(S::Installing));
    let package = in_state("a", S::Installing);
    let installing = step(&package, &bundle, &[], Release::Absent);
    let Action::Install(install) = &installing.action else { panic!("{installing:?}") };
    assert_eq!((install.values.clone(), install.chart_registry.as_str()), (values(), CHART_REGISTRY));
    assert_eq!((install.release.as_str(), install.release_namespace), ("a", "eksa-packages"));
    let done = finish(&package, install, Outcome::Ready, "mgmt", "2026-01-01T00:00:00Z");
    assert_eq!((done.status.state, done.again), (Some(S::Installed), VERY_LONG));
    assert_eq!((done.status.current_version.as_str(), done.status.detail), ("1", None));
    let calm = step(&in_state("a", S::Installed), &bundle, &[], Release::Present(&values()));
    assert_eq!((calm.status.state, calm.action, calm.again), (Some(S::Installed), Action::None, VERY_LONG));
    let updating = step(&in_state("a", S::Updating), &bundle, &[], Release::Absent);
    assert_eq!((updating.status.state, updating.again), (Some(S::InstallingDependencies), NOW));
}

#[test]
fn what_is_installed_is_updated_when_chart_values_or_release_are_others() {
    let newer = bundle(vec![offer("a", &["2", "1"], &[])]);
    let same = bundle(vec![offer("a", &["1"], &[])]);
    let installed = in_state("a", PackageState::Installed);
    let other = json!({ "sourceRegistry": "elsewhere" });
    for (bundle, release) in
        [(&newer, Release::Present(&values())), (&same, Release::Present(&other)), (&same, Release::Absent)]
    {
        let step = step(&installed, bundle, &[], release);
        assert_eq!((step.status.state, step.again), (Some(PackageState::Updating), SHORT));
    }
    // Secrets that upstream's controller added are no change; an unknown release is none either.
    let added = json!({ "sourceRegistry": IMAGE_REGISTRY, "imagePullSecrets": [{"name": "ecr-token"}] });
    assert_eq!(step(&installed, &same, &[], Release::Present(&added)).again, VERY_LONG);
    // A chart that takes no other values than its own was installed without the registry.
    assert_eq!(step(&installed, &same, &[], Release::Present(&json!({}))).again, VERY_LONG);
    let unknown = step(&installed, &same, &[], Release::Unknown("timed out"));
    assert_eq!((unknown.status.state, detail(&unknown)), (Some(PackageState::Installed), "timed out"));
    // And what was in the way is not told for ever.
    let after = Package { status: Some(unknown.status), ..installed };
    assert_eq!(step(&after, &same, &[], Release::Present(&values())).status.detail, None);
}

#[test]
fn of_a_registry_that_a_package_does_not_give_it_is_told_where_it_is_from() {
    let bundle = bundle(vec![offer("a", &["1"], &[])]);
    let step = step(&in_state("a", PackageState::Installing), &bundle, &[], Release::Absent);
    let Action::Install(install) = step.action else { panic!("{step:?}") };
    let told = install.added_registry(Some("x: 1")).unwrap();
    assert!(
        told.starts_with(&format!("`sourceRegistry` was set to `{IMAGE_REGISTRY}`, the cluster's `default"))
    );
    assert_eq!(install.added_registry(Some("sourceRegistry: own.example")), None);
}

#[test]
fn upgrades_are_listed_for_a_package_that_holds_to_a_version() {
    let newer = bundle(vec![offer("a", &["3", "2", "1"], &[])]);
    let mut held = in_state("a", PackageState::Installed);
    held.spec.package_version = Some("1".to_owned());
    let step = step(&held, &newer, &[], Release::Present(&values()));
    assert_eq!(step.status.state, Some(PackageState::Installed));
    let listed = step.status.upgrades_available.unwrap();
    assert_eq!(listed.iter().map(|upgrade| upgrade.version.as_str()).collect::<Vec<_>>(), ["3", "2"]);
    assert_eq!(step.status.target_version.as_deref(), Some("1"));
}

#[test]
fn dependencies_are_made_with_the_configuration_and_waited_for() {
    let bundle =
        bundle(vec![offer("a", &["1"], &["b", "c"]), offer("b", &["1"], &[]), offer("c", &["1"], &[])]);
    let mut package = in_state("a", PackageState::InstallingDependencies);
    package.spec.config = Some("x: 1".to_owned());
    package.spec.target_namespace = Some("t".to_owned());
    let siblings = [in_state("b", PackageState::Installed)];
    let missing = step(&package, &bundle, &siblings, Release::Absent);
    let Action::Create(made) = &missing.action else { panic!("{missing:?}") };
    assert_eq!((made.len(), made[0].name(), made[0].namespace()), (1, "c", NAMESPACE));
    assert_eq!(
        (made[0].spec.config.as_deref(), made[0].spec.target_namespace.as_deref()),
        (Some("x: 1"), Some("t"))
    );
    assert_eq!((detail(&missing), missing.again), ("Waiting for dependencies: c", SOON));
    let siblings = [in_state("b", PackageState::Installing), in_state("C", PackageState::Initializing)];
    let waiting = step(&package, &bundle, &siblings, Release::Absent);
    assert_eq!((detail(&waiting), &waiting.action), ("Waiting for dependencies: b, c", &Action::None));
    // One of another cluster is of no use.
    let mut elsewhere = in_state("b", PackageState::Installed);
    elsewhere.metadata.namespace = Some("eksa-packages-other".to_owned());
    let missing = step(&package, &bundle, &[elsewhere], Release::Absent);
    assert_eq!(detail(&missing), "Waiting for dependencies: b, c");
}

#[test]
fn packages_that_need_each_other_or_nothing_known_are_told_and_not_waited_for() {
    let package = in_state("a", PackageState::InstallingDependencies);
    let cycle = bundle(vec![offer("a", &["1"], &["b"]), offer("b", &["1"], &["A"])]);
    let told = step(&package, &cycle, &[], Release::Absent);
    assert_eq!(detail(&told), "invalid package bundle. (packages need each other: a -> b -> a)");
    let unknown = bundle(vec![offer("a", &["1"], &["x"])]);
    let told = step(&package, &unknown, &[], Release::Absent);
    assert_eq!(detail(&told), "invalid package bundle. (package not found in bundle (v1-35-1): x)");
    assert_eq!((told.again, told.action), (LONG, Action::None));
}

#[test]
fn a_chart_without_a_digest_is_never_installed() {
    let mut offered = offer("a", &["1"], &[]);
    for digest in ["", "latest", "sha256:00"] {
        offered.source.versions[0].digest = digest.to_owned();
        let bundle = bundle(vec![offered.clone()]);
        let told = step(&in_state("a", PackageState::Installing), &bundle, &[], Release::Absent);
        assert_eq!(told.action, Action::None, "{digest}");
        assert!(detail(&told).contains("has no digest"), "{told:?}");
    }
}

#[test]
fn an_error_is_tried_again_and_what_was_given_up_is_not_until_something_changes() {
    let bundle = bundle(vec![offer("a", &["1"], &[])]);
    let mut package = in_state("a", PackageState::Installing);
    let Action::Install(install) = step(&package, &bundle, &[], Release::Absent).action else { panic!() };
    let retry = finish(&package, &install, Outcome::Retry("refused".to_owned()), "m", "t1");
    assert_eq!((retry.status.state, retry.again), (Some(PackageState::Installing), LONG));
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
    // What stood there meanwhile, as that the bundle was gone, is over.
    let mut meanwhile = package.clone();
    meanwhile.status.as_mut().unwrap().detail = Some("getting PackageBundle: gone".to_owned());
    assert_eq!(detail(&step(&meanwhile, &bundle, &[], Release::Absent)), detail(&rests));
    // Who asks for another try gets one.
    let asks = |package: &Package, value: &str| {
        let mut asks = package.clone();
        asks.metadata.annotations.get_or_insert_default().insert(RETRY.to_owned(), value.to_owned());
        asks
    };
    let mut again = asks(&package, "1");
    assert!(matches!(step(&again, &bundle, &[], Release::Absent).action, Action::Install(_)));
    let note = given_up(&again);
    again.metadata.annotations.as_mut().unwrap().insert(GIVEN_UP.to_owned(), note);
    assert_eq!(step(&again, &bundle, &[], Release::Absent).action, Action::None);
    let more = asks(&again, "2");
    assert!(matches!(step(&more, &bundle, &[], Release::Absent).action, Action::Install(_)));
    package.metadata.generation = Some(2);
    assert!(matches!(step(&package, &bundle, &[], Release::Absent).action, Action::Install(_)));
    package.metadata.generation = Some(1);
    let newer = super::tests::bundle(vec![offer("a", &["2"], &[])]);
    assert!(matches!(step(&package, &newer, &[], Release::Absent).action, Action::Install(_)));
}

#[test]
fn an_installation_under_way_tells_how_far_it_is_and_not_what_was_in_the_way_before() {
    let bundle = bundle(vec![offer("a", &["1"], &[])]);
    let mut package = in_state("a", PackageState::Installing);
    let Action::Install(install) = step(&package, &bundle, &[], Release::Absent).action else { panic!() };
    let retry = finish(&package, &install, Outcome::Retry("no right".to_owned()), "m", "t1");
    package.status = Some(retry.status);
    package.status = Some(under_way(&package, "waiting for x", "t2"));
    let status = package.status.as_ref().unwrap();
    let ready = &status.conditions.as_ref().unwrap()[0];
    assert_eq!((status.detail.as_deref(), ready.message.as_str()), (Some("waiting for x"), "waiting for x"));
    assert_eq!((ready.reason.as_str(), ready.last_transition_time.as_str()), ("Waiting", "t1"));
    let done = finish(&package, &install, Outcome::Ready, "m", "t3");
    assert_eq!(done.status.detail, None);
}

#[test]
fn what_was_given_up_is_remembered_where_definitions_drop_conditions() {
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
    let newer = super::tests::bundle(vec![offer("a", &["2"], &[])]);
    assert!(matches!(step(&package, &newer, &[], Release::Absent).action, Action::Install(_)));
    package.metadata.generation = Some(2);
    assert!(matches!(step(&package, &bundle, &[], Release::Absent).action, Action::Install(_)));
}

#[test]
fn what_is_begun_anew_after_a_failure_is_tried_again_when_it_does_not_succeed_at_once() {
    let bundle = bundle(vec![offer("a", &["2"], &[])]);
    let mut package = in_state("a", PackageState::Installing);
    let failed = json!([{"type": "Failed", "status": "True", "reason": "RolledBack", "message": "",
        "lastTransitionTime": "t", "observedGeneration": 1}]);
    package.status.as_mut().unwrap().conditions = serde_json::from_value(failed).unwrap();
    assert!(has_failed(&package));
    let begun = step(&package, &bundle, &[], Release::Absent);
    let Action::Install(install) = begun.action else { panic!("{begun:?}") };
    // The process may end here, or the registry be away.
    package.status = Some(begun.status);
    assert!(matches!(step(&package, &bundle, &[], Release::Absent).action, Action::Install(_)));
    package.status = Some(finish(&package, &install, Outcome::Retry("away".to_owned()), "m", "t").status);
    assert!(matches!(step(&package, &bundle, &[], Release::Absent).action, Action::Install(_)));
}

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
fn a_deleted_package_stays_until_what_it_installed_is_gone() {
    let bundle = bundle(vec![]);
    let mut package = in_state("a", PackageState::Installed);
    package.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    let values = values();
    package.status.as_mut().unwrap().detail = Some("no bundle is active yet".to_owned());
    let going = step(&package, &bundle, &[], Release::Present(&values));
    assert_eq!((going.action, going.status.state), (Action::Uninstall, Some(PackageState::Uninstalling)));
    assert_eq!(going.status.detail, None);
    let mut held = package.clone();
    held.status = Some(PackageStatus { detail: Some("not gone".to_owned()), ..going.status });
    assert_eq!(detail(&step(&held, &bundle, &[], Release::Present(&values))), "not gone");
    assert_eq!(step(&package, &bundle, &[], Release::Unknown("gone")).action, Action::None);
    assert_eq!(step(&package, &bundle, &[], Release::Absent).action, Action::Release);
    package.metadata.finalizers = None;
    assert_eq!(step(&package, &bundle, &[], Release::Present(&values)).action, Action::None);
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

/// A cluster with packages, and what is installed.
struct World {
    bundle: PackageBundle,
    packages: Vec<Package>,
    releases: Vec<(String, Value)>,
    /// Names in the order in which they were installed.
    installed: Vec<String>,
}

impl World {
    /// Works on one package; `lost` is how much of the step a controller that dies leaves undone.
    fn work(&mut self, at: usize, fails: bool, lost: Option<usize>) {
        let package = self.packages[at].clone();
        let values =
            self.releases.iter().find(|(name, _)| name == package.name()).map(|(_, values)| values.clone());
        let release = values.as_ref().map_or(Release::Absent, Release::Present);
        let mut decided = step(&package, &self.bundle, &self.packages, release);
        if lost == Some(0) {
            return;
        }
        match decided.action.clone() {
            Action::None | Action::Uninstall | Action::Release => {}
            Action::Hold => self.packages[at].metadata.finalizers = Some(vec![FINALIZER.to_owned()]),
            Action::Create(made) => {
                for made in made {
                    assert!(!self.packages.iter().any(|known| known.name() == made.name()), "made twice");
                    self.packages.push(made);
                }
            }
            Action::Install(install) => {
                let outcome = if fails { Outcome::Retry("no".to_owned()) } else { Outcome::Ready };
                if !fails {
                    self.releases.retain(|(name, _)| *name != install.release);
                    self.releases.push((install.release.clone(), install.values.clone()));
                    self.installed.push(install.release.clone());
                }
                decided = finish(&package, &install, outcome, "mgmt", "t");
            }
        }
        if lost.is_none() {
            self.packages[at].status = Some(decided.status);
        }
    }

    fn is_done(&self) -> bool {
        self.packages.iter().all(|package| {
            package.status.as_ref().and_then(|status| status.state) == Some(PackageState::Installed)
        })
    }
}

proptest! {
    #[test]
    fn packages_are_installed_in_order_whatever_is_lost_on_the_way(
        needs in prop::collection::vec(prop::collection::vec(0_usize..6, 0..3), 6),
        hazards in prop::collection::vec((any::<bool>(), prop::option::weighted(0.4, 0_usize..2)), 0..60),
    ) {
        let name = |index: usize| format!("p{index}");
        // A package needs such as come after it, so that none needs itself.
        let offers = needs.iter().enumerate().map(|(index, needs)| {
            let mut names: Vec<_> = needs.iter().filter(|need| **need > index).map(|need| name(*need)).collect();
            names.sort();
            names.dedup();
            offer(&name(index), &["1"], &names.iter().map(String::as_str).collect::<Vec<_>>())
        });
        let bundle = bundle(offers.collect());
        let mut first = package(&name(0));
        first.metadata.finalizers = None;
        let mut world = World { bundle, packages: vec![first], releases: vec![], installed: vec![] };
        let mut hazards = hazards.into_iter();
        for _ in 0..200 {
            for at in 0..world.packages.len() {
                let (fails, lost) = hazards.next().unwrap_or((false, None));
                world.work(at, fails, lost);
            }
            if world.is_done() {
                break;
            }
        }
        prop_assert!(world.is_done(), "it never ends: {:?}", world.packages);
        for package in &world.packages {
            let offered = world.bundle.spec.package(package.name()).unwrap();
            let first = |name: &str| world.installed.iter().position(|installed| installed == name).unwrap();
            for need in offered.source.versions[0].dependencies.iter().flatten() {
                prop_assert!(first(need) < first(package.name()), "{need} after {}", package.name());
            }
        }
        // A quiet world stays quiet.
        let before = world.installed.len();
        for at in 0..world.packages.len() {
            world.work(at, false, None);
        }
        prop_assert!(world.is_done() && world.installed.len() == before);
    }
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
