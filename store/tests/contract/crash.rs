//! The disk fails at every step in turn; after reopening, all of a change is there or nothing, and nothing is wrong.

use std::sync::Arc;

use oci::Selector;
use store::{Change, Error, Store};

use crate::rig::{Recorder, dump, push, repository, tag};

#[test]
fn a_failure_at_any_step_leaves_a_sound_store() {
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
        assert!(found.is_superset(&before), "step {step}: something older is gone");
        let name = repository("new/app");
        let tagged = store.resolve(&name, &Selector::Tag(tag("v1"))).unwrap().is_some();
        assert_eq!(tagged, !store.manifests(&name).unwrap().is_empty(), "step {step}: half of a push");
        if outcome.is_ok() {
            assert!(tagged, "step {step}: acknowledged and lost");
            break;
        }
        push(&store, "new/app", "v1").unwrap();
        tried += 1;
    }
    println!("{tried} steps failed in turn");
    assert!(tried >= 13, "{tried}");
}

#[test]
fn one_request_that_fails_does_not_fail_those_beside_it() {
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
fn a_torn_journal_line_is_cut_off_and_forgotten() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    push(&store, "a/b", "v1").unwrap();
    let journal = folder.path().join("names.log");
    let sound = std::fs::metadata(&journal).unwrap().len();
    std::fs::OpenOptions::new().append(true).open(&journal).unwrap().write_all(b"{\"sum\":\"12").unwrap();
    push(&store, "a/b", "v2").unwrap();
    let text = std::fs::read_to_string(&journal).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(text.len() as u64 > sound && !text.contains("\"12{"));
}
