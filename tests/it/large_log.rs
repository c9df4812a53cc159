//! A log of very many events: the memory use of every command that reads it does not depend on its size.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use audit::{Draft, Ending, EventSource, EventType, Journal, Outcome};
use serde_json::Value;

/// More events than older reports could contain. `AIRLOCK_TEST_EVENTS` sets another number.
const EVENTS: u64 = 110_000;
const BATCH: u64 = 4096;
const MIB: u64 = 1 << 20;
/// Enough for the program itself, SQLite's caches, tiles of the log and the lists of a report, and less than the size of
/// the log's entries.
const MOST: u64 = 64 * MIB;

fn digest(number: u64) -> String {
    format!("sha256:{:064x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The events of a registry with pushes and an attack. Each pushed digest was verified before.
fn event(number: u64) -> (Draft, Outcome) {
    let name = format!("team/application-{}:v{number}", number % 50);
    match number % 10 {
        0..5 => {
            let mut draft = Draft::new(EventType::Push, "manifest", &name);
            draft.by(None, Some("192.0.2.7"));
            (draft, Outcome::because(Ending::Refused, "http-401", "a password is needed"))
        }
        5..7 => {
            let mut draft = Draft::new(EventType::Verify, "image", &name);
            draft.digests([digest(number / 10 * 2 + number % 10 - 5)]);
            draft.evidence("key", &"release");
            draft.evidence("trust", &digest(1));
            (draft, Outcome::success())
        }
        7..9 => {
            let mut draft = Draft::new(EventType::Push, "manifest", &name);
            draft.digests([digest(number / 10 * 2 + number % 10 - 7)]);
            draft.by(Some("bob"), Some("192.0.2.8"));
            (draft, Outcome::success())
        }
        _ => {
            let mut draft = Draft::new(EventType::Sign, "image", "team/base:v1");
            draft.digests([digest(3)]);
            draft.evidence("key", &"release");
            (draft, Outcome::success())
        }
    }
}

/// Writes a log with the start of a registry, `count` events, and the push of a manifest that was not verified.
fn make(log: &Path, count: u64) {
    let source = EventSource::of_process("airlock", "0");
    let journal = Journal::open(log, source).unwrap();
    let now = time::OffsetDateTime::now_utc();
    journal.record(Draft::new(EventType::ServeStart, "store", "/srv/store"), &Outcome::success()).unwrap();
    for begin in (0..count).step_by(usize::try_from(BATCH).unwrap()) {
        let all: Vec<(Draft, Outcome)> = (begin..count.min(begin + BATCH)).map(event).collect();
        let all = all.iter().map(|(draft, outcome)| (draft.clone(), outcome)).collect();
        journal.record_at(now, all).unwrap();
    }
    let mut draft = Draft::new(EventType::Push, "manifest", "team/unknown:v1");
    draft.digests([format!("sha256:{}", "f".repeat(64))]);
    draft.by(Some("bob"), Some("192.0.2.8"));
    journal.record(draft, &Outcome::success()).unwrap();
}

/// Runs a command with its output in the file `out`; returns its peak memory.
fn memory(folder: &Path, arguments: &[&str], out: &str) -> u64 {
    let out = std::fs::File::create(folder.join(out)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_airlock"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdout(out)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut most = 0;
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
        most = most.max(now * 1024);
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{arguments:?}");
            assert!(most > MIB, "the memory use was not measured");
            return most;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

const COMMANDS: &[&[&str]] = &[
    &["audit", "index"],
    &["audit", "log", "--output", "jsonl"],
    &["audit", "log", "--outcome", "refused", "--limit", "50000", "--output", "json"],
    &["audit", "verify"],
    &["audit", "explain", "team/base:v1", "--output", "json"],
    &["audit", "report", "--framework", "nist-800-53r5", "--out", "report.html"],
    &["audit", "report", "--framework", "nist-800-53r5", "--out", "report.json"],
    &["audit", "report", "--framework", "cmmc-l2", "--out", "report.csv"],
    &["audit", "report", "--framework", "srg-container", "--out", "report.oscal.json"],
];

#[test]
fn a6_every_reader_of_a_log_has_bounded_memory_and_counts_every_event() {
    let events = std::env::var("AIRLOCK_TEST_EVENTS").ok().map_or(EVENTS, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    make(&path.join("log"), events);
    for (number, command) in COMMANDS.iter().enumerate() {
        let most = memory(path, &[command, &["--audit-log", "log"][..]].concat(), &format!("out-{number}"));
        println!("{events} events, {} MiB: {}", most / MIB, command.join(" "));
        assert!(most < MOST, "{command:?} used {} MiB", most / MIB);
    }
    let json: Value = serde_json::from_slice(&std::fs::read(path.join("report.json")).unwrap()).unwrap();
    let leaves = events + 3;
    let counts = &json["counts"];
    assert_eq!((counts["leaves"].as_u64(), counts["relevant"].as_u64()), (Some(leaves), Some(leaves)));
    let listed = json["leaves"].as_array().unwrap().len() as u64;
    assert_eq!(json["leavesLeftOut"].as_u64(), Some(leaves - listed));
    assert!(listed < 2000, "{listed}");
    let all = json["checks"].as_array().unwrap();
    let check = |name: &str| all.iter().find(|check| check["name"] == name).unwrap();
    // The only manifest that was not verified is found among all the others, and listed.
    let pushes = check("pushes-judged");
    assert_eq!(pushes["exceptions"], serde_json::json!([leaves - 1]));
    assert_eq!(pushes["expected"].as_u64(), Some(events / 10 * 2 + 1));
    let size = |name: &str| std::fs::metadata(path.join(name)).unwrap().len();
    assert!(size("report.html") < 16 * MIB, "the page has {} bytes", size("report.html"));
    let page = std::fs::read_to_string(path.join("report.html")).unwrap();
    assert!(page.contains("The other") && page.contains("<code>airlock audit log --event EVENT"));
    let printed = |number: usize| std::fs::read(path.join(format!("out-{number}"))).unwrap();
    assert_eq!(String::from_utf8(printed(1)).unwrap().lines().count() as u64, leaves);
    let newest: Value = serde_json::from_slice(&printed(2)).unwrap();
    assert_eq!(
        (newest.as_array().unwrap().len(), newest[0]["event"]["outcome"]["result"].as_str()),
        (50_000, Some("refused"))
    );
    let history: Value = serde_json::from_slice(&printed(4)).unwrap();
    let listed = history["events"].as_array().unwrap().len() as u64;
    // All signatures, one verification and one push.
    assert_eq!(listed + history["eventsLeftOut"].as_u64().unwrap(), events / 10 + 2);
}
