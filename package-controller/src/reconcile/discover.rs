//! Package bundles in the registry: found by tag, verified and parsed.

use admission::eksa::bundle::fault;
use admission::keys::BundleKeys;
use bundle_signer::eksa;
use error_text::one_line;
use evidence::EvidenceSource;
use oci::{Content, RegistryHost, RepositoryName, Selector, Tag};
use package_api::name::PACKAGES_NAMESPACE;
use package_api::{BundleName, PackageBundle, PackageBundleControllerSpec};

use crate::context::Context;
use crate::package::CHART_REGISTRY;

/// The repository of bundles in the registry of charts, unless the `PackageBundleController` sets another.
const REPOSITORY: &str = "eks-anywhere-packages-bundles";
/// The largest accepted bundle. The largest known one has 59 kB.
const MAX_BYTES: u64 = 4 << 20;

/// The bundle with a tag, if its signature is valid.
///
/// # Errors
/// The problem, as text for the user.
pub(super) async fn bundle(
    context: &Context,
    settings: &PackageBundleControllerSpec,
    tag: &str,
) -> Result<PackageBundle, String> {
    let (sources, shown) = sources(context, settings)?;
    let failed = |reason: String| format!("the bundle {shown}:{tag}: {reason}");
    let selector: Tag = tag.parse().map_err(|error: oci::Error| failed(one_line(&error)))?;
    let selector = Selector::Tag(selector);
    let mut found = None;
    for source in sources {
        if let Some(manifest) = source.manifest(&selector).await.map_err(|error| failed(one_line(&error)))? {
            found = Some((source, manifest));
            break;
        }
    }
    let (source, manifest) = found.ok_or_else(|| failed("the registry does not have it".to_owned()))?;
    let layer = match manifest.content() {
        Content::Image(image) => image.layers.first(),
        Content::Index(_) => None,
    };
    let layer = layer.ok_or_else(|| failed("the artifact has no layer".to_owned()))?;
    if layer.size > MAX_BYTES {
        return Err(failed(format!("it has {} bytes; at most {MAX_BYTES} are accepted", layer.size)));
    }
    let bytes = source.blob(layer).await.map_err(|error| failed(one_line(&error)))?;
    let keys = BundleKeys::load(&context.settings.process.keys).map_err(|error| one_line(&error))?;
    read(&bytes, &keys).map_err(failed)
}

/// Verifies a bundle, and then parses it.
fn read(bytes: &[u8], keys: &BundleKeys) -> Result<PackageBundle, String> {
    let verified = eksa::verify_package_bundle(bytes, &keys.trust);
    let manifest = verified.map_err(|error| fault(&error, &keys.encoded))?;
    let bundle: PackageBundle =
        serde_json::from_value(manifest.whole().clone()).map_err(|error| one_line(&error))?;
    bundle.name().parse::<BundleName>().map_err(|error| one_line(&error))?;
    if bundle.namespace() != PACKAGES_NAMESPACE {
        return Err(format!("it is for the namespace `{}`", bundle.namespace()));
    }
    Ok(bundle)
}

/// Verifies a bundle in the cluster.
///
/// # Errors
/// The problem, as text for the user.
pub(super) fn verify(bundle: &PackageBundle, keys: &BundleKeys) -> Result<(), String> {
    let text = serde_json::to_vec(bundle).map_err(|error| one_line(&error))?;
    eksa::verify_package_bundle(&text, &keys.trust).map(drop).map_err(|error| fault(&error, &keys.encoded))
}

/// The repositories that may contain bundles. As for charts, a mirror of all registries has them below the host's name, or
/// under its own name.
fn sources(
    context: &Context,
    settings: &PackageBundleControllerSpec,
) -> Result<(Vec<EvidenceSource>, String), String> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let registry = given(&settings.default_registry).unwrap_or_else(|| CHART_REGISTRY.to_owned());
    let repository = given(&settings.bundle_repository).unwrap_or_else(|| REPOSITORY.to_owned());
    let shown = format!("{registry}/{repository}");
    let invalid =
        |error: oci::Error| format!("`{shown}` is not a valid repository of bundles: {}", one_line(&error));
    let (host, path) = shown.split_once('/').unwrap_or((&shown, ""));
    let host: RegistryHost = host.parse().map_err(invalid)?;
    let path: RepositoryName = path.parse().map_err(invalid)?;
    let at =
        |host: &RegistryHost, path| EvidenceSource::Registry(context.registry.clone(), host.clone(), path);
    let sources = match &context.settings.process.mirror {
        Some(mirror) if *mirror != host => {
            let below = host.as_repository().and_then(|prefix| path.below(&prefix));
            below.into_iter().chain([path]).map(|path| at(mirror, path)).collect()
        }
        _ => vec![at(&host, path)],
    };
    Ok((sources, shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::keys::KeySource;

    const SIGNED: &[u8] = include_bytes!("../../../package-api/tests/data/v1-24-116-aws.yaml");
    const OTHER: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE/m9XG9OEhMXWekW7lAWP/RcvT0YMk0MrFsLFiPBWNMlGlqfGi/5GK7bL2IeoCMMbGj89tNlQ/Pu3TdQnOsmf8Q==";

    #[test]
    fn a_bundle_signed_by_another_key_is_rejected_with_the_text_of_the_contract() {
        let keys = |source: &KeySource| BundleKeys::load(source).unwrap();
        let bundle = read(SIGNED, &keys(&KeySource::Aws)).unwrap();
        let other = keys(&KeySource::Key(OTHER.to_owned()));
        let message = format!("The signature is invalid for the configured public key: {OTHER}");
        assert_eq!(read(SIGNED, &other).unwrap_err(), message);
        assert_eq!(verify(&bundle, &other).unwrap_err(), message);
    }
}
