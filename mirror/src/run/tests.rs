//! Whole runs on local content, on a runtime with one thread.

use std::fs;

use oci::Selector;
use registry::client::ClientConfig;

use super::*;
use crate::reporter::Silent;

/// A packaged chart without images.
fn chart() -> Vec<u8> {
    let mut archive =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let text = b"apiVersion: v2\nname: hello\nversion: 0.1.0\n";
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, "hello/Chart.yaml", text.as_slice()).unwrap();
    archive.into_inner().unwrap().finish().unwrap()
}

#[tokio::test]
async fn a_chart_is_mirrored_as_it_was_read_and_the_lock_is_the_written_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("a.tgz"), chart()).unwrap();
    let sources = "sources: [{charts: [{file: a.tgz}]}]";
    let text =
        format!("apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: a}}\n{sources}\n");
    fs::write(path("airlock.yaml"), text).unwrap();
    let config = MirrorConfig::read(&path("airlock.yaml")).unwrap();
    let (client, store) = (Client::new(ClientConfig::default()).unwrap(), Store::open(&path("s")).unwrap());
    let lock_path = path("airlock.lock");
    let target = LockTarget { path: &lock_path, mirror_file: "airlock.yaml" };

    let first = plan(&config, &client, &store, Locks::default(), &Silent).await.unwrap();
    fs::write(path("a.tgz"), "another content").unwrap();
    let first = run(first, &client, &store, target, &Silent).await.unwrap();
    assert_eq!(first.lock, Lock::read(&lock_path).unwrap());
    let (repository, tag) = ("charts/hello".parse().unwrap(), Selector::Tag("0.1.0".parse().unwrap()));
    let stored = stored_chart(&store, "charts/hello:0.1.0").unwrap().unwrap();
    assert_eq!(stored.archive, chart());
    assert_eq!(store.resolve(&repository, &tag).unwrap().unwrap().digest, first.lock.items[0].digest);

    fs::write(path("a.tgz"), chart()).unwrap();
    let locks = Locks { followed: Some(&first.lock), before: Some(&first.lock), renamed: false };
    let again = plan(&config, &client, &store, locks, &Silent).await.unwrap();
    fs::remove_file(&lock_path).unwrap();
    let again = run(again, &client, &store, target, &Silent).await.unwrap();
    assert_eq!(again.lock, first.lock);
    assert!(!lock_path.exists(), "a satisfied lock is not written again");
}

#[tokio::test]
async fn blobs_of_an_archive_are_copied_without_blocking_the_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let layout = path("layout");
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let put = |bytes: &[u8]| {
        let digest = Digest::sha256(bytes);
        fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        digest
    };
    let config = put(b"{}");
    let kind = oci::media_type::OCI_MANIFEST;
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": kind, "layers": [],
        "config": { "mediaType": oci::media_type::OCI_EMPTY, "digest": config, "size": 2 },
    });
    let manifest = manifest.to_string();
    let digest = put(manifest.as_bytes());
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{ "mediaType": kind, "digest": digest, "size": manifest.len() }],
    });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let sources = "sources: [{ociLayout: {path: layout, reference: 'r.example/a:v1'}}]";
    let text =
        format!("apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: a}}\n{sources}\n");
    fs::write(path("airlock.yaml"), text).unwrap();
    let read = MirrorConfig::read(&path("airlock.yaml")).unwrap();
    let (client, store) = (Client::new(ClientConfig::default()).unwrap(), Store::open(&path("s")).unwrap());
    let target = LockTarget { path: &path("airlock.lock"), mirror_file: "airlock.yaml" };
    let planned = plan(&read, &client, &store, Locks::default(), &Silent).await.unwrap();
    let done = run(planned, &client, &store, target, &Silent).await.unwrap();
    assert_eq!((&done.lock.items[0].digest, store.has_blob(&config).unwrap()), (&digest, Some(2)));
}
