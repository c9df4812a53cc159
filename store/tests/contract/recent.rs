//! Manifests in memory: a commit that was acknowledged, by any handle, is seen by every later query.

use std::sync::atomic::{AtomicUsize, Ordering};

use oci::Selector;
use store::{Change, Store};

use crate::rig::{manifest, push, put, repository, tag};

#[test]
fn what_is_in_memory_is_forgotten_when_another_handle_commits() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (Store::open(folder.path()).unwrap(), Store::open(folder.path()).unwrap());
    let name = repository("a/b");
    let (first, second) = (push(&one, "a/b", "v1").unwrap(), push(&one, "a/b", "v2").unwrap());
    let v1 = Selector::Tag(tag("v1"));
    assert_eq!(one.recall(&name, &v1), None, "it was not requested yet");
    let requested = |digest| {
        assert_eq!(one.resolve(&name, &v1).unwrap().unwrap().digest, digest);
        let manifest = one.manifest(&name, &digest).unwrap().unwrap();
        let (row, bytes) = one.recall(&name, &v1).unwrap();
        assert_eq!((row.digest, &row.media_type, &bytes), (digest, manifest.media_type(), manifest.bytes()));
    };
    requested(first.clone());
    let set = |digest| Change::SetTag { repository: name.clone(), tag: tag("v1"), digest };
    for store in [&other, &one] {
        for digest in [&second, &first] {
            store.commit(vec![set(digest.clone())]).unwrap();
            assert_eq!(one.recall(&name, &v1), None);
            requested(digest.clone());
        }
    }
    other.commit(vec![Change::DeleteTag { repository: name.clone(), tag: tag("v1") }]).unwrap();
    assert_eq!((one.recall(&name, &v1), one.resolve(&name, &v1).unwrap()), (None, None));
    let by_digest = Selector::Digest(second.clone());
    assert!(one.resolve(&name, &by_digest).unwrap().is_some() && one.recall(&name, &by_digest).is_some());
    other.commit(vec![Change::DeleteManifest { repository: name.clone(), digest: second }]).unwrap();
    assert_eq!((one.recall(&name, &by_digest), one.resolve(&name, &by_digest).unwrap()), (None, None));
}

#[test]
fn no_query_returns_less_than_what_was_acknowledged_before_it() {
    const COMMITS: usize = 200;
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (Store::open(folder.path()).unwrap(), Store::open(folder.path()).unwrap());
    let name = repository("a");
    let blob = put(&one, b"blob").unwrap();
    let digests: Vec<_> = (0..COMMITS)
        .map(|number| {
            let manifest = manifest(&blob, 4, &number.to_string(), None);
            let digest = manifest.digest();
            let (repository, of) = (name.clone(), digest.clone());
            one.commit(vec![Change::PutManifest { repository, digest: of, manifest }]).unwrap();
            digest
        })
        .collect();
    let set = |store: &Store, number: usize| {
        let digest = digests[number].clone();
        store.commit(vec![Change::SetTag { repository: name.clone(), tag: tag("v"), digest }]).unwrap();
    };
    set(&one, 0);
    let (acknowledged, selector) = (AtomicUsize::new(0), Selector::Tag(tag("v")));
    let recalled = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let before = acknowledged.load(Ordering::SeqCst);
                    let row = match one.recall(&name, &selector) {
                        Some((row, _)) => {
                            recalled.fetch_add(1, Ordering::SeqCst);
                            row
                        }
                        None => one.resolve(&name, &selector).unwrap().unwrap(),
                    };
                    one.manifest(&name, &row.digest).unwrap().unwrap();
                    let found = digests.iter().position(|digest| *digest == row.digest).unwrap();
                    assert!(found >= before, "{found} after {before}");
                    if before == COMMITS - 1 {
                        return;
                    }
                }
            });
        }
        for number in 1..COMMITS {
            set(if number % 2 == 0 { &one } else { &other }, number);
            acknowledged.store(number, Ordering::SeqCst);
        }
    });
    assert!(recalled.into_inner() > 0);
}
