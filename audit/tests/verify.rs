//! Verifying a log finds every change of its files, and reports its kind, its position and its time.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use audit::verify::{LogFault, Part, Report, verify};
    use audit::{Draft, EventSource, EventType, Filter, Index, Journal, LogTrust, Outcome, Reader, search};
    use time::{Duration, OffsetDateTime};

    /// A log with its start event and `count` events, one second apart, and its index.
    struct Rig {
        folder: tempfile::TempDir,
    }

    impl Rig {
        fn new(count: u64) -> Self {
            let rig = Self { folder: tempfile::tempdir().unwrap() };
            rig.append(1..count + 1);
            Index::open(&rig.reader()).unwrap();
            rig
        }

        fn log(&self) -> PathBuf {
            self.folder.path().join("log")
        }

        fn journal(&self) -> Journal {
            Journal::open(&self.log(), EventSource::of_process("airlock", "0")).unwrap()
        }

        fn append(&self, numbers: std::ops::Range<u64>) {
            let (journal, success) = (self.journal(), Outcome::success());
            let numbers: Vec<u64> = numbers.collect();
            for chunk in numbers.chunks(100) {
                let drafts = chunk.iter().map(|number| (draft(*number), &success)).collect();
                journal.record_at(time(*chunk.first().unwrap()), drafts).unwrap();
            }
        }

        fn trust(&self) -> LogTrust {
            LogTrust::own(&self.log()).unwrap()
        }

        fn reader(&self) -> Reader {
            Reader::open(&self.log(), self.trust()).unwrap()
        }

        fn verify(&self) -> Report {
            verify(&self.log(), &self.trust(), &[]).unwrap()
        }

        fn sound(&self) {
            let report = self.verify();
            assert!(report.is_sound(), "{:?}", report.faults);
        }

        /// The one fault.
        fn fault(&self) -> LogFault {
            let report = self.verify();
            assert_eq!(report.faults.len(), 1, "{:?}", report.faults);
            report.faults[0].clone()
        }

        fn change(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
            let path = self.log().join(file);
            let before = fs::read(&path).unwrap();
            let mut bytes = before.clone();
            change(&mut bytes);
            assert_ne!(bytes, before);
            fs::write(&path, bytes).unwrap();
            before
        }

        fn restore(&self, file: &str, bytes: &[u8]) {
            fs::write(self.log().join(file), bytes).unwrap();
            self.sound();
        }

        fn sql(&self, sql: &str) {
            rusqlite::Connection::open(Index::path(&self.log())).unwrap().execute_batch(sql).unwrap();
        }
    }

    fn time(number: u64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH
            + Duration::days(20_000)
            + Duration::seconds(i64::try_from(number).unwrap())
    }

    fn draft(number: u64) -> Draft {
        let kind = if number.is_multiple_of(10) { EventType::Delete } else { EventType::Push };
        let mut draft = Draft::new(kind, "manifest", &format!("team/app:{number:05}"));
        draft.digests([format!("sha256:{number:064x}"), format!("sha512:{number:0128x}")]);
        draft.by(Some(if number.is_multiple_of(3) { "ann" } else { "bob" }), None);
        draft
    }

    fn entries(bytes: &[u8]) -> Vec<Vec<u8>> {
        tlog::tile::decode_entries(bytes).unwrap()
    }

    fn bundle(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in entries {
            tlog::tile::encode_entry(entry, &mut bytes).unwrap();
        }
        bytes
    }

    const FULL: &str = "tile/entries/001";
    const LAST: &str = "tile/entries/002.p/88";

    fn assert_fault(fault: &LogFault, part: Part, entry: Option<u64>, words: &str) {
        assert_eq!((fault.part, fault.entry), (part, entry), "{fault}");
        assert!(fault.what.contains(words), "{fault}");
    }

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
                    continue; // A power cut leaves such a file: `c1_...` below.
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

    impl Rig {
        fn time_of(&self, index: u64) -> String {
            let bytes = fs::read(self.log().join(if index < 512 { FULL } else { LAST })).unwrap();
            let place = usize::try_from(index % 256).unwrap();
            let list = entries(&bytes);
            let entry = &list[place.min(list.len() - 1)];
            audit::Event::parse(entry).unwrap().time
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
            |b| b.truncate(60),
            |b| b.clear(),
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
        fs::remove_file(rig.log().join("checkpoint")).unwrap();
        assert_fault(&rig.fault(), Part::Checkpoint, None, "missing");
    }

    #[test]
    fn a_truncated_log_is_detected_by_the_tail_the_index_and_a_kept_checkpoint() {
        let rig = Rig::new(550);
        let old = copy(&rig.log());
        rig.append(551..600);
        Index::open(&rig.reader()).unwrap();
        let kept = rig.folder.path().join("kept.txt");
        fs::copy(rig.log().join("checkpoint"), &kept).unwrap();
        // Only the checkpoint is older: the entries after it are still durable.
        let (now, index) = (fs::read(rig.log().join("checkpoint")).unwrap(), Index::path(&rig.log()));
        fs::copy(old.path().join("checkpoint"), rig.log().join("checkpoint")).unwrap();
        let report = rig.verify();
        assert!(
            report.notices.iter().any(|notice| notice.starts_with("entries 551 to 599")),
            "{:?}",
            report.notices
        );
        assert_fault(&report.faults[0], Part::Index, Some(551), "49 entries more");
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

    /// Damages a file; `None` removes it.
    type Damage = fn(&[u8]) -> Option<Vec<u8>>;

    #[test]
    fn c1_unflushed_files_after_a_power_cut_are_a_notice_and_lose_nothing() {
        for count in [3, 255, 599] {
            let rig = Rig::new(count);
            let (bundle, width) = ((count + 1) / 256, (count + 1) % 256);
            let files =
                [format!("tile/entries/{bundle:03}.p/{width}"), format!("tile/0/{bundle:03}.p/{width}")];
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
                let notices = report.notices.iter().filter(|notice| notice.contains("power cut")).count();
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
                assert!(!rig.verify().notices.iter().any(|notice| notice.contains("power cut")));
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
            assert!(
                report.notices.iter().any(|notice| notice.contains("interrupted")),
                "{:?}",
                report.notices
            );
            let index = Index::open(&rig.reader()).unwrap();
            assert!(index.refused().is_none() && index.was_interrupted());
            assert!(!rig.log().join("index.update").exists());
            assert_eq!(rig.verify().indexed, Some(600));
            assert!(!Index::open(&rig.reader()).unwrap().was_interrupted());
        }
    }

    #[test]
    fn a_changed_tail_is_reported() {
        let rig = Rig::new(599);
        let before = rig.change("tail", |bytes| bytes.truncate(bytes.len() - 1));
        assert_fault(&rig.fault(), Part::Tail, Some(599), "ends before");
        rig.restore("tail", &before);
        rig.change("tail", |bytes| bytes[3] ^= 1);
        assert_fault(&rig.fault(), Part::Tail, None, "no header");
    }

    #[test]
    fn a_changed_index_is_reported_and_rebuilt() {
        let rig = Rig::new(599);
        for (sql, entry, words) in [
            ("DELETE FROM events WHERE idx = 77", 77, "missing"),
            ("UPDATE events SET actor = 'eve' WHERE idx = 78", 78, "differs"),
            ("UPDATE events SET time = '2030-01-01T00:00:00Z' WHERE idx = 599", 599, "differs"),
            ("DELETE FROM digests WHERE idx = 79", 79, "differs"),
            ("INSERT INTO digests VALUES ('sha256:00', 80)", 80, "differs"),
            ("UPDATE events SET idx = idx + 10000 WHERE idx = 599", 599, "missing"),
            ("INSERT INTO events VALUES (5000, '', 'push', 'success', NULL, '')", 5000, "not in the log"),
        ] {
            rig.sql(sql);
            let report = rig.verify();
            assert_fault(&report.faults[0], Part::Index, Some(entry), words);
            Index::rebuild(&rig.reader()).unwrap();
            rig.sound();
        }
        rig.sql("UPDATE meta SET root = zeroblob(32)");
        assert_fault(&rig.fault(), Part::Index, None, "another root");
        rig.append(600..601);
        let index = Index::open(&rig.reader()).unwrap();
        assert!(index.refused().unwrap().contains("another program wrote to it"));
        assert!(rig.log().join("index.refused").exists());
        rig.sound();
        for bytes in [&b"no database at all, but long enough to be looked at"[..], b""] {
            fs::write(Index::path(&rig.log()), bytes).unwrap();
            Index::open(&rig.reader()).unwrap();
            rig.sound();
        }
        fs::write(Index::path(&rig.log()), [7; 4096]).unwrap();
        assert_fault(&rig.fault(), Part::Index, None, "cannot be read");
    }

    #[test]
    fn attack_an_edited_index_hides_nothing_from_a_search() {
        let rig = Rig::new(599);
        let all = || {
            let mut found = Vec::new();
            rig.reader().all(&mut |index, _, _| found.push(index)).unwrap();
            found
        };
        let searched = |index: &Index| {
            let mut found = Vec::new();
            let mut each = |index, _| {
                found.push(index);
                Ok(())
            };
            search::search(&rig.reader(), index, &Filter::default(), &mut each).unwrap();
            found
        };
        for sql in [
            "DELETE FROM events WHERE idx = 77",
            "DELETE FROM events",
            "DROP TABLE digests",
            "UPDATE events SET idx = idx + 10000 WHERE idx = 599",
        ] {
            assert_eq!(searched(&Index::open(&rig.reader()).unwrap()), all());
            rig.sql(sql);
            let index = Index::open(&rig.reader()).unwrap();
            assert!(index.refused().is_some(), "{sql}");
            assert_eq!(searched(&index), all(), "{sql}");
            assert!(Index::open(&rig.reader()).unwrap().refused().is_none());
        }
        // A seal of another index or an older seal of this file is rejected.
        let seal = rig.log().join("index.seal");
        let kept = fs::read(&seal).unwrap();
        rig.sql("DELETE FROM events WHERE idx = 5");
        fs::write(&seal, &kept).unwrap();
        assert_eq!(searched(&Index::open(&rig.reader()).unwrap()), all());
        // Without the key, a search reads the log and changes nothing.
        fs::rename(rig.log().join("key.pem"), rig.log().join("kept.pem")).unwrap();
        rig.sql("DELETE FROM events WHERE idx = 5");
        let before = fs::read(Index::path(&rig.log())).unwrap();
        assert_eq!(searched(&Index::open(&rig.reader()).unwrap()), all());
        assert_eq!(fs::read(Index::path(&rig.log())).unwrap(), before);
    }

    #[test]
    fn searches_find_the_same_events_as_a_complete_read() {
        let rig = Rig::new(599);
        let reader = rig.reader();
        let mut all = Vec::new();
        assert_eq!(reader.all(&mut |index, event, _| all.push((index, event))).unwrap(), 0);
        let index = Index::open(&reader).unwrap();
        let some = |text: &str| Some(text.to_owned());
        let digest = format!("sha256:{:064x}", 42);
        let none = Filter::default;
        for (filter, min) in [
            (none(), 600),
            (Filter { actor: some("ann"), ..none() }, 100),
            (Filter { event: some("delete"), ..none() }, 50),
            (Filter { event: some("log"), ..none() }, 1),
            (Filter { digest: some(&digest), ..none() }, 1),
            (Filter { digest: some("sha256:000000"), ..none() }, 599),
            (Filter { object: some("team/app:00007"), ..none() }, 1),
            (Filter { since: Some(time(101)), until: Some(time(301)), ..none() }, 200),
            (Filter { actor: some("ann"), event: some("delete"), since: Some(time(201)), ..none() }, 10),
            (Filter { outcome: Some(audit::Ending::Failed), ..none() }, 0),
        ] {
            let expected: Vec<_> = all.iter().filter(|(_, event)| filter.wants(event)).cloned().collect();
            let find = |filter: &Filter| {
                let mut found = Vec::new();
                search::search(&reader, &index, filter, &mut |index, event| {
                    found.push((index, event));
                    Ok(())
                })
                .unwrap();
                found
            };
            assert_eq!(find(&filter), expected, "{filter:?}");
            assert!(expected.len() >= min, "{filter:?}: {}", expected.len());
            let newest = find(&Filter { limit: Some(3), ..filter });
            assert_eq!(newest, expected[expected.len().saturating_sub(3)..]);
        }
    }

    #[test]
    fn a_changed_entry_is_never_shown() {
        let rig = Rig::new(599);
        rig.change(FULL, |bytes| {
            let mut list = entries(bytes);
            let text =
                String::from_utf8(list[44].clone()).unwrap().replace("bob", "eve").replace("ann", "eve");
            list[44] = text.into_bytes();
            *bytes = bundle(&list);
        });
        let reader = rig.reader();
        assert!(matches!(
            reader.event(300),
            Err(audit::Error::Log(tlog::Error::EntryDiffers { entry: 300 }))
        ));
        assert!(reader.event(301).is_ok() && reader.proof(300).is_err());
        assert!(reader.all(&mut |_, _, _| {}).is_err());
    }

    #[test]
    fn a_proof_contains_its_event() {
        let rig = Rig::new(599);
        let reader = rig.reader();
        for index in [0, 1, 255, 256, 511, 512, 599] {
            let text = reader.proof(index).unwrap().to_string();
            let proof = tlog::Proof::parse(&text).unwrap();
            let entry = proof.extra.clone().unwrap();
            proof.verify(&entry, rig.trust().policy()).unwrap();
            assert_eq!(audit::Event::parse(&entry).unwrap(), reader.event(index).unwrap());
        }
        assert!(matches!(reader.proof(600), Err(audit::Error::Log(tlog::Error::NoEntry { .. }))));
    }

    #[test]
    fn only_the_owner_can_read_the_logs_key() {
        use std::os::unix::fs::PermissionsExt as _;
        let rig = Rig::new(1);
        let mode = |file: &str| fs::metadata(rig.log().join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("key.pem"), mode("key.pub")), (0o600, 0o600));
    }
}
