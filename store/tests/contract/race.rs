//! Another client interferes with uploads and downloads at every step, in one process and in two: the published bytes are
//! the hashed ones, and acknowledged content stays. `AIRLOCK_TEST_LONG=1` tries 5,000 uploads instead of a sample. `calls`:
//! delays at system calls.

mod calls;

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use oci::Digest;
use store::durable::{Observer, Step};
use store::{Change, Error, Store, UploadId};

use crate::rig::{file_of, long, repository};

const CHILD: &str = "STORE_TEST_RACE";

/// All steps of an upload.
const STEPS: [Step; 8] = [
    Step::Open,
    Step::Lock,
    Step::Verify,
    Step::Write,
    Step::SyncData,
    Step::Rename,
    Step::SyncDirectory,
    Step::CommitDatabase,
];

/// Delays one kind of step.
#[derive(Default)]
struct Delay(AtomicUsize);

impl Delay {
    fn set(&self, step: usize) {
        self.0.store(step + 1, Ordering::SeqCst);
    }
}

impl Observer for Delay {
    fn before(&self, step: Step, _: &Path) -> io::Result<()> {
        let at = self.0.load(Ordering::SeqCst);
        if at > 0 && STEPS.get(at - 1) == Some(&step) {
            std::thread::sleep(Duration::from_millis(3));
        }
        Ok(())
    }
}

/// Blocks one kind of step until it is released.
struct Gate {
    step: Step,
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    fn at(step: Step) -> Arc<Self> {
        Arc::new(Self { step, state: Mutex::new((false, false)), changed: Condvar::new() })
    }

    fn wait_until_held(&self) {
        let mut state = self.state.lock().unwrap();
        while !state.0 {
            state = self.changed.wait(state).unwrap();
        }
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

impl Observer for Gate {
    fn before(&self, step: Step, _: &Path) -> io::Result<()> {
        if step == self.step {
            let mut state = self.state.lock().unwrap();
            state.0 = true;
            self.changed.notify_all();
            while !state.1 {
                state = self.changed.wait(state).unwrap();
            }
        }
        Ok(())
    }
}

/// A PATCH with other bytes.
fn interfere(store: &Store, id: &UploadId) -> store::Result<bool> {
    let Some(mut upload) = store.upload(&repository("a/b"), id)? else { return Ok(false) };
    upload.write(b"evil")?;
    Ok(true)
}

/// A PATCH of the rest, and the PUT that publishes. `None` if other requests were faster.
fn finish(store: &Store, id: &UploadId, rest: &[u8], digest: &Digest) -> Option<()> {
    let mut upload = store.upload(&repository("a/b"), id).ok()??;
    upload.write(rest).ok()?;
    drop(upload);
    publish(store, id, digest)
}

fn publish(store: &Store, id: &UploadId, digest: &Digest) -> Option<()> {
    store.upload(&repository("a/b"), id).ok()??.publish(digest).ok()?;
    store.commit(vec![Change::LinkBlob { repository: repository("a/b"), digest: digest.clone() }]).ok()
}

fn assert_served(store: &Store, root: &Path, digest: &Digest, content: &[u8], what: &str) {
    assert_eq!(std::fs::read(file_of(root, digest)).unwrap(), content, "{what}");
    assert_eq!(store.blob_in(&repository("a/b"), digest).unwrap(), Some(content.len() as u64), "{what}");
    assert!(store.blob(digest).unwrap().is_some(), "{what}");
}

/// The attack step by step: a PATCH that has opened the file pauses while the upload is published.
#[test]
fn a5_a_second_process_cannot_change_what_is_published() {
    for step in [Step::Open, Step::Lock] {
        let folder = tempfile::tempdir().unwrap();
        let good = Store::open(folder.path()).unwrap();
        let gate = Gate::at(step);
        let evil = Store::open_observed(folder.path(), gate.clone()).unwrap();
        let id = good.create_upload(&repository("a/b")).unwrap();
        let digest = Digest::sha256(b"good bytes");
        std::thread::scope(|scope| {
            let interfering = scope.spawn(|| interfere(&evil, &id));
            gate.wait_until_held();
            assert!(finish(&good, &id, b"good bytes", &digest).is_some(), "{step:?}");
            gate.open();
            assert!(!interfering.join().unwrap().unwrap(), "{step:?}: written into a published blob");
        });
        assert_served(&good, folder.path(), &digest, b"good bytes", &format!("{step:?}"));
    }
}

/// The other way round: the holder of the session excludes all others until the name is gone.
#[test]
fn a5_no_request_writes_between_the_hash_and_the_publication() {
    let large = vec![b'g'; 200_000];
    let steps =
        [Step::Verify, Step::SyncData, Step::Rename, Step::SyncDirectory].map(|step| (step, &large[..]));
    for (step, bytes) in steps.into_iter().chain([(Step::Verify, &b"small"[..]), (Step::Rename, b"small")]) {
        let folder = tempfile::tempdir().unwrap();
        let gate = Gate::at(step);
        let evil = Store::open(folder.path()).unwrap();
        let id = evil.create_upload(&repository("a/b")).unwrap();
        evil.upload(&repository("a/b"), &id).unwrap().unwrap().write(bytes).unwrap();
        let good = Store::open_observed(folder.path(), gate.clone()).unwrap();
        let digest = Digest::sha256(bytes);
        std::thread::scope(|scope| {
            let publishing = scope.spawn(|| publish(&good, &id, &digest));
            gate.wait_until_held();
            let outcome = interfere(&evil, &id);
            assert!(matches!(outcome, Ok(false) | Err(Error::UploadBusy(_))), "{step:?}: {outcome:?}");
            assert_eq!(
                evil.expire_uploads(std::time::SystemTime::now() + Duration::from_hours(1)).unwrap(),
                0
            );
            gate.open();
            assert!(publishing.join().unwrap().is_some(), "{step:?}");
        });
        assert_served(&evil, folder.path(), &digest, bytes, &format!("{step:?}"));
    }
}

/// Two servers behind one name: each continues where the other one stopped, with the right hash.
#[test]
fn a5_two_processes_take_turns_at_one_upload() {
    let folder = tempfile::tempdir().unwrap();
    let stores = [Store::open(folder.path()).unwrap(), Store::open(folder.path()).unwrap()];
    let id = stores[0].create_upload(&repository("a/b")).unwrap();
    let mut content = Vec::new();
    for (number, store) in stores.iter().cycle().take(7).enumerate() {
        let mut upload = store.upload(&repository("a/b"), &id).unwrap().unwrap();
        assert_eq!(upload.offset(), content.len() as u64);
        let chunk = format!("chunk {number} ");
        upload.write(chunk.as_bytes()).unwrap();
        content.extend(chunk.into_bytes());
    }
    let digest = Digest::sha256(&content);
    assert!(publish(&stores[0], &id, &digest).is_some());
    assert_served(&stores[1], folder.path(), &digest, &content, "turns");
}

#[test]
fn a5_a_cancelled_upload_is_not_published() {
    for (step, bytes) in [(Step::SyncData, &vec![b'b'; 200_000][..]), (Step::Rename, b"bytes")] {
        cancel_at(step, bytes);
    }
}

fn cancel_at(step: Step, bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::at(step);
    let other = Store::open(folder.path()).unwrap();
    let store = Store::open_observed(folder.path(), gate.clone()).unwrap();
    let id = store.create_upload(&repository("a/b")).unwrap();
    store.upload(&repository("a/b"), &id).unwrap().unwrap().write(bytes).unwrap();
    let digest = Digest::sha256(bytes);
    std::thread::scope(|scope| {
        let upload = store.upload(&repository("a/b"), &id).unwrap().unwrap();
        let publishing = scope.spawn(|| upload.publish(&digest));
        gate.wait_until_held();
        assert!(other.cancel_upload(&repository("a/b"), &id).unwrap());
        gate.open();
        let outcome = publishing.join().unwrap();
        assert!(matches!(outcome, Err(Error::UploadGone(_))), "{outcome:?}");
    });
    assert!(store.has_blob(&digest).unwrap().is_none());
    assert!(store.upload(&repository("a/b"), &id).unwrap().is_none());
}

/// The same attack on a download: the file that was opened is meanwhile a published blob.
#[test]
fn a5_a_second_download_cannot_truncate_what_the_first_one_published() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::at(Step::Lock);
    let first = Store::open(folder.path()).unwrap();
    let second = Store::open_observed(folder.path(), gate.clone()).unwrap();
    let digest = Digest::sha256(b"whole");
    std::thread::scope(|scope| {
        let mut partial = first.partial(&digest).unwrap();
        partial.write(b"who").unwrap();
        let late = scope.spawn(|| {
            let mut partial = second.partial(&digest).unwrap();
            let found = partial.len();
            partial.truncate().unwrap();
            found
        });
        gate.wait_until_held();
        partial.write(b"le").unwrap();
        partial.publish().unwrap();
        gate.open();
        assert_eq!(late.join().unwrap(), 0);
    });
    assert_eq!(std::fs::read(file_of(folder.path(), &digest)).unwrap(), b"whole");
}

/// One upload: its rest and its publication, a second publication, and other bytes, all concurrently.
fn round(stores: [&Store; 2], root: &Path, number: usize, others: impl FnOnce(&UploadId, &Digest)) -> bool {
    let content = format!("first half of {number}, second half");
    let (first, rest) = content.split_at(content.len() - 11);
    let digest = Digest::sha256(content.as_bytes());
    let id = stores[0].create_upload(&repository("a/b")).unwrap();
    stores[0].upload(&repository("a/b"), &id).unwrap().unwrap().write(first.as_bytes()).unwrap();
    let acknowledged = std::thread::scope(|scope| {
        let (id, digest) = (&id, &digest);
        let finishing = scope.spawn(move || finish(stores[0], id, rest.as_bytes(), digest));
        let interfering = scope.spawn(move || interfere(stores[1], id));
        let again = scope.spawn(move || publish(stores[1], id, digest));
        others(id, digest);
        let finished = finishing.join().unwrap().is_some();
        let _ = interfering.join().unwrap();
        again.join().unwrap().is_some() || finished
    });
    if acknowledged {
        assert_served(stores[0], root, &digest, content.as_bytes(), &format!("round {number}"));
    } else if let Ok(found) = std::fs::read(file_of(root, &digest)) {
        assert_eq!(found, content.as_bytes(), "round {number}");
    }
    let _ = stores[0].cancel_upload(&repository("a/b"), &id);
    acknowledged
}

#[test]
fn a5_uploads_with_delays_at_every_step_serve_no_wrong_byte() {
    let rounds = if long() { 3000 } else { 160 };
    let folder = tempfile::tempdir().unwrap();
    let delays: [Arc<Delay>; 2] = Default::default();
    let stores = delays.clone().map(|delay| Store::open_observed(folder.path(), delay).unwrap());
    let mut acknowledged = 0;
    for number in 0..rounds {
        // One of the two is slow at one step; the other one is never slow.
        let (slow, step) = (number % 2, number / 2 % STEPS.len());
        delays[slow].set(step);
        delays[1 - slow].0.store(0, Ordering::SeqCst);
        let interferer = if number / 16 % 2 == 0 { &stores[0] } else { &stores[1] };
        acknowledged += usize::from(round([&stores[0], interferer], folder.path(), number, |_, _| {}));
    }
    println!("{rounds} uploads, {acknowledged} acknowledged");
    assert!(acknowledged > rounds / 20, "{acknowledged} of {rounds}");
    assert!(stores[0].check(&mut |_| {}).unwrap().faults.is_empty());
}

/// The same with a real second process, which receives its commands as lines.
#[test]
fn a5_uploads_that_a_second_process_interferes_with_serve_no_wrong_byte() {
    let rounds = if long() { 2000 } else { 80 };
    let folder = tempfile::tempdir().unwrap();
    let delay = Arc::new(Delay::default());
    let store = Store::open_observed(folder.path(), delay.clone()).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "race::the_child_interferes", "--nocapture"])
        .env(CHILD, folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut commands = child.stdin.take().unwrap();
    let mut replies = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = 0;
    for number in 0..rounds {
        let step = number / 2 % STEPS.len();
        let slow_child = number % 2 == 0;
        delay.0.store(if slow_child { 0 } else { step + 1 }, Ordering::SeqCst);
        let theirs = if slow_child { step + 1 } else { 0 };
        acknowledged += usize::from(round([&store, &store], folder.path(), number, |id, digest| {
            writeln!(commands, "{id} {digest} {theirs} ").unwrap();
            assert!(replies.any(|line| line.unwrap().contains("interfered")), "the child ended");
        }));
    }
    drop(commands);
    let rest = replies.map(|line| line.unwrap()).collect::<Vec<_>>();
    assert!(child.wait().unwrap().success(), "{rest:?}");
    println!("{rounds} uploads, {acknowledged} acknowledged");
    assert!(acknowledged > rounds / 20, "{acknowledged} of {rounds}");
    assert!(store.check(&mut |_| {}).unwrap().faults.is_empty());
}

#[test]
fn the_child_interferes() {
    let Some(root) = std::env::var_os(CHILD) else { return };
    let delay = Arc::new(Delay::default());
    let store = Store::open_observed(Path::new(&root), delay.clone()).unwrap();
    for line in io::stdin().lines() {
        let line = line.unwrap();
        let [id, digest, step, rest] = line.splitn(4, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (id, digest): (UploadId, Digest) = (id.parse().unwrap(), digest.parse().unwrap());
        delay.0.store(step.parse().unwrap(), Ordering::SeqCst);
        let finished = std::thread::scope(|scope| {
            // If the line contains the rest of the upload, this process is the honest one.
            let finishing =
                scope.spawn(|| !rest.is_empty() && finish(&store, &id, rest.as_bytes(), &digest).is_some());
            if rest.is_empty() {
                scope.spawn(|| interfere(&store, &id));
                scope.spawn(|| publish(&store, &id, &digest));
            }
            finishing.join().unwrap()
        });
        println!("interfered {finished}");
    }
}
