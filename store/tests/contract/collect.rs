//! Garbage collection while other processes push, mount, move tags and delete: no acknowledged manifest lacks a blob, and
//! the last collection leaves nothing that is not needed. `AIRLOCK_TEST_LONG=1` runs for minutes.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use oci::{Digest, RepositoryName, Selector};
use store::durable::{Observer, Step};
use store::{Change, Error, Store, Untagged};

use crate::rig::{file_of, long, manifest, put, repository, tag};

const GRACE: Duration = Duration::from_millis(500);

/// A folder in memory if possible: its flushes take no time, so more operations meet.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn link(name: &str, digest: &Digest) -> Change {
    Change::LinkBlob { repository: repository(name), digest: digest.clone() }
}

fn collect(store: &Store) -> store::Collected {
    store.collect(&store.garbage().unwrap()).unwrap()
}

#[test]
fn a_blob_that_another_process_published_or_found_stays_for_a_while() {
    let folder = folder();
    let open = || Store::open_with_grace(folder.path(), GRACE).unwrap();
    let (one, other) = (open(), open());
    let digest = put(&one, b"content").unwrap();
    let expect = |blobs: u64| {
        let collected = collect(&other);
        assert_eq!((collected.blobs, collected.recent), (blobs, 1 - blobs));
    };
    expect(0);
    std::thread::sleep(GRACE);
    assert_eq!(one.has_blob(&digest).unwrap(), Some(7));
    expect(0);
    std::thread::sleep(GRACE);
    let mut writer = one.writer_over(&digest).unwrap();
    writer.write(b"content").unwrap();
    writer.publish(Some(&digest)).unwrap();
    expect(0);
    std::thread::sleep(GRACE);
    expect(1);
    assert_eq!(one.has_blob(&digest).unwrap(), None);
    // A process that is gone relies on nothing.
    put(&one, b"content").unwrap();
    drop(one);
    expect(1);
}

/// Runs something once, just before a step.
struct Hook(Step, Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Observer for Hook {
    fn before(&self, step: Step, _: &Path) -> io::Result<()> {
        if step == self.0
            && let Some(action) = self.1.lock().unwrap().take()
        {
            action();
        }
        Ok(())
    }
}

/// The blob is seen, then garbage collection decides to remove it, then a commit names it.
#[test]
fn a_commit_during_a_removal_waits_and_fails() {
    let folder = folder();
    let digest = put(&Store::open(folder.path()).unwrap(), b"content").unwrap();
    let image = manifest(&digest, 7, "image", None);
    for step in [Step::Remove, Step::CommitDatabase] {
        let other = Store::open_with_grace(folder.path(), Duration::ZERO).unwrap();
        let digest = put(&other, b"content").unwrap();
        other.commit(vec![link("a/b", &digest), Change::ReleaseLeases { holder: "push".into() }]).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let pushing: Arc<Mutex<Option<std::thread::JoinHandle<_>>>> = Arc::default();
        let (flag, thread, image) = (Arc::clone(&ended), Arc::clone(&pushing), image.clone());
        let push = move || {
            let of = image.digest();
            let mut changes = Change::expect_blobs(&repository("a/b"), &image);
            changes.push(Change::PutManifest { repository: repository("a/b"), digest: of, manifest: image });
            let (mark, store) = (Arc::clone(&flag), other);
            *thread.lock().unwrap() = Some(std::thread::spawn(move || {
                let outcome = store.commit(changes);
                mark.store(true, Ordering::SeqCst);
                outcome
            }));
            std::thread::sleep(Duration::from_millis(200));
            assert!(!flag.load(Ordering::SeqCst), "the commit did not wait");
        };
        let hook = Arc::new(Hook(step, Mutex::new(Some(Box::new(push)))));
        let collector = Store::open_observed(folder.path(), hook).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let plan = collector.garbage().unwrap();
        assert_eq!(plan.blobs.len(), 1);
        let collected = collector.collect_after(&plan, Duration::ZERO).unwrap();
        let outcome = pushing.lock().unwrap().take().unwrap().join().unwrap();
        match outcome {
            Err(Error::BlobMissing { digest: missing, .. }) => {
                assert!(missing == digest && collected.blobs == 1);
                assert!(!file_of(folder.path(), &digest).exists());
            }
            // It came between the removal of the link and that of the file.
            Ok(()) => assert!(step == Step::CommitDatabase && collected.blobs == 0),
            other => panic!("{other:?}"),
        }
        assert!(collector.check(&mut |_| {}).unwrap().faults.is_empty());
        let _ = collector.commit(vec![Change::DeleteRepository { repository: repository("a/b") }]);
        collect(&collector);
    }
}

const REPOSITORIES: [&str; 3] = ["a/a", "b/b", "c/c"];
const CONTENTS: u64 = 5;

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn repository(&mut self) -> RepositoryName {
        repository(REPOSITORIES[usize::try_from(self.below(3)).unwrap()])
    }
}

/// A push as a client makes it: it asks for the blob, uploads or mounts it if it is missing, and then names it.
fn push(store: &Store, random: &mut Random) -> store::Result<(RepositoryName, Digest)> {
    let name = random.repository();
    let content = format!("content {}", random.below(CONTENTS));
    let blob = Digest::sha256(content.as_bytes());
    store.has_blob(&blob)?;
    if store.blob_in(&name, &blob)?.is_none() || store.blob(&blob)?.is_none() {
        let mounted = random.below(2) == 0 && !store.repositories_with_blob(&blob, 1)?.is_empty();
        if !mounted {
            put(store, content.as_bytes())?;
        }
        store.commit(vec![link(name.as_str(), &blob)])?;
    }
    if random.below(2) == 0 {
        std::thread::sleep(Duration::from_micros(random.below(3000)));
    }
    let image = manifest(&blob, content.len(), &format!("{}", random.below(4)), None);
    let digest = image.digest();
    let mut changes = Change::expect_blobs(&name, &image);
    changes.push(Change::PutManifest { repository: name.clone(), digest: digest.clone(), manifest: image });
    if random.below(3) > 0 {
        let tag = tag(&format!("t{}", random.below(3)));
        changes.push(Change::SetTag { repository: name.clone(), tag, digest: digest.clone() });
    }
    store.commit(changes)?;
    Ok((name, digest))
}

/// A deletion or a move of a tag.
fn interfere(store: &Store, random: &mut Random) -> store::Result<()> {
    let name = random.repository();
    let manifests = store.manifests(&name)?;
    let pick = |random: &mut Random| -> Option<Digest> {
        let at = random.below(manifests.len().max(1) as u64);
        manifests.get(usize::try_from(at).unwrap()).map(|row| row.digest.clone())
    };
    let (tag, release) =
        (tag(&format!("t{}", random.below(3))), Change::ReleaseLeases { holder: "push".to_owned() });
    let change = match (random.below(5), pick(random)) {
        (0, _) => Change::DeleteTag { repository: name, tag },
        (1, Some(digest)) => Change::SetTag { repository: name, tag, digest },
        (2, _) => Change::DeleteRepository { repository: name },
        (_, Some(digest)) => Change::DeleteManifest { repository: name, digest },
        (_, None) => return Ok(()),
    };
    // Without leases, blobs without a manifest are garbage at once.
    store.commit(vec![change, release])
}

/// Whether a manifest of a repository lacks a blob. It may be deleted meanwhile, so it must lack it several times.
fn lacks_a_blob(store: &Store, root: &Path, name: &RepositoryName, digest: &Digest) -> bool {
    (0..4).all(|_| {
        let row = store.resolve(name, &Selector::Digest(digest.clone())).unwrap();
        if row.is_none() {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
        let Ok(Some(manifest)) = store.manifest(name, digest) else { return true };
        manifest.blobs().any(|blob| {
            !file_of(root, &blob.digest).exists() || store.blob_in(name, &blob.digest).unwrap().is_none()
        })
    })
}

/// What happened.
#[derive(Default)]
struct Tally {
    stop: AtomicBool,
    pushed: AtomicU64,
    lost: AtomicU64,
    collected: AtomicU64,
}

impl Tally {
    /// Repeats work until the end. Only the errors of a lost race are expected.
    fn repeat<T>(&self, mut work: impl FnMut() -> store::Result<T>, mut then: impl FnMut(T)) {
        while !self.stop.load(Ordering::SeqCst) {
            match work() {
                Ok(done) => then(done),
                Err(Error::BlobMissing { .. } | Error::ManifestMissing { .. }) => {
                    self.lost.fetch_add(1, Ordering::SeqCst);
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

/// A blob is never recent here, so only the transactions protect it.
#[test]
fn pushes_mounts_deletes_and_collections_of_several_processes_lose_nothing() {
    let folder = folder();
    let root = folder.path();
    let open = || Store::open_with_grace(root, Duration::ZERO).unwrap();
    let (one, two, collector) = (open(), open(), open());
    let tally = Tally::default();
    let time = if long() { Duration::from_mins(5) } else { Duration::from_secs(6) };
    std::thread::scope(|scope| {
        for (seed, store) in [&one, &two, &one, &two].into_iter().enumerate() {
            let (tally, mut random) = (&tally, Random(0x9e37_79b9_7f4a_7c15 + seed as u64));
            scope.spawn(move || {
                tally.repeat(
                    || push(store, &mut random),
                    |(name, digest)| {
                        tally.pushed.fetch_add(1, Ordering::SeqCst);
                        assert!(!lacks_a_blob(store, root, &name, &digest), "{name}@{digest} lacks a blob");
                    },
                );
            });
        }
        for (seed, store) in [&one, &two].into_iter().enumerate() {
            let (tally, mut random) = (&tally, Random(0x2545_f491_4f6c_dd1d + seed as u64));
            scope.spawn(move || {
                tally.repeat(
                    || interfere(store, &mut random),
                    |()| std::thread::sleep(Duration::from_micros(500)),
                );
            });
        }
        let (tally, collector) = (&tally, &collector);
        scope.spawn(move || {
            let mut rounds = 0;
            let mut work = || {
                rounds += 1;
                if rounds % 4 == 0 {
                    let now = SystemTime::now();
                    collector.delete_untagged(
                        &collector.untagged(now, &Untagged::new())?,
                        now,
                        &Untagged::new(),
                    )?;
                }
                collector.collect(&collector.garbage()?)
            };
            tally.repeat(&mut work, |collected| {
                tally.collected.fetch_add(collected.blobs, Ordering::SeqCst);
            });
        });
        let begun = Instant::now();
        while begun.elapsed() < time && !std::thread::panicking() {
            std::thread::sleep(Duration::from_millis(50));
        }
        tally.stop.store(true, Ordering::SeqCst);
    });
    let count = |number: &AtomicU64| number.load(Ordering::SeqCst);
    let (pushed, lost, collected) = (count(&tally.pushed), count(&tally.lost), count(&tally.collected));
    println!("{pushed} pushes, {lost} lost races, {collected} blobs collected");
    assert!(pushed >= 20 && collected >= 10, "{pushed} pushes, {collected} blobs collected");
    drop((one, two));
    assert_clean(&collector, root);
}

/// Nothing is missing, and a last collection leaves only what is needed.
fn assert_clean(store: &Store, root: &Path) {
    assert_eq!(store.check(&mut |_| {}).unwrap().faults, []);
    store.commit(vec![Change::ReleaseLeases { holder: "push".to_owned() }]).unwrap();
    let later = SystemTime::now() + Duration::from_mins(1);
    let none = Untagged::new();
    store.delete_untagged(&store.untagged(later, &none).unwrap(), later, &none).unwrap();
    assert_eq!(collect(store).recent, 0);
    assert!(store.garbage().unwrap().blobs.is_empty());
    let mut needed = std::collections::BTreeSet::new();
    for name in store.repositories(None, None).unwrap() {
        let tagged = store.tags(&name, None, None).unwrap().into_iter().map(|(_, digest)| digest);
        let tagged: std::collections::BTreeSet<Digest> = tagged.collect();
        for row in store.manifests(&name).unwrap() {
            assert!(tagged.contains(&row.digest), "{name}@{} is untagged", row.digest);
            let manifest = store.manifest(&name, &row.digest).unwrap().unwrap();
            needed.extend(manifest.blobs().map(|blob| blob.digest.clone()));
            needed.insert(row.digest);
        }
    }
    let report = store.check(&mut |_| {}).unwrap();
    assert_eq!((report.faults, report.blobs), (Vec::new(), needed.len() as u64));
    assert_eq!(std::fs::read_dir(root.join("uploads")).unwrap().count(), 0);
}
