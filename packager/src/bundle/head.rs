//! The head, the first entries of every volume: header, manifest, signature. Its size is the same on all volumes.

use std::io::{self, Read};
use std::path::Path;

use oci::{Algorithm, Digest, Hasher};
use serde::{Deserialize, Serialize};

use super::tar::{self, BLOCK};
use super::{Error, Limits, manifest};

/// The volume header, which identifies the volume.
pub const HEADER_NAME: &str = "airlock-volume.json";
/// The signed manifest.
pub const MANIFEST_NAME: &str = "airlock-manifest.json";
/// The sigstore bundle over the manifest.
pub const SIGNATURE_NAME: &str = "airlock-manifest.json.sigstore.json";

/// The header is padded with spaces to this size.
const HEADER_LEN: u64 = 512;
/// The signature is padded with spaces to this size, so that volumes do not depend on its length.
pub const SIGNATURE_LEN: u64 = 2048;

/// The volume header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeHeader {
    /// Always `airlock-volume`.
    pub format: String,
    /// The format's version.
    pub version: u32,
    /// The set: the digest of the manifest.
    pub set: Digest,
    /// The number of this volume, from 1.
    pub volume: u32,
    /// The number of volumes in the set.
    pub volumes: u32,
}

const FORMAT: &str = "airlock-volume";

impl VolumeHeader {
    /// The header of a volume.
    #[must_use]
    pub fn new(set: Digest, volume: u32, volumes: u32) -> Self {
        Self { format: FORMAT.to_owned(), version: manifest::VERSION, set, volume, volumes }
    }

    fn to_bytes(&self) -> Vec<u8> {
        padded(serde_json::to_vec(self).unwrap_or_default(), HEADER_LEN)
    }
}

/// The size of a head with a manifest of this many bytes.
#[must_use]
pub fn head_len(manifest_len: u64) -> u64 {
    let entry = |length: u64| BLOCK + length + tar::padding(length);
    entry(HEADER_LEN) + entry(manifest_len) + entry(SIGNATURE_LEN)
}

/// A volume's head as bytes.
#[must_use]
pub fn head_bytes(header: &VolumeHeader, manifest: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let signature = padded(signature.to_vec(), SIGNATURE_LEN);
    for (name, content) in
        [(HEADER_NAME, &header.to_bytes()[..]), (MANIFEST_NAME, manifest), (SIGNATURE_NAME, &signature)]
    {
        bytes.extend_from_slice(&tar::header(name, content.len() as u64));
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes
}

/// A head as read. It is not verified yet, but the manifest matches the set's digest.
#[derive(Clone, Debug)]
pub struct Head {
    /// The volume header.
    pub header: VolumeHeader,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The signature's bytes, without their padding.
    pub signature: Vec<u8>,
}

impl Head {
    /// Reads a volume's head; `None` if the file does not begin like a volume.
    ///
    /// # Errors
    /// When it begins like a volume, but is malformed, too large or damaged.
    pub fn read(source: &mut dyn Read, path: &Path, limits: &Limits) -> Result<Option<Self>, Error> {
        let malformed = |part| Error::Head { path: path.to_owned(), part };
        let mut block = [0; 512];
        let expected = tar::header(HEADER_NAME, HEADER_LEN);
        match source.read_exact(&mut block) {
            Ok(()) if block[..] == expected[..] => {}
            Ok(()) if block.starts_with(HEADER_NAME.as_bytes()) => return Err(malformed("volume header")),
            Ok(()) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(Error::io("read", path)(error)),
        }
        let mut reader = Reader { source, path };
        let header = parse_header(&reader.content(HEADER_LEN)?, path)?;
        let manifest = reader.manifest(limits)?;
        let found = {
            let mut hasher = Hasher::new(Algorithm::Sha256);
            hasher.update(&manifest);
            hasher.finish()
        };
        if found != header.set {
            return Err(Error::ManifestDigest { path: path.to_owned(), found, expected: header.set });
        }
        if reader.block()?[..] != tar::header(SIGNATURE_NAME, SIGNATURE_LEN)[..] {
            return Err(malformed("signature"));
        }
        let mut signature = reader.content(SIGNATURE_LEN)?;
        let len = signature.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
        signature.truncate(len);
        Ok(Some(Self { header, manifest, signature }))
    }

    /// The size of the head in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        head_len(self.manifest.len() as u64)
    }

    /// Always false: a head has at least its header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }
}

fn parse_header(bytes: &[u8], path: &Path) -> Result<VolumeHeader, Error> {
    let malformed = || Error::Head { path: path.to_owned(), part: "volume header" };
    let header: VolumeHeader = serde_json::from_slice(bytes).map_err(|_| malformed())?;
    if !manifest::is_known(header.version) {
        return Err(Error::Version {
            path: path.to_owned(),
            found: header.version,
            known: manifest::VERSION,
        });
    }
    let in_range = header.volume >= 1 && header.volume <= header.volumes;
    if header.format != FORMAT || !in_range || header.to_bytes() != bytes {
        return Err(malformed());
    }
    Ok(header)
}

struct Reader<'a> {
    source: &'a mut dyn Read,
    path: &'a Path,
}

impl Reader<'_> {
    fn block(&mut self) -> Result<[u8; 512], Error> {
        let mut block = [0; 512];
        self.fill(&mut block)?;
        Ok(block)
    }

    fn content(&mut self, length: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.fill(&mut bytes)?;
        let mut rest = vec![0; usize::try_from(tar::padding(length)).unwrap_or(0)];
        self.fill(&mut rest)?;
        if rest.iter().any(|byte| *byte != 0) {
            return Err(Error::Head { path: self.path.to_owned(), part: "padding" });
        }
        Ok(bytes)
    }

    /// Reads the only entry of unknown size: the expected header is computed from the stated size, and compared.
    fn manifest(&mut self, limits: &Limits) -> Result<Vec<u8>, Error> {
        let malformed = || Error::Head { path: self.path.to_owned(), part: "manifest" };
        let mut block = [0; 512];
        self.fill(&mut block)?;
        let digits = std::str::from_utf8(&block[124..135]).map_err(|_| malformed())?;
        let size = u64::from_str_radix(digits, 8).map_err(|_| malformed())?;
        if block[..] != tar::header(MANIFEST_NAME, size)[..] {
            return Err(malformed());
        }
        if size > limits.manifest {
            return Err(Error::ManifestTooLarge { found: size, limit: limits.manifest });
        }
        self.content(size)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.source.read_exact(bytes).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                Error::HeadTruncated(self.path.to_owned())
            } else {
                Error::io("read", self.path)(error)
            }
        })
    }
}

fn padded(mut bytes: Vec<u8>, length: u64) -> Vec<u8> {
    bytes.resize(usize::try_from(length).unwrap_or(0).max(bytes.len()), b' ');
    bytes
}
