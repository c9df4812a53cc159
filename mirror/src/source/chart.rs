//! The metadata of a packaged Helm chart: reads `Chart.yaml` from the archive, within limits.

use std::io::Read;

use crate::Error;

/// The number of decompressed bytes of a chart archive that are searched.
const MOST_BYTES: u64 = 256 << 20;
/// The maximum size of `Chart.yaml`.
const MOST_METADATA: u64 = 1 << 20;

/// Helm's file name for the archive of a chart with this `Chart.yaml`.
pub(crate) fn archive_name(config: &serde_json::Value) -> String {
    let text = |key: &str| config[key].as_str().unwrap_or_default();
    format!("{}-{}.tgz", text("name"), text("version"))
}

/// Reads `Chart.yaml` from a chart archive as JSON; it has a name and a version.
///
/// # Errors
/// When the file is not a chart archive, or has no usable `Chart.yaml` at its top level.
pub fn chart_config(archive: impl Read, path: &str) -> Result<serde_json::Value, Error> {
    let broken = |source| Error::ChartArchive { path: path.to_owned(), source };
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive).take(MOST_BYTES));
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let top = entry.path().is_ok_and(|name| {
            let parts: Vec<_> = name.iter().collect();
            parts.len() == 2 && parts[1] == "Chart.yaml"
        });
        if !top {
            continue;
        }
        let mut text = String::new();
        (&mut entry).take(MOST_METADATA).read_to_string(&mut text).map_err(broken)?;
        let value = gostd::yaml::parse(&text, &gostd::Limits::default())
            .map_err(|source| Error::Document { name: path.to_owned(), source: Box::new(source) })?;
        if value["name"].is_string() && value["version"].is_string() {
            return Ok(value);
        }
        break;
    }
    Err(Error::NoChart(path.to_owned()))
}
