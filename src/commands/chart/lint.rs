//! `airlock chart lint`: finds errors in a chart that are visible without a cluster.

use chart_images::discover;
use helm::lint::Severity;
use helm::{Chart, Options};
use serde::Serialize;

use super::load::{ChartRender, chart, options};
use crate::failure::Status;
use crate::printer::Printer;

/// The default name of the release.
const UNNAMED: &str = "release-name";

#[derive(Debug, Serialize)]
struct Finding {
    severity: &'static str,
    place: String,
    message: String,
}

pub(super) fn run(settings: &ChartRender, strict: bool, printer: &Printer) -> anyhow::Result<Status> {
    let loaded = chart(&settings.chart)?;
    let mut options = options(settings)?;
    options.mode = helm::Mode::Lint;
    if settings.name == UNNAMED {
        // The name that Helm uses.
        "test-release".clone_into(&mut options.release.name);
    }
    let found = helm::lint::lint(&loaded, &options);
    let worst = found.iter().map(|finding| finding.severity).max();
    let least = if strict { Severity::Warning } else { Severity::Error };
    let failed = worst.is_some_and(|worst| worst >= least);
    let mut findings: Vec<_> = found.into_iter().map(Finding::from).collect();
    findings.extend(own(&loaded, &options));
    printer.result(&findings, |findings| {
        let lines = findings.iter().map(|Finding { severity, place, message }| {
            let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
            format!("[{severity}] {place}{message}\n")
        });
        let head = format!("==> Linting {}\n", settings.chart.chart);
        head + &lines.collect::<String>()
            + &format!("\n1 chart(s) linted, {} chart(s) failed\n", u8::from(failed))
    })?;
    Ok(if failed { Status::Faults } else { Status::Done })
}

impl From<helm::lint::Finding> for Finding {
    fn from(found: helm::lint::Finding) -> Self {
        let severity = match found.severity {
            Severity::Info => "INFO",
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
        };
        Self { severity, place: found.path, message: found.message }
    }
}

/// Findings that Helm does not report, and that therefore do not fail a chart.
fn own(chart: &Chart, options: &Options<'_>) -> Vec<Finding> {
    let info = |place: &str, message: String| Finding { severity: "INFO", place: place.to_owned(), message };
    let mut findings = Vec::new();
    if chart.metadata().deprecated {
        findings.push(info("Chart.yaml", "the chart is deprecated".to_owned()));
    }
    let found = helm::render(chart, options).ok().and_then(|rendered| discover(chart, &rendered, &[]).ok());
    let Some(found) = found else { return findings };
    for (place, text) in &found.unusable {
        let message = format!("{} {}: `{text}` is not an image reference", place.object, place.field);
        findings.push(info(&place.template, message));
    }
    for image in found.images.iter().filter(|image| image.reference.ends_with(":latest")) {
        for place in &image.places {
            let message = format!("{} uses `{}`, whose content can change", place.object, image.reference);
            findings.push(info(&place.template, message));
        }
    }
    findings
}
