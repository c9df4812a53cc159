//! The disk fails at each step in turn. After reopening, a change is complete or absent, and the store has no faults.

use std::sync::Arc;

use oci::Selector;
use store::{Change, Error, Store};

use crate::rig::{Recorder, dump, push, repository, tag};

#[test]
fn a_failure_at_any_step_leaves_an_intact_store() {
    let mut tried = 0;
    for step in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let before = {
            let store = Store::open(folder.path()).unwrap();
            push(&store, "old/app", "v0").unwrap();
            dump(&store)
        };
        let recorder = Arc::new(Recorder::failing_at(step));
        let outcome = {
            let store = Store::open_observed(folder.path(), recorder).unwrap();
            push(&store, "new/app", "v1")
        };
        let store = Store::open(folder.path()).unwrap();
        let report = store.check(&mut |_| {}).unwrap();
        assert!(report.faults.is_empty(), "step {step}: {:?}", report.faults);
        let found = dump(&store);
        assert!(found.is_superset(&before), "step {step}: older names are lost");
        let name = repository("new/app");
        let tagged = store.resolve(&name, &Selector::Tag(tag("v1"))).unwrap().is_some();
        assert_eq!(
            tagged,
            !store.manifests(&name).unwrap().is_empty(),
            "step {step}: only half of a push is visible"
        );
        if outcome.is_ok() {
            assert!(tagged, "step {step}: acknowledged but lost");
            break;
        }
        push(&store, "new/app", "v1").unwrap();
        tried += 1;
    }
    println!("{tried} steps failed in turn");
    assert!(tried >= 10, "{tried}");
}

#[test]
fn a_failing_request_does_not_fail_the_others_in_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let digest = push(&store, "a/b", "v1").unwrap();
    let missing = oci::Digest::sha256(b"missing");
    std::thread::scope(|scope| {
        for number in 0..16 {
            let (store, digest, missing) = (&store, &digest, &missing);
            scope.spawn(move || {
                let good = number % 2 == 0;
                let digest = if good { digest } else { missing };
                let tag = tag(&format!("t{number}"));
                let outcome = store.commit(vec![Change::SetTag {
                    repository: repository("a/b"),
                    tag,
                    digest: digest.clone(),
                }]);
                assert!(if good {
                    outcome.is_ok()
                } else {
                    matches!(outcome, Err(Error::ManifestMissing { .. }))
                });
            });
        }
    });
    assert_eq!(store.tags(&repository("a/b"), None, None).unwrap().len(), 9);
}

#[test]
fn a_torn_journal_line_is_truncated() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    push(&store, "a/b", "v1").unwrap();
    let journal = folder.path().join("names.log");
    let intact = std::fs::metadata(&journal).unwrap().len();
    std::fs::OpenOptions::new().append(true).open(&journal).unwrap().write_all(b"{\"sum\":\"12").unwrap();
    push(&store, "a/b", "v2").unwrap();
    let text = std::fs::read_to_string(&journal).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(text.len() as u64 > intact && !text.contains("\"12{"));
}
