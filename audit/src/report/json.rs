//! A report as JSON in airlock's format `airlock-audit-report/v3`, which `docs/audit-report.md` describes.
//!
//! Each leaf can be verified with the document alone: the canonical form of its `event` (RFC 8785) is hashed as in RFC 6962,
//! `proof` leads to `log.root`, and `log.checkpoint` is the signed note with this root.

use std::io::{self, Write};

use serde::ser::{Error as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use tlog::Hash;
use tlog::text::JsonWriter;

use super::{CheckResult, Counts, Finding, Report, text};
use crate::Event;

/// The name of the format.
pub const FORMAT: &str = "airlock-audit-report/v3";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    format: &'static str,
    tool: Tool,
    framework: FrameworkOf,
    period: PeriodOf,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<&'static str>,
    log: LogOf<'a>,
    counts: &'a Counts,
    checks: &'a [CheckResult],
    controls: Vec<ControlOf<'a>>,
    leaves_left_out: u64,
    leaves: Leaves<'a>,
}

#[derive(Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct FrameworkOf {
    name: &'static str,
    title: &'static str,
    sources: &'static [&'static str],
}

#[derive(Serialize)]
struct PeriodOf {
    since: Option<String>,
    until: Option<String>,
    first: String,
    last: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogOf<'a> {
    origin: &'a str,
    size: u64,
    root: String,
    own_key: bool,
    witnessed: bool,
    checkpoint: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ControlOf<'a> {
    id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    also: Option<&'static str>,
    title: &'static str,
    status: &'static str,
    reason: &'a str,
    evidences: &'static str,
    leaves_out: &'static str,
    checks: Vec<&'static str>,
    leaves_left_out: u64,
    leaves: &'a [u64],
}

/// Serializes the leaves one at a time, because a report can be too large to hold in memory.
struct Leaves<'a>(&'a Report);

#[derive(Serialize)]
struct LeafOf<'a> {
    index: u64,
    hash: String,
    event: &'a Event,
    proof: Vec<String>,
}

impl Serialize for Leaves<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut leaves = serializer.serialize_seq(Some(self.0.leaves.len()))?;
        for leaf in self.0.listed() {
            let leaf = leaf.map_err(S::Error::custom)?;
            leaves.serialize_element(&LeafOf {
                index: leaf.index,
                hash: leaf.hash().to_string(),
                event: &leaf.event,
                proof: leaf.proof.hashes.iter().map(Hash::to_string).collect(),
            })?;
        }
        leaves.end()
    }
}

/// Writes a report.
///
/// # Errors
/// The error of `out`.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let (first, last) = report.moments();
    let log = &report.log;
    let document = Document {
        format: FORMAT,
        tool: Tool { name: "airlock", version: env!("CARGO_PKG_VERSION") },
        framework: FrameworkOf {
            name: report.framework.name(),
            title: report.framework.title(),
            sources: report.framework.sources(),
        },
        period: PeriodOf {
            since: report.period.since.map(text),
            until: report.period.until.map(text),
            first,
            last,
        },
        notice: report.notice(),
        log: LogOf {
            origin: &log.origin,
            size: log.size,
            root: log.root.to_string(),
            own_key: log.own_key,
            witnessed: log.witnessed,
            checkpoint: &log.checkpoint,
        },
        counts: &report.counts,
        checks: &report.checks,
        controls: report.controls.iter().map(control).collect(),
        leaves_left_out: report.leaves_left_out,
        leaves: Leaves(report),
    };
    serde_json::to_writer_pretty(JsonWriter(&mut *out), &document)?;
    out.write_all(b"\n")
}

fn control(finding: &Finding) -> ControlOf<'_> {
    ControlOf {
        id: finding.control.id,
        also: finding.control.also,
        title: finding.control.title,
        status: finding.status.name(),
        reason: &finding.reason,
        evidences: finding.control.evidences,
        leaves_out: finding.control.leaves_out,
        checks: finding.control.checks_named(),
        leaves_left_out: finding.left_out(),
        leaves: &finding.leaves,
    }
}
