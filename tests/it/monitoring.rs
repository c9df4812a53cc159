//! The metrics and the access log of `airlock serve`, and the alert rules in the documentation.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::Value;

use crate::signing::site;

/// A registry with metrics, which ends with the test.
struct Served {
    child: Child,
    registry: String,
    metrics: String,
}

impl Served {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let notes = std::fs::File::create(folder.join("notes")).unwrap();
        let usual = ["serve", "--store", "store", "--listen", "127.0.0.1:0", "--address-file", "address"];
        let child = Command::new(env!("CARGO_BIN_EXE_airlock"))
            .args(usual)
            .args(["--metrics-listen", "127.0.0.1:0"])
            .args(arguments)
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(notes)
            .spawn()
            .unwrap();
        let mut served = Self { child, registry: String::new(), metrics: String::new() };
        wait_for("airlock serve did not start", || folder.join("address").exists());
        let url = std::fs::read_to_string(folder.join("address")).unwrap();
        served.registry = url.trim().split("//").nth(1).unwrap().to_owned();
        let notes = std::fs::read_to_string(folder.join("notes")).unwrap();
        let url = notes.split("metrics http://").nth(1).unwrap_or_else(|| panic!("{notes}"));
        served.metrics = url.split('/').next().unwrap().to_owned();
        served
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    fn end(mut self) {
        self.signal("-TERM");
        assert!(self.child.wait().unwrap().success());
    }

    fn metrics(&self) -> String {
        ask(&self.metrics, "GET /metrics", "")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(address: &str, request: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let text = format!("{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn wait_for(reason: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{reason}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn metrics_count_requests_without_the_names_that_clients_choose() {
    let folder = site();
    let served = Served::start(folder.path(), &[]);
    assert!(
        ask(&served.registry, "GET /metrics", "").starts_with("HTTP/1.1 404 "),
        "only on their own address"
    );
    for request in [
        "GET /v2/disk.example/team/app/manifests/v1",
        "GET /v2/very-secret-name/manifests/v1?ns=quay.io",
        "BREW /v2/very-secret-name/manifests/v1",
        "GET /very-secret-name",
    ] {
        ask(&served.registry, request, "user-agent: very-secret-name\r\n");
    }
    wait_for("the store was not measured", || !served.metrics().contains("_store_free_bytes 0\n"));
    let text = served.metrics();
    for line in [
        r#"requests_total{route="manifest",method="GET",status="2xx"} 1"#,
        r#"requests_total{route="manifest",method="GET",status="4xx"} 1"#,
        r#"requests_total{route="other",method="other",status="4xx"} 1"#,
        r#"response_seconds_count{route="manifest",method="GET"} 2"#,
        r#"sent_bytes_total{route="manifest"} "#,
        "missing_manifests_total 1",
        "transfers_active 0",
        "transfers_limit 512",
        "store_blobs 2",
        "uploads 0",
        r#"audit_records_total{outcome="written"} 0"#,
    ] {
        assert!(text.contains(&format!("airlock_registry_{line}")), "{line}\n{text}");
    }
    assert!(!text.contains("secret") && !text.contains("quay"), "{text}");
    served.end();
}

/// The metrics of a registry that answered a request, and of one with TLS.
fn metrics_of_two_registries() -> String {
    let folder = site();
    let plain = Served::start(folder.path(), &[]);
    ask(&plain.registry, "GET /v2/", "");
    let mut text = plain.metrics();
    plain.end();
    std::fs::remove_file(folder.path().join("address")).unwrap();
    let secure = Served::start(folder.path(), &["--self-signed"]);
    text += &secure.metrics();
    secure.end();
    text
}

#[test]
fn the_alert_rules_in_the_documentation_use_metrics_that_a_registry_serves() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/monitoring.md")).unwrap();
    let yaml = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let file = gostd::yaml::documents(yaml, &gostd::Limits::default()).unwrap().remove(0);
    let rules: Vec<&Value> = file["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    assert!(rules.len() >= 10);
    let text = metrics_of_two_registries();
    let declared = Regex::new(r"(?m)^# TYPE (\w+) ").unwrap();
    let declared: BTreeSet<&str> =
        declared.captures_iter(&text).map(|found| found.extract::<1>().1[0]).collect();
    let (used, label) = (Regex::new(r"airlock_registry_\w+").unwrap(), Regex::new(r"(\w+)=~?\x22").unwrap());
    let mut alerts = BTreeSet::new();
    for rule in rules {
        let (alert, expression) = (rule["alert"].as_str().unwrap(), rule["expr"].as_str().unwrap());
        assert!(alerts.insert(alert), "`{alert}` exists twice");
        let known: BTreeSet<&str> = ["alert", "expr", "for", "labels", "annotations"].into();
        assert!(rule.as_object().unwrap().keys().all(|key| known.contains(key.as_str())), "{alert}");
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning", "info"].contains(&severity), "{alert}");
        assert!(rule["annotations"]["summary"].as_str().unwrap().ends_with('.'), "{alert}");
        assert_eq!(expression.matches('(').count(), expression.matches(')').count(), "{alert}");
        let metrics: Vec<&str> = used.find_iter(expression).map(|found| found.as_str()).collect();
        assert!(!metrics.is_empty() || expression.starts_with("up{"), "{alert}");
        for metric in metrics {
            let family =
                ["_total", "_bucket"].iter().find_map(|end| metric.strip_suffix(end)).unwrap_or(metric);
            assert!(declared.contains(family), "{alert}: `{metric}` is not in\n{text}");
        }
        for found in label.captures_iter(expression) {
            assert!(
                ["job", "status", "route", "method", "outcome", "decision", "kind"].contains(&&found[1]),
                "{alert}"
            );
        }
    }
    // The table lists exactly the metrics.
    for family in declared.iter().filter_map(|family| family.strip_prefix("airlock_registry_")) {
        assert!(
            page.contains(&format!("`{family}`")) || page.contains(&format!("`{family}_total`")),
            "`{family}`"
        );
    }
}

#[test]
fn the_access_log_has_a_line_for_each_request_and_is_reopened_when_it_is_rotated() {
    let folder = site();
    let path = folder.path();
    let (log, old) = (path.join("access.log"), path.join("access.log.1"));
    let logging =
        ["--access-log", "access.log", "--access-log-format", "json", "--trusted-proxy", "127.0.0.0/8"];
    let served = Served::start(path, &[&logging[..], &["--anonymous-push"]].concat());
    let lines = |file: &Path| -> Vec<Value> {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let answer = ask(
        &served.registry,
        "GET /v2/team/app/manifests/v1?ns=disk.example",
        "x-forwarded-for: 192.0.2.7\r\nx-request-id: proxy-1\r\nuser-agent: a\"b\r\n",
    );
    assert!(answer.contains("x-request-id: proxy-1\r\n"), "{answer}");
    wait_for("no line was written", || lines(&log).len() == 1);
    let line = &lines(&log)[0];
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    for (member, expected) in [
        ("client", "192.0.2.7".into()),
        ("user", Value::Null),
        ("method", "GET".into()),
        ("target", "/v2/team/app/manifests/v1?ns=disk.example".into()),
        ("status", 200.into()),
        ("sentBytes", body.len().into()),
        ("end", "complete".into()),
        ("requestId", "proxy-1".into()),
        ("userAgent", "a\"b".into()),
    ] {
        assert_eq!(line[member], expected, "{member}");
    }
    std::fs::rename(&log, &old).unwrap();
    served.signal("-USR1");
    wait_for("the file was not reopened", || log.exists());
    let answer = ask(&served.registry, "GET /v2/", "x-request-id: a b\r\n");
    assert!(answer.contains("x-request-id: ") && !answer.contains("x-request-id: a b"), "{answer}");
    served.end();
    assert_eq!((lines(&old).len(), lines(&log).len()), (1, 1), "the end writes the last line");
    assert_eq!(lines(&log)[0]["target"], "/v2/");
}
