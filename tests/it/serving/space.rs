//! Immutable tags, quotas, retention and protections: the sections of the configuration file, and the commands.

use std::path::Path;

use oci::{Digest, Manifest};
use serde_json::{Value, json};
use store::{Change, QuotaRule, RetentionRule, Rules, Store, TagRule};

use super::Registry;
use crate::cli::{airlock, fails};
use crate::signing::{site, works};

/// A store with the tags of images in `team/app`, each about a blob with the name of the tag.
fn filled(path: &Path, tags: &[&str]) -> Store {
    let store = Store::open(&path.join("store")).unwrap();
    for tag in tags {
        push(&store, "team/app", tag, tag);
    }
    store
}

fn push(store: &Store, name: &str, tag: &str, content: &str) -> Digest {
    let (blob, size) = store.put_bytes(content.as_bytes()).unwrap();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": oci::media_type::OCI_MANIFEST, "layers": [],
        "config": { "mediaType": oci::media_type::OCI_CONFIG, "digest": blob.to_string(), "size": size },
    });
    let manifest = Manifest::parse(manifest.to_string().into_bytes().into(), None).unwrap();
    let (digest, repository): (_, oci::RepositoryName) = (manifest.digest(), name.parse().unwrap());
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
    push(&Store::open(&path.join("store")).unwrap(), "team/app", "v1", "two");
    write(path, IMMUTABLE);
    let checked = works(path, &["serve", "--check", "-f", "registry.yaml"]);
    assert!(checked.contains("immutable tags") && checked.contains("v* in team/**"), "{checked}");
    let registry = Registry::start(path, &["-f", "registry.yaml"]);
    let tag = "/v2/team/app/manifests/v1";
    assert_eq!(registry.status("DELETE", tag, None), 412);
    assert_eq!(registry.status("DELETE", "/v2/team/app/_airlock/repository", None), 412);
    assert_eq!(registry.status("DELETE", "/v2/team/app/manifests/latest", None), 202);
    // The commands enforce the rules of the store, whether or not the registry serves it.
    refused(path, "store rm team/app:v1", 3, "the tag `v1` is immutable");
    refused(path, "store rm team/app", 3, "use --force");
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
    let digest = push(&store, "team/app", "v2", "v2");
    drop(store);
    refused(path, "store protect team/app:none --reason x", 4, "nothing named `team/app:none`");
    run(path, "store protect team/app:v1 --reason web --dry-run");
    assert_eq!(value(path, "store protections"), json!([]));
    run(path, &format!("store protect team/app:v1 team/app@{digest} --reason web --by one"));
    let found = value(path, "store protections");
    assert_eq!((found.as_array().unwrap().len(), &found[1]["name"]), (2, &json!("team/app:v1")));
    assert_eq!((&found[1]["source"], &found[1]["reason"]), (&json!("one"), &json!("web")));
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

#[test]
fn an_import_obeys_the_rules_and_what_it_brought_is_spared() {
    let folder = site();
    let path = folder.path();
    works(path, &["pack", "--store", "store", "--to", "drive", "--key", "release.key"]);
    let far = Store::open(&path.join("far")).unwrap();
    let (name, repositories) = ("disk.example/team/app", vec!["disk.example/**".parse().unwrap()]);
    push(&far, name, "v1", "other");
    let immutable =
        TagRule { repositories: repositories.clone(), tags: vec!["v*".parse().unwrap()], except: Vec::new() };
    far.set_rules(&Rules { immutable_tags: vec![immutable], ..Rules::default() }).unwrap();
    let import = ["import", "drive", "--trust", "release.yaml", "--store", "far"];
    fails(path, &[&import[..], &["--dry-run"]].concat(), 3, "`disk.example/team/app:v1` is immutable");
    fails(path, &import, 3, "`disk.example/team/app:v1` is immutable");
    // A quota counts what drives bring, and no name is set.
    let quota = QuotaRule { repositories: repositories.clone(), bytes: Some(400), tags: None };
    far.set_rules(&Rules { quotas: vec![quota], ..Rules::default() }).unwrap();
    let used = far.quotas().unwrap();
    fails(path, &import, 5, "the quota for `disk.example/**` is 400 bytes");
    assert_eq!(far.quotas().unwrap(), used);
    far.set_rules(&Rules::default()).unwrap();
    works(path, &import);
    // Neither retention nor the collection of untagged manifests removes what the drive brought.
    let brought = far.tags(&name.parse().unwrap(), None, None).unwrap().remove(0).1;
    push(&far, name, "newer", "newer");
    let newest = RetentionRule {
        repositories,
        newest: Some(1),
        newer_than_seconds: None,
        tags: Vec::new(),
        pulled_within_seconds: None,
    };
    let mut rules = Rules::default();
    rules.retention.rules.push(newest);
    far.set_rules(&rules).unwrap();
    let retained = works(path, &["store", "retention", "--store", "far"]);
    assert!(
        retained.starts_with("untagged") && retained.contains("removed 0 tags, 1 untagged"),
        "{retained}"
    );
    push(&far, name, "v1", "moved");
    let untagged = ["store", "gc", "--untagged", "--older-than", "0s", "--dry-run", "--store", "far"];
    assert!(!works(path, &untagged).contains(&brought.to_string()));
}
