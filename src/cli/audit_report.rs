//! Arguments of `airlock audit explain` and `airlock audit report`.

use std::path::PathBuf;

use audit::report::Framework;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueEnum};
use time::OffsetDateTime;

use super::audit::{LogArg, time_of};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples: airlock audit explain sha256:9f86d081 --store store --proofs\n          airlock audit explain apps/web:1 --store store"
)]
pub(crate) struct AuditExplain {
    /// An image, layer, set, lock or trust file: its digest, a digest prefix, or a name in the log or the store.
    pub(crate) digest: String,
    #[command(flatten)]
    pub(crate) log: LogArg,
    /// Also print the proof of each event (C2SP tlog-proof).
    #[arg(long)]
    pub(crate) proofs: bool,
}

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
    /// The output file; an existing file is replaced. Default: standard output. An OSCAL file ends in
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

fn leaves(text: &str) -> Result<usize, String> {
    let max = audit::report::MAX_LEAVES;
    let count = text.parse().ok().filter(|count| (2..=max).contains(count));
    count.ok_or_else(|| format!("expected a number from 2 to {max}"))
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

fn frameworks() -> impl clap::builder::TypedValueParser<Value = Framework> {
    let names = Framework::ALL.iter().map(|framework| framework.name());
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Framework>())
}
