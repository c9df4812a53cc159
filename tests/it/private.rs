//! Only the owner can read a store and secret files elsewhere, whatever the umask; and every wait for a lock has a limit.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::cli::airlock;
use crate::signing::{IMAGE, site};

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

/// Pushes a blob to the registry.
fn push(folder: &Path, address: &str) {
    let url = format!("https://{address}/v2/new/blobs/uploads/?digest={}", oci::Digest::sha256(b"{}"));
    let send =
        ["--cacert", "far/tls/ca.crt", "--fail", "--silent", "--show-error", "--data-binary", "{}", &url];
    let sent = Command::new("curl").args(send).current_dir(folder).output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

struct Server(Child);

impl Server {
    /// Starts a server with a self-signed certificate and a new store.
    fn start(folder: &Path, umask: &str) -> (Self, String) {
        let serve = ["serve", "--store", "far", "--create", "--self-signed", "--listen", "127.0.0.1:0"];
        let arguments = [&serve[..], &["--address-file", "address", "--anonymous-push"]].concat();
        let mut command = command(folder, umask, &arguments);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self(child);
        for _ in 0..1200 {
            if let Ok(url) = fs::read_to_string(folder.join("address")) {
                return (server, url.trim().trim_start_matches("https://").to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server did not start")
    }

    fn stop(mut self) {
        assert!(Command::new("kill").arg(self.0.id().to_string()).status().unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a16_everything_below_a_store_is_private_after_a_complete_workflow_under_any_umask() {
    if !crate::programs::require(&["curl"]) {
        return;
    }
    for umask in ["000", "022"] {
        let folder = site();
        let path = folder.path();
        let run = |arguments: &[&str]| works(path, umask, arguments);
        let (server, address) = Server::start(path, umask);
        push(path, &address);
        run(&["keys", "generate", "k"]);
        run(&["mirror", "--store", "near"]);
        run(&["sign", IMAGE, "--store", "near", "--key", "k.key"]);
        run(&["pack", "--store", "near", "--to", "drive", "--key", "k.key"]);
        run(&["keys", "trust", "k.pub", "--log", "near/log/key.pub"]);
        server.stop();
        run(&["import", "drive", "--trust", "trust.yaml", "--store", "far"]);
        run(&["return", "--store", "far", "--to", "back"]);
        let key = fs::read_to_string(path.join("far/witness/key.pub")).unwrap();
        run(&["keys", "trust", "k.pub", "--witness", key.trim(), "--to", "sites.yaml"]);
        run(&["acknowledge", "back", "--store", "near", "--trust", "sites.yaml"]);
        // The tail, the seal and the records are rewritten each time.
        for store in ["near", "far"] {
            run(&["store", "check", "--store", store]);
            run(&["store", "gc", "--store", store]);
            run(&["audit", "index", "--rebuild", "--store", store]);
            run(&["audit", "verify", "--store", store]);
            run(&["store", "rebuild", "--store", store]);
            let seen = assert_private(&path.join(store));
            assert!(seen > 540, "{seen}");
            for part in
                ["log/tail", "log/key.pub", "log/lock", "log/index.sqlite", "log/index.seal", "log/tile"]
            {
                assert!(path.join(store).join(part).exists(), "{part}");
            }
        }
        for part in
            ["far/witness/senders", "far/witness/lock", "far/tls/server.key", "near/witness/sites", "k.key"]
        {
            assert!(assert_private(&path.join(part)) > 0);
        }
        assert!(assert_private(&path.join(".local/state/airlock")) > 1, "the record of the last drive");
    }
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
