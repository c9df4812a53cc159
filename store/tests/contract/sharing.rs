//! Several handles of one store, uploads and downloads that resume, and damaged blobs.

use oci::{Algorithm, Digest};
use store::{Change, CheckFault, Error, Store};

use crate::rig::{dump, push, put, repository};

#[test]
fn two_handles_see_each_others_commits() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (Store::open(folder.path()).unwrap(), Store::open(folder.path()).unwrap());
    for number in 0..10 {
        push(if number % 2 == 0 { &one } else { &other }, "a/b", &format!("v{number}")).unwrap();
    }
    assert_eq!(dump(&one), dump(&other));
    assert_eq!(one.tags(&repository("a/b"), None, None).unwrap().len(), 10);
}

#[test]
fn concurrent_creations_of_one_store_all_open_it() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let root = folder.path().join("store");
                scope
                    .spawn(move || push(&Store::open(&root).unwrap(), "a/b", &format!("v{number}")).unwrap());
            }
        });
        let store = Store::open(&folder.path().join("store")).unwrap();
        assert_eq!(store.tags(&repository("a/b"), None, None).unwrap().len(), 8);
    }
}

#[test]
fn an_upload_resumes_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let name = repository("a/b");
    let id = {
        let store = Store::open(folder.path()).unwrap();
        let id = store.create_upload(&name).unwrap();
        store.upload(&name, &id).unwrap().unwrap().write(b"hello ").unwrap();
        id
    };
    let store = Store::open(folder.path()).unwrap();
    assert!(store.upload(&repository("other"), &id).unwrap().is_none());
    let mut upload = store.upload(&name, &id).unwrap().unwrap();
    assert_eq!(upload.offset(), 6);
    assert!(matches!(store.upload(&name, &id), Err(Error::UploadBusy(_))));
    upload.write(b"world").unwrap();
    let wrong = upload.publish(&Digest::sha256(b"other"));
    assert!(matches!(wrong, Err(Error::DigestMismatch { .. })));
    let upload = store.upload(&name, &id).unwrap().unwrap();
    let digest = Digest::of(Algorithm::Sha512, b"hello world");
    assert_eq!(upload.publish(&digest).unwrap(), 11);
    assert_eq!(store.has_blob(&digest).unwrap(), Some(11));
    assert!(store.upload(&name, &id).unwrap().is_none());
    let id = store.create_upload(&name).unwrap();
    assert!(store.cancel_upload(&name, &id).unwrap() && !store.cancel_upload(&name, &id).unwrap());
}

#[test]
fn a_download_resumes_and_starts_over_if_it_was_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let digest = Digest::sha256(b"hello world");
    store.partial(&digest).unwrap().write(b"hello ").unwrap();
    let mut partial = store.partial(&digest).unwrap();
    assert!(matches!(store.partial(&digest), Err(Error::PartialBusy { .. })));
    assert_eq!(partial.len(), 6);
    partial.write(b"w0rld").unwrap();
    assert!(matches!(partial.publish(), Err(Error::DigestMismatch { .. })));
    let mut partial = store.partial(&digest).unwrap();
    assert!(partial.is_empty());
    partial.write(b"hello world").unwrap();
    assert_eq!(partial.publish().unwrap(), 11);
}

#[test]
fn a_damaged_blob_is_reported_and_repaired_by_the_same_content() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    push(&store, "a/b", "v1").unwrap();
    let digest = Digest::sha256(b"v1");
    let path = folder.path().join("blobs/sha256").join(&digest.hex()[..2]).join(digest.hex());
    std::fs::write(&path, b"v2").unwrap();
    let report = store.check(&mut |_| {}).unwrap();
    assert_eq!(report.faults, [CheckFault::Corrupt { digest, found: Digest::sha256(b"v2") }]);
    put(&store, b"v1").unwrap();
    assert!(store.check(&mut |_| {}).unwrap().faults.is_empty());
}

#[test]
fn a_folder_with_other_content_is_not_a_store() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("letter.txt"), "dear").unwrap();
    assert!(matches!(Store::open(folder.path()), Err(Error::NotAStore(_))));
    assert!(matches!(Store::open_existing(&folder.path().join("none")), Err(Error::Absent(_))));
}

#[test]
fn an_abandoned_upload_is_removed_and_one_in_use_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let name = repository("a/b");
    let (idle, held) = (store.create_upload(&name).unwrap(), store.create_upload(&name).unwrap());
    let mut upload = store.upload(&name, &held).unwrap().unwrap();
    let hour = std::time::Duration::from_hours(1);
    let now = std::time::SystemTime::now();
    assert_eq!(store.expire_uploads(now - hour).unwrap(), 0);
    assert_eq!(store.expire_uploads(now + hour).unwrap(), 1);
    assert!(store.upload(&name, &idle).unwrap().is_none());
    upload.write(b"still here").unwrap();
    upload.publish(&Digest::sha256(b"still here")).unwrap();
}

/// As on a read-only file system, where SQLite cannot create files beside the database.
#[test]
fn reading_an_immutable_store_creates_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("a %3f#?b");
    assert!(matches!(Store::open_immutable(&root), Err(Error::Absent(_))));
    let before = {
        let store = Store::open(&root).unwrap();
        push(&store, "a/b", "v1").unwrap();
        dump(&store)
    };
    let listing =
        || std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    let files = listing();
    let store = Store::open_immutable(&root).unwrap();
    assert_eq!(dump(&store), before);
    assert!(store.is_read_only() && store.check(&mut |_| {}).unwrap().faults.is_empty());
    assert!(matches!(store.commit(Vec::new()), Err(Error::ReadOnly(_))));
    assert_eq!(listing(), files);
    std::fs::write(root.join("airlock.db-wal"), "not in the database yet").unwrap();
    assert!(matches!(Store::open_immutable(&root), Err(Error::Unfinished(_))));
}

/// A reader without write permission sees what a running writer has written.
#[test]
fn a_store_is_read_while_another_process_writes() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Store::open(folder.path()).unwrap();
    push(&writer, "a/b", "v1").unwrap();
    let reader = Store::open_to_read(folder.path()).unwrap();
    assert_eq!(dump(&reader), dump(&writer));
    push(&writer, "a/b", "v2").unwrap();
    assert_eq!(dump(&reader), dump(&writer));
    assert!(reader.is_read_only() && matches!(reader.commit(Vec::new()), Err(Error::ReadOnly(_))));
    assert!(matches!(Store::open_to_read(&folder.path().join("none")), Err(Error::Absent(_))));
}

#[test]
fn notes_are_stored_replaced_and_deleted_and_survive_a_rebuild() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let note = |name: &str, value| Change::Note { name: name.to_owned(), value };
    store.commit(vec![note("a/one", Some(1)), note("a/two", Some(2)), note("b", Some(3))]).unwrap();
    store.commit(vec![note("a/one", Some(7)), note("a/two", None)]).unwrap();
    drop(store);
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.path().join(format!("airlock.db{suffix}")));
    }
    Store::rebuild(folder.path(), &mut |_| {}).unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!((store.note("a/one").unwrap(), store.note("a/two").unwrap()), (Some(7), None));
    assert_eq!(store.notes("a").unwrap(), [("a/one".to_owned(), 7)]);
}
