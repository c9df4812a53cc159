//! EKS Distro `Release` (distro.eks.amazonaws.com/v1alpha1) and EKS Anywhere `PackageBundle`
//! (packages.eks.amazonaws.com/v1alpha1) manifests. Members that are not needed are not looked at.

use oci::{Digest, Reference, RegistryHost, RepositoryName, Selector};
use serde::Deserialize;

use super::{Wanted, named_after};
use crate::config::{Location, MirrorConfig};
use crate::lock::ItemKind;
use crate::mirror::Error;

#[derive(Deserialize)]
struct Release {
    kind: String,
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

/// Every image and archive of a release; gives also the names of assets of other types.
///
/// # Errors
/// When the text is no release, or a reference or checksum in it is malformed.
pub fn release_wants(
    text: &str,
    name: &str,
    config: &MirrorConfig,
) -> Result<(Vec<Wanted>, Vec<String>), Error> {
    let malformed = |source| Error::Document { name: name.to_owned(), source: Box::new(source) };
    let release: Release = serde_saphyr::from_str(text).map_err(malformed)?;
    if release.kind != "Release" {
        return Err(Error::DocumentKind { name: name.to_owned(), found: release.kind, expected: "Release" });
    }
    let (mut wants, mut others) = (Vec::new(), Vec::new());
    for asset in release.status.components.into_iter().flat_map(|component| component.assets) {
        match (asset.kind.as_str(), asset.image, asset.archive) {
            ("Image", Some(image), _) => {
                let reference: Reference = image.uri.parse().map_err(Error::Oci)?;
                wants.push(Wanted::Image { kind: ItemKind::Image, reference });
            }
            ("Archive", _, Some(archive)) => {
                let checksums = [format!("sha256:{}", archive.sha256), format!("sha512:{}", archive.sha512)]
                    .iter()
                    .map(|text| text.parse::<Digest>().map_err(Error::Oci))
                    .collect::<Result<Vec<_>, _>>()?;
                let (repository, tag) = named_after(&archive.uri)?;
                let location = Location::Url(config.url(&archive.uri));
                wants.push(Wanted::File { source: archive.uri, location, checksums, repository, tag });
            }
            (kind, ..) => others.push(format!("{} ({kind})", asset.name)),
        }
    }
    Ok((wants, others))
}

#[derive(Deserialize)]
struct PackageBundle {
    kind: String,
    spec: BundleSpec,
}

#[derive(Deserialize)]
struct BundleSpec {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    source: PackageSource,
}

#[derive(Deserialize)]
struct PackageSource {
    registry: Option<String>,
    repository: RepositoryName,
    versions: Vec<PackageVersion>,
}

#[derive(Deserialize)]
struct PackageVersion {
    name: String,
    digest: Digest,
    #[serde(default)]
    images: Vec<PackageImage>,
}

#[derive(Deserialize)]
struct PackageImage {
    repository: RepositoryName,
    digest: Digest,
}

/// Every chart and image of a package bundle. Charts keep their version as tag; images are known by digest.
///
/// # Errors
/// When the text is no package bundle.
pub fn bundle_wants(
    text: &str,
    name: &str,
    registry: &RegistryHost,
    prefix: Option<&RepositoryName>,
) -> Result<Vec<Wanted>, Error> {
    let malformed = |source| Error::Document { name: name.to_owned(), source: Box::new(source) };
    let bundle: PackageBundle = serde_saphyr::from_str(text).map_err(malformed)?;
    if bundle.kind != "PackageBundle" {
        return Err(Error::DocumentKind {
            name: name.to_owned(),
            found: bundle.kind,
            expected: "PackageBundle",
        });
    }
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
        let place = |repository: &RepositoryName| match &prefix {
            Some(prefix) => repository.below(prefix).map_err(Error::Oci),
            None => Ok(repository.clone()),
        };
        for version in &source.versions {
            let text = format!("{host}/{}:{}@{}", place(&source.repository)?, version.name, version.digest);
            wants.push(Wanted::Image { kind: ItemKind::Chart, reference: text.parse().map_err(Error::Oci)? });
            for image in &version.images {
                let selector = Selector::Digest(image.digest.clone());
                let reference = Reference::new(host.clone(), place(&image.repository)?, selector);
                wants.push(Wanted::Image { kind: ItemKind::Image, reference });
            }
        }
    }
    Ok(wants)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_names_charts_by_tag_and_digest_and_images_by_digest() {
        let digest = Digest::sha256(b"x");
        let text = format!(
            "kind: PackageBundle\nspec:\n  packages:\n  - name: p\n    source:\n      repository: p/chart\n      versions:\n      \
             - name: 1.0-abc\n        digest: {digest}\n        images:\n        - repository: p/image\n          digest: {digest}\n"
        );
        let prefix = "eks-anywhere".parse().unwrap();
        let wants = bundle_wants(&text, "b", &"public.ecr.aws".parse().unwrap(), Some(&prefix)).unwrap();
        let names: Vec<_> = wants.iter().map(Wanted::name).collect();
        let place = "public.ecr.aws/eks-anywhere/p";
        assert_eq!(names, [format!("{place}/chart:1.0-abc@{digest}"), format!("{place}/image@{digest}")]);
    }

    #[test]
    fn the_bundle_that_aws_signed_names_its_charts_and_images() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let Ok(text) =
            std::fs::read_to_string(root.join("../../shared/fixtures/eksa/signed/v1-24-116-aws.yaml"))
        else {
            println!("skipped: the signed bundle of EKS Anywhere is not here");
            return;
        };
        let wants = bundle_wants(&text, "b", &"public.ecr.aws".parse().unwrap(), None).unwrap();
        let images: std::collections::BTreeSet<_> = wants
            .iter()
            .filter(|wanted| matches!(wanted, Wanted::Image { kind: ItemKind::Image, .. }))
            .map(Wanted::name)
            .collect();
        assert!(images.len() >= 24, "{}", images.len());
        assert!(wants.len() > images.len() + 10, "{}", wants.len());
    }
}
