//! `airlock audit report`.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use audit::Reader;
use audit::report::{Framework, Period, Report, Status as Shown, csv, html, json, oscal};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueEnum};
use private::{Existing, Readers, Temporary};
use serde_json::json;
use time::OffsetDateTime;

use crate::cli::{Format, LogArg, time_of};
use crate::failure::Status;
use crate::files::Output;
use crate::printer::{Printer, count};

#[derive(Debug, Args)]
#[command(
    after_help = "Example: airlock audit report --store store --framework nist-800-53r5 --since 2026-01-01 --out report.html"
)]
pub(crate) struct AuditReport {
    /// The control catalog to report on.
    #[arg(long, value_name = "NAME", value_parser = frameworks())]
    pub(crate) framework: Framework,
    #[command(flatten)]
    pub(crate) log: LogArg,
    /// The report format. Default: by the extension of `--out`, otherwise HTML.
    #[arg(long, value_enum)]
    pub(crate) format: Option<ReportFormat>,
    /// The output file; an existing file is replaced. Default, and with `-`: standard output. An OSCAL file ends in
    /// `.json`.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Include events at or after this date, or date and time such as 2026-11-21T10:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time_of)]
    pub(crate) since: Option<OffsetDateTime>,
    /// Include events before this date, or date and time.
    #[arg(long, value_name = "TIME", value_parser = time_of)]
    pub(crate) until: Option<OffsetDateTime>,
    /// How many events of each kind and outcome to list with their proofs. All are counted and checked.
    #[arg(long, value_name = "COUNT", default_value_t = audit::report::LEAVES, value_parser = leaves)]
    pub(crate) leaves: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// A self-contained HTML page.
    Html,
    /// A CSV table.
    Csv,
    /// JSON with all details.
    Json,
    /// OSCAL assessment results.
    Oscal,
}

fn leaves(text: &str) -> Result<usize, String> {
    let max = audit::report::MAX_LEAVES;
    let count = text.parse().ok().filter(|count| (2..=max).contains(count));
    count.ok_or_else(|| format!("expected a number from 2 to {max}"))
}

fn frameworks() -> impl clap::builder::TypedValueParser<Value = Framework> {
    let names = Framework::ALL.iter().map(|framework| framework.name());
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Framework>())
}

pub(crate) fn run(settings: &AuditReport, reader: &Reader, printer: &Printer) -> anyhow::Result<Status> {
    super::in_order(settings.since, settings.until)?;
    let output = settings.out.as_deref().map_or(Ok(Output::Stdout), Output::of)?;
    let period = Period { since: settings.since, until: settings.until };
    let report = Report::of(reader, settings.framework, period, settings.leaves)?;
    super::own_key(report.log.own_key, printer);
    if let Some(notice) = report.notice() {
        printer.say(&format!("warning: {notice}"));
    }
    let default = if printer.format() == Format::Json { ReportFormat::Json } else { ReportFormat::Html };
    let format = settings.format.or_else(|| by_name(settings.out.as_deref()?)).unwrap_or(default);
    let Output::File(given) = output else {
        let mut out = BufWriter::new(std::io::stdout().lock());
        write(&report, format, &mut out)?;
        out.flush()?;
        return Ok(Status::Done);
    };
    let path = &named(given, format);
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
    let renamed =
        if path == given { "" } else { "added `.json`, because OSCAL tools reject other extensions\n" };
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
