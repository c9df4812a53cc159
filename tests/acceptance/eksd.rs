//! The complete EKS-D release manifest 1-21-4: every image and archive is mirrored with overrides from a real registry and a
//! file server, carried across the air gap, and pulled from the served registry.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use oci::{Algorithm, Digest, Reference};

use crate::corpus::{ImageFormat, ImageSpec, Pushed, Upstream, noise};
use crate::http::{FileServer, request};
use crate::rig::{airlock, docker_registry, dump, files, make_keys, run, run_json, serve};

const RELEASE: &str = include_str!("../data/kubernetes-1-21-eks-4.yaml");
const ARCHIVES: &str = "https://distro.eks.amazonaws.com";

/// The content of the upstream: the repository and tag of everything that must arrive.
struct Expected {
    tags: Vec<(String, String, Pushed)>,
    referrer: (String, Digest, Digest),
    windows: Vec<(String, Digest)>,
}

#[test]
fn the_whole_eks_d_release_crosses_the_gap_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let Some(registry) = docker_registry(root) else { return };
    let expected = fill(&Upstream { address: registry.address.clone() });
    let (release, archives) = with_generated_archives();
    std::fs::write(root.join("release.yaml"), release).unwrap();
    let server = FileServer::start(archives.clone());
    std::fs::write(root.join("airlock.yaml"), config(&registry.address, &server.address)).unwrap();
    make_keys(root);

    let mirror = ["mirror", "-f", "airlock.yaml", "--store", "near", "--lock", "airlock.lock"];
    let planned = run_json(root, &[&mirror[..], &["--dry-run"]].concat());
    assert!(!root.join("near").exists(), "a dry run created a store");
    let done = run_json(root, &mirror);
    assert_eq!(planned["report"]["totals"]["fetchedBytes"], done["totals"]["fetchedBytes"], "{planned}");
    let lock = std::fs::read(root.join("airlock.lock")).unwrap();
    let requests = server.requests.load(Ordering::SeqCst);
    let linux = archives.keys().filter(|path| !path.contains("windows") && !path.contains("darwin"));
    assert!(requests >= linux.count() as u64);

    // With the lock, nothing is requested again: the run succeeds although the upstream is gone.
    drop(registry);
    let again = run_json(root, &mirror);
    assert_eq!(again["totals"]["fetchedBytes"], 0, "{again}");
    assert_eq!(server.requests.load(Ordering::SeqCst), requests);
    assert_eq!(std::fs::read(root.join("airlock.lock")).unwrap(), lock);

    pack_twice_and_compare(root);
    run(root, &["verify", "drive", "--trust", "trust.yaml"]);
    run(root, &["import", "drive", "--trust", "trust.yaml", "--store", "far"]);
    run(root, &["store", "check", "--store", "far"]);
    assert_eq!(dump(&root.join("near")), dump(&root.join("far")));
    check_served(root, &expected, &archives);
}

/// A volume size of 2 MiB makes many volumes and splits blobs.
fn pack_twice_and_compare(root: &Path) {
    for target in ["drive", "drive2"] {
        std::fs::create_dir(root.join(target)).unwrap();
        let pack =
            ["pack", "--lock", "airlock.lock", "--store", "near", "--to", target, "--key", "release.key"];
        let mut arguments = pack.to_vec();
        arguments.extend(["--volume-size", "2MiB"]);
        run(root, &arguments);
    }
    let volumes = |target: &str| -> Vec<_> {
        files(&root.join(target))
            .into_iter()
            .filter(|path| path.extension().is_some_and(|e| e == "tar"))
            .collect()
    };
    let (first, second) = (volumes("drive"), volumes("drive2"));
    assert!(first.len() > 3, "{} volumes", first.len());
    assert_eq!(first.len(), second.len());
    for (one, other) in first.iter().zip(&second) {
        assert_eq!(one.file_name(), other.file_name());
        assert_eq!(without_signature(one), without_signature(other), "{}", one.display());
    }
}

/// The digest of the volume with the content of the signature entry zeroed.
pub(crate) fn without_signature(volume: &Path) -> Digest {
    let mut bytes = std::fs::read(volume).unwrap();
    let mut at = 0;
    let mut blanked = 0;
    while at + 512 <= bytes.len() {
        let name = String::from_utf8_lossy(&bytes[at..at + 100]).trim_end_matches('\0').to_owned();
        let size = String::from_utf8_lossy(&bytes[at + 124..at + 135]).to_string();
        let Ok(size) = usize::from_str_radix(size.trim_matches(['\0', ' ']), 8) else { break };
        if name.ends_with(".sigstore.json") {
            bytes[at + 512..at + 512 + size].fill(0);
            blanked += 1;
            break;
        }
        at += 512 + size.div_ceil(512) * 512;
    }
    assert_eq!(blanked, 1, "no signature entry in {}", volume.display());
    Digest::sha256(&bytes)
}

fn check_served(root: &Path, expected: &Expected, archives: &BTreeMap<String, Vec<u8>>) {
    let served = serve(root, "far");
    for (repository, tag, pushed) in &expected.tags {
        let target = format!("/v2/public.ecr.aws/{repository}/manifests/{tag}");
        let response = request(&served.address, "GET", &target, &[("Accept", &pushed.media_type)], b"");
        assert_eq!(response.status, 200, "{target}");
        assert_eq!(response.headers["docker-content-digest"], pushed.digest.to_string());
        assert_eq!(response.headers["content-type"], pushed.media_type);
        assert!(response.body == pushed.bytes, "{target}: different bytes");
    }
    // The mirror file selects only Linux.
    let (wanted, others): (Vec<_>, Vec<_>) =
        archives.iter().partition(|(path, _)| !path.contains("windows") && !path.contains("darwin"));
    assert!(!others.is_empty());
    for (path, content) in wanted {
        let (folder, name) = path.rsplit_once('/').unwrap();
        let repository = format!("distro.eks.amazonaws.com{folder}");
        let target = format!("/v2/{repository}/blobs/{}", Digest::sha256(content));
        let response = request(&served.address, "GET", &target, &[], b"");
        assert_eq!(response.status, 200, "{target}");
        assert!(response.body == *content, "{name}: different bytes");
        let tagged =
            request(&served.address, "HEAD", &format!("/v2/{repository}/manifests/{name}"), &[], b"");
        assert_eq!(tagged.status, 200, "{repository}:{name}");
    }
    let (repository, subject, referrer) = &expected.referrer;
    let response = request(
        &served.address,
        "GET",
        &format!("/v2/public.ecr.aws/{repository}/referrers/{subject}"),
        &[],
        b"",
    );
    assert!(String::from_utf8_lossy(&response.body).contains(&referrer.to_string()));
    for (repository, digest) in &expected.windows {
        let target = format!("/v2/public.ecr.aws/{repository}/manifests/{digest}");
        assert_eq!(request(&served.address, "GET", &target, &[], b"").status, 404, "not selected: {target}");
    }
}

#[test]
fn an_archive_that_does_not_match_its_checksum_is_refused_and_nothing_is_published() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let (release, mut archives) = with_generated_archives();
    archives.iter_mut().find(|(path, _)| path.contains("linux")).unwrap().1[7] ^= 1;
    let release = release.replace("type: Image", "type: Ignored");
    std::fs::write(root.join("release.yaml"), release).unwrap();
    let server = FileServer::start(archives);
    std::fs::write(root.join("airlock.yaml"), config("127.0.0.1:1", &server.address)).unwrap();
    let output =
        airlock(root, &["mirror", "-f", "airlock.yaml", "--store", "near", "--lock", "airlock.lock"])
            .output()
            .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).to_string();
    assert!(text.contains("sha256"), "{text}");
    assert!(!root.join("airlock.lock").exists());
    assert!(dump(&root.join("near")).iter().all(|line| line.starts_with("blob")));
}

/// Pushes an image for every image asset: all formats, one signed by tag (index and child), one by referrer.
fn fill(upstream: &Upstream) -> Expected {
    let mut expected = Expected {
        tags: Vec::new(),
        referrer: (String::new(), Digest::sha256(b""), Digest::sha256(b"")),
        windows: Vec::new(),
    };
    for (number, uri) in uris("public.ecr.aws").into_iter().enumerate() {
        let reference: Reference = uri.parse().unwrap();
        let (repository, tag) = (reference.repository().to_string(), reference.tag().unwrap().to_string());
        let spec = ImageSpec::new(number as u64 + 1, 60_000 + number * 7_000, ImageFormat::of(number));
        let (index, children) = upstream.push_index(&repository, &tag, &spec);
        expected.windows.push((repository.clone(), children[2].digest.clone()));
        if number == 2 {
            for subject in [&index.digest, &children[0].digest] {
                let (tag, signature) = upstream.push_signature_tag(&repository, subject);
                expected.tags.push((repository.clone(), tag, signature));
            }
        }
        if number == 3 {
            let referrer = upstream.push_referrer(&repository, &children[1]);
            expected.referrer = (repository.clone(), children[1].digest.clone(), referrer.digest);
        }
        expected.tags.push((repository, tag, index));
    }
    assert!(expected.tags.len() > 15, "{} image assets", expected.tags.len());
    expected
}

/// The release manifest with the checksums of the generated archives, and the archives by URL path.
fn with_generated_archives() -> (String, BTreeMap<String, Vec<u8>>) {
    let mut archives = BTreeMap::new();
    let mut release = String::new();
    let mut pending: Vec<&str> = Vec::new();
    for line in RELEASE.lines() {
        let key = line.trim();
        if key.starts_with("sha256:") || key.starts_with("sha512:") {
            pending.push(line);
            continue;
        }
        if let Some(path) = key.strip_prefix("uri: ").and_then(|uri| uri.strip_prefix(ARCHIVES)) {
            let content = noise(archives.len() as u64 + 77, 30_000 + archives.len() * 1_000);
            for old in pending.drain(..) {
                let (indent, algorithm) = if old.contains("sha256:") {
                    (old.find("sha256").unwrap(), Algorithm::Sha256)
                } else {
                    (old.find("sha512").unwrap(), Algorithm::Sha512)
                };
                let digest = Digest::of(algorithm, &content);
                release.push_str(&format!("{}{algorithm}: {}\n", " ".repeat(indent), digest.hex()));
            }
            archives.insert(path.to_owned(), content);
        }
        release.push_str(line);
        release.push('\n');
    }
    assert!(pending.is_empty() && archives.len() > 20, "{} archives", archives.len());
    (release, archives)
}

fn uris(host: &str) -> Vec<&'static str> {
    let mut found: Vec<_> = RELEASE
        .lines()
        .filter_map(|line| line.trim().strip_prefix("uri: "))
        .filter(|uri| uri.starts_with(host))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn config(registry: &str, files: &str) -> String {
    format!(
        "apiVersion: airlock.dev/v1alpha1
kind: MirrorConfig
metadata:
  name: eks-d-1-21
platforms: [linux/amd64, linux/arm64]
registries:
  - host: public.ecr.aws
    mirror: {registry}
    plainHTTP: true
urls:
  - prefix: {ARCHIVES}/
    mirror: http://{files}/
sources:
  - eksdRelease:
      file: release.yaml
      unverified: true
"
    )
}
