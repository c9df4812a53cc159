//! Rebuilding from blobs and journal, and collecting garbage.

use std::fs;

use oci::Digest;
use proptest::prelude::*;
use store::{Change, Error, Store};

use crate::rig::{dump, manifest, push, put, repository, tag};

fn remove_database(folder: &std::path::Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(folder.join(format!("airlock.db{suffix}")));
    }
}

/// Random pushes, moves and deletes over few names.
fn operate(store: &Store, operations: &[(u8, u8, u8)]) {
    for (kind, place, note) in operations {
        let name = repository(&format!("r{}/app", place % 3));
        let blob = put(store, &[b'n', note % 5]).unwrap();
        let image = manifest(&blob, &format!("n{}", note % 5), None);
        let digest = image.digest();
        let tag = tag(&format!("t{}", note % 4));
        let changes = match kind % 5 {
            0 | 1 => vec![
                Change::PutManifest { repository: name.clone(), digest: digest.clone(), manifest: image },
                Change::SetTag { repository: name, tag, digest },
            ],
            2 => {
                let referrer = manifest(&blob, "about", Some(&digest));
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
    fn a_rebuilt_store_names_what_the_lost_database_named(operations in prop::collection::vec(any::<(u8, u8, u8)>(), 1..40)) {
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

/// The database is sound and the journal is not: a rebuild would make the worse of the two the truth.
#[test]
fn a_rebuild_does_not_forget_names_that_only_the_database_has() {
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
        let refused = Store::rebuild(folder.path(), &mut |_| {}).unwrap_err();
        assert!(matches!(refused, Error::JournalShort { .. }) && refused.hint().is_some(), "{refused:?}");
        assert_eq!(dump(&Store::open(folder.path()).unwrap()), before);
    }
    fs::write(&journal, &whole[..whole.len() - 10]).unwrap();
    remove_database(folder.path());
    assert_eq!(Store::rebuild(folder.path(), &mut |_| {}).unwrap().unreadable_lines, 1);
}

/// No names at all and success would look like a store that was mended.
#[test]
fn a_rebuild_without_database_and_journal_is_not_taken_for_a_success() {
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
fn a_rebuild_moves_rotten_files_aside_and_says_what_is_lost() {
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
    assert!(matches!(store.collect(&plan), Err(Error::InUse(_))));
    assert!(matches!(Store::rebuild(folder.path(), &mut |_| {}), Err(Error::InUse(_))));
    drop(other);
    assert_eq!(store.collect(&plan).unwrap().blobs, 1);
    assert!(store.has_blob(&loose).unwrap().is_none());
    store.commit(vec![Change::ReleaseLeases { holder: "mirror".into() }]).unwrap();
    assert_eq!(listed(&store), [leased]);
    assert!(store.check(&mut |_| {}).unwrap().faults.is_empty());
}
