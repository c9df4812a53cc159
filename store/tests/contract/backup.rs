//! Backups while the store changes, and what an interrupted one leaves.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use store::{Change, Error, Store};

use crate::rig::{dump, file_of, push, repository};

fn open(root: &std::path::Path) -> Store {
    Store::open_with_grace(root, Duration::ZERO).unwrap()
}

/// Blobs that are collected while others are copied are not missing in the backup: it no longer names them.
#[test]
fn a_collection_during_a_backup_leaves_a_complete_backup() {
    let folder = tempfile::tempdir().unwrap();
    let (root, to, new) =
        (folder.path().join("store"), folder.path().join("backup"), folder.path().join("new"));
    let (store, other) = (open(&root), open(&root));
    for number in 0..12 {
        push(&store, "gone/app", &format!("gone-{number}")).unwrap();
        push(&store, "kept/app", &format!("kept-{number}")).unwrap();
    }
    let mut is_first = true;
    let mut collected = 0;
    let backup = store.backup(&to, &mut |_| {
        if std::mem::take(&mut is_first) {
            let release = Change::ReleaseLeases { holder: "push".to_owned() };
            let delete = Change::DeleteRepository { repository: repository("gone/app") };
            other.commit(vec![delete, release]).unwrap();
            collected = other.collect(&other.garbage().unwrap()).unwrap().blobs;
        }
    });
    let report = backup.unwrap().commit(BTreeMap::new()).unwrap();
    assert!(collected > 20 && report.damaged.is_empty(), "{collected} {report:?}");
    let restored = store::restore(&to, &new, Some(&mut |_| {})).unwrap();
    assert!(restored.damaged.is_empty());
    let restored = Store::open(&new).unwrap();
    assert_eq!(restored.check(&mut |_| {}).unwrap().faults, []);
    assert_eq!(dump(&restored), dump(&store));
    drop(restored);
    // The journal belongs to the database: a rebuild restores the same names.
    assert!(Store::rebuild(&new, &mut |_| {}).unwrap().lost.is_empty());
    assert_eq!(dump(&Store::open(&new).unwrap()), dump(&store));
}

#[test]
fn an_interrupted_backup_leaves_the_one_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let (root, to) = (folder.path().join("store"), folder.path().join("backup"));
    let store = open(&root);
    push(&store, "a/b", "first").unwrap();
    let first = dump(&store);
    store.backup(&to, &mut |_| {}).unwrap().commit(BTreeMap::new()).unwrap();
    push(&store, "a/b", "second").unwrap();
    let unfinished = store.backup(&to, &mut |_| {}).unwrap();
    let other = store.backup_plan(&to).unwrap();
    assert_eq!((other.copied.blobs, other.reused.blobs), (2, 2), "the unfinished backup does not count");
    drop(unfinished);
    let restore = |name: &str| {
        let root = folder.path().join(name);
        store::restore(&to, &root, Some(&mut |_| {})).unwrap();
        dump(&Store::open(&root).unwrap())
    };
    assert_eq!(restore("one"), first);
    // A blob that the unfinished backup copied may not be durable: it is copied again.
    let blob = oci::Digest::sha256(b"second");
    fs::write(file_of(&to, &blob), "sec0nd").unwrap();
    let report = store.backup(&to, &mut |_| {}).unwrap().commit(BTreeMap::new()).unwrap();
    assert_eq!((report.copied.blobs, report.reused.blobs), (2, 2));
    assert_eq!(restore("two"), dump(&store));
    // What only an earlier backup needed is removed.
    store.commit(vec![Change::DeleteRepository { repository: repository("a/b") }]).unwrap();
    let report = store.backup(&to, &mut |_| {}).unwrap().commit(BTreeMap::new()).unwrap();
    assert_eq!((report.copied.blobs, report.removed), (0, 4));
    let refused = store.backup(&root.join("inside"), &mut |_| {}).err();
    assert!(matches!(refused, Some(Error::NotABackup(_))), "{refused:?}");
    assert!(!root.join("inside").exists());
}
