//! Backups of a store that a registry serves, and their restoration.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use oci::Digest;
use serde_json::{Value, json};

use super::Registry;
use super::health::{ask, site_with_drive};
use crate::cli::{airlock, fails};
use crate::signing::works;

/// Pushes an image of one layer under a tag; the registry has acknowledged it.
fn push(registry: &Registry, repository: &str, note: &str, tag: &str) -> Digest {
    let mut described = Vec::new();
    for bytes in [b"{}".as_slice(), note.as_bytes()] {
        let digest = Digest::sha256(bytes);
        let post = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        assert_eq!(ask(registry, "POST", &post, "application/octet-stream", bytes).0, 201);
        let kind = oci::media_type::OCI_LAYER;
        described.push(json!({ "mediaType": kind, "digest": digest, "size": bytes.len() }));
    }
    let kind = oci::media_type::OCI_MANIFEST;
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": kind, "config": described[0], "layers": [described[1]] });
    let bytes = manifest.to_string().into_bytes();
    let put = format!("/v2/{repository}/manifests/{tag}");
    let (status, body, _) = ask(registry, "PUT", &put, kind, &bytes);
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
    Digest::sha256(&bytes)
}

fn names(path: &Path, store: &str) -> BTreeSet<String> {
    let listed: Value =
        serde_json::from_str(&works(path, &["store", "list", "--store", store, "--output", "json"])).unwrap();
    let line = |line: &Value| format!("{}:{} {}", line["repository"], line["tag"], line["digest"]);
    listed.as_array().unwrap().iter().map(line).collect()
}

/// Restores the backup, and checks everything in the restored store.
fn restored(path: &Path, from: &str, to: &str) -> BTreeSet<String> {
    works(path, &["store", "restore", from, "--store", to]);
    assert!(works(path, &["store", "check", "--store", to]).contains("0 faults"));
    works(path, &["audit", "verify", "--store", to]);
    let mark: Value =
        serde_json::from_slice(&fs::read(path.join(from).join("backup.json")).unwrap()).unwrap();
    fs::write(path.join("kept.txt"), mark["about"]["checkpoint"].as_str().unwrap()).unwrap();
    works(path, &["audit", "verify", "--store", to, "--checkpoint", "kept.txt"]);
    let log = ["audit", "log", "--store", to, "--event", "store.restore", "--output", "json"];
    let events: Vec<Value> = serde_json::from_str(&works(path, &log)).unwrap();
    assert!(events.last().is_some_and(|entry| entry["event"]["evidence"]["backupTime"].is_string()));
    names(path, to)
}

#[test]
fn i_a_backup_under_load_restores_to_an_intact_store_with_every_acknowledged_push_before_it() {
    let (folder, _) = site_with_drive();
    let path = folder.path();
    let registry = Registry::start(path, &["--store", "far", "--listen", "127.0.0.1:0"]);
    let (stop, pushed) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (registry, stop, pushed) = (&registry, &stop, &pushed);
            scope.spawn(move || {
                let repository = format!("load/app{worker}");
                for number in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let digest =
                        push(registry, &repository, &format!("{worker} {number}"), &format!("v{number}"));
                    pushed.fetch_add(1, Ordering::SeqCst);
                    if number % 3 == 0 {
                        let at = format!("/v2/{repository}/manifests/{digest}");
                        assert_eq!(ask(registry, "DELETE", &at, "a/b", b"").0, 202);
                    }
                }
            });
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..4 {
                let kept = push(&registry, "kept/app", &format!("kept {round}"), &format!("r{round}"));
                works(path, &["store", "gc", "--store", "far"]);
                works(path, &["store", "backup", "backup", "--store", "far"]);
                let names = restored(path, "backup", &format!("restored{round}"));
                assert!(names.iter().any(|name| name.contains(&kept.to_string())), "{names:?}");
            }
        }));
        stop.store(true, Ordering::SeqCst);
        outcome.unwrap();
    });
    assert!(pushed.into_inner() > 20);
    let states = fs::read_dir(path.join("backup")).unwrap().flatten();
    assert_eq!(states.filter(|entry| entry.file_name().to_string_lossy().starts_with("state-")).count(), 1);
    registry.stop();
}

#[test]
fn a_second_backup_copies_what_is_new_and_a_restoration_refuses_what_it_would_overwrite() {
    let (folder, blobs) = site_with_drive();
    let path = folder.path();
    let report = |arguments: &[&str], code: i32| -> Value {
        let output = airlock(path, &[&["store"], arguments, &["--output", "json"]].concat());
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let backup = ["backup", "backup", "--store", "far"];
    let numbers = |report: &Value| {
        (report["copied"]["blobs"].as_u64().unwrap(), report["reused"]["blobs"].as_u64().unwrap())
    };
    assert_eq!(numbers(&report(&[&backup[..], &["--dry-run"]].concat(), 0)), (51, 0));
    assert!(!path.join("backup").exists());
    assert_eq!(numbers(&report(&backup, 0)), (51, 0));
    assert_eq!(numbers(&report(&backup, 0)), (0, 51));
    let whole = restored(path, "backup", "restored");
    assert_eq!(whole, names(path, "far"));
    // Damage of the store is not copied; what an earlier backup has stays.
    let (digest, _) = blobs.iter().next().unwrap();
    let file =
        |store: &str| path.join(store).join("blobs/sha256").join(&digest.hex()[..2]).join(digest.hex());
    fs::write(file("far"), "damaged").unwrap();
    assert_ne!(fs::read(file("backup")).unwrap(), b"damaged", "the backup shares the file");
    assert_eq!(numbers(&report(&backup, 0)), (0, 51));
    let fresh = report(&["backup", "fresh", "--store", "far"], 3);
    assert_eq!((numbers(&fresh), &fresh["damaged"]), ((50, 0), &json!([digest])));
    // Damage of a backup is found when it is restored; the rest is restored.
    fs::write(file("backup"), "damaged").unwrap();
    let partial = report(&["restore", "backup", "--store", "partial"], 3);
    assert_eq!((&partial["restored"]["blobs"], &partial["damaged"]), (&json!(50), &json!([digest])));
    works(path, &["store", "heal", "drive", "--trust", "trust.yaml", "--store", "partial"]);
    assert!(works(path, &["store", "check", "--store", "partial"]).contains("0 faults"));

    fails(path, &["store", "restore", "backup", "--store", "far"], 2, "is not empty");
    fails(path, &["store", "restore", "drive", "--store", "new"], 2, "is not a backup folder");
    assert!(!path.join("new").exists());
    fails(path, &["store", "backup", "drive", "--store", "far"], 2, "is not a backup folder");
    fails(path, &["store", "backup", "far/backup", "--store", "far"], 2, "is not a backup folder");
    fails(path, &["store", "check", "--store", "backup"], 4, "no store exists");
}

/// The newest backup continues the log without an alarm; an older one raises one, and only where the newer log was seen.
#[test]
fn a_restored_log_raises_an_alarm_exactly_if_a_newer_one_was_seen() {
    let (folder, _) = site_with_drive();
    let path = folder.path();
    let pack = |store: &str, to: &str, code: i32| {
        let output = airlock(path, &["pack", "--store", store, "--key", "release.key", "--to", to]);
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let import =
        |drive: &str, store: &str| works(path, &["import", drive, "--trust", "trust.yaml", "--store", store]);
    works(path, &["store", "backup", "near-backup", "--store", "near"]);
    restored(path, "near-backup", "near2");
    pack("near2", "drive2", 0);
    // The site has seen the log up to the backup, and accepts its continuation.
    works(path, &["store", "backup", "far-backup", "--store", "far"]);
    import("drive2", "far");
    // A sender that is restored from before that drive is behind what the site has seen.
    restored(path, "near-backup", "near3");
    pack("near3", "drive3", 7);
    // A site that is restored from before that drive imports it again.
    restored(path, "far-backup", "far2");
    import("drive2", "far2");
    works(path, &["verify", "drive2", "--trust", "trust.yaml", "--store", "far2"]);
}
