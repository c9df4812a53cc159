//! A report as one page: no script, nothing from elsewhere, readable without colours and on paper.
//!
//! All that is from the log is escaped, and control and direction characters are shown as their numbers.

use std::io::{self, Write};

use super::framework::Status;
use super::{Finding, Leaf, Report, text};

const STYLE: &str = include_str!("html.css");

/// Writes a report.
///
/// # Errors
/// What `out` says.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    head(report, out)?;
    summary(report, out)?;
    counts(report, out)?;
    writeln!(out, "<h2 id=\"controls\">Controls</h2>")?;
    for finding in &report.controls {
        control(finding, report, out)?;
    }
    writeln!(
        out,
        "<h2 id=\"evidence\">Evidence</h2>\n<p>{}, with the proof that it is under the checkpoint (C2SP tlog-proof; \
         <code>extra</code> is the entry).</p>",
        if report.leaves_left_out == 0 {
            "Each leaf that a control names"
        } else {
            "Each leaf that is listed"
        }
    )?;
    left_out(report, out)?;
    writeln!(out, "<div class=\"wide\"><table>\n<caption>Leaves</caption>\n<thead><tr>")?;
    for name in
        ["Leaf", "Time", "Actor", "Host", "Event", "Outcome", "Object", "Digests and evidence", "Proof"]
    {
        writeln!(out, "<th scope=\"col\">{name}</th>")?;
    }
    writeln!(out, "</tr></thead>\n<tbody>")?;
    for row in report.listed() {
        leaf(&row?, out)?;
    }
    writeln!(out, "</tbody></table></div>\n</main>\n</body>\n</html>")
}

/// What is not listed, and where it is.
fn left_out(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if report.leaves_left_out == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "<p>Of {} leaves that controls name, {} are listed: of each event and outcome the first and the last, and of each check \
         the first and the last exceptions. The other {} are in the log, and counted and checked above. <code>airlock audit log \
         --event EVENT --outcome OUTCOME</code> lists them, <code>airlock audit proof LEAF</code> proves one, and <code>airlock \
         audit report --leaves NUMBER</code> lists more.</p>",
        report.counts.relevant,
        report.leaves.len(),
        report.leaves_left_out
    )
}

fn head(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let title = format!("Audit report: {}", report.framework.title());
    writeln!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">To the report</a>\n\
         <header><h1>{title}</h1>\n<nav aria-label=\"Parts\"><a href=\"#summary\">Summary</a> <a href=\"#completeness\">Completeness</a> \
         <a href=\"#controls\">Controls</a> <a href=\"#evidence\">Evidence</a></nav></header>\n<main id=\"main\">"
    )
}

fn summary(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let log = &report.log;
    let (first, last) = report.moments();
    let period = match (report.period.since, report.period.until) {
        (None, None) => "all of the log".to_owned(),
        (Some(since), None) => format!("since {}", text(since)),
        (None, Some(until)) => format!("before {}", text(until)),
        (Some(since), Some(until)) => format!("since {}, before {}", text(since), text(until)),
    };
    let key = if log.own_key {
        "the key that lies beside the log: nothing is damaged, but the whole log could have been made anew"
    } else {
        "a key that did not come with the log"
    };
    let rows = [
        ("Framework", report.framework.title().to_owned()),
        ("Sources", report.framework.sources().join("; ")),
        ("Period", period),
        ("Evidence", format!("from {first} to {last}")),
        ("Log", log.origin.clone()),
        ("Leaves", log.size.to_string()),
        ("Root", log.root.to_string()),
        ("Checked by", key.to_owned()),
        (
            "Witnesses",
            if log.witnessed { "cosigned as the policy demands" } else { "none asked for" }.to_owned(),
        ),
        ("Made by", format!("airlock {}", env!("CARGO_PKG_VERSION"))),
    ];
    if let Some(notice) = report.notice() {
        writeln!(out, "<p><strong>{notice}</strong></p>")?;
    }
    writeln!(
        out,
        "<h2 id=\"summary\">Summary</h2>\n<p>A status is about what the log shows of a control, told there as <em>Shows</em>; \
                   what it cannot show is told as <em>Does not show</em>. It is evidence for an assessor, and not an assessment.</p>\n<dl>"
    )?;
    for (name, value) in rows {
        writeln!(out, "<dt>{name}</dt><dd>{}</dd>", escaped(&value))?;
    }
    writeln!(
        out,
        "</dl>\n<details><summary>Signed checkpoint</summary><pre>{}</pre></details>",
        preformatted(&log.checkpoint)
    )?;
    let of = |status| report.controls.iter().filter(|finding| finding.status == status).count();
    writeln!(
        out,
        "<table><caption>Controls by status</caption><thead><tr><th scope=\"col\">Status</th><th scope=\"col\">Controls</th></tr></thead><tbody>"
    )?;
    for status in [Status::Satisfied, Status::NotSatisfied, Status::NotAssessed] {
        writeln!(out, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", mark(status), of(status))?;
    }
    writeln!(out, "</tbody></table>")
}

fn counts(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let counts = &report.counts;
    writeln!(
        out,
        "<h2 id=\"completeness\">Completeness</h2>\n<p>{} leaves = {} named by a control + {} named by none + {} before the period + {} after it \
         + {} that are no events.</p>",
        counts.leaves, counts.relevant, counts.irrelevant, counts.before, counts.after, counts.no_events
    )?;
    writeln!(
        out,
        "<table><caption>What should be, and what is</caption><thead><tr><th scope=\"col\">Check</th><th scope=\"col\">Expected</th>\
         <th scope=\"col\">Found</th><th scope=\"col\">Result</th><th scope=\"col\">Exceptions</th></tr></thead><tbody>"
    )?;
    for check in &report.checks {
        writeln!(
            out,
            "<tr><th scope=\"row\" id=\"check-{}\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            check.name,
            escaped(check.title),
            check.expected,
            check.found,
            if check.found < check.expected { "not so" } else { "so" },
            listed(report, &check.exceptions, check.exceptions_left_out)
        )?;
    }
    writeln!(
        out,
        "</tbody></table>\n<table><caption>Events in the period</caption><thead><tr><th scope=\"col\">Event</th><th scope=\"col\">Outcome</th>\
         <th scope=\"col\">Leaves</th></tr></thead><tbody>"
    )?;
    for tally in &counts.events {
        let event = escaped(&tally.event);
        writeln!(
            out,
            "<tr><th scope=\"row\">{event}</th><td>{}</td><td>{}</td></tr>",
            tally.result, tally.leaves
        )?;
    }
    writeln!(out, "</tbody></table>")
}

fn control(finding: &Finding, report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let control = finding.control;
    let also = control.also.map(|also| format!(" <small>({})</small>", escaped(also))).unwrap_or_default();
    let mine = report.checks.iter().filter(|checked| control.checks().contains(&checked.check));
    let names: Vec<String> =
        mine.map(|check| format!("<a href=\"#check-{}\">{}</a>", check.name, check.name)).collect();
    let leaves = match finding.count {
        0 => "none".to_owned(),
        count => format!("{count}: {}", listed(report, &finding.leaves, finding.left_out())),
    };
    writeln!(
        out,
        "<section><h3>{} {}{also}</h3>\n<p>{} {}</p>\n<dl><dt>Shows</dt><dd>{}</dd><dt>Does not show</dt><dd>{}</dd>\
         <dt>Checks</dt><dd>{}</dd><dt>Leaves</dt><dd>{leaves}</dd></dl></section>",
        escaped(control.id),
        escaped(control.title),
        mark(finding.status),
        escaped(&finding.reason),
        escaped(control.evidences),
        escaped(control.leaves_out),
        if names.is_empty() { "none".to_owned() } else { names.join(", ") },
    )
}

fn leaf(leaf: &Leaf, out: &mut dyn Write) -> io::Result<()> {
    let event = &leaf.event;
    let index = leaf.index;
    let outcome = &event.outcome;
    let because = outcome.detail.as_ref().or(outcome.reason.as_ref());
    let because = because.map(|because| format!(": {}", escaped(because))).unwrap_or_default();
    let part = event.part.map(|part| format!(" (part {} of {})", part.number, part.of)).unwrap_or_default();
    writeln!(
        out,
        "<tr id=\"leaf-{index}\"><th scope=\"row\">{index}</th><td>{}</td><td>{}</td><td>{}</td><td>{}{part}</td><td>{}{because}</td><td>{} {}</td><td>",
        escaped(&event.time),
        escaped(&leaf.actor()),
        escaped(&event.host),
        event.event.name(),
        outcome.result.name(),
        escaped(&event.object.kind),
        escaped(&event.object.name),
    )?;
    for digest in &event.object.digests {
        writeln!(out, "<code>{}</code><br>", escaped(digest))?;
    }
    for (name, value) in &event.evidence {
        writeln!(out, "{}: <code>{}</code><br>", escaped(name), escaped(value))?;
    }
    writeln!(
        out,
        "</td><td><details><summary>Leaf {index}</summary><pre>{}</pre></details></td></tr>",
        preformatted(&leaf.proof.to_string())
    )
}

/// A status in words; the sign before it helps those who see it, and colour carries nothing.
fn mark(status: Status) -> String {
    let sign = match status {
        Status::Satisfied => "\u{2713}",
        Status::NotAssessed => "?",
        Status::NotSatisfied => "\u{2717}",
    };
    format!(
        "<strong class=\"{}\"><span aria-hidden=\"true\">{sign}</span> {}</strong>",
        status.name(),
        status.words()
    )
}

/// Leaves with links to those that are listed, and how many more there are.
fn listed(report: &Report, leaves: &[u64], left_out: u64) -> String {
    let is_there = |index: &u64| report.leaves.binary_search(index).is_ok();
    let (there, elsewhere): (Vec<u64>, Vec<u64>) = leaves.iter().partition(|index| is_there(index));
    let mut text = links(&there);
    for index in elsewhere {
        let comma = if text.is_empty() { "" } else { ", " };
        text += &format!("{comma}{index}");
    }
    if left_out > 0 { text + &format!(" and {left_out} more in the log") } else { text }
}

/// Leaves, those that follow each other together.
fn links(leaves: &[u64]) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for index in leaves {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*index) => *last = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let link = |index: u64| format!("<a href=\"#leaf-{index}\">{index}</a>");
    let run = |(first, last): (u64, u64)| {
        if first == last { link(first) } else { format!("{} to {}", link(first), link(last)) }
    };
    runs.into_iter().map(run).collect::<Vec<_>>().join(", ")
}

/// Text of one line that is safe between tags and in quoted attributes.
fn escaped(text: &str) -> String {
    preformatted(&tlog::text::line(text))
}

/// The same with its line ends.
fn preformatted(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in tlog::text::shown(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup() {
        assert_eq!(
            escaped("<a href='x'>&\"\u{1b}\u{202e}"),
            "&lt;a href=&#39;x&#39;&gt;&amp;&quot;\\u{1b}\\u{202e}"
        );
    }

    #[test]
    fn leaves_that_follow_each_other_are_told_together() {
        let plain = |leaves: &[u64]| links(leaves).replace("<a href=\"#leaf-", "").replace("</a>", "");
        assert_eq!(plain(&[0, 1, 2, 5, 7, 8]), "0\">0 to 2\">2, 5\">5, 7\">7 to 8\">8");
        assert_eq!(plain(&[u64::MAX]), format!("{0}\">{0}", u64::MAX));
        assert_eq!(plain(&[]), "");
    }
}
