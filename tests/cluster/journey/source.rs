//! The connected side: a registry with charts, images and a signed bundle of packages, mirrored and packed onto a drive.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::commands::AIRLOCK;
use crate::engine::fixture;
use crate::images;
use crate::rig::{Running, free_port, wait};

/// The registry of packages, as the connected side calls it.
pub(super) const PACKAGES: &str = "packages.example";
/// What pods' sandboxes are made of.
pub(super) const SANDBOX: &str = "registry.k8s.io/pause:3.10";
pub(super) const HELLO: &str = "public.ecr.aws/aws-containers/hello-eks-anywhere";

/// Offered name, packed chart, chart in the registry, more of the bundle's words about it.
const CHARTS: [(&str, &str, &str, &str); 5] = [
    ("hello-eks-anywhere", "hello-eks-anywhere-0.1.0.tgz", "hello-eks-anywhere:0.1.0", ", set: [tag=v1]"),
    ("metallb", "metallb-0.0.0.tgz", "metallb:0.0.0", ", schema: any.json"),
    ("emissary-crds", "emissary-crds-0.0.0-dev.tgz", "emissary-crds-chart:0.0.0-dev", ""),
    (
        "emissary",
        "emissary-ingress-0.0.0-dev.tgz",
        "emissary-ingress:0.0.0-dev",
        ", dependencies: [emissary-crds]",
    ),
    ("harbor", "harbor-1.4.0-dev.tgz", "harbor:1.4.0-dev", ""),
];

/// Images whose contents we do not have: they wait.
const STAND_INS: [&str; 15] = [
    SANDBOX,
    // What hello's own test, which nobody runs here, would run.
    "public.ecr.aws/eks-distro-build-tooling/eks-distro-base:latest",
    "quay.io/metallb/controller:v0.0.0",
    "quay.io/metallb/speaker:v0.0.0",
    "quay.io/metallb/frr-k8s:v0.0.25",
    "quay.io/frrouting/frr:10.4.3",
    "ghcr.io/emissary-ingress/emissary:0.0.0-dev",
    "docker.io/goharbor/harbor-core:dev",
    "docker.io/goharbor/harbor-db:dev",
    "docker.io/goharbor/harbor-jobservice:dev",
    "docker.io/goharbor/harbor-portal:dev",
    "docker.io/goharbor/harbor-registryctl:dev",
    "docker.io/goharbor/registry-photon:dev",
    "docker.io/goharbor/trivy-adapter-photon:dev",
    "docker.io/goharbor/valkey-photon:dev",
];
const HOSTS: [&str; 5] = ["public.ecr.aws", "registry.k8s.io", "quay.io", "ghcr.io", "docker.io"];

/// A drive, and what goes to the site by another way.
pub(super) struct Source {
    pub(super) folder: tempfile::TempDir,
}

impl Source {
    /// Makes all of it; nothing, where the charts are not there.
    pub(super) fn make() -> Option<Self> {
        let charts: Vec<_> = CHARTS.iter().map(|(_, file, ..)| fixture(file)).collect::<Option<_>>()?;
        let source = Self { folder: tempfile::tempdir().unwrap() };
        source.publish(&charts);
        let port = free_port();
        let registry = source.serve(port);
        source.mirror(port);
        drop(registry);
        source.run(&["pack", "--store", "here", "--to", "drive", "--key", "release.key"]);
        source.run(&["keys", "trust", "release.pub", "--log", "here/log/key.pub", "--to", "trust.yaml"]);
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

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The store that the connected side's registry serves: charts, images that are signed, and the bundle.
    fn publish(&self, charts: &[PathBuf]) {
        let hello = format!("{HELLO}:v1");
        let mut sources = String::new();
        let all = STAND_INS.iter().copied().chain([hello.as_str()]);
        for (number, image) in all.clone().enumerate() {
            let layout = format!("image-{number}");
            // What the package's settings say is shown over HTTP.
            let page = "echo \"$TITLE\" > /dev/shm/index.html; exec /busybox httpd -f -p 80 -h /dev/shm";
            let waits = format!("exec /busybox sleep 100000 # {image}");
            let words = if image == hello { page } else { &waits };
            images::busybox(&self.path(&layout), &["sh", "-c", words]);
            sources += &format!("- ociLayout: {{path: {layout}, reference: '{image}'}}\n");
        }
        let charts: Vec<_> = charts.iter().map(|path| file_of(path)).collect();
        sources += &format!("- charts: [{}]\n", charts.join(", "));
        self.write("made.yaml", &mirror_file("made", "[]", &sources));
        self.run(&["mirror", "-f", "made.yaml", "--store", "made"]);
        self.run(&["keys", "generate", "release"]);
        for image in all.skip(1) {
            self.run(&["sign", image, "--store", "made", "--key", "release.key"]);
        }
        let offers = CHARTS
            .map(|(name, _, chart, more)| format!("- {{name: {name}, charts: ['charts/{chart}']{more}}}\n"));
        let bundle = format!(
            "apiVersion: airlock.dev/v1alpha1\nkind: BundleConfig\nmetadata: {{name: v1-36-1}}\nminControllerVersion: v0.1.0\n\
             packages:\n{}",
            offers.concat()
        );
        self.write("any.json", "{}");
        self.write("packages.yaml", &bundle);
        let create = ["bundle", "create", "-f", "packages.yaml", "--store", "made", "--key", "release.key"];
        self.run(&[&create[..], &["--publish"]].concat());
    }

    fn serve(&self, port: u16) -> Running {
        let address = format!("127.0.0.1:{port}");
        let child = Command::new(AIRLOCK)
            .args(["serve", "--store", "made", "--listen", &address])
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

    /// The bundle with its charts, and the images under the names that the charts have for them.
    fn mirror(&self, port: u16) {
        let reached = |host: &str, below: &str| {
            format!("- {{host: {host}, mirror: '127.0.0.1:{port}{below}', plainHTTP: true}}\n")
        };
        let mut registries = reached(PACKAGES, "");
        registries.extend(HOSTS.map(|host| reached(host, &format!("/{host}"))));
        let charts = CHARTS.map(|(_, _, chart, more)| {
            let set = if more.contains("set:") { more } else { "" };
            format!("  - {{reference: '{PACKAGES}/charts/{chart}'{set}}}\n")
        });
        let sources = format!(
            "- packageBundle: {{reference: '{PACKAGES}/eks-anywhere-packages-bundles:v1-36-latest', registry: {PACKAGES}}}\n\
             - images: ['{SANDBOX}']\n- charts:\n{}",
            charts.concat()
        );
        self.write("airlock.yaml", &mirror_file("site", &format!("\n{registries}"), &sources));
        self.run(&["mirror", "-f", "airlock.yaml", "--store", "here"]);
    }
}

fn file_of(path: &Path) -> String {
    format!("{{file: '{}', images: false}}", path.display())
}

fn mirror_file(name: &str, registries: &str, sources: &str) -> String {
    format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: {name}}}\nregistries: {registries}\nsources:\n{sources}"
    )
}
