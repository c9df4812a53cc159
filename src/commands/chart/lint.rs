//! `airlock chart lint`: what is wrong with a chart, as far as that shows without a cluster.

use helm::{Chart, Rendered};
use packager::discover::discover;
use serde::Serialize;

use super::load::{chart, options};
use crate::cli::ChartRender;
use crate::failure::Status;
use crate::printer::{Printer, count};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Info,
    Warning,
    Error,
}

#[derive(Debug, Serialize)]
struct Finding {
    severity: Severity,
    place: String,
    message: String,
}

impl From<helm::lint::Finding> for Finding {
    fn from(found: helm::lint::Finding) -> Self {
        let severity = match found.severity {
            helm::lint::Severity::Warning => Severity::Warning,
            helm::lint::Severity::Error => Severity::Error,
        };
        finding(severity, found.place, found.message)
    }
}

pub(super) fn run(settings: &ChartRender, strict: bool, printer: &Printer) -> anyhow::Result<Status> {
    let loaded = chart(&settings.chart)?;
    let mut findings = metadata(&loaded);
    let mut options = options(settings)?;
    options.mode = helm::Mode::Lint;
    match helm::render(&loaded, &options) {
        Ok(rendered) => {
            findings.extend(helm::lint::lint(&loaded, Some(&rendered)).into_iter().map(Finding::from));
            findings.extend(images(&loaded, &rendered));
        }
        Err(error) => {
            findings.extend(helm::lint::lint(&loaded, None).into_iter().map(Finding::from));
            let causes = anyhow::Error::from(error).chain().map(ToString::to_string).collect::<Vec<_>>();
            findings.push(finding(Severity::Error, "templates/", causes.join(": ")));
        }
    }
    let failed = |finding: &Finding| {
        finding.severity == Severity::Error || (strict && finding.severity == Severity::Warning)
    };
    let status = if findings.iter().any(failed) { Status::Faults } else { Status::Done };
    printer.result(&findings, |findings| {
        let line = |finding: &Finding| {
            let severity = match finding.severity {
                Severity::Info => "info",
                Severity::Warning => "warning",
                Severity::Error => "error",
            };
            format!("{severity:8} {}: {}\n", finding.place, finding.message)
        };
        let faults = findings.iter().filter(|finding| failed(finding)).count();
        findings.iter().map(line).collect::<String>()
            + &format!("{} in chart {}\n", count(faults, "fault"), loaded.name())
    })?;
    Ok(status)
}

fn finding(severity: Severity, place: impl Into<String>, message: impl Into<String>) -> Finding {
    Finding { severity, place: place.into(), message: message.into() }
}

fn metadata(chart: &Chart) -> Vec<Finding> {
    let mut findings = Vec::new();
    let about = chart.metadata();
    if about.icon.is_empty() {
        findings.push(finding(Severity::Info, "Chart.yaml", "an icon is recommended"));
    }
    if about.deprecated {
        findings.push(finding(Severity::Warning, "Chart.yaml", "the chart is deprecated"));
    }
    if chart.values().is_none() {
        findings.push(finding(Severity::Info, "values.yaml", "the chart has no values file"));
    }
    for name in chart.missing_dependencies() {
        findings.push(finding(
            Severity::Error,
            "charts/",
            format!("dependency `{name}` is not in the chart"),
        ));
    }
    findings
}

fn images(chart: &Chart, rendered: &Rendered) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Ok(found) = discover(chart, rendered, &[]) else { return findings };
    for (place, text) in &found.unusable {
        let message = format!("{} {}: `{text}` is not an image reference", place.object, place.field);
        findings.push(finding(Severity::Warning, &place.template, message));
    }
    for image in &found.images {
        let floating = image.reference.ends_with(":latest");
        for place in image.places.iter().filter(|_| floating) {
            let message = format!("{} uses `{}`, whose content changes", place.object, image.reference);
            findings.push(finding(Severity::Warning, &place.template, message));
        }
    }
    findings
}
