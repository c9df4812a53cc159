//! Makes a bundle from charts in a store.

use std::collections::BTreeSet;
use std::path::Path;

use bundle_signer::eksa::{MIN_CONTROLLER_VERSION, min_controller_version_label};
use helm::{Chart, Limits};
use mirror::reporter::Reporter;
use mirror::source::ChartImages;
use mirror::stored_chart;
use oci::{Reference, RepositoryName, Selector, Tag};
use package_api::name::PACKAGES_NAMESPACE;
use package_api::{
    BundlePackage, BundleSource, PackageBundle, PackageBundleSpec, SourceVersion, VersionImage,
};
use store::Store;

use super::config::OfferText;
use super::{BundleConfig, Error, schema};

/// Makes the bundle, unsigned. Warns about image fields without a valid image reference: the controller would not install
/// such an object.
///
/// # Errors
/// When a chart or one of its images is not in the store, or a chart does not render.
pub fn make(config: &BundleConfig, store: &Store, reporter: &dyn Reporter) -> Result<PackageBundle, Error> {
    let inputs = Inputs { base: &config.base, store, reporter };
    let packages = config.packages.iter().map(|offer| package(offer, &inputs));
    let spec = PackageBundleSpec {
        packages: packages.collect::<Result<_, _>>()?,
        min_controller_version: config.min_controller_version.clone(),
    };
    let mut bundle = PackageBundle::new(config.name.as_str(), spec);
    bundle.metadata.namespace = Some(PACKAGES_NAMESPACE.to_owned());
    // AWS's contract signs labels, but not this field.
    let least = config.min_controller_version.as_deref().and_then(min_controller_version_label);
    bundle.metadata.labels = least.map(|least| [(MIN_CONTROLLER_VERSION.to_owned(), least)].into());
    Ok(bundle)
}

/// The inputs for making a package.
struct Inputs<'a> {
    /// The folder for relative paths.
    base: &'a Path,
    store: &'a Store,
    reporter: &'a dyn Reporter,
}

fn package(offer: &OfferText, inputs: &Inputs<'_>) -> Result<BundlePackage, Error> {
    let (mut versions, mut repositories) = (Vec::new(), BTreeSet::new());
    for chart in &offer.charts {
        let (repository, version) = version(offer, chart, inputs)?;
        versions.push(version);
        repositories.insert(repository);
    }
    match (repositories.pop_first(), repositories.is_empty()) {
        (Some(repository), true) => Ok(BundlePackage {
            name: offer.name.clone(),
            source: BundleSource { registry: None, repository: repository.to_string(), versions },
            workload_only: offer.workload_only.then_some(true),
        }),
        _ => Err(Error::Package {
            package: offer.name.clone(),
            problem: "has charts in several repositories: its versions must be tags of one repository",
        }),
    }
}

fn version(
    offer: &OfferText,
    name: &str,
    inputs: &Inputs<'_>,
) -> Result<(RepositoryName, SourceVersion), Error> {
    let store = inputs.store;
    let failed = |source| Error::Chart { chart: name.to_owned(), source: Box::new(source) };
    let (repository, tag) = named(name).ok_or_else(|| Error::ChartName(name.to_owned()))?;
    let row = store.resolve(&repository, &Selector::Tag(tag.clone()))?;
    let row = row.ok_or_else(|| Error::NoChart(name.to_owned()))?;
    let pinned = format!("{repository}@{}", row.digest);
    let archive = stored_chart(store, &pinned)
        .map_err(failed)?
        .map(|chart| chart.archive)
        .ok_or_else(|| Error::NoChart(name.to_owned()))?;
    let loaded = Chart::from_archive(archive.as_slice(), &Limits::default()).map_err(|source| {
        failed(mirror::Error::Render { chart: name.to_owned(), source: Box::new(source) })
    })?;
    let images = images(offer, name, &loaded, inputs)?;
    let version = SourceVersion {
        name: tag.to_string(),
        digest: row.digest.to_string(),
        images: (!images.is_empty()).then_some(images),
        schema: Some(schema::packed(offer, name, &loaded, inputs.base)?),
        dependencies: (!offer.dependencies.is_empty()).then(|| offer.dependencies.clone()),
    };
    Ok((repository, version))
}

fn named(name: &str) -> Option<(RepositoryName, Tag)> {
    let (repository, tag) = name.rsplit_once(':')?;
    Some((repository.parse().ok()?, tag.parse().ok()?))
}

/// All images in the chart's rendered objects, by their digests in the store.
fn images(
    offer: &OfferText,
    name: &str,
    chart: &Chart,
    inputs: &Inputs<'_>,
) -> Result<Vec<VersionImage>, Error> {
    let render = ChartImages {
        values: offer.values.iter().map(|path| inputs.base.join(path)).collect(),
        set: offer.set.clone(),
        ..ChartImages::default()
    };
    let found = render.find(chart, name);
    let (found, _) =
        found.map_err(|source| Error::Chart { chart: name.to_owned(), source: Box::new(source) })?;
    for (place, text) in &found.unusable {
        let (object, field) = (&place.object, &place.field);
        inputs.reporter.warn(&format!(
            "chart `{name}`: {object} {field}: `{text}` is not an image reference, so the bundle has no image for it; \
             set it in `values` or `set`"
        ));
    }
    let (mut images, mut missing) = (BTreeSet::new(), Vec::new());
    for image in &found.images {
        match in_store(&image.reference, inputs.store)? {
            Some(found) => {
                images.insert(found);
            }
            None => missing.push(image.reference.clone()),
        }
    }
    if !missing.is_empty() {
        return Err(Error::NoImages { chart: name.to_owned(), images: missing });
    }
    Ok(images.into_iter().map(|(repository, digest)| VersionImage { repository, digest }).collect())
}

fn in_store(text: &str, store: &Store) -> Result<Option<(String, String)>, Error> {
    let Ok(reference) = text.parse::<Reference>() else { return Ok(None) };
    let below = reference.host().as_repository().and_then(|host| reference.repository().below(&host));
    let Ok(repository) = below else { return Ok(None) };
    let row = store.resolve(&repository, &reference.selector())?;
    Ok(row.map(|row| (repository.to_string(), row.digest.to_string())))
}
