//! A simulation in which packages are reconciled until all are installed, with lost steps.

use proptest::prelude::*;

use super::{bundle, offer, package, step};
use crate::package::*;

/// A cluster with packages and releases.
struct World {
    bundle: PackageBundle,
    packages: Vec<Package>,
    releases: Vec<(String, Value)>,
    /// Names in the order in which they were installed.
    installed: Vec<String>,
}

impl World {
    /// Reconciles one package. `lost` is the part of the step that is lost because the controller is killed.
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
            Action::None | Action::Uninstall | Action::RemoveFinalizer => {}
            Action::AddFinalizer => self.packages[at].metadata.finalizers = Some(vec![FINALIZER.to_owned()]),
            Action::Create(created) => {
                for dependency in created {
                    assert!(
                        !self.packages.iter().any(|known| known.name() == dependency.name()),
                        "created twice"
                    );
                    self.packages.push(dependency);
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
    fn packages_are_installed_in_order_even_if_steps_are_lost(
        needs in prop::collection::vec(prop::collection::vec(0_usize..6, 0..3), 6),
        hazards in prop::collection::vec((any::<bool>(), prop::option::weighted(0.4, 0_usize..2)), 0..60),
    ) {
        let name = |index: usize| format!("p{index}");
        // A package depends only on later ones, so there are no cycles.
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
        prop_assert!(world.is_done(), "not all packages were installed: {:?}", world.packages);
        for package in &world.packages {
            let offered = world.bundle.spec.package(package.name()).unwrap();
            let first = |name: &str| world.installed.iter().position(|installed| installed == name).unwrap();
            for need in offered.source.versions[0].dependencies.iter().flatten() {
                prop_assert!(first(need) < first(package.name()), "{need} after {}", package.name());
            }
        }
        // Nothing more happens afterwards.
        let before = world.installed.len();
        for at in 0..world.packages.len() {
            world.work(at, false, None);
        }
        prop_assert!(world.is_done() && world.installed.len() == before);
    }
}
