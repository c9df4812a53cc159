//! Blobs that do not hash to their names are detected, quarantined and restored; blobs that may not be durable are flushed.

use std::fs;
use std::sync::Arc;

use oci::{Digest, Selector};
use store::durable::Step::{CommitDatabase, SyncData, SyncDirectory};
use store::{BlobWriter, Change, CheckFault, Error, Store};

use crate::rig::{Recorder, file_of, manifest, push, put, repository, tag};

/// Sends bytes through a writer in pieces, as an import does.
fn feed(mut writer: BlobWriter, bytes: &[u8], digest: &Digest) -> store::Result<()> {
    for piece in bytes.chunks(7) {
        writer.write(piece)?;
    }
    writer.publish(Some(digest)).map(|_| ())
}

#[test]
fn a17_bytes_that_are_read_anyway_replace_a_damaged_blob() {
    let content: Vec<u8> = (0..100).collect();
    let digest = Digest::sha256(&content);
    let mut damaged: Vec<Vec<u8>> =
        vec![Vec::new(), content[..50].to_vec(), [&content[..], b"more"].concat()];
    damaged.extend([0, 6, 7, 50, 99].map(|at| {
        let mut bytes = content.clone();
        bytes[at] ^= 1;
        bytes
    }));
    for bytes in damaged {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        put(&store, &content).unwrap();
        store
            .commit(vec![Change::LinkBlob { repository: repository("a/b"), digest: digest.clone() }])
            .unwrap();
        fs::write(file_of(folder.path(), &digest), &bytes).unwrap();
        feed(store.writer_over(&digest).unwrap(), &content, &digest).unwrap();
        assert_eq!(fs::read(file_of(folder.path(), &digest)).unwrap(), content, "{bytes:?}");
        assert!(store.check(&mut |_| {}).unwrap().faults.is_empty());
        assert_eq!(fs::read_dir(folder.path().join("uploads")).unwrap().count(), 0);
    }
}

#[test]
fn a17_an_intact_blob_is_not_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Arc::new(Recorder::default());
    let store = Store::open_observed(folder.path(), recorder.clone()).unwrap();
    let digest = put(&store, b"content").unwrap();
    store.commit(vec![Change::LinkBlob { repository: repository("a/b"), digest: digest.clone() }]).unwrap();
    let before = recorder.steps().len();
    feed(store.writer_over(&digest).unwrap(), b"content", &digest).unwrap();
    let (unhashed, mut hasher) = store.writer_over(&digest).unwrap().split();
    let mut unhashed = unhashed;
    unhashed.write(b"content").unwrap();
    hasher.update(b"content");
    unhashed.join(hasher).unwrap().publish(Some(&digest)).unwrap();
    assert_eq!(recorder.steps().len(), before);
    let wrong = feed(store.writer_over(&digest).unwrap(), b"c0ntent", &digest);
    assert!(matches!(wrong, Err(Error::DigestMismatch { .. })));
    assert_eq!(fs::read(file_of(folder.path(), &digest)).unwrap(), b"content");
}

/// A killed process may have renamed a blob without flushing its folder: that a file exists does not prove it durable.
#[test]
fn c7_a_blob_without_a_row_is_flushed_before_a_row_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let blob = {
        let store = Store::open(folder.path()).unwrap();
        put(&store, &vec![7; 200_000]).unwrap()
    };
    let image = manifest(&blob, 200_000, "image", None);
    let changes: [fn(Digest, oci::Manifest) -> Change; 2] = [
        |digest, _| Change::LinkBlob { repository: repository("a/b"), digest },
        |_, manifest| Change::PutManifest {
            repository: repository("a/b"),
            digest: manifest.digest(),
            manifest,
        },
    ];
    for (change, fresh) in changes.into_iter().zip([true, false]) {
        let recorder = Arc::new(Recorder::default());
        let store = Store::open_observed(folder.path(), recorder.clone()).unwrap();
        let before = recorder.steps().len();
        store.commit(vec![change(blob.clone(), image.clone())]).unwrap();
        let path = file_of(folder.path(), &blob);
        let steps = recorder.steps()[before..].to_vec();
        let flushed = steps.iter().position(|(step, at)| *step == SyncData && *at == path);
        let folder_flushed =
            steps.iter().position(|(step, at)| *step == SyncDirectory && at == path.parent().unwrap());
        let committed = steps.iter().position(|(step, _)| *step == CommitDatabase);
        if fresh {
            assert!(flushed.is_some() && flushed < folder_flushed && folder_flushed < committed, "{steps:?}");
        } else {
            assert!(flushed.is_none(), "flushed although a row names it: {steps:?}");
        }
    }
}

/// The same if an import compares instead of writing.
#[test]
fn c7_an_existing_blob_without_a_row_is_flushed() {
    let folder = tempfile::tempdir().unwrap();
    let blob = put(&Store::open(folder.path()).unwrap(), b"left behind").unwrap();
    let recorder = Arc::new(Recorder::default());
    let store = Store::open_observed(folder.path(), recorder.clone()).unwrap();
    feed(store.writer_over(&blob).unwrap(), b"left behind", &blob).unwrap();
    let path = file_of(folder.path(), &blob);
    assert!(recorder.steps().iter().any(|(step, at)| *step == SyncData && *at == path));
}

#[test]
fn r12_a_damaged_manifest_is_absent_quarantined_and_healed_by_the_next_push() {
    let folder = tempfile::tempdir().unwrap();
    let digest = push(&Store::open(folder.path()).unwrap(), "a/b", "v1").unwrap();
    let path = file_of(folder.path(), &digest);
    let intact = fs::read(&path).unwrap();
    for bytes in [b"{}".to_vec(), Vec::new(), intact[1..].to_vec(), [b" ", &intact[..]].concat()] {
        fs::write(&path, &bytes).unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(store.manifest(&repository("a/b"), &digest).unwrap().is_none());
        assert!(store.blob(&digest).unwrap().is_none());
        assert!(!path.exists());
        assert_eq!(fs::read(folder.path().join("quarantine").join(digest.hex())).unwrap(), bytes);
        push(&store, "a/b", "v1").unwrap();
        assert_eq!(store.manifest(&repository("a/b"), &digest).unwrap().unwrap().bytes(), &intact[..]);
        assert!(store.check(&mut |_| {}).unwrap().faults.is_empty());
    }
}

#[test]
fn r12_a_damaged_blob_is_absent_quarantined_and_healed_by_the_next_push() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    push(&store, "a/b", "v1").unwrap();
    let digest = Digest::sha256(b"v1");
    let path = file_of(folder.path(), &digest);
    // For the store handle that published it, and for one that uses it for the first time.
    for store in [store, Store::open(folder.path()).unwrap()] {
        assert!(store.blob(&digest).unwrap().is_some());
        fs::write(&path, b"v2").unwrap();
        assert!(store.blob(&digest).unwrap().is_none() && store.blob(&digest).unwrap().is_none());
        assert!(!path.exists() && folder.path().join("quarantine").join(digest.hex()).exists());
        put(&store, b"v1").unwrap();
        assert!(store.blob(&digest).unwrap().is_some());
    }
}

/// A reader moves no files.
#[test]
fn r12_a_reader_without_write_permission_returns_no_damaged_blob() {
    let folder = tempfile::tempdir().unwrap();
    let digest = push(&Store::open(folder.path()).unwrap(), "a/b", "v1").unwrap();
    let path = file_of(folder.path(), &digest);
    fs::write(&path, "rotten").unwrap();
    let store = Store::open_to_read(folder.path()).unwrap();
    assert!(store.manifest(&repository("a/b"), &digest).unwrap().is_none());
    assert!(path.exists() && !folder.path().join("quarantine").exists());
}

#[test]
fn d20_a_manifest_with_wrong_sizes_is_rejected_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let blob = put(&store, b"four").unwrap();
    for size in [0, 3, 5] {
        let wrong = manifest(&blob, size, "wrong", None);
        let digest = wrong.digest();
        let put =
            Change::PutManifest { repository: repository("a/b"), digest: digest.clone(), manifest: wrong };
        let set = Change::SetTag { repository: repository("a/b"), tag: tag("v1"), digest };
        let refused = store.commit(vec![put, set]).unwrap_err();
        assert!(matches!(refused, Error::DescriptorSize { found: 4, .. }) && refused.hint().is_some());
        assert!(store.resolve(&repository("a/b"), &Selector::Tag(tag("v1"))).unwrap().is_none());
    }
    assert_eq!(store.size_mismatches(&manifest(&blob, 5, "wrong", None)).len(), 1);
    assert!(store.size_mismatches(&manifest(&blob, 4, "right", None)).is_empty());
}

#[test]
fn a_pushed_manifest_links_nothing_and_is_compared_with_its_own_repository_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let blob = put(&store, b"four").unwrap();
    let link = |name: &str| {
        store.commit(vec![Change::LinkBlob { repository: repository(name), digest: blob.clone() }]).unwrap();
    };
    let push = |size| {
        let manifest = manifest(&blob, size, "pushed", None);
        let digest = manifest.digest();
        store.commit(vec![Change::PushManifest { repository: repository("a/b"), digest, manifest }])
    };
    link("other");
    for size in [4, 5] {
        assert!(matches!(push(size), Err(Error::BlobMissing { .. })), "{size}");
        assert_eq!(store.blob_in(&repository("a/b"), &blob).unwrap(), None);
    }
    link("a/b");
    assert!(matches!(push(5), Err(Error::DescriptorSize { found: 4, .. })));
    push(4).unwrap();
}

/// A check finds manifests that were pushed before their content, and those that an older version accepted.
#[test]
fn d20_a_check_reports_wrong_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let early = manifest(&Digest::sha256(b"four"), 5, "early", None);
    let (name, digest) = (repository("a/b"), early.digest());
    store
        .commit(vec![Change::PutManifest { repository: name, digest: digest.clone(), manifest: early }])
        .unwrap();
    let blob = put(&store, b"four").unwrap();
    let faults = store.check(&mut |_| {}).unwrap().faults;
    assert_eq!(faults, [CheckFault::DescriptorSize { manifest: digest, digest: blob, said: 5, found: 4 }]);
    drop(store);
    // A rebuild restores the existing names and does not stop half-way.
    assert_eq!(Store::rebuild(folder.path(), &mut |_| {}).unwrap().manifests, 1);
}
