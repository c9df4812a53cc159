//! Power cuts and kills: the tests record the system calls of a process. For every point at which it may be cut, and for
//! every model of what survives, they open and check the store that is left. Nothing acknowledged may be lost, and a repair
//! may need only the one command that the message names. `AIRLOCK_TEST_LONG=1` tries every point instead of a sample.

mod disk;
mod trace;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use oci::Digest;
use store::{Change, Error, Store};

use self::disk::{Disk, FEW, MODELS, Tree, tree_of};
use self::trace::Call;
use crate::rig::{dump, file_of, long, manifest, push, put, repository, tag};

const CHILD: &str = "STORE_TEST_POWER";

/// Prints that everything so far is acknowledged, and the names that the store now has.
fn acknowledge(step: usize, store: &Store) {
    let lines: Vec<String> = dump(store).into_iter().collect();
    println!("acknowledged {step}: {}", lines.join("; "));
}

/// Publishes blobs one by one, one of which already exists, and then all names at once.
fn publish_like_an_import(store: &Store) {
    let mut changes = Vec::new();
    for content in ["v1", "imported one", "imported two"] {
        let digest = Digest::sha256(content.as_bytes());
        let mut writer = store.writer_over(&digest).unwrap();
        writer.write(content.as_bytes()).unwrap();
        writer.publish(Some(&digest)).unwrap();
        let image = manifest(&digest, content.len(), content, None);
        let (name, digest) = (repository("imported/app"), image.digest());
        changes.push(Change::PutManifest {
            repository: name.clone(),
            digest: digest.clone(),
            manifest: image,
        });
        changes.push(Change::SetTag { repository: name, tag: tag(&content.replace(' ', "-")), digest });
    }
    store.commit(changes).unwrap();
}

fn upload(store: &Store) {
    let name = repository("up/loaded");
    let id = store.create_upload(&name).unwrap();
    for chunk in ["one ", "two"] {
        store.upload(&name, &id).unwrap().unwrap().write(chunk.as_bytes()).unwrap();
    }
    let digest = Digest::sha256(b"one two");
    store.upload(&name, &id).unwrap().unwrap().publish(&digest).unwrap();
    store.commit(vec![Change::LinkBlob { repository: name.clone(), digest: digest.clone() }]).unwrap();
    let image = manifest(&digest, 7, "uploaded", None);
    store
        .commit(vec![Change::PutManifest { repository: name, digest: image.digest(), manifest: image }])
        .unwrap();
}

/// Uses a store from its creation to its last close.
#[test]
fn the_child_uses_a_store() {
    let Some(root) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    if root.ends_with("rebuilt") {
        Store::rebuild(&root, &mut |_| {}).unwrap();
        acknowledge(100, &Store::open(&root).unwrap());
        return;
    }
    let store = Store::open(&root).unwrap();
    acknowledge(0, &store);
    let first = push(&store, "a/b", "v1").unwrap();
    acknowledge(1, &store);
    let second = push(&store, "a/b", "v2").unwrap();
    acknowledge(2, &store);
    let name = repository("a/b");
    let moved = Change::SetTag { repository: name.clone(), tag: tag("v1"), digest: second };
    store.commit(vec![moved]).unwrap();
    acknowledge(3, &store);
    store.commit(vec![Change::DeleteTag { repository: name.clone(), tag: tag("v2") }]).unwrap();
    acknowledge(4, &store);
    store.commit(vec![Change::DeleteManifest { repository: name.clone(), digest: first }]).unwrap();
    acknowledge(5, &store);
    publish_like_an_import(&store);
    acknowledge(6, &store);
    upload(&store);
    acknowledge(7, &store);
    for loose in ["loose one", "loose two"] {
        let digest = put(&store, loose.as_bytes()).unwrap();
        store.commit(vec![Change::LinkBlob { repository: name.clone(), digest }]).unwrap();
    }
    store.commit(vec![Change::ReleaseLeases { holder: "push".into() }]).unwrap();
    acknowledge(8, &store);
    assert!(store.collect(&store.garbage().unwrap()).unwrap().blobs >= 2);
    acknowledge(9, &store);
    drop(store);
    acknowledge(10, &Store::open(&root).unwrap());
}

type Names = BTreeSet<String>;

/// The names that a cut may leave: those acknowledged last, or those that would have been acknowledged next.
fn expected(calls: &[Call], cut: usize) -> Vec<Names> {
    let names = |call: &Call| match call {
        Call::Said(line) => {
            let (_, list) = line.split_once("acknowledged ")?.1.split_once(": ").unwrap_or((line, ""));
            Some(list.split("; ").filter(|name| !name.is_empty()).map(str::to_owned).collect())
        }
        _ => None,
    };
    let before = calls[..cut].iter().rev().find_map(names).unwrap_or_default();
    let next = calls[cut..].iter().find_map(names);
    std::iter::once(before).chain(next).collect()
}

/// Opens a store as the cut left it, runs the one command that an error names, if any, and checks the store.
fn verify(
    root: &Path,
    allowed: &[Names],
    commands: &mut BTreeMap<&'static str, usize>,
) -> Result<(), String> {
    let rebuild = |cause: &Error| {
        let hint = cause.hint().unwrap_or_default();
        if !hint.contains("airlock store rebuild") {
            return Err(format!("{cause} ({hint})"));
        }
        let report = Store::rebuild(root, &mut |_| {}).map_err(|error| format!("{cause}, then {error}"))?;
        if report.lost.is_empty() { Ok(()) } else { Err(format!("lost {:?}", report.lost)) }
    };
    let store = match Store::open(root) {
        Ok(store) => match store.check(&mut |_| {}).map_err(|error| error.to_string())?.faults.pop() {
            None => store,
            Some(fault) if fault.to_string().contains("airlock store rebuild") => {
                drop(store);
                Store::rebuild(root, &mut |_| {}).map_err(|error| format!("{fault}, then {error}"))?;
                *commands.entry("rebuild after a check").or_default() += 1;
                Store::open(root).map_err(|error| format!("after a rebuild: {error}"))?
            }
            Some(fault) => return Err(fault.to_string()),
        },
        Err(error) => {
            rebuild(&error)?;
            *commands.entry("rebuild").or_default() += 1;
            Store::open(root).map_err(|error| format!("after a rebuild: {error}"))?
        }
    };
    let found = dump(&store);
    if !allowed.contains(&found) {
        return Err(format!("found the names {found:?}, expected one of {allowed:?}"));
    }
    let check = |store: &Store, when: &str| -> Result<(), String> {
        let faults = store.check(&mut |_| {}).map_err(|error| format!("{when}: {error}"))?.faults;
        if faults.is_empty() { Ok(()) } else { Err(format!("{when}: {faults:?}")) }
    };
    check(&store, "after opening")?;
    push(&store, "after/cut", "v1").map_err(|error| format!("a push: {error} {:?}", error.hint()))?;
    let named = dump(&store);
    store
        .garbage()
        .and_then(|plan| store.collect(&plan))
        .map_err(|error| format!("a collection: {error}"))?;
    check(&store, "after a collection")?;
    if dump(&store) == named { Ok(()) } else { Err("a collection removed names".to_owned()) }
}

fn hash(tree: &Tree, allowed: &[Names]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (tree, allowed).hash(&mut hasher);
    hasher.finish()
}

/// Cuts a recorded run at its points, and returns the number of checked states.
fn cut(calls: &[Call], start: &Tree, base: &Path, root: &Path) -> usize {
    let points = calls.len();
    let every = if long() { 1 } else { (points / 24).max(1) };
    let (mut seen, mut commands, mut wrong) = (HashSet::new(), BTreeMap::new(), Vec::new());
    let mut disk = Disk::holding(start, base);
    let path = root.strip_prefix(base).unwrap();
    for point in 0..=points {
        if point.is_multiple_of(every) || point == points {
            let allowed = expected(calls, point);
            for model in &MODELS[..if long() { MODELS.len() } else { FEW }] {
                let tree = disk.survivors(*model);
                if !seen.insert(hash(&tree, &allowed)) {
                    continue;
                }
                let folder = scratch();
                disk::write(&tree, folder.path());
                if let Err(fault) = verify(&folder.path().join(path), &allowed, &mut commands) {
                    let last = calls[..point].last();
                    let last: String = format!("{last:?}").chars().take(160).collect();
                    wrong.push(format!("cut at {point} of {points}, {model:?}, after {last}: {fault}"));
                }
            }
        }
        if let Some(call) = calls.get(point) {
            disk.apply(call);
        }
    }
    println!("{points} calls, {} states, repaired by one command: {commands:?}", seen.len());
    wrong.truncate(5);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    seen.len()
}

/// A temporary folder, in memory if possible: the real disk's flushes do not matter here.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn has_strace() -> bool {
    if Command::new("strace").arg("-V").output().is_ok() {
        return true;
    }
    assert!(std::env::var_os("AIRLOCK_TEST_REQUIRE_PEERS").is_none(), "strace is missing");
    println!("skipped: strace is not installed");
    false
}

fn record(base: &Path, root: &Path) -> Vec<Call> {
    let log = base.with_extension("trace");
    let arguments = ["--exact", "power::the_child_uses_a_store", "--nocapture", "--test-threads=1"];
    let mut child = trace::traced(&std::env::current_exe().unwrap(), &arguments, &log);
    let done = child.env(CHILD, root).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    trace::read(&log, base, &std::env::current_dir().unwrap())
}

#[test]
fn c3_c6_a_cut_anywhere_in_a_stores_life_loses_nothing_acknowledged() {
    if !has_strace() {
        return;
    }
    let folder = scratch();
    // The run also creates the store's own folder and its parent.
    let (base, root) = (folder.path().join("base"), folder.path().join("base/above/store"));
    std::fs::create_dir(&base).unwrap();
    let start = tree_of(&base);
    let calls = record(&base, &root);
    let said = calls.iter().filter(|call| matches!(call, Call::Said(line) if line.contains("acknowledged")));
    assert_eq!(said.count(), 11);
    let states = cut(&calls, &start, &base, &root);
    assert!(states > if long() { 2000 } else { 40 }, "{states}");
}

/// Another rebuild completes one that was cut, whether the journal or the database had the names.
#[test]
fn c3_a_cut_anywhere_in_a_rebuild_loses_no_name() {
    if !has_strace() {
        return;
    }
    let folder = scratch();
    let base = folder.path().join("base");
    let root = base.join("rebuilt");
    std::fs::create_dir(&base).unwrap();
    let names = {
        let store = Store::open(&root).unwrap();
        push(&store, "a/b", "v1").unwrap();
        push(&store, "a/b", "v2").unwrap();
        dump(&store)
    };
    let rotten = file_of(&root, &Digest::sha256(b"loose"));
    std::fs::write(rotten, "rotten").unwrap();
    for journal in [true, false] {
        if !journal {
            std::fs::write(root.join("names.log"), "").unwrap();
        }
        let start = tree_of(&base);
        let mut calls = vec![Call::Said(format!(
            "acknowledged 0: {}",
            names.iter().cloned().collect::<Vec<_>>().join("; ")
        ))];
        calls.extend(record(&base, &root));
        // The first run moves the damaged file to the quarantine; this is not an effect of a cut.
        let loose = file_of(Path::new("rebuilt"), &Digest::sha256(b"loose"));
        let mut start = start;
        start.insert(loose, Some(b"loose".to_vec().into()));
        let states = cut(&calls, &start, &base, &root);
        assert!(states > 10, "{states}");
    }
}
