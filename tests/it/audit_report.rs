//! `audit explain` and `audit report`, run with the built binary.

use std::path::Path;

use serde_json::Value;

use crate::cli::{airlock, fails};

/// Creates a key and a trust file, logged in the folder's `log`; returns the trust file's digest.
fn site(path: &Path) -> String {
    assert!(airlock(path, &["keys", "generate", "site", "--audit-log", "log"]).status.success());
    assert!(airlock(path, &["keys", "trust", "site.pub", "--audit-log", "log"]).status.success());
    let events = airlock(path, &["audit", "log", "--audit-log", "log", "--output", "json"]);
    let events: Value = serde_json::from_slice(&events.stdout).unwrap();
    let written = events.as_array().unwrap().last().unwrap();
    assert_eq!(written["event"]["event"], "policy.write");
    written["event"]["object"]["digests"][0].as_str().unwrap().to_owned()
}

#[test]
fn a_digest_is_explained_with_proofs_or_reported_as_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let digest = site(path);
    let output = airlock(path, &["audit", "explain", &digest, "--audit-log", "log", "--proofs"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with(&digest) && text.contains("policy.write  success"), "{text}");
    assert!(text.contains("| c2sp.org/tlog-proof@v1\n"), "{text}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("checked with the log's own key only"));
    let key = std::fs::read_to_string(path.join("log/key.pub")).unwrap();
    let explain =
        ["audit", "explain", &digest, "--audit-log", "log", "--output", "json", "--key", key.trim()];
    let output = airlock(path, &explain);
    assert!(output.status.success() && output.stderr.is_empty());
    let history: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&history["digest"], &history["ownKey"]), (&Value::from(digest), &Value::from(false)));
    assert_eq!(history["events"][0]["event"]["event"], "policy.write");
    assert!(history["events"][0].get("proof").is_none());

    let nowhere = format!("sha256:{}", "0".repeat(64));
    fails(
        path,
        &["audit", "explain", &nowhere, "--audit-log", "log"],
        4,
        "list the events with `airlock audit log`",
    );
    fails(path, &["audit", "explain", "v1.2", "--audit-log", "log"], 2, "64 lower-case hexadecimal digits");
    fails(path, &["audit", "explain", &nowhere, "--audit-log", "none"], 4, "none");
    fails(path, &["audit", "explain", &nowhere], 2, "no audit log was given");
}

#[test]
fn a_report_is_written_atomically_in_each_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    site(path);
    for framework in ["nist-800-53r5", "cmmc-l2", "srg-container"] {
        for (format, begins) in
            [("html", "<!DOCTYPE html>"), ("csv", "\"record\""), ("json", "{"), ("oscal", "{")]
        {
            let report =
                ["audit", "report", "--audit-log", "log", "--framework", framework, "--format", format];
            let printed = airlock(path, &report);
            assert!(printed.status.success() && printed.stdout.starts_with(begins.as_bytes()), "{format}");
            let saved = airlock(path, &[&report[..], &["--out", "report"]].concat());
            assert!(String::from_utf8_lossy(&saved.stdout).contains("3 of 3 leaves"));
            let file = if format == "oscal" { "report.json" } else { "report" };
            assert_eq!(std::fs::read(path.join(file)).unwrap(), printed.stdout, "{framework} {format}");
        }
    }
    let names: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with(".tmp")), "{names:?}");
}

#[test]
fn a_report_covers_the_requested_period() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    site(path);
    let report = |more: &[&str]| {
        let all =
            [&["audit", "report", "--audit-log", "log", "--framework", "cmmc-l2", "--output", "json"], more];
        let output = airlock(path, &all.concat());
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    assert_eq!(report(&[])["counts"]["relevant"], 3);
    assert_eq!(report(&["--since", "2020-01-01"])["counts"]["relevant"], 3);
    assert_eq!(report(&["--until", "2020-01-01"])["counts"]["after"], 3);
    let none = report(&["--since", "2999-01-01T00:00:00+02:00"]);
    assert_eq!(
        (&none["counts"]["before"], &none["period"]["since"]),
        (&3.into(), &"2998-12-31T22:00:00Z".into())
    );
    let report = ["audit", "report", "--audit-log", "log", "--framework"];
    fails(path, &[&report[..], &["iso-27001"]].concat(), 2, "srg-container");
    fails(path, &[&report[..], &["cmmc-l2", "--since", "today"]].concat(), 2, "expected a date");
    fails(path, &[&report[..], &["cmmc-l2", "--out", "no/where"]].concat(), 4, "no/where");
}

#[test]
fn o14_a_report_of_a_period_without_events_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    site(path);
    let report = ["audit", "report", "--audit-log", "log", "--framework", "cmmc-l2"];
    let none = ["--since", "2999-01-01"];
    let words = "The log has no event in this period";
    for format in ["html", "json", "csv", "oscal"] {
        let output = airlock(path, &[&report[..], &none, &["--format", format]].concat());
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{format}");
        if ["html", "json"].contains(&format) {
            assert!(String::from_utf8_lossy(&output.stdout).contains(words), "{format}");
        }
    }
    let saved = airlock(path, &[&report[..], &none, &["--out", "none.html"]].concat());
    assert!(String::from_utf8_lossy(&saved.stdout).starts_with(words));
    let saved = airlock(path, &[&report[..], &none, &["--out", "none.json", "--output", "json"]].concat());
    let summary: serde_json::Value = serde_json::from_slice(&saved.stdout).unwrap();
    assert!(summary["notice"].as_str().unwrap().starts_with(words));
    let some = airlock(path, &report);
    assert!(!String::from_utf8_lossy(&[some.stdout, some.stderr].concat()).contains(words));
}

#[test]
fn o29_oscal_files_end_in_json_and_the_format_follows_from_the_file_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    site(path);
    let report = ["audit", "report", "--audit-log", "log", "--framework", "cmmc-l2", "--out"];
    let begins = |name: &str, text: &str| {
        let file = std::fs::read_to_string(path.join(name)).unwrap();
        assert!(file.contains(text), "{name}: {file}");
    };
    let saved = airlock(path, &[&report[..], &["x.oscal"]].concat());
    let said = String::from_utf8_lossy(&saved.stdout).into_owned();
    assert!(said.contains("wrote `x.oscal.json`") && said.contains("added `.json`"), "{said}");
    assert!(!path.join("x.oscal").exists());
    begins("x.oscal.json", "\"assessment-results\"");
    let saved = airlock(path, &[&report[..], &["r.xml", "--format", "oscal"]].concat());
    assert!(saved.status.success() && !path.join("r.xml").exists());
    begins("r.xml.json", "\"assessment-results\"");
    for (name, text) in [
        ("a.csv", "\"record\""),
        ("a.json", "airlock-audit-report/"),
        ("a.html", "<!DOCTYPE html>"),
        ("a", "<!DOCTYPE"),
    ] {
        let saved = airlock(path, &[&report[..], &[name]].concat());
        assert!(saved.status.success() && !String::from_utf8_lossy(&saved.stdout).contains("added `.json`"));
        begins(name, text);
    }
}

#[test]
fn o26_explain_accepts_names_and_digest_prefixes_and_the_log_shows_reasons() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let digest = site(path);
    let explain = |what: &str| {
        let output = airlock(path, &["audit", "explain", what, "--audit-log", "log"]);
        String::from_utf8(output.stdout).unwrap()
    };
    let whole = explain(&digest);
    assert_eq!(explain(&digest[..20]), whole);
    assert_eq!(explain(&digest[7..19]), whole);
    let events =
        airlock(path, &["audit", "log", "--audit-log", "log", "--event", "policy", "--output", "json"]);
    let events: Value = serde_json::from_slice(&events.stdout).unwrap();
    let name = events[0]["event"]["object"]["name"].as_str().unwrap();
    let named = explain(name);
    assert!(named.starts_with(&digest) && named.contains(&format!("is `{name}`")), "{named}");
    let refused = airlock(path, &["verify", "nowhere", "--audit-log", "log"]);
    assert!(!refused.status.success());
    let log = airlock(path, &["audit", "log", "--audit-log", "log", "--event", "verify"]);
    let log = String::from_utf8(log.stdout).unwrap();
    assert!(
        log.contains("verify")
            && log.lines().any(|line| line.starts_with("         ") && line.contains("nowhere")),
        "{log}"
    );
}

#[test]
fn o26_with_the_store_a_layer_and_a_reference_lead_to_the_image() {
    let folder = crate::signing::site();
    let path = folder.path();
    let image = std::fs::read_to_string(path.join("layout/index.json")).unwrap();
    let image: Value = serde_json::from_str(&image).unwrap();
    let image = image["manifests"][0]["digest"].as_str().unwrap();
    let manifest = std::fs::read_to_string(path.join("layout/blobs/sha256").join(&image[7..])).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let blob = manifest["config"]["digest"].as_str().unwrap();
    let explain = |what: &str| {
        let output = airlock(path, &["audit", "explain", what, "--store", "store", "--output", "json"]);
        let said = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|_| panic!("{what}: {said}"))
    };
    let explained = explain(blob);
    assert_eq!(explained["carriers"][0]["digest"], image);
    assert_eq!(explained["carriers"][0]["kind"], "image");
    assert_eq!(explained["events"][0]["event"]["event"], "mirror");
    assert_eq!(
        explain(&blob[..24])["digest"],
        blob,
        "a layer that no event names, by a prefix of its digest"
    );
    let named = explain(crate::signing::IMAGE);
    assert_eq!((&named["digest"], &named["name"]), (&image.into(), &crate::signing::IMAGE.into()));
    fails(path, &["audit", "explain", blob, "--audit-log", "store/log"], 4, "is about");
}

#[test]
fn o14_a_report_for_standard_output_is_printed_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    site(path);
    let report = ["audit", "report", "--framework", "cmmc-l2", "--audit-log", "log", "--format", "csv"];
    let printed = airlock(path, &report).stdout;
    let output = airlock(path, &[&report[..], &["--out", "-"]].concat());
    assert!(output.status.success() && output.stdout == printed && !path.join("-").exists());
    fails(path, &[&report[..], &["--out", "/dev/stdout"]].concat(), 2, "`-` for standard output");
}
