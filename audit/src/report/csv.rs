//! A report as one table (RFC 4180), for spreadsheets.
//!
//! `record` is the kind of a row: a `control`, a `leaf` with the `controls` that it is evidence for, a `check`, or a
//! `count`. Hashes are in hexadecimal digits, because base64 text can look like a formula.

use std::io::{self, Write};

use super::{Finding, Leaf, Report, hex};

const COLUMNS: &[&str] = &[
    "record",
    "framework",
    "controls",
    "title",
    "status",
    "reason",
    "expected",
    "found",
    "leaf",
    "leaf_hash",
    "time",
    "time_source",
    "actor",
    "uid",
    "address",
    "host",
    "component",
    "event",
    "result",
    "outcome_reason",
    "outcome_detail",
    "object_kind",
    "object_name",
    "digests",
    "evidence",
    "log_origin",
    "tree_size",
    "root",
    "own_key",
    "proof",
];

/// A row: the names and values of its columns.
type Cells = Vec<(&'static str, String)>;

/// Writes a report.
///
/// # Errors
/// The error of `out`.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    line(out, &COLUMNS.iter().map(|name| (*name, (*name).to_owned())).collect::<Cells>())?;
    for finding in &report.controls {
        line(out, &[of_log(report), of_control(finding)].concat())?;
    }
    for leaf in report.listed() {
        let leaf = leaf?;
        let class = (leaf.event.event, leaf.event.outcome.result);
        let relevant = report.controls.iter().filter(|finding| finding.control.includes(class));
        let controls: Vec<&str> = relevant.map(|finding| finding.control.id).collect();
        line(out, &[of_log(report), of_leaf(&leaf, &controls.join(" "))].concat())?;
    }
    for check in &report.checks {
        let mut exceptions: Vec<String> = check.exceptions.iter().map(u64::to_string).collect();
        if check.exceptions_left_out > 0 {
            exceptions.push(format!("and {} more", check.exceptions_left_out));
        }
        let cells = vec![
            ("record", "check".to_owned()),
            ("reason", check.name.to_owned()),
            ("title", check.title.to_owned()),
            ("status", if check.found < check.expected { "failed" } else { "passed" }.to_owned()),
            ("expected", check.expected.to_string()),
            ("found", check.found.to_string()),
            ("leaf", exceptions.join(" ")),
        ];
        line(out, &[of_log(report), cells].concat())?;
    }
    let counts = &report.counts;
    let totals = [
        ("leaves", counts.leaves),
        ("relevant", counts.relevant),
        ("relevant, not listed here", report.leaves_left_out),
        ("irrelevant", counts.irrelevant),
        ("before", counts.before),
        ("after", counts.after),
        ("no events", counts.no_events),
    ];
    let count = |title: &str, found: u64| {
        vec![("record", "count".to_owned()), ("title", title.to_owned()), ("found", found.to_string())]
    };
    for (title, found) in totals {
        line(out, &[of_log(report), count(title, found)].concat())?;
    }
    for tally in &counts.events {
        let cells = vec![("event", tally.event.clone()), ("result", tally.result.to_owned())];
        line(out, &[of_log(report), count("events", tally.leaves), cells].concat())?;
    }
    Ok(())
}

fn of_log(report: &Report) -> Cells {
    vec![
        ("framework", report.framework.name().to_owned()),
        ("log_origin", report.log.origin.clone()),
        ("tree_size", report.log.size.to_string()),
        ("root", hex(report.log.root)),
        ("own_key", report.log.own_key.to_string()),
    ]
}

fn of_control(finding: &Finding) -> Cells {
    vec![
        ("record", "control".to_owned()),
        ("controls", finding.control.id.to_owned()),
        ("title", finding.control.title.to_owned()),
        ("status", finding.status.words().to_owned()),
        ("reason", finding.reason.clone()),
        ("found", finding.count.to_string()),
    ]
}

fn of_leaf(leaf: &Leaf, controls: &str) -> Cells {
    let event = &leaf.event;
    let evidence: Vec<String> =
        event.evidence.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let proof: Vec<String> = leaf.proof.hashes.iter().map(|hash| hex(*hash)).collect();
    vec![
        ("record", "leaf".to_owned()),
        ("controls", controls.to_owned()),
        ("leaf", leaf.index.to_string()),
        ("leaf_hash", hex(leaf.hash())),
        ("time", event.time.clone()),
        ("time_source", event.time_source.clone()),
        ("actor", event.actor.user.clone().unwrap_or_default()),
        ("uid", event.actor.uid.map(|uid| uid.to_string()).unwrap_or_default()),
        ("address", event.actor.address.clone().unwrap_or_default()),
        ("host", event.host.clone()),
        ("component", format!("{} {}", event.component.name, event.component.version)),
        ("event", event.event.name().to_owned()),
        ("result", event.outcome.result.name().to_owned()),
        ("outcome_reason", event.outcome.reason.clone().unwrap_or_default()),
        ("outcome_detail", event.outcome.detail.clone().unwrap_or_default()),
        ("object_kind", event.object.kind.clone()),
        ("object_name", event.object.name.clone()),
        ("digests", event.object.digests.join(" ")),
        ("evidence", evidence.join(" ")),
        ("proof", proof.join(" ")),
    ]
}

/// Writes a row. Every field is quoted, so that no locale's separator splits it. Lines end as RFC 4180 requires.
fn line(out: &mut dyn Write, cells: &[(&str, String)]) -> io::Result<()> {
    for (number, name) in COLUMNS.iter().enumerate() {
        let value = cells.iter().find(|(column, _)| column == name).map_or("", |(_, value)| value);
        let comma = if number == 0 { "" } else { "," };
        write!(out, "{comma}\"{}\"", field(value).replace('"', "\"\""))?;
    }
    out.write_all(b"\r\n")
}

/// Escapes control characters, and prefixes a text that a spreadsheet would interpret as a formula with `'`, which marks it
/// as text (OWASP, CSV injection).
fn field(value: &str) -> String {
    let mut shown = tlog::text::line(value).into_owned();
    let first = value.trim_start().chars().next();
    if first.is_some_and(|c| "=+-@\u{ff1d}\u{ff0b}\u{ff0d}\u{ff20}".contains(c)) {
        shown.insert(0, '\'');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn a_field_is_never_a_formula_and_never_two_lines() {
        for (value, shown) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("  =1", "'  =1"),
            ("\t=1", "'\\u{9}=1"),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("a\r\nb", "a\\u{d}\\u{a}b"),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            assert_eq!(field(value), shown);
        }
    }
}
