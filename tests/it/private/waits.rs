//! Every wait for a lock has a limit.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use super::{command, works};
use crate::cli::airlock;
use crate::signing::site;

/// Locks a file, as any user who can open it could.
fn lock(path: &Path) -> File {
    let file = File::options().read(true).write(true).open(path).unwrap();
    file.lock().unwrap();
    file
}

#[test]
fn a16_a_command_that_waits_for_a_log_or_a_witness_names_the_process_that_holds_it() {
    let folder = site();
    let path = folder.path();
    works(path, "022", &["keys", "generate", "k"]);
    works(path, "022", &["mirror", "--store", "near"]);
    works(path, "022", &["pack", "--store", "near", "--to", "drive", "--key", "k.key"]);
    works(path, "022", &["keys", "trust", "k.pub", "--log", "near/log/key.pub"]);
    works(path, "022", &["import", "drive", "--trust", "trust.yaml", "--store", "far"]);
    works(path, "022", &["audit", "index", "--store", "near"]);
    let locks =
        ["near/log/lock", "near/log/index.lock", "far/witness/lock"].map(|file| lock(&path.join(file)));
    let begun = Instant::now();
    let waiting: Vec<(&str, Child)> = [
        ("near/log/lock", &["store", "gc", "--store", "near"][..]),
        ("near/log/lock", &["audit", "verify", "--store", "near"]),
        ("near/log/index.lock", &["audit", "log", "--store", "near"]),
        ("far/witness/lock", &["import", "drive", "--trust", "trust.yaml", "--store", "far"]),
        ("far/witness/lock", &["return", "--store", "far", "--to", "back"]),
    ]
    .into_iter()
    .map(|(lock, arguments)| {
        let mut command = command(path, "022", arguments);
        (lock, command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    })
    .collect();
    for (lock, child) in waiting {
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&stderr).into_owned();
        assert_eq!(status.code(), Some(1), "{lock}: {said}");
        assert!(said.contains(lock) && said.contains(&format!("process {}", std::process::id())), "{said}");
        assert!(said.contains("running for") && said.contains("wait for that process to end"), "{said}");
    }
    assert!(begun.elapsed() < Duration::from_mins(2));
    drop(locks);
    assert!(airlock(path, &["audit", "verify", "--store", "near"]).status.success());
    works(path, "022", &["import", "drive", "--trust", "trust.yaml", "--store", "far"]);
}
