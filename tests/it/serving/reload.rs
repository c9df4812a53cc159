//! Reloads: on SIGHUP, and when a file changes.

use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use super::{ONE, Registry, TWO, status};
use crate::gates::trust;
use crate::signing::{site, works};

const REPOSITORY: &str = "disk.example/team/app";
const UPLOADS: &str = "/v2/a/blobs/uploads/";
const RELOADED: &str = "reloaded the configuration; changed: ";
const REFUSED: &str = "the configuration was not reloaded; the one in use stays";
const GATE: &str = "gates: {pull: {require: [{sign: signature, by: release}]}}";

/// A certificate for localhost, PEM, and its key.
fn certificate() -> (String, String) {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (key.cert.pem(), key.signing_key.serialize_pem())
}

/// A TLS connection on which the server has shown this certificate, if it does.
fn connect(address: &str, certificate: &str) -> Option<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let client = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(client, TcpStream::connect(address).unwrap());
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").and_then(|()| stream.flush()).ok()?;
    read_head(&mut stream).starts_with("HTTP/1.1 200").then_some(stream)
}

fn read_head(stream: &mut impl std::io::Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// The newest events of reloads, newest first.
fn reloads(path: &Path) -> Vec<Value> {
    let log = ["audit", "log", "--store", "store", "--event", "serve.reload", "--output", "json"];
    let events: Vec<Value> = serde_json::from_str(&works(path, &log)).unwrap();
    events.into_iter().rev().map(|entry| entry["event"].clone()).collect()
}

/// How a file gets its new content.
#[derive(Clone, Copy, Debug)]
enum How {
    Write,
    Rename,
}

fn put(path: &Path, text: &str, how: How) {
    match how {
        How::Write => std::fs::write(path, text).unwrap(),
        How::Rename => {
            let new = path.with_extension("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, path).unwrap();
        }
    }
}

#[test]
fn sighup_reloads_the_files_of_the_flags_and_lets_transfers_finish() {
    let folder = site();
    let path = folder.path();
    trust(path, "trust.yaml", "sequence: 1");
    std::fs::write(path.join("users"), ONE).unwrap();
    let ((first, key), (second, other)) = (certificate(), certificate());
    std::fs::write(path.join("tls.crt"), &first).unwrap();
    std::fs::write(path.join("tls.key"), key).unwrap();
    let registry = Registry::start(
        path,
        &["--store", "store", "--listen", "127.0.0.1:0", "--htpasswd", "users", "--anonymous-pull"]
            .into_iter()
            .chain(["--tls-cert", "tls.crt", "--tls-key", "tls.key", "--trust", "trust.yaml"])
            .collect::<Vec<_>>(),
    );
    let address = registry.address(0);
    let ann = |password| status(connect_any(address, path), "POST", UPLOADS, Some(("ann", password)));
    let pull = || status(connect_any(address, path), "GET", &format!("/v2/{REPOSITORY}/manifests/v1"), None);
    assert_eq!((ann("one"), ann("two"), pull()), (202, 401, 200));

    // An upload that is half done, and an idle connection.
    let mut upload = connect_any(address, path);
    let blob = oci::Digest::sha256(b"helloworld");
    let head =
        format!("POST {UPLOADS}?digest={blob} HTTP/1.1\r\nhost: a\r\nauthorization: Basic YW5uOm9uZQ==\r\n");
    write!(upload, "{head}content-length: 10\r\n\r\nhello").and_then(|()| upload.flush()).unwrap();
    let mut idle = connect(address, &first).unwrap();

    registry.hangup("changed: nothing");
    std::fs::write(path.join("users"), TWO).unwrap();
    std::fs::write(path.join("tls.crt"), &second).unwrap();
    std::fs::write(path.join("tls.key"), other).unwrap();
    trust(path, "trust.yaml", &format!("sequence: 2\n{GATE}"));
    registry.hangup("changed: access, certificates, trust file");

    assert_eq!((ann("one"), ann("two"), pull()), (401, 202, 403));
    assert!(connect(address, &second).is_some() && connect(address, &first).is_none());
    upload.write_all(b"world").and_then(|()| upload.flush()).unwrap();
    assert!(read_head(&mut upload).starts_with("HTTP/1.1 201"), "the upload was interrupted");
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").and_then(|()| idle.flush()).unwrap();
    assert!(read_head(&mut idle).starts_with("HTTP/1.1 200"), "the connection was closed");

    let events = reloads(path);
    assert_eq!(events[0]["outcome"]["result"], "success");
    assert_eq!(events[0]["evidence"]["cause"], "signal");
    assert_eq!(events[0]["evidence"]["htpasswd"], oci::Digest::sha256(TWO.as_bytes()).to_string());
    assert_eq!(events[0]["evidence"]["certificates"], oci::Digest::sha256(second.as_bytes()).to_string());
    assert!(events[0]["evidence"]["trust"].is_string());
    let changes = ["audit", "log", "--store", "store", "--event", "policy.change", "--output", "json"];
    assert!(works(path, &changes).contains("trust.yaml"));
    // An older trust file is refused, and the gate stays.
    trust(path, "trust.yaml", "sequence: 1");
    registry.hangup(REFUSED);
    assert!(registry.said().contains("has sequence 1, but 2 was used here before"), "{}", registry.said());
    assert_eq!(pull(), 403);
    drop((upload, idle));
    registry.stop();
}

/// A TLS connection that trusts the certificate in the file.
fn connect_any(address: &str, path: &Path) -> StreamOwned<ClientConnection, TcpStream> {
    let text = std::fs::read_to_string(path.join("tls.crt")).unwrap();
    connect(address, &text).expect("the server has another certificate")
}

#[test]
fn a_self_signed_certificate_is_issued_anew_by_sighup() {
    let folder = site();
    let path = folder.path();
    let registry = Registry::start(path, &["--store", "store", "--listen", "127.0.0.1:0", "--self-signed"]);
    let ca = std::fs::read_to_string(path.join("store/tls/ca.crt")).unwrap();
    let leaf = || std::fs::read_to_string(path.join("store/tls/server.crt")).unwrap();
    let before = leaf();
    assert!(connect(registry.address(0), &ca).is_some());
    registry.hangup("changed: certificates");
    assert_ne!(leaf(), before);
    assert!(connect(registry.address(0), &ca).is_some());
    registry.stop();
}

/// A registry whose files are all named by its configuration file, in the folder `mounted`.
struct Mounted<'a> {
    path: &'a Path,
    registry: Option<Registry>,
    certificate: String,
}

impl Mounted<'_> {
    /// The content of the files for a step.
    fn files(&mut self, users: &str, read_only: bool, more: &str) -> Vec<(&'static str, String)> {
        let (certificate, key) = certificate();
        self.certificate.clone_from(&certificate);
        let config = format!(
            "apiVersion: airlock.dev/v1alpha1\nkind: RegistryConfig\nstore: ../store\nreadOnly: {read_only}\n\
             listeners:\n  - {{address: '127.0.0.1:0', tls: {{cert: tls.crt, key: tls.key}}}}\n\
             trust: trust.yaml\naccess: {{htpasswd: users, anonymous: pull}}\n"
        );
        let trust = std::fs::read_to_string(self.path.join("release.yaml")).unwrap() + more + "\n";
        vec![
            ("users", users.to_owned()),
            ("tls.crt", certificate),
            ("tls.key", key),
            ("trust.yaml", trust),
            ("registry.yaml", config),
        ]
    }

    /// The statuses of a push with each password, and of a pull.
    fn statuses(&self) -> (u16, u16, u16) {
        let address = self.registry.as_ref().unwrap().address(0);
        let connect = || connect(address, &self.certificate).expect("the server has another certificate");
        let push = |password| status(connect(), "POST", UPLOADS, Some(("ann", password)));
        let pull = status(connect(), "GET", &format!("/v2/{REPOSITORY}/manifests/v1"), None);
        (push("one"), push("two"), pull)
    }

    fn reloads(&self, changed: &str, action: impl FnOnce()) {
        self.registry.as_ref().unwrap().says_after(&format!("{RELOADED}{changed}"), action);
    }
}

#[test]
fn changed_files_are_reloaded_if_written_renamed_or_swapped_by_a_link() {
    let folder = site();
    let path = folder.path();
    let at = path.join("mounted");
    // As Kubernetes mounts a ConfigMap: each file is a link through `..data`, which is replaced.
    std::fs::create_dir_all(at.join("..1")).unwrap();
    let mut site = Mounted { path, registry: None, certificate: String::new() };
    for (name, text) in site.files(ONE, false, "sequence: 1") {
        std::fs::write(at.join("..1").join(name), text).unwrap();
        symlink(format!("..data/{name}"), at.join(name)).unwrap();
    }
    symlink("..1", at.join("..data")).unwrap();
    site.registry = Some(Registry::start(path, &["--file", "mounted/registry.yaml"]));
    assert_eq!(site.statuses(), (202, 401, 200));

    let all = "access, certificates, trust file, read-only mode";
    std::fs::create_dir(at.join("..2")).unwrap();
    for (name, text) in site.files(TWO, true, &format!("sequence: 2\n{GATE}")) {
        std::fs::write(at.join("..2").join(name), text).unwrap();
    }
    site.reloads(all, || {
        symlink("..2", at.join("..data_tmp")).unwrap();
        std::fs::rename(at.join("..data_tmp"), at.join("..data")).unwrap();
    });
    assert_eq!(site.statuses(), (401, 405, 403));
    let steps = [(How::Rename, ONE, false, "sequence: 3"), (How::Write, TWO, true, "sequence: 4")];
    for (how, users, read_only, more) in steps {
        let files = site.files(users, read_only, more);
        site.reloads(all, || files.iter().for_each(|(name, text)| put(&at.join(name), text, how)));
        let expected = if read_only { (401, 405, 200) } else { (202, 401, 200) };
        assert_eq!(site.statuses(), expected, "{how:?}");
    }
    let events = reloads(path);
    let causes: Vec<_> = events.iter().filter_map(|event| event["evidence"]["cause"].as_str()).collect();
    assert_eq!(causes, ["file", "file", "file"]);
    assert!(events.iter().all(|event| event["evidence"]["config"].is_string()));
    site.registry.take().unwrap().stop();
}

#[test]
fn a_file_that_cannot_be_used_changes_nothing_and_the_reason_is_logged_once() {
    let folder = site();
    let path = folder.path();
    std::fs::write(path.join("users"), ONE).unwrap();
    let config = |more: &str| {
        let text = format!(
            "apiVersion: airlock.dev/v1alpha1\nkind: RegistryConfig\nstore: store\n\
             listeners: [{{address: '127.0.0.1:0'}}]\n{more}\n"
        );
        std::fs::write(path.join("registry.yaml"), text).unwrap();
    };
    config("access: {htpasswd: users}");
    let registry = Registry::start(path, &["--file", "registry.yaml"]);
    let ann = |password| registry.status("GET", "/v2/", Some(("ann", password)));
    let refused = |words: &str, action: &dyn Fn()| {
        registry.says_after(REFUSED, action);
        registry.until(words, || registry.said().contains(words));
        assert_eq!((ann("one"), ann("two")), (200, 401), "{words}");
        let event = &reloads(path)[0];
        assert_eq!(event["outcome"]["result"], "failed");
        assert!(event["outcome"]["detail"].as_str().unwrap().contains(words), "{event}");
    };
    refused("line 1 of the password file is not `user:hash`", &|| {
        std::fs::write(path.join("users"), "no colon\n").unwrap();
    });
    refused("cannot read `", &|| std::fs::remove_file(path.join("users")).unwrap());
    std::fs::write(path.join("users"), ONE).unwrap();
    refused("unknown field `stores`", &|| config("access: {htpasswd: users}\nstores: x"));
    refused("`limits` cannot change while the registry runs", &|| {
        config("access: {htpasswd: users}\nlimits: {transfers: 1}");
    });
    refused("cannot read `", &|| config("access: {htpasswd: others}"));
    // The same error is reported once, until a file changes.
    let before = registry.said().matches(REFUSED).count();
    std::thread::sleep(std::time::Duration::from_secs(7));
    assert_eq!(registry.said().matches(REFUSED).count(), before);
    // A file that was missing makes the configuration usable.
    registry.says_after(&format!("{RELOADED}access"), || {
        std::fs::write(path.join("others"), TWO).unwrap();
    });
    assert_eq!((ann("one"), ann("two")), (401, 200));
    registry.stop();
}
