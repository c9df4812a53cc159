//! The states of a package, and the steps between them.

use installer::IMAGE_REGISTRY;
use package_api::{
    BundlePackage, BundleSource, PackageBundleSpec, PackageSource, PackageSpec, SourceVersion,
};
use serde_json::json;

use super::*;

mod failures;
mod namespaces;
mod world;

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
    assert_eq!((seen.status.state, seen.recheck), (Some(S::InstallingDependencies), NOW));
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
    assert_eq!((done.status.state, done.recheck), (Some(S::Installed), VERY_LONG));
    assert_eq!((done.status.current_version.as_str(), done.status.detail), ("1", None));
    let calm = step(&in_state("a", S::Installed), &bundle, &[], Release::Present(&values()));
    assert_eq!((calm.status.state, calm.action, calm.recheck), (Some(S::Installed), Action::None, VERY_LONG));
    let updating = step(&in_state("a", S::Updating), &bundle, &[], Release::Absent);
    assert_eq!((updating.status.state, updating.recheck), (Some(S::InstallingDependencies), NOW));
}

#[test]
fn an_installed_package_is_updated_when_its_chart_values_or_release_change() {
    let newer = bundle(vec![offer("a", &["2", "1"], &[])]);
    let same = bundle(vec![offer("a", &["1"], &[])]);
    let installed = in_state("a", PackageState::Installed);
    let other = json!({ "sourceRegistry": "elsewhere" });
    for (bundle, release) in
        [(&newer, Release::Present(&values())), (&same, Release::Present(&other)), (&same, Release::Absent)]
    {
        let step = step(&installed, bundle, &[], release);
        assert_eq!((step.status.state, step.recheck), (Some(PackageState::Updating), SHORT));
    }
    // Secrets that upstream's controller added are not a change, and neither is an unknown release.
    let added = json!({ "sourceRegistry": IMAGE_REGISTRY, "imagePullSecrets": [{"name": "ecr-token"}] });
    assert_eq!(step(&installed, &same, &[], Release::Present(&added)).recheck, VERY_LONG);
    // A chart that accepts no additional values was installed without the registry.
    assert_eq!(step(&installed, &same, &[], Release::Present(&json!({}))).recheck, VERY_LONG);
    let unknown = step(&installed, &same, &[], Release::Unknown("timed out"));
    assert_eq!((unknown.status.state, detail(&unknown)), (Some(PackageState::Installed), "timed out"));
    // The detail is cleared once it no longer applies.
    let after = Package { status: Some(unknown.status), ..installed };
    assert_eq!(step(&after, &same, &[], Release::Present(&values())).status.detail, None);
}

#[test]
fn the_source_of_an_added_registry_is_reported() {
    let bundle = bundle(vec![offer("a", &["1"], &[])]);
    let step = step(&in_state("a", PackageState::Installing), &bundle, &[], Release::Absent);
    let Action::Install(install) = step.action else { panic!("{step:?}") };
    let message = added_registry(&install, Some("x: 1")).unwrap();
    assert!(
        message
            .starts_with(&format!("`sourceRegistry` was set to `{IMAGE_REGISTRY}`, the cluster's `default"))
    );
    assert_eq!(added_registry(&install, Some("sourceRegistry: own.example")), None);
}

#[test]
fn upgrades_are_listed_for_a_package_with_a_fixed_version() {
    let newer = bundle(vec![offer("a", &["3", "2", "1"], &[])]);
    let mut fixed = in_state("a", PackageState::Installed);
    fixed.spec.package_version = Some("1".to_owned());
    let step = step(&fixed, &newer, &[], Release::Present(&values()));
    assert_eq!(step.status.state, Some(PackageState::Installed));
    let listed = step.status.upgrades_available.unwrap();
    assert_eq!(listed.iter().map(|upgrade| upgrade.version.as_str()).collect::<Vec<_>>(), ["3", "2"]);
    assert_eq!(step.status.target_version.as_deref(), Some("1"));
}

#[test]
fn dependencies_are_created_with_the_configuration_and_waited_for() {
    let bundle =
        bundle(vec![offer("a", &["1"], &["b", "c"]), offer("b", &["1"], &[]), offer("c", &["1"], &[])]);
    let mut package = in_state("a", PackageState::InstallingDependencies);
    package.spec.config = Some("x: 1".to_owned());
    package.spec.target_namespace = Some("t".to_owned());
    let siblings = [in_state("b", PackageState::Installed)];
    let missing = step(&package, &bundle, &siblings, Release::Absent);
    let Action::Create(created) = &missing.action else { panic!("{missing:?}") };
    assert_eq!((created.len(), created[0].name(), created[0].namespace()), (1, "c", NAMESPACE));
    assert_eq!(
        (created[0].spec.config.as_deref(), created[0].spec.target_namespace.as_deref()),
        (Some("x: 1"), Some("t"))
    );
    assert_eq!((detail(&missing), missing.recheck), ("Waiting for dependencies: c", SOON));
    let siblings = [in_state("b", PackageState::Installing), in_state("C", PackageState::Initializing)];
    let waiting = step(&package, &bundle, &siblings, Release::Absent);
    assert_eq!((detail(&waiting), &waiting.action), ("Waiting for dependencies: b, c", &Action::None));
    // A package of another cluster does not count.
    let mut elsewhere = in_state("b", PackageState::Installed);
    elsewhere.metadata.namespace = Some("eksa-packages-other".to_owned());
    let missing = step(&package, &bundle, &[elsewhere], Release::Absent);
    assert_eq!(detail(&missing), "Waiting for dependencies: b, c");
}

#[test]
fn dependency_cycles_and_unknown_dependencies_are_reported_and_not_waited_for() {
    let package = in_state("a", PackageState::InstallingDependencies);
    let cycle = bundle(vec![offer("a", &["1"], &["b"]), offer("b", &["1"], &["A"])]);
    let reported = step(&package, &cycle, &[], Release::Absent);
    assert_eq!(detail(&reported), "invalid package bundle. (the dependencies form a cycle: a -> b -> a)");
    let unknown = bundle(vec![offer("a", &["1"], &["x"])]);
    let reported = step(&package, &unknown, &[], Release::Absent);
    assert_eq!(detail(&reported), "invalid package bundle. (package not found in bundle (v1-35-1): x)");
    assert_eq!((reported.recheck, reported.action), (LONG, Action::None));
}

#[test]
fn a_chart_without_a_digest_is_never_installed() {
    let mut offered = offer("a", &["1"], &[]);
    for digest in ["", "latest", "sha256:00"] {
        offered.source.versions[0].digest = digest.to_owned();
        let bundle = bundle(vec![offered.clone()]);
        let reported = step(&in_state("a", PackageState::Installing), &bundle, &[], Release::Absent);
        assert_eq!(reported.action, Action::None, "{digest}");
        assert!(detail(&reported).contains("has no digest"), "{reported:?}");
    }
}

#[test]
fn a_deleted_package_stays_until_its_release_is_uninstalled() {
    let bundle = bundle(vec![]);
    let mut package = in_state("a", PackageState::Installed);
    package.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    let values = values();
    package.status.as_mut().unwrap().detail = Some("no bundle is active yet".to_owned());
    let going = step(&package, &bundle, &[], Release::Present(&values));
    assert_eq!((going.action, going.status.state), (Action::Uninstall, Some(PackageState::Uninstalling)));
    assert_eq!(going.status.detail, None);
    let mut held = package.clone();
    held.status = Some(PackageStatus { detail: Some("not deleted after 15 s".to_owned()), ..going.status });
    assert_eq!(detail(&step(&held, &bundle, &[], Release::Present(&values))), "not deleted after 15 s");
    assert_eq!(step(&package, &bundle, &[], Release::Unknown("gone")).action, Action::None);
    assert_eq!(step(&package, &bundle, &[], Release::Absent).action, Action::RemoveFinalizer);
    package.metadata.finalizers = None;
    assert_eq!(step(&package, &bundle, &[], Release::Present(&values)).action, Action::None);
}
