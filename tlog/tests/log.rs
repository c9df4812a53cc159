//! The guarantees of a log: it keeps every acknowledged entry, it has one history, and any change to its files is
//! detected.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use tlog::merkle::{self, TreeHead};
    use tlog::note::KeyKind;
    use tlog::{Error, Folder, Hash, Log, Policy, Proof, SigningKey, check};

    const NAME: &str = "log.example";

    struct Rig {
        folder: tempfile::TempDir,
        pkcs8: Vec<u8>,
    }

    impl Rig {
        fn new() -> Self {
            let rig = Self { folder: tempfile::tempdir().unwrap(), pkcs8: SigningKey::generate().unwrap() };
            Log::create(&rig.path(), rig.key()).unwrap();
            rig
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("log")
        }

        fn key(&self) -> SigningKey {
            SigningKey::new(NAME, KeyKind::Ed25519, &self.pkcs8).unwrap()
        }

        fn open(&self) -> tlog::Result<Log> {
            Log::open(&self.path(), self.key())
        }

        fn policy(&self) -> Policy {
            Policy::of_log(self.key().verifier())
        }

        /// Every entry, after the whole log was verified.
        fn entries(&self) -> tlog::Result<Vec<Vec<u8>>> {
            let mut entries = Vec::new();
            check::whole(&self.path(), &self.policy(), &mut |_, entry| entries.push(entry.to_vec()))?;
            Ok(entries)
        }

        /// A log of `count` entries, written in batches of seven.
        fn filled(count: usize) -> Self {
            let rig = Self::new();
            let log = rig.open().unwrap();
            for batch in (0..count).collect::<Vec<_>>().chunks(7) {
                log.append(batch.iter().map(|number| entry(*number)).collect()).unwrap();
            }
            rig
        }
    }

    fn entry(number: usize) -> Vec<u8> {
        format!("entry {number}").into_bytes()
    }

    /// The record of an entry in a tail of this version.
    fn record(version: u8, entry: &[u8]) -> Vec<u8> {
        let length = u16::try_from(entry.len()).unwrap().to_be_bytes();
        let kind: &[u8] = if version == 1 { b"" } else { b"\0" };
        [kind, &length, entry, &Hash::leaf(entry).as_bytes()[..4]].concat()
    }

    fn entries(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(entry).collect()
    }

    /// RFC 6962's definition, word for word.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::empty(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                Hash::node(defined(left), defined(right))
            }
        }
    }

    fn files(path: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(path).unwrap().flatten() {
            if entry.path().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
        }
        found.sort();
        found
    }

    #[test]
    fn roots_match_the_definition_and_old_sizes_stay_provable() {
        let rig = Rig::new();
        let mut known = vec![TreeHead { size: 0, root: Hash::empty() }];
        let mut written = 0;
        for batch in [1, 1, 5, 249, 1, 255, 300, 2, 1000, 0, 3] {
            rig.open().unwrap().append((written..written + batch).map(entry).collect()).unwrap();
            written += batch;
            let mut leaves = Vec::new();
            let (checkpoint, _) =
                check::whole(&rig.path(), &rig.policy(), &mut |_, entry| leaves.push(Hash::leaf(entry)))
                    .unwrap();
            assert_eq!((checkpoint.size, checkpoint.root), (written as u64, defined(&leaves)));
            let folder = Folder::new(&rig.path(), checkpoint.size);
            for old in &known {
                check::consistency(&folder, &checkpoint, *old).unwrap();
            }
            known.push(checkpoint.tree_head());
        }
        assert_eq!(rig.entries().unwrap(), entries(written));
    }

    #[test]
    fn an_entry_is_proved_by_a_text() {
        let rig = Rig::filled(700);
        let note = Folder::checkpoint(&rig.path()).unwrap();
        let folder = Folder::new(&rig.path(), 700);
        for index in [0_u64, 1, 255, 256, 511, 699] {
            let text = Proof::of(&folder, note.clone(), index).unwrap().to_string();
            let proof = Proof::parse(&text).unwrap();
            assert_eq!(proof.to_string(), text);
            let own = entry(usize::try_from(index).unwrap());
            proof.verify(&own, &rig.policy()).unwrap();
            assert!(matches!(proof.verify(b"other", &rig.policy()), Err(Error::Proof(_))));
            let stranger = Policy::of_log(Rig::new().key().verifier());
            assert!(matches!(proof.verify(&own, &stranger), Err(Error::NotSigned(_))));
        }
        assert!(matches!(Proof::of(&folder, note, 700), Err(Error::NoEntry { .. })));
    }

    #[test]
    fn concurrent_callers_get_distinct_indexes() {
        let rig = Rig::new();
        let (one, other) = (Arc::new(rig.open().unwrap()), Arc::new(rig.open().unwrap()));
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let log = Arc::clone(if thread % 2 == 0 { &one } else { &other });
                std::thread::spawn(move || {
                    let append = |round| {
                        let own = format!("{thread} {round}").into_bytes();
                        (log.append(vec![own.clone()]).unwrap().start, own)
                    };
                    (0..100).map(append).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut appended: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        appended.sort();
        let indexes: Vec<u64> = appended.iter().map(|(index, _)| *index).collect();
        assert_eq!(indexes, (0..800).collect::<Vec<u64>>());
        assert_eq!(rig.entries().unwrap(), appended.into_iter().map(|(_, own)| own).collect::<Vec<_>>());
    }

    #[test]
    fn a_torn_write_is_cut_off_and_durable_entries_are_completed() {
        let rig = Rig::filled(300);
        let before = rig.entries().unwrap();
        let tail = rig.path().join("tail");
        let whole = fs::read(&tail).unwrap();
        // A whole, durable record that no checkpoint covers: the crash came after the flush.
        let record = record(2, b"later");
        for cut in 0..record.len() {
            fs::write(&tail, [&whole, &record[..cut]].concat()).unwrap();
            rig.open().unwrap();
            assert_eq!(rig.entries().unwrap(), before, "cut at {cut}");
        }
        fs::write(&tail, [&whole[..], &record].concat()).unwrap();
        rig.open().unwrap();
        assert_eq!(rig.entries().unwrap().last().unwrap(), b"later");
    }

    #[test]
    fn a_crash_around_a_full_bundle_loses_nothing() {
        // The states that a crash leaves: the batch is durable in the tail, and the checkpoint is the old or the new one.
        for (before, batch) in [(250, 10), (255, 1), (200, 700), (511, 1), (0, 256)] {
            for is_signed in [false, true] {
                let rig = Rig::filled(before);
                let checkpoint = fs::read(rig.path().join("checkpoint")).unwrap();
                let mut tail = fs::read(rig.path().join("tail")).unwrap();
                let added: Vec<_> = (before..before + batch).map(entry).collect();
                rig.open().unwrap().append(added.clone()).unwrap();
                tail.extend(added.iter().flat_map(|entry| record(2, entry)));
                fs::write(rig.path().join("tail"), tail).unwrap();
                if !is_signed {
                    fs::write(rig.path().join("checkpoint"), checkpoint).unwrap();
                }
                rig.open().unwrap();
                assert_eq!(rig.entries().unwrap(), entries(before + batch), "{before} {batch} {is_signed}");
                rig.open().unwrap().append(vec![entry(before + batch)]).unwrap();
                assert_eq!(
                    rig.entries().unwrap(),
                    entries(before + batch + 1),
                    "{before} {batch} {is_signed}"
                );
            }
        }
    }

    #[test]
    fn an_older_or_damaged_checkpoint_is_restored_from_the_tail() {
        let rig = Rig::filled(300);
        let path = rig.path().join("checkpoint");
        let old = fs::read(&path).unwrap();
        rig.open().unwrap().append((300..310).map(entry).collect()).unwrap();
        let new = fs::read(&path).unwrap();
        for left in [&old[..], b"", &new[..50], &vec![0; new.len()]] {
            fs::write(&path, left).unwrap();
            assert_eq!(Folder::checkpoint(&rig.path()).unwrap().to_string().into_bytes(), new);
            assert_eq!(rig.entries().unwrap(), entries(310), "before the log is opened");
            rig.open().unwrap();
            assert_eq!(fs::read(&path).unwrap(), new);
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(Folder::checkpoint(&rig.path()), Err(Error::Absent(_))));
    }

    #[test]
    fn a_tail_of_version_1_is_replaced() {
        for count in [0, 3, 300] {
            let rig = Rig::filled(count);
            let path = rig.path().join("tail");
            let begin = count / 256 * 256;
            let mut tail = b"airlock tail v1\n".to_vec();
            tail.extend((begin as u64).to_be_bytes());
            tail.extend((begin..count).flat_map(|number| record(1, &entry(number))));
            fs::write(&path, tail).unwrap();
            assert_eq!(tlog::log::tail(&rig.path()).unwrap().1.len(), count - begin);
            rig.open().unwrap().append(vec![entry(count)]).unwrap();
            assert!(fs::read(&path).unwrap().starts_with(b"airlock tail v2\n"));
            rig.open().unwrap();
            assert_eq!(rig.entries().unwrap(), entries(count + 1));
        }
    }

    /// The check fails when any file of a log is changed, cut or removed, except the files that only the writer uses. A
    /// damaged checkpoint may be restored from the tail, but never leads to other entries.
    #[test]
    fn every_change_to_a_file_is_detected() {
        let rig = Rig::filled(600);
        let good = rig.entries().unwrap();
        let mut changes = 0;
        for file in files(&rig.path()) {
            let name = file.file_name().unwrap().to_str().unwrap();
            if name == "tail" || name == "lock" {
                continue; // Not evidence: only the writer uses these.
            }
            let bytes = fs::read(&file).unwrap();
            let step = (bytes.len() / 23).max(1);
            for offset in (0..bytes.len()).step_by(step) {
                let mut bent = bytes.clone();
                bent[offset] ^= 1;
                fs::write(&file, &bent).unwrap();
                let is_restored = name == "checkpoint" && rig.entries().is_ok_and(|found| found == good);
                assert!(is_restored || rig.entries().is_err(), "{} at {offset}", file.display());
                changes += 1;
            }
            fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
            assert!(name == "checkpoint" || rig.entries().is_err(), "{} cut", file.display());
            fs::remove_file(&file).unwrap();
            assert!(rig.entries().is_err(), "{} gone", file.display());
            fs::write(&file, &bytes).unwrap();
        }
        assert!(changes > 150, "{changes}");
        assert_eq!(rig.entries().unwrap(), good);
    }

    #[test]
    fn the_first_changed_entry_is_named() {
        let rig = Rig::filled(600);
        let bundle = rig.path().join("tile/entries/001");
        let text = fs::read(&bundle).unwrap();
        let offset = text.windows(9).position(|window| window == b"entry 300").unwrap();
        let mut changed = text;
        changed[offset + 8] = b'1';
        fs::write(&bundle, changed).unwrap();
        assert!(matches!(rig.entries(), Err(Error::EntryDiffers { entry: 300 })));
    }

    #[test]
    fn a_rollback_and_a_fork_are_distinguished() {
        let (rig, fork) = (Rig::filled(50), Rig::new());
        let (now, _) = check::whole(&rig.path(), &rig.policy(), &mut |_, _| {}).unwrap();
        let folder = Folder::new(&rig.path(), 50);
        let root = |size| merkle::root(&folder, size).unwrap();
        assert!(matches!(
            check::consistency(&folder, &now, TreeHead { size: 51, root: root(50) }),
            Err(Error::RolledBack { found: 50, known: 51, .. })
        ));
        fork.open().unwrap().append(vec![b"another history".to_vec()]).unwrap();
        let (other, _) = check::whole(&fork.path(), &fork.policy(), &mut |_, _| {}).unwrap();
        assert!(matches!(
            check::consistency(&folder, &now, TreeHead { size: 1, root: other.root }),
            Err(Error::Forked { known: 1, .. })
        ));
        check::consistency(&folder, &now, TreeHead { size: 17, root: root(17) }).unwrap();
    }

    #[test]
    fn the_writer_refuses_a_log_whose_past_was_changed() {
        let rig = Rig::filled(300);
        let bytes = fs::read(rig.path().join("tail")).unwrap();
        // The last record is the checkpoint.
        let note = fs::read(rig.path().join("checkpoint")).unwrap().len();
        fs::write(rig.path().join("tail"), &bytes[..bytes.len() - note - 20]).unwrap();
        assert!(matches!(rig.open(), Err(Error::Open(_))));
        fs::write(rig.path().join("tail"), &bytes).unwrap();
        rig.open().unwrap();
        let stranger = SigningKey::new(NAME, KeyKind::Ed25519, &SigningKey::generate().unwrap()).unwrap();
        assert!(Log::open(&rig.path(), stranger).is_err());
        assert!(matches!(Log::create(&rig.path(), rig.key()), Err(Error::Exists(_))));
        let missing = Log::open(&rig.folder.path().join("none"), rig.key());
        assert!(matches!(missing, Err(Error::Absent(_))));
    }

    #[test]
    fn a_policy_requires_its_quorum() {
        let witness = |name: &str| {
            SigningKey::new(name, KeyKind::Cosignature, &SigningKey::generate().unwrap()).unwrap()
        };
        let rig = Rig::filled(3);
        let keys = [witness("a.example"), witness("b.example"), witness("c.example")];
        let mut text = format!("# comment\nlog {}\n", rig.key().verifier());
        for (name, key) in ["a", "b", "c"].iter().zip(&keys) {
            text.push_str(&format!("witness {name} {}\n", key.verifier()));
        }
        text.push_str("group two 2 a b c\ngroup both all two a\nquorum both\n");
        let policy = Policy::parse(&text).unwrap();
        assert_eq!(Policy::parse(&policy.to_string()).unwrap(), policy);
        let mut note = Folder::checkpoint(&rig.path()).unwrap();
        let mut cosign = |key: &SigningKey| {
            note.add(tlog::cosignature::cosign(&note, key, 1).unwrap());
            policy.verify(&note)
        };
        assert!(matches!(cosign(&keys[1]), Err(Error::Quorum(_))));
        assert!(matches!(cosign(&keys[1]), Err(Error::Quorum(_))), "the same witness twice");
        assert!(matches!(cosign(&keys[2]), Err(Error::Quorum(_))), "two, but not `a`");
        assert_eq!(cosign(&keys[0]).unwrap().size, 3);
        for (from, to) in [
            ("quorum both", ""),
            ("quorum both", "quorum x"),
            ("quorum both", "quorum both\nquorum none"),
            ("group two 2", "group two 4"),
            ("group two 2", "group two 0"),
            ("a b c", "a b b"),
            ("a b c", "a b x"),
            ("witness b", "witness a"),
            ("log ", "lag "),
        ] {
            assert!(
                matches!(Policy::parse(&text.replace(from, to)), Err(Error::Policy { .. })),
                "{from} -> {to}"
            );
        }
    }
}
