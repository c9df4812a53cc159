//! What a proof of a log finds: every change of its files, by its name, its place and its time.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use audit::verify::{LogFault, Part, Report, verify};
    use audit::{Belief, Draft, EventType, Filter, Index, Journal, Outcome, Reader, Station, search};
    use time::{Duration, OffsetDateTime};

    /// A log of one entry and `count` events a second apart, with its index.
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
            Journal::open(&self.log(), Station::of_process("airlock", "0")).unwrap()
        }

        fn append(&self, numbers: std::ops::Range<u64>) {
            let (journal, success) = (self.journal(), Outcome::success());
            let numbers: Vec<u64> = numbers.collect();
            for chunk in numbers.chunks(100) {
                let drafts = chunk.iter().map(|number| (draft(*number), &success)).collect();
                journal.record_at(time(*chunk.first().unwrap()), drafts).unwrap();
            }
        }

        fn belief(&self) -> Belief {
            Belief::own(&self.log()).unwrap()
        }

        fn reader(&self) -> Reader {
            Reader::open(&self.log(), self.belief()).unwrap()
        }

        fn verify(&self) -> Report {
            verify(&self.log(), &self.belief(), &[]).unwrap()
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

        fn put_back(&self, file: &str, bytes: &[u8]) {
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
    fn entries_that_were_changed_are_named_with_the_time_until_which_all_was_well() {
        let rig = Rig::new(599);
        rig.sound();
        // Entry 300 is event 300, in place 44 of its bundle; entries 512 to 599 are in the last, partial one.
        for (file, first) in [(FULL, 256_u64), (LAST, 512)] {
            for (word, change) in [
                ("edited", (|list| list[44][9] ^= 1) as fn(&mut Vec<Vec<u8>>)),
                ("deleted", |list| drop(list.remove(44))),
                ("put in", |list| list.insert(44, b"{}".to_vec())),
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
                // An event that cannot be read any more is a fault by itself; what it was is told first.
                let report = rig.verify();
                let fault = report.faults.iter().find(|fault| fault.part == Part::Entry).unwrap();
                assert_fault(fault, Part::Entry, Some(first + 44), word);
                let until = rig.time_of(first + 43);
                assert_eq!(fault.good_until.as_deref(), Some(until.as_str()), "{file} {word}");
                rig.put_back(file, &before);
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
    fn entries_that_changed_places_are_both_named() {
        let rig = Rig::new(599);
        let before = rig.change(FULL, |bytes| {
            let mut list = entries(bytes);
            list.swap(10, 200);
            *bytes = bundle(&list);
        });
        let report = rig.verify();
        let named: Vec<_> = report.faults.iter().filter(|fault| fault.part == Part::Entry).collect();
        assert_fault(named[0], Part::Entry, Some(266), "logged 190 later");
        assert_fault(named[1], Part::Entry, Some(456), "logged 190 earlier");
        assert_eq!(named.len(), 2);
        // The index still knows them as they were.
        assert_eq!(report.faults.iter().filter(|fault| fault.part == Part::Index).count(), 2);
        rig.put_back(FULL, &before);
    }

    #[test]
    fn a_whole_bundle_that_is_gone_is_named_by_its_first_entry() {
        let rig = Rig::new(599);
        fs::remove_file(rig.log().join(FULL)).unwrap();
        let report = rig.verify();
        assert_fault(
            &report.faults.iter().find(|f| f.part == Part::Entry).unwrap().clone(),
            Part::Entry,
            Some(256),
            "256 entries, are cut off",
        );
    }

    #[test]
    fn tiles_that_were_changed_are_named_and_not_the_entries() {
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
                rig.put_back(file, &before);
                continue;
            }
            assert_fault(
                &rig.fault(),
                Part::Tile,
                Some(entry),
                "missing or malformed; the entries can make it again",
            );
            fs::remove_file(rig.log().join(file)).unwrap();
            assert_fault(&rig.fault(), Part::Tile, Some(entry), "missing");
            rig.put_back(file, &before);
        }
    }

    #[test]
    fn an_entry_that_was_changed_with_its_tiles_is_still_told_from_the_rest() {
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
    fn checkpoints_that_were_changed_cut_or_taken_away_are_named() {
        let rig = Rig::new(599);
        for change in [
            (|b| b[25] ^= 1) as fn(&mut Vec<u8>),
            |b| b.truncate(60),
            |b| b.clear(),
            |b| {
                let place = b.len() - 20;
                b[place] = if b[place] == b'A' { b'B' } else { b'A' };
            },
        ] {
            let before = rig.change("checkpoint", change);
            let fault = rig.fault();
            assert_eq!(fault.part, Part::Checkpoint, "{fault}");
            rig.put_back("checkpoint", &before);
        }
        fs::remove_file(rig.log().join("checkpoint")).unwrap();
        assert_fault(&rig.fault(), Part::Checkpoint, None, "missing");
    }

    #[test]
    fn a_log_that_was_cut_back_is_told_by_the_tail_the_index_and_a_kept_checkpoint() {
        let rig = Rig::new(550);
        let old = copy(&rig.log());
        rig.append(551..600);
        Index::open(&rig.reader()).unwrap();
        let kept = rig.folder.path().join("kept.txt");
        fs::copy(rig.log().join("checkpoint"), &kept).unwrap();
        // The checkpoint alone: what it does not cover is still durable.
        let (now, index) = (fs::read(rig.log().join("checkpoint")).unwrap(), Index::path(&rig.log()));
        fs::copy(old.path().join("checkpoint"), rig.log().join("checkpoint")).unwrap();
        let report = rig.verify();
        assert!(
            report.notices.iter().any(|notice| notice.starts_with("entries 551 to 599")),
            "{:?}",
            report.notices
        );
        assert_fault(&report.faults[0], Part::Index, Some(551), "49 entries more");
        rig.put_back("checkpoint", &now);
        // All but the index.
        let newer = fs::read(&index).unwrap();
        fs::remove_dir_all(rig.log()).unwrap();
        fs::rename(old.path(), rig.log()).unwrap();
        rig.sound();
        fs::write(&index, newer).unwrap();
        let fault = rig.fault();
        assert_fault(&fault, Part::Index, Some(551), "the log was cut back");
        assert_eq!(fault.good_until, rig.verify().last);
        // All of it: only what is kept elsewhere tells.
        fs::remove_file(&index).unwrap();
        rig.sound();
        let report = verify(&rig.log(), &rig.belief(), &[&kept]).unwrap();
        assert_fault(&report.faults[0], Part::Checkpoint, None, "rolled back");
        // Another history of the same length.
        rig.append(700..749);
        let report = verify(&rig.log(), &rig.belief(), &[&kept]).unwrap();
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
    fn a_log_made_anew_by_another_key_is_not_believed() {
        let (rig, other) = (Rig::new(10), Rig::new(10));
        let report = verify(&other.log(), &rig.belief(), &[]).unwrap();
        assert_eq!(report.faults[0].part, Part::Checkpoint);
        assert!(rig.verify().own_key);
        let gone = verify(&rig.folder.path().join("none"), &rig.belief(), &[]);
        assert!(matches!(gone, Err(audit::Error::Log(tlog::Error::Absent(_)))));
    }

    /// What becomes of a file; none: it is gone.
    type Spoil = fn(&[u8]) -> Option<Vec<u8>>;

    #[test]
    fn c1_what_a_power_cut_leaves_of_unflushed_files_is_a_notice_and_loses_nothing() {
        for count in [3, 255, 599] {
            let rig = Rig::new(count);
            let (bundle, width) = ((count + 1) / 256, (count + 1) % 256);
            let files =
                [format!("tile/entries/{bundle:03}.p/{width}"), format!("tile/0/{bundle:03}.p/{width}")];
            let spoil: [Spoil; 4] = [
                |_| None,
                |_| Some(Vec::new()),
                |bytes| Some(vec![0; bytes.len()]),
                |bytes| Some(bytes[..bytes.len() / 2].to_vec()),
            ];
            for spoil in spoil.into_iter().filter(|_| width > 0) {
                for file in &files {
                    let path = rig.log().join(file);
                    match spoil(&fs::read(&path).unwrap()) {
                        Some(bytes) => fs::write(&path, bytes).unwrap(),
                        None => fs::remove_file(&path).unwrap(),
                    }
                }
                let report = rig.verify();
                assert!(report.is_sound(), "{:?}", report.faults);
                let told = report.notices.iter().filter(|notice| notice.contains("power cut")).count();
                assert_eq!(
                    (told, report.counts.values().sum::<u64>()),
                    (2, count + 1),
                    "{:?}",
                    report.notices
                );
                // Searches and proofs need no writer to come by first.
                assert_eq!(rig.reader().all(&mut |_, _, _| {}).unwrap(), 0);
                rig.reader().proof(count).unwrap();
                // A writer puts the files right when it opens the log.
                drop(rig.journal());
                assert!(!rig.verify().notices.iter().any(|notice| notice.contains("power cut")));
            }
        }
    }

    #[test]
    fn c4_an_index_whose_update_was_interrupted_is_made_anew_and_is_no_fault() {
        let rig = Rig::new(599);
        for spoil in [
            (|path| fs::write(path, [7; 4096]).unwrap()) as fn(&Path),
            |path| fs::write(path, b"").unwrap(),
            |path| fs::remove_file(path).unwrap(),
            |path| {
                let sql = "DELETE FROM events WHERE idx = 77";
                rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
            },
        ] {
            // As an update leaves it that a power cut ended: the mark is durable before anything is written.
            fs::write(rig.log().join("index.update"), b"").unwrap();
            fs::write(rig.log().join("index.sqlite-journal"), [9; 4096]).unwrap();
            spoil(&Index::path(&rig.log()));
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
    fn a_tail_that_was_changed_is_named() {
        let rig = Rig::new(599);
        let before = rig.change("tail", |bytes| bytes.truncate(bytes.len() - 1));
        assert_fault(&rig.fault(), Part::Tail, Some(599), "ends before");
        rig.put_back("tail", &before);
        rig.change("tail", |bytes| bytes[3] ^= 1);
        assert_fault(&rig.fault(), Part::Tail, None, "no header");
    }

    #[test]
    fn an_index_that_was_changed_is_named_and_made_anew() {
        let rig = Rig::new(599);
        for (sql, entry, words) in [
            ("DELETE FROM events WHERE idx = 77", 77, "missing"),
            ("UPDATE events SET actor = 'eve' WHERE idx = 78", 78, "does not say"),
            ("UPDATE events SET time = '2030-01-01T00:00:00Z' WHERE idx = 599", 599, "does not say"),
            ("DELETE FROM digests WHERE idx = 79", 79, "does not say"),
            ("INSERT INTO digests VALUES ('sha256:00', 80)", 80, "does not say"),
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
        assert!(index.refused().unwrap().contains("something else wrote to it"));
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
        // A seal of another index, or an older one of this file, is none.
        let seal = rig.log().join("index.seal");
        let kept = fs::read(&seal).unwrap();
        rig.sql("DELETE FROM events WHERE idx = 5");
        fs::write(&seal, &kept).unwrap();
        assert_eq!(searched(&Index::open(&rig.reader()).unwrap()), all());
        // Who cannot seal makes an index in memory, and changes nothing.
        fs::rename(rig.log().join("key.pem"), rig.log().join("kept.pem")).unwrap();
        rig.sql("DELETE FROM events WHERE idx = 5");
        let before = fs::read(Index::path(&rig.log())).unwrap();
        assert_eq!(searched(&Index::open(&rig.reader()).unwrap()), all());
        assert_eq!(fs::read(Index::path(&rig.log())).unwrap(), before);
    }

    #[test]
    fn searches_find_what_a_walk_finds() {
        let rig = Rig::new(599);
        let reader = rig.reader();
        let mut all = Vec::new();
        assert_eq!(reader.all(&mut |index, event, _| all.push((index, event))).unwrap(), 0);
        let index = Index::open(&reader).unwrap();
        let some = |text: &str| Some(text.to_owned());
        let digest = format!("sha256:{:064x}", 42);
        let none = Filter::default;
        for (filter, least) in [
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
            assert!(expected.len() >= least, "{filter:?}: {}", expected.len());
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
    fn a_proof_travels_with_its_event() {
        let rig = Rig::new(599);
        let reader = rig.reader();
        for index in [0, 1, 255, 256, 511, 512, 599] {
            let text = reader.proof(index).unwrap().to_string();
            let proof = tlog::Proof::parse(&text).unwrap();
            let entry = proof.extra.clone().unwrap();
            proof.verify(&entry, rig.belief().policy()).unwrap();
            assert_eq!(audit::Event::parse(&entry).unwrap(), reader.event(index).unwrap());
        }
        assert!(matches!(reader.proof(600), Err(audit::Error::Log(tlog::Error::NoEntry { .. }))));
    }

    #[test]
    fn the_logs_key_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let rig = Rig::new(1);
        let mode = |file: &str| fs::metadata(rig.log().join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("key.pem"), mode("key.pub")), (0o600, 0o600));
    }
}
