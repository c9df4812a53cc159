//! A full disk: pushes are refused with 507, nothing that was acknowledged is lost, and everything works again when there is
//! space. The store is on a small file system in a mount namespace.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use oci::Digest;
use serde_json::{Value, json};

use super::health::ask_at;
use crate::cli::AIRLOCK;
use crate::programs;

/// The size of the file system.
const SIZE: &str = "24m";

/// A registry in a mount namespace with a small file system at `small`.
struct Small {
    folder: tempfile::TempDir,
    child: Child,
    address: String,
}

impl Small {
    /// Returns `None` if namespaces cannot be created.
    fn start(more: &str) -> Option<Self> {
        if !programs::require(&["unshare", "nsenter"]) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("small")).unwrap();
        let script = format!(
            "mount -t tmpfs -o size={SIZE} tmpfs small && mkdir small/log && exec {AIRLOCK} serve --create --store small/store \
             --listen 127.0.0.1:0 --address-file address {more}"
        );
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
        let log = fs::File::create(folder.path().join("stderr")).unwrap();
        unshare.current_dir(folder.path()).env_clear().env("HOME", folder.path());
        unshare.env("PATH", std::env::var_os("PATH").unwrap()).stdout(Stdio::null()).stderr(log);
        let mut child = unshare.spawn().unwrap();
        let begun = Instant::now();
        let address = folder.path().join("address");
        while !address.exists() {
            let said = fs::read_to_string(folder.path().join("stderr")).unwrap();
            if child.try_wait().unwrap().is_some() {
                assert!(said.contains("unshare") || said.contains("mount"), "{said}");
                programs::missing("the permission to mount in a user namespace");
                return None;
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "the registry does not start: {said}");
            std::thread::sleep(Duration::from_millis(50));
        }
        let address = fs::read_to_string(address).unwrap().trim().split_once("://").unwrap().1.to_owned();
        Some(Self { folder, child, address })
    }

    /// A path on the small file system, seen from outside of the namespace.
    fn path(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.child.id()));
        root.join(self.folder.path().strip_prefix("/").unwrap()).join("small").join(name)
    }

    /// Runs airlock in the namespace.
    fn airlock(&self, arguments: &[&str]) -> Output {
        let id = self.child.id().to_string();
        let folder = self.folder.path();
        Command::new("nsenter")
            .args(["--target", &id, "--user", "--mount", "--preserve-credentials"])
            .arg(format!("--wdns={}", folder.display()))
            .arg(AIRLOCK)
            .args(arguments)
            .env_clear()
            .env("HOME", folder)
            .output()
            .unwrap()
    }

    fn works(&self, arguments: &[&str]) -> String {
        let output = self.airlock(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Fills the file system to the last byte.
    fn fill(&self, name: &str) {
        let mut file = fs::File::create(self.path(name)).unwrap();
        let mut piece = 1 << 20;
        while piece > 0 {
            if file.write_all(&vec![1; piece]).is_err() {
                piece /= 2;
            }
        }
    }

    fn free(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    fn ask(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, Vec<u8>, String) {
        ask_at(&self.address, method, path, kind, body)
    }

    /// Pushes a blob; returns the status, and checks the text of a refusal.
    fn blob(&self, bytes: &[u8]) -> u16 {
        let post = format!("/v2/a/b/blobs/uploads/?digest={}", Digest::sha256(bytes));
        self.refused(self.ask("POST", &post, "application/octet-stream", bytes))
    }

    /// The status of a response; a refusal for lack of space says so, and what to do.
    fn refused(&self, (status, body, _): (u16, Vec<u8>, String)) -> u16 {
        let body = String::from_utf8_lossy(&body);
        if status >= 400 {
            let value: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{status} {body}"));
            let hint = value["errors"][0]["detail"]["hint"].as_str().unwrap_or_default();
            assert!(status == 507 && hint.contains("free space"), "{status} {body} {}", self.said());
        }
        status
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    /// Pushes an image with a layer that the registry has; returns the status and the digest.
    fn image(&self, layer: &[u8], tag: &str) -> (u16, Digest) {
        let kind = oci::media_type::OCI_LAYER;
        let layer = json!({ "mediaType": kind, "digest": Digest::sha256(layer), "size": layer.len() });
        let kind = oci::media_type::OCI_MANIFEST;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": kind, "config": layer, "layers": [layer],
            // Longer than what is left of a block.
            "annotations": { "tag": tag, "padding": "x".repeat(9000) },
        });
        let bytes = manifest.to_string().into_bytes();
        let answer = self.ask("PUT", &format!("/v2/a/b/manifests/{tag}"), kind, &bytes);
        (self.refused(answer), Digest::sha256(&bytes))
    }

    fn serves(&self, digest: &Digest, tag: &str) {
        let (status, _, head) = self.ask("GET", &format!("/v2/a/b/manifests/{tag}"), "a/b", b"");
        assert!(status == 200 && head.contains(&digest.to_string()), "{tag}: {status} {head}");
    }

    /// The store and its log are intact.
    fn is_sound(&self) {
        assert!(self.works(&["store", "check", "--store", "small/store"]).contains("0 faults"));
        self.works(&["audit", "verify", "--store", "small/store"]);
        self.works(&["store", "scrub", "--store", "small/store"]);
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn i_a_full_disk_refuses_with_507_loses_nothing_and_works_again_when_there_is_space() {
    let Some(small) = Small::start("") else { return };
    let layer = vec![7; 300_000];
    assert_eq!(small.blob(&layer), 201);
    let (status, first) = small.image(&layer, "first");
    assert_eq!(status, 201);
    small.works(&["store", "backup", "small/backup", "--store", "small/store"]);
    let mark = fs::read(small.path("backup/backup.json")).unwrap();
    let (status, _, head) = small.ask("POST", "/v2/a/b/blobs/uploads/", "a/b", b"");
    assert_eq!(status, 202);
    let session = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap().trim().to_owned();
    assert_eq!(small.ask("PATCH", &session, "application/octet-stream", b"begin").0, 202);
    small.fill("fill");

    // A push, and an append to an upload, which keeps what it had.
    let big = vec![8; 2 << 20];
    assert_eq!(small.blob(&big), 507);
    assert_eq!(small.refused(small.ask("PATCH", &session, "application/octet-stream", &big)), 507);
    let (status, _, head) = small.ask("GET", &session, "a/b", b"");
    assert!(status == 204 && head.contains("range: 0-4"), "{head}");
    // A commit and the audit log: some small changes still fit in blocks that the files have.
    let mut acknowledged = vec![(first, "first".to_owned())];
    let mut refused = 0;
    for number in 0..40 {
        let tag = format!("t{number}");
        match small.image(&layer, &tag) {
            (201, digest) => acknowledged.push((digest, tag)),
            (status, _) => {
                assert_eq!(status, 507);
                refused += 1;
            }
        }
    }
    assert!(refused > 20, "{refused}");
    for (digest, tag) in &acknowledged {
        small.serves(digest, tag);
    }
    commands_work_or_say_that_there_is_no_space(&small);

    small.free("fill");
    let _ = fs::remove_dir_all(small.path("other"));
    for (digest, tag) in &acknowledged {
        small.serves(digest, tag);
    }
    small.is_sound();
    if fs::read(small.path("backup/backup.json")).unwrap() == mark {
        small.works(&["store", "restore", "small/backup", "--store", "small/restored"]);
        assert!(small.works(&["store", "check", "--store", "small/restored"]).contains("0 faults"));
        fs::remove_dir_all(small.path("restored")).unwrap();
    }
    everything_works_again(&small, &session, &big);
}

fn commands_work_or_say_that_there_is_no_space(small: &Small) {
    for arguments in [
        &["store", "gc", "--store", "small/store"][..],
        &["store", "scrub", "--store", "small/store"],
        &["store", "backup", "small/other", "--store", "small/store"],
        &["store", "backup", "small/backup", "--store", "small/store"],
    ] {
        let output = small.airlock(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 5)), "{arguments:?}: {:?} {said}", output.status);
        assert!(output.status.success() || said.contains("space"), "{arguments:?}: {said}");
    }
    assert_eq!(
        small.airlock(&["store", "backup", "small/other", "--store", "small/store"]).status.code(),
        Some(5)
    );
    assert!(!small.path("store/quarantine").exists(), "a scrub took a full disk for damage");
    assert!(!small.path("other/backup.json").exists());
}

/// Everything works again, the upload from its offset.
fn everything_works_again(small: &Small, session: &str, big: &[u8]) {
    assert_eq!(small.ask("PATCH", session, "application/octet-stream", b" end").0, 202);
    let join = if session.contains('?') { '&' } else { '?' };
    let put = format!("{session}{join}digest={}", Digest::sha256(b"begin end"));
    assert_eq!(small.ask("PUT", &put, "application/octet-stream", b"").0, 201);
    assert_eq!(small.blob(big), 201);
    let (status, digest) = small.image(big, "last");
    assert_eq!(status, 201);
    small.serves(&digest, "last");
    small.works(&["store", "gc", "--store", "small/store"]);
    small.works(&["store", "backup", "small/backup", "--store", "small/store"]);
    small.is_sound();
}

/// The store has space, but a second log has not: a change that cannot be logged is refused.
#[test]
fn i_an_audit_log_on_a_full_disk_refuses_with_507() {
    let Some(small) = Small::start("--audit-log small/log/log") else { return };
    // The log on its own file system, after the registry has created it on the other one.
    let id = small.child.id().to_string();
    let layer = vec![7; 300_000];
    assert_eq!(small.blob(&layer), 201);
    let script = "cp -a small/log small/copy && mount -t tmpfs -o size=200k tmpfs small/log && cp -a small/copy/. small/log";
    let mounted = Command::new("nsenter")
        .args(["--target", &id, "--user", "--mount", "--preserve-credentials"])
        .arg(format!("--wdns={}", small.folder.path().display()))
        .args(["sh", "-c", script])
        .output()
        .unwrap();
    assert!(mounted.status.success(), "{}", String::from_utf8_lossy(&mounted.stderr));
    small.fill("log/fill");
    let statuses: Vec<u16> = (0..40).map(|number| small.image(&layer, &format!("t{number}")).0).collect();
    assert!(
        statuses.iter().all(|status| [201, 507].contains(status)) && statuses.contains(&507),
        "{statuses:?}"
    );
    small.free("log/fill");
    assert_eq!(small.image(&layer, "last").0, 201, "{}", small.said());
    small.is_sound();
    small.works(&["audit", "verify", "--audit-log", "small/log/log"]);
}
