//! A site that the quickstart creates, and the external programs that use it. Every process is stopped on drop.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) use crate::programs::{program, require};

const AIRLOCK: &str = env!("CARGO_BIN_EXE_airlock");

/// Runs a program and expects success; returns its output.
pub(crate) fn run(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(program(name)).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{name} {}\n{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The folder that a quickstart creates.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    /// The image's digest at the upstream.
    pub(crate) digest: String,
}

impl Site {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), digest: String::new() }
    }

    pub(crate) fn quickstart() -> Self {
        let mut site = Self::empty();
        let folder = &site.folder;
        let made = Command::new(AIRLOCK)
            .args(["quickstart", "--quiet", "--exit", "--listen", "127.0.0.1:5600", "--dir", "."])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let listed = site.airlock(&["store", "list", "--store", "upstream", "--output", "json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        listed[0]["digest"].as_str().unwrap().clone_into(&mut site.digest);
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs airlock in the site's folder and expects success; returns its standard output.
    pub(crate) fn airlock(&self, arguments: &[&str]) -> String {
        let output = Command::new(AIRLOCK).args(arguments).current_dir(self.folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs airlock in the site's folder and expects this exit code; returns everything it printed.
    pub(crate) fn ends(&self, code: i32, arguments: &[&str]) -> String {
        let output = Command::new(AIRLOCK).args(arguments).current_dir(self.folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said.into_owned()
    }

    /// Runs cosign in the site's folder with space-separated arguments; returns whether it succeeded, and its output.
    pub(crate) fn cosign(&self, version: &str, line: &str) -> (bool, String) {
        let output = Command::new(program(version))
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .env("COSIGN_PASSWORD", "secret")
            .env("COSIGN_YES", "true")
            .env("HOME", self.folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said.into_owned())
    }

    /// Starts the CNCF registry on a free port; it has no referrers API.
    pub(crate) fn registry(&self) -> Process {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let config = serde_json::json!({
            "version": 0.1, "storage": { "filesystem": { "rootdirectory": self.path("registry") } },
            "http": { "addr": address }, "log": { "level": "error" },
        });
        std::fs::write(self.path("registry.yml"), config.to_string()).unwrap();
        let child = Command::new(program("registry"))
            .args(["serve", "registry.yml"])
            .current_dir(self.folder.path())
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let process = Process { child, address };
        wait_for("registry", || std::net::TcpStream::connect(&process.address).ok());
        process
    }

    /// Serves the site's store with `airlock serve` on a free port.
    pub(crate) fn serve(&self, more: &[&str]) -> Process {
        self.serve_store("site", more)
    }

    /// Serves a store with `airlock serve` on a free port.
    pub(crate) fn serve_store(&self, store: &str, more: &[&str]) -> Process {
        let file = format!("address-{store}{}", more.len());
        let create: &[&str] = if more.contains(&"--read-only") { &[] } else { &["--create"] };
        self.start(&file, &[&["--store", store, "--listen", "127.0.0.1:0"], create, more].concat())
    }

    /// Serves as a configuration file says, on its only listener.
    pub(crate) fn serve_file(&self, config: &str) -> Process {
        self.start(&format!("address-{config}"), &["--file", config])
    }

    fn start(&self, address_file: &str, arguments: &[&str]) -> Process {
        let child = Command::new(AIRLOCK)
            .args(["serve", "--address-file", address_file])
            .args(arguments)
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let file = self.path(address_file);
        let mut process = Process::of(child);
        process.address = wait_for("airlock serve", || {
            let url = std::fs::read_to_string(&file).ok()?;
            Some(url.trim().split_once("://")?.1.to_owned())
        });
        process
    }
}

/// A child process that is killed on drop.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: String,
}

impl Process {
    pub(crate) fn of(child: Child) -> Self {
        Self { child, address: String::new() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A separate containerd, with its socket in a folder.
pub(crate) struct Containerd {
    folder: PathBuf,
    _process: Process,
}

impl Containerd {
    /// Without the interface that the kubelet uses.
    pub(crate) fn start(folder: &Path) -> Self {
        let parts =
            ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"];
        Self::configured(folder, &format!("disabled_plugins = {parts:?}\n"))
    }

    /// With the interface that the kubelet uses, and a folder with a `hosts.toml` for each registry.
    pub(crate) fn with_images(folder: &Path, hosts: &Path) -> Self {
        let (at, hosts) = (folder.display(), hosts.display());
        let config = format!(
            "[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '{hosts}'\n\
             [plugins.'io.containerd.cri.v1.runtime']\nrestrict_oom_score_adj = true\n\
             [plugins.'io.containerd.cri.v1.runtime'.cni]\nbin_dirs = ['{at}']\nconf_dir = '{at}'\n"
        );
        Self::configured(folder, &config)
    }

    /// `more` begins with top-level settings, if it has any.
    fn configured(folder: &Path, more: &str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let at = folder.display();
        let config = format!(
            "version = 4\nroot = '{at}/root'\nstate = '{at}/state'\n{more}\
             [plugins.'io.containerd.server.v1.grpc']\naddress = '{at}/sock'\n\
             [plugins.'io.containerd.server.v1.ttrpc']\naddress = '{at}/ttrpc'\n"
        );
        std::fs::write(folder.join("config.toml"), config).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let child = Command::new(program("containerd"))
            .arg("--config")
            .arg(folder.join("config.toml"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let process = Process::of(child);
        let socket = folder.join("sock");
        wait_for("containerd", || std::os::unix::net::UnixStream::connect(&socket).ok());
        Self { folder: folder.to_owned(), _process: process }
    }

    pub(crate) fn ctr(&self, arguments: &[&str]) -> String {
        let socket = self.folder.join("sock").display().to_string();
        run("ctr", &[&["--address", &socket], arguments].concat())
    }
}

pub(crate) fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(value) = ready() {
            return value;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not start")
}
