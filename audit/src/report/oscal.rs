//! A report as OSCAL assessment results (NIST, version 1.1.3, JSON).
//!
//! Contains an observation for each leaf and each check, a finding for each control, and for each leaf a resource with its
//! proof as a file (C2SP tlog-proof). OSCAL has two states; "not assessed" is `not-satisfied` with the reason `other`, so
//! that it cannot be mistaken for satisfied. Identifiers are derived from the checkpoint, the framework and the period:
//! version 5 of RFC 9562 with SHA-256 instead of SHA-1.

use std::io::{self, Write};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::ser::{Error as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use tlog::Hash;
use tlog::text::JsonWriter;

use super::framework::{Framework, Status};
use super::{CheckResult, Finding, Leaf, Report, hex, text};

/// The version of OSCAL.
pub const VERSION: &str = "1.1.3";

/// The namespace of the properties, which cannot be fetched. Some tools require a host in it.
const NAMESPACE: &str = "https://airlock.local/ns/audit";

/// Writes a report.
///
/// # Errors
/// The error of `out`.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let document = Document { assessment_results: Results::of(Names(report)) };
    serde_json::to_writer_pretty(JsonWriter(&mut *out), &document)?;
    out.write_all(b"\n")
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Document<'a> {
    assessment_results: Results<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Results<'a> {
    uuid: String,
    metadata: Value,
    import_ap: Value,
    results: [Outcome<'a>; 1],
    back_matter: BackMatter<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Outcome<'a> {
    uuid: String,
    title: String,
    description: String,
    start: String,
    end: String,
    props: Vec<Value>,
    local_definitions: Value,
    reviewed_controls: Value,
    observations: Each<'a>,
    findings: Each<'a>,
}

#[derive(Serialize)]
struct BackMatter<'a> {
    resources: Each<'a>,
}

/// A list whose values are created one at a time, when they are written.
struct Each<'a>(&'a Report, fn(Names<'a>) -> Box<dyn Iterator<Item = io::Result<Value>> + 'a>);

impl Serialize for Each<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut values = serializer.serialize_seq(None)?;
        for value in (self.1)(Names(self.0)) {
            values.serialize_element(&value.map_err(S::Error::custom)?)?;
        }
        values.end()
    }
}

/// The identifiers of a report's parts.
#[derive(Clone, Copy)]
struct Names<'a>(&'a Report);

impl Names<'_> {
    fn uuid(self, name: &str) -> String {
        let Report { framework, period, log, .. } = self.0;
        let end = |moment: Option<_>| moment.map(text).unwrap_or_default();
        let (since, until) = (end(period.since), end(period.until));
        let (origin, size, root) = (&log.origin, log.size, log.root);
        let seed = format!("{origin}\n{size}\n{root}\n{framework}\n{since}\n{until}\n{name}");
        let hash = Hash::leaf(seed.as_bytes());
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(hash.as_bytes()).for_each(|(byte, from)| *byte = *from);
        let number = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | 0x5 << 76 | 0x2 << 62;
        let digits = format!("{number:032x}");
        [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
    }

    fn tool(self) -> String {
        self.uuid("tool")
    }

    fn leaf(self, index: u64) -> String {
        self.uuid(&format!("leaf {index}"))
    }

    fn proof(self, index: u64) -> String {
        self.uuid(&format!("proof {index}"))
    }

    fn check(self, name: &str) -> String {
        self.uuid(&format!("check {name}"))
    }
}

impl<'a> Results<'a> {
    fn of(names: Names<'a>) -> Self {
        let report = names.0;
        let (_, last) = report.moments();
        Self {
            uuid: names.uuid("assessment-results"),
            metadata: json!({
                "title": format!("{}: evidence from airlock's audit log", report.framework.title()),
                "last-modified": last,
                "version": report.log.size.to_string(),
                "oscal-version": VERSION,
                "remarks": format!("Control identifiers: {}.", report.framework.sources().join("; ")),
            }),
            import_ap: json!({
                "href": format!("#{}", names.uuid("plan")),
                "remarks": "No OSCAL plan exists: airlock has a fixed mapping of events to controls.",
            }),
            results: [Outcome::of(names)],
            back_matter: BackMatter { resources: Each(report, |names| Box::new(resources(names))) },
        }
    }
}

impl<'a> Outcome<'a> {
    fn of(names: Names<'a>) -> Self {
        let report = names.0;
        let (start, end) = report.moments();
        Self {
            uuid: names.uuid("result"),
            title: format!("Evidence from log {} at {} leaves", line(&report.log.origin), report.log.size),
            description:
                "A state refers only to the description of its finding, not to the rest of the control. \
                          It is evidence for an assessor, not an assessment."
                    .to_owned(),
            start,
            end,
            props: properties(report),
            local_definitions: tool(names),
            reviewed_controls: reviewed(report),
            observations: Each(report, |names| Box::new(observations(names))),
            findings: Each(report, |names| Box::new(findings(names))),
        }
    }
}

fn properties(report: &Report) -> Vec<Value> {
    let (log, counts) = (&report.log, &report.counts);
    vec![
        property("log-origin", &log.origin),
        property("tree-size", &log.size.to_string()),
        property("root", &log.root.to_string()),
        property("log-key", if log.own_key { "own" } else { "given" }),
        property("witnessed", &log.witnessed.to_string()),
        property("leaves-relevant", &counts.relevant.to_string()),
        property("leaves-not-listed", &report.leaves_left_out.to_string()),
        property("leaves-irrelevant", &counts.irrelevant.to_string()),
        property("leaves-before", &counts.before.to_string()),
        property("leaves-after", &counts.after.to_string()),
        property("leaves-no-events", &counts.no_events.to_string()),
    ]
}

fn tool(names: Names<'_>) -> Value {
    json!({ "assessment-assets": {
        "components": [{
            "uuid": names.tool(),
            "type": "software",
            "title": "airlock",
            "description": "Reads the log, verifies the proof of each leaf, and counts the leaves.",
            "props": [property("version", env!("CARGO_PKG_VERSION"))],
            "status": { "state": "operational" },
        }],
        "assessment-platforms": [{
            "uuid": names.uuid("platform"),
            "title": "airlock audit report",
            "uses-components": [{ "component-uuid": names.tool() }],
        }],
    }})
}

fn reviewed(report: &Report) -> Value {
    let control = |finding: &Finding| json!({ "control-id": token(report.framework, finding.control.id) });
    let controls: Vec<Value> = report.controls.iter().map(control).collect();
    json!({ "control-selections": [{ "include-controls": controls }] })
}

fn observations(names: Names<'_>) -> impl Iterator<Item = io::Result<Value>> {
    let leaves = names.0.listed().map(move |leaf| Ok(of_leaf(names, &leaf?)));
    leaves.chain(names.0.checks.iter().map(move |check| Ok(of_check(names, check))))
}

fn of_leaf(names: Names<'_>, leaf: &Leaf) -> Value {
    let event = &leaf.event;
    let title = format!("Leaf {}: {}, {}", leaf.index, event.event.name(), event.outcome.result.name());
    let mut props = vec![
        property("leaf", &leaf.index.to_string()),
        property("leaf-hash", &hex(leaf.hash())),
        property("event", event.event.name()),
        property("outcome", event.outcome.result.name()),
        property("actor", &leaf.actor()),
        property("host", &event.host),
        property("component", &format!("{} {}", event.component.name, event.component.version)),
        property("time-source", &event.time_source),
        property("object-kind", &event.object.kind),
        property("object-name", &event.object.name),
    ];
    props.extend(event.outcome.reason.iter().map(|reason| property("outcome-reason", reason)));
    props.extend(event.object.digests.iter().map(|digest| property("digest", digest)));
    props.extend(event.evidence.iter().map(|(name, value)| property("evidence", &format!("{name}={value}"))));
    let collected = super::moment(&event.time).map_or_else(|| names.0.moments().0, text);
    json!({
        "uuid": names.leaf(leaf.index),
        "title": title,
        "description": title,
        "props": props,
        // Some tools look for references to resources only in links.
        "links": [{ "href": format!("#{}", names.proof(leaf.index)), "rel": "reference" }],
        "methods": ["EXAMINE"],
        "types": ["historic"],
        "origins": origins(names),
        "relevant-evidence": [{
            "href": format!("#{}", names.proof(leaf.index)),
            "description": format!("The entry of leaf {}, and its proof against the checkpoint.", leaf.index),
        }],
        "collected": collected,
    })
}

fn of_check(names: Names<'_>, check: &CheckResult) -> Value {
    let mut props = vec![
        property("check", check.name),
        property("expected", &check.expected.to_string()),
        property("found", &check.found.to_string()),
    ];
    if check.exceptions_left_out > 0 {
        props.push(property("exceptions-not-listed", &check.exceptions_left_out.to_string()));
    }
    props.extend(check.exceptions.iter().map(|leaf| property("exception", &leaf.to_string())));
    json!({
        "uuid": names.check(check.name),
        "title": check.title,
        "description": format!("{} of {} expected: {}.", check.found, check.expected, check.title),
        "props": props,
        "methods": ["TEST"],
        "types": ["control-objective"],
        "origins": origins(names),
        "collected": names.0.moments().1,
    })
}

fn origins(names: Names<'_>) -> Value {
    json!([{ "actors": [{ "type": "tool", "actor-uuid": names.tool() }] }])
}

fn findings(names: Names<'_>) -> impl Iterator<Item = io::Result<Value>> {
    names.0.controls.iter().map(move |finding| Ok(of_finding(names, finding)))
}

fn of_finding(names: Names<'_>, finding: &Finding) -> Value {
    let (control, framework) = (finding.control, names.0.framework);
    let id = token(framework, control.id);
    let (kind, target) = match framework {
        Framework::Nist80053r5 => ("statement-id", format!("{id}_smt")),
        Framework::CmmcL2 | Framework::SrgContainer => ("objective-id", id),
    };
    let (state, reason) = match finding.status {
        Status::Satisfied => ("satisfied", "pass"),
        Status::NotSatisfied => ("not-satisfied", "fail"),
        Status::NotAssessed => ("not-satisfied", "other"),
    };
    let mut props = vec![property("status", finding.status.name()), property("control", control.id)];
    props.extend(control.also.map(|also| property("also", also)));
    if finding.left_out() > 0 {
        props.push(property("leaves-not-listed", &finding.left_out().to_string()));
    }
    let mut value = json!({
        "uuid": names.uuid(&format!("finding {}", control.id)),
        "title": format!("{} {}", control.id, control.title),
        "description": format!("Shows: {} Does not show: {}", control.evidences, control.leaves_out),
        "props": props,
        "origins": origins(names),
        "target": {
            "type": kind,
            "target-id": target,
            "status": { "state": state, "reason": reason, "remarks": finding.reason },
        },
    });
    let leaves = finding.leaves.iter().map(|index| names.leaf(*index));
    let checks = control.checks().iter().map(|check| names.check(check.name()));
    let related: Vec<Value> = leaves.chain(checks).map(|uuid| json!({ "observation-uuid": uuid })).collect();
    // OSCAL has no empty lists.
    if let (false, Some(members)) = (related.is_empty(), value.as_object_mut()) {
        members.insert("related-observations".to_owned(), related.into());
    }
    value
}

fn resources(names: Names<'_>) -> impl Iterator<Item = io::Result<Value>> {
    let plan = json!({
        "uuid": names.uuid("plan"),
        "title": "No assessment plan",
        "description": "airlock's documentation describes the mapping of events to controls.",
    });
    std::iter::once(Ok(plan)).chain(names.0.listed().map(move |leaf| {
        let leaf = leaf?;
        Ok(json!({
            "uuid": names.proof(leaf.index),
            "title": format!("Proof of leaf {}", leaf.index),
            "base64": {
                "filename": format!("leaf-{}.tlog-proof", leaf.index),
                "media-type": "text/plain",
                "value": BASE64_STANDARD.encode(leaf.proof.to_string()),
            },
        }))
    }))
}

fn property(name: &str, value: &str) -> Value {
    json!({ "name": name, "ns": NAMESPACE, "value": line(value) })
}

/// A text in one line that is not empty and has no white space at its ends, as OSCAL requires.
fn line(text: &str) -> String {
    let shown = tlog::text::line(text.trim());
    if shown.is_empty() { "-".to_owned() } else { shown.into_owned() }
}

/// A control's identifier as OSCAL spells it: `si-7.15` for `SI-7(15)`.
fn token(framework: Framework, id: &str) -> String {
    match framework {
        Framework::Nist80053r5 => id.to_lowercase().replace('(', ".").replace(')', ""),
        Framework::CmmcL2 | Framework::SrgContainer => id.to_owned(),
    }
}
