//! Plans a set before its first byte is written: encodings, sizes, positions and names.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek as _, SeekFrom};
use std::rc::Rc;

use evidence::Contents as _;
use mirror::lock::Lock;
use mirror::reporter::Reporter;
use oci::{Algorithm, Digest, Hasher};
use serde::Serialize;
use serde_json::json;
use store::Store;

use crate::bundle::head::head_len;
use crate::bundle::manifest::{BundleRepository, BundledManifest, VERSION};
use crate::bundle::tar::TRAILER;
use crate::bundle::{BundleManifest, Encoding, Entry, EntryKind, Error, Limits, extents};
use crate::import;
use crate::pack::Shipment;

/// The zstd level, which is as fast as a removable medium.
const LEVEL: i32 = 3;
/// Content below this size is not compressed.
const LEAST: u64 = 4096;
/// The number of bytes that are compressed to find out whether compression is worthwhile.
const SAMPLE: u64 = 1 << 20;
/// The read size of the compressor.
const READ: usize = 256 * 1024;

/// Magic numbers of compressed formats: gzip, zstd, xz, bzip2, zip, lz4, 7z.
const COMPRESSED: [&[u8]; 7] = [
    &[0x1f, 0x8b],
    &[0x28, 0xb5, 0x2f, 0xfd],
    &[0xfd, b'7', b'z', b'X', b'Z', 0],
    b"BZh",
    b"PK\x03\x04",
    &[0x04, 0x22, 0x4d, 0x18],
    &[b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c],
];

/// The plan of a set, ready to be written.
#[derive(Clone, Debug)]
pub struct PackPlan {
    /// The manifest to sign.
    pub manifest: BundleManifest,
    /// The volumes.
    pub volumes: Vec<PlannedVolume>,
    /// The content of the entries that are not in the store.
    pub(crate) layout_files: BTreeMap<Digest, Vec<u8>>,
}

/// A volume to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedVolume {
    /// Its file name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Plans a set of volumes of at most `volume_size` bytes. Compresses content to find out its compressed size; the same
/// shipment always gives the same plan. `log` is the name of the sender's log, if it is written to the drive.
///
/// # Errors
/// When the store lacks content, or the volume size is too small.
pub fn plan(
    shipment: &Shipment,
    volume_size: u64,
    log: Option<&str>,
    reporter: &dyn Reporter,
) -> Result<PackPlan, Error> {
    let (lock, store) = (shipment.lock(), shipment.store());
    let index = oci_index(lock);
    let oci_layout = br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec();
    let mut entries = vec![plain(EntryKind::OciLayout, &oci_layout), plain(EntryKind::Index, &index)];
    let layout_files = [oci_layout, index].into_iter().map(|bytes| (Digest::sha256(&bytes), bytes)).collect();
    let blobs = blobs(lock, store)?;
    reporter.begin("plan", blobs.iter().map(|(_, size)| size).sum());
    for (digest, size) in blobs {
        entries.push(measure(store, &digest, size)?);
        reporter.advance(size);
    }
    reporter.end();
    let manifest = BundleManifest {
        version: VERSION,
        name: lock.name.clone(),
        created_by: concat!("airlock ", env!("CARGO_PKG_VERSION")).to_owned(),
        log: log.map(str::to_owned),
        volumes: 0,
        items: lock.items.clone(),
        repositories: repositories(lock),
        entries,
    };
    import::check(&manifest, store)?;
    let manifest = place(manifest, volume_size)?;
    let size = manifest.to_bytes().len() as u64;
    check_limits(&manifest, size, &Limits::default())?;
    let head = head_len(size);
    let volumes = (1..=manifest.volumes)
        .map(|number| PlannedVolume {
            name: manifest.volume_name(number),
            size: head + extents::payload_len(&manifest, number),
        })
        .collect();
    Ok(PackPlan { manifest, volumes, layout_files })
}

/// Checks that a reader accepts the set, so that this is not found out only during import.
fn check_limits(manifest: &BundleManifest, size: u64, limits: &Limits) -> Result<(), Error> {
    let (volumes, entries) = (u64::from(manifest.volumes), manifest.entries.len() as u64);
    let bounds =
        [("volumes", volumes, u64::from(limits.volumes)), ("entries", entries, limits.entries as u64)];
    for (what, found, limit) in bounds {
        if found > limit {
            return Err(Error::TooMany { what, found, limit });
        }
    }
    if size > limits.manifest {
        return Err(Error::ManifestTooLarge { found: size, limit: limits.manifest });
    }
    Ok(())
}

/// Lays out the entries. The head contains the manifest, which contains the layout, so the space for the head grows until
/// the manifest fits.
fn place(mut manifest: BundleManifest, volume_size: u64) -> Result<BundleManifest, Error> {
    let mut head = head_len(manifest.to_bytes().len() as u64);
    loop {
        let least = head + TRAILER + 16 * 1024;
        if volume_size < least {
            return Err(Error::VolumeTooSmall { size: volume_size, head, least });
        }
        manifest.volumes = extents::place(&mut manifest.entries, volume_size - head - TRAILER)?;
        let needed = head_len(manifest.to_bytes().len() as u64);
        if needed <= head {
            return Ok(manifest);
        }
        head = needed.next_multiple_of(4096);
    }
}

fn repositories(lock: &Lock) -> Vec<BundleRepository> {
    let bundled = |manifest: &mirror::lock::LockedManifest| BundledManifest {
        digest: manifest.digest.clone(),
        media_type: manifest.media_type.clone(),
        absent: manifest.absent.clone(),
    };
    lock.repositories
        .iter()
        .map(|repository| BundleRepository {
            name: repository.name.clone(),
            manifests: repository.manifests.iter().map(bundled).collect(),
            tags: repository.tags.clone(),
        })
        .collect()
}

/// All blobs, each once: first the manifests, for readers that need only those, then the rest in the lock's order.
fn blobs(lock: &Lock, store: &Store) -> Result<Vec<(Digest, u64)>, Error> {
    let manifests = || lock.repositories.iter().flat_map(|repository| &repository.manifests);
    let digests = manifests()
        .map(|manifest| &manifest.digest)
        .chain(manifests().flat_map(|manifest| manifest.blobs.iter().map(|blob| &blob.digest)));
    let mut seen = BTreeSet::new();
    let mut blobs = Vec::new();
    for digest in digests.filter(|digest| seen.insert(*digest)) {
        let size = store.has_blob(digest)?.ok_or_else(|| Error::NotInStore(digest.clone()))?;
        blobs.push((digest.clone(), size));
    }
    Ok(blobs)
}

/// The `index.json` of the OCI layout after extraction: all tags, and the items that were requested by digest.
fn oci_index(lock: &Lock) -> Vec<u8> {
    let mut descriptors = Vec::new();
    for repository in &lock.repositories {
        let tagged =
            repository.tags.iter().map(|tag| (&tag.digest, format!("{}:{}", repository.name, tag.tag)));
        let untagged = lock
            .items
            .iter()
            .filter(|item| item.repository == repository.name && item.tag.is_none())
            .map(|item| (&item.digest, format!("{}@{}", item.repository, item.digest)));
        for (digest, name) in tagged.chain(untagged) {
            if let Some(manifest) = repository.manifests.iter().find(|manifest| manifest.digest == *digest) {
                descriptors.push(json!({
                    "mediaType": manifest.media_type, "digest": digest, "size": manifest.size,
                    "annotations": {"org.opencontainers.image.ref.name": name},
                }));
            }
        }
    }
    let index =
        json!({"schemaVersion": 2, "mediaType": oci::media_type::OCI_INDEX, "manifests": descriptors});
    serde_json::to_vec(&index).unwrap_or_default()
}

fn plain(kind: EntryKind, bytes: &[u8]) -> Entry {
    identity(kind, Digest::sha256(bytes), bytes.len() as u64)
}

fn identity(kind: EntryKind, digest: Digest, size: u64) -> Entry {
    Entry {
        kind,
        digest,
        size,
        encoding: Encoding::Identity,
        encoded_size: size,
        encoded_digest: None,
        extents: Vec::new(),
    }
}

/// Decides the encoding of a blob. Compresses it once to measure the size, if compression is worthwhile.
fn measure(store: &Store, digest: &Digest, size: u64) -> Result<Entry, Error> {
    let stored = identity(EntryKind::Blob, digest.clone(), size);
    if size < LEAST {
        return Ok(stored);
    }
    let mut blob = store.blob_to_hash(digest)?.ok_or_else(|| Error::NotInStore(digest.clone()))?;
    let failed = |error| Error::io("read", store.root())(error);
    let mut magic = [0; 8];
    blob.file.read_exact(&mut magic).map_err(failed)?;
    if COMPRESSED.iter().any(|known| magic.starts_with(known)) {
        return Ok(stored);
    }
    blob.file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let (sampled, _) =
        count(encoder((&mut blob.file).take(SAMPLE), size.min(SAMPLE)).map_err(failed)?).map_err(failed)?;
    if !pays(sampled, size.min(SAMPLE)) {
        return Ok(stored);
    }
    blob.file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let (encoded_size, encoded_digest) =
        count(encoder(&mut blob.file, size).map_err(failed)?).map_err(failed)?;
    if !pays(encoded_size, size) {
        return Ok(stored);
    }
    Ok(Entry { encoding: Encoding::Zstd, encoded_size, encoded_digest: Some(encoded_digest), ..stored })
}

/// Whether compression saves at least 5 %.
fn pays(encoded: u64, size: u64) -> bool {
    encoded < size / 20 * 19
}

/// The compressor for both planning and writing, so that both get the same bytes.
fn encoder<R: Read>(source: R, size: u64) -> std::io::Result<impl Read> {
    let source = std::io::BufReader::with_capacity(READ, source);
    let mut encoder = zstd::stream::read::Encoder::with_buffer(source, LEVEL)?;
    encoder.set_pledged_src_size(Some(size))?;
    Ok(encoder)
}

fn count(mut source: impl Read) -> std::io::Result<(u64, Digest)> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0;
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok((total, hasher.finish())),
            count => {
                hasher.update(&buffer[..count]);
                total += count as u64;
            }
        }
    }
}

/// An entry's encoded content, hashed while it is read from the store.
pub(crate) struct Source {
    encoded: Box<dyn Read>,
    hasher: SharedHasher,
}

/// The hasher is shared, because the compressor owns the reader that hashes.
type SharedHasher = Rc<RefCell<Hasher>>;

struct Hashing<R> {
    inner: R,
    hasher: SharedHasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.borrow_mut().update(&buffer[..count]);
        Ok(count)
    }
}

impl Source {
    pub(crate) fn open(store: &Store, entry: &Entry) -> Result<Self, Error> {
        let blob =
            store.blob_to_hash(&entry.digest)?.ok_or_else(|| Error::NotInStore(entry.digest.clone()))?;
        let hasher = Rc::new(RefCell::new(Hasher::new(entry.digest.algorithm())));
        let source = Hashing { inner: blob.file, hasher: Rc::clone(&hasher) };
        let encoded: Box<dyn Read> = match entry.encoding {
            Encoding::Identity => Box::new(source),
            Encoding::Zstd => Box::new(encoder(source, entry.size).map_err(Error::io("read", store.root()))?),
        };
        Ok(Self { encoded, hasher })
    }

    /// The digest of the content that was read.
    pub(crate) fn digest(&self) -> Digest {
        self.hasher.borrow().clone().finish()
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.encoded.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_that_no_reader_accepts_is_not_written() {
        let entries = vec![plain(EntryKind::OciLayout, b"{}"), plain(EntryKind::Index, b"[]")];
        let manifest = BundleManifest {
            version: VERSION,
            name: "a".into(),
            created_by: "airlock".into(),
            log: None,
            volumes: 3,
            items: Vec::new(),
            repositories: Vec::new(),
            entries,
        };
        let usual = Limits::default();
        let refused = |limits: Limits| check_limits(&manifest, 1000, &limits).unwrap_err();
        assert!(check_limits(&manifest, 1000, &usual).is_ok());
        assert!(matches!(refused(Limits { volumes: 2, ..usual }), Error::TooMany { what: "volumes", .. }));
        assert!(matches!(refused(Limits { entries: 1, ..usual }), Error::TooMany { what: "entries", .. }));
        let large = refused(Limits { manifest: 999, ..usual });
        assert!(matches!(large, Error::ManifestTooLarge { .. }) && large.hint().is_some());
    }
}
