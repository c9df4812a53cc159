//! The formats of reports.

use std::collections::BTreeSet;
use std::path::Path;

use audit::report::{Framework, Report, csv, html, json, oscal};
use audit::{Event, EventType};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use tlog::{Checkpoint, Hash, Note, Proof, merkle};

use crate::log::{TestLog, by, done, good_day, key, of, refused, report};
use crate::programs::found;

type Writer = fn(&Report, &mut dyn std::io::Write) -> std::io::Result<()>;

const WRITERS: &[(&str, Writer)] =
    &[("html", html::write), ("csv", csv::write), ("json", json::write), ("oscal.json", oscal::write)];

fn text(report: &Report, write: Writer) -> String {
    let mut bytes = Vec::new();
    write(report, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn value(report: &Report, write: Writer) -> Value {
    serde_json::from_str(&text(report, write)).unwrap()
}

const MARKUP: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&lt;";

/// A log with names that attack the readers of reports.
fn hostile() -> TestLog {
    let names = [
        MARKUP,
        "=HYPERLINK(\"http://192.0.2.1\",\"x\")",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "a\r\n=1,\"b",
        "\u{202e}gpj.exe\u{1b}[2J",
        "",
        " ",
        "[x](javascript:alert(1))",
        "\u{2028}--></style></pre></details>",
    ];
    let mut steps = Vec::new();
    for name in names {
        let push = done(EventType::Push, name, name, &['1'], &[("verdict", name), (name, name)]);
        steps.push(refused(by(push, Some(name)), name, name));
        steps.push(done(EventType::Import, "set", name, &['1'], &[("key", name), ("trust", name)]));
    }
    of(steps)
}

#[test]
fn a_small_report_is_unchanged() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/data");
    let small = good_day().into_iter().skip(4).take(2).collect();
    let report = report(&of(small), Framework::CmmcL2);
    for (name, write) in WRITERS {
        let path = folder.join(format!("cmmc-l2.{name}"));
        let now = text(&report, *write).replace(env!("CARGO_PKG_VERSION"), "VERSION");
        if std::env::var_os("AIRLOCK_TEST_BLESS").is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap();
        assert!(
            now == expected,
            "`{}` differs: set AIRLOCK_TEST_BLESS=1 to write the new report, and review the difference",
            path.display()
        );
    }
}

#[test]
fn the_same_log_gives_the_same_bytes() {
    for framework in Framework::ALL {
        let (one, two) = (report(&of(good_day()), *framework), report(&of(good_day()), *framework));
        for (name, write) in WRITERS {
            assert_eq!(text(&one, *write), text(&two, *write), "{name}");
        }
    }
}

#[test]
fn names_from_the_log_are_never_markup() {
    let allowed = "!DOCTYPE a body br caption code dd details div dl dt em h1 h2 h3 head header html main meta nav p \
                   pre section small span strong style summary table tbody td th thead title tr";
    let allowed: BTreeSet<&str> = allowed.split(' ').collect();
    for framework in Framework::ALL {
        let page = text(&report(&hostile(), *framework), html::write);
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&gt;&lt;img"));
        assert!(!page.contains(['\u{202e}', '\u{1b}', '\r']));
        let mut open: Vec<&str> = Vec::new();
        for rest in page.split('<').skip(1) {
            let (tag, _) = rest.split_once('>').unwrap();
            let name = tag.split([' ', '\n']).next().unwrap();
            assert!(allowed.contains(name.trim_start_matches('/')), "<{tag}>");
            assert!(!tag.contains("onerror") && !tag.contains("javascript"), "<{tag}>");
            match name.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name), "</{name}> closes another one"),
                None if ["!DOCTYPE", "meta", "br"].contains(&name) => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty());
    }
}

#[test]
fn a_page_is_accessible_without_sight_colour_or_scripts() {
    let page = text(&report(&of(good_day()), Framework::Nist80053r5), html::write);
    assert!(page.contains("<html lang=\"en\">") && page.contains("href=\"#main\""));
    assert_eq!(page.matches("<table>").count(), page.matches("<caption>").count());
    assert_eq!(
        page.matches("<th").count() - page.matches("<thead").count(),
        page.matches("<th scope=").count()
    );
    assert_eq!(page.matches("<h1>").count(), 1);
    for word in [" satisfied</strong>", " not satisfied</strong>", " not assessed</strong>"] {
        assert!(page.contains(word), "{word}");
    }
    // Every link within the page has a target.
    let ids: BTreeSet<&str> = page.split("id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    for link in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(ids.contains(link), "#{link}");
    }
}

/// Parses RFC 4180 strictly: quoted fields, CRLF.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut rest = text;
    while !rest.is_empty() {
        rest = rest.strip_prefix('"').expect("a field begins with a quote");
        loop {
            let end = rest.find('"').expect("a field ends");
            field.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            let Some(more) = rest.strip_prefix('"') else { break };
            field.push('"');
            rest = more;
        }
        record.push(std::mem::take(&mut field));
        if let Some(more) = rest.strip_prefix(',') {
            rest = more;
        } else {
            rest = rest.strip_prefix("\r\n").expect("a record ends with CRLF");
            records.push(std::mem::take(&mut record));
        }
    }
    records
}

#[test]
fn no_field_of_the_table_is_a_formula_or_has_a_line_break() {
    for framework in Framework::ALL {
        let found = report(&hostile(), *framework);
        let records = records(&text(&found, csv::write));
        let width = records[0].len();
        assert!(records.iter().all(|record| record.len() == width));
        for field in records.iter().flatten() {
            assert!(!field.trim_start().starts_with(['=', '+', '-', '@']), "{field}");
            assert!(!field.contains(|c: char| c.is_control()), "{field}");
        }
        assert!(records.iter().flatten().any(|field| field.starts_with("'=HYPERLINK")));
        let leaves = records.iter().filter(|record| record[0] == "leaf");
        let column = |name: &str| records[0].iter().position(|column| column == name).unwrap();
        assert_eq!(leaves.clone().count(), found.leaves.len());
        assert!(leaves.clone().all(|record| record[column("leaf_hash")].len() == 64));
        assert!(leaves.clone().all(|record| !record[column("proof")].is_empty()));
        for finding in &found.controls {
            let relevant = leaves.clone().filter(|record| {
                record[column("controls")].split(' ').any(|control| control == finding.control.id)
            });
            assert_eq!(relevant.count(), finding.leaves.len(), "{}", finding.control.id);
        }
        assert_eq!(records.iter().filter(|record| record[0] == "control").count(), found.controls.len());
        assert_eq!(records.iter().filter(|record| record[0] == "check").count(), found.checks.len());
    }
}

#[test]
fn each_leaf_can_be_verified_with_the_document_alone() {
    for log in [of(good_day()), hostile()] {
        let document = value(&report(&log, Framework::SrgContainer), json::write);
        assert_eq!(document["format"], "airlock-audit-report/v3");
        let note = Note::parse(document["log"]["checkpoint"].as_str().unwrap().as_bytes()).unwrap();
        let checkpoint = Checkpoint::verify(&note, &key().verifier()).unwrap();
        assert_eq!(document["log"]["root"], checkpoint.root.to_string());
        let leaves = document["leaves"].as_array().unwrap();
        assert_eq!(leaves.len() as u64, document["counts"]["relevant"].as_u64().unwrap());
        assert!(leaves.len() >= 10);
        for leaf in leaves {
            // Members are sorted, so this is the canonical form.
            let entry = serde_json::to_vec(&leaf["event"]).unwrap();
            Event::parse(&entry).unwrap();
            let proof: Vec<Hash> = leaf["proof"]
                .as_array()
                .unwrap()
                .iter()
                .map(|hash| hash.as_str().unwrap().parse().unwrap())
                .collect();
            let index = leaf["index"].as_u64().unwrap();
            let hash = Hash::leaf(&entry);
            assert_eq!(leaf["hash"], hash.to_string());
            merkle::check_inclusion(hash, index, checkpoint.size, &proof, checkpoint.root).unwrap();
        }
    }
}

/// All values of members with this name.
fn all<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get(name).and_then(Value::as_str));
            members.values().for_each(|value| all(value, name, found));
        }
        Value::Array(values) => values.iter().for_each(|value| all(value, name, found)),
        _ => {}
    }
}

fn strings<'a>(value: &'a Value, name: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    all(value, name, &mut found);
    found
}

#[test]
fn oscal_references_exist_and_identifiers_are_unique() {
    for framework in Framework::ALL {
        let found = report(&of(good_day()), *framework);
        let document = value(&found, oscal::write);
        let uuids = strings(&document, "uuid");
        let known: BTreeSet<&str> = uuids.iter().copied().collect();
        assert_eq!(known.len(), uuids.len());
        let mut referred = strings(&document, "observation-uuid");
        referred.extend(strings(&document, "actor-uuid"));
        referred.extend(strings(&document, "component-uuid"));
        referred.extend(strings(&document, "href").iter().map(|href| href.strip_prefix('#').unwrap()));
        assert!(referred.len() > 50);
        assert!(referred.iter().all(|uuid| known.contains(uuid)));
        let results = &document["assessment-results"];
        let findings = results["results"][0]["findings"].as_array().unwrap();
        assert_eq!(findings.len(), found.controls.len());
        for (finding, of) in findings.iter().zip(&found.controls) {
            let good = finding["target"]["status"]["state"] == "satisfied";
            assert_eq!(good, of.status == audit::report::Status::Satisfied, "{}", of.control.id);
        }
        for resource in results["back-matter"]["resources"].as_array().unwrap().iter().skip(1) {
            let file = BASE64_STANDARD.decode(resource["base64"]["value"].as_str().unwrap()).unwrap();
            let proof = Proof::parse(std::str::from_utf8(&file).unwrap()).unwrap();
            let entry = proof.extra.clone().unwrap();
            proof.verify(&entry, &tlog::Policy::of_log(key().verifier())).unwrap();
        }
    }
    let uuid = |framework| {
        let document = value(&report(&of(good_day()), framework), oscal::write);
        document["assessment-results"]["uuid"].as_str().unwrap().to_owned()
    };
    assert_ne!(uuid(Framework::CmmcL2), uuid(Framework::Nist80053r5));
}

/// Asserts that every resource is referenced, and every leaf and check by a finding.
fn assert_all_referenced(document: &Value, found: &Report) {
    let results = &document["assessment-results"];
    let ids = |value: &Value| strings(value, "uuid").into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    let without = |name: &str| {
        let mut rest = results.clone();
        rest.as_object_mut().unwrap().remove(name);
        rest
    };
    let rest = without("back-matter");
    let links: BTreeSet<String> = strings(&rest, "href").iter().map(|href| href[1..].to_owned()).collect();
    assert_eq!(ids(&results["back-matter"]), links, "exactly the linked resources exist");
    let linked: BTreeSet<&str> = results["results"][0]["observations"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|observation| strings(&observation["links"], "href"))
        .collect();
    assert_eq!(linked.len(), found.leaves.len(), "some tools only read `links`");
    let observed: BTreeSet<&str> =
        strings(&results["results"][0]["findings"], "observation-uuid").into_iter().collect();
    let observations = results["results"][0]["observations"].as_array().unwrap();
    assert!(observations.iter().all(|one| observed.contains(one["uuid"].as_str().unwrap())));
}

#[test]
fn o29_the_back_matter_contains_only_referenced_resources() {
    for framework in Framework::ALL {
        for log in [of(good_day()), hostile(), of(Vec::new())] {
            let found = report(&log, *framework);
            assert_all_referenced(&value(&found, oscal::write), &found);
        }
    }
}

/// NIST's schema, if `tests/peers/schemas` has downloaded it.
fn schema() -> Option<Value> {
    let path = found("oscal/oscal_assessment-results_schema.json")?;
    Some(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
}

#[test]
fn oscal_is_valid_under_nists_schema() {
    let Some(schema) = schema() else { return };
    let schema = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    for framework in Framework::ALL {
        for log in [of(good_day()), hostile(), of(Vec::new())] {
            let document = value(&report(&log, *framework), oscal::write);
            let errors: Vec<String> = schema
                .iter_errors(&document)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{errors:#?}");
        }
    }
    let good = value(&report(&of(good_day()), Framework::CmmcL2), oscal::write);
    for (pointer, wrong) in [
        ("/assessment-results/uuid", "00000000-0000-0000-0000-000000000000"),
        ("/assessment-results/results/0/findings/0/target/status/state", "not-assessed"),
        ("/assessment-results/results/0/observations/0/collected", "yesterday"),
        ("/assessment-results/results/0/observations/0/props/0/value", " x"),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = wrong.into();
        assert!(!schema.is_valid(&bad), "{pointer}");
    }
}
