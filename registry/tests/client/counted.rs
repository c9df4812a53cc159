//! Nothing is asked twice by a client that remembers.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::Response;
use futures::future::join_all;
use oci::{Digest, Selector};
use registry::client::{Client, ClientConfig};

use crate::credentials::noting;
use crate::lying::{MANIFEST, answer};
use crate::round_trip::config;

#[tokio::test]
async fn d14_five_tags_of_one_image_cost_five_heads_and_one_get() {
    let digest = Digest::sha256(MANIFEST.as_bytes());
    let stated = digest.to_string();
    let (host, seen) = noting(move |request, _| {
        let path = request.uri().path();
        match (request.method().as_str(), path) {
            (_, path) if path.contains("/referrers/") || path.contains("sha256-") => answer(404, &[], ""),
            ("HEAD", _) => answer(200, &[("docker-content-digest", &stated), ("x-head", "1")], ""),
            _ => Response::builder()
                .header("content-type", "application/vnd.oci.image.index.v1+json")
                .body(Body::from(MANIFEST))
                .unwrap(),
        }
    })
    .await;
    let client = Client::new(ClientConfig { remembers: true, ..config(&host) }).unwrap();
    let repository = "a/b".parse().unwrap();
    let tags: Vec<Selector> = (0..5).map(|n| Selector::Tag(format!("v{n}").parse().unwrap())).collect();
    // All at once, and again: who asks what is being asked waits for that answer.
    for _ in 0..2 {
        let asked = tags.iter().map(|tag| async {
            let found = client.manifest(&host, &repository, tag).await.unwrap().unwrap();
            assert!(client.referrers(&host, &repository, &found.digest()).await.unwrap().is_empty());
        });
        join_all(asked).await;
    }
    let mut counts = BTreeMap::new();
    for (path, _) in seen.lock().unwrap().iter() {
        *counts.entry(path.clone()).or_insert(0) += 1;
    }
    assert!(counts.values().all(|count| *count == 1), "{counts:#?}");
    // 5 tags, the manifest, the API and the tag of its referrers.
    assert_eq!(counts.len(), 8, "{counts:#?}");
    let other = Digest::sha256(b"other");
    client.referrers(&host, &repository, &other).await.unwrap();
    let paths: Vec<_> = seen.lock().unwrap().iter().map(|(path, _)| path.clone()).collect();
    assert!(!paths.iter().any(|path| path.contains(&format!("referrers/{other}"))), "{paths:?}");
}
