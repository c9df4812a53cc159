//! Untrusted text in every output format: it cannot hide text, forge lines or change the reading direction.

use std::path::Path;

use serde_json::Value;
use tlog::note::KeyKind;
use tlog::text::is_plain;
use tlog::{Log, SigningKey};

use crate::cli::airlock;
use crate::signing::{site, works};

const EVIL: &str = "x\nhint: forged\r\u{1b}[2J\u{9b}31m\u{85}\u{202e}\u{2066}\u{2028}\u{200b}\u{feff}y";

/// Returns the output of a command, which must not contain invisible characters except line ends.
fn printed(path: &Path, arguments: &[&str]) -> String {
    let output = airlock(path, arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
    for text in [&text, &said] {
        assert!(is_plain(&text.replace(['\n', '\t', '\r'], "")), "{arguments:?}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("hint: forged")), "{arguments:?}: {text}");
    }
    text
}

/// Writes a log with unescaped text in every field, as another program may write it.
fn log(path: &Path) {
    let pkcs8 = SigningKey::generate().unwrap();
    let key = || SigningKey::new("log.example", KeyKind::Ed25519, &pkcs8).unwrap();
    let log = Log::create(&path.join("log"), key()).unwrap();
    std::fs::write(path.join("log/key.pub"), format!("{}\n", log.verifier())).unwrap();
    let digest = format!("sha256:{:064x}", 1);
    let entry = serde_json::json!({
        "v": 1, "time": EVIL, "time_source": EVIL, "event": "push", "host": EVIL,
        "actor": {"user": EVIL, "uid": null, "address": EVIL},
        "component": {"name": EVIL, "version": EVIL},
        "object": {"kind": EVIL, "name": EVIL, "digests": [digest]},
        "outcome": {"result": "refused", "reason": EVIL, "detail": EVIL},
        "evidence": {EVIL: EVIL},
    });
    log.append(vec![serde_json::to_vec(&entry).unwrap()]).unwrap();
}

#[test]
fn a14_text_from_a_log_is_escaped_in_every_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    log(path);
    let search = ["audit", "log", "--audit-log", "log"];
    // The event, its reason, and the line about the log.
    assert_eq!(printed(path, &search).lines().count(), 3);
    for format in ["json", "jsonl"] {
        let text = printed(path, &[&search[..], &["--output", format]].concat());
        let value: Value = serde_json::from_str(&text).unwrap();
        let event = if format == "json" { &value[0]["event"] } else { &value["event"] };
        assert_eq!(event["actor"]["user"], EVIL, "JSON keeps the value");
    }
    let digest = format!("sha256:{:064x}", 1);
    let text = printed(path, &["audit", "explain", &digest, "--audit-log", "log"]);
    assert!(text.contains(r"x\u{a}hint: forged\u{d}\u{1b}[2J\u{9b}31m\u{85}\u{202e}"), "{text}");
    printed(path, &["audit", "verify", "--audit-log", "log"]);
    for format in ["json", "csv", "html", "oscal"] {
        let report = ["audit", "report", "--audit-log", "log", "--framework", "nist-800-53r5", "--format"];
        printed(path, &[&report[..], &[format]].concat());
    }
}

#[test]
fn a14_text_from_a_drive_is_escaped_in_every_output() {
    let folder = site();
    let path = folder.path();
    let text = std::fs::read_to_string(path.join("airlock.lock")).unwrap();
    let mut lock: Value = serde_json::from_str(&text).unwrap();
    lock["items"][0]["source"] = EVIL.into();
    std::fs::write(path.join("airlock.lock"), lock.to_string()).unwrap();
    works(path, &["pack", "--store", "store", "--key", "release.key", "--to", "drive"]);
    let before = printed(path, &["inspect", "drive"]);
    assert!(before.contains(r"x\u{a}hint: forged"), "{before}");
    for format in ["json", "html"] {
        printed(path, &["inspect", "drive", "--output", format]);
    }
    printed(path, &["import", "drive", "--trust", "release.yaml", "--store", "far", "--dry-run"]);
}

/// The names of logs, witnesses and sets must not contain invisible characters.
#[test]
fn a14_names_with_invisible_characters_are_refused() {
    for c in ['\n', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{2028}', '\u{200b}', '\u{feff}'] {
        let name = format!("log{c}.example");
        assert!(SigningKey::new(&name, KeyKind::Ed25519, &SigningKey::generate().unwrap()).is_err(), "{c:?}");
        let note = tlog::Note::new(format!("{name}\n0\n{}\n", tlog::Hash::empty()));
        assert!(note.is_err() || tlog::Checkpoint::read(&note.unwrap()).is_err(), "{c:?}");
    }
}
