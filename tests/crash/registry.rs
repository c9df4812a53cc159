//! Power cuts of a registry during pushes and deletes, and of the commands that maintain its store.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use oci::Digest;
use serde_json::json;
use store::Store;

use crate::disk;
use crate::rig::{Checked, REBUILD, Rig, State, expect, sound, sound_if_begun, text};
use crate::tally::{Repaired, Violation, end};
use crate::trace::Call;

/// The names in a store.
type Names = BTreeSet<String>;

fn names(store: &Store) -> Names {
    let mut names = Names::new();
    for name in store.repositories(None, None).unwrap() {
        names.extend(
            store
                .tags(&name, None, None)
                .unwrap()
                .into_iter()
                .map(|(tag, digest)| format!("{name}:{tag} {digest}")),
        );
        names.extend(store.manifests(&name).unwrap().into_iter().map(|row| format!("{name}@{}", row.digest)));
    }
    names
}

/// A registry whose system calls are recorded.
struct Served {
    child: Child,
    address: String,
    /// The number of requests sent.
    sent: usize,
}

impl Served {
    fn start(rig: &Rig) -> Self {
        let arguments = ["serve", "--store", "near", "--create", "--listen", "127.0.0.1:0", "--address-file"];
        let file = rig.path("address");
        let _ = std::fs::remove_file(&file);
        let arguments: Vec<&str> = arguments.into_iter().chain([file.to_str().unwrap()]).collect();
        let child = rig.traced(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, address: address_in(&file), sent: 0 }
    }

    /// Sends one request; returns the status and the `Location`.
    fn send(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, String) {
        self.sent += 1;
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let location = answer.lines().find_map(|line| {
            line.to_lowercase().starts_with("location: ").then(|| line[10..].trim().to_owned())
        });
        assert!((200..300).contains(&status), "{method} {path}: {answer}");
        (status, location.unwrap_or_default())
    }

    fn push_blob(&mut self, repository: &str, bytes: &[u8], chunked: bool) -> serde_json::Value {
        let digest = Digest::sha256(bytes);
        let (_, at) =
            self.send("POST", &format!("/v2/{repository}/blobs/uploads/"), "application/octet-stream", b"");
        let at = at.find("/v2/").map_or(at.clone(), |begin| at[begin..].to_owned());
        let join = if at.contains('?') { '&' } else { '?' };
        if chunked {
            let (_, at) = self.send("PATCH", &at, "application/octet-stream", bytes);
            let at = at.find("/v2/").map_or(at.clone(), |begin| at[begin..].to_owned());
            self.send("PUT", &format!("{at}{join}digest={digest}"), "application/octet-stream", b"");
        } else {
            self.send("PUT", &format!("{at}{join}digest={digest}"), "application/octet-stream", bytes);
        }
        json!({ "mediaType": oci::media_type::OCI_LAYER, "digest": digest, "size": bytes.len() })
    }

    /// Pushes the blobs of an image with one layer; returns its manifest.
    fn push_layers(&mut self, repository: &str, note: &str, chunked: bool) -> String {
        let config = self.push_blob(repository, b"{}", false);
        let layer = self.push_blob(repository, note.as_bytes(), chunked);
        let kind = oci::media_type::OCI_MANIFEST;
        json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer] }).to_string()
    }

    fn put_manifest(&mut self, repository: &str, tag: &str, manifest: &str) -> Digest {
        let path = format!("/v2/{repository}/manifests/{tag}");
        self.send("PUT", &path, oci::media_type::OCI_MANIFEST, manifest.as_bytes());
        Digest::sha256(manifest.as_bytes())
    }

    /// Stops the registry with SIGTERM.
    fn stop(mut self) {
        let parent = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
        let process = children.split_whitespace().next().unwrap().to_owned();
        assert!(std::process::Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

/// The address that the registry writes when it listens.
fn address_in(file: &Path) -> String {
    let begun = Instant::now();
    loop {
        let address = std::fs::read_to_string(file).unwrap_or_default();
        if let Some(address) = address.trim().strip_prefix("http://") {
            return address.trim_end_matches('/').to_owned();
        }
        assert!(begun.elapsed() < Duration::from_mins(2), "the registry does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// For a number of answered requests: the names in the store, and the number of log entries.
struct Steps(Vec<(usize, Names, u64)>);

impl Steps {
    fn then(&mut self, served: &Served, rig: &Rig, change: impl FnOnce(&mut Names)) {
        let mut names = self.0.last().map(|(_, names, _)| names.clone()).unwrap_or_default();
        change(&mut names);
        let entries = sound(&rig.work().join("near/log")).unwrap();
        self.0.push((served.sent, names, entries));
    }

    /// The names that are allowed after this many answers, and the minimum number of log entries.
    fn allowed(&self, answers: usize) -> (Vec<&Names>, u64) {
        let next = self.0.partition_point(|(sent, ..)| *sent <= answers);
        let last = next.checked_sub(1).map(|last| &self.0[last]);
        let empty = &self.0[0].1;
        let names =
            [Some(last.map_or(empty, |(_, names, _)| names)), self.0.get(next).map(|(_, names, _)| names)];
        (names.into_iter().flatten().collect(), last.map_or(0, |(.., entries)| *entries))
    }
}

/// Pushes images, moves tags, and deletes tags and manifests.
fn work(rig: &Rig) -> Steps {
    let mut served = Served::start(rig);
    let mut steps = Steps(vec![(0, Names::new(), 0)]);
    let mut first = None;
    for (number, (tag, chunked)) in [("v1", false), ("v2", true), ("v3", false)].into_iter().enumerate() {
        let manifest = served.push_layers("a/b", tag, chunked);
        let digest = served.put_manifest("a/b", tag, &manifest);
        steps.then(&served, rig, |names| {
            names.extend([format!("a/b:{tag} {digest}"), format!("a/b@{digest}")]);
        });
        if number == 0 {
            first = Some((manifest, digest));
        }
    }
    let (manifest, digest) = first.unwrap();
    let second = served.push_layers("a/b", "v2", false);
    let second = served.put_manifest("a/b", "v1", &second);
    steps.then(&served, rig, |names| {
        names.remove(&format!("a/b:v1 {digest}"));
        names.insert(format!("a/b:v1 {second}"));
    });
    served.send("DELETE", "/v2/a/b/manifests/v2", "text/plain", b"");
    steps.then(&served, rig, |names| {
        names.remove(&format!("a/b:v2 {second}"));
    });
    served.send("DELETE", &format!("/v2/a/b/manifests/{digest}"), "text/plain", b"");
    steps.then(&served, rig, |names| {
        names.remove(&format!("a/b@{digest}"));
    });
    // A deleted manifest is pushed again.
    served.push_layers("a/b", "v1", false);
    served.put_manifest("a/b", "again", &manifest);
    steps.then(&served, rig, |names| {
        names.extend([format!("a/b:again {digest}"), format!("a/b@{digest}")]);
    });
    served.stop();
    steps
}

/// Opens the store that a power cut left, after the one command that a message names; checks that it is intact.
fn checked(state: &State<'_>, allowed: &[&Names]) -> Checked {
    let root = state.folder.join("near");
    let mut repaired = Repaired::Again;
    let mut rebuild = |reason: String| {
        let report = Store::rebuild(&root, &mut |_| {});
        let report = report.map_err(|error| Violation::Stuck(format!("{reason}, then {error}")))?;
        repaired = Repaired::By(REBUILD);
        expect(report.lost.is_empty(), || Violation::Loss(format!("{:?}", report.lost)))?;
        Store::open(&root).map_err(|error| Violation::Stuck(format!("after a rebuild: {error}")))
    };
    let store = match Store::open(&root) {
        Ok(store) => match store.check(&mut |_| {}).unwrap().faults.pop() {
            None => store,
            Some(fault) if fault.to_string().contains(REBUILD) => {
                drop(store);
                rebuild(fault.to_string())?
            }
            Some(fault) => return Err(Violation::Loss(fault.to_string())),
        },
        Err(error) if error.hint().is_some_and(|hint| hint.contains(REBUILD)) => rebuild(error.to_string())?,
        Err(error) => return Err(Violation::Stuck(format!("{error} {:?}", error.hint()))),
    };
    let found = names(&store);
    expect(allowed.contains(&&found), || Violation::Loss(format!("{found:?}, allowed are {allowed:?}")))?;
    let plan = store.garbage().and_then(|plan| store.collect(&plan));
    plan.map_err(|error| Violation::Stuck(format!("a collection: {error}")))?;
    let faults = store.check(&mut |_| {}).unwrap().faults;
    expect(faults.is_empty(), || Violation::Loss(format!("{faults:?}")))?;
    Ok(repaired)
}

#[test]
fn g_a_power_cut_at_any_point_of_pushes_and_deletes_loses_nothing_that_was_acknowledged() {
    let Some(rig) = Rig::new() else { return };
    let start = disk::tree_of(&rig.work());
    let steps = work(&rig);
    let calls = rig.calls();
    let count = rig.cut_calls("pushes and deletes", &start, &calls, &|state| {
        let (allowed, entries) = steps.allowed(state.answers.len());
        let found = sound_if_begun(&state.folder.join("near/log"))?;
        expect(found >= entries, || Violation::Loss(format!("{found} of {entries} log entries")))?;
        if !state.folder.join("near").exists() {
            expect(state.answers.is_empty(), || Violation::Loss("the store".to_owned()))?;
            return Ok(Repaired::Again);
        }
        checked(state, &allowed)
    });
    end(vec![count]);
}

/// Pushes an image with two layers of these contents; returns what was flushed until the last response.
fn flushes(layers: [&[u8]; 2]) -> Option<Vec<PathBuf>> {
    let rig = Rig::new()?;
    let mut served = Served::start(&rig);
    let first = served.push_layers("a/b", "another image", false);
    served.put_manifest("a/b", "first", &first);
    let before = served.sent;
    let [config, layer] = layers.map(|layer| served.push_blob("a/b", layer, false));
    let kind = oci::media_type::OCI_MANIFEST;
    let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer] });
    served.put_manifest("a/b", "second", &manifest.to_string());
    let push = before..served.sent;
    served.stop();
    let (mut answers, mut flushed) = (0, Vec::new());
    for call in rig.calls() {
        match call {
            Call::Said(line) if line.starts_with("HTTP/1.1 ") => answers += 1,
            Call::Sync(path) if push.contains(&answers) => flushed.push(path),
            _ => {}
        }
    }
    Some(flushed)
}

#[test]
fn c8_a_push_of_two_small_blobs_flushes_at_most_6_times() {
    let Some(flushed) = flushes([b"small", &vec![7; 100_000]]) else { return };
    assert!((3..=6).contains(&flushed.len()), "{flushed:#?}");
}

#[test]
fn c8_a_push_of_two_large_blobs_flushes_at_most_10_times() {
    let Some(flushed) = flushes([&vec![1; 200_000], &vec![2; 1_000_000]]) else { return };
    assert!((7..=10).contains(&flushed.len()), "{flushed:#?}");
}

/// A store from which manifests were deleted.
fn deleted() -> Option<(Rig, Names)> {
    let rig = Rig::new()?;
    work(&rig);
    let _ = std::fs::remove_file(rig.path("trace"));
    let mut served = Served::start(&rig);
    for number in 0..8 {
        let manifest = served.push_layers("c/d", &format!("layer {number}"), false);
        let digest = served.put_manifest("c/d", "latest", &manifest);
        served.send("DELETE", &format!("/v2/c/d/manifests/{digest}"), "text/plain", b"");
    }
    served.stop();
    let _ = std::fs::remove_file(rig.path("trace"));
    // Leases of pushes expire after a day; release them at once.
    let store = Store::open(&rig.work().join("near")).unwrap();
    store.commit(vec![store::Change::ReleaseLeases { holder: "push".into() }]).unwrap();
    let names = names(&store);
    drop(store);
    Some((rig, names))
}

#[test]
fn c2_g_a_power_cut_at_any_point_of_a_collection_keeps_named_content_and_another_one_completes_it() {
    let Some((rig, names)) = deleted() else { return };
    let before = sound(&rig.work().join("near/log")).unwrap();
    let collect = ["store", "gc", "--store", "near"];
    let count = rig.cut("a collection", &collect, &|state| {
        let entries = sound(&state.folder.join("near/log"))?;
        let least = before + u64::from(state.ended);
        expect(entries >= least, || Violation::Loss(format!("{entries} of {least} log entries")))?;
        let (_, repaired) = rig.resumes(state.folder, &collect, "near")?;
        let check = rig.airlock(state.folder, &["store", "check", "--store", "near"]);
        expect(check.status.success(), || Violation::Loss(text(&check)))?;
        let blobs = state.folder.join("near/blobs/sha256");
        let left = disk::tree_of(&blobs).values().filter(|content| content.is_some()).count();
        let second = checked(state, &[&names])?;
        let after = disk::tree_of(&blobs).values().filter(|content| content.is_some()).count();
        expect(left == after, || Violation::Stuck(format!("{} blobs are left over", left - after)))?;
        Ok(if matches!(repaired, Repaired::Again) { second } else { repaired })
    });
    end(vec![count]);
}

#[test]
fn c3_g_a_power_cut_at_any_point_of_a_rebuild_loses_no_name() {
    let mut counts = Vec::new();
    for (what, name) in
        [("airlock.db", "a rebuild without a database"), ("names.log", "a rebuild without a journal")]
    {
        let Some((rig, names)) = deleted() else { return };
        let store = rig.work().join("near");
        // The database, including its write-ahead log.
        for suffix in if what == "airlock.db" { &["", "-wal", "-shm"][..] } else { &[""][..] } {
            let _ = std::fs::remove_file(store.join(format!("{what}{suffix}")));
        }
        let rebuild = ["store", "rebuild", "--store", "near"];
        counts.push(rig.cut(name, &rebuild, &|state| {
            sound(&state.folder.join("near/log"))?;
            if !state.ended {
                rig.resumes(state.folder, &rebuild, "near")?;
            }
            sound(&state.folder.join("near/log"))?;
            checked(state, &[&names])
        }));
    }
    end(counts);
}
