//! Real runtimes unpack nothing that passes the gates unsigned.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::{CONFIG, STATEMENT_TYPES, attachment, blob, digest, guarded, gzip, tar};
use crate::gates::{KIND, REPOSITORY, Served};
use crate::programs::{missing, program, require};

/// Layer media types that runtimes unpack.
const UNPACKED: [&str; 4] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
];
/// The number of cases to try with runtimes, in addition to all that pass the gates.
const SAMPLE: usize = 24;

fn most() -> usize {
    if std::env::var_os("AIRLOCK_TEST_LONG").is_some() { 200 } else { SAMPLE }
}

/// Bytes that are both JSON and a tar archive in the format of Unix V7.
fn both() -> Vec<u8> {
    let mut block = vec![b' '; 512];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, r#"{"a":"run"#);
    put(100, "0000755 0000000 0000000 00000000000 00000000000 ");
    put(156, "0");
    put(510, r#""}"#);
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:07o} ").as_bytes());
    block
}

/// A manifest to try, with the contents of its blobs.
struct Case {
    manifest: Value,
    config: Vec<u8>,
    layer: Vec<u8>,
}

/// Pushes everything that might be accepted as a layer, with each media type, with configurations that describe an image
/// and with others.
fn cases(served: &Served) -> Vec<Case> {
    let long = format!("{{\"payload\":\"{}\"}}", "A".repeat(2000)).into_bytes();
    let contents = [
        tar(),
        gzip(&tar()),
        zstd::encode_all(&tar()[..], 1).unwrap(),
        both(),
        b"{}".to_vec(),
        long,
        b"SPDXVersion: SPDX-2.3\nSPDXID: x\n".to_vec(),
        [&[0xd2, 0x84][..], &[0x40; 1000]].concat(),
        b"#!/bin/sh\n".to_vec(),
        vec![0; 1024],
    ];
    let (mut real, mut others) = (Vec::new(), Vec::new());
    let each = contents.iter().enumerate();
    let kinds = STATEMENT_TYPES.iter().chain(&UNPACKED);
    for (kind, (at, layer)) in kinds.flat_map(|kind| each.clone().map(move |content| (kind, content))) {
        for describes in [true, false] {
            let (os, architecture) = if describes { ("linux", "amd64") } else { ("", "") };
            let config = json!({ "os": os, "architecture": architecture, "config": {},
                "rootfs": { "type": "layers", "diff_ids": [digest(&tar())] } })
            .to_string()
            .into_bytes();
            let described = blob(served, &config, CONFIG);
            let layers = [blob(served, layer, kind)];
            let manifest =
                json!({ "schemaVersion": 2, "mediaType": KIND, "config": described, "layers": layers });
            let is_real = at < 3 && UNPACKED.contains(kind);
            let cases = if is_real { &mut real } else { &mut others };
            cases.push(Case { manifest, config, layer: layer.clone() });
        }
    }
    // Mixed, so that a sample contains some of each kind, including real layers.
    others.sort_by_key(|case| digest(case.manifest.to_string().as_bytes()));
    let mut others = others.into_iter();
    let mixed = real.into_iter().flat_map(|case| [Some(case), others.next()]).flatten();
    let mut cases: Vec<_> = mixed.collect();
    cases.extend(others);
    cases
}

/// Whether podman accepts a manifest as an image and unpacks it.
fn podman(folder: &Path, number: usize, case: &Case) -> Result<(), String> {
    let layout = folder.join(number.to_string());
    std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let manifest = case.manifest.to_string();
    for bytes in [&case.config[..], &case.layer, manifest.as_bytes()] {
        std::fs::write(layout.join("blobs/sha256").join(&digest(bytes)[7..]), bytes).unwrap();
    }
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let entry = json!({ "mediaType": KIND, "digest": digest(manifest.as_bytes()), "size": manifest.len() });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string();
    std::fs::write(layout.join("index.json"), index).unwrap();
    good(&run_podman(folder, &["pull", "-q", &format!("oci:{}", layout.display())]))
}

fn run_podman(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("podman");
    command.arg("--root").arg(folder.join("root")).arg("--runroot").arg(folder.join("run"));
    command.args(["--storage-driver", "vfs"]).args(arguments).output().unwrap()
}

fn good(output: &Output) -> Result<(), String> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

#[test]
fn a1_nothing_that_podman_unpacks_passes_the_gate_unsigned() {
    if !require(&["podman"]) {
        return;
    }
    // podman derives a name from the path, and names must be in lower case.
    let pid = std::process::id().to_string();
    let folder = tempfile::Builder::new().prefix("airlock-").rand_bytes(0).suffix(&pid).tempdir().unwrap();
    if let Err(said) = good(&run_podman(folder.path(), &["info"])) {
        println!("{said}");
        return missing("a podman that can store images");
    }
    let (_folder, served) = guarded();
    let (mut passed, mut taken, mut number, mut first) = (0, 0, 0, None);
    for case in cases(&served) {
        let text = case.manifest.to_string();
        let passes = served.put(REPOSITORY, &attachment(text.as_bytes()), (KIND, &text)).0 == 201;
        passed += usize::from(passes);
        // All cases that pass are tried, and a sample of the others.
        if !passes && number >= most() {
            continue;
        }
        let unpacked = podman(folder.path(), number, &case);
        number += 1;
        taken += usize::from(unpacked.is_ok());
        assert!(!(passes && unpacked.is_ok()), "it passes unsigned, and podman unpacks it: {text}");
        first = first.or(unpacked.err());
    }
    println!("{passed} passed the gate; podman tried {number} and unpacked {taken}");
    assert!(passed >= 5 && taken >= 5, "{passed} passed the gate, podman unpacked {taken}: {first:?}");
}

/// A separate, empty containerd.
struct Containerd {
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Containerd {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        // The plugins for Kubernetes are not needed.
        let config = format!(
            "version = 3\nroot = '{at}/root'\nstate = '{at}/state'\ndisabled_plugins = ['io.containerd.cri.v1.images', \
             'io.containerd.cri.v1.runtime', 'io.containerd.grpc.v1.cri']\n[grpc]\naddress = '{at}/socket'\n"
        );
        std::fs::write(folder.path().join("config.toml"), config).unwrap();
        let mut command = Command::new(program("containerd"));
        command.arg("--config").arg(folder.path().join("config.toml"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = Self { child, folder };
        for _ in 0..600 {
            if good(&started.run(&["version"])).is_ok() {
                return started;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("containerd did not start");
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(program("ctr"));
        command
            .arg("--address")
            .arg(self.socket())
            .args(["--namespace", "test"])
            .args(words)
            .output()
            .unwrap()
    }

    fn snapshots(&self) -> Vec<String> {
        let listed = self.run(&["snapshots", "--snapshotter", "native", "list"]);
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
    }

    /// Pulls an image, unpacks it, and removes the result.
    fn pull(&self, image: &str) -> Result<(), String> {
        let pull = ["images", "pull", "--local", "--plain-http", "--snapshotter", "native", image];
        let pulled = good(&self.run(&pull));
        let snapshots = self.snapshots();
        for snapshot in &snapshots {
            let _ = self.run(&["snapshots", "--snapshotter", "native", "remove", snapshot]);
        }
        let _ = self.run(&["images", "remove", "--sync", image]);
        // The snapshots show what was unpacked, whatever the command reported.
        if snapshots.is_empty() { pulled.and(Err("nothing was unpacked".to_owned())) } else { Ok(()) }
    }
}

#[test]
fn a1_nothing_that_containerd_pulls_and_unpacks_passes_the_gates_unsigned() {
    if !require(&["containerd", "ctr"]) {
        return;
    }
    if !Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n") {
        return missing("the permission to mount, which containerd needs: run as root");
    }
    let (folder, guarded) = guarded();
    // The same store without gates. Content that containerd unpacks from there must not pass the gates unsigned.
    let open = Served::of(folder.path(), "release.yaml");
    let containerd = Containerd::start();
    let (mut passed, mut taken, mut number, mut first) = (0, 0, 0, None);
    for case in cases(&guarded) {
        let text = case.manifest.to_string();
        let name = digest(text.as_bytes());
        // Pushed by digest, as images are before they are signed, and under the tag of a signature.
        assert_eq!(guarded.put(REPOSITORY, &name, (KIND, &text)).0, 201);
        let tagged = guarded.put(REPOSITORY, &attachment(text.as_bytes()), (KIND, &text)).0 == 201;
        let passes = tagged || guarded.get(&name).0 == 200;
        passed += usize::from(passes);
        if !passes && number >= most() {
            continue;
        }
        number += 1;
        let image = |served: &Served| format!("{}/{REPOSITORY}@{name}", served.address());
        let got = containerd.pull(&image(&guarded));
        assert!(got.is_err(), "containerd unpacks an unsigned image: {text}");
        let takes = containerd.pull(&image(&open));
        assert!(!(passes && takes.is_ok()), "it passes unsigned, and containerd unpacks it: {text}");
        taken += usize::from(takes.is_ok());
        first = first.or(takes.err());
    }
    println!("{passed} passed the gates; containerd tried {number} and unpacked {taken} without gates");
    assert!(passed >= 5 && taken >= 2, "{passed} passed the gates, containerd unpacked {taken}: {first:?}");
}
