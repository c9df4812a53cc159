//! The sender's log on a drive: its content, and the named attacks on it.

use std::fs;

use packager::bundle::Error;
use packager::drive_log::{AlarmKind, DriveLogError};
use packager::witness::{LogVerdict, MissingLog, quarantine};

use crate::log_rig::{ONE_VOLUME, Sender, Site, copy, now, replace_log};
use crate::rig::Rig;

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

#[test]
fn attack_replayed_old_drive() {
    let sender = Sender::new();
    let site = Site::of(&sender);
    sender.pack("one");
    let sender = sender.next();
    sender.pack("two");
    site.import(&sender.path("two")).unwrap();
    assert_eq!(site.alarm(&sender.path("one")), AlarmKind::RolledBack { found: 301, known: 302 });
}

#[test]
fn attack_replayed_old_drive_with_the_newest_log() {
    let sender = Sender::new();
    let site = Site::of(&sender);
    let set = sender.pack("one");
    let sender = sender.next();
    sender.pack("two");
    site.import(&sender.path("two")).unwrap();
    replace_log(&sender.path("one"), &sender.path("two").join("log"));
    let expected = AlarmKind::Replayed { set, name: "small".into(), found: 300, known: 301 };
    assert_eq!(site.alarm(&sender.path("one")), expected);
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

#[test]
fn attack_forked_log() {
    let sender = Sender::new();
    let site = Site::of(&sender);
    sender.pack("one");
    site.import(&sender.path("one")).unwrap();
    let set = sender.pack("two").to_string();
    // As large as the known log, and larger.
    for more in [1, 20] {
        let fork = sender.fork(250, 300 - 250 + more - 1);
        fork.log_event("pack", &set);
        let drive = sender.path(&format!("drive{more}"));
        copy(&sender.path("two"), &drive);
        replace_log(&drive, fork.log.path());
        let site = Site::of(&sender);
        site.import(&sender.path("one")).unwrap();
        assert_eq!(site.alarm(&drive), AlarmKind::Forked { known: 301 }, "{more}");
    }
}

#[test]
fn attack_truncated_log() {
    let sender = Sender::new();
    let site = Site::of(&sender);
    sender.pack("one");
    for missing in ["tile/entries/001.p/45", "tile/0/000", "tile/1/000.p/1"] {
        let drive = sender.path(missing).with_extension("").join("drive");
        copy(&sender.path("one"), &drive);
        fs::remove_file(drive.join("log").join(missing)).unwrap();
        let site = Site::of(&sender);
        let expected = AlarmKind::Truncated { size: 301, missing: missing.into() };
        assert_eq!(site.alarm(&drive), expected);
        assert!(site.is_empty());
    }
    assert!(site.import(&sender.path("one")).is_ok());
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
fn attack_tampered_tile() {
    let sender = Sender::new();
    let site = Site::of(&sender);
    sender.pack("one");
    let log = sender.path("one").join("log");
    for file in
        ["tile/entries/000", "tile/entries/001.p/45", "tile/0/000", "tile/0/001.p/45", "tile/1/000.p/1"]
    {
        let sound = fs::read(log.join(file)).unwrap();
        for at in [2, sound.len() / 2, sound.len() - 1] {
            let mut changed = sound.clone();
            changed[at] ^= 1;
            fs::write(log.join(file), changed).unwrap();
            assert!(matches!(site.refusal(&sender.path("one")), DriveLogError::Log(_)), "{file} {at}");
        }
        fs::write(log.join(file), &sound[..sound.len() - 1]).unwrap();
        assert!(matches!(site.refusal(&sender.path("one")), DriveLogError::Log(_)), "{file}");
        fs::write(log.join(file), sound).unwrap();
    }
    assert!(site.is_empty() && site.witness.known("log.example").unwrap().is_none());
    site.import(&sender.path("one")).unwrap();
}

#[test]
fn attack_tampered_checkpoint() {
    let sender = Sender::new();
    let site = Site::of(&sender);
    sender.pack("one");
    let path = sender.path("one").join("log/checkpoint");
    let sound = fs::read_to_string(&path).unwrap();
    for (from, to) in [("\n301\n", "\n300\n"), ("\n301\n", "\n9301\n"), ("\n\n", "\nmore\n\n")] {
        fs::write(&path, sound.replacen(from, to, 1)).unwrap();
        let refused = site.refusal(&sender.path("one"));
        assert!(matches!(refused, DriveLogError::Log(tlog::Error::WrongSignature(_))), "{refused:?}");
    }
    assert!(site.is_empty());
}

#[test]
fn attack_checkpoint_of_another_origin() {
    let sender = Sender::new();
    let site = Site::of(&sender);
    let set = sender.pack("one");
    // A trusted log, but not the one in the manifest.
    let other = Sender::of(Rig::new(), "other.example");
    other.journal.log_event("pack", &set.to_string());
    replace_log(&sender.path("one"), other.journal.log.path());
    assert!(
        matches!(site.refusal(&sender.path("one")), DriveLogError::OtherLog { found, .. } if found == "other.example")
    );
    // The right name, but another key.
    let forged = Sender::of(Rig::new(), "log.example");
    forged.journal.log_event("pack", &set.to_string());
    replace_log(&sender.path("one"), forged.journal.log.path());
    let refused = site.refusal(&sender.path("one"));
    assert!(matches!(refused, DriveLogError::Log(tlog::Error::NotSigned(_))), "{refused:?}");
    assert!(site.is_empty());
}

#[test]
fn attack_drive_signed_off_the_record() {
    let sender = Sender::new();
    let site = Site::of(&sender);
    let set = sender.pack("one");
    let fork = sender.fork(290, 20);
    replace_log(&sender.path("one"), fork.log.path());
    assert_eq!(site.alarm(&sender.path("one")), AlarmKind::Unlogged { set: set.clone() });
    // Another event about the set does not count.
    fork.log_event("import", &set.to_string());
    let site = Site::of(&sender);
    replace_log(&sender.path("one"), fork.log.path());
    assert_eq!(site.alarm(&sender.path("one")), AlarmKind::Unlogged { set });
}

#[test]
fn attack_stripped_log() {
    let sender = Sender::new();
    let mut site = Site::of(&sender);
    sender.pack("one");
    fs::remove_dir_all(sender.path("one").join("log")).unwrap();
    assert!(matches!(site.refusal(&sender.path("one")), DriveLogError::Missing(_)));
    // The manifest names a log, so the option for old drives does not apply.
    site.missing_log = MissingLog::Allow;
    assert!(matches!(site.refusal(&sender.path("one")), DriveLogError::Missing(_)));
    assert!(site.is_empty());
}

#[test]
fn attack_trusted_root_with_another_log() {
    let sender = Sender::new();
    let site = Site::of(&sender);
    sender.pack("one");
    let other = Sender::of(Rig::new(), "other.example");
    other.pack("other");
    fs::copy(other.path("other").join("trusted_root.json"), sender.path("one").join("trusted_root.json"))
        .unwrap();
    assert!(matches!(site.refusal(&sender.path("one")), DriveLogError::TrustedRoot));
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

/// Otherwise, anyone with an old log could block any set by adding the log to a copy.
#[test]
fn attack_an_old_log_next_to_a_copy_does_not_block_a_good_copy() {
    let sender = Sender::new();
    let mut site = Site::of(&sender);
    let set = sender.pack("one");
    sender.journal.events(9);
    assert_eq!(sender.pack("newest"), set);
    site.import(&sender.path("newest")).unwrap();
    assert_eq!(site.alarm(&sender.path("one")), AlarmKind::RolledBack { found: 301, known: 311 });
    let verdict = site.import(&sender.path("newest")).unwrap();
    assert!(matches!(&verdict, LogVerdict::Proved(_)));
    assert!(verdict.warning().unwrap().contains("another copy of the set"), "{verdict:?}");
    // The copy with the old log is still refused, and so is a copy whose log is not checked.
    assert!(matches!(site.refusal(&sender.path("one")), DriveLogError::Quarantined { .. }));
    site.trust = sender.rig.trust.clone();
    assert!(matches!(site.refusal(&sender.path("newest")), DriveLogError::Quarantined { .. }));
    let record = site.witness.record(&set).unwrap().unwrap();
    assert_eq!(record.events.len(), 1, "one alarm is recorded once");
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
