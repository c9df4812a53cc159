//! Return media for the sender, and attacks with them.

use std::fs;

use packager::bundle::Error;
use packager::drive_log::{AlarmKind, DriveLogError};
use packager::witness::acknowledge::{AcknowledgeReport, OwnLog};
use packager::witness::{LogVerdict, Witness, quarantine};
use tlog::note::KeyKind;
use tlog::{Folder, Log, SigningKey, VerifierKey};

use crate::log_rig::{Sender, Site, copy, now};
use crate::rig::{Rig, listing};

impl Site {
    fn key(&self) -> VerifierKey {
        let text = fs::read_to_string(self.store.root().join("witness/key.pub")).unwrap();
        text.trim_end().parse().unwrap()
    }

    fn send_back(&self, medium: &str) -> std::path::PathBuf {
        let target = self.folder.path().join(medium);
        self.witness.return_to(&target, None, &now(3)).unwrap();
        target
    }
}

impl Sender {
    /// Adds these sites to the trust file.
    fn trusts(&mut self, sites: &[&Site]) {
        let logs = vec![("sender".to_owned(), self.journal.log.verifier())];
        let witnesses =
            sites.iter().enumerate().map(|(number, site)| (format!("site {number}"), site.key())).collect();
        self.trust = self.rig.trust.clone().with_logs(logs, witnesses).unwrap();
    }

    fn acknowledge(&self, medium: &std::path::Path) -> Result<Vec<AcknowledgeReport>, Error> {
        let key = self.journal.log.verifier();
        let own = OwnLog { folder: self.journal.log.path(), key: &key };
        Witness::of(&self.rig.store).acknowledge(medium, &own, &self.trust, &now(5))
    }

    fn refuses(&self, medium: &std::path::Path) -> DriveLogError {
        match self.acknowledge(medium).unwrap_err() {
            Error::Log(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }
}

/// A sender, and a site that took its first drive.
fn pair() -> (Sender, Site) {
    let mut sender = Sender::new();
    let site = Site::of(&sender);
    sender.pack("one");
    site.import(&sender.path("one")).unwrap();
    sender.trusts(&[&site]);
    (sender, site)
}

#[test]
fn the_next_drive_includes_the_acknowledgement_of_a_site() {
    let (sender, site) = pair();
    let reports = sender.acknowledge(&site.send_back("back")).unwrap();
    assert_eq!((reports.len(), reports[0].size, reports[0].before), (1, 301, 0));
    assert_eq!(reports[0].time, now(1).seconds);
    sender.journal.events(700);
    sender.pack("two");
    let log = sender.path("two").join("log");
    let proof = fs::read_to_string(log.join("consistency-from-301")).unwrap();
    let proof = tlog::Consistency::parse(&proof).unwrap();
    let known = site.witness.known("log.example").unwrap().unwrap();
    let policy = tlog::Policy::of_log(sender.journal.log.verifier());
    assert_eq!(proof.verify(known.checkpoint.root, &policy).unwrap().size, 1002);
    // Another site that trusts this witness reads it, too.
    let mut other = Site::of(&sender);
    other.trust = sender.trust.clone();
    let LogVerdict::Proved(finding) = other.import(&sender.path("two")).unwrap() else { panic!() };
    assert_eq!(finding.witnesses, [("site 0".to_owned(), 301)]);
    let LogVerdict::Proved(finding) = site.import(&sender.path("two")).unwrap() else { panic!() };
    assert_eq!(finding.known, 301);
    // An older medium has fewer entries than known.
    let old = site.folder.path().join("back");
    assert_eq!(sender.acknowledge(&site.send_back("later")).unwrap()[0].before, 301);
    assert!(matches!(sender.refuses(&old), DriveLogError::StaleReturn { found: 301, known: 1002, .. }));
}

/// A sender that lost its log starts a new one; acknowledgements of the lost log do not apply to it.
#[test]
fn a_new_log_is_not_compared_with_acknowledgements_of_the_lost_one() {
    let (mut sender, site) = pair();
    sender.acknowledge(&site.send_back("back")).unwrap();
    let pkcs8 = SigningKey::generate().unwrap();
    sender.journal = crate::log_rig::Journal::new(&sender.path("new"), "new.example", &pkcs8);
    sender.trusts(&[&site]);
    sender.pack("two");
    assert!(!sender.path("two").join("log/witness").exists());
    let mut site = site;
    site.trust = sender.trust.clone();
    let LogVerdict::Proved(finding) = site.import(&sender.path("two")).unwrap() else { panic!() };
    assert_eq!((finding.origin.as_str(), finding.known), ("new.example", 0));
    let report = sender.acknowledge(&site.send_back("again")).unwrap().remove(0);
    assert_eq!((report.size, report.before), (1, 0));
}

/// Two sites that were shown two histories detect it as soon as the checkpoint of one reaches the other.
#[test]
fn attack_split_view_between_sites() {
    let (sender, site) = pair();
    sender.acknowledge(&site.send_back("back")).unwrap();
    let set = sender.pack("two").to_string();
    let fork = sender.fork(200, 300);
    fork.log_event("pack", &set);
    let drive = sender.path("forked");
    copy(&sender.path("two"), &drive);
    fs::rename(drive.join("log/witness"), drive.join("kept")).unwrap();
    crate::log_rig::replace_log(&drive, fork.log.path());
    fs::rename(drive.join("kept"), drive.join("log/witness")).unwrap();
    let mut other = Site::of(&sender);
    other.trust = sender.trust.clone();
    let expected = AlarmKind::WitnessedOther { site: "site 0".into(), known: 301 };
    assert_eq!(other.alarm(&drive), expected);
}

#[test]
fn attack_cosignature_by_an_unknown_witness() {
    let (mut sender, site) = pair();
    let back = site.send_back("back");
    sender.trusts(&[]);
    assert!(
        matches!(sender.refuses(&back), DriveLogError::UnknownWitness(name) if name == site.key().name())
    );
    assert!(Witness::of(&sender.rig.store).acknowledged("log.example").unwrap().is_empty());
}

#[test]
fn attack_cosignature_of_another_site_under_a_known_name() {
    let (mut sender, site) = pair();
    let other = Site::of(&sender);
    other.import(&sender.path("one")).unwrap();
    sender.trusts(&[&site]);
    let back = other.send_back("back");
    let folder = back.join("airlock-return");
    fs::rename(folder.join(other.key().name()), folder.join(site.key().name())).unwrap();
    assert!(matches!(
        sender.refuses(&back),
        DriveLogError::OtherSite { source: tlog::Error::NotSigned(_), .. }
    ));
}

#[test]
fn attack_return_media_for_another_sender() {
    let (sender, _) = pair();
    let stranger = Sender::of(Rig::new(), "other.example");
    let site = Site::of(&stranger);
    stranger.pack("one");
    site.import(&stranger.path("one")).unwrap();
    let back = site.send_back("back");
    assert!(
        matches!(sender.refuses(&back), DriveLogError::OtherReturn { found, .. } if found == "`other.example`")
    );
    assert!(matches!(sender.refuses(&sender.path("one")), DriveLogError::NoReturn(_)));
}

#[test]
fn attack_changed_return_media() {
    let (sender, site) = pair();
    let back = site.send_back("back");
    let logs = back.join("airlock-return").join(site.key().name()).join("logs");
    let file = listing(&logs).remove(0);
    let sound = fs::read_to_string(&file).unwrap();
    let last = sound.trim_end().rfind(' ').unwrap();
    let forged = |at: usize, bytes: &str| {
        let mut text = sound.clone();
        text.replace_range(at..at + bytes.len(), bytes);
        fs::write(&file, text).unwrap();
        sender.refuses(&back)
    };
    assert!(matches!(
        forged(last + 20, "AAAA"),
        DriveLogError::OtherSite { source: tlog::Error::WrongSignature(_), .. }
    ));
    assert!(matches!(
        forged(sound.find("\n301").unwrap(), "\n300"),
        DriveLogError::Log(tlog::Error::WrongSignature(_))
    ));
    fs::write(&file, sound).unwrap();
    sender.acknowledge(&back).unwrap();
}

/// The sender's own log was rolled back, for example to an old backup: the site's checkpoint shows it.
#[test]
fn a_rollback_or_fork_of_the_senders_own_log_is_detected() {
    let (sender, site) = pair();
    let back = site.send_back("back");
    let key = sender.journal.log.verifier();
    for (more, expected) in
        [(10, AlarmKind::RolledBack { found: 260, known: 301 }), (100, AlarmKind::Forked { known: 301 })]
    {
        let fork = sender.fork(250, more);
        let own = OwnLog { folder: fork.log.path(), key: &key };
        let error =
            Witness::of(&sender.rig.store).acknowledge(&back, &own, &sender.trust, &now(5)).unwrap_err();
        let Error::Alarm(alarm) = error else { panic!("{error:?}") };
        assert_eq!(alarm.kind, expected);
        assert!(alarm.to_string().contains("this store's own log") && alarm.hint().contains("audit verify"));
    }
    // Both signed checkpoints are recorded, once for each alarm.
    let fork = sender.fork(250, 100);
    let again = OwnLog { folder: fork.log.path(), key: &key };
    let witness = Witness::of(&sender.rig.store);
    assert!(witness.acknowledge(&back, &again, &sender.trust, &now(6)).is_err());
    let record = witness.alarmed_sites().unwrap().remove(0);
    assert_eq!((record.site.as_str(), record.events.len()), (site.key().name(), 2));
    let quarantine::Event::Alarm { found, known: Some(known), .. } = &record.events[1] else { panic!() };
    let policy = tlog::Policy::of_log(key.clone());
    assert_eq!(policy.verify(&tlog::Note::parse(found.as_bytes()).unwrap()).unwrap().size, 350);
    let known = tlog::Note::parse(known.as_bytes()).unwrap();
    assert_eq!(policy.verify(&known).unwrap().size, 301);
    assert!(tlog::cosignature::verify(&known, &site.key()).is_ok());
}

/// The error must not state that the medium is old: the site would only write another one, with the same result.
#[test]
fn a_site_that_was_restored_from_a_backup_raises_an_alarm() {
    let (sender, site) = pair();
    let root = site.store.root().join("witness");
    let older = site.folder.path().join("older");
    copy(&root, &older);
    let early = site.send_back("early");
    sender.journal.events(9);
    sender.pack("two");
    site.import(&sender.path("two")).unwrap();
    sender.acknowledge(&site.send_back("back")).unwrap();
    assert!(matches!(sender.refuses(&early), DriveLogError::StaleReturn { found: 301, known: 311, .. }));
    fs::remove_dir_all(&root).unwrap();
    copy(&older, &root);
    site.witness.reset_lost().unwrap();
    // Its own log's checkpoint is signed at the time of the return.
    let own = Folder::checkpoint(sender.journal.log.path()).unwrap();
    let later = site.folder.path().join("later");
    site.witness.return_to(&later, Some(own), &now(40)).unwrap();
    let error = sender.acknowledge(&later).unwrap_err();
    let Error::Alarm(alarm) = error else { panic!("{error:?}") };
    assert_eq!(alarm.kind, AlarmKind::SiteWentBack { site: "site 0".into(), found: 301, known: 311 });
    assert!(alarm.hint().contains("restored from a backup"));
}

#[test]
fn a_sites_own_log_only_grows() {
    let (mut sender, site) = pair();
    let path = site.folder.path().join("own");
    let key = SigningKey::new("own.example", KeyKind::Ed25519, &SigningKey::generate().unwrap()).unwrap();
    let own = Log::create(&path, key).unwrap();
    let send = |medium: &str| {
        let note = Folder::checkpoint(&path).unwrap();
        let target = site.folder.path().join(medium);
        site.witness.return_to(&target, Some(note), &now(4)).unwrap();
        target
    };
    own.append(vec![b"a".to_vec()]).unwrap();
    let first = send("first");
    own.append(vec![b"b".to_vec()]).unwrap();
    let second = send("second");
    let report = sender.acknowledge(&second).unwrap().remove(0);
    assert_eq!((report.own, report.own_checked), (Some(("own.example".to_owned(), 2)), false));
    let error = sender.acknowledge(&first).unwrap_err();
    assert!(
        matches!(error, Error::Alarm(alarm) if alarm.kind == AlarmKind::RolledBack { found: 1, known: 2 })
    );
    // With the log's key in the trust file, its signature is verified as well.
    let logs = vec![("site".to_owned(), own.verifier())];
    sender.trust = sender.rig.trust.clone().with_logs(logs, vec![("site".into(), site.key())]).unwrap();
    assert!(sender.acknowledge(&second).unwrap()[0].own_checked);
}

#[test]
fn the_sites_private_key_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_, site) = pair();
    let key = site.store.root().join("witness/key.pem");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let (before, now) = (site.key(), site.send_back("back"));
    assert_eq!(site.key(), before);
    let written = fs::read_to_string(now.join("airlock-return").join(before.name()).join("key.pub")).unwrap();
    assert_eq!(written.trim_end(), before.to_string());
}

/// Anyone who had the medium may have put links on it.
#[test]
fn a18_nothing_is_written_or_read_through_a_link_on_a_medium() {
    use std::os::unix::fs::symlink;
    let (mut sender, site) = pair();
    let outside = site.folder.path().join("outside");
    fs::create_dir_all(outside.join("nested")).unwrap();
    fs::write(outside.join("kept"), "kept").unwrap();
    let medium = site.folder.path().join("medium");
    let key = site.key();
    let own = format!("airlock-return/{}", key.name());
    for link in ["airlock-return", own.as_str(), &format!("{own}/logs")] {
        let _ = fs::remove_dir_all(&medium);
        fs::create_dir_all(medium.join(link).parent().unwrap()).unwrap();
        symlink(&outside, medium.join(link)).unwrap();
        assert!(site.witness.return_to(&medium, None, &now(3)).is_err(), "{link}");
        assert_eq!(listing(&outside).len(), 2, "{link}");
    }
    // Return media are read without following links.
    let real = site.send_back("real");
    let _ = fs::remove_dir_all(&medium);
    fs::create_dir_all(&medium).unwrap();
    symlink(real.join("airlock-return"), medium.join("airlock-return")).unwrap();
    sender.trusts(&[&site]);
    assert!(matches!(sender.refuses(&medium), DriveLogError::NoReturn(_)));
    // A drive: its log, a volume that is being written, and the mark.
    let drive = sender.path("linked");
    for (link, to) in
        [("log", outside.clone()), ("log/tile", outside.clone()), ("log/witness", outside.clone())]
    {
        let _ = fs::remove_dir_all(&drive);
        fs::create_dir_all(drive.join(link).parent().unwrap()).unwrap();
        symlink(&to, drive.join(link)).unwrap();
        let packed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sender.pack("linked")));
        assert!(packed.is_err() || link == "log/witness", "{link}");
        assert_eq!(listing(&outside).len(), 2, "{link}");
    }
    let _ = fs::remove_dir_all(&drive);
    fs::create_dir_all(&drive).unwrap();
    for name in [
        "small-001-of-001.tar.partial",
        "small.complete.json",
        "small.complete.json.new",
        "trusted_root.json",
    ] {
        symlink(outside.join("kept"), drive.join(name)).unwrap();
    }
    sender.pack("linked");
    assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept");
    // Reading: a volume in a folder must not be a link, but a file that the user names may be one.
    let volume = drive.join("small-001-of-001.tar");
    fs::rename(&volume, outside.join("moved.tar")).unwrap();
    symlink(outside.join("moved.tar"), &volume).unwrap();
    assert!(matches!(site.import(&drive), Err(Error::NotVolume(_))));
    fs::remove_file(&volume).unwrap();
    fs::rename(outside.join("moved.tar"), &volume).unwrap();
    fs::rename(drive.join("log"), outside.join("log")).unwrap();
    symlink(outside.join("log"), drive.join("log")).unwrap();
    assert!(matches!(site.refusal(&drive), DriveLogError::Missing(_)));
}
