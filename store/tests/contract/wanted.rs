//! Manifests that clients asked for in vain, and the store's size.

use oci::{Digest, Selector};
use store::{Change, Store, Wanted, WantedName};

use crate::rig::{push, put, repository, tag};

fn name(host: Option<&str>, text: &str, selector: &str) -> WantedName {
    let host = host.map(|host| host.parse().unwrap());
    WantedName { host, repository: repository(text), selector: selector.parse().unwrap() }
}

fn wanted(name: &WantedName, at: u64, client: &str) -> Change {
    Change::Want(Wanted { name: name.clone(), first: at, last: at, count: 1, clients: vec![client.into()] })
}

#[test]
fn requests_for_one_manifest_are_one_row() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let app = name(Some("quay.io:5000"), "team/app", "v1");
    assert!(!store.is_wanted(&app).unwrap());
    for (at, client) in [(20, "a"), (10, "b"), (30, "a"), (31, "c"), (32, "d"), (33, "e")] {
        store.commit(vec![wanted(&app, at, client)]).unwrap();
    }
    let digest = Digest::sha256(b"x").to_string();
    let by_digest = name(None, "team/app", &digest);
    store.commit(vec![wanted(&by_digest, 5, "a")]).unwrap();
    let found = Store::open_to_read(folder.path()).unwrap().wanted().unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].name.to_string(), format!("team/app@{digest}"));
    assert_eq!(found[1].name.to_string(), "quay.io:5000/team/app:v1");
    assert_eq!((found[1].first, found[1].last, found[1].count), (10, 33, 6));
    assert_eq!(found[1].clients, ["a", "b", "c", "d"], "only a few clients are kept");
    assert!(store.is_wanted(&app).unwrap());
    store.commit(vec![Change::ForgetWanted(app.clone()), Change::ForgetWanted(app.clone())]).unwrap();
    assert!(!store.is_wanted(&app).unwrap() && store.is_wanted(&by_digest).unwrap());
}

#[test]
fn the_rows_that_were_not_asked_for_the_longest_time_are_removed_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let row = |number: u64| name(None, "a", &format!("v{number}"));
    let all: Vec<_> = (0..10_000).map(|number| wanted(&row(number), 100 + number, "a")).collect();
    store.commit(all).unwrap();
    store.commit(vec![wanted(&row(0), 50_000, "a"), wanted(&row(10_000), 60_000, "a")]).unwrap();
    assert_eq!(store.wanted().unwrap().len(), 10_000);
    assert!(store.is_wanted(&row(0)).unwrap(), "it was asked for again");
    assert!(!store.is_wanted(&row(1)).unwrap());
    assert!(store.is_wanted(&row(10_000)).unwrap());
}

#[test]
fn wanted_manifests_are_no_content_and_a_rebuild_loses_them() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = Store::open(folder.path()).unwrap();
        push(&store, "a", "v1").unwrap();
        store.commit(vec![wanted(&name(None, "b", "v1"), 1, "a")]).unwrap();
        assert!(!store.repository_exists(&repository("b")).unwrap());
        assert!(store.check(&mut |_| ()).unwrap().faults.is_empty());
    }
    Store::rebuild(folder.path(), &mut |_| ()).unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.wanted().unwrap(), []);
    assert!(store.resolve(&repository("a"), &Selector::Tag(tag("v1"))).unwrap().is_some());
}

#[test]
fn the_size_of_a_store_counts_each_blob_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let empty = store.totals().unwrap();
    assert_eq!((empty.blobs, empty.bytes, empty.uploads), (0, 0, 0));
    assert!(empty.free_bytes > 0);
    let digest = put(&store, b"shared content").unwrap();
    for repository in [repository("a"), repository("b")] {
        store.commit(vec![Change::LinkBlob { repository, digest: digest.clone() }]).unwrap();
    }
    store.create_upload(&repository("a")).unwrap();
    let totals = store.totals().unwrap();
    assert_eq!((totals.blobs, totals.bytes, totals.uploads), (1, 14, 1));
}
