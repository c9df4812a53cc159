//! Concurrent commands on one store: each succeeds, or names the process that it waited for and the remedy.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::cli::{AIRLOCK, airlock};
use crate::upstream::{Content, Upstream, digest_of, image, tag};

/// An upstream that serves one layer slowly.
fn slow(layer: &'static [u8], seconds: u64) -> Upstream {
    let mut content = Content::new();
    let found = image(&mut content, "a", layer);
    tag(&mut content, "a", "v1", &found);
    let path = format!("/v2/a/blobs/{}", digest_of(layer));
    Upstream::start(
        content,
        Box::new(move |asked, _, _| {
            if asked == path {
                std::thread::sleep(Duration::from_secs(seconds));
            }
            None
        }),
    )
}

fn configure(folder: &Path, upstream: &Upstream) {
    let text = format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: a}}\n\
         registries: [{{host: r.example, mirror: '{}', plainHTTP: true}}]\nsources: [{{images: ['r.example/a:v1']}}]\n",
        upstream.address
    );
    std::fs::write(folder.join("airlock.yaml"), text).unwrap();
}

fn begin(folder: &Path, arguments: &[&str]) -> Child {
    Command::new(AIRLOCK)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("AIRLOCK_KEY_PASSWORD", "a password")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn works(folder: &Path, arguments: &[&str]) {
    let output = airlock(folder, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
}

/// Waits until a file exists.
fn wait_for(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < Duration::from_mins(2), "{} does not appear", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs two commands at once. Each must succeed, or its error must name a process and have a hint.
fn both(folder: &Path, one: &[&str], other: &[&str]) -> [Output; 2] {
    let children = [begin(folder, one), begin(folder, other)];
    let outputs = children.map(|child| child.wait_with_output().unwrap());
    for (output, arguments) in outputs.iter().zip([one, other]) {
        let said = said(output);
        let is_explained = said.contains("process ") && said.contains("hint:");
        assert!(output.status.success() || is_explained, "{arguments:?}: {:?} {said}", output.status.code());
    }
    outputs
}

#[test]
fn g_two_mirror_runs_of_one_file_wait_for_each_other_and_both_succeed() {
    let upstream = slow(b"a slow layer", 3);
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &upstream);
    let mirror = ["mirror", "--store", "s"];
    let outputs = both(folder.path(), &mirror, &mirror);
    assert!(
        outputs.iter().all(|output| output.status.success()),
        "{} {}",
        said(&outputs[0]),
        said(&outputs[1])
    );
    let waited = outputs.iter().filter(|output| said(output).contains("is being fetched by process"));
    assert!(waited.count() <= 1);
    let layer = format!("GET /v2/a/blobs/{}", digest_of(b"a slow layer"));
    assert_eq!(upstream.requests().iter().filter(|request| **request == layer).count(), 1);
    works(folder.path(), &["store", "check", "--store", "s"]);
    works(folder.path(), &mirror);
}

#[test]
fn g_during_a_mirror_run_garbage_is_collected_and_a_rebuild_names_its_process_and_the_remedy() {
    let upstream = slow(b"another slow layer", 6);
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &upstream);
    let mirror = begin(folder.path(), &["mirror", "--store", "s"]);
    let layer = digest_of(b"another slow layer").replace(':', "-");
    wait_for(&folder.path().join("s/partial").join(layer));
    works(folder.path(), &["store", "gc", "--store", "s"]);
    let output = airlock(folder.path(), &["store", "rebuild", "--store", "s"]);
    let text = said(&output);
    let holder = format!("process {} (`", mirror.id());
    assert!(!output.status.success() && text.contains(&holder) && text.contains("hint:"), "{text}");
    let mirror = mirror.wait_with_output().unwrap();
    assert!(mirror.status.success(), "{}", said(&mirror));
    works(folder.path(), &["store", "gc", "--store", "s"]);
}

#[test]
fn g_concurrent_packs_imports_and_registries_on_one_store_succeed_or_name_each_other() {
    let upstream = slow(b"a layer", 0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    configure(path, &upstream);
    works(path, &["mirror", "--store", "s"]);
    works(path, &["keys", "generate", "k"]);
    works(path, &["keys", "trust", "k.pub", "--log", "s/log/key.pub"]);
    let pack = |to| ["pack", "--store", "s", "--key", "k.key", "--to", to];
    // Two drives at once, and the same drive twice at once.
    both(path, &pack("one"), &pack("two"));
    let same = both(path, &pack("same"), &pack("same"));
    assert!(same.iter().any(|output| output.status.success()), "{} {}", said(&same[0]), said(&same[1]));
    for drive in ["one", "two", "same"] {
        works(path, &["verify", drive, "--trust", "trust.yaml"]);
    }
    // Two imports at once into a new store, and one while a registry serves it.
    let import = |drive| ["import", drive, "--trust", "trust.yaml", "--store", "far"];
    both(path, &import("same"), &import("same"));
    let serve = ["serve", "--store", "far", "--listen", "127.0.0.1:0", "--address-file", "address"];
    let mut served = begin(path, &serve);
    wait_for(&path.join("address"));
    works(path, &import("same"));
    works(path, &["store", "check", "--store", "far"]);
    let mut second =
        begin(path, &["serve", "--store", "far", "--listen", "127.0.0.1:0", "--address-file", "other"]);
    wait_for(&path.join("other"));
    works(path, &["store", "gc", "--store", "far"]);
    let output = airlock(path, &["store", "rebuild", "--store", "far"]);
    let text = said(&output);
    let names_both = [served.id(), second.id()].iter().all(|id| text.contains(&format!("process {id} (`")));
    assert!(!output.status.success() && names_both && text.contains("hint:"), "{text}");
    for child in [&mut served, &mut second] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    works(path, &["store", "gc", "--store", "far"]);
    works(path, &["store", "check", "--store", "far"]);
}
