//! `airlock chart dependency`: copies a chart's declared dependencies into `charts/`, from disk or from a store.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use helm::{Chart, Dependency, Limits};
use mirror::StoredChart;
use oci::RepositoryName;
use private::Readers;
use serde::Serialize;
use store::Store;

use super::load::{ChartArg, chart};
use crate::failure::{Missing, Status, Usage, unusable};
use crate::printer::Printer;

/// A declared dependency.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    name: String,
    version: String,
    repository: String,
    /// `ok`, `missing` or `wrong version`; for `build`, the origin.
    status: String,
}

impl Line {
    fn new(dependency: &Dependency, status: impl Into<String>) -> Self {
        Self {
            name: dependency.name.clone(),
            version: dependency.version.clone(),
            repository: dependency.repository.clone(),
            status: status.into(),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChartDependency {
    /// List the dependencies that `Chart.yaml` declares, and whether each is in `charts/`.
    List {
        #[command(flatten)]
        chart: ChartArg,
    },
    /// Copy declared dependencies into `charts/`: those with a `file://` repository and, with `--store`,
    /// those in the store.
    #[command(after_help = "Example: airlock chart dependency build ./shop --store store")]
    Build {
        /// The chart's folder.
        #[arg(value_name = "CHART")]
        chart: PathBuf,
        /// Read charts from this store.
        #[arg(long, value_name = "DIR")]
        store: Option<PathBuf>,
    },
}

pub(super) fn run(command: &ChartDependency, printer: &Printer) -> anyhow::Result<Status> {
    let lines = match command {
        ChartDependency::List { chart: argument } => {
            let loaded = chart(argument)?;
            declared(&loaded).map(|dependency| Line::new(dependency, state(&loaded, dependency))).collect()
        }
        ChartDependency::Build { chart, store } => build(chart, store.as_deref())?,
    };
    if lines.is_empty() {
        printer.say("the chart declares no dependencies");
    }
    printer.result(&lines, |lines| {
        let line =
            |line: &Line| format!("{}\t{}\t{}\t{}\n", line.name, line.version, line.repository, line.status);
        lines.iter().map(line).collect()
    })?;
    Ok(Status::Done)
}

fn declared(chart: &Chart) -> impl Iterator<Item = &Dependency> {
    chart.metadata().dependencies.iter().flatten()
}

fn state(chart: &Chart, dependency: &Dependency) -> &'static str {
    let mut named = chart.charts().iter().filter(|child| child.name() == dependency.name).peekable();
    if named.peek().is_none() {
        return "missing";
    }
    let fits = named.any(|child| helm::newest(&dependency.version, [child.version()]).is_some());
    if fits { "ok" } else { "wrong version" }
}

/// A chart that was found: the name of its archive, its bytes, and its origin.
struct FoundChart {
    file: String,
    bytes: Vec<u8>,
    from: String,
}

/// Finds all missing charts before it writes any.
fn build(folder: &Path, store: Option<&Path>) -> anyhow::Result<Vec<Line>> {
    let limits = Limits::default();
    let loaded = Chart::from_directory(folder, &limits)
        .map_err(unusable(format!("`{}` is not a usable chart folder", folder.display())))?;
    let store = store.map(Store::open_existing).transpose()?;
    let (mut lines, mut found, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for dependency in declared(&loaded) {
        if state(&loaded, dependency) == "ok" {
            lines.push(Line::new(dependency, "ok"));
            continue;
        }
        let chart = match dependency.repository.strip_prefix("file://") {
            Some(path) => Some(local(&folder.join(path), dependency, &limits)?),
            None => store.as_ref().map_or(Ok(None), |store| stored(store, dependency, &limits))?,
        };
        match chart {
            Some(chart) => {
                lines.push(Line::new(dependency, format!("added from {}", chart.from)));
                found.push(chart);
            }
            None => missing
                .push(format!("`{}` {} of `{}`", dependency.name, dependency.version, dependency.repository)),
        }
    }
    if !missing.is_empty() {
        let message = format!("cannot find {}", missing.join(", "));
        let hint = Some("mirror the charts first, and give their store: --store DIR");
        return Err(Missing { message, hint }.into());
    }
    for chart in found {
        write(&folder.join("charts"), &chart)?;
    }
    Ok(lines)
}

fn local(path: &Path, dependency: &Dependency, limits: &Limits) -> anyhow::Result<FoundChart> {
    let from = path.display().to_string();
    let bytes = Chart::package(path, limits).map_err(unusable(format!("`{from}` is not a usable chart")))?;
    checked(bytes, dependency, from, limits)
}

/// Checks that the chart has the declared name and version.
fn checked(
    bytes: Vec<u8>,
    dependency: &Dependency,
    from: String,
    limits: &Limits,
) -> anyhow::Result<FoundChart> {
    let loaded = Chart::from_archive(bytes.as_slice(), limits)
        .map_err(unusable(format!("`{from}` is not a usable chart")))?;
    let (name, version) = (loaded.name(), loaded.version());
    if name != dependency.name || helm::newest(&dependency.version, [version]).is_none() {
        let message = format!(
            "`{from}` is chart `{name}` {version}, but Chart.yaml requires `{}` {}",
            dependency.name, dependency.version
        );
        return Err(
            Usage { message, hint: "change the version in Chart.yaml, or mirror another version" }.into()
        );
    }
    Ok(FoundChart { file: format!("{name}-{version}.tgz"), bytes, from })
}

/// The newest matching version, in the named repository or in any whose name ends with the chart's.
fn stored(store: &Store, dependency: &Dependency, limits: &Limits) -> anyhow::Result<Option<FoundChart>> {
    let exact = dependency
        .repository
        .strip_prefix("oci://")
        .map(|base| format!("{}/{}", base.trim_end_matches('/'), dependency.name));
    let fits = |repository: &RepositoryName| match &exact {
        Some(exact) => repository.as_str() == exact,
        None => repository.as_str().rsplit('/').next() == Some(dependency.name.as_str()),
    };
    let mut candidates = Vec::new();
    for repository in store.repositories(None, None)?.iter().filter(|repository| fits(repository)) {
        let tags = store.tags(repository, None, None)?;
        // Tags have `_` where versions have `+`.
        let versions: Vec<String> = tags.iter().map(|(tag, _)| tag.to_string().replace('_', "+")).collect();
        if let Some(version) = helm::newest(&dependency.version, versions.iter().map(String::as_str)) {
            candidates.push(format!("{repository}:{}", version.replace('+', "_")));
        }
    }
    // Skip candidates that are not charts, such as an image of the same name.
    let mut found = Vec::new();
    for name in candidates {
        if let Some(StoredChart { archive: bytes, .. }) = mirror::stored_chart(store, &name)? {
            found.push((name, bytes));
        }
    }
    if found.len() > 1 {
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        let message =
            format!("several charts in the store match `{}`: {}", dependency.name, names.join(", "));
        return Err(Usage { message, hint: "select one with an oci:// repository in Chart.yaml" }.into());
    }
    found.pop().map(|(name, bytes)| checked(bytes, dependency, name, limits)).transpose()
}

/// Writes a chart atomically.
fn write(folder: &Path, chart: &FoundChart) -> anyhow::Result<()> {
    let path: PathBuf = folder.join(&chart.file);
    std::fs::create_dir_all(folder).with_context(|| format!("cannot write `{}`", path.display()))?;
    crate::files::write(&path, &chart.bytes, Readers::All)
}
