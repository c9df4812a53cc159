//! Bundles of packages in the registry: found by tag, verified, and read.

use admission::eksa::bundle::fault;
use admission::keys::BundleKeys;
use brief::words;
use bundle_signer::eksa;
use evidence::EvidenceSource;
use oci::{Content, RegistryHost, RepositoryName, Selector, Tag};
use package_api::name::PACKAGES_NAMESPACE;
use package_api::{BundleName, PackageBundle, PackageBundleControllerSpec};

use crate::context::Context;
use crate::package::CHART_REGISTRY;

/// Where bundles are, below the registry of charts, unless the cluster's settings say otherwise.
const REPOSITORY: &str = "eks-anywhere-packages-bundles";
/// The largest known bundle has 59 kB.
const MOST_BYTES: u64 = 4 << 20;

/// The bundle under a tag, if its signature is good.
///
/// # Errors
/// What a person should know.
pub(super) async fn bundle(
    context: &Context,
    settings: &PackageBundleControllerSpec,
    tag: &str,
) -> Result<PackageBundle, String> {
    let (places, shown) = places(context, settings)?;
    let told = |words: String| format!("the bundle {shown}:{tag}: {words}");
    let selector: Tag = tag.parse().map_err(|error: oci::Error| told(words(&error)))?;
    let selector = Selector::Tag(selector);
    let mut found = None;
    for place in places {
        if let Some(manifest) = place.manifest(&selector).await.map_err(|error| told(words(&error)))? {
            found = Some((place, manifest));
            break;
        }
    }
    let (place, manifest) = found.ok_or_else(|| told("the registry does not have it".to_owned()))?;
    let layer = match manifest.content() {
        Content::Image(image) => image.layers.first(),
        Content::Index(_) => None,
    };
    let layer = layer.ok_or_else(|| told("the artifact has no layer".to_owned()))?;
    if layer.size > MOST_BYTES {
        return Err(told(format!("it has {} bytes, and {MOST_BYTES} are read", layer.size)));
    }
    let bytes = place.blob(layer).await.map_err(|error| told(words(&error)))?;
    let keys = BundleKeys::load(&context.settings.keys).map_err(|error| words(&error))?;
    read(&bytes, &keys).map_err(told)
}

/// Verifies first, and reads then.
fn read(bytes: &[u8], keys: &BundleKeys) -> Result<PackageBundle, String> {
    let verified = eksa::verify_package_bundle(bytes, &keys.trust);
    let manifest = verified.map_err(|error| fault(&error, &keys.told))?;
    let bundle: PackageBundle =
        serde_json::from_value(manifest.whole().clone()).map_err(|error| words(&error))?;
    bundle.name().parse::<BundleName>().map_err(|error| words(&error))?;
    if bundle.namespace() != PACKAGES_NAMESPACE {
        return Err(format!("it is for the namespace `{}`", bundle.namespace()));
    }
    Ok(bundle)
}

/// Verifies a bundle that is on the cluster.
///
/// # Errors
/// What a person should know.
pub(super) fn verify(bundle: &PackageBundle, keys: &BundleKeys) -> Result<(), String> {
    let text = serde_json::to_vec(bundle).map_err(|error| words(&error))?;
    eksa::verify_package_bundle(&text, &keys.trust).map(drop).map_err(|error| fault(&error, &keys.told))
}

/// As for charts: a mirror that stands for every host has it below the host's name, or under its own.
fn places(
    context: &Context,
    settings: &PackageBundleControllerSpec,
) -> Result<(Vec<EvidenceSource>, String), String> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let registry = given(&settings.default_registry).unwrap_or_else(|| CHART_REGISTRY.to_owned());
    let repository = given(&settings.bundle_repository).unwrap_or_else(|| REPOSITORY.to_owned());
    let shown = format!("{registry}/{repository}");
    let wrong = |error: oci::Error| format!("`{shown}` is not a place of bundles: {}", words(&error));
    let (host, path) = shown.split_once('/').unwrap_or((&shown, ""));
    let host: RegistryHost = host.parse().map_err(wrong)?;
    let path: RepositoryName = path.parse().map_err(wrong)?;
    let at =
        |host: &RegistryHost, path| EvidenceSource::Registry(context.registry.clone(), host.clone(), path);
    let places = match &context.settings.mirror {
        Some(mirror) if *mirror != host => {
            let below = host.as_repository().and_then(|prefix| path.below(&prefix));
            below.into_iter().chain([path]).map(|path| at(mirror, path)).collect()
        }
        _ => vec![at(&host, path)],
    };
    Ok((places, shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::keys::KeySource;

    const SIGNED: &[u8] = include_bytes!("../../../package-api/tests/data/v1-24-116-aws.yaml");
    const OTHER: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE/m9XG9OEhMXWekW7lAWP/RcvT0YMk0MrFsLFiPBWNMlGlqfGi/5GK7bL2IeoCMMbGj89tNlQ/Pu3TdQnOsmf8Q==";

    #[test]
    fn a_bundle_signed_by_another_key_is_refused_by_the_contract_s_words_with_the_key_that_counts() {
        let keys = |source: &KeySource| BundleKeys::load(source).unwrap();
        let bundle = read(SIGNED, &keys(&KeySource::Aws)).unwrap();
        let other = keys(&KeySource::Key(OTHER.to_owned()));
        let words = format!("The signature is invalid for the configured public key: {OTHER}");
        assert_eq!(read(SIGNED, &other).unwrap_err(), words);
        assert_eq!(verify(&bundle, &other).unwrap_err(), words);
    }
}
