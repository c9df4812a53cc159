//! The named attacks on the log of a drive.

use std::fs;

use packager::drive_log::{AlarmKind, DriveLogError};
use packager::witness::{LogVerdict, MissingLog};

use crate::log_rig::{Sender, Site, copy, replace_log};
use crate::rig::Rig;

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
