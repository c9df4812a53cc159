//! The file `BundleConfig`: the packages to offer.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use package_api::BundleName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Error;

const API_VERSION: &str = "airlock.dev/v1alpha1";
const KIND: &str = "BundleConfig";

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
pub(super) struct OfferText {
    /// The package's name.
    pub(super) name: String,
    /// Charts in the store, as `REPOSITORY:TAG`, newest first. All must be in one repository.
    pub(super) charts: Vec<String>,
    /// Packages that must be installed first.
    #[serde(default)]
    pub(super) dependencies: Vec<String>,
    /// Do not install the package in a management cluster.
    #[serde(default)]
    pub(super) workload_only: bool,
    /// The JSON Schema of the package's values. Default: the chart's own schema without its `required` rules.
    pub(super) schema: Option<PathBuf>,
    /// Values files for rendering the chart to find its images.
    #[serde(default)]
    pub(super) values: Vec<PathBuf>,
    /// `--set` expressions; they override the files.
    #[serde(default)]
    pub(super) set: Vec<String>,
}

/// The packages to offer. A value is consistent; [`make`](super::make) checks whether the store has the charts and images.
#[derive(Debug)]
pub struct BundleConfig {
    pub(super) name: BundleName,
    pub(super) min_controller_version: Option<String>,
    pub(super) packages: Vec<OfferText>,
    /// The folder for relative paths.
    pub(super) base: PathBuf,
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
            base: input::folder_of(path).to_owned(),
        })
    }

    /// The bundle's name.
    #[must_use]
    pub fn name(&self) -> &BundleName {
        &self.name
    }
}
