//! EKS Distro `Release` (distro.eks.amazonaws.com/v1alpha1) and EKS Anywhere `PackageBundle`
//! (packages.eks.amazonaws.com/v1alpha1) manifests. Fields that are not needed are ignored.

use bundle_signer::TrustFile;
use bundle_signer::trust::ContentKind;
use oci::{Digest, Platform, Reference, RegistryHost, RepositoryName, Selector};
use package_api::PackageBundleSpec;
use serde::Deserialize;
use serde_json::Value;

use super::url::{FileUrl, Unusable};
use super::{Wanted, named_after, title_of};
use crate::Error;
use crate::config::{Location, MirrorConfig, Signed};
use crate::lock::ItemKind;

#[derive(Deserialize)]
struct Release {
    status: ReleaseStatus,
}

#[derive(Deserialize)]
struct ReleaseStatus {
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(default)]
    assets: Vec<Asset>,
}

#[derive(Deserialize)]
struct Asset {
    name: String,
    os: Option<String>,
    #[serde(default)]
    arch: Vec<String>,
    #[serde(rename = "type")]
    kind: String,
    image: Option<AssetImage>,
    archive: Option<AssetArchive>,
}

#[derive(Deserialize)]
struct AssetImage {
    uri: String,
}

#[derive(Deserialize)]
struct AssetArchive {
    uri: String,
    sha256: String,
    sha512: String,
}

impl Asset {
    /// Whether it is for one of these platforms, or for all.
    fn is_for(&self, platforms: &[Platform]) -> bool {
        let Some(os) = &self.os else { return true };
        let fits = |platform: &Platform| {
            platform.os == *os && (self.arch.is_empty() || self.arch.contains(&platform.architecture))
        };
        platforms.is_empty() || platforms.iter().any(fits)
    }
}

/// The content of a release.
#[derive(Debug, Default)]
pub struct ReleaseWants {
    /// Its images, and its archives for the platforms.
    pub wants: Vec<Wanted>,
    /// Assets of other types.
    pub others: Vec<String>,
    /// Archives for other platforms, which are left out.
    pub left_out: Vec<String>,
}

/// All images of a release, and all archives for the mirror file's platforms.
///
/// # Errors
/// When the manifest is not a release, or a reference or checksum in it is malformed.
pub fn release_wants(manifest: Accepted, name: &str, config: &MirrorConfig) -> Result<ReleaseWants, Error> {
    let release: Release = shaped(manifest, name, "Release")?;
    let mut found = ReleaseWants::default();
    for asset in release.status.components.into_iter().flat_map(|component| component.assets) {
        match (asset.kind.as_str(), &asset.image, &asset.archive) {
            ("Image", Some(image), _) => {
                let reference: Reference = image.uri.parse().map_err(Error::Oci)?;
                found.wants.push(Wanted::Image { kind: ItemKind::Image, reference, read: None });
            }
            ("Archive", _, Some(_)) if !asset.is_for(&config.platforms) => found.left_out.push(asset.name),
            ("Archive", _, Some(archive)) => found.wants.push(archive_wanted(&asset, archive, config)?),
            (kind, ..) => found.others.push(format!("{} ({kind})", asset.name)),
        }
    }
    Ok(found)
}

fn archive_wanted(asset: &Asset, archive: &AssetArchive, config: &MirrorConfig) -> Result<Wanted, Error> {
    let checksums = [format!("sha256:{}", archive.sha256), format!("sha512:{}", archive.sha512)]
        .iter()
        .map(|text| text.parse::<Digest>().map_err(Error::Oci))
        .collect::<Result<Vec<_>, _>>()?;
    let unusable =
        |unusable: Unusable| Error::Url { name: asset.name.clone(), expected: unusable.expected() };
    let url = FileUrl::parse(&archive.uri).map_err(unusable)?;
    let (repository, tag) = named_after(url.name())?;
    let location = Location::Url(config.url(&url).map_err(unusable)?);
    let title = title_of(url.name());
    Ok(Wanted::File { source: url.name().to_owned(), location, checksums, repository, tag, title })
}

/// An EKS manifest that may be mirrored: it was verified, or the mirror file accepts it without verification. Only
/// [`verified`] creates this type, so that no other manifest is mirrored.
#[derive(Debug)]
pub struct Accepted(Value);

/// Verifies an EKS manifest with the key of the required signer.
///
/// # Errors
/// When the manifest is malformed, or the signature is missing or invalid.
pub fn verified(
    text: &str,
    name: &str,
    signed: &Signed,
    verify: impl FnOnce(&[u8], &TrustFile) -> bundle_signer::Result<bundle_signer::eksa::Manifest>,
    aws: fn() -> bundle_signer::Result<TrustFile>,
) -> Result<Accepted, Error> {
    let refused = |source| Error::Unverified { name: name.to_owned(), source: Box::new(source) };
    let trust = match signed {
        Signed::Unverified => {
            return gostd::yaml::parse(text, &gostd::Limits::default())
                .map(Accepted)
                .map_err(|source| Error::Eks { name: name.to_owned(), source: Box::new(source) });
        }
        Signed::ByAws => aws(),
        Signed::ByKey(path) => {
            let read = input::read_text(path, input::MAX_SIZE);
            let pem = read.map_err(|source| Error::File { path: path.display().to_string(), source })?;
            // The mirror file gives this key for EKS manifests, so it must not count for anything else.
            let trust = TrustFile::from_public_key(&path.display().to_string(), &pem);
            trust.map(|trust| {
                trust.limited_to(&[ContentKind::PackageBundle, ContentKind::Bundles, ContentKind::Release])
            })
        }
    };
    let manifest = verify(text.as_bytes(), &trust.map_err(refused)?).map_err(refused)?;
    Ok(Accepted(manifest.whole().clone()))
}

/// Parses a manifest of the expected kind.
fn shaped<T: serde::de::DeserializeOwned>(
    Accepted(manifest): Accepted,
    name: &str,
    expected: &'static str,
) -> Result<T, Error> {
    let found = manifest["kind"].as_str().unwrap_or_default().to_owned();
    if found != expected {
        return Err(Error::DocumentKind { name: name.to_owned(), found, expected });
    }
    serde_json::from_value(manifest).map_err(|source| Error::Shape {
        name: name.to_owned(),
        expected,
        source: Box::new(source),
    })
}

#[derive(Deserialize)]
struct Bundle {
    spec: PackageBundleSpec,
}

/// All charts and images of a package bundle. Charts keep their version as tag; images are identified by digest.
///
/// # Errors
/// When the manifest is not a package bundle.
pub fn bundle_wants(
    manifest: Accepted,
    name: &str,
    registry: &RegistryHost,
    prefix: Option<&RepositoryName>,
) -> Result<Vec<Wanted>, Error> {
    let bundle: Bundle = shaped(manifest, name, "PackageBundle")?;
    let mut wants = Vec::new();
    for source in bundle.spec.packages.into_iter().map(|package| package.source) {
        let (host, prefix) = match &source.registry {
            Some(text) => match text.split_once('/') {
                Some((host, prefix)) => {
                    (host.parse().map_err(Error::Oci)?, Some(prefix.parse().map_err(Error::Oci)?))
                }
                None => (text.parse().map_err(Error::Oci)?, None),
            },
            None => (registry.clone(), prefix.cloned()),
        };
        let prefixed = |repository: &str| {
            let repository: RepositoryName = repository.parse().map_err(Error::Oci)?;
            match &prefix {
                Some(prefix) => repository.below(prefix).map_err(Error::Oci),
                None => Ok(repository),
            }
        };
        for version in &source.versions {
            let digest: Digest = version.digest.parse().map_err(Error::Oci)?;
            let text = format!("{host}/{}:{}@{digest}", prefixed(&source.repository)?, version.name);
            let reference = text.parse().map_err(Error::Oci)?;
            wants.push(Wanted::Image { kind: ItemKind::Chart, reference, read: None });
            for image in version.images.iter().flatten() {
                let selector = Selector::Digest(image.digest.parse().map_err(Error::Oci)?);
                let reference = Reference::new(host.clone(), prefixed(&image.repository)?, selector);
                wants.push(Wanted::Image { kind: ItemKind::Image, reference, read: None });
            }
        }
    }
    Ok(wants)
}

#[cfg(test)]
mod tests {
    use bundle_signer::eksa::{package_keys, verify_package_bundle};

    use super::*;

    fn accepted(text: &str) -> Result<Accepted, Error> {
        verified(text, "b", &Signed::Unverified, verify_package_bundle, package_keys)
    }

    #[test]
    fn o18_an_asset_is_for_its_os_and_architecture() {
        let asset = |text: &str| serde_json::from_str::<Asset>(text).unwrap();
        let windows = asset(r#"{"name":"a","type":"Archive","os":"windows","arch":["amd64"]}"#);
        let linux = asset(r#"{"name":"a","type":"Archive","os":"linux","arch":["amd64","arm64"]}"#);
        let source = asset(r#"{"name":"a","type":"Archive"}"#);
        let platforms: Vec<Platform> = vec!["linux/arm64/v8".parse().unwrap()];
        assert!(!windows.is_for(&platforms) && linux.is_for(&platforms) && source.is_for(&platforms));
        assert!(windows.is_for(&[]));
    }

    #[test]
    fn a_bundle_lists_charts_by_tag_and_digest_and_images_by_digest() {
        let digest = Digest::sha256(b"x");
        let text = format!(
            "kind: PackageBundle\nspec:\n  packages:\n  - name: p\n    source:\n      repository: p/chart\n      versions:\n      \
             - name: 1.0-abc\n        digest: {digest}\n        images:\n        - repository: p/image\n          digest: {digest}\n"
        );
        let prefix = "eks-anywhere".parse().unwrap();
        let registry = "public.ecr.aws".parse().unwrap();
        let wants = bundle_wants(accepted(&text).unwrap(), "b", &registry, Some(&prefix)).unwrap();
        let names: Vec<_> = wants.iter().map(Wanted::name).collect();
        let folder = "public.ecr.aws/eks-anywhere/p";
        assert_eq!(names, [format!("{folder}/chart:1.0-abc@{digest}"), format!("{folder}/image@{digest}")]);
    }

    #[test]
    fn the_bundle_that_aws_signed_lists_its_charts_and_images() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let Ok(text) =
            std::fs::read_to_string(root.join("../../shared/fixtures/eksa/signed/v1-24-116-aws.yaml"))
        else {
            println!("skipped: the signed bundle of EKS Anywhere is not available");
            return;
        };
        let aws = |text: &str| verified(text, "b", &Signed::ByAws, verify_package_bundle, package_keys);
        let wants = bundle_wants(aws(&text).unwrap(), "b", &"public.ecr.aws".parse().unwrap(), None).unwrap();
        let tampered = text.replacen("repository:", "repository: x", 1);
        for refused in
            [aws(&tampered.replacen("digest: sha256:0", "digest: sha256:1", 1)), aws("kind: PackageBundle\n")]
        {
            assert!(matches!(refused, Err(Error::Unverified { .. })), "{refused:?}");
        }
        let images: std::collections::BTreeSet<_> = wants
            .iter()
            .filter(|wanted| matches!(wanted, Wanted::Image { kind: ItemKind::Image, .. }))
            .map(Wanted::name)
            .collect();
        assert!(images.len() >= 24, "{}", images.len());
        assert!(wants.len() > images.len() + 10, "{}", wants.len());
    }
}
