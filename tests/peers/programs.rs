//! Finds the external programs that tests use. The suites of all crates include this file.

use std::path::PathBuf;

/// The folder that `tests/peers/build` and `tests/peers/schemas` write to.
pub(crate) fn folder() -> PathBuf {
    let folder = std::env::var_os("AIRLOCK_PEERS").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/airlock-peers");
    folder.unwrap_or_else(home)
}

/// Returns a file in that folder by its path. If it does not exist, prints that and returns `None`, or fails if it is required.
pub(crate) fn found(path: &str) -> Option<PathBuf> {
    let file = folder().join(path);
    if file.exists() {
        return Some(file);
    }
    missing(path);
    None
}

/// Prints that something is missing, or fails if it is required.
pub(crate) fn missing(what: &str) {
    assert!(
        std::env::var_os("AIRLOCK_TEST_REQUIRE_PEERS").is_none(),
        "missing: {what}; run scripts/test, which installs it"
    );
    println!("skipped: {what} is not installed; scripts/test installs it");
}

/// The path of a program: from that folder, or as installed.
pub(crate) fn program(name: &str) -> PathBuf {
    let built = folder().join("bin").join(name);
    if built.exists() { built } else { PathBuf::from(name) }
}

/// Reports whether all programs exist. Prints which are missing, or fails if they are required.
pub(crate) fn require(names: &[&str]) -> bool {
    let absent: Vec<_> = names
        .iter()
        .filter(|name| std::process::Command::new(program(name)).arg("--version").output().is_err())
        .copied()
        .collect();
    if !absent.is_empty() {
        missing(&absent.join(", "));
    }
    absent.is_empty()
}
