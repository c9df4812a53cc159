//! Makes a `PackageBundle` from charts in the store: their digests, their schemas, and the digests of all images in their
//! rendered objects. These images must be in the store, too.
//!
//! The same file and the same store give the same bundle, byte for byte. The bundle is unsigned; the signer signs it.
//!
//! `BundleConfig + [store] -> PackageBundle`, then signed: `-> [store]`

mod lock;
mod publish;
mod schema;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bundle_signer::eksa::{MIN_CONTROLLER_VERSION, min_controller_version_label};
use error_class::{Class, Classified};
use helm::{Chart, Limits};
use mirror::reporter::Reporter;
use mirror::source::ChartImages;
use mirror::stored_chart;
use oci::{Reference, RepositoryName, Selector, Tag};
use package_api::name::PACKAGES_NAMESPACE;
use package_api::{
    BundleName, BundlePackage, BundleSource, PackageBundle, PackageBundleSpec, SourceVersion, VersionImage,
};
use schemars::JsonSchema;
use serde::Deserialize;
use store::Store;

pub use lock::{add, add_and_write};
pub use publish::{Published, REPOSITORY, listed, needs, publish, published};

const API_VERSION: &str = "airlock.dev/v1alpha1";
const KIND: &str = "BundleConfig";

/// An error in making a bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The file is not YAML of the expected shape.
    #[error("`{path}`{} is not a valid BundleConfig: {message}", line.map(|line| format!(", line {line},")).unwrap_or_default())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// The line, if known.
        line: Option<u64>,
        /// The problem.
        message: String,
    },
    /// The file has another kind or version.
    #[error("`{field}` is `{found}`, expected `{expected}`")]
    Kind {
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// The expected value.
        expected: &'static str,
    },
    /// The bundle's name is invalid.
    #[error("the bundle's name is invalid")]
    Name(#[source] package_api::Error),
    /// A package is invalid.
    #[error("package `{package}` {problem}")]
    Package {
        /// The package.
        package: String,
        /// The problem.
        problem: &'static str,
    },
    /// A package depends on a package that is not in the bundle.
    #[error("package `{package}` depends on `{needs}`, which is not in the bundle")]
    Dependency {
        /// The package.
        package: String,
        /// The missing package.
        needs: String,
    },
    /// Another bundle is published under this name.
    #[error("a bundle `{0}` is already published with different content, and is not replaced")]
    Published(BundleName),
    /// A chart's name is not its repository and tag in the store.
    #[error("`{0}` is not the repository and tag of a chart")]
    ChartName(String),
    /// A chart is not in the store.
    #[error("chart `{0}` is not in the store")]
    NoChart(String),
    /// The lock cannot be written.
    #[error("the bundle cannot be added to the lock")]
    Lock(#[source] Box<mirror::Error>),
    /// A bundle is no longer in the store.
    #[error("the bundle {0} is not in the store")]
    NoBundle(oci::Digest),
    /// Images in the rendered objects of a chart are not in the store.
    #[error("chart `{chart}` uses images that are not in the store: {}", images.join(", "))]
    NoImages {
        /// The chart.
        chart: String,
        /// The images.
        images: Vec<String>,
    },
    /// A chart cannot be read or rendered.
    #[error("chart `{chart}` cannot be added to the bundle")]
    Chart {
        /// The chart.
        chart: String,
        /// The cause.
        #[source]
        source: Box<mirror::Error>,
    },
    /// A schema is not JSON, or is too large.
    #[error("the schema of chart `{0}` is not JSON within 8 MiB")]
    Schema(String),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] store::Error),
    /// The artifact of a bundle in the store is malformed.
    #[error("the bundle's artifact is malformed")]
    Artifact(#[source] oci::Error),
}

impl Error {
    /// What to do about the error, if something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::NoChart(_) => {
                Some("mirror it first; `airlock store list` shows the names of charts in the store")
            }
            Self::NoImages { .. } => Some(
                "mirror the chart under `charts:`, which also mirrors its images, and use the same values in both files",
            ),
            Self::Published(_) => Some(
                "give the new one its own name in `metadata.name`, because clusters do not read a bundle of the same name \
                 again; use --replace to replace it anyway",
            ),
            Self::ChartName(_) => Some("write REPOSITORY:TAG, as shown by `airlock store list`"),
            _ => None,
        }
    }
}

/// The packages to offer, as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "BundleConfig")]
struct Document {
    /// Always `airlock.dev/v1alpha1`.
    api_version: String,
    /// Always `BundleConfig`.
    kind: String,
    metadata: Metadata,
    /// The minimum version of the controller, with a leading `v`.
    min_controller_version: Option<String>,
    /// The packages.
    packages: Vec<OfferText>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Metadata {
    /// The bundle's name: `v1-35-2026-03-12-1773300000` or `v1-35-7`, for Kubernetes 1.35.
    name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfferText {
    /// The package's name.
    name: String,
    /// Charts in the store, as `REPOSITORY:TAG`, newest first. All must be in one repository.
    charts: Vec<String>,
    /// Packages that must be installed first.
    #[serde(default)]
    dependencies: Vec<String>,
    /// Do not install the package in a management cluster.
    #[serde(default)]
    workload_only: bool,
    /// The JSON Schema of the package's values. Default: the chart's own schema without its `required` rules.
    schema: Option<PathBuf>,
    /// Values files for rendering the chart to find its images.
    #[serde(default)]
    values: Vec<PathBuf>,
    /// `--set` expressions; they override the files.
    #[serde(default)]
    set: Vec<String>,
}

/// The packages to offer. A value is consistent; [`make`] checks whether the store has the charts and images.
#[derive(Debug)]
pub struct BundleConfig {
    name: BundleName,
    min_controller_version: Option<String>,
    packages: Vec<OfferText>,
    base: PathBuf,
}

impl BundleConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// When the file is missing, malformed or contradictory.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = input::read_text(path, input::MAX_SIZE)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let document: Document = serde_saphyr::from_str(&text).map_err(|error| {
            let (line, message) = mirror::config::yaml_error::describe(&error);
            Error::Yaml { path: path.to_owned(), line, message }
        })?;
        for (field, found, expected) in
            [("apiVersion", &document.api_version, API_VERSION), ("kind", &document.kind, KIND)]
        {
            if found != expected {
                return Err(Error::Kind { field, found: found.clone(), expected });
            }
        }
        let names: BTreeSet<_> = document.packages.iter().map(|offer| offer.name.to_lowercase()).collect();
        for offer in &document.packages {
            let invalid = |problem| Error::Package { package: offer.name.clone(), problem };
            if offer.name.is_empty() || offer.charts.is_empty() {
                return Err(invalid("needs a name and a chart"));
            }
            if document.packages.iter().filter(|other| other.name.eq_ignore_ascii_case(&offer.name)).count()
                > 1
            {
                return Err(invalid("is listed twice"));
            }
            if let Some(needs) =
                offer.dependencies.iter().find(|needs| !names.contains(&needs.to_lowercase()))
            {
                return Err(Error::Dependency { package: offer.name.clone(), needs: needs.clone() });
            }
        }
        Ok(Self {
            name: document.metadata.name.parse().map_err(Error::Name)?,
            min_controller_version: document.min_controller_version,
            packages: document.packages,
            base: path.parent().unwrap_or(Path::new("")).to_owned(),
        })
    }

    /// The bundle's name.
    #[must_use]
    pub fn name(&self) -> &BundleName {
        &self.name
    }
}

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

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Read { source, .. } => source.class(),
            Self::Lock(error) => error.class(),
            Self::Chart { source, .. } => source.class(),
            Self::Store(error) => error.class(),
            Self::Yaml { .. }
            | Self::Kind { .. }
            | Self::Name(_)
            | Self::Package { .. }
            | Self::Dependency { .. }
            | Self::Published(_)
            | Self::ChartName(_) => Class::Usage,
            Self::NoChart(_) | Self::NoImages { .. } | Self::NoBundle(_) => Class::Missing,
            Self::Schema(_) | Self::Artifact(_) => Class::Refused,
        }
    }
}
