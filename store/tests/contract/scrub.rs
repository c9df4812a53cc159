//! Scrubs find every damaged and missing blob, and move no intact one.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oci::Digest;
use store::{Change, Damage, DamageKind, Error, ScrubControl, ScrubReport, Store};

use crate::rig::{file_of, manifest, push, put, repository};

fn scrub(store: &Store) -> ScrubReport {
    store.scrub(None, &ScrubControl::default(), &mut |_| {}).unwrap()
}

/// Stores an image of one blob; returns the blob.
fn image(store: &Store, note: &str) -> Digest {
    push(store, "a/b", note).unwrap();
    Digest::sha256(note.as_bytes())
}

fn kinds(report: &ScrubReport) -> Vec<(Digest, DamageKind)> {
    report.found.iter().map(|damage| (damage.digest.clone(), damage.kind)).collect()
}

#[test]
fn damaged_files_are_moved_away_and_reported_once_to_the_observer() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let told: Arc<Mutex<Vec<Damage>>> = Arc::default();
    let notes = Arc::clone(&told);
    store.observe_damage(move |damage| notes.lock().unwrap().push(damage.clone()));
    let [flipped, short, gone, other, mode] =
        ["flipped", "short", "gone", "other", "mode"].map(|note| image(&store, note));
    let path = |digest: &Digest| file_of(folder.path(), digest);
    fs::write(path(&flipped), "flopped").unwrap();
    fs::write(path(&short), "sho").unwrap();
    fs::remove_file(path(&gone)).unwrap();
    fs::remove_file(path(&other)).unwrap();
    fs::create_dir(path(&other)).unwrap();
    fs::write(path(&other).join("file"), "x").unwrap();
    fs::set_permissions(path(&mode), fs::Permissions::from_mode(0o444)).unwrap();
    let report = scrub(&store);
    let expected: BTreeSet<_> = [
        (flipped.clone(), DamageKind::Content),
        (short.clone(), DamageKind::Content),
        (gone.clone(), DamageKind::Missing),
        (other.clone(), DamageKind::NotAFile),
    ]
    .into();
    assert_eq!(kinds(&report).into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(report.permissions, 1);
    assert_eq!(fs::metadata(path(&mode)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(told.lock().unwrap().len(), 4);
    for digest in [&flipped, &short, &gone, &other] {
        assert!(store.blob(digest).unwrap().is_none() && store.is_lost(digest).unwrap());
        assert!(store.has_blob(digest).unwrap().is_none());
    }
    assert!(!store.is_lost(&mode).unwrap());
    assert_eq!(fs::read(folder.path().join("quarantine").join(flipped.hex())).unwrap(), b"flopped");
    let health = store.health().unwrap();
    let recorded: BTreeSet<_> =
        health.damaged.iter().map(|blob| (blob.damage.digest.clone(), blob.damage.kind)).collect();
    assert_eq!(recorded, expected);
    assert!(health.damaged.iter().all(|blob| blob.repositories == [repository("a/b")]));
    assert!(health.verified.is_some() && health.unfinished.is_none());
    // The same damage is not reported again.
    assert_eq!(scrub(&store).found, []);
    assert_eq!(told.lock().unwrap().len(), 4);
    // `store check` finds the same blobs.
    assert_eq!(store.check(&mut |_| {}).unwrap().faults.len(), 4);
    for note in ["flipped", "short", "gone", "other"] {
        put(&store, note.as_bytes()).unwrap();
    }
    assert_eq!(store.health().unwrap().damaged, []);
    assert_eq!(scrub(&store).found, []);
    assert!(store.check(&mut |_| {}).unwrap().faults.is_empty());
}

/// What the serving path finds is recorded like what a scrub finds.
#[test]
fn damage_that_a_download_finds_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let digest = image(&Store::open(folder.path()).unwrap(), "v1");
    fs::write(file_of(folder.path(), &digest), "v2").unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert!(store.blob(&digest).unwrap().is_none());
    // Recorded by the committing thread, before the next commit.
    store.check_writable().unwrap();
    let damaged = store.health().unwrap().damaged;
    assert_eq!((damaged.len(), damaged[0].damage.kind), (1, DamageKind::Content));
    // Content that nothing needs any more is no damage.
    store.commit(vec![Change::DeleteRepository { repository: repository("a/b") }]).unwrap();
    assert!(store.health().unwrap().damaged.is_empty() && !store.is_lost(&digest).unwrap());
    assert_eq!(scrub(&store).found, []);
}

/// A blob that was pushed, and that no manifest names yet, may be collected; that is no damage.
#[test]
fn a_blob_that_no_manifest_needs_is_not_missing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let digest = put(&store, b"loose").unwrap();
    store.commit(vec![Change::LinkBlob { repository: repository("a/b"), digest: digest.clone() }]).unwrap();
    fs::remove_file(file_of(folder.path(), &digest)).unwrap();
    assert_eq!(scrub(&store).found, []);
}

#[test]
fn a_scrub_that_was_stopped_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for number in 0..40 {
        image(&store, &format!("image-{number}"));
    }
    let total = store.check(&mut |_| {}).unwrap().blobs;
    let control = ScrubControl::default();
    let read = AtomicUsize::new(0);
    let first = store
        .scrub(None, &control, &mut |_| {
            if read.fetch_add(1, Ordering::SeqCst) == 30 {
                control.stop();
            }
        })
        .unwrap();
    assert!(first.stopped && first.blobs >= 30 && first.blobs < total, "{first:?}");
    assert!(store.health().unwrap().unfinished.is_some() && store.health().unwrap().verified.is_none());
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    let second = scrub(&store);
    assert!(!second.stopped && second.blobs == total - first.blobs, "{first:?} {second:?}");
    assert!(store.health().unwrap().unfinished.is_none() && store.health().unwrap().verified.is_some());
    // A new pass reads everything; one with an age reads what is older.
    assert_eq!(scrub(&store).blobs, total);
    let aged = |age| store.scrub(Some(age), &ScrubControl::default(), &mut |_| {}).unwrap().blobs;
    assert_eq!((aged(Duration::from_hours(1)), aged(Duration::ZERO)), (0, total));
}

#[test]
fn two_scrubs_do_not_run_at_once_and_a_reader_cannot_scrub() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    image(&store, "v1");
    let other = Store::open(folder.path()).unwrap();
    let control = ScrubControl::default();
    store
        .scrub(None, &control, &mut |_| {
            let refused = other.scrub(None, &control, &mut |_| {}).unwrap_err();
            assert!(matches!(refused, Error::Scrubbing(_)) && refused.hint().is_some());
        })
        .unwrap();
    let reader = Store::open_to_read(folder.path()).unwrap();
    assert!(matches!(reader.scrub(None, &control, &mut |_| {}), Err(Error::ReadOnly(_))));
}

/// Intact files that are replaced, claimed, deleted, collected and mounted during scrubs are never moved away.
#[test]
fn intact_blobs_that_change_during_a_scrub_are_neither_moved_nor_reported() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap());
    let root = folder.path();
    let open = || Store::open_with_grace(root, Duration::ZERO).unwrap();
    let (pushing, collecting, scrubbing) = (open(), open(), open());
    let stop = AtomicBool::new(false);
    let contents: Vec<Vec<u8>> = (0..8_u8).map(|n| vec![n; 300_000]).collect();
    let (mut scrubs, pushes, collected) = (0, AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !stop.load(Ordering::SeqCst) {
                number += 1;
                let content = &contents[number % contents.len()];
                let digest = put(&pushing, content).unwrap();
                pushing.has_blob(&digest).unwrap();
                let image = manifest(&digest, content.len(), &format!("{}", number % 3), None);
                let of = image.digest();
                let mut changes = Change::expect_blobs(&repository("a/b"), &image);
                let repository = repository("a/b");
                changes.push(Change::PutManifest {
                    repository: repository.clone(),
                    digest: of.clone(),
                    manifest: image,
                });
                match pushing.commit(changes) {
                    Ok(()) => drop(pushes.fetch_add(1, Ordering::SeqCst)),
                    Err(Error::BlobMissing { .. }) => continue,
                    Err(error) => panic!("{error:?}"),
                }
                if number % 2 == 0 {
                    pushing.commit(vec![Change::DeleteManifest { repository, digest: of }]).unwrap();
                }
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let removed = collecting.collect(&collecting.garbage().unwrap()).unwrap();
                collected.fetch_add(usize::try_from(removed.blobs).unwrap(), Ordering::SeqCst);
            }
        });
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(if crate::rig::long() { 120 } else { 4 }) {
            let report = scrub(&scrubbing);
            if !report.found.is_empty() {
                stop.store(true, Ordering::SeqCst);
                panic!("{report:?}");
            }
            scrubs += 1;
        }
        stop.store(true, Ordering::SeqCst);
    });
    println!("{scrubs} scrubs, {pushes:?} pushes, {collected:?} blobs collected");
    assert!(scrubs > 2 && pushes.into_inner() > 5 && collected.into_inner() > 2);
    assert!(!root.join("quarantine").exists());
    assert_eq!(scrubbing.health().unwrap().damaged, []);
    assert!(scrubbing.check(&mut |_| {}).unwrap().faults.is_empty());
}

/// A file that exists and cannot be read stays; the blob is absent until a push replaces the file.
#[test]
fn an_unreadable_file_stays_and_is_replaced_by_a_push() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let digest = image(&store, "v1");
    let path = file_of(folder.path(), &digest);
    // A link to itself cannot be opened by anyone, root included.
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    assert_eq!(kinds(&scrub(&store)), [(digest.clone(), DamageKind::Unreadable)]);
    assert!(is_link(&path), "it was moved");
    assert!(store.is_lost(&digest).unwrap());
    assert_eq!(store.health().unwrap().damaged.len(), 1);
    put(&store, b"v1").unwrap();
    assert!(!store.is_lost(&digest).unwrap() && store.health().unwrap().damaged.is_empty());
    assert_eq!(scrub(&store).found, []);
    // Many of them in a row mean that the disk fails.
    for number in 0..20 {
        let path = file_of(folder.path(), &image(&store, &format!("image-{number}")));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&path, &path).unwrap();
    }
    for row in store.manifests(&repository("a/b")).unwrap() {
        let path = file_of(folder.path(), &row.digest);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&path, &path).unwrap();
    }
    let failed = store.scrub(None, &ScrubControl::default(), &mut |_| {}).unwrap_err();
    assert!(matches!(failed, Error::DiskFails(16)) && failed.hint().is_some(), "{failed:?}");
    assert!(!folder.path().join("quarantine").exists());
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_symlink())
}
