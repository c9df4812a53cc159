//! `airlock audit report`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context as _;
use audit::Reader;
use audit::report::{Period, Report, Status as Shown, csv, html, json, oscal};
use serde_json::json;

use crate::cli::{AuditReport, Format, ReportFormat};
use crate::failure::Status;
use crate::printer::Printer;

pub(crate) fn run(settings: &AuditReport, reader: &Reader, printer: &Printer) -> anyhow::Result<Status> {
    super::in_order(settings.since, settings.until)?;
    let period = Period { since: settings.since, until: settings.until };
    let report = Report::of(reader, settings.framework, period)?;
    super::own_key(report.log.own_key, printer);
    let default = if printer.format() == Format::Json { ReportFormat::Json } else { ReportFormat::Html };
    let format = settings.format.unwrap_or(default);
    let Some(path) = &settings.out else {
        let mut out = BufWriter::new(std::io::stdout().lock());
        write(&report, format, &mut out)?;
        out.flush()?;
        return Ok(Status::Done);
    };
    save(&report, format, path).with_context(|| format!("cannot write `{}`", path.display()))?;
    let of = |status| report.controls.iter().filter(|finding| finding.status == status).count();
    let summary = json!({
        "file": path,
        "framework": report.framework.name(),
        "satisfied": of(Shown::Satisfied),
        "notSatisfied": of(Shown::NotSatisfied),
        "noEvidence": of(Shown::NoEvidence),
        "leaves": report.leaves.len(),
        "ownKey": report.log.own_key,
    });
    printer.result(&summary, |_| {
        format!(
            "wrote `{}`\n{}: {} satisfied, {} not satisfied, {} without evidence; {} of {} leaves\n",
            path.display(),
            report.framework.title(),
            of(Shown::Satisfied),
            of(Shown::NotSatisfied),
            of(Shown::NoEvidence),
            report.leaves.len(),
            report.log.size,
        )
    })?;
    Ok(Status::Done)
}

fn write(report: &Report, format: ReportFormat, out: &mut dyn Write) -> std::io::Result<()> {
    match format {
        ReportFormat::Html => html::write(report, out),
        ReportFormat::Csv => csv::write(report, out),
        ReportFormat::Json => json::write(report, out),
        ReportFormat::Oscal => oscal::write(report, out),
    }
}

/// Whole or not at all: a report that stops in the middle would be a wrong one.
fn save(report: &Report, format: ReportFormat, path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().permissions(readable()).tempfile_in(folder)?;
    let mut out = BufWriter::new(file.as_file_mut());
    write(report, format, &mut out)?;
    out.flush()?;
    drop(out);
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// As other new files are, and not for the owner alone; the mask of the process has the last word.
fn readable() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::Permissions::from_mode(0o666)
}
