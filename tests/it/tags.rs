//! The `tags` commands, `store rm`, `store gc --untagged` and `store why`.

use std::path::Path;

use oci::{Digest, Manifest};
use serde_json::{Value, json};
use store::{Change, Store};

use crate::cli::{airlock, fails};

/// Stores an image with a tag, as a user of the registry does.
fn push(store: &Store, name: &str, tag: &str, content: &str) -> Digest {
    let (blob, size) = store.put_bytes(content.as_bytes()).unwrap();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": oci::media_type::OCI_MANIFEST, "layers": [],
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob.to_string(), "size": size },
    });
    put(store, name, Some(tag), &manifest)
}

fn put(store: &Store, name: &str, tag: Option<&str>, manifest: &Value) -> Digest {
    let manifest = Manifest::parse(manifest.to_string().into_bytes().into(), None).unwrap();
    let (digest, repository): (Digest, oci::RepositoryName) = (manifest.digest(), name.parse().unwrap());
    let put = Change::PutManifest { repository: repository.clone(), digest: digest.clone(), manifest };
    let tag = tag.map(|tag| Change::SetTag { repository, tag: tag.parse().unwrap(), digest: digest.clone() });
    store.commit_as("ann from 10.0.0.7", std::iter::once(put).chain(tag).collect()).unwrap();
    digest
}

fn run(folder: &Path, arguments: &str) -> String {
    let arguments: Vec<&str> = arguments.split_whitespace().chain(["--store", "store"]).collect();
    let output = airlock(folder, &arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn value(folder: &Path, arguments: &str) -> Value {
    serde_json::from_str(&run(folder, &format!("{arguments} --output json"))).unwrap()
}

/// Fails with a code; standard error contains the words.
fn refused(folder: &Path, arguments: &str, code: i32, words: &str) {
    let arguments: Vec<&str> = arguments.split_whitespace().chain(["--store", "store"]).collect();
    fails(folder, &arguments, code, words);
}

fn newest_event(folder: &Path) -> Value {
    let events = value(folder, "audit log --limit 1");
    events[0]["event"].clone()
}

#[test]
fn a_tag_is_shown_with_its_history_and_rolled_back() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let store = Store::open(&here.join("store")).unwrap();
    let (one, two) = (push(&store, "team/app", "v1", "one"), push(&store, "team/app", "v1", "two"));
    let history = value(here, "tags history team/app:v1");
    assert_eq!((&history[0]["from"], &history[0]["to"]), (&json!(one), &json!(two)));
    assert_eq!((&history[1]["from"], &history[0]["by"]), (&Value::Null, &json!("ann from 10.0.0.7")));
    let text = run(here, "tags history team/app --limit 1");
    assert!(text.contains(&format!("ann from 10.0.0.7\n  from {one}\n  to   {two}\n")), "{text}");
    assert_eq!(value(here, "tags list team/app"), json!([{ "tag": "v1", "digest": two }]));
    assert_eq!(value(here, "tags list team/app --at 2001-01-01"), json!([]));
    let later = value(here, "tags list team/app --at 2999-01-01T00:00:00Z");
    assert_eq!(later, json!([{ "tag": "v1", "digest": two }]));

    let planned = run(here, "tags rollback team/app:v1 --dry-run");
    assert_eq!(planned, format!("would move team/app:v1\n  from {two}\n  to   {one}\n"));
    assert_eq!(value(here, "tags list team/app")[0]["digest"], json!(two));
    let moved = value(here, "tags rollback team/app:v1");
    assert_eq!((&moved["from"], &moved["to"]), (&json!(two), &json!(one)));
    let event = newest_event(here);
    assert_eq!((&event["event"], &event["object"]["name"]), (&json!("tag.rollback"), &json!("team/app:v1")));
    assert_eq!((&event["evidence"]["from"], &event["evidence"]["to"]), (&json!(two), &json!(one)));
    let by = value(here, "tags history team/app:v1 --limit 1")[0]["by"].as_str().unwrap().to_owned();
    assert!(by.ends_with(": tags rollback"), "{by}");
    // A second rollback undoes the first one.
    assert_eq!(value(here, "tags rollback team/app:v1")["to"], json!(two));

    refused(here, &format!("tags rollback team/app:v1 --to {two}"), 2, "already");
    let never = Digest::sha256(b"never");
    refused(here, &format!("tags rollback team/app:v1 --to {never}"), 4, "airlock tags history");
    refused(here, "tags rollback team/none:v1", 4, "no repository");
    refused(here, "tags history team/none", 4, "airlock store list");
    refused(here, "tags rollback team/app", 2, "REPOSITORY:TAG");
    run(here, &format!("store rm team/app@{one}"));
    refused(here, &format!("tags rollback team/app:v1 --to {one}"), 4, "no longer has");
    assert_eq!(newest_event(here)["outcome"]["reason"], "missing");
    run(here, "store rm team/app:v1");
    assert_eq!(value(here, "tags rollback team/app:v1")["to"], json!(two));
}

#[test]
fn a_tag_a_manifest_and_a_repository_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let store = Store::open(&here.join("store")).unwrap();
    let digest = push(&store, "team/app", "v1", "one");
    let other = push(&store, "team/app", "v2", "two");
    let size = store.manifests(&"team/app".parse().unwrap()).unwrap()[0].size;
    let kind = oci::media_type::OCI_MANIFEST;
    let index = json!({ "schemaVersion": 2, "mediaType": oci::media_type::OCI_INDEX,
        "manifests": [{ "mediaType": kind, "digest": other.to_string(), "size": size }] });
    let index = put(&store, "team/app", Some("all"), &index);
    drop(store);
    let planned = run(here, "store rm team/app --dry-run");
    assert!(planned.ends_with("would remove team/app: 3 tags, 3 manifests\n"), "{planned}");
    let removed = value(here, "store rm team/app:v1");
    assert_eq!((&removed["tags"], &removed["manifests"]), (&json!(["v1"]), &json!([])));
    let event = newest_event(here);
    assert_eq!((&event["event"], &event["object"]["name"]), (&json!("store.remove"), &json!("team/app:v1")));
    assert!(run(here, "store list").contains(&format!("team/app@{digest}")));
    run(here, &format!("store rm team/app@{digest}"));
    refused(here, &format!("store rm team/app@{digest}"), 4, "airlock store list");
    refused(here, &format!("store rm team/app@{other}"), 3, &format!("listed by the index `{index}`"));
    assert_eq!(newest_event(here)["outcome"]["reason"], "protected");
    let removed = value(here, &format!("store rm team/app@{other} --force"));
    assert_eq!((&removed["tags"], &removed["indexes"]), (&json!(["v2"]), &json!([index])));
    assert_eq!(newest_event(here)["evidence"]["forced"], "true");
    run(here, "store rm team/app");
    assert_eq!(run(here, "store list"), "");
    refused(here, "store rm team/app", 4, "nothing named `team/app`");
    refused(here, "store rm Team/app", 2, "Team/app");
    assert!(run(here, "store gc").starts_with("removed 5 blobs, "));
    assert!(airlock(here, &["store", "check", "--store", "store"]).status.success());
}

#[test]
fn untagged_manifests_are_collected_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let store = Store::open(&here.join("store")).unwrap();
    let one = push(&store, "team/app", "v1", "one");
    push(&store, "team/app", "v1", "two");
    drop(store);
    assert_eq!(run(here, "store gc"), "removed 0 blobs, 0 B\n");
    // It lost its tag less than a day ago.
    assert_eq!(value(here, "store gc --untagged --dry-run")["manifests"], json!({}));
    let planned = value(here, "store gc --untagged --older-than 0s --dry-run");
    assert_eq!(planned["manifests"], json!({ "team/app": [one] }));
    assert_eq!(planned["blobs"].as_array().unwrap().len(), 2);
    let text = run(here, "store gc --untagged --older-than 0s --dry-run");
    assert!(text.starts_with(&format!("untagged    team/app@{one}\n")), "{text}");
    assert!(text.contains("would remove 1 untagged manifest, 2 blobs, "), "{text}");
    let removed = value(here, "store gc --untagged --older-than 0s");
    assert_eq!((&removed["manifests"], &removed["blobs"]), (&json!({ "team/app": [one] }), &json!(2)));
    let event = newest_event(here);
    assert!(event["object"]["digests"].as_array().unwrap().contains(&json!(one)));
    assert_eq!(event["evidence"]["manifests"], "1 untagged manifest");
    refused(here, "store gc --older-than 1h", 2, "--untagged");
}

#[test]
fn what_keeps_content_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let store = Store::open(&here.join("store")).unwrap();
    let manifest = push(&store, "team/app", "v1", "one");
    let (loose, _) = store.put_bytes(b"loose").unwrap();
    let (blob, none) = (Digest::sha256(b"one"), Digest::sha256(b"none"));
    let text = run(here, &format!("store why {blob}"));
    assert_eq!(text, format!("team/app:v1\n  {manifest}\n    lists {blob}\n"));
    let found = value(here, &format!("store why {blob}"));
    assert_eq!(found["reasons"][0]["path"][1], json!({ "digest": blob, "relation": "content" }));
    assert!(run(here, &format!("store why {loose}")).contains("airlock store gc"));
    refused(here, &format!("store why {none}"), 4, "no blob or manifest");
}

/// Another process has the store open, and may be about to name what it stored.
#[test]
fn garbage_is_collected_while_another_process_uses_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let store = Store::open(&here.join("store")).unwrap();
    push(&store, "team/app", "v1", "one");
    let (loose, _) = store.put_bytes(b"loose").unwrap();
    let text = run(here, "store gc");
    let kept = "kept 1 blob, less than a day old, because other processes use the store";
    assert_eq!(text, format!("removed 0 blobs, 0 B\n{kept}\n"));
    assert!(store.has_blob(&loose).unwrap().is_some());
    push(&store, "team/app", "v1", "two");
    drop(store);
    assert!(run(here, "store gc").starts_with("removed 1 blob, "));
    assert!(airlock(here, &["store", "check", "--store", "store"]).status.success());
}
