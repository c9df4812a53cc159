//! The connected side: a registry with the curated charts, their images and the signed bundle, which is mirrored and packed
//! onto a drive.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::commands::AIRLOCK;
use crate::curated::{self, OFFERS, Offer};
use crate::images;
use crate::rig::{Running, free_port, wait};

/// The name of the package registry on the connected side.
pub(super) const PACKAGES: &str = "packages.example";
/// The image of pod sandboxes; it is not signed.
pub(super) const SANDBOX: &str = "registry.k8s.io/pause:3.10";

/// A drive, and the files that reach the site through another channel.
pub(super) struct Source {
    folder: tempfile::TempDir,
}

impl Source {
    /// Creates everything for these packages; returns `None` if the charts are missing.
    pub(super) fn make(wanted: &[&str]) -> Option<Self> {
        let source = Self { folder: tempfile::tempdir().unwrap() };
        let made = source.path("made");
        std::fs::create_dir(&made).unwrap();
        if !curated::publish(&made) {
            return None;
        }
        let offers: Vec<_> = OFFERS.iter().filter(|offer| wanted.contains(&offer.name)).collect();
        let images: BTreeSet<_> = offers.iter().flat_map(|offer| offer.images).copied().collect();
        for image in &images {
            source.run(&["sign", image, "--store", "made/store", "--key", "made/release.key"]);
        }
        images::busybox(&source.path("sandbox"), &["sleep", "100000"]);
        let port = free_port();
        let registry = source.serve(port);
        let hosts = images.iter().map(|image| image.split('/').next().unwrap()).collect();
        source.mirror(port, &hosts, &offers);
        drop(registry);
        source.run(&["pack", "--store", "here", "--to", "drive", "--key", "made/release.key"]);
        let log = ["--log", "here/log/key.pub", "--to", "trust.yaml"];
        source.run(&[&["keys", "trust", "made/release.pub"][..], &log].concat());
        Some(source)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, words: &[&str]) {
        let mut command = Command::new(AIRLOCK);
        command.current_dir(self.folder.path()).env("AIRLOCK_KEY_PASSWORD", "a password");
        let output = command.args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn serve(&self, port: u16) -> Running {
        let address = format!("127.0.0.1:{port}");
        let child = Command::new(AIRLOCK)
            .args(["serve", "--store", "made/store", "--listen", &address])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let running = Running(child);
        wait("the source", Duration::from_secs(30), || TcpStream::connect(&address).ok());
        running
    }

    /// Mirrors the bundle with its charts, and the images under the names that the charts use.
    fn mirror(&self, port: u16, hosts: &BTreeSet<&str>, offers: &[&Offer]) {
        let reached = |host: &str, below: &str| {
            format!("- {{host: {host}, mirror: '127.0.0.1:{port}{below}', plainHTTP: true}}\n")
        };
        let mut registries = reached(PACKAGES, "");
        registries.extend(hosts.iter().map(|host| reached(host, &format!("/{host}"))));
        let chart = |offer: &&Offer| {
            let Offer { chart, version, set, .. } = offer;
            format!("  - {{reference: '{PACKAGES}/charts/{chart}:{version}', set: [{set}]}}\n")
        };
        let charts: String = offers.iter().map(chart).collect();
        let bundles = format!("{PACKAGES}/eks-anywhere-packages-bundles:v1-36-latest");
        let text = format!(
            "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: site}}\nregistries:\n{registries}sources:\n\
             - packageBundle: {{reference: '{bundles}', registry: {PACKAGES}}}\n  verify: {{key: made/release.pub}}\n- charts:\n{charts}\
             - ociLayout: {{path: sandbox, reference: '{SANDBOX}'}}\n"
        );
        std::fs::write(self.path("airlock.yaml"), text).unwrap();
        self.run(&["mirror", "--store", "here"]);
    }
}
