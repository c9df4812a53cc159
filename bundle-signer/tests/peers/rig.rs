//! Real programs, a registry for them, and image layouts as `cosign save` writes them.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use oci::Digest;
use oci::media_type::{OCI_INDEX, OCI_MANIFEST};

pub(crate) use crate::programs::{program, require};

/// The working folder of programs.
pub(crate) struct Site(tempfile::TempDir);

impl Site {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).unwrap()
    }

    /// Runs a program with arguments separated by spaces, and expects success.
    pub(crate) fn run(&self, name: &str, line: &str) -> String {
        let output = self.command(Command::new(program(name)), line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} {line}\n{said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a program in a network namespace without routes, if the system allows it.
    pub(crate) fn offline(&self, name: &str, line: &str) -> Output {
        let apart = Command::new("unshare").args(["-rn", "true"]).status().is_ok_and(|s| s.success());
        if !apart {
            println!("no network namespace: {name} could reach a network");
            return self.command(Command::new(program(name)), line);
        }
        let mut command = Command::new("unshare");
        command.arg("-rn").arg(program(name));
        self.command(command, line)
    }

    pub(crate) fn accepts(&self, name: &str, line: &str) -> String {
        let output = self.offline(name, line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} {line}\n{said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn refuses(&self, name: &str, line: &str, reason: &str) {
        let output = self.offline(name, line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(reason), "{name} {line}\n{said}");
    }

    pub(crate) fn command(&self, mut command: Command, line: &str) -> Output {
        command.args(line.split_whitespace()).current_dir(self.path());
        command.env("COSIGN_PASSWORD", "secret").env("COSIGN_YES", "true").env("HOME", self.path());
        command.output().unwrap()
    }

    /// An image layout with an image, as `cosign save` writes it.
    pub(crate) fn layout(&self, image: &[u8]) -> Layout {
        let path = self.path().join(Digest::sha256(image).hex());
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        std::fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let mut layout = Layout { path, manifests: Vec::new() };
        layout.name(image, "dev.cosignproject.cosign/image");
        layout
    }
}

pub(crate) struct Layout {
    path: PathBuf,
    manifests: Vec<serde_json::Value>,
}

impl Layout {
    pub(crate) fn blob(&self, bytes: &[u8]) {
        std::fs::write(self.path.join("blobs/sha256").join(Digest::sha256(bytes).hex()), bytes).unwrap();
    }

    pub(crate) fn name(&mut self, manifest: &[u8], kind: &str) {
        self.blob(manifest);
        self.manifests.push(serde_json::json!({
            "mediaType": OCI_MANIFEST, "size": manifest.len(), "digest": Digest::sha256(manifest),
            "annotations": { "kind": kind },
        }));
        let index =
            serde_json::json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": self.manifests });
        std::fs::write(self.path.join("index.json"), index.to_string()).unwrap();
    }

    pub(crate) fn folder(&self) -> String {
        self.path.file_name().unwrap().to_string_lossy().into_owned()
    }
}

/// A network namespace with only a loopback device, so without any route. It ends when it is dropped.
pub(crate) struct Namespace(Child);

impl Namespace {
    /// None if the system does not allow it.
    pub(crate) fn new() -> Option<Self> {
        let script = "ip link set lo up && test -z \"$(ip route)\" && echo ready && exec sleep infinity";
        let mut command = Command::new("unshare");
        command.args(["-rn", "sh", "-c", script]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut own = Self(command.spawn().ok()?);
        let mut said = [0; 5];
        own.0.stdout.as_mut()?.read_exact(&mut said).ok()?;
        (said == *b"ready").then_some(own)
    }

    /// A command to run in it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--user", "--net", "--preserve-credentials", "--target", &self.0.id().to_string()]);
        command.arg(program);
        command
    }

    /// Whether a process listens on this port in the namespace, by the kernel's list.
    fn listens(&self, port: u16) -> bool {
        let sockets = std::fs::read_to_string(format!("/proc/{}/net/tcp", self.0.id())).unwrap_or_default();
        sockets.lines().any(|line| line.contains(&format!(":{port:04X} 00000000:0000 0A")))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The CNCF registry, on a free port; it has no referrers API. It ends when it is dropped.
pub(crate) struct Registry {
    child: Child,
    pub(crate) address: String,
}

impl Registry {
    pub(crate) fn start(site: &Site) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let command = Command::new(program("registry"));
        Self::spawn(site, command, address.clone(), || TcpStream::connect(&address).is_ok())
    }

    /// Starts it in a namespace, with the content of a registry that ran outside.
    pub(crate) fn start_in(namespace: &Namespace, site: &Site) -> Self {
        let command = namespace.command(&program("registry"));
        Self::spawn(site, command, "127.0.0.1:5000".to_owned(), || namespace.listens(5000))
    }

    fn spawn(site: &Site, mut command: Command, address: String, ready: impl Fn() -> bool) -> Self {
        let folder = site.path().join("registry");
        let config = serde_json::json!({
            "version": 0.1, "storage": { "filesystem": { "rootdirectory": folder } },
            "http": { "addr": address }, "log": { "level": "error" },
        });
        site.write("registry.yml", config.to_string());
        command.args(["serve", "registry.yml"]).current_dir(site.path()).env("OTEL_TRACES_EXPORTER", "none");
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let registry = Self { child, address };
        for _ in 0..600 {
            if ready() {
                return registry;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the registry did not start")
    }

    pub(crate) fn push(&self, repository: &str, blob: &[u8]) {
        let (status, head, _) = self.request("POST", &format!("/v2/{repository}/blobs/uploads/"), "", b"");
        assert_eq!(status, 202);
        let location = head.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap();
        let location = location.split_once(self.address.as_str()).unwrap().1;
        let path = format!("{location}&digest={}", Digest::sha256(blob));
        let (status, ..) = self.request("PUT", &path, "application/octet-stream", blob);
        assert_eq!(status, 201);
    }

    pub(crate) fn put(&self, repository: &str, name: &str, kind: &str, manifest: &[u8]) {
        let path = format!("/v2/{repository}/manifests/{name}");
        let (status, _, body) = self.request("PUT", &path, kind, manifest);
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
    }

    /// A manifest by tag or digest, or a blob.
    pub(crate) fn get(&self, repository: &str, path: &str) -> Vec<u8> {
        let (status, _, body) = self.request("GET", &format!("/v2/{repository}/{path}"), "", b"");
        assert_eq!(status, 200, "{path}");
        body
    }

    fn request(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        // HTTP/1.0 responses are never chunked.
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nAccept: {OCI_MANIFEST}, {OCI_INDEX}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        let end = response.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&response[..end]).into_owned();
        (head[9..12].parse().unwrap(), head, response[end + 4..].to_vec())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
