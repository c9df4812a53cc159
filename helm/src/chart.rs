//! A chart: metadata, default values, templates, files and sub-charts.
//!
//! Source: `pkg/chart/v2/loader/load.go`. A chart is loaded once and can be rendered any number of times. A render
//! never changes the chart's values and dependencies.

mod archive;
mod coalesce;
mod dependencies;
mod directory;
mod document;
mod files;
mod glob;
mod ignore;
mod metadata;
pub(crate) mod path;
mod schema;
mod values;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use archive::Budget;
use gostd::limits::Limits;
use serde_json::{Map as Table, Value as Json};

use crate::error::Error;
pub(crate) use archive::File;
pub(crate) use coalesce::Meter;
pub(crate) use dependencies::{Node, at, is_compatible, join, resolve};
pub(crate) use document::{DocumentError, Fields, read as read_document};
pub(crate) use files::Files;
pub use metadata::{Dependency, InvalidMetadata, Maintainer, Metadata};
pub(crate) use schema::{fits, validate};
pub(crate) use values::to_json;
pub use values::{ReadFile, Values};

/// A chart with its sub-charts.
#[derive(Debug, Clone)]
pub struct Chart {
    metadata: Metadata,
    values: Option<Table<String, Json>>,
    values_text: Vec<u8>,
    metadata_text: Vec<u8>,
    schema: Option<Vec<u8>>,
    templates: Vec<File>,
    files: Vec<File>,
    charts: Vec<Chart>,
}

impl Chart {
    /// Loads the chart in a directory, without the files that its `.helmignore` excludes.
    ///
    /// # Errors
    /// It cannot be read, contains a link or a device, is not a chart, or exceeds a limit.
    pub fn from_directory(path: &Path, limits: &Limits) -> Result<Self, Error> {
        let budget = Budget::new(limits);
        Self::load(directory::read(path, &budget)?, &budget, 0)
    }

    /// Loads a packaged chart, a `.tgz`, without writing to disk.
    ///
    /// # Errors
    /// It cannot be read, contains a hostile name, a link or a device, is not a chart, or exceeds a limit.
    pub fn from_archive(archive: impl Read, limits: &Limits) -> Result<Self, Error> {
        let budget = Budget::new(limits);
        Self::load(archive::read(archive, &budget)?, &budget, 0)
    }

    /// Loads a chart from its files by name, each relative to the chart. No `.helmignore` is applied.
    ///
    /// # Errors
    /// A name is hostile, the files are not a chart, or they exceed a limit.
    pub fn from_files(
        files: impl IntoIterator<Item = (String, Vec<u8>)>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let budget = Budget::new(limits);
        let mut loaded = Vec::new();
        for (name, data) in files {
            budget.file()?;
            budget.take(data.len() as u64)?;
            if data.len() as u64 > limits.file_bytes {
                return Err(Error::LargeFile { path: name, bound: limits.file_bytes });
            }
            loaded.push(File { name: path::in_chart(&name)?, data: archive::without_mark(data) });
        }
        Self::load(loaded, &budget, 0)
    }

    /// The chart's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// The chart's version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.metadata.version
    }

    /// The content of `Chart.yaml`.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The chart's own default values; every number is a `float64`.
    #[must_use]
    pub fn values(&self) -> Option<&Table<String, Json>> {
        self.values.as_ref()
    }

    /// The text of `values.yaml`, with its comments; empty if the chart has none.
    #[must_use]
    pub fn values_text(&self) -> &[u8] {
        &self.values_text
    }

    /// The text of `Chart.yaml`.
    #[must_use]
    pub fn metadata_text(&self) -> &[u8] {
        &self.metadata_text
    }

    /// The files that are not templates and have no special meaning to Helm, by path: `README.md`, `crds/`, and the
    /// files that templates read through `.Files`.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|file| (file.name.as_str(), file.data.as_slice()))
    }

    /// The files of `templates/`, by path.
    pub fn templates(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.templates.iter().map(|file| (file.name.as_str(), file.data.as_slice()))
    }

    /// `values.schema.json`.
    #[must_use]
    pub fn schema(&self) -> Option<&[u8]> {
        self.schema.as_deref()
    }

    /// The sub-charts in `charts/`, whether or not the values enable them.
    #[must_use]
    pub fn charts(&self) -> &[Chart] {
        &self.charts
    }

    /// Checks that `charts/` contains all declared dependencies, even disabled ones, as Helm's command line requires
    /// (`action.CheckDependencies`). Rendering does not check this.
    ///
    /// # Errors
    /// [`Error::MissingDependencies`] names the missing charts.
    pub fn check_dependencies(&self) -> Result<(), Error> {
        let names: Vec<String> = self.missing_dependencies().into_iter().map(str::to_owned).collect();
        if names.is_empty() {
            return Ok(());
        }
        Err(Error::MissingDependencies { chart: self.name().to_owned(), names })
    }

    /// Checks that the chart can be installed, as Helm's command line requires (`checkIfInstallable`): a library chart
    /// cannot. Rendering does not check this.
    ///
    /// # Errors
    /// [`Error::NotInstallable`] names the chart's type.
    pub fn check_installable(&self) -> Result<(), Error> {
        match self.metadata.kind.as_str() {
            "" | "application" => Ok(()),
            kind => Err(Error::NotInstallable { kind: kind.to_owned() }),
        }
    }

    /// Packages the chart in a directory, without the files that its `.helmignore` excludes, as a `.tgz`. The same
    /// files give the same bytes.
    ///
    /// # Errors
    /// As [`Chart::from_directory`].
    pub fn package(path: &Path, limits: &Limits) -> Result<Vec<u8>, Error> {
        let budget = Budget::new(limits);
        let files = directory::read(path, &budget)?;
        let name = read_metadata(&files, limits)?.name;
        archive::write(&name, &files)
    }

    /// The names of declared dependencies that are not in `charts/`.
    #[must_use]
    pub fn missing_dependencies(&self) -> Vec<&str> {
        let declared = self.metadata.dependencies.iter().flatten().map(|dependency| dependency.name.as_str());
        declared.filter(|name| !self.charts.iter().any(|chart| chart.name() == *name)).collect()
    }

    fn load(files: Vec<File>, budget: &Budget<'_>, depth: usize) -> Result<Self, Error> {
        if depth > budget.limits.chart_depth {
            return Err(Error::Limit { name: "chart_depth" });
        }
        let mut chart = Self {
            metadata: Metadata::default(),
            values: None,
            values_text: Vec::new(),
            metadata_text: Vec::new(),
            schema: None,
            templates: Vec::new(),
            files: Vec::new(),
            charts: Vec::new(),
        };
        chart.metadata = read_metadata(&files, budget.limits)?;
        let mut inner: BTreeMap<String, Vec<File>> = BTreeMap::new();
        for file in files {
            if let Some((name, file)) = chart.take(file, budget.limits)? {
                inner.entry(name).or_default().push(file);
            }
        }
        chart.metadata.validate().map_err(Error::Metadata)?;
        for (name, files) in inner {
            if let Some(child) = chart.load_child(&name, files, budget, depth)? {
                chart.charts.push(child);
            }
        }
        Ok(chart)
    }

    /// Stores a file; returns a file of a sub-chart, with the name of the sub-chart's archive or directory.
    fn take(&mut self, mut file: File, limits: &Limits) -> Result<Option<(String, File)>, Error> {
        let content = |error: DocumentError| {
            let name = file.name.clone();
            error.into_error(|reason| Error::Content { file: name, reason })
        };
        match file.name.as_str() {
            "Chart.yaml" => self.metadata_text = file.data,
            "Chart.lock" => check_lock(&file.data, limits).map_err(content)?,
            "values.yaml" => {
                let read = document::values(&file.data, limits).map_err(content)?;
                self.values = Some(values::to_table(&read));
                self.values_text = file.data;
            }
            "values.schema.json" => self.schema = Some(file.data),
            "requirements.yaml" | "requirements.lock" => {
                if file.name == "requirements.yaml" {
                    read_into(&mut self.metadata, &file, limits)?;
                } else {
                    check_lock(&file.data, limits).map_err(content)?;
                }
                if self.metadata.api_version == "v1" {
                    self.files.push(file);
                }
            }
            name if name.starts_with("templates/") => self.templates.push(file),
            name => match name.strip_prefix("charts/") {
                Some(inner) if path::extension(inner) != ".prov" => {
                    let directory = inner.split('/').next().unwrap_or(inner).to_owned();
                    let name = inner.to_owned();
                    file.name = name;
                    return Ok(Some((directory, file)));
                }
                _ => self.files.push(file),
            },
        }
        Ok(None)
    }

    fn load_child(
        &self,
        name: &str,
        files: Vec<File>,
        budget: &Budget<'_>,
        depth: usize,
    ) -> Result<Option<Self>, Error> {
        if name.starts_with(['_', '.']) {
            return Ok(None);
        }
        let parent = self.name().to_owned();
        let wrapped = |source: Error| match source {
            limit @ Error::Limit { .. } => limit,
            source => Error::Subchart {
                name: name.to_owned(),
                parent: self.name().to_owned(),
                source: Box::new(source),
            },
        };
        let files = if path::extension(name) == ".tgz" {
            let first = files.into_iter().next().ok_or(Error::NoFiles).map_err(wrapped)?;
            if first.name != name {
                return Err(Error::SubchartArchive { name: name.to_owned(), parent, path: first.name });
            }
            archive::read(first.data.as_slice(), budget).map_err(wrapped)?
        } else {
            let within = files.into_iter().filter_map(|file| {
                file.name
                    .split_once('/')
                    .map(|(_, rest)| rest.to_owned())
                    .map(|name| File { name, data: file.data })
            });
            within.collect()
        };
        Self::load(files, budget, depth + 1).map(Some).map_err(wrapped)
    }
}

/// Reads the metadata from `Chart.yaml`, at any position among the files.
fn read_metadata(files: &[File], limits: &Limits) -> Result<Metadata, Error> {
    let mut metadata = Metadata::default();
    let mut found = false;
    for file in files.iter().filter(|file| file.name == "Chart.yaml") {
        read_into(&mut metadata, file, limits)?;
        found = true;
    }
    if !found {
        return Err(Error::NoMetadata);
    }
    match metadata.api_version.as_str() {
        "" => "v1".clone_into(&mut metadata.api_version),
        "v1" | "v2" => {}
        other => return Err(Error::ApiVersion { version: other.to_owned() }),
    }
    Ok(metadata)
}

fn read_into(metadata: &mut Metadata, file: &File, limits: &Limits) -> Result<(), Error> {
    document::read(&file.data, limits)
        .and_then(|value| Fields::of_document(&value, "v2.Metadata"))
        .and_then(|fields| metadata.read(&fields))
        .map_err(|error| error.into_error(|reason| Error::Content { file: file.name.clone(), reason }))
}

/// Checks that a lock file is valid; a render does not use its content.
fn check_lock(data: &[u8], limits: &Limits) -> Result<(), DocumentError> {
    let value = document::read(data, limits)?;
    Fields::of_document(&value, "v2.Lock").map(|_| ())
}
