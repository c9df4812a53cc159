//! A small store with a lock that is packed, and functions to inspect the result of an import.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bundle_signer::{PrivateKey, TrustFile};
use mirror::lock::{ItemKind, Lock, LockedBlob, LockedItem, LockedManifest, LockedRepository, LockedTag};
use mirror::reporter::Silent;
use oci::{Algorithm, Digest, Manifest, media_type};
use packager::bundle::{Error, Limits};
use packager::drive_log::SenderLog;
use packager::import::{ImportReport, import};
use packager::media::Media;
use packager::pack::{PackPlan, Shipment, WriteOptions, plan, write};
use packager::verify::{VerifyReport, verify};
use packager::witness::{AdmitOptions, Admitted, MissingLog, admit};
use serde_json::json;
use store::{Change, Store};

pub(crate) struct Rig {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) lock: Lock,
    pub(crate) key: PrivateKey,
    pub(crate) trust: TrustFile,
}

impl Rig {
    /// One image of three layers: compressible text, noise, and noise under a SHA-512 digest.
    pub(crate) fn new() -> Self {
        Self::with_text(&b"a line of text that comes again and again\n".repeat(4000))
    }

    /// The same with another text.
    pub(crate) fn with_text(text: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("near")).unwrap();
        let layers = [
            put(&store, Algorithm::Sha256, text),
            put(&store, Algorithm::Sha256, &noise(300_000)),
            put(&store, Algorithm::Sha512, &noise(20_001)),
        ];
        let config = put(&store, Algorithm::Sha256, b"{}");
        let layer = |blob: &LockedBlob| json!({"mediaType": media_type::OCI_LAYER, "digest": blob.digest, "size": blob.size});
        let body = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": {"mediaType": media_type::OCI_CONFIG, "digest": config.digest, "size": config.size},
            "layers": layers.iter().map(layer).collect::<Vec<_>>(),
        });
        let manifest = Manifest::parse(serde_json::to_vec(&body).unwrap().into(), None).unwrap();
        let lock = lock(&manifest, [&[config], &layers[..]].concat());
        store.commit(changes(&lock, &manifest)).unwrap();
        let key = PrivateKey::generate().unwrap();
        let trust = TrustFile::new(vec![("release".into(), key.public_key().unwrap())]).unwrap();
        Self { folder, store, lock, key, trust }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn shipment(&self) -> Shipment {
        Shipment::of(&self.lock, &self.store).unwrap()
    }

    pub(crate) fn plan(&self, volume_size: u64) -> PackPlan {
        plan(&self.shipment(), volume_size, None, &Silent).unwrap()
    }

    /// Packs into a folder, and returns the volumes in order.
    pub(crate) fn pack(&self, name: &str, volume_size: u64) -> Vec<PathBuf> {
        self.pack_with(name, volume_size, None)
    }

    /// Packs with a log.
    pub(crate) fn pack_with(
        &self,
        name: &str,
        volume_size: u64,
        log: Option<&dyn SenderLog>,
    ) -> Vec<PathBuf> {
        let target = self.path(name);
        let origin = log.map(|log| log.verifier().name().to_owned());
        let plan = plan(&self.shipment(), volume_size, origin.as_deref(), &Silent).unwrap();
        let now = "2026-01-01T00:00:00Z".to_owned();
        let options = WriteOptions { targets: vec![target.clone()], read_back: true, now };
        write(&plan, &self.store, &self.key, &options, log, &Silent).unwrap();
        plan.volumes.iter().map(|volume| target.join(&volume.name)).collect()
    }

    pub(crate) fn import(&self, paths: &[PathBuf], store: &Store) -> Result<ImportReport, Error> {
        let media = Media::open(paths, Limits::default())?;
        import(&media, &admitted(&media, Some(&self.trust))?, store, &Silent)
    }
}

/// Admits a drive with a trust file without logs.
pub(crate) fn admitted(media: &Media, trust: Option<&TrustFile>) -> Result<Admitted, Error> {
    let manifest = media.verify(trust)?;
    let (trust, stage) = (trust.unwrap(), Path::new("nowhere"));
    let missing_log = MissingLog::Refuse;
    admit(media, manifest, &AdmitOptions { trust, witness: None, stage, missing_log, now: None })
}

/// Verifies a drive with a trust file without logs.
pub(crate) fn prove(media: &Media, trust: Option<&TrustFile>) -> Result<VerifyReport, Error> {
    verify(media, &admitted(media, trust)?, &Silent)
}

fn put(store: &Store, algorithm: Algorithm, bytes: &[u8]) -> LockedBlob {
    let mut writer = store.writer(algorithm).unwrap();
    writer.write(bytes).unwrap();
    let (digest, size) = writer.publish(None).unwrap();
    LockedBlob { digest, size }
}

fn lock(manifest: &Manifest, blobs: Vec<LockedBlob>) -> Lock {
    let (repository, tag): (oci::RepositoryName, oci::Tag) =
        ("r.io/app".parse().unwrap(), "v1".parse().unwrap());
    let digest = manifest.digest();
    let size = manifest.bytes().len() as u64;
    Lock {
        version: 2,
        name: "small".into(),
        follow: true,
        unverified: Vec::new(),
        file: None,
        made: BTreeSet::new(),
        unavailable: BTreeSet::new(),
        items: vec![LockedItem {
            kind: ItemKind::Image,
            source: "r.io/app:v1".into(),
            repository: repository.clone(),
            tag: Some(tag.clone()),
            digest: digest.clone(),
            platforms: Vec::new(),
            size,
        }],
        repositories: vec![LockedRepository {
            name: repository,
            manifests: vec![LockedManifest {
                digest: digest.clone(),
                media_type: manifest.media_type().clone(),
                size,
                blobs,
                absent: Vec::new(),
            }],
            tags: vec![LockedTag { tag, digest }],
        }],
    }
}

fn changes(lock: &Lock, manifest: &Manifest) -> Vec<Change> {
    let repository = &lock.repositories[0];
    let (name, digest) = (repository.name.clone(), manifest.digest());
    vec![
        Change::PutManifest { repository: name.clone(), digest: digest.clone(), manifest: manifest.clone() },
        Change::SetTag { repository: name, tag: repository.tags[0].tag.clone(), digest },
    ]
}

/// Names and blobs of a store, as sorted lines.
pub(crate) fn dump(store: &Store) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for repository in store.repositories(None, None).unwrap() {
        for (tag, digest) in store.tags(&repository, None, None).unwrap() {
            lines.insert(format!("{repository}:{tag} {digest}"));
        }
        for row in store.manifests(&repository).unwrap() {
            lines.insert(format!("{repository}@{}", row.digest));
        }
    }
    for shard in ["sha256", "sha512"].iter().flat_map(|name| listing(&store.root().join("blobs").join(name)))
    {
        lines.extend(
            listing(&shard).iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()),
        );
    }
    lines
}

pub(crate) fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Bytes that do not compress.
pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 64);
    let mut block = Digest::sha256(&size.to_le_bytes());
    while bytes.len() < size {
        let pairs = block.hex().as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        bytes.extend(pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()));
        block = Digest::sha256(block.hex().as_bytes());
    }
    bytes.truncate(size);
    bytes
}
