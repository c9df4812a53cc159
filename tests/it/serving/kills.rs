//! Rounds of concurrent pushes, mounts, retags, deletes and garbage collections that end with SIGKILL of the registry. No
//! acknowledged manifest ever lacks a blob, no acknowledged change is lost, and the collection after each round leaves nothing
//! that nothing needs.
//!
//! `AIRLOCK_TEST_LONG=1` runs 300 rounds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oci::{Digest, RepositoryName};
use serde_json::json;
use store::{Change, Store};

use super::Registry;
use crate::cli::airlock;
use crate::signing::works;

const WORKERS: usize = 3;
const CONTENTS: u64 = 24;

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

/// What the registry acknowledged about a name of one worker. A name in an unanswered request may have either state.
#[derive(Default)]
struct Known {
    manifests: BTreeMap<Digest, bool>,
    tags: BTreeMap<String, Option<Digest>>,
}

/// What a worker did in all rounds.
#[derive(Default)]
struct Tally {
    pushed: u64,
    mounted: u64,
    deleted: u64,
    moved: u64,
    refused: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.pushed += other.pushed;
        self.mounted += other.mounted;
        self.deleted += other.deleted;
        self.moved += other.moved;
        self.refused += other.refused;
    }
}

struct Worker<'a> {
    address: &'a str,
    repository: String,
    known: Known,
    random: Random,
    tally: Tally,
}

/// The registry was killed.
struct Killed;

impl Worker<'_> {
    fn ask(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<u16, Killed> {
        let mut answer = Vec::new();
        let mut exchange = || -> std::io::Result<()> {
            let mut stream = TcpStream::connect(self.address)?;
            let length = body.len();
            let head = format!(
                "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
            );
            stream.write_all(&[head.as_bytes(), body].concat())?;
            stream.read_to_end(&mut answer).map(drop)
        };
        // An answer counts, even if the connection breaks after it.
        let _ = exchange();
        let text = String::from_utf8_lossy(&answer);
        if !text.contains("\r\n\r\n") {
            return Err(Killed);
        }
        let status = text[9..12].parse().unwrap();
        assert!(status < 500, "{method} {path}: {text}");
        Ok(status)
    }

    /// Makes a blob available: by a mount from another worker's repository, or by a push.
    fn blob(&mut self, bytes: &[u8]) -> Result<bool, Killed> {
        let digest = Digest::sha256(bytes);
        let uploads = format!("/v2/{}/blobs/uploads/", self.repository);
        let at = format!("/v2/{}/blobs/{digest}", self.repository);
        if self.ask("HEAD", &at, "a/b", b"")? == 200 {
            return Ok(true);
        }
        if self.random.below(2) == 0 {
            let from = format!("w/{}", self.random.below(WORKERS as u64));
            if self.ask("POST", &format!("{uploads}?mount={digest}&from={from}"), "a/b", b"")? == 201 {
                self.tally.mounted += 1;
                return Ok(true);
            }
        }
        Ok(self.ask("POST", &format!("{uploads}?digest={digest}"), "application/octet-stream", bytes)? == 201)
    }

    fn push(&mut self) -> Result<(), Killed> {
        let mut described = Vec::new();
        for prefix in ["config", "layer"] {
            let bytes = format!("{prefix} {}", self.random.below(CONTENTS)).repeat(50).into_bytes();
            if !self.blob(&bytes)? {
                self.tally.refused += 1;
                return Ok(());
            }
            let kind = oci::media_type::OCI_LAYER;
            described
                .push(json!({ "mediaType": kind, "digest": Digest::sha256(&bytes), "size": bytes.len() }));
        }
        let kind = oci::media_type::OCI_MANIFEST;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": kind, "config": described[0], "layers": [described[1]],
            "annotations": { "number": self.random.below(8).to_string() },
        });
        let bytes = manifest.to_string().into_bytes();
        let digest = Digest::sha256(&bytes);
        let tag = format!("t{}", self.random.below(4));
        let is_new = self.known.tags.get(&tag).is_none_or(|found| found.as_ref() != Some(&digest));
        let (was, old) = (self.known.manifests.remove(&digest), self.known.tags.remove(&tag));
        match self.ask("PUT", &format!("/v2/{}/manifests/{tag}", self.repository), kind, &bytes)? {
            201 => {
                self.known.manifests.insert(digest.clone(), true);
                self.known.tags.insert(tag, Some(digest));
                self.tally.pushed += 1;
                self.tally.moved += u64::from(is_new);
            }
            // A blob was collected since it was found.
            404 => {
                self.tally.refused += 1;
                self.known.manifests.extend(was.map(|was| (digest, was)));
                self.known.tags.extend(old.map(|old| (tag, old)));
            }
            status => panic!("a push is answered with {status}"),
        }
        Ok(())
    }

    fn delete(&mut self) -> Result<(), Killed> {
        let present: Vec<Digest> =
            self.known.manifests.iter().filter(|(_, is)| **is).map(|(digest, _)| digest.clone()).collect();
        if present.is_empty() {
            return Ok(());
        }
        let at = usize::try_from(self.random.below(present.len() as u64)).unwrap();
        let digest = present[at].clone();
        self.known.manifests.remove(&digest);
        let gone: Vec<String> = self
            .known
            .tags
            .iter()
            .filter(|(_, of)| of.as_ref() == Some(&digest))
            .map(|(tag, _)| tag.clone())
            .collect();
        for tag in &gone {
            self.known.tags.remove(tag);
        }
        let path = format!("/v2/{}/manifests/{digest}", self.repository);
        assert_eq!(self.ask("DELETE", &path, "a/b", b"")?, 202);
        self.known.manifests.insert(digest, false);
        self.known.tags.extend(gone.into_iter().map(|tag| (tag, None)));
        self.tally.deleted += 1;
        Ok(())
    }

    fn run(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::SeqCst) {
            let done = if self.random.below(4) == 0 { self.delete() } else { self.push() };
            if done.is_err() {
                return;
            }
        }
    }
}

/// Checks what is acknowledged, and that no manifest lacks a blob. No process uses the store.
fn check(path: &Path, workers: &[(String, Known)]) {
    let root = path.join("store");
    let store = Store::open(&root).unwrap();
    for (repository, known) in workers {
        let name: RepositoryName = repository.parse().unwrap();
        let found: BTreeSet<Digest> =
            store.manifests(&name).unwrap().into_iter().map(|row| row.digest).collect();
        for (digest, is_present) in &known.manifests {
            assert_eq!(found.contains(digest), *is_present, "{name}@{digest}");
        }
        let tags: BTreeMap<String, Digest> = store
            .tags(&name, None, None)
            .unwrap()
            .into_iter()
            .map(|(tag, digest)| (tag.to_string(), digest))
            .collect();
        for (tag, digest) in &known.tags {
            assert_eq!(tags.get(tag), digest.as_ref(), "{name}:{tag}");
        }
    }
    assert_complete(&store);
    assert_eq!(store.check(&mut |_| {}).unwrap().faults, []);
    // Leases of pushes expire after a day; here, at once.
    store.commit(vec![Change::ReleaseLeases { holder: "push".into() }]).unwrap();
    drop(store);
    works(path, &["store", "gc", "--store", "store"]);
    let store = Store::open(&root).unwrap();
    let needed = assert_complete(&store);
    let blobs = fs::read_dir(root.join("blobs/sha256")).unwrap();
    let files: BTreeSet<String> = blobs
        .flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, needed, "a collection left something over, or removed what is needed");
}

/// Checks that all manifests have their blobs; returns what they need.
fn assert_complete(store: &Store) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    for name in store.repositories(None, None).unwrap() {
        for row in store.manifests(&name).unwrap() {
            let manifest = store.manifest(&name, &row.digest).unwrap();
            let manifest = manifest.unwrap_or_else(|| panic!("{name}@{} is missing", row.digest));
            needed.insert(row.digest.hex().to_owned());
            for blob in manifest.blobs() {
                let is_there = store.blob(&blob.digest).unwrap().is_some();
                assert!(is_there, "{name}@{} lacks {}", row.digest, blob.digest);
                assert!(store.blob_in(&name, &blob.digest).unwrap().is_some());
                needed.insert(blob.digest.hex().to_owned());
            }
        }
    }
    needed
}

/// Serves, changes and collects until the registry is killed; returns the number of collections.
fn round(path: &Path, seed: &mut Random, workers: &mut Vec<(String, Known)>, total: &mut Tally) -> usize {
    let arguments = ["--store", "store", "--listen", "127.0.0.1:0", "--connections-per-client", "0"];
    let mut registry = Registry::start(path, &arguments);
    let address = registry.address(0).to_owned();
    let (stop, wait) = (AtomicBool::new(false), Duration::from_millis(200 + seed.below(1200)));
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        for (repository, known) in std::mem::take(workers) {
            let random = Random(seed.below(u64::MAX >> 12) | 1);
            let mut worker = Worker { address: &address, repository, known, random, tally: Tally::default() };
            let stop = &stop;
            running.push(scope.spawn(move || {
                worker.run(stop);
                (worker.repository, worker.known, worker.tally)
            }));
        }
        let collecting = scope.spawn(|| collect_until(path, &stop));
        std::thread::sleep(wait);
        registry.child.kill().unwrap();
        registry.child.wait().unwrap();
        stop.store(true, Ordering::SeqCst);
        for worker in running {
            let (repository, known, tally) = worker.join().unwrap();
            total.add(&tally);
            workers.push((repository, known));
        }
        collecting.join().unwrap()
    })
}

fn collect_until(path: &Path, stop: &AtomicBool) -> usize {
    let mut count = 0;
    while !stop.load(Ordering::SeqCst) {
        let store = Store::open(&path.join("store")).unwrap();
        store.commit(vec![Change::ReleaseLeases { holder: "push".into() }]).unwrap();
        drop(store);
        let collected = airlock(path, &["store", "gc", "--store", "store"]);
        assert!(collected.status.success(), "{}", String::from_utf8_lossy(&collected.stderr));
        count += 1;
    }
    count
}

#[test]
fn f_no_acknowledged_manifest_lacks_a_blob_after_the_registry_is_killed_and_nothing_is_left_over() {
    let long = std::env::var_os("AIRLOCK_TEST_LONG").is_some_and(|value| value == "1");
    let rounds = if long { 300 } else { 8 };
    let folder = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap());
    let path = folder.path();
    drop(Store::open(&path.join("store")).unwrap());
    let mut seed = Random(0x9e37_79b9_7f4a_7c15);
    let mut workers: Vec<(String, Known)> =
        (0..WORKERS).map(|number| (format!("w/{number}"), Known::default())).collect();
    let (mut total, mut collections) = (Tally::default(), 0);
    for number in 0..rounds {
        collections += round(path, &mut seed, &mut workers, &mut total);
        check(path, &workers);
        if number % 20 == 0 || number + 1 == rounds {
            works(path, &["audit", "verify", "--store", "store"]);
        }
    }
    let Tally { pushed, mounted, deleted, moved, refused } = total;
    println!(
        "{rounds} rounds: {pushed} pushes ({mounted} blobs mounted, {moved} tags moved), {deleted} deletes, {refused} refused, {collections} collections beside the registry"
    );
    assert!(pushed > 5 * rounds && mounted > 0 && deleted > rounds, "too little happened");
}
