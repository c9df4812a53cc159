//! A large store: opening it, a page of tags and a page of repositories cost as much as in a small one. The rows are
//! inserted into the database directly. With `AIRLOCK_TEST_LONG`, it has 1,000,000 blobs and 100,000 tags.

use std::path::Path;
use std::time::{Duration, Instant};

use oci::Digest;
use rusqlite::Connection;
use store::{Change, QuotaRule, Rules, Store};

use crate::rig::{long, put, repository};

/// The names of repositories are `r/N`; each has the same number of blobs and tags.
const REPOSITORIES: u32 = 1000;
/// How often each query is measured.
const ROUNDS: usize = 50;

fn fill(root: &Path, blobs: u32, tags: u32) {
    let mut connection = Connection::open(root.join("airlock.db")).unwrap();
    let transaction = connection.transaction().unwrap();
    let kind = oci::media_type::OCI_MANIFEST;
    for number in 0..REPOSITORIES {
        let name = format!("r/{number}");
        transaction.execute("INSERT INTO repositories (name) VALUES (?1)", [name]).unwrap();
        let id = transaction.last_insert_rowid();
        let digest = |content: String| Digest::sha256(content.as_bytes()).to_string();
        let manifest = digest(format!("manifest {number}"));
        let sql = "INSERT INTO manifests (repository, digest, media_type, size) VALUES (?1, ?2, ?3, 500)";
        transaction.execute(sql, (id, &manifest, kind)).unwrap();
        let sql = "INSERT INTO blobs (repository, digest, size) VALUES (?1, ?2, 1000)";
        let mut insert = transaction.prepare_cached(sql).unwrap();
        for blob in 0..blobs / REPOSITORIES {
            insert.execute((id, digest(format!("{number} {blob}")))).unwrap();
        }
        // Half of the tags are in the first repository.
        let own = if number == 0 { tags / 2 } else { tags / 2 / (REPOSITORIES - 1) };
        let sql = "INSERT INTO tags (repository, tag, digest) VALUES (?1, ?2, ?3)";
        let mut insert = transaction.prepare_cached(sql).unwrap();
        for tag in 0..own {
            insert.execute((id, format!("v{tag:06}"), &manifest)).unwrap();
        }
    }
    transaction.commit().unwrap();
}

/// The median of the measured times.
fn median(mut measure: impl FnMut(usize)) -> Duration {
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|round| {
            let begun = Instant::now();
            measure(round);
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[ROUNDS / 2]
}

struct Costs {
    open: Duration,
    tags: Duration,
    repositories: Duration,
    commit: Duration,
}

fn costs(blobs: u32, tags: u32) -> Costs {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    // A quota on everything, so that all counters are in use.
    let repositories = vec!["**".parse().unwrap()];
    let quota = QuotaRule { repositories, bytes: Some(u64::MAX >> 2), tags: Some(u64::MAX >> 2) };
    drop(store);
    fill(folder.path(), blobs, tags);
    Store::open(folder.path())
        .unwrap()
        .set_rules(&Rules { quotas: vec![quota], ..Rules::default() })
        .unwrap();
    let mut opens: Vec<_> = (0..5)
        .map(|_| {
            let begun = Instant::now();
            drop(Store::open(folder.path()).unwrap());
            begun.elapsed()
        })
        .collect();
    opens.sort();
    let store = Store::open(folder.path()).unwrap();
    let used = store.quotas().unwrap()[0].used;
    assert_eq!(used.bytes, u64::from(blobs) * 1000 + u64::from(REPOSITORIES) * 500);
    let first = repository("r/0");
    let tags = median(|round| {
        let after = format!("v{:06}", round * 10);
        assert_eq!(store.tags(&first, Some(&after), Some(100)).unwrap().len(), 100);
    });
    let repositories = median(|round| {
        let after = format!("r/{round}");
        assert_eq!(store.repositories(Some(&after), Some(100)).unwrap().len(), 100);
    });
    let blob = put(&store, b"new").unwrap();
    let commit = median(|round| {
        let repository = repository(&format!("r/{round}"));
        store.commit(vec![Change::LinkBlob { repository, digest: blob.clone() }]).unwrap();
    });
    Costs { open: opens[opens.len() / 2], tags, repositories, commit }
}

#[test]
fn the_costs_of_opening_of_pages_and_of_quotas_do_not_depend_on_the_size() {
    let (blobs, tags) = if long() { (1_000_000, 100_000) } else { (20_000, 4000) };
    let (small, large) = (costs(2000, 2000), costs(blobs, tags));
    println!(
        "{blobs} blobs, {tags} tags: open {:?}, page of tags {:?}, page of repositories {:?}, commit {:?}; with 2,000 of each: {:?}, \
         {:?}, {:?}, {:?}",
        large.open,
        large.tags,
        large.repositories,
        large.commit,
        small.open,
        small.tags,
        small.repositories,
        small.commit
    );
    assert!(large.open < Duration::from_millis(200), "{:?}", large.open);
    // Far less than the factor between the sizes, and more than the noise of a busy machine.
    let slack = Duration::from_millis(5);
    for (what, small, large) in [
        ("page of tags", small.tags, large.tags),
        ("page of repositories", small.repositories, large.repositories),
        ("commit", small.commit, large.commit),
    ] {
        assert!(large < small * 3 + slack, "{what}: {small:?}, {large:?}");
    }
}
