//! Rebuilding from blobs and journal, and collecting garbage.

use std::fs;
use std::sync::Arc;

use oci::Digest;
use proptest::prelude::*;
use store::{Change, CheckFault, Error, Store};

use crate::rig::{Recorder, dump, file_of, manifest, push, put, repository, tag};

fn remove_database(folder: &std::path::Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(folder.join(format!("airlock.db{suffix}")));
    }
}

/// Random pushes, moved tags and deletions over few names.
fn operate(store: &Store, operations: &[(u8, u8, u8)]) {
    for (kind, number, note) in operations {
        let name = repository(&format!("r{}/app", number % 3));
        let blob = put(store, &[b'n', note % 5]).unwrap();
        let image = manifest(&blob, 2, &format!("n{}", note % 5), None);
        let digest = image.digest();
        let tag = tag(&format!("t{}", note % 4));
        let changes = match kind % 5 {
            0 | 1 => vec![
                Change::PutManifest { repository: name.clone(), digest: digest.clone(), manifest: image },
                Change::SetTag { repository: name, tag, digest },
            ],
            2 => {
                let referrer = manifest(&blob, 2, "about", Some(&digest));
                vec![Change::PutManifest { repository: name, digest: referrer.digest(), manifest: referrer }]
            }
            3 => vec![Change::DeleteTag { repository: name, tag }],
            _ => vec![Change::DeleteManifest { repository: name, digest }],
        };
        store.commit(changes).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_rebuilt_store_has_the_names_of_the_lost_database(operations in prop::collection::vec(any::<(u8, u8, u8)>(), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let before = {
            let store = Store::open(folder.path()).unwrap();
            operate(&store, &operations);
            dump(&store)
        };
        remove_database(folder.path());
        prop_assert!(matches!(Store::open(folder.path()), Err(Error::NoDatabase(_))));
        let report = Store::rebuild(folder.path(), &mut |_| {}).unwrap();
        prop_assert!(report.lost.is_empty() && report.quarantined.is_empty());
        let store = Store::open(folder.path()).unwrap();
        prop_assert_eq!(dump(&store), before);
        let faults = store.check(&mut |_| {}).unwrap().faults;
        prop_assert!(faults.is_empty());
        push(&store, "after/app", "v1").unwrap();
    }
}

/// If the database is intact and the journal is not, the database is the source of truth. Until the rebuild, writes fail.
#[test]
fn c3_a_rebuild_keeps_the_names_that_only_the_database_has() {
    let folder = tempfile::tempdir().unwrap();
    let before = {
        let store = Store::open(folder.path()).unwrap();
        push(&store, "a/b", "v1").unwrap();
        dump(&store)
    };
    let journal = folder.path().join("names.log");
    let whole = fs::read(&journal).unwrap();
    for damaged in [Some(&whole[..whole.len() - 10]), Some(&[]), None] {
        match damaged {
            Some(bytes) => fs::write(&journal, bytes).unwrap(),
            None => fs::remove_file(&journal).unwrap(),
        }
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(dump(&store), before);
        let refused = push(&store, "c/d", "v1").unwrap_err();
        let hint = refused.hint().unwrap_or_default();
        assert!(hint.contains("airlock store rebuild"), "{refused:?}: {hint}");
        drop(store);
        let report = Store::rebuild(folder.path(), &mut |_| {}).unwrap();
        assert!(report.lost.is_empty() && report.unreadable_lines == 0, "{report:?}");
        assert_eq!(dump(&Store::open(folder.path()).unwrap()), before);
    }
    let whole = fs::read(&journal).unwrap();
    fs::write(&journal, &whole[..whole.len() - 10]).unwrap();
    remove_database(folder.path());
    assert_eq!(Store::rebuild(folder.path(), &mut |_| {}).unwrap().unreadable_lines, 1);
}

/// A successful rebuild without any names would look like a repaired store.
#[test]
fn a_rebuild_without_database_and_journal_fails() {
    let folder = tempfile::tempdir().unwrap();
    push(&Store::open(folder.path()).unwrap(), "a/b", "v1").unwrap();
    remove_database(folder.path());
    let journal = folder.path().join("names.log");
    fs::write(&journal, "").unwrap();
    for _ in 0..2 {
        let refused = Store::rebuild(folder.path(), &mut |_| {}).unwrap_err();
        assert!(matches!(refused, Error::NamesGone(_)) && refused.hint().is_some(), "{refused:?}");
        let _ = fs::remove_file(&journal);
    }
    let report = Store::rebuild_without_names(folder.path(), &mut |_| {}).unwrap();
    assert_eq!((report.blobs, report.manifests), (2, 0));
    assert!(dump(&Store::open(folder.path()).unwrap()).is_empty());
}

#[test]
fn a_rebuild_quarantines_damaged_files_and_reports_lost_names() {
    let folder = tempfile::tempdir().unwrap();
    let digest = {
        let store = Store::open(folder.path()).unwrap();
        push(&store, "a/b", "v1").unwrap();
        push(&store, "a/b", "v2").unwrap()
    };
    let path = folder.path().join("blobs/sha256").join(&digest.hex()[..2]).join(digest.hex());
    fs::write(&path, b"rotten").unwrap();
    let report = Store::rebuild(folder.path(), &mut |_| {}).unwrap();
    assert_eq!(report.quarantined, [digest.hex()]);
    assert_eq!(report.lost, [format!("a/b@{digest}"), "a/b:v2".to_owned()]);
    assert!(folder.path().join("quarantine").join(digest.hex()).exists());
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.tags(&repository("a/b"), None, None).unwrap().len(), 1);
}

#[test]
fn garbage_is_what_nothing_names_and_no_lease_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    push(&store, "a/b", "v1").unwrap();
    let (leased, loose) = (put(&store, b"leased").unwrap(), put(&store, b"loose").unwrap());
    store.commit(vec![Change::Lease { holder: "mirror".into(), digest: leased.clone() }]).unwrap();
    let listed = |store: &Store| -> Vec<Digest> {
        store.garbage().unwrap().blobs.into_iter().map(|(digest, _)| digest).collect()
    };
    assert_eq!(listed(&store), std::slice::from_ref(&loose));
    let plan = store.garbage().unwrap();
    let other = Store::open(folder.path()).unwrap();
    // Another process may be about to name it.
    let collected = store.collect(&plan).unwrap();
    assert_eq!((collected.blobs, collected.recent), (0, 1));
    assert!(matches!(Store::rebuild(folder.path(), &mut |_| {}), Err(Error::InUse { .. })));
    drop(other);
    assert_eq!(store.collect(&plan).unwrap().blobs, 1);
    assert!(store.has_blob(&loose).unwrap().is_none());
    store.commit(vec![Change::ReleaseLeases { holder: "mirror".into() }]).unwrap();
    assert_eq!(listed(&store), [leased]);
    assert!(store.check(&mut |_| {}).unwrap().faults.is_empty());
}

/// Rows are removed first: an interruption leaves files that nothing names, and the next collection finishes the work.
#[test]
fn c2_an_interrupted_collection_leaves_no_faults() {
    for interrupted_at in 0..9 {
        let folder = tempfile::tempdir().unwrap();
        let blobs: Vec<Digest> = {
            let store = Store::open(folder.path()).unwrap();
            push(&store, "a/b", "v1").unwrap();
            let link = |n: u8| {
                let digest = put(&store, &[n]).unwrap();
                let repository = repository("a/b");
                store.commit(vec![Change::LinkBlob { repository, digest: digest.clone() }]).unwrap();
                digest
            };
            let blobs = (0..3).map(link).collect();
            store.commit(vec![Change::ReleaseLeases { holder: "push".into() }]).unwrap();
            blobs
        };
        let recorder = Arc::new(Recorder::failing_at(interrupted_at));
        let store = Store::open_observed(folder.path(), recorder).unwrap();
        let plan = store.garbage().unwrap();
        assert_eq!(plan.blobs.len(), 3);
        let outcome = store.collect(&plan);
        assert!(outcome.is_err(), "{interrupted_at}: {outcome:?}");
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        let faults = store.check(&mut |_| {}).unwrap().faults;
        assert!(faults.is_empty(), "{interrupted_at}: {faults:?}");
        store.collect(&store.garbage().unwrap()).unwrap();
        assert!(store.check(&mut |_| {}).unwrap().faults.is_empty());
        assert!(blobs.iter().all(|digest| store.has_blob(digest).unwrap().is_none()));
    }
}

/// An older version could leave rows whose files an interrupted collection had removed.
#[test]
fn c2_a_collection_removes_links_whose_files_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    push(&store, "a/b", "v1").unwrap();
    let digest = put(&store, b"loose").unwrap();
    store.commit(vec![Change::LinkBlob { repository: repository("a/b"), digest: digest.clone() }]).unwrap();
    store.commit(vec![Change::ReleaseLeases { holder: "push".into() }]).unwrap();
    fs::remove_file(file_of(folder.path(), &digest)).unwrap();
    let faults = store.check(&mut |_| {}).unwrap().faults;
    assert!(matches!(&faults[..], [CheckFault::StaleLink { .. }]), "{faults:?}");
    assert!(faults[0].to_string().contains("airlock store gc"));
    store.collect(&store.garbage().unwrap()).unwrap();
    assert!(store.check(&mut |_| {}).unwrap().faults.is_empty());
}

/// A collection tries to upgrade its lock on the store. Whether that succeeds or not, it must keep the lock that prevents
/// other processes from rebuilding the database.
#[test]
fn c2_a_collection_keeps_its_lock_on_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (Store::open(folder.path()).unwrap(), Store::open(folder.path()).unwrap());
    one.collect(&one.garbage().unwrap()).unwrap();
    drop(other);
    for _ in 0..2 {
        let refused = Store::rebuild(folder.path(), &mut |_| {}).unwrap_err();
        assert!(matches!(refused, Error::InUse { .. }), "{refused:?}");
        assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
        one.collect(&one.garbage().unwrap()).unwrap();
    }
}
