//! The packages that one needs: which are there, which are to be made, and which can never be.

use package_api::{Package, PackageBundle, PackageSpec, PackageState};

use super::are_together;

/// A chain of dependencies is not longer than this.
const MOST: usize = 32;

/// How the dependencies of a package are.
#[derive(Clone, Debug, PartialEq)]
pub enum Dependencies {
    /// All are installed.
    Ready,
    /// Some are not yet; their names.
    Waiting(Vec<String>),
    /// Some are not asked for by anyone.
    Missing {
        /// To be made.
        create: Vec<Package>,
        /// The names of all that are not installed.
        waiting: Vec<String>,
    },
    /// They can never be: why.
    Unusable(String),
}

pub(super) fn resolve(
    package: &Package,
    bundle: &PackageBundle,
    names: &[String],
    siblings: &[Package],
) -> Dependencies {
    let mut path = vec![package.spec.package_name.to_lowercase()];
    if let Err(reason) = check(bundle, names, &mut path) {
        return Dependencies::Unusable(reason);
    }
    let (mut create, mut waiting) = (Vec::new(), Vec::new());
    for name in names {
        let same = |sibling: &&Package| {
            sibling.spec.package_name.eq_ignore_ascii_case(name) && are_together(sibling, package)
        };
        let mut found = siblings.iter().filter(same).peekable();
        if found.peek().is_none() {
            create.push(made_for(package, name));
            waiting.push(name.clone());
        } else if !found.any(is_installed) {
            waiting.push(name.clone());
        }
    }
    match (create.is_empty(), waiting.is_empty()) {
        (true, true) => Dependencies::Ready,
        (true, false) => Dependencies::Waiting(waiting),
        (false, _) => Dependencies::Missing { create, waiting },
    }
}

fn is_installed(package: &Package) -> bool {
    let state = package.status.as_ref().and_then(|status| status.state);
    state == Some(PackageState::Installed) && package.metadata.deletion_timestamp.is_none()
}

/// Upstream waits for ever where packages need each other.
fn check(bundle: &PackageBundle, names: &[String], path: &mut Vec<String>) -> Result<(), String> {
    for name in names {
        let lower = name.to_lowercase();
        if path.contains(&lower) {
            return Err(format!("packages need each other: {} -> {lower}", path.join(" -> ")));
        }
        let found = bundle.spec.package(name).and_then(|package| package.version(None));
        let found =
            found.ok_or_else(|| format!("package not found in bundle ({}): {name}", bundle.name()))?;
        if path.len() >= MOST {
            return Err(format!("more than {MOST} packages need each other: {}", path.join(" -> ")));
        }
        path.push(lower);
        check(bundle, found.dependencies.as_deref().unwrap_or_default(), path)?;
        path.pop();
    }
    Ok(())
}

/// As upstream makes it: named after the package, with the configuration of the one that needs it.
fn made_for(package: &Package, name: &str) -> Package {
    let spec = PackageSpec {
        package_name: name.to_owned(),
        config: package.spec.config.clone(),
        target_namespace: package.spec.target_namespace.clone(),
        ..PackageSpec::default()
    };
    let mut made = Package::new(name, spec);
    made.metadata.namespace.clone_from(&package.metadata.namespace);
    made
}
