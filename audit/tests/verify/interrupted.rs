//! Writes that a power cut interrupted are not faults.

use std::fs;
use std::path::Path;

use audit::Index;

use crate::Rig;

/// Damages a file; `None` removes it.
type Damage = fn(&[u8]) -> Option<Vec<u8>>;

#[test]
fn c1_unflushed_files_after_a_power_cut_are_a_notice_and_lose_nothing() {
    for count in [3, 255, 599] {
        let rig = Rig::new(count);
        let (bundle, width) = ((count + 1) / 256, (count + 1) % 256);
        let files = [format!("tile/entries/{bundle:03}.p/{width}"), format!("tile/0/{bundle:03}.p/{width}")];
        let damages: [Damage; 4] = [
            |_| None,
            |_| Some(Vec::new()),
            |bytes| Some(vec![0; bytes.len()]),
            |bytes| Some(bytes[..bytes.len() / 2].to_vec()),
        ];
        for damage in damages.into_iter().filter(|_| width > 0) {
            for file in &files {
                let path = rig.log().join(file);
                match damage(&fs::read(&path).unwrap()) {
                    Some(bytes) => fs::write(&path, bytes).unwrap(),
                    None => fs::remove_file(&path).unwrap(),
                }
            }
            let report = rig.verify();
            assert!(report.is_sound(), "{:?}", report.faults);
            let notices = report.notices.iter().filter(|notice| notice.contains("power failure")).count();
            assert_eq!(
                (notices, report.counts.values().sum::<u64>()),
                (2, count + 1),
                "{:?}",
                report.notices
            );
            // Searches and proofs work before the next write.
            assert_eq!(rig.reader().all(&mut |_, _, _| {}).unwrap(), 0);
            rig.reader().proof(count).unwrap();
            // Opening the log for writing restores the files.
            drop(rig.journal());
            assert!(!rig.verify().notices.iter().any(|notice| notice.contains("power failure")));
        }
    }
}

#[test]
fn c4_an_index_whose_update_was_interrupted_is_rebuilt_and_is_not_a_fault() {
    let rig = Rig::new(599);
    for damage in [
        (|path| fs::write(path, [7; 4096]).unwrap()) as fn(&Path),
        |path| fs::write(path, b"").unwrap(),
        |path| fs::remove_file(path).unwrap(),
        |path| {
            let sql = "DELETE FROM events WHERE idx = 77";
            rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
        },
    ] {
        // The state after an update that a power cut interrupted: the mark is durable before the update writes anything.
        fs::write(rig.log().join("index.update"), b"").unwrap();
        fs::write(rig.log().join("index.sqlite-journal"), [9; 4096]).unwrap();
        damage(&Index::path(&rig.log()));
        let report = rig.verify();
        assert!(report.is_sound(), "{:?}", report.faults);
        assert!(report.notices.iter().any(|notice| notice.contains("interrupted")), "{:?}", report.notices);
        let index = Index::open(&rig.reader()).unwrap();
        assert!(index.refused().is_none() && index.was_interrupted());
        assert!(!rig.log().join("index.update").exists());
        assert_eq!(rig.verify().indexed, Some(600));
        assert!(!Index::open(&rig.reader()).unwrap().was_interrupted());
    }
}
