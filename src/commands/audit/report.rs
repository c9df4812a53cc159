//! `airlock audit report`.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use audit::Reader;
use audit::report::{Period, Report, Status as Shown, csv, html, json, oscal};
use private::{Existing, Readers, Temporary};
use serde_json::json;

use crate::cli::{AuditReport, Format, ReportFormat};
use crate::failure::Status;
use crate::printer::{Printer, count};

pub(crate) fn run(settings: &AuditReport, reader: &Reader, printer: &Printer) -> anyhow::Result<Status> {
    super::in_order(settings.since, settings.until)?;
    let period = Period { since: settings.since, until: settings.until };
    let report = Report::of(reader, settings.framework, period, settings.leaves)?;
    super::own_key(report.log.own_key, printer);
    if let Some(notice) = report.notice() {
        printer.say(&format!("warning: {notice}"));
    }
    let default = if printer.format() == Format::Json { ReportFormat::Json } else { ReportFormat::Html };
    let format = settings.format.or_else(|| by_name(settings.out.as_deref()?)).unwrap_or(default);
    let Some(path) = &settings.out else {
        let mut out = BufWriter::new(std::io::stdout().lock());
        write(&report, format, &mut out)?;
        out.flush()?;
        return Ok(Status::Done);
    };
    let path = &named(path, format);
    save(&report, format, path).with_context(|| format!("cannot write `{}`", path.display()))?;
    let of = |status| report.controls.iter().filter(|finding| finding.status == status).count();
    let summary = json!({
        "file": path,
        "framework": report.framework.name(),
        "satisfied": of(Shown::Satisfied),
        "notSatisfied": of(Shown::NotSatisfied),
        "notAssessed": of(Shown::NotAssessed),
        "leaves": report.counts.relevant,
        "leavesLeftOut": report.leaves_left_out,
        "ownKey": report.log.own_key,
        "notice": report.notice(),
    });
    let renamed = if Some(path) == settings.out.as_ref() {
        ""
    } else {
        "added `.json`, because OSCAL tools reject other extensions\n"
    };
    let notice = report.notice().map_or_else(String::new, |notice| format!("{notice}\n"));
    let left_out = match report.leaves_left_out {
        0 => String::new(),
        more => format!(", {more} of them counted but not listed"),
    };
    printer.report(&summary, |_| {
        format!(
            "{notice}{renamed}wrote `{}`\n{}: {} satisfied, {} not satisfied, {} not assessed; {} of {}{left_out}\n",
            path.display(),
            report.framework.title(),
            of(Shown::Satisfied),
            of(Shown::NotSatisfied),
            of(Shown::NotAssessed),
            report.counts.relevant,
            count(report.log.size, "leaf").replace("leafs", "leaves"),
        )
    })?;
    Ok(Status::Done)
}

/// The format for a file name, by its extension.
fn by_name(path: &Path) -> Option<ReportFormat> {
    const ENDINGS: [(&str, ReportFormat); 6] = [
        (".oscal", ReportFormat::Oscal),
        (".oscal.json", ReportFormat::Oscal),
        (".json", ReportFormat::Json),
        (".csv", ReportFormat::Csv),
        (".html", ReportFormat::Html),
        (".htm", ReportFormat::Html),
    ];
    let name = path.file_name()?.to_str()?.to_lowercase();
    let found = ENDINGS.iter().find(|(ending, _)| name.ends_with(ending))?;
    Some(found.1)
}

/// The output path: OSCAL tools detect the format by the extension, and reject others than `.json`.
fn named(path: &Path, format: ReportFormat) -> PathBuf {
    let is_json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    if format != ReportFormat::Oscal || is_json {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

fn write(report: &Report, format: ReportFormat, out: &mut dyn Write) -> std::io::Result<()> {
    match format {
        ReportFormat::Html => html::write(report, out),
        ReportFormat::Csv => csv::write(report, out),
        ReportFormat::Json => json::write(report, out),
        ReportFormat::Oscal => oscal::write(report, out),
    }
}

/// Writes the report atomically: a truncated report would be wrong.
fn save(report: &Report, format: ReportFormat, path: &Path) -> std::io::Result<()> {
    let new = Temporary::beside(path, Existing::Replace, Readers::All)?;
    let mut out = BufWriter::new(new.file());
    write(report, format, &mut out)?;
    out.flush()?;
    drop(out);
    new.publish()
}
