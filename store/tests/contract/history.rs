//! The history of tags, and removing names.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use oci::{Digest, Manifest};
use store::{Change, Error, Relation, Store, Untagged};

use crate::rig::{dump, manifest, push, put, repository, tag};

/// Tag, digest before, digest after and actor of each change, newest first.
type Seen = Vec<(String, Option<Digest>, Option<Digest>, Option<String>)>;

fn seen(store: &Store, name: &str) -> Seen {
    let changes = store.tag_history(&repository(name), None, None).unwrap().into_iter();
    changes.map(|change| (change.tag.to_string(), change.from, change.to, change.by)).collect()
}

fn set(name: &str, label: &str, digest: &Digest) -> Change {
    Change::SetTag { repository: repository(name), tag: tag(label), digest: digest.clone() }
}

fn index(children: &[&Manifest]) -> Manifest {
    let child = |child: &&Manifest| {
        let kind = oci::media_type::OCI_MANIFEST;
        format!(r#"{{"mediaType":"{kind}","digest":"{}","size":{}}}"#, child.digest(), child.bytes().len())
    };
    let children: Vec<_> = children.iter().map(child).collect();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}}"#,
        oci::media_type::OCI_INDEX,
        children.join(",")
    );
    Manifest::parse(text.into_bytes().into(), None).unwrap()
}

fn add(store: &Store, name: &str, manifest: &Manifest) -> Digest {
    let digest = manifest.digest();
    let (repository, manifest) = (repository(name), manifest.clone());
    store.commit(vec![Change::PutManifest { repository, digest: digest.clone(), manifest }]).unwrap();
    digest
}

#[test]
fn each_change_of_a_tag_is_recorded_with_its_actor() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (one, two) = (push(&store, "a/b", "v1").unwrap(), push(&store, "a/b", "v2").unwrap());
    store.commit_as("ann from 10.0.0.7", vec![set("a/b", "v1", &two)]).unwrap();
    // Nothing changes, so nothing is recorded.
    store.commit_as("bob", vec![set("a/b", "v1", &two)]).unwrap();
    let none = Change::DeleteTag { repository: repository("a/b"), tag: tag("none") };
    store.commit_as("bob", vec![none]).unwrap();
    store.act_as("cron: store rm".to_owned());
    store
        .commit(vec![Change::DeleteManifest { repository: repository("a/b"), digest: two.clone() }])
        .unwrap();
    let cron = Some("cron: store rm".to_owned());
    let mut found = seen(&store, "a/b");
    found[..2].sort();
    let expected = [
        ("v1".to_owned(), Some(two.clone()), None, cron.clone()),
        ("v2".to_owned(), Some(two.clone()), None, cron),
        ("v1".to_owned(), Some(one.clone()), Some(two.clone()), Some("ann from 10.0.0.7".to_owned())),
        ("v2".to_owned(), None, Some(two), None),
        ("v1".to_owned(), None, Some(one), None),
    ];
    assert_eq!(found, expected);
    let only = store.tag_history(&repository("a/b"), Some(&tag("v2")), Some(1)).unwrap();
    assert!(only.len() == 1 && only[0].tag == tag("v2") && only[0].to.is_none());
}

#[test]
fn tags_are_listed_as_they_were_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (one, two) = (push(&store, "a/b", "v1").unwrap(), push(&store, "a/b", "v2").unwrap());
    store.commit(vec![set("a/b", "v1", &two)]).unwrap();
    store.commit(vec![Change::DeleteTag { repository: repository("a/b"), tag: tag("v2") }]).unwrap();
    let database = rusqlite::Connection::open(folder.path().join("airlock.db")).unwrap();
    // v1=one at 10, v2=two at 20, v1=two at 30, v2 removed at 40.
    database.execute("UPDATE tag_history SET at = 10 * rowid", []).unwrap();
    let at = |time| -> Vec<(String, Digest)> {
        let tags = store.tags_at(&repository("a/b"), time).unwrap().into_iter();
        tags.map(|(tag, digest)| (tag.to_string(), digest)).collect()
    };
    let (v1, v2) = ("v1".to_owned(), "v2".to_owned());
    assert_eq!(at(9), []);
    assert_eq!(at(10), [(v1.clone(), one.clone())]);
    assert_eq!(at(29), [(v1.clone(), one), (v2.clone(), two.clone())]);
    assert_eq!(at(30), [(v1.clone(), two.clone()), (v2, two.clone())]);
    assert_eq!(at(40), [(v1.clone(), two.clone())]);
    // A tag whose changes are no longer kept.
    database.execute("DELETE FROM tag_history", []).unwrap();
    assert_eq!(at(9), [(v1, two)]);
}

/// The database of an older version has no actors. A rebuild keeps the history of a readable database, and works without.
#[test]
fn the_history_survives_an_upgrade_and_a_rebuild() {
    let folder = tempfile::tempdir().unwrap();
    let two = {
        let store = Store::open(folder.path()).unwrap();
        push(&store, "a/b", "v1").unwrap();
        push(&store, "a/b", "v2").unwrap()
    };
    let database = rusqlite::Connection::open(folder.path().join("airlock.db")).unwrap();
    database.execute_batch("ALTER TABLE tag_history DROP COLUMN actor").unwrap();
    drop(database);
    let old = Store::open_to_read(folder.path()).unwrap();
    assert_eq!(seen(&old, "a/b").len(), 2);
    drop(old);
    let store = Store::open(folder.path()).unwrap();
    store.commit_as("ann", vec![set("a/b", "v1", &two)]).unwrap();
    let before = (seen(&store, "a/b"), dump(&store));
    assert_eq!(before.0[0].3.as_deref(), Some("ann"));
    drop(store);
    Store::rebuild(folder.path(), &mut |_| {}).unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!((seen(&store, "a/b"), dump(&store)), before);
    drop(store);
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.path().join(format!("airlock.db{suffix}")));
    }
    Store::rebuild(folder.path(), &mut |_| {}).unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(dump(&store), before.1);
    assert!(seen(&store, "a/b").iter().all(|change| change.3.as_deref() == Some("store rebuild")));
}

#[test]
fn a_rebuild_records_the_tags_that_it_lost() {
    let folder = tempfile::tempdir().unwrap();
    let two = {
        let store = Store::open(folder.path()).unwrap();
        push(&store, "a/b", "v1").unwrap();
        push(&store, "a/b", "v2").unwrap()
    };
    std::fs::write(crate::rig::file_of(folder.path(), &two), b"rotten").unwrap();
    assert_eq!(Store::rebuild(folder.path(), &mut |_| {}).unwrap().lost.len(), 2);
    let store = Store::open(folder.path()).unwrap();
    let newest = seen(&store, "a/b").remove(0);
    assert_eq!(newest, ("v2".to_owned(), Some(two), None, Some("store rebuild".to_owned())));
}

#[test]
fn a_removed_repository_leaves_nothing_behind_and_a_rebuild_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for name in ["a/b", "c/d"] {
        push(&store, name, "v1").unwrap();
        push(&store, name, "v2").unwrap();
    }
    let kept = dump(&store).into_iter().filter(|line| line.starts_with("c/d")).collect::<BTreeSet<_>>();
    store.commit(vec![Change::DeleteRepository { repository: repository("a/b") }]).unwrap();
    store.commit(vec![Change::DeleteRepository { repository: repository("never/was") }]).unwrap();
    assert_eq!(store.repositories(None, None).unwrap(), [repository("c/d")]);
    assert!(!store.repository_exists(&repository("a/b")).unwrap());
    assert_eq!(dump(&store), kept);
    // The history stays, and ends with the removal of both tags.
    assert_eq!(seen(&store, "a/b").len(), 4);
    assert!(store.check(&mut |_| {}).unwrap().faults.is_empty());
    drop(store);
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.path().join(format!("airlock.db{suffix}")));
    }
    Store::rebuild(folder.path(), &mut |_| {}).unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(dump(&store), kept);
    push(&store, "a/b", "v1").unwrap();
    assert_eq!(seen(&store, "a/b").len(), 1);
}

#[test]
fn untagged_manifests_are_removed_and_what_a_tag_leads_to_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let old = push(&store, "a/b", "v1").unwrap();
    let blob = put(&store, b"v1").unwrap();
    let child = manifest(&blob, 2, "child", None);
    let list = index(&[&child]);
    add(&store, "a/b", &child);
    let list = add(&store, "a/b", &list);
    let about = add(&store, "a/b", &manifest(&blob, 2, "about", Some(&old)));
    let signature = add(&store, "a/b", &manifest(&blob, 2, "signature", None));
    let attached = format!("{}.sig", old.to_string().replacen(':', "-", 1));
    store.commit(vec![set("a/b", &attached, &signature)]).unwrap();
    let later = || SystemTime::now() + Duration::from_mins(1);
    let found = |before| {
        store.untagged(before, &Untagged::new()).unwrap().remove(&repository("a/b")).unwrap_or_default()
    };
    // The index has no tag, so neither it nor its child is kept. The signatures are kept by their subject.
    let loose = BTreeSet::from([child.digest(), list.clone()]);
    assert_eq!(found(later()), loose);
    assert!(found(SystemTime::now() - Duration::from_hours(1)).is_empty());
    store.commit(vec![set("a/b", "v1", &list)]).unwrap();
    let loose = BTreeSet::from([old.clone(), about, signature]);
    assert_eq!(found(later()), loose);
    // It was pushed long ago, but lost its tag only now.
    let long_ago = std::fs::File::options();
    let hour_ago = SystemTime::now() - Duration::from_hours(1);
    for digest in &loose {
        let file = long_ago.clone().write(true).open(crate::rig::file_of(folder.path(), digest)).unwrap();
        file.set_modified(hour_ago - Duration::from_hours(1)).unwrap();
    }
    assert!(found(hour_ago).is_empty());
    // A manifest that got a tag after the plan was made stays, and so do its signatures.
    let plan: Untagged = store.untagged(later(), &Untagged::new()).unwrap();
    store.commit(vec![set("a/b", "again", &old)]).unwrap();
    assert!(store.delete_untagged(&plan, later(), &Untagged::new()).unwrap().is_empty());
    store.commit(vec![Change::DeleteTag { repository: repository("a/b"), tag: tag("again") }]).unwrap();
    let garbage = store.garbage_without(&plan).unwrap().blobs.len();
    let deleted = store.delete_untagged(&plan, later(), &Untagged::new()).unwrap();
    assert_eq!(deleted, plan);
    assert_eq!(store.garbage().unwrap().blobs.len(), garbage);
    let tags = store.tags(&repository("a/b"), None, None).unwrap();
    assert_eq!(tags, [(tag("v1"), list)]);
    assert!(store.check(&mut |_| {}).unwrap().faults.is_empty());
}

#[test]
fn the_paths_that_lead_to_a_blob_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let blob = put(&store, b"v1").unwrap();
    let child = manifest(&blob, 2, "child", None);
    let list = index(&[&child]);
    add(&store, "a/b", &child);
    let list = add(&store, "a/b", &list);
    let about = manifest(&blob, 2, "about", Some(&list));
    add(&store, "a/b", &about);
    store.commit(vec![set("a/b", "v1", &list), set("a/b", "stable", &list)]).unwrap();
    let loose = push(&store, "c/d", "v1").unwrap();
    store.commit(vec![Change::DeleteTag { repository: repository("c/d"), tag: tag("v1") }]).unwrap();
    let kept = store.why(&blob).unwrap();
    let paths: Vec<(String, Vec<Digest>)> = kept
        .reasons
        .iter()
        .map(|reason| {
            let tag = reason.tag.as_ref().map_or("-".to_owned(), ToString::to_string);
            (tag, reason.path.iter().map(|step| step.digest.clone()).collect())
        })
        .collect();
    let via = |first: &Digest, second: &Digest| vec![first.clone(), second.clone(), blob.clone()];
    let listed = paths.iter().any(|(tag, path)| tag == "v1" && *path == via(&list, &child.digest()));
    let subject = paths.iter().any(|(tag, path)| tag == "v1" && *path == via(&list, &about.digest()));
    assert!(listed || subject, "{paths:?}");
    assert!(paths.contains(&("-".to_owned(), vec![loose, blob.clone()])), "{paths:?}");
    assert!(kept.leases.len() == 1 && kept.leases[0].holder == "push" && !kept.more);
    assert_eq!(kept.linked, [repository("a/b"), repository("c/d")]);
    let signed = store.why(&about.digest()).unwrap();
    assert_eq!(signed.reasons.len(), 2);
    assert_eq!(signed.reasons[0].path[1].relation, Some(Relation::Referrer));
    let nothing = store.why(&Digest::sha256(b"nothing")).unwrap();
    assert!(nothing.reasons.is_empty() && nothing.leases.is_empty() && nothing.linked.is_empty());
}

/// A rollback names the manifest that it needs.
#[test]
fn a_tag_cannot_be_set_to_a_manifest_that_was_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let digest = push(&store, "a/b", "v1").unwrap();
    store
        .commit(vec![Change::DeleteManifest { repository: repository("a/b"), digest: digest.clone() }])
        .unwrap();
    let refused = store.commit_as("ann", vec![set("a/b", "v1", &digest)]).unwrap_err();
    assert!(matches!(refused, Error::ManifestMissing { .. }), "{refused:?}");
}
