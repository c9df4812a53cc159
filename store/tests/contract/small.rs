//! Small pushed content is durable with the transaction that names it, whatever a crash leaves of its files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use oci::Digest;
use store::durable::Step;
use store::{Change, Store};

use crate::rig::{Recorder, dump, file_of, manifest, repository, tag};

/// Pushes a blob as the registry does.
fn upload(store: &Store, bytes: &[u8]) -> Digest {
    let (name, digest) = (repository("a/b"), Digest::sha256(bytes));
    let id = store.create_upload(&name).unwrap();
    store.upload(&name, &id).unwrap().unwrap().write(bytes).unwrap();
    store.upload(&name, &id).unwrap().unwrap().publish(&digest).unwrap();
    store.commit(vec![Change::LinkBlob { repository: name, digest: digest.clone() }]).unwrap();
    digest
}

/// Pushes an image with one small layer.
fn push(store: &Store, note: &str) -> [Digest; 2] {
    let layer = upload(store, note.as_bytes());
    let image = manifest(&layer, note.len(), note, None);
    let (name, digest) = (repository("a/b"), image.digest());
    store
        .commit(vec![
            Change::PutManifest { repository: name.clone(), digest: digest.clone(), manifest: image },
            Change::SetTag { repository: name, tag: tag("v1"), digest: digest.clone() },
        ])
        .unwrap();
    [layer, digest]
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The rows with content that is not flushed yet.
fn rows(root: &Path) -> i64 {
    let database = rusqlite::Connection::open(root.join("airlock.db")).unwrap();
    database.query_row("SELECT count(*) FROM unflushed", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_crash_that_damages_unflushed_files_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let store = Store::open(&root).unwrap();
    let digests = push(&store, "small");
    let names = dump(&store);
    assert_eq!(rows(&root), 3, "two files and a line");
    for (number, left) in [None, Some(""), Some("smal"), Some("wrong")].into_iter().enumerate() {
        let crashed = folder.path().join(number.to_string());
        copy(&root, &crashed);
        for path in digests.iter().map(|digest| file_of(&crashed, digest)) {
            match left {
                None => fs::remove_file(path).unwrap(),
                Some(left) => fs::write(path, left).unwrap(),
            }
        }
        fs::write(crashed.join("names.log"), left.unwrap_or_default()).unwrap();
        let opened = Store::open(&crashed).unwrap();
        assert_eq!(dump(&opened), names);
        assert!(opened.check(&mut |_| {}).unwrap().faults.is_empty(), "{left:?}");
        assert_eq!(rows(&crashed), 0);
        assert_eq!(fs::read(crashed.join("names.log")).unwrap(), fs::read(root.join("names.log")).unwrap());
    }
}

#[test]
fn a_torn_file_of_a_push_that_was_not_acknowledged_is_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let digest = Digest::sha256(b"small");
    fs::write(file_of(folder.path(), &digest), "sm").unwrap();
    assert!(store.check(&mut |_| {}).unwrap().faults.is_empty());
    // It never becomes the content of a name.
    let link = Change::LinkBlob { repository: repository("a/b"), digest: digest.clone() };
    assert!(matches!(store.commit(vec![link]), Err(store::Error::BlobMissing { .. })));
    upload(&store, b"small");
    assert!(store.check(&mut |_| {}).unwrap().faults.is_empty());
    fs::write(file_of(folder.path(), &digest), "sm").unwrap();
    assert_eq!(store.check(&mut |_| {}).unwrap().faults.len(), 2, "a named blob is damaged");
}

#[test]
fn a_rebuild_after_a_crash_keeps_unflushed_content() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let store = Store::open(&root).unwrap();
    let [layer, _] = push(&store, "small");
    let names = dump(&store);
    let crashed = folder.path().join("crashed");
    copy(&root, &crashed);
    fs::write(file_of(&crashed, &layer), "").unwrap();
    fs::write(crashed.join("names.log"), "").unwrap();
    let report = Store::rebuild(&crashed, &mut |_| {}).unwrap();
    assert!(report.lost.is_empty() && report.quarantined.is_empty(), "{report:?}");
    assert_eq!(dump(&Store::open(&crashed).unwrap()), names);
}

#[test]
fn files_are_flushed_in_the_background_and_when_the_store_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Arc::new(Recorder::default());
    let store = Store::open_observed(folder.path(), recorder.clone()).unwrap();
    let count = |wanted| recorder.steps().iter().filter(|(step, _)| *step == wanted).count();
    let before = count(Step::SyncData);
    for number in 0..256 {
        upload(&store, format!("blob {number}").as_bytes());
    }
    let begun = std::time::Instant::now();
    while count(Step::SyncData) < before + 256 {
        assert!(begun.elapsed().as_secs() < 60, "{}", count(Step::SyncData));
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    upload(&store, b"one more");
    drop(store);
    assert_eq!(count(Step::SyncData), before + 257);
    assert_eq!(rows(folder.path()), 0);
}

#[test]
fn a_file_that_exists_is_never_replaced_by_one_that_is_not_flushed() {
    let folder = tempfile::tempdir().unwrap();
    let digest = upload(&Store::open(folder.path()).unwrap(), b"small");
    let recorder = Arc::new(Recorder::default());
    let store = Store::open_observed(folder.path(), recorder.clone()).unwrap();
    upload(&store, b"small");
    let steps: Vec<_> = recorder.steps().into_iter().map(|(step, _)| step).collect();
    let flush = steps.iter().position(|step| *step == Step::SyncData).unwrap();
    assert!(steps[flush..].contains(&Step::Rename), "{steps:?}");
    // A named blob whose file is gone is durable again after the next push.
    fs::remove_file(file_of(folder.path(), &digest)).unwrap();
    upload(&store, b"small");
    assert_eq!(rows(folder.path()), 1);
}

#[test]
fn a_collection_leaves_no_content_in_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let digest = upload(&store, b"small");
    store.commit(vec![Change::ReleaseLeases { holder: "push".into() }]).unwrap();
    assert_eq!(store.collect(&store.garbage().unwrap()).unwrap().blobs, 1);
    assert_eq!(rows(folder.path()), 0);
    drop(store);
    Store::open(folder.path()).unwrap();
    assert!(!file_of(folder.path(), &digest).exists());
}
