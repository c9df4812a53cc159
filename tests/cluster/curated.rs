//! The curated packages as one signed bundle, made of the charts that lie outside of the repository and of small images
//! in the place of their real ones: what a site mirrors and publishes, by the commands that it would type.

mod upgrade;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::commands::AIRLOCK;
use crate::images;

/// A package that the bundle offers, and how it is asked for.
pub(crate) struct Offer {
    /// Its name in the bundle, as in EKS Anywhere's.
    pub(crate) name: &'static str,
    /// The chart's archive among the fixtures.
    archive: &'static str,
    /// Where `airlock mirror` puts the chart: by the name in its `Chart.yaml`.
    pub(crate) chart: &'static str,
    pub(crate) version: &'static str,
    needs: &'static [&'static str],
    /// What a site must say so that the chart comes to usable images, as `--set` has it and as a package does.
    pub(crate) set: &'static str,
    config: &'static str,
    /// Where it goes.
    pub(crate) namespace: &'static str,
    /// What it renders to, as `airlock chart images` tells.
    pub(crate) images: &'static [&'static str],
}

/// What EKS Anywhere's bundle has, but for `metallb-crds`: that is a chart which AWS's build cuts out of upstream's.
/// Upstream's own chart, which is the fixture, brings the definitions in its chart `crds` (`crds.enabled`, on by
/// default), so a second package would have the same objects. Nor is cert-manager for workload clusters only: here is
/// but one cluster, and nobody else puts one there.
pub(crate) const OFFERS: [Offer; 7] = [
    Offer {
        name: "hello-eks-anywhere",
        archive: "hello-eks-anywhere-0.1.0.tgz",
        chart: "hello-eks-anywhere",
        version: "0.1.0",
        needs: &[],
        // AWS's build fills the tag in, and `sourceRegistry` is otherwise the cluster's `defaultImageRegistry`.
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

/// The image that the package hello-eks-anywhere runs: it answers HTTP on port 80 with the package's title.
pub(crate) const HELLO: &str = "public.ecr.aws/aws-containers/hello-eks-anywhere:0.1.0";
/// Answers each request with `$TITLE`, once its head was read.
const ANSWERS: &str = "while read -r l && [ ${#l} -gt 1 ]; do :; done; \
    printf 'HTTP/1.0 200 OK\\r\\nContent-Type: text/plain\\r\\n\\r\\n%s\\n' \"$TITLE\"";

/// The bundle that [`publish`] makes.
pub(crate) const BUNDLE: &str = "v1-36-1";

impl Offer {
    /// The package under its own name, for a management cluster.
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

/// The charts' folder; none, and said so, where it is not.
pub(crate) fn charts() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("AIRLOCK_SHARED").map_or_else(default, PathBuf::from);
    let folder = shared.join("fixtures/charts");
    let missing = OFFERS.iter().map(|offer| folder.join(offer.archive)).find(|file| !file.exists());
    match missing {
        None => Some(folder),
        Some(file) => {
            println!("skipped: {} is not there", file.display());
            None
        }
    }
}

/// Makes in `folder` the keys `release.key` and `release.pub`, the store `store` with every chart and image, its
/// `airlock.lock` for a drive, and the signed bundle [`BUNDLE`], which is published in the store, in the lock and in
/// `bundle.yaml`. What is there of keys and store is used. Gives false, and says why, where the charts are not.
pub(crate) fn publish(folder: &Path) -> bool {
    let Some(charts) = charts() else { return false };
    let mut sources = Vec::new();
    for offer in &OFFERS {
        let file = charts.join(offer.archive);
        // The images come from elsewhere than from where the chart says.
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

/// An image of its own digest for each `seed`; the layout's name in the folder.
fn layout(folder: &Path, image: &str, seed: &str) -> String {
    let name = format!("images/{}", seed.replace(['/', ':'], "-"));
    let sleeps = format!("sleep 100000; : {seed}");
    let words: &[&str] = if image == HELLO {
        &["nc", "-ll", "-p", "80", "-e", "/busybox", "sh", "-c", ANSWERS]
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

/// Makes, signs and publishes a bundle of offers with their charts' versions.
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

/// Runs airlock in a folder, to a good end; gives what it printed.
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
        // MetalLB's own asks for what only the chart's defaults have.
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
    assert_eq!(digests.len(), images, "each image has content of its own");
}

fn unpacked(schema: &str) -> String {
    use base64::Engine as _;
    let packed = base64::engine::general_purpose::STANDARD.decode(schema).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
    text
}
