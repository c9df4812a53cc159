//! The dependencies of a package: which exist, which must be created, and which cannot be installed.

use package_api::{Package, PackageBundle, PackageSpec, PackageState};

use super::same_cluster;

/// The longest accepted chain of dependencies.
const MAX_DEPTH: usize = 32;

/// The state of a package's dependencies.
#[derive(Clone, Debug, PartialEq)]
pub enum Dependencies {
    /// All are installed.
    Ready,
    /// Some are not installed yet: their names.
    Waiting(Vec<String>),
    /// Some do not exist.
    Missing {
        /// The packages to create.
        create: Vec<Package>,
        /// The names of all that are not installed.
        waiting: Vec<String>,
    },
    /// They cannot be installed: the reason.
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
            sibling.spec.package_name.eq_ignore_ascii_case(name) && same_cluster(sibling, package)
        };
        let mut found = siblings.iter().filter(same).peekable();
        if found.peek().is_none() {
            create.push(dependency(package, name));
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

/// Rejects cycles, for which upstream waits forever.
fn check(bundle: &PackageBundle, names: &[String], path: &mut Vec<String>) -> Result<(), String> {
    for name in names {
        let lower = name.to_lowercase();
        if path.contains(&lower) {
            return Err(format!("the dependencies form a cycle: {} -> {lower}", path.join(" -> ")));
        }
        let found = bundle.spec.package(name).and_then(|package| package.version(None));
        let found =
            found.ok_or_else(|| format!("package not found in bundle ({}): {name}", bundle.name()))?;
        if path.len() >= MAX_DEPTH {
            return Err(format!("a chain of more than {MAX_DEPTH} dependencies: {}", path.join(" -> ")));
        }
        path.push(lower);
        check(bundle, found.dependencies.as_deref().unwrap_or_default(), path)?;
        path.pop();
    }
    Ok(())
}

/// A dependency as upstream creates it: the name is that of the package in the bundle, and the configuration is that of the
/// dependent.
fn dependency(package: &Package, name: &str) -> Package {
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
