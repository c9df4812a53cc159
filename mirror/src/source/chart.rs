//! The metadata of a packaged Helm chart: `Chart.yaml` out of the archive, within bounds.

use std::io::Read;

use crate::Error;

/// A chart's archive is searched no further than this, decompressed.
const MOST_BYTES: u64 = 256 << 20;
/// `Chart.yaml` is not larger than this.
const MOST_METADATA: u64 = 1 << 20;

/// The name that Helm gives the archive of a chart with this `Chart.yaml`.
pub(crate) fn archive_name(config: &serde_json::Value) -> String {
    let text = |key: &str| config[key].as_str().unwrap_or_default();
    format!("{}-{}.tgz", text("name"), text("version"))
}

/// Reads `Chart.yaml` of a chart archive as JSON; it has a name and a version.
///
/// # Errors
/// When the archive is none, or has no usable `Chart.yaml` at its top.
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
