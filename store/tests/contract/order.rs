//! Data, rename, folder, database: in this order, before success is reported. Small content is in the database's own flush.

use std::process::Command;
use std::sync::Arc;

use store::Store;
use store::durable::Step::{CommitDatabase, Create, Rename, SyncData, SyncDirectory, SyncJournal, Write};

use crate::rig::{Recorder, push, put};

const CHILD: &str = "STORE_TEST_CHILD";

#[test]
fn each_step_follows_the_one_that_it_depends_on() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    let recorder = Arc::new(Recorder::default());
    let store = Store::open_observed(folder.path(), recorder.clone()).unwrap();
    push(&store, "a/b", "v1").unwrap();
    let steps: Vec<_> = recorder.steps().into_iter().map(|(step, _)| step).collect();
    let blob = [Create, Write, SyncData, Rename, SyncDirectory];
    let expected = [&blob[..], &[CommitDatabase], &[Create, Write, Rename, CommitDatabase]].concat();
    assert_eq!(steps, expected);
    // The file of the manifest and the journal are flushed at the latest when the store is closed.
    drop(store);
    let steps = recorder.steps().into_iter().map(|(step, _)| step).skip(expected.len());
    assert_eq!(steps.collect::<Vec<_>>(), [SyncJournal, SyncData, SyncDirectory]);
}

/// The same, as the system calls show it: the child pushes under strace.
#[test]
fn the_system_calls_are_in_the_promised_order() {
    let folder = tempfile::tempdir().unwrap();
    if std::env::var_os(CHILD).is_some() {
        return;
    }
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os("AIRLOCK_TEST_REQUIRE_PEERS").is_none(), "strace is missing");
        println!("skipped: strace is not installed");
        return;
    }
    drop(Store::open(folder.path()).unwrap());
    let trace = folder.path().join("../").join(format!("trace-{}", std::process::id()));
    let status = Command::new("strace")
        .args(["-f", "-y", "-qq", "-e", "trace=fdatasync,fsync,rename,renameat,renameat2,write", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "order::the_child_pushes", "--nocapture", "--test-threads=1"])
        .env(CHILD, folder.path())
        .output()
        .unwrap();
    let text = std::fs::read_to_string(&trace).unwrap();
    let _ = std::fs::remove_file(&trace);
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let position = |after: usize, words: [&str; 2]| {
        let lines = text.lines().enumerate().skip(after);
        let mut hits = lines.filter(|(_, line)| words.iter().all(|word| line.contains(word)));
        hits.next().unwrap_or_else(|| panic!("no {words:?} after line {after}:\n{text}")).0
    };
    let mut at = 0;
    // First the blob with its link, then the manifest with its names.
    at = position(at, ["fdatasync(", "uploads/tmp-"]);
    at = position(at, ["rename(", "blobs/sha256"]);
    at = position(at, ["fsync(", "blobs/sha256"]);
    at = position(at, ["sync(", "airlock.db"]);
    at = position(at, ["renameat2(", "blobs/sha256"]);
    at = position(at, ["sync(", "airlock.db"]);
    at = position(at, ["write(", "the push was acknowledged"]);
    at = position(at, ["fdatasync(", "names.log"]);
    position(at, ["fsync(", "blobs/sha256"]);
}

#[test]
fn the_child_pushes() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let store = Store::open(std::path::Path::new(&folder)).unwrap();
    push(&store, "a/b", "v1").unwrap();
    println!("the push was acknowledged");
}

#[test]
fn many_concurrent_commits_share_few_flushes() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Arc::new(Recorder::default());
    let store = Store::open_observed(folder.path(), recorder.clone()).unwrap();
    let digests: Vec<_> = (0..64_u8).map(|n| put(&store, &[n]).unwrap()).collect();
    let before = recorder.steps().len();
    let barrier = std::sync::Barrier::new(digests.len());
    std::thread::scope(|scope| {
        for digest in &digests {
            let (store, barrier) = (&store, &barrier);
            scope.spawn(move || {
                barrier.wait();
                let repository = crate::rig::repository("a/b");
                store.commit(vec![store::Change::LinkBlob { repository, digest: digest.clone() }]).unwrap();
            });
        }
    });
    let commits = recorder.steps()[before..].iter().filter(|(step, _)| *step == CommitDatabase).count();
    println!("64 requests, {commits} commits");
    assert!(commits < 48, "{commits} commits");
    for digest in &digests {
        assert_eq!(store.blob_in(&crate::rig::repository("a/b"), digest).unwrap(), Some(1));
    }
}
