//! Changed, missing and truncated files of a log.

use std::fs;
use std::path::Path;

use audit::Index;
use audit::verify::{Part, verify};

use crate::{FULL, LAST, Rig, assert_fault, bundle, entries};

#[test]
fn changed_entries_are_reported_with_the_time_until_which_the_log_is_intact() {
    let rig = Rig::new(599);
    rig.sound();
    // Entry 300 is event 300, at position 44 of its bundle; entries 512 to 599 are in the last, partial bundle.
    for (file, first) in [(FULL, 256_u64), (LAST, 512)] {
        for (word, change) in [
            ("edited", (|list| list[44][9] ^= 1) as fn(&mut Vec<Vec<u8>>)),
            ("deleted", |list| drop(list.remove(44))),
            ("inserted", |list| list.insert(44, b"{}".to_vec())),
            ("cut off", |list| list.truncate(44)),
        ] {
            if word == "cut off" && file == LAST {
                continue; // A power cut leaves such a file: `interrupted.rs`.
            }
            let before = rig.change(file, |bytes| {
                let mut list = entries(bytes);
                change(&mut list);
                *bytes = bundle(&list);
            });
            // An event that cannot be parsed is another fault, which is reported later.
            let report = rig.verify();
            let fault = report.faults.iter().find(|fault| fault.part == Part::Entry).unwrap();
            assert_fault(fault, Part::Entry, Some(first + 44), word);
            let until = rig.time_of(first + 43);
            assert_eq!(fault.good_until.as_deref(), Some(until.as_str()), "{file} {word}");
            rig.restore(file, &before);
        }
    }
}

#[test]
fn swapped_entries_are_both_reported() {
    let rig = Rig::new(599);
    let before = rig.change(FULL, |bytes| {
        let mut list = entries(bytes);
        list.swap(10, 200);
        *bytes = bundle(&list);
    });
    let report = rig.verify();
    let named: Vec<_> = report.faults.iter().filter(|fault| fault.part == Part::Entry).collect();
    assert_fault(named[0], Part::Entry, Some(266), "logged 190 positions later");
    assert_fault(named[1], Part::Entry, Some(456), "logged 190 positions earlier");
    assert_eq!(named.len(), 2);
    // The index still has the original entries.
    assert_eq!(report.faults.iter().filter(|fault| fault.part == Part::Index).count(), 2);
    rig.restore(FULL, &before);
}

#[test]
fn a_missing_bundle_is_reported_by_its_first_entry() {
    let rig = Rig::new(599);
    fs::remove_file(rig.log().join(FULL)).unwrap();
    let report = rig.verify();
    assert_fault(
        &report.faults.iter().find(|f| f.part == Part::Entry).unwrap().clone(),
        Part::Entry,
        Some(256),
        "cut off, with the rest of its bundle (256 entries)",
    );
}

#[test]
fn changed_tiles_are_reported_but_not_their_entries() {
    let rig = Rig::new(599);
    for (file, entry) in
        [("tile/0/000", 0_u64), ("tile/0/001", 256), ("tile/0/002.p/88", 512), ("tile/1/000.p/2", 0)]
    {
        let path = file.split(".p").next().unwrap();
        let before = rig.change(file, |bytes| bytes[40] ^= 1);
        assert_fault(&rig.fault(), Part::Tile, Some(entry), path);
        rig.change(file, |bytes| bytes.truncate(33));
        if file.starts_with("tile/0/002") {
            // Not flushed, and in `tail`: a power cut leaves such a file.
            rig.sound();
            rig.restore(file, &before);
            continue;
        }
        assert_fault(
            &rig.fault(),
            Part::Tile,
            Some(entry),
            "missing or malformed; the entries can restore it",
        );
        fs::remove_file(rig.log().join(file)).unwrap();
        assert_fault(&rig.fault(), Part::Tile, Some(entry), "missing");
        rig.restore(file, &before);
    }
}

#[test]
fn an_entry_that_was_changed_with_its_tile_is_still_reported() {
    let rig = Rig::new(599);
    let mut hash = None;
    rig.change(FULL, |bytes| {
        let mut list = entries(bytes);
        list[44][9] ^= 1;
        hash = Some(tlog::Hash::leaf(&list[44]));
        *bytes = bundle(&list);
    });
    rig.change("tile/0/001", |bytes| bytes[44 * 32..45 * 32].copy_from_slice(hash.unwrap().as_bytes()));
    let report = rig.verify();
    assert!(
        report.faults.iter().any(|f| f.part == Part::Tile && f.entry == Some(256)),
        "{:?}",
        report.faults
    );
    let entry = report.faults.iter().find(|fault| fault.part == Part::Entry).unwrap();
    assert_fault(entry, Part::Entry, Some(256), "it or another entry of its bundle");
}

#[test]
fn changed_truncated_and_missing_checkpoints_are_reported() {
    let rig = Rig::new(599);
    for change in [
        (|b| b[25] ^= 1) as fn(&mut Vec<u8>),
        |b| b.push(b'x'),
        |b| {
            let position = b.len() - 20;
            b[position] = if b[position] == b'A' { b'B' } else { b'A' };
        },
    ] {
        let before = rig.change("checkpoint", change);
        let fault = rig.fault();
        assert_eq!(fault.part, Part::Checkpoint, "{fault}");
        rig.restore("checkpoint", &before);
    }
    // A power cut leaves less than what was written: nothing is lost.
    for change in [(|b| b.truncate(60)) as fn(&mut Vec<u8>), |b| b.clear(), |b| b.fill(0)] {
        let before = rig.change("checkpoint", change);
        let report = rig.verify();
        assert!(report.is_sound() && report.size == 600, "{:?}", report.faults);
        assert!(report.notices.iter().any(|notice| notice.contains("`checkpoint` is damaged")));
        rig.restore("checkpoint", &before);
    }
    fs::remove_file(rig.log().join("checkpoint")).unwrap();
    assert_fault(&rig.fault(), Part::Checkpoint, None, "missing");
}

#[test]
fn a_truncated_log_is_detected_by_the_index_and_a_kept_checkpoint() {
    let rig = Rig::new(550);
    let old = copy(&rig.log());
    rig.append(551..600);
    Index::open(&rig.reader()).unwrap();
    let kept = rig.folder.path().join("kept.txt");
    fs::copy(rig.log().join("checkpoint"), &kept).unwrap();
    // Only the checkpoint is older: the newer one is in the tail.
    let (now, index) = (fs::read(rig.log().join("checkpoint")).unwrap(), Index::path(&rig.log()));
    fs::copy(old.path().join("checkpoint"), rig.log().join("checkpoint")).unwrap();
    let report = rig.verify();
    assert!(report.is_sound() && report.size == 600, "{:?}", report.faults);
    assert!(report.notices[0].starts_with("`checkpoint` is older"), "{:?}", report.notices);
    rig.restore("checkpoint", &now);
    // Everything but the index is older.
    let newer = fs::read(&index).unwrap();
    fs::remove_dir_all(rig.log()).unwrap();
    fs::rename(old.path(), rig.log()).unwrap();
    rig.sound();
    fs::write(&index, newer).unwrap();
    let fault = rig.fault();
    assert_fault(&fault, Part::Index, Some(551), "the log was truncated");
    assert_eq!(fault.good_until, rig.verify().last);
    // Everything is older: only a checkpoint that was kept elsewhere shows it.
    fs::remove_file(&index).unwrap();
    rig.sound();
    let report = verify(&rig.log(), &rig.trust(), &[&kept]).unwrap();
    assert_fault(&report.faults[0], Part::Checkpoint, None, "rolled back");
    // Another history of the same length.
    rig.append(700..749);
    let report = verify(&rig.log(), &rig.trust(), &[&kept]).unwrap();
    assert_fault(&report.faults[0], Part::Checkpoint, None, "forked");
}

fn copy(from: &Path) -> tempfile::TempDir {
    fn all(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().flatten() {
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                all(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    all(from, folder.path());
    folder
}

#[test]
fn a_log_rewritten_with_another_key_is_not_trusted() {
    let (rig, other) = (Rig::new(10), Rig::new(10));
    let report = verify(&other.log(), &rig.trust(), &[]).unwrap();
    assert_eq!(report.faults[0].part, Part::Checkpoint);
    assert!(rig.verify().own_key);
    let missing = verify(&rig.folder.path().join("none"), &rig.trust(), &[]);
    assert!(matches!(missing, Err(audit::Error::Log(tlog::Error::Absent(_)))));
}

#[test]
fn a_changed_tail_is_reported() {
    let rig = Rig::new(599);
    let note = fs::read(rig.log().join("checkpoint")).unwrap().len();
    let before = rig.change("tail", |bytes| bytes.truncate(bytes.len() - 1));
    assert!(rig.verify().is_sound(), "only the copy of the checkpoint is cut off");
    rig.restore("tail", &before);
    // The record of the checkpoint has seven bytes more than the checkpoint.
    fs::write(rig.log().join("tail"), &before[..before.len() - note - 8]).unwrap();
    assert_fault(&rig.fault(), Part::Tail, Some(599), "ends before");
    rig.restore("tail", &before);
    rig.change("tail", |bytes| bytes[3] ^= 1);
    assert_fault(&rig.fault(), Part::Tail, None, "no header");
}

#[test]
fn only_the_owner_can_read_the_logs_key() {
    use std::os::unix::fs::PermissionsExt as _;
    let rig = Rig::new(1);
    let mode = |file: &str| fs::metadata(rig.log().join(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("key.pem"), mode("key.pub")), (0o600, 0o600));
}
