//! The sender's log there and back again: drives that carry it, sites that remember and answer, and an old drive.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cli::{airlock, fails};

const HEAD: &str = "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {name: a}\n";

fn done(path: &Path, arguments: &[&str]) -> String {
    let output = airlock(path, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(path: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&done(path, &[arguments, &["--output", "json"]].concat())).unwrap()
}

/// Mirrors a file with this content, and packs it.
fn deliver(path: &Path, content: &str, drive: &str) -> Value {
    fs::write(path.join("a.txt"), content).unwrap();
    done(path, &["mirror", "--store", "near", "--update"]);
    json(path, &["pack", "--store", "near", "--to", drive, "--key", "k.key"])
}

/// A sender with a first drive, and the trust file for a site.
fn sender(path: &Path) -> Value {
    fs::write(path.join("airlock.yaml"), format!("{HEAD}sources: [{{files: [{{path: a.txt}}]}}]\n")).unwrap();
    done(path, &["keys", "generate", "k"]);
    let packed = deliver(path, "first", "one");
    done(path, &["keys", "trust", "k.pub", "--log", "near/log/key.pub"]);
    packed
}

const IMPORT: [&str; 5] = ["import", "--trust", "trust.yaml", "--store", "far"];

#[test]
fn the_log_travels_is_cosigned_returned_and_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let first = sender(path);
    let second = deliver(path, "second", "two");
    let entries = |packed: &Value| packed["log"]["size"].as_u64().unwrap();
    assert!(entries(&second) > entries(&first));
    for (drive, known) in [("one", 0), ("two", entries(&first))] {
        let log = &json(path, &[&IMPORT[..], &[drive]].concat())["log"];
        assert_eq!((log["verdict"].as_str(), log["known"].as_u64()), (Some("proved"), Some(known)), "{log}");
    }
    let returned = json(path, &["return", "--store", "far", "--to", "back"]);
    assert_eq!(returned["logs"][0][1], second["log"]["size"]);
    let site = returned["site"].as_str().unwrap();
    let key = returned["key"].as_str().unwrap();
    // Without the site's key in the trust file it is not believed.
    let heed = ["acknowledge", "back", "--store", "near", "--trust"];
    fails(path, &[&heed[..], &["trust.yaml"]].concat(), 3, "is no witness of the trust file");
    done(path, &["keys", "trust", "k.pub", "--witness", key, "--to", "sites.yaml"]);
    let heard = json(path, &[&heed[..], &["sites.yaml"]].concat());
    assert_eq!((&heard[0]["site"], &heard[0]["size"]), (&Value::from(site), &second["log"]["size"]));
    let third = deliver(path, "third", "three");
    assert_eq!(third["log"]["acknowledged"][0][1], second["log"]["size"]);
    let log = path.join("three/log");
    assert!(
        log.join(format!("consistency-from-{}", entries(&second))).exists()
            && log.join("witness").join(site).exists()
    );
    let shown = done(path, &["inspect", "three"]);
    assert!(shown.contains(&format!("{site} acknowledged {}", entries(&second))), "{shown}");
    let proved = done(path, &["verify", "three", "--trust", "trust.yaml", "--store", "far"]);
    assert!(proved.contains(&format!("{} of them known before", entries(&second))), "{proved}");
    done(path, &[&IMPORT[..], &["three"]].concat());
}

#[test]
fn an_old_drive_is_an_alarm_and_stays_out_until_it_is_released() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let set = sender(path)["set"].as_str().unwrap().to_owned();
    deliver(path, "second", "two");
    done(path, &[&IMPORT[..], &["two"]].concat());
    let before = done(path, &["store", "list", "--store", "far"]);
    let old = [&IMPORT[..], &["one"]].concat();
    fails(path, &[&old[..], &["--dry-run"]].concat(), 7, "rollback");
    assert!(done(path, &["quarantine", "list", "--store", "far"]).contains("no drive ever"));
    fails(path, &old, 7, "rollback");
    fails(path, &old, 7, "quarantined since");
    fails(path, &["verify", "one", "--trust", "trust.yaml", "--store", "far"], 7, "quarantined");
    assert_eq!(done(path, &["store", "list", "--store", "far"]), before);
    let events = json(path, &["audit", "log", "--store", "far", "--event", "alarm"]);
    let reasons: Vec<_> =
        events.as_array().unwrap().iter().map(|event| &event["event"]["outcome"]["reason"]).collect();
    assert_eq!(reasons, ["rolled-back", "rolled-back"]);
    let listed = done(path, &["quarantine", "list", "--store", "far"]);
    assert!(listed.contains(&format!("{set} held")) && listed.contains("rollback"), "{listed}");
    let release = ["quarantine", "release", &set, "--store", "far", "--reason"];
    fails(path, &[&release[..], &[" "]].concat(), 2, "printable");
    assert!(
        done(path, &[&release[..], &["the sender confirms it"]].concat()).contains("the sender confirms it")
    );
    fails(path, &[&release[..], &["again"]].concat(), 4, "not quarantined");
    let taken = airlock(path, &old);
    assert!(taken.status.success());
    assert!(String::from_utf8_lossy(&taken.stderr).contains("released in spite of an alarm"));
    let newest = event(path, "far", "import");
    assert_eq!(newest["evidence"]["log"], "alarm-released");
    assert!(newest["evidence"]["alarm"].as_str().is_some_and(|alarm| !alarm.is_empty()));
}

/// The newest event of a kind.
fn event(path: &Path, store: &str, kind: &str) -> Value {
    let found = json(path, &["audit", "log", "--store", store, "--event", kind, "--limit", "1"]);
    found[0]["event"].clone()
}

#[test]
fn a_pack_that_ends_after_its_event_was_logged_is_logged_as_failed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    assert_eq!(event(path, "near", "pack")["outcome"]["result"], "success");
    // The log is written after the volumes, and has no room here.
    fs::create_dir(path.join("two")).unwrap();
    fs::write(path.join("two/log"), "in the way").unwrap();
    let packed = airlock(path, &["pack", "--store", "near", "--to", "two", "--key", "k.key"]);
    assert!(!packed.status.success());
    let newest = event(path, "near", "pack");
    assert_eq!((&newest["outcome"]["result"], &newest["object"]["name"]), (&"failed".into(), &"a".into()));
}

#[test]
fn a_trust_file_asks_for_a_log_or_says_that_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    done(path, &["keys", "trust", "k.pub", "--to", "plain.yaml"]);
    let taken = airlock(path, &["import", "one", "--trust", "plain.yaml", "--store", "far"]);
    assert!(taken.status.success());
    assert!(
        String::from_utf8_lossy(&taken.stderr).contains("an older drive cannot be told from a newer one")
    );
    let checked = done(path, &["trust", "check", "trust.yaml"]);
    assert!(checked.contains("each drive must carry one of these logs"), "{checked}");
    fs::rename(path.join("one/log"), path.join("log")).unwrap();
    fails(path, &[&IMPORT[..], &["one", "--without-log"]].concat(), 4, "is not there");
}
