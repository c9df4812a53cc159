//! The sender's log on a drive: its content, what a site knows of it, and the named attacks on it.

mod attacks;

use std::fs;

use packager::bundle::Error;
use packager::drive_log::{AlarmKind, DriveLogError};
use packager::witness::{LogVerdict, MissingLog, quarantine};

use crate::log_rig::{ONE_VOLUME, Sender, Site, copy, now, replace_log};

#[test]
fn a_drive_includes_the_whole_log_with_an_entry_for_the_drive() {
    let sender = Sender::new();
    let site = Site::of(&sender);
    sender.pack("one");
    let LogVerdict::Proved(finding) = site.import(&sender.path("one")).unwrap() else { panic!() };
    assert_eq!((finding.size, finding.known, finding.begin, finding.number), (301, 0, 0, 300));
    assert_eq!(finding.origin, "log.example");
    // The same drive again, as after an interruption.
    let LogVerdict::Proved(again) = site.import(&sender.path("one")).unwrap() else { panic!() };
    assert_eq!((again.known, again.number), (301, 300));
    sender.journal.events(5);
    let sender = sender.next();
    sender.pack("two");
    let LogVerdict::Proved(finding) = site.import(&sender.path("two")).unwrap() else { panic!() };
    assert_eq!((finding.size, finding.known, finding.number), (307, 301, 306));
    let root = fs::read_to_string(sender.path("two").join("trusted_root.json")).unwrap();
    assert!(root.contains("log.example"));
}

#[test]
fn two_packs_with_a_log_have_the_same_volumes() {
    let sender = Sender::new();
    sender.pack("one");
    sender.journal.events(3);
    assert_eq!(sender.pack("two"), sender.set("one"));
}

/// The newest log next to an old drive of another set name, which the numbers of that name do not detect.
#[test]
fn a4_an_old_drive_of_another_set_cannot_move_a_tag_back() {
    let mut sender = Sender::new();
    sender.rig.lock.name = "first".into();
    let set = sender.pack("old");
    let mut sender = sender.next();
    sender.rig.lock.name = "second".into();
    sender.pack("new");
    replace_log(&sender.path("old"), &sender.path("new").join("log"));
    let tag = |site: &Site| {
        let tag = oci::Selector::Tag("v1".parse().unwrap());
        site.store.resolve(&"r.io/app".parse().unwrap(), &tag).unwrap().map(|row| row.digest)
    };
    let expected = AlarmKind::MovedBack { set, tag: "r.io/app:v1".into(), found: 300, known: 301 };
    // Whether or not the old drive was imported before.
    for imported_before in [false, true] {
        let site = Site::of(&sender);
        if imported_before {
            site.import(&sender.path("old")).unwrap();
        }
        site.import(&sender.path("new")).unwrap();
        let newest = tag(&site);
        assert!(
            matches!(site.admit(&sender.path("old"), None), Err(Error::Alarm(_))),
            "a dry run and `verify`"
        );
        assert_eq!(site.alarm(&sender.path("old")), expected);
        assert_eq!(tag(&site), newest);
        // The newest drive again raises no alarm, even after a tag was removed.
        let removed =
            store::Change::DeleteTag { repository: "r.io/app".parse().unwrap(), tag: "v1".parse().unwrap() };
        site.store.commit(vec![removed]).unwrap();
        let again = site.import(&sender.path("old")).unwrap_err();
        assert!(
            matches!(again, Error::Log(DriveLogError::Quarantined { .. })),
            "a removed tag is moved back as well"
        );
        site.import(&sender.path("new")).unwrap();
        assert_eq!(tag(&site), newest);
    }
}

#[test]
fn a4_records_of_an_older_version_still_protect_tags() {
    let mut sender = Sender::new();
    sender.rig.lock.name = "first".into();
    sender.pack("old");
    let mut sender = sender.next();
    sender.rig.lock.name = "second".into();
    sender.pack("new");
    replace_log(&sender.path("old"), &sender.path("new").join("log"));
    let site = Site::of(&sender);
    site.import(&sender.path("new")).unwrap();
    let record = crate::rig::listing(&site.store.root().join("witness/senders")).remove(0);
    let mut value: serde_json::Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    value.as_object_mut().unwrap().remove("tags").unwrap();
    fs::write(&record, value.to_string()).unwrap();
    assert!(matches!(site.alarm(&sender.path("old")), AlarmKind::MovedBack { found: 300, known: 301, .. }));
}

/// Two sets on one medium share a log: each may be imported first, as long as no tag moves back.
#[test]
fn a4_drives_of_several_sets_are_imported_in_any_order_while_no_tag_moves_back() {
    let mut sender = Sender::new();
    sender.rig.lock.name = "first".into();
    sender.pack("one");
    let mut sender = sender.next();
    sender.rig.lock.name = "second".into();
    sender.rig.lock.repositories[0].tags[0].tag = "v2".parse().unwrap();
    sender.pack("two");
    replace_log(&sender.path("one"), &sender.path("two").join("log"));
    let site = Site::of(&sender);
    for drive in ["two", "one", "two"] {
        site.import(&sender.path(drive)).unwrap();
    }
    // A release admits exactly this drive.
    let mut sender = sender.next();
    sender.rig.lock.name = "third".into();
    sender.pack("three");
    let set = sender.set("one");
    replace_log(&sender.path("one"), &sender.path("three").join("log"));
    site.import(&sender.path("three")).unwrap();
    site.alarm(&sender.path("one"));
    site.witness.release(&set, "ann", "asked the sender", &now(2)).unwrap();
    assert!(matches!(site.import(&sender.path("one")).unwrap(), LogVerdict::Lifted { .. }));
}

/// Entries at the beginning may be left out, but only those that the site has.
#[test]
fn a_log_that_begins_later_is_accepted_by_sites_that_have_the_rest() {
    let sender = Sender::new();
    let (new, old) = (Site::of(&sender), Site::of(&sender));
    sender.pack("one");
    old.import(&sender.path("one")).unwrap();
    sender.pack("two");
    fs::remove_file(sender.path("two").join("log/tile/entries/000")).unwrap();
    assert!(matches!(new.refusal(&sender.path("two")), DriveLogError::BeginsLater { begin: 256, known: 0 }));
    let LogVerdict::Proved(finding) = old.import(&sender.path("two")).unwrap() else { panic!() };
    assert_eq!((finding.begin, finding.known), (256, 301));
}

#[test]
fn a_drive_without_a_log_is_admitted_by_trust_file_and_option() {
    let sender = Sender::new();
    let mut site = Site::of(&sender);
    sender.rig.pack("old", ONE_VOLUME);
    assert!(matches!(site.refusal(&sender.path("old")), DriveLogError::NoLog));
    site.missing_log = MissingLog::Allow;
    assert_eq!(site.import(&sender.path("old")).unwrap(), LogVerdict::Without);
    site.missing_log = MissingLog::Refuse;
    site.trust = sender.rig.trust.clone();
    let verdict = site.import(&sender.path("old")).unwrap();
    assert_eq!(verdict, LogVerdict::NotAsked);
    assert!(verdict.warning().is_some());
}

#[test]
fn a_set_is_released_with_user_and_reason_and_only_for_that_alarm() {
    let sender = Sender::new();
    let site = Site::of(&sender);
    let set = sender.pack("one");
    sender.journal.events(9);
    sender.pack("newer");
    sender.journal.events(9);
    sender.pack("newest");
    site.import(&sender.path("newest")).unwrap();
    let refused = site.witness.release(&set, "ann", "no", &now(2)).unwrap_err();
    assert!(matches!(refused, Error::Log(DriveLogError::NotQuarantined(_))));
    site.alarm(&sender.path("one"));
    site.witness.release(&set, "ann", "asked the sender by telephone", &now(2)).unwrap();
    let again = site.witness.release(&set, "ann", "once more", &now(2)).unwrap_err();
    assert!(matches!(again, Error::Log(DriveLogError::NotQuarantined(_))));
    let verdict = site.import(&sender.path("one")).unwrap();
    assert!(matches!(&verdict, LogVerdict::Lifted { alarm } if alarm.starts_with("rollback")));
    assert!(verdict.warning().unwrap().contains("released"));
    // The known state of the log did not move back.
    assert_eq!(site.witness.known("log.example").unwrap().unwrap().checkpoint.size, 321);
    // The same set with another old log is another alarm.
    replace_log(&sender.path("one"), &sender.path("newer").join("log"));
    site.alarm(&sender.path("one"));
    let record = site.witness.record(&set).unwrap().unwrap();
    assert_eq!(record.events.len(), 3);
    assert!(matches!(&record.events[1], quarantine::Event::Release { by, .. } if by == "ann"));
    let quarantine::Event::Alarm { found, known, .. } = &record.events[2] else { panic!() };
    assert!(found.contains("\n311\n") && known.as_ref().unwrap().contains("\n321\n"));
}

#[test]
fn a_dry_run_reports_an_alarm_and_records_nothing() {
    let sender = Sender::new();
    let site = Site::of(&sender);
    let set = sender.pack("one");
    site.admit(&sender.path("one"), None).unwrap();
    assert!(!site.store.root().join("witness").exists());
    sender.pack("two");
    site.import(&sender.path("two")).unwrap();
    assert!(matches!(site.admit(&sender.path("one"), None), Err(Error::Alarm(_))));
    assert!(site.witness.record(&set).unwrap().is_none());
}

#[test]
fn a_damaged_record_is_refused() {
    let sender = Sender::new();
    let site = Site::of(&sender);
    sender.pack("one");
    site.import(&sender.path("one")).unwrap();
    let senders = site.store.root().join("witness/senders");
    let record = crate::rig::listing(&senders).remove(0);
    for bytes in [&b""[..], b"{}", b"null"] {
        fs::write(&record, bytes).unwrap();
        assert!(matches!(site.refusal(&sender.path("one")), DriveLogError::Record(_)));
    }
    fs::remove_file(&record).unwrap();
    fs::create_dir(&record).unwrap();
    assert!(matches!(site.refusal(&sender.path("one")), DriveLogError::Record(_)));
}

#[test]
fn missing_files_of_a_drive_are_reported() {
    let sender = Sender::new();
    let site = Site::of(&sender);
    sender.pack("one");
    fs::remove_file(sender.path("one").join("trusted_root.json")).unwrap();
    let LogVerdict::Proved(finding) = site.import(&sender.path("one")).unwrap() else { panic!() };
    assert_eq!(finding.missing, ["trusted_root.json"]);
}

#[test]
fn damage_is_reported_for_the_file_on_the_drive() {
    let sender = Sender::new();
    let site = Site::of(&sender);
    sender.pack("one");
    let tile = sender.path("one").join("log/tile/0/000");
    let mut bytes = fs::read(&tile).unwrap();
    bytes.truncate(40);
    fs::write(&tile, bytes).unwrap();
    let refusal = site.refusal(&sender.path("one"));
    let DriveLogError::Log(tlog::Error::Damaged { path, .. }) = &refusal else { panic!("{refusal:?}") };
    assert_eq!(path, &tile);
    assert!(refusal.hint().is_some());
}

#[test]
fn lost_or_restored_records_are_detected_and_reset_only_on_request() {
    let sender = Sender::new();
    let site = Site::of(&sender);
    let root = site.store.root().join("witness");
    sender.pack("one");
    site.import(&sender.path("one")).unwrap();
    let older = site.folder.path().join("older");
    copy(&root, &older);
    sender.journal.events(9);
    sender.pack("newest");
    site.import(&sender.path("newest")).unwrap();
    let nothing = site.witness.reset_lost().unwrap_err();
    assert!(matches!(nothing, Error::Log(DriveLogError::NothingLost)));

    let away = site.folder.path().join("away");
    fs::rename(&root, &away).unwrap();
    assert!(matches!(site.refusal(&sender.path("one")), DriveLogError::RecordsMissing(path) if path == root));
    assert!(matches!(site.witness.quarantined(), Err(Error::Log(DriveLogError::RecordsMissing(_)))));
    // An empty folder, and one from before the newest drive.
    fs::create_dir(&root).unwrap();
    let back = site.refusal(&sender.path("one"));
    assert!(matches!(&back, DriveLogError::RecordOutdated { found: 0, known: 311, .. }), "{back:?}");
    fs::remove_dir_all(&root).unwrap();
    copy(&older, &root);
    assert!(matches!(
        site.refusal(&sender.path("one")),
        DriveLogError::RecordOutdated { found: 301, known: 311, .. }
    ));
    let returned = site.witness.return_to(&site.folder.path().join("back"), None, &now(5));
    assert!(matches!(returned, Err(Error::Log(DriveLogError::RecordOutdated { .. }))));
    fs::remove_dir_all(&root).unwrap();
    copy(&away, &root);
    assert_eq!(site.alarm(&sender.path("one")), AlarmKind::RolledBack { found: 301, known: 311 });

    // Another key would make it another site.
    let key = fs::read(root.join("key.pub")).unwrap();
    fs::remove_file(root.join("key.pem")).unwrap();
    assert!(matches!(site.refusal(&sender.path("newest")), DriveLogError::KeyMissing(_)));
    fs::remove_file(root.join("key.pub")).unwrap();
    assert!(matches!(site.refusal(&sender.path("newest")), DriveLogError::KeyMissing(_)));
    assert_eq!(site.witness.reset_lost().unwrap(), ["key.pem"]);
    site.import(&sender.path("newest")).unwrap();
    assert_ne!(fs::read(root.join("key.pub")).unwrap(), key);

    fs::remove_dir_all(&root).unwrap();
    assert_eq!(site.witness.reset_lost().unwrap().len(), 3);
    site.import(&sender.path("one")).unwrap();
}
