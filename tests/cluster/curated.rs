//! The curated packages as one signed bundle, created with the commands that a site would use, from charts that are stored
//! outside of the repository and with small images instead of the real ones.

mod upgrade;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::commands::AIRLOCK;
use crate::images;

/// A package of the bundle, and its configuration.
pub(crate) struct Offer {
    /// Its name in the bundle, as in EKS Anywhere's.
    pub(crate) name: &'static str,
    /// The chart's archive among the fixtures.
    archive: &'static str,
    /// The name in `Chart.yaml`, under which `airlock mirror` stores the chart.
    pub(crate) chart: &'static str,
    pub(crate) version: &'static str,
    needs: &'static [&'static str],
    /// The values that the chart needs to render usable image references, for `--set`; `config` has those of the package.
    pub(crate) set: &'static str,
    config: &'static str,
    /// The target namespace.
    pub(crate) namespace: &'static str,
    /// Its images, as `airlock chart images` prints them.
    pub(crate) images: &'static [&'static str],
}

/// The packages of EKS Anywhere's bundle except `metallb-crds`, a chart that AWS's build splits off from upstream's. The
/// fixture is upstream's own chart, which contains the CRDs in its subchart `crds` (`crds.enabled`, on by default), so a
/// second package would have the same objects. cert-manager is not restricted to workload clusters, because the tests have
/// only one cluster.
pub(crate) const OFFERS: [Offer; 7] = [
    Offer {
        name: "hello-eks-anywhere",
        archive: "hello-eks-anywhere-0.1.0.tgz",
        chart: "hello-eks-anywhere",
        version: "0.1.0",
        needs: &[],
        // AWS's build sets the tag; by default, `sourceRegistry` is the cluster's `defaultImageRegistry`.
        set: "tag=0.1.0",
        config: "sourceRegistry: public.ecr.aws/aws-containers\ntag: 0.1.0\n",
        namespace: "hello",
        images: &[HELLO, "public.ecr.aws/eks-distro-build-tooling/eks-distro-base:latest"],
    },
    Offer {
        name: "metallb",
        archive: "metallb-0.0.0.tgz",
        chart: "metallb",
        version: "0.0.0",
        needs: &[],
        set: "",
        config: "",
        namespace: "metallb-system",
        images: &[
            "quay.io/frrouting/frr:10.4.3",
            "quay.io/metallb/controller:v0.0.0",
            "quay.io/metallb/frr-k8s:v0.0.25",
            "quay.io/metallb/speaker:v0.0.0",
        ],
    },
    Offer {
        name: "emissary",
        archive: "emissary-ingress-0.0.0-dev.tgz",
        chart: "emissary-ingress",
        version: "0.0.0-dev",
        needs: &["emissary-crds"],
        set: "",
        config: "",
        namespace: "emissary-system",
        images: &["ghcr.io/emissary-ingress/emissary:0.0.0-dev"],
    },
    Offer {
        name: "emissary-crds",
        archive: "emissary-crds-0.0.0-dev.tgz",
        chart: "emissary-crds-chart",
        version: "0.0.0-dev",
        needs: &[],
        set: "",
        config: "",
        namespace: "emissary-system",
        images: &[],
    },
    Offer {
        name: "harbor",
        archive: "harbor-1.4.0-dev.tgz",
        chart: "harbor",
        version: "1.4.0-dev",
        needs: &[],
        set: "",
        config: "",
        namespace: "harbor",
        images: &[
            "docker.io/goharbor/harbor-core:dev",
            "docker.io/goharbor/harbor-db:dev",
            "docker.io/goharbor/harbor-jobservice:dev",
            "docker.io/goharbor/harbor-portal:dev",
            "docker.io/goharbor/harbor-registryctl:dev",
            "docker.io/goharbor/registry-photon:dev",
            "docker.io/goharbor/trivy-adapter-photon:dev",
            "docker.io/goharbor/valkey-photon:dev",
        ],
    },
    Offer {
        name: "cert-manager",
        archive: "cert-manager-v0.0.0.tgz",
        chart: "cert-manager",
        version: "v0.0.0",
        needs: &[],
        set: "",
        config: "",
        namespace: "cert-manager",
        images: &[
            "quay.io/jetstack/cert-manager-acmesolver:v0.0.0",
            "quay.io/jetstack/cert-manager-cainjector:v0.0.0",
            "quay.io/jetstack/cert-manager-controller:v0.0.0",
            "quay.io/jetstack/cert-manager-startupapicheck:v0.0.0",
            "quay.io/jetstack/cert-manager-webhook:v0.0.0",
        ],
    },
    Offer {
        name: "metrics-server",
        archive: "metrics-server-3.13.1.tgz",
        chart: "metrics-server",
        version: "3.13.1",
        needs: &[],
        set: "",
        config: "",
        namespace: "metrics",
        images: &["registry.k8s.io/metrics-server/metrics-server:v0.8.1"],
    },
];

/// The image of the package hello-eks-anywhere. It serves the package's title over HTTP on port 80.
pub(crate) const HELLO: &str = "public.ecr.aws/aws-containers/hello-eks-anywhere:0.1.0";
/// Reads the header of each request and responds with `$TITLE`.
const SERVE_TITLE: &str = "while read -r l && [ ${#l} -gt 1 ]; do :; done; \
    printf 'HTTP/1.0 200 OK\\r\\nContent-Type: text/plain\\r\\n\\r\\n%s\\n' \"$TITLE\"";

/// The name of the bundle that [`publish`] creates.
pub(crate) const BUNDLE: &str = "v1-36-1";

impl Offer {
    /// A Package object with the package's own name, for a management cluster.
    pub(crate) fn package(&self, cluster: &str) -> String {
        let config: String = self.config.lines().map(|line| format!("    {line}\n")).collect();
        let config = if config.is_empty() { String::new() } else { format!("  config: |\n{config}") };
        format!(
            "apiVersion: packages.eks.amazonaws.com/v1alpha1\nkind: Package\nmetadata: {{name: {0}, namespace: eksa-packages-{cluster}}}\n\
             spec:\n  packageName: {0}\n  targetNamespace: {1}\n{config}",
            self.name, self.namespace
        )
    }
}

/// Returns the folder with the charts. If a chart is missing, prints that and returns `None`.
pub(crate) fn charts() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("AIRLOCK_SHARED").map_or_else(default, PathBuf::from);
    let folder = shared.join("fixtures/charts");
    let missing = OFFERS.iter().map(|offer| folder.join(offer.archive)).find(|file| !file.exists());
    match missing {
        None => Some(folder),
        Some(file) => {
            println!("skipped: {} does not exist", file.display());
            None
        }
    }
}

/// Creates in `folder` the keys `release.key` and `release.pub`, the store `store` with every chart and image, its
/// `airlock.lock`, and the signed bundle [`BUNDLE`], which is published in the store, added to the lock and written to
/// `bundle.yaml`. Existing keys and stores are used. If the charts are missing, prints that and returns false.
pub(crate) fn publish(folder: &Path) -> bool {
    let Some(charts) = charts() else { return false };
    let mut sources = Vec::new();
    for offer in &OFFERS {
        let file = charts.join(offer.archive);
        // The images are mirrored from local layouts.
        sources.push(format!("charts: [{{file: '{}', images: false}}]", file.display()));
        for image in offer.images {
            let layout = layout(folder, image, image);
            sources.push(format!("ociLayout: {{path: {layout}, reference: '{image}'}}"));
        }
    }
    mirror(folder, &sources);
    if !folder.join("release.key").exists() {
        airlock(folder, &["keys", "generate", "release"]);
    }
    let offers: Vec<_> = OFFERS.iter().map(|offer| (offer, vec![offer.version])).collect();
    bundle(folder, BUNDLE, &offers);
    true
}

/// Writes an image with a different digest for each `seed`; returns the name of the layout.
fn layout(folder: &Path, image: &str, seed: &str) -> String {
    let name = format!("images/{}", seed.replace(['/', ':'], "-"));
    let sleeps = format!("sleep 100000; : {seed}");
    let words: &[&str] = if image == HELLO {
        &["nc", "-ll", "-p", "80", "-e", "/busybox", "sh", "-c", SERVE_TITLE]
    } else {
        &["sh", "-c", &sleeps]
    };
    images::busybox(&folder.join(&name), words);
    name
}

fn mirror(folder: &Path, sources: &[String]) {
    let sources: String = sources.iter().map(|source| format!("- {source}\n")).collect();
    let text = format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: curated}}\nsources:\n{sources}"
    );
    fs::write(folder.join("airlock.yaml"), text).unwrap();
    airlock(folder, &["mirror", "--store", "store"]);
}

/// Creates, signs and publishes a bundle of packages with these chart versions.
fn bundle(folder: &Path, name: &str, offers: &[(&Offer, Vec<&str>)]) {
    let mut text = format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: BundleConfig\nmetadata: {{name: {name}}}\nminControllerVersion: v0.1.0\npackages:\n"
    );
    for (offer, versions) in offers {
        let charts: Vec<_> =
            versions.iter().map(|version| format!("'charts/{}:{version}'", offer.chart)).collect();
        let (needs, set) = (offer.needs.join(", "), offer.set);
        text += &format!(
            "- {{name: {}, charts: [{}], dependencies: [{needs}], set: [{set}]}}\n",
            offer.name,
            charts.join(", ")
        );
    }
    fs::write(folder.join("packages.yaml"), text).unwrap();
    let create = ["bundle", "create", "-f", "packages.yaml", "--store", "store", "--key", "release.key"];
    airlock(folder, &[&create[..], &["--publish", "--lock", "airlock.lock", "--to", "bundle.yaml"]].concat());
}

/// Runs airlock in a folder and expects success; returns its output.
fn airlock(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(AIRLOCK)
        .args(arguments)
        .current_dir(folder)
        .env("AIRLOCK_KEY_PASSWORD", "a password")
        .env("HOME", folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn one_bundle_offers_all_curated_charts_with_every_image_by_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    if !images::possible() || !publish(folder) {
        return;
    }
    airlock(
        folder,
        &["keys", "trust", "release.pub", "--sign", "packageBundle,signature", "--to", "release.yaml"],
    );
    airlock(folder, &["verify-manifest", "bundle.yaml", "--trust", "release.yaml"]);
    let text = fs::read_to_string(folder.join("bundle.yaml")).unwrap();
    let bundle = gostd::yaml::parse(&text, &gostd::Limits::default()).unwrap();
    let listed = airlock(folder, &["store", "list", "--store", "store"]);
    let digest_of = |name: &str| {
        let line = listed.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("  "));
        let digest = line.and_then(|line| line.split_whitespace().next());
        digest.unwrap_or_else(|| panic!("{name} is not in {listed}")).to_owned()
    };
    let packages = bundle["spec"]["packages"].as_array().unwrap();
    assert_eq!(packages.len(), OFFERS.len());
    for (package, offer) in packages.iter().zip(&OFFERS) {
        let version = &package["source"]["versions"][0];
        assert_eq!(package["name"], offer.name);
        assert_eq!(version["digest"], digest_of(&format!("charts/{}:{}", offer.chart, offer.version)));
        let mut images: Vec<_> = offer
            .images
            .iter()
            .map(|image| (image.rsplit_once(':').unwrap().0.to_owned(), digest_of(image)))
            .collect();
        images.sort();
        let named: Vec<_> = version["images"].as_array().into_iter().flatten().collect();
        let named = named.iter().map(|image| {
            let text = |name: &str| image[name].as_str().unwrap().to_owned();
            (text("repository"), text("digest"))
        });
        assert_eq!(named.collect::<Vec<_>>(), images, "{}", offer.name);
        let needs: Vec<_> = version["dependencies"].as_array().into_iter().flatten().collect();
        assert_eq!(needs, offer.needs, "{}", offer.name);
        let archive = fs::read(charts().unwrap().join(offer.archive)).unwrap();
        let chart = helm::Chart::from_archive(archive.as_slice(), &helm::Limits::default()).unwrap();
        let schema = version["schema"].as_str().unwrap();
        // MetalLB's own schema requires values that only the chart's defaults have.
        if offer.name != "metallb" {
            let own = chart.schema().unwrap_or(br#"{"type":"object"}"#);
            assert_eq!(unpacked(schema).as_bytes(), own, "{}", offer.name);
        }
        admission::values::check(schema, Some(offer.config)).unwrap();
        let wrong = admission::values::check(schema, Some("speaker: 1\nglobal: 1\n"));
        let is_strict = matches!(offer.name, "metallb" | "cert-manager");
        assert_eq!(wrong.is_err(), is_strict, "{}", offer.name);
    }
    let digests: std::collections::BTreeSet<_> =
        OFFERS.iter().flat_map(|offer| offer.images).map(|image| digest_of(image)).collect();
    let images: usize = OFFERS.iter().map(|offer| offer.images.len()).sum();
    assert_eq!(digests.len(), images, "two images have the same digest");
}

fn unpacked(schema: &str) -> String {
    use base64::Engine as _;
    let packed = base64::engine::general_purpose::STANDARD.decode(schema).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
    text
}
