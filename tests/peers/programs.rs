//! Where the programs are that tests look at, for the suites of all crates: each includes this file.

use std::path::PathBuf;

/// What `tests/peers/build` and `tests/peers/schemas` make.
fn folder() -> PathBuf {
    let folder = std::env::var_os("AIRLOCK_PEERS").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/airlock-peers");
    folder.unwrap_or_else(home)
}

/// A file there by its path; `None`, after saying so, where it is not, and an error where it must be.
pub(crate) fn found(path: &str) -> Option<PathBuf> {
    let file = folder().join(path);
    if file.exists() {
        return Some(file);
    }
    missing(path);
    None
}

/// Says that something is not there, or fails where it must be.
pub(crate) fn missing(what: &str) {
    assert!(
        std::env::var_os("AIRLOCK_TEST_REQUIRE_PEERS").is_none(),
        "missing: {what}; run scripts/test, which installs it"
    );
    println!("skipped: {what} is not installed; scripts/test installs it");
}

/// A program by name: made there, or installed.
pub(crate) fn program(name: &str) -> PathBuf {
    let built = folder().join("bin").join(name);
    if built.exists() { built } else { PathBuf::from(name) }
}

/// Whether all programs are there; says which are not, or fails where they must be.
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
