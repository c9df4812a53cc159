//! Garbage collection while clients pull: pulls take as long as without it. With `AIRLOCK_TEST_LONG`, 100,000 blobs are
//! removed, and the 99th percentile may grow by a fifth.

use std::path::Path;
use std::time::{Duration, Instant};

use oci::Digest;
use store::Store;

use crate::{Server, client, support};

/// Pulls without and with a collection alternate, so that other load on the machine affects both.
const ROUNDS: u32 = 8;

/// Puts files of blobs that nothing names into a store.
fn add_garbage(root: &Path, round: u32, number: u32) {
    for blob in 0..number {
        let content = format!("{round} {blob}");
        let hex = Digest::sha256(content.as_bytes()).hex().to_owned();
        let path = root.join("blobs/sha256").join(&hex[..2]).join(hex);
        std::fs::write(path, content).expect("no file");
    }
}

/// Pulls a manifest and its blob until `is_over`; adds the time of each pull.
async fn pull(
    client: &support::Client,
    urls: &[String; 2],
    times: &mut Vec<Duration>,
    is_over: impl Fn() -> bool,
) {
    while !is_over() {
        let begun = Instant::now();
        for url in urls {
            let answer = client.get(url).send().await.expect("no answer");
            assert_eq!(answer.status(), 200);
            drop(answer.bytes().await.expect("no body"));
        }
        times.push(begun.elapsed());
    }
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_are_not_slower_while_garbage_is_collected() {
    let is_long = std::env::var_os("AIRLOCK_TEST_LONG").is_some();
    let each = if is_long { 12_500 } else { 500 };
    let server = Server::start(|_| ()).await;
    server.add_image("a", "v1", &[7; 4096]);
    let blob = Digest::sha256(&[7; 4096]);
    let urls = [server.url("/v2/a/manifests/v1"), server.url(&format!("/v2/a/blobs/{blob}"))];
    let client = client();
    let (mut idle, mut busy, mut collected) = (Vec::new(), Vec::new(), 0);
    for round in 0..ROUNDS {
        add_garbage(server.folder.path(), round, each);
        let plan = server.store.garbage().expect("no plan");
        // As another process would: nobody else may be disturbed.
        let store = Store::open_existing(server.folder.path()).expect("not opened");
        let begun = Instant::now();
        let collection = tokio::task::spawn_blocking(move || store.collect_after(&plan, Duration::ZERO));
        pull(&client, &urls, &mut busy, || collection.is_finished()).await;
        collected += collection.await.expect("it ended").expect("not collected").blobs;
        // As long as the collection took.
        let (now, took) = (Instant::now(), begun.elapsed());
        pull(&client, &urls, &mut idle, || now.elapsed() > took).await;
    }
    assert_eq!(collected, u64::from(each * ROUNDS));
    let of = |times: &mut Vec<Duration>| (percentile(times, 50), percentile(times, 99), times.len());
    let (idle, busy) = (of(&mut idle), of(&mut busy));
    println!(
        "{collected} blobs collected; median, 99th percentile and number of pulls: {busy:?}, without: {idle:?}"
    );
    let most = if is_long { idle.1 * 6 / 5 } else { idle.1 * 4 + Duration::from_millis(50) };
    assert!(busy.1 < most, "{busy:?} {idle:?}");
}
