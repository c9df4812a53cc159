//! Content for a store, an observer of its steps, and a dump of its names.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use oci::{Algorithm, Digest, Manifest, RepositoryName, Tag};
use store::durable::{Observer, Step};
use store::{Change, Store};

/// Records the steps, and makes the n-th and all later ones fail, as a dead disk does.
#[derive(Default)]
pub(crate) struct Recorder {
    steps: Mutex<Vec<(Step, PathBuf)>>,
    fail_at: Option<usize>,
}

impl Recorder {
    pub(crate) fn failing_at(step: usize) -> Self {
        Self { steps: Mutex::default(), fail_at: Some(step) }
    }

    pub(crate) fn steps(&self) -> Vec<(Step, PathBuf)> {
        self.steps.lock().unwrap().clone()
    }
}

impl Observer for Recorder {
    fn before(&self, step: Step, path: &Path) -> io::Result<()> {
        let mut steps = self.steps.lock().unwrap();
        steps.push((step, path.to_owned()));
        match self.fail_at {
            Some(at) if steps.len() > at => Err(io::Error::other("the disk is gone")),
            _ => Ok(()),
        }
    }
}

pub(crate) fn repository(name: &str) -> RepositoryName {
    name.parse().unwrap()
}

pub(crate) fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

pub(crate) fn put(store: &Store, bytes: &[u8]) -> store::Result<Digest> {
    let mut writer = store.writer(Algorithm::Sha256)?;
    writer.write(bytes)?;
    Ok(writer.publish(None)?.0)
}

/// An image manifest over one blob of `size` bytes, with an optional subject.
pub(crate) fn manifest(blob: &Digest, size: usize, note: &str, subject: Option<&Digest>) -> Manifest {
    let subject = subject.map_or(String::new(), |digest| {
        format!(r#","subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":1}}"#)
    });
    let text = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{blob}","size":{size}}},"layers":[],"annotations":{{"note":"{note}"}}{subject}}}"#
    );
    Manifest::parse(text.into_bytes().into(), None).unwrap()
}

/// Stores blob, link, manifest and tag, as a push does.
pub(crate) fn push(store: &Store, name: &str, note: &str) -> store::Result<Digest> {
    let blob = put(store, note.as_bytes())?;
    store.commit(vec![Change::LinkBlob { repository: repository(name), digest: blob.clone() }])?;
    let manifest = manifest(&blob, note.len(), note, None);
    let digest = manifest.digest();
    store.commit(vec![
        Change::PutManifest { repository: repository(name), digest: digest.clone(), manifest },
        Change::SetTag { repository: repository(name), tag: tag(note), digest: digest.clone() },
    ])?;
    Ok(digest)
}

/// All names in the store, as sorted lines.
pub(crate) fn dump(store: &Store) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for name in store.repositories(None, None).unwrap() {
        for (tag, digest) in store.tags(&name, None, None).unwrap() {
            lines.insert(format!("{name}:{tag} {digest}"));
        }
        for row in store.manifests(&name).unwrap() {
            lines.insert(format!("{name}@{} {} {}", row.digest, row.media_type, row.size));
            for referrer in store.referrers(&name, &row.digest, None).unwrap() {
                lines.insert(format!("{name}: {} refers to {}", referrer.digest, row.digest));
            }
            let manifest = store.manifest(&name, &row.digest).unwrap().unwrap();
            for blob in manifest.blobs() {
                let size = store.blob_in(&name, &blob.digest).unwrap();
                lines.insert(format!("{name} links {} of {size:?}", blob.digest));
            }
        }
    }
    lines
}

/// The path of a blob's file.
pub(crate) fn file_of(root: &Path, digest: &Digest) -> PathBuf {
    let algorithm = digest.algorithm().as_str();
    root.join("blobs").join(algorithm).join(&digest.hex()[..2]).join(digest.hex())
}

/// Whether to try every case instead of a sample.
pub(crate) fn long() -> bool {
    std::env::var_os("AIRLOCK_TEST_LONG").is_some()
}
