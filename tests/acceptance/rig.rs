//! Runs the built binary and peers, and inspects the files that they leave.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

pub(crate) const AIRLOCK: &str = env!("CARGO_BIN_EXE_airlock");

/// A command that runs the built binary in a clean environment.
pub(crate) fn airlock(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(AIRLOCK);
    command.args(arguments).current_dir(directory).env_clear().env("AIRLOCK_KEY_PASSWORD", "a password");
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", directory);
    command
}

/// Runs the command and expects success.
pub(crate) fn run(directory: &Path, arguments: &[&str]) -> Output {
    let output = airlock(directory, arguments).output().unwrap();
    assert!(
        output.status.success(),
        "airlock {} failed with {}\n{}\n{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs the command, and expects success and one JSON document on standard output.
pub(crate) fn run_json(directory: &Path, arguments: &[&str]) -> Value {
    let mut all = arguments.to_vec();
    all.extend(["--output", "json"]);
    serde_json::from_slice(&run(directory, &all).stdout).unwrap()
}

/// A child process that is killed on drop.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `airlock serve` of a store, on a free loopback port.
pub(crate) fn serve(directory: &Path, store: &str) -> Server {
    let file = directory.join(format!("{store}.address"));
    let _ = std::fs::remove_file(&file);
    let name = file.to_str().unwrap();
    let arguments =
        ["serve", "--create", "--store", store, "--listen", "127.0.0.1:0", "--address-file", name];
    let mut child =
        airlock(directory, &arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    for _ in 0..600 {
        if let Ok(text) = std::fs::read_to_string(&file)
            && text.ends_with('\n')
        {
            let address = text.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
            drain(&mut child);
            return Server { child, address };
        }
        if let Some(status) = child.try_wait().unwrap() {
            let mut text = String::new();
            std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut text).unwrap();
            panic!("airlock serve ended with {status}: {text}");
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let _ = child.kill();
    panic!("airlock serve did not start");
}

/// Starts Debian's `docker-registry` on an empty folder. If it is not installed, prints one line and returns `None`.
pub(crate) fn docker_registry(directory: &Path) -> Option<Server> {
    if Command::new("docker-registry").arg("--version").output().is_err() {
        assert!(
            std::env::var_os("AIRLOCK_TEST_REQUIRE_PEERS").is_none(),
            "docker-registry is missing: run scripts/test, which installs it"
        );
        println!("skipped: docker-registry is not installed");
        return None;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = directory.join("registry.yml");
    let root = directory.join("upstream");
    let text = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
        root.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server { child: command.spawn().unwrap(), address: format!("127.0.0.1:{port}") };
    for _ in 0..200 {
        if std::net::TcpStream::connect(&server.address).is_ok() {
            return Some(server);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("docker-registry did not start");
}

/// Reads the child's standard error, so that a full pipe does not block the child.
fn drain(child: &mut Child) {
    if let Some(stderr) = child.stderr.take() {
        std::thread::spawn(move || BufReader::new(stderr).lines().map_while(Result::ok).for_each(drop));
    }
}

/// Every name, tag, manifest and blob file of a store, as sorted lines. They must be equal after a crash.
pub(crate) fn dump(root: &Path) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let store = store::Store::open_existing(root).unwrap();
    for repository in store.repositories(None, None).unwrap() {
        lines.insert(format!("repository {repository}"));
        for (tag, digest) in store.tags(&repository, None, None).unwrap() {
            lines.insert(format!("tag {repository}:{tag} {digest}"));
        }
        for row in store.manifests(&repository).unwrap() {
            lines.insert(format!("manifest {repository} {} {} {}", row.digest, row.media_type, row.size));
            for referrer in store.referrers(&repository, &row.digest, None).unwrap() {
                lines.insert(format!("referrer {repository} {} of {}", referrer.digest, row.digest));
            }
        }
    }
    for path in files(&root.join("blobs")) {
        let size = path.metadata().unwrap().len();
        lines.insert(format!("blob {} {size}", path.strip_prefix(root).unwrap().display()));
    }
    lines
}

/// All files below a folder, sorted.
pub(crate) fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// A key pair and the trust file that accepts it.
pub(crate) fn make_keys(directory: &Path) {
    run(directory, &["keys", "generate", "release"]);
    run(directory, &["keys", "trust", "--to", "trust.yaml", "release.pub"]);
}
