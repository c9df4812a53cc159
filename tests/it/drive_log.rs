//! The sender's log: drives that carry it, sites that record and cosign it, return media, and old drives.

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

/// Creates a sender with a first drive, and the trust file for a site.
fn sender(path: &Path) -> Value {
    fs::write(path.join("airlock.yaml"), format!("{HEAD}sources: [{{files: [{{path: a.txt}}]}}]\n")).unwrap();
    done(path, &["keys", "generate", "k"]);
    let packed = deliver(path, "first", "one");
    done(path, &["keys", "trust", "k.pub", "--log", "near/log/key.pub"]);
    packed
}

const IMPORT: [&str; 5] = ["import", "--trust", "trust.yaml", "--store", "far"];

#[test]
fn the_log_is_carried_cosigned_returned_and_acknowledged() {
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
    // A cosignature is rejected if the trust file does not contain the site's key.
    let acknowledge = ["acknowledge", "back", "--store", "near", "--trust"];
    fails(path, &[&acknowledge[..], &["trust.yaml"]].concat(), 3, "is not a witness in the trust file");
    done(path, &["keys", "trust", "k.pub", "--witness", key, "--to", "sites.yaml"]);
    let acknowledged = json(path, &[&acknowledge[..], &["sites.yaml"]].concat());
    assert_eq!(
        (&acknowledged[0]["site"], &acknowledged[0]["size"]),
        (&Value::from(site), &second["log"]["size"])
    );
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
    assert!(proved.contains(&format!("{} of them already known", entries(&second))), "{proved}");
    done(path, &[&IMPORT[..], &["three"]].concat());
}

#[test]
fn an_old_drive_raises_an_alarm_and_is_refused_until_it_is_released() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let set = sender(path)["set"].as_str().unwrap().to_owned();
    deliver(path, "second", "two");
    done(path, &[&IMPORT[..], &["two"]].concat());
    let before = done(path, &["store", "list", "--store", "far"]);
    let old = [&IMPORT[..], &["one"]].concat();
    fails(path, &[&old[..], &["--dry-run"]].concat(), 7, "rollback");
    assert!(done(path, &["quarantine", "list", "--store", "far"]).contains("no alarms recorded"));
    fails(path, &old, 7, "rollback");
    fails(path, &old, 7, "quarantined since");
    fails(path, &["verify", "one", "--trust", "trust.yaml", "--store", "far"], 7, "quarantined");
    let shown = done(path, &["quarantine", "show", &set, "--store", "far"]);
    assert!(shown.contains("as found:") && shown.contains("known checkpoint:"), "{shown}");
    assert_eq!(shown.matches("airlock.local +").count() + shown.matches("— log-").count(), 2, "{shown}");
    fails(
        path,
        &["quarantine", "show", "nobody", "--store", "far"],
        4,
        "no alarm recorded for a set or site",
    );
    assert_eq!(done(path, &["store", "list", "--store", "far"]), before);
    let events = json(path, &["audit", "log", "--store", "far", "--event", "alarm"]);
    let reasons: Vec<_> =
        events.as_array().unwrap().iter().map(|event| &event["event"]["outcome"]["reason"]).collect();
    assert_eq!(reasons, ["rolled-back", "rolled-back"]);
    let listed = done(path, &["quarantine", "list", "--store", "far"]);
    assert!(listed.contains(&format!("{set} quarantined")) && listed.contains("rollback"), "{listed}");
    let release = ["quarantine", "release", &set, "--store", "far", "--reason"];
    fails(path, &[&release[..], &[" "]].concat(), 2, "printable");
    assert!(
        done(path, &[&release[..], &["the sender confirms it"]].concat()).contains("the sender confirms it")
    );
    fails(path, &[&release[..], &["again"]].concat(), 4, "not quarantined");
    let imported = airlock(path, &old);
    assert!(imported.status.success());
    assert!(String::from_utf8_lossy(&imported.stderr).contains("released despite an alarm"));
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
fn a_pack_that_fails_after_its_event_was_logged_is_logged_as_failed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    assert_eq!(event(path, "near", "pack")["outcome"]["result"], "success");
    // The log is written after the volumes; a file is in its way here.
    fs::create_dir(path.join("two")).unwrap();
    fs::write(path.join("two/log"), "in the way").unwrap();
    let packed = airlock(path, &["pack", "--store", "near", "--to", "two", "--key", "k.key"]);
    assert!(!packed.status.success());
    let newest = event(path, "near", "pack");
    assert_eq!((&newest["outcome"]["result"], &newest["object"]["name"]), (&"failed".into(), &"a".into()));
}

#[test]
fn a_trust_file_requires_a_log_or_import_warns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    done(path, &["keys", "trust", "k.pub", "--to", "plain.yaml"]);
    let imported = airlock(path, &["import", "one", "--trust", "plain.yaml", "--store", "far"]);
    assert!(imported.status.success());
    assert!(String::from_utf8_lossy(&imported.stderr).contains("an older drive cannot be detected"));
    let checked = done(path, &["trust", "check", "trust.yaml"]);
    assert!(checked.contains("each drive must include one of these logs"), "{checked}");
    fs::rename(path.join("one/log"), path.join("log")).unwrap();
    fails(path, &[&IMPORT[..], &["one", "--without-log"]].concat(), 4, "is not in a folder `log`");
}

#[test]
fn missing_files_beside_the_volumes_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    let import = [&IMPORT[..], &["one", "--dry-run"]].concat();
    let said = |arguments: &[&str]| String::from_utf8_lossy(&airlock(path, arguments).stderr).into_owned();
    assert!(!said(&import).contains("is missing next to the volumes"));
    let mark = fs::read_dir(path.join("one")).unwrap().flatten().map(|entry| entry.path());
    let mark = mark.into_iter().find(|path| path.to_string_lossy().ends_with(".complete.json")).unwrap();
    for file in [mark.clone(), path.join("one/trusted_root.json")] {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let kept = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        for command in [&import[..], &["verify", "one", "--trust", "trust.yaml"]] {
            assert!(
                said(command).contains(&format!(
                    "`{name}`, which `airlock pack` writes last, is missing next to the volumes"
                )),
                "{command:?}"
            );
        }
        fs::write(&file, kept).unwrap();
    }
}

#[test]
fn a_lost_witness_folder_blocks_imports_until_it_is_reset() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    done(path, &[&IMPORT[..], &["one"]].concat());
    fs::rename(path.join("far/witness"), path.join("kept")).unwrap();
    for command in [&[&IMPORT[..], &["one"]].concat()[..], &["return", "--store", "far", "--to", "back"]] {
        fails(path, command, 7, "`airlock quarantine begin-anew");
    }
    fails(path, &["quarantine", "list", "--store", "far"], 7, "is missing");
    let anew = ["quarantine", "begin-anew", "--store", "far", "--reason", "the disk was lost"];
    assert!(done(path, &anew).contains("witness"));
    assert_eq!(event(path, "far", "alarm.release")["evidence"]["reason"], "the disk was lost");
    done(path, &[&IMPORT[..], &["one"]].concat());
    fails(path, &anew, 4, "this store has lost none of its witness records");
}

/// For users who can only read the store. As root, the test runs the commands as another user.
#[test]
fn lists_need_no_write_permission() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    done(path, &[&IMPORT[..], &["one"]].concat());
    let lists: [&[&str]; 2] =
        [&["store", "list", "--store", "far"], &["quarantine", "list", "--store", "far"]];
    let expected = lists.map(|list| done(path, list));
    let script = "chmod -R a-w far && chmod -R a+rX . && test $(id -u) -ne 0 && exec \"$@\"; \
                  exec setpriv --reuid 65534 --clear-groups --bounding-set -all \"$@\"";
    for (list, expected) in lists.into_iter().zip(expected) {
        let output = std::process::Command::new("sh")
            .args(["-c", script, "sh", env!("CARGO_BIN_EXE_airlock")])
            .args(list)
            .current_dir(path)
            .env("HOME", path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if said.contains("setpriv") {
            println!("skipped: cannot run as another user: {said}");
            return;
        }
        assert!(output.status.success(), "{list:?}: {said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }
}

#[test]
fn a_folder_that_cannot_be_created_is_reported_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_airlock"))
        .args(["verify", "one", "--trust", "trust.yaml"])
        .current_dir(path)
        .env_clear()
        .env("HOME", path)
        .env("TMPDIR", path.join("none"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the copy of the drive's log") && said.contains("TMPDIR"), "{said}");
}

fn copy(path: &Path, from: &str, to: &str) {
    let copied = std::process::Command::new("cp").args(["-a", from, to]).current_dir(path).status().unwrap();
    assert!(copied.success());
}

#[test]
fn o23_a_store_restored_from_a_backup_is_detected_before_it_packs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    copy(path, "near", "backup");
    deliver(path, "second", "two");
    done(path, &[&IMPORT[..], &["two"]].concat());
    done(path, &["return", "--store", "far", "--to", "back"]);
    fs::remove_dir_all(path.join("near")).unwrap();
    copy(path, "backup", "near");
    done(path, &["mirror", "--store", "near", "--update"]);
    let pack = ["pack", "--store", "near", "--key", "k.key", "--to"];
    let restored = "the store was restored from a backup";
    // Detected by this user's last drive, which is recorded outside the store.
    fails(path, &[&pack[..], &["three"]].concat(), 7, restored);
    assert_eq!(fs::read_dir(path.join("three")).unwrap().count(), 0, "nothing was written");
    assert_eq!(event(path, "near", "alarm")["outcome"]["reason"], "rolled-back");
    // On another machine: detected by the checkpoint that a site returned on the medium.
    fs::remove_dir_all(path.join(".local")).unwrap();
    fails(path, &[&pack[..], &["back"]].concat(), 7, restored);
    // New events form a different history, even if the log has more entries.
    for _ in 0..20 {
        done(path, &["store", "check", "--store", "near"]);
    }
    fails(path, &[&pack[..], &["back"]].concat(), 7, "does not continue the log that signed");
    // As described in docs/backup.md: a new log with a new key.
    fs::rename(path.join("near/log"), path.join("near/log.old")).unwrap();
    done(path, &["mirror", "--store", "near", "--update"]);
    done(path, &[&pack[..], &["back"]].concat());
    done(path, &["keys", "add", "--log", "near/log/key.pub", "--trust", "trust.yaml"]);
    done(path, &[&IMPORT[..], &["back"]].concat());
}

/// The history of a tag names the set that moved it, and what a drive brought is removed only on request.
#[test]
fn what_a_drive_brought_names_its_set_and_is_removed_only_with_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    let set = json(path, &[&IMPORT[..], &["one"]].concat())["set"].as_str().unwrap().to_owned();
    let far = ["--store", "far"];
    let listed = json(path, &[&["store", "list"], &far[..]].concat());
    let (repository, tag) = (listed[0]["repository"].as_str().unwrap(), listed[0]["tag"].as_str().unwrap());
    let history = json(path, &[&["tags", "history", repository], &far[..]].concat());
    assert!(history[0]["by"].as_str().unwrap().ends_with(&format!(": import of set {set}")), "{history}");
    let (name, manifest) =
        (format!("{repository}:{tag}"), format!("{repository}@{}", listed[0]["digest"].as_str().unwrap()));
    for name in [name.as_str(), &manifest, repository] {
        let remove = [&["store", "rm", name], &far[..]].concat();
        fails(path, &remove, 3, "because a drive brought");
    }
    let refused = event(path, "far", "store.remove");
    assert_eq!(refused["outcome"]["reason"], "protected");
    done(path, &[&["store", "rm", repository, "--force"], &far[..]].concat());
    assert_eq!(json(path, &[&["store", "list"], &far[..]].concat()), Value::Array(Vec::new()));
    // The drive restores it.
    done(path, &[&IMPORT[..], &["one"]].concat());
    assert_eq!(json(path, &[&["store", "list"], &far[..]].concat()), listed);
}
