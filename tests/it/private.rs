//! Only the owner can read a store and secret files elsewhere, whatever the umask; and every wait for a lock has a limit.

#[cfg(feature = "slow-tests")]
mod waits;
#[cfg(feature = "slow-tests")]
mod workflow;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::signing::site;

const AIRLOCK: &str = env!("CARGO_BIN_EXE_airlock");

/// A command that runs with this umask.
fn command(folder: &Path, umask: &str, arguments: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\""), AIRLOCK]).args(arguments);
    shell.current_dir(folder).env_clear().env("HOME", folder).env("AIRLOCK_KEY_PASSWORD", "a password");
    shell.stdin(Stdio::null());
    shell
}

fn works(folder: &Path, umask: &str, arguments: &[&str]) {
    let output = command(folder, umask, arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{umask} {arguments:?}: {said}");
}

/// Checks a path and everything below it; returns the number of files and folders.
fn assert_private(path: &Path) -> usize {
    let found = fs::symlink_metadata(path).unwrap();
    let wanted = if found.is_dir() { 0o700 } else { 0o600 };
    assert_eq!(found.permissions().mode() & 0o777, wanted, "{}", path.display());
    if !found.is_dir() {
        return 1;
    }
    1 + fs::read_dir(path).unwrap().map(|entry| assert_private(&entry.unwrap().path())).sum::<usize>()
}

#[test]
fn a16_a_log_that_others_can_read_is_made_private_when_its_store_is_opened() {
    let folder = site();
    let path = folder.path();
    works(path, "022", &["mirror", "--store", "near"]);
    let log = path.join("near/log");
    fs::set_permissions(&log, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(log.join("tail"), fs::Permissions::from_mode(0o644)).unwrap();
    works(path, "022", &["mirror", "--store", "near"]);
    assert_private(&path.join("near"));
}
