//! The inbox: manifests that wait for their tag.

use std::time::{Duration, SystemTime};

use oci::{Digest, Selector};
use store::{Change, Error, InboxLimits, Store, Untagged};

use crate::rig::{dump, manifest, put, repository, tag};

const MOST: InboxLimits = InboxLimits { entries: 3, bytes: 4096, seconds: 3600 };
const HOME: &str = "a/b";

/// Holds a manifest for tags.
fn hold(store: &Store, note: &str, tags: &[&str], most: InboxLimits) -> store::Result<Digest> {
    let blob = put(store, note.as_bytes())?;
    store.commit(vec![Change::LinkBlob { repository: repository(HOME), digest: blob.clone() }])?;
    let manifest = manifest(&blob, note.len(), note, None);
    let (digest, tags) = (manifest.digest(), tags.iter().map(|name| tag(name)).collect());
    let change = Change::Hold { repository: repository(HOME), tags, digest: digest.clone(), manifest, most };
    store.commit_as("ann", vec![change])?;
    Ok(digest)
}

fn promote(store: &Store, name: &str, digest: &Digest) -> store::Result<()> {
    let (repository, tag, digest) = (repository(HOME), tag(name), digest.clone());
    store.commit_as("bob", vec![Change::Promote { repository, tag, digest }])
}

/// Whether a manifest is held; none if the repository does not have it.
fn held(store: &Store, digest: &Digest) -> Option<bool> {
    let row = store.resolve(&repository(HOME), &Selector::Digest(digest.clone())).unwrap();
    row.map(|row| row.held)
}

/// The waiting tags with their manifests.
fn waiting(store: &Store) -> Vec<(String, Digest)> {
    let entries = store.inbox(None).unwrap().into_iter();
    entries.map(|entry| (entry.tag.to_string(), entry.digest)).collect()
}

fn tagged(store: &Store) -> Vec<(String, Digest)> {
    let tags = store.tags(&repository(HOME), None, None).unwrap();
    tags.into_iter().map(|(tag, digest)| (tag.to_string(), digest)).collect()
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

#[test]
fn a_held_manifest_is_promoted_and_stays_through_a_rebuild() {
    let (folder, store) = store();
    let one = hold(&store, "one", &["v1", "latest"], MOST).unwrap();
    assert_eq!(held(&store, &one), Some(true));
    assert!(tagged(&store).is_empty());
    let entry = store.inbox(Some(&repository(HOME))).unwrap().remove(0);
    assert_eq!((entry.by.as_deref(), entry.is_expired()), (Some("ann"), false));
    assert_eq!(store.waits_for(&repository(HOME), &one).unwrap(), [tag("latest"), tag("v1")]);
    promote(&store, "v1", &one).unwrap();
    assert_eq!(held(&store, &one), Some(false));
    assert_eq!(tagged(&store), [("v1".to_owned(), one.clone())]);
    assert_eq!(waiting(&store), [("latest".to_owned(), one.clone())]);
    assert!(matches!(promote(&store, "v1", &one), Err(Error::NotWaiting { .. })));
    let history = store.tag_history(&repository(HOME), None, None).unwrap();
    assert_eq!(history[0].by.as_deref(), Some("bob"));
    assert!(store.check(&mut |_| {}).unwrap().faults.is_empty());
    let before = dump(&store);
    drop(store);
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.path().join(format!("airlock.db{suffix}")));
    }
    Store::rebuild(folder.path(), &mut |_| {}).unwrap();
    assert_eq!(dump(&Store::open(folder.path()).unwrap()), before);
}

#[test]
fn no_rebuild_turns_a_held_manifest_into_an_ordinary_one() {
    for remove in ["airlock.db", "names.log"] {
        let (folder, store) = store();
        crate::rig::push(&store, HOME, "tagged").unwrap();
        let one = hold(&store, "one", &["v1"], MOST).unwrap();
        drop(store);
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(folder.path().join(format!("{remove}{suffix}")));
        }
        Store::rebuild(folder.path(), &mut |_| {}).unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!((held(&store, &one), waiting(&store).len()), (None, 0), "{remove}");
        assert_eq!(tagged(&store).len(), 1, "{remove}");
    }
}

/// Whatever is pushed later to a tag replaces what waits for it, and a replaced manifest disappears.
#[test]
fn the_last_push_of_a_tag_counts() {
    let (_folder, store) = store();
    let one = hold(&store, "one", &["v1"], MOST).unwrap();
    let two = hold(&store, "two", &["v1"], MOST).unwrap();
    assert_eq!((held(&store, &one), held(&store, &two)), (None, Some(true)));
    assert!(matches!(promote(&store, "v1", &one), Err(Error::NotWaiting { .. })));
    // The same push again changes nothing but its time.
    assert_eq!(hold(&store, "two", &["v1"], MOST).unwrap(), two);
    assert_eq!(held(&store, &two), Some(true));
    let three = crate::rig::push(&store, HOME, "v1").unwrap();
    assert_eq!((held(&store, &two), waiting(&store).len()), (None, 0));
    assert!(matches!(promote(&store, "v1", &two), Err(Error::NotWaiting { .. })));
    assert_eq!(tagged(&store), [("v1".to_owned(), three.clone())]);
    // A tag stays as it was until the promotion.
    let four = hold(&store, "four", &["v1"], MOST).unwrap();
    assert_eq!(tagged(&store), [("v1".to_owned(), three)]);
    promote(&store, "v1", &four).unwrap();
    assert_eq!(tagged(&store), [("v1".to_owned(), four)]);
}

#[test]
fn a_manifest_that_the_repository_had_before_is_not_hidden_and_stays() {
    let (_folder, store) = store();
    let known = crate::rig::push(&store, HOME, "known").unwrap();
    assert_eq!(hold(&store, "known", &["v2"], MOST).unwrap(), known);
    assert_eq!(held(&store, &known), Some(false));
    let discard = |name: &str, digest: &Digest| {
        let (repository, tag, digest) = (repository(HOME), tag(name), digest.clone());
        store.commit(vec![Change::Discard { repository, tag, digest }])
    };
    discard("v2", &known).unwrap();
    assert_eq!(held(&store, &known), Some(false));
    // Pushed by its digest, a held manifest becomes an ordinary one, but still waits for its tag.
    let one = hold(&store, "one", &["v1"], MOST).unwrap();
    let manifest = store.manifest(&repository(HOME), &one).unwrap().unwrap();
    let (repository, digest) = (repository(HOME), one.clone());
    store.commit(vec![Change::PutManifest { repository, digest, manifest }]).unwrap();
    assert_eq!((held(&store, &one), waiting(&store).len()), (Some(false), 1));
    assert!(matches!(discard("v1", &known), Err(Error::NotWaiting { .. })));
    discard("v1", &one).unwrap();
    assert_eq!((held(&store, &one), waiting(&store).len()), (Some(false), 0));
}

#[test]
fn the_inbox_of_a_repository_is_limited_in_number_and_size() {
    let (_folder, store) = store();
    hold(&store, "one", &["v1", "v2", "v3"], MOST).unwrap();
    assert!(matches!(hold(&store, "two", &["v4"], MOST), Err(Error::InboxFull { what: "manifests", .. })));
    hold(&store, "two", &["v3"], MOST).unwrap();
    let small = InboxLimits { bytes: 100, ..MOST };
    assert!(matches!(hold(&store, "three", &["v3"], small), Err(Error::InboxFull { what: "bytes", .. })));
    assert_eq!(waiting(&store).len(), 3, "a refused push replaces nothing");
}

#[test]
fn a_manifest_waits_until_it_expires_and_garbage_collection_keeps_it_until_then() {
    let (_folder, store) = store();
    let one = hold(&store, "one", &["v1"], MOST).unwrap();
    let later = SystemTime::now() + Duration::from_hours(1);
    assert!(store.untagged(later, &Untagged::new()).unwrap().is_empty());
    assert!(store.expire_inbox().unwrap().is_empty());
    let old = hold(&store, "old", &["v2"], InboxLimits { seconds: 0, ..MOST }).unwrap();
    assert!(matches!(promote(&store, "v2", &old), Err(Error::NotWaiting { .. })));
    assert!(store.waits_for(&repository(HOME), &old).unwrap().is_empty());
    assert_eq!(held(&store, &old), Some(true), "it is hidden until it is removed");
    assert_eq!(store.untagged(later, &Untagged::new()).unwrap()[&repository(HOME)], [old.clone()].into());
    let expired = store.expire_inbox().unwrap();
    assert_eq!(expired.iter().map(|entry| &entry.digest).collect::<Vec<_>>(), [&old]);
    assert_eq!((held(&store, &old), held(&store, &one)), (None, Some(true)));
}

/// A held manifest is not a referrer that clients see, and a database of an earlier version has no inbox.
#[test]
fn held_referrers_are_not_listed_and_old_databases_can_be_read() {
    let (folder, store) = store();
    let image = crate::rig::push(&store, HOME, "v1").unwrap();
    let blob = put(&store, b"x").unwrap();
    store.commit(vec![Change::LinkBlob { repository: repository(HOME), digest: blob.clone() }]).unwrap();
    let manifest = manifest(&blob, 1, "about", Some(&image));
    let (digest, tags) = (manifest.digest(), vec![tag("about")]);
    let change =
        Change::Hold { repository: repository(HOME), tags, digest: digest.clone(), manifest, most: MOST };
    store.commit(vec![change]).unwrap();
    assert!(store.referrers(&repository(HOME), &image, None).unwrap().is_empty());
    promote(&store, "about", &digest).unwrap();
    assert_eq!(store.referrers(&repository(HOME), &image, None).unwrap().len(), 1);
    drop(store);
    let database = rusqlite::Connection::open(folder.path().join("airlock.db")).unwrap();
    database.execute_batch("DROP TABLE inbox").unwrap();
    drop(database);
    let old = Store::open_to_read(folder.path()).unwrap();
    assert_eq!((held(&old, &image), waiting(&old).len()), (Some(false), 0));
}
