//! Immutable tags, quotas, retention and protections: the sections of the configuration file, and the commands.

use std::path::Path;

use oci::{Digest, Manifest};
use serde_json::{Value, json};
use store::{Change, Store};

use super::Registry;
use crate::cli::{airlock, fails};
use crate::signing::works;

/// A store with the tags of images in `team/app`, each about a blob with the name of the tag.
fn filled(path: &Path, tags: &[&str]) -> Store {
    let store = Store::open(&path.join("store")).unwrap();
    for tag in tags {
        push(&store, tag, tag);
    }
    store
}

fn push(store: &Store, tag: &str, content: &str) -> Digest {
    let (blob, size) = store.put_bytes(content.as_bytes()).unwrap();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": oci::media_type::OCI_MANIFEST, "layers": [],
        "config": { "mediaType": oci::media_type::OCI_CONFIG, "digest": blob.to_string(), "size": size },
    });
    let manifest = Manifest::parse(manifest.to_string().into_bytes().into(), None).unwrap();
    let (digest, repository): (_, oci::RepositoryName) = (manifest.digest(), "team/app".parse().unwrap());
    let put = Change::PutManifest { repository: repository.clone(), digest: digest.clone(), manifest };
    let set = Change::SetTag { repository, tag: tag.parse().unwrap(), digest: digest.clone() };
    store.commit_as("ann", vec![put, set]).unwrap();
    digest
}

fn write(path: &Path, rules: &str) {
    let head = "apiVersion: airlock.dev/v1alpha1\nkind: RegistryConfig\nstore: store\n";
    let listeners = "listeners: [{address: '127.0.0.1:0'}]\n";
    std::fs::write(path.join("registry.yaml"), format!("{head}{listeners}{rules}\n")).unwrap();
}

fn run(path: &Path, arguments: &str) -> String {
    let arguments: Vec<&str> = arguments.split_whitespace().chain(["--store", "store"]).collect();
    works(path, &arguments)
}

fn value(path: &Path, arguments: &str) -> Value {
    serde_json::from_str(&run(path, &format!("{arguments} --output json"))).unwrap()
}

fn refused(path: &Path, arguments: &str, code: i32, words: &str) {
    let arguments: Vec<&str> = arguments.split_whitespace().chain(["--store", "store"]).collect();
    fails(path, &arguments, code, words);
}

fn newest_event(path: &Path) -> Value {
    value(path, "audit log --limit 1")[0]["event"].clone()
}

const IMMUTABLE: &str = "immutableTags: [{repositories: ['team/**'], tags: ['v*']}]";

#[test]
fn immutable_tags_of_the_file_bind_clients_and_commands_and_end_with_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    drop(filled(path, &["v1", "v1", "latest"]));
    push(&Store::open(&path.join("store")).unwrap(), "v1", "two");
    write(path, IMMUTABLE);
    let checked = works(path, &["serve", "--check", "-f", "registry.yaml"]);
    assert!(checked.contains("immutable tags") && checked.contains("v* in team/**"), "{checked}");
    let registry = Registry::start(path, &["-f", "registry.yaml"]);
    let tag = "/v2/team/app/manifests/v1";
    assert_eq!(registry.status("DELETE", tag, None), 412);
    assert_eq!(registry.status("DELETE", "/v2/team/app/_airlock/repository", None), 412);
    assert_eq!(registry.status("DELETE", "/v2/team/app/manifests/latest", None), 202);
    // The commands obey the rules of the store, whether or not the registry serves it.
    refused(path, "store rm team/app:v1", 3, "the tag `v1` is immutable");
    refused(path, "store rm team/app --dry-run", 3, "give --force");
    refused(path, "tags rollback team/app:v1", 3, "`team/app:v1` is immutable");
    assert_eq!(newest_event(path)["outcome"]["reason"], "protected");
    run(path, "tags rollback team/app:v1 --force");
    assert_eq!(newest_event(path)["evidence"]["forced"], "true");
    registry.says_after("reloaded the configuration; changed: rules", || write(path, ""));
    assert_eq!(registry.status("DELETE", tag, None), 202);
    assert_eq!(registry.status("DELETE", "/v2/team/app/_airlock/repository", None), 202);
    assert_eq!(
        newest_event(path)["object"],
        json!({ "kind": "repository", "name": "team/app", "digests": [] })
    );
    assert!(run(path, "tags history team/app").contains("team/app:v1"));
    registry.stop();
}

#[test]
fn retention_shows_what_would_go_and_why_and_spares_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    drop(filled(path, &["a", "b", "c", "v1", "d"]));
    refused(path, "store retention --dry-run", 2, "no rules for retention");
    let rules = format!(
        "{IMMUTABLE}\nretention: {{untagged: 0s, rules: [{{repositories: ['team/**'], keep: {{newest: 1}}}}]}}"
    );
    write(path, &rules);
    let planned = run(path, "store retention --dry-run --file registry.yaml");
    assert!(
        planned.contains("team/app:a") && planned.contains("number 5 by age, set 0 minutes ago"),
        "{planned}"
    );
    assert!(planned.ends_with("would remove 3 tags, 0 untagged manifests\n"), "{planned}");
    refused(path, "store retention --file registry.yaml", 2, "--dry-run");
    Registry::start(path, &["-f", "registry.yaml"]).stop();
    run(path, "store protect team/app:a --reason needed");
    assert_eq!(newest_event(path)["event"], "store.protect");
    let planned = value(path, "store retention --dry-run");
    let tags: Vec<_> =
        planned["tags"]["team/app"].as_array().unwrap().iter().map(|tag| &tag["tag"]).collect();
    assert_eq!(tags, ["b", "c"]);
    let removed = run(path, "store retention");
    assert!(removed.ends_with("removed 2 tags, 2 untagged manifests\n"), "{removed}");
    let event = newest_event(path);
    assert_eq!((&event["event"], &event["evidence"]["tags"]), (&json!("store.retention"), &json!("2 tags")));
    let left: Vec<Value> = value(path, "tags list team/app").as_array().unwrap().clone();
    assert_eq!(left.iter().map(|line| line["tag"].as_str().unwrap()).collect::<Vec<_>>(), ["a", "d", "v1"]);
    assert!(run(path, "store gc").starts_with("removed 4 blobs, "));
    assert!(airlock(path, &["store", "check", "--store", "store"]).status.success());
}

#[test]
fn the_registry_applies_retention_in_its_interval() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    drop(filled(path, &["a", "b"]));
    write(
        path,
        "retention: {interval: 1h, untagged: 0s, rules: [{repositories: ['**'], keep: {newest: 1}}]}",
    );
    let registry = Registry::start(path, &["-f", "registry.yaml"]);
    registry.until("the tag is gone", || registry.status("GET", "/v2/team/app/manifests/a", None) == 404);
    registry.until("it is logged", || newest_event(path)["event"] == "store.retention");
    assert_eq!(newest_event(path)["evidence"]["tags"], "1 tag");
    assert_eq!(registry.status("GET", "/v2/team/app/manifests/b", None), 200);
    registry.stop();
}

#[test]
fn protected_names_are_listed_explained_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let store = filled(path, &["v1"]);
    let digest = push(&store, "v2", "v2");
    drop(store);
    refused(path, "store protect team/app:none --reason x", 4, "nothing named `team/app:none`");
    run(path, "store protect team/app:v1 --reason web --dry-run");
    assert_eq!(value(path, "store protections"), json!([]));
    run(path, &format!("store protect team/app:v1 team/app@{digest} --reason web --by one"));
    let found = value(path, "store protections");
    assert_eq!((found.as_array().unwrap().len(), &found[0]["name"]), (2, &json!("team/app:v1")));
    assert_eq!((&found[0]["source"], &found[0]["reason"]), (&json!("one"), &json!("web")));
    refused(path, "store rm team/app:v1", 3, "one protects it: web");
    assert!(run(path, &format!("store why {digest}")).contains("protected by one since "));
    // The cluster reports what it uses now.
    run(path, "store protect team/app:v1 --reason web --by one --replace");
    assert_eq!(value(path, "store protections").as_array().unwrap().len(), 1);
    refused(path, "store unprotect team/app:v1", 4, "not protected by `operator`");
    run(path, "store unprotect team/app:v1 --by one --dry-run");
    run(path, "store unprotect team/app:v1 --by one");
    assert_eq!(newest_event(path)["evidence"]["ended"], "true");
    assert_eq!(run(path, "store protections"), "nothing is protected\n");
    run(path, "store rm team/app:v1");
}

#[test]
fn quotas_are_shown_and_bind_clients() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    drop(filled(path, &["v1"]));
    assert_eq!(run(path, "store quotas"), "the store has no quotas\n");
    write(path, "quotas: [{repositories: ['team/**'], contentMiB: 1, tags: 1}]");
    let registry = Registry::start(path, &["-f", "registry.yaml"]);
    let shown = run(path, "store quotas");
    assert!(shown.starts_with("team/**  ") && shown.contains(" of 1.05 MB, 1 tag of 1\n"), "{shown}");
    assert_eq!(value(path, "store quotas")[0]["used"]["tags"], 1);
    let digest = Digest::sha256(b"");
    let empty = format!("/v2/team/app/blobs/uploads/?digest={digest}");
    assert_eq!(registry.status("POST", &empty, None), 201, "nothing is added");
    registry.stop();
    // A commit of another process is refused, too.
    let store = Store::open(&path.join("store")).unwrap();
    let (repository, tag) = ("team/app".parse().unwrap(), "v2".parse().unwrap());
    let digest = store.tags(&repository, None, None).unwrap().remove(0).1;
    let error = store.commit(vec![Change::SetTag { repository, tag, digest }]).unwrap_err();
    assert!(matches!(error, store::Error::QuotaExceeded { what: "tags", .. }), "{error:?}");
}
