//! Checks a store: hashes every blob, and compares files, rows and journal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use oci::{Algorithm, Digest, Hasher, MediaType};
use rusqlite::Connection;
use serde::Serialize;

use crate::blob::{BlobFile, hash_rest};
use crate::layout::Layout;
use crate::query::{all, parsed, present, read_manifest, size};
use crate::reading::{is_of_the_file, open_blob};
use crate::unflushed::SMALL;
use crate::writer::journal_length;
use crate::{Error, Progress, Result};

/// The result of a check.
#[derive(Debug, Default, Serialize)]
pub struct CheckReport {
    /// Blob files hashed.
    pub blobs: u64,
    /// The total size of these files in bytes.
    pub bytes: u64,
    /// Repositories.
    pub repositories: u64,
    /// Manifests, counted once for each repository.
    pub manifests: u64,
    /// Tags.
    pub tags: u64,
    /// All faults; empty for an intact store.
    pub faults: Vec<CheckFault>,
}

/// A fault in a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum CheckFault {
    /// A blob file does not hash to its name.
    Corrupt {
        /// The digest that names it.
        digest: Digest,
        /// The digest of its content.
        found: Digest,
    },
    /// Something else is in the place of a blob's file.
    NotAFile {
        /// The digest that names it.
        digest: Digest,
    },
    /// The system cannot read the file of a blob.
    CannotRead {
        /// The digest that names it.
        digest: Digest,
        /// The error of the system.
        cause: String,
    },
    /// A file below `blobs/` is not named like a blob.
    Stray {
        /// The file.
        path: PathBuf,
    },
    /// The file of a repository's manifest or blob is missing.
    Missing {
        /// The repository.
        repository: String,
        /// The digest.
        digest: Digest,
    },
    /// The size in the database differs from the size of the file.
    Size {
        /// The digest.
        digest: Digest,
        /// The size in the database.
        expected: u64,
        /// The size of the file.
        found: u64,
    },
    /// A repository links a blob whose file is missing and that none of its manifests names.
    StaleLink {
        /// The repository.
        repository: String,
        /// The digest.
        digest: Digest,
    },
    /// The size of content in a manifest differs from the size of the content's file.
    DescriptorSize {
        /// The manifest.
        manifest: Digest,
        /// The content.
        digest: Digest,
        /// The size in the manifest.
        said: u64,
        /// The size of the file.
        found: u64,
    },
    /// A manifest cannot be parsed, although its bytes match its digest.
    Unreadable {
        /// The manifest.
        digest: Digest,
        /// The parser's error.
        cause: String,
    },
    /// A tag points at a manifest that its repository lacks.
    DanglingTag {
        /// The repository.
        repository: String,
        /// The tag.
        tag: String,
    },
    /// The journal is shorter than the length that the database committed, so a rebuild from it would lose names.
    JournalShort {
        /// Its length.
        found: u64,
        /// The committed length.
        expected: u64,
    },
    /// SQLite's own integrity check found an error.
    Database {
        /// SQLite's message.
        message: String,
    },
}

impl fmt::Display for CheckFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt { digest, found } => {
                write!(f, "blob {digest} hashes to {found}: push, mirror or import it again")
            }
            Self::NotAFile { digest } => {
                write!(f, "the path of blob {digest} is not a regular file: push, mirror or import it again")
            }
            Self::CannotRead { digest, cause } => {
                write!(f, "blob {digest} cannot be read: {cause}; push, mirror or import it again")
            }
            Self::Stray { path } => write!(f, "`{}` is not named like a blob", path.display()),
            Self::Missing { repository, digest } => {
                write!(f, "{repository}: the file of {digest} is missing; push, mirror or import it again")
            }
            Self::StaleLink { repository, digest } => {
                write!(f, "{repository} links {digest}, which was removed: run `airlock store gc`")
            }
            Self::DescriptorSize { manifest, digest, said, found } => {
                write!(f, "manifest {manifest} declares {said} bytes for {digest}, but it has {found}")
            }
            Self::Unreadable { digest, cause } => write!(f, "manifest {digest} cannot be read: {cause}"),
            Self::Size { digest, expected, found } => {
                write!(
                    f,
                    "blob {digest} has {found} bytes, but {expected} in the database: push, mirror or import it again"
                )
            }
            Self::DanglingTag { repository, tag } => {
                write!(f, "tag {repository}:{tag} points at a manifest that does not exist")
            }
            Self::JournalShort { found, expected } => {
                write!(f, "`names.log` has only {found} of {expected} bytes: run `airlock store rebuild`")
            }
            Self::Database { message } => write!(f, "database: {message}"),
        }
    }
}

/// A blob file on disk.
pub(crate) struct BlobEntry {
    pub(crate) digest: Digest,
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
}

/// All blob files, and all other files.
pub(crate) fn walk(layout: &Layout) -> Result<(Vec<BlobEntry>, Vec<PathBuf>)> {
    let (mut found, mut stray) = (Vec::new(), Vec::new());
    for algorithm in Algorithm::ALL {
        for byte in 0..=255_u8 {
            let shard = layout.algorithm(algorithm).join(format!("{byte:02x}"));
            for entry in fs::read_dir(&shard).map_err(Error::io("read", &shard))? {
                let entry = entry.map_err(Error::io("read", &shard))?;
                let path = entry.path();
                let size = match entry.metadata() {
                    Ok(file) => file.len(),
                    // Another process collects garbage.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(Error::io("read", &path)(error)),
                };
                match Digest::new(algorithm, &entry.file_name().to_string_lossy()) {
                    Ok(digest) if layout.blob(&digest) == path => {
                        found.push(BlobEntry { digest, path, size });
                    }
                    _ => stray.push(path),
                }
            }
        }
    }
    Ok((found, stray))
}

/// What a file below `blobs/` is.
pub(crate) enum Hashed {
    /// A file whose content has this digest.
    Content(Digest),
    /// It was removed meanwhile.
    Gone,
    /// A folder or a device.
    NotAFile,
    /// The system cannot read it.
    Unreadable(io::Error),
}

/// Hashes all files, and reports the progress.
pub(crate) fn hash_all(found: &[BlobEntry], progress: &mut dyn FnMut(Progress)) -> Result<Vec<Hashed>> {
    let total = found.iter().map(|blob| blob.size).sum();
    let mut done = 0;
    let mut all = Vec::with_capacity(found.len());
    for blob in found {
        all.push(match hash_one(blob) {
            Ok(hashed) => hashed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Hashed::Gone,
            Err(error) if is_of_the_file(&error) => Hashed::Unreadable(error),
            Err(error) => return Err(Error::io("read", &blob.path)(error)),
        });
        done += blob.size;
        progress(Progress { done, total });
    }
    Ok(all)
}

fn hash_one(blob: &BlobEntry) -> io::Result<Hashed> {
    let mut file = open_blob(&blob.path)?;
    if !file.metadata()?.is_file() {
        return Ok(Hashed::NotAFile);
    }
    let mut hasher = Hasher::new(blob.digest.algorithm());
    hash_rest(&mut file, 0, &mut hasher)?;
    Ok(Hashed::Content(hasher.finish()))
}

pub(crate) fn check(
    layout: &Layout,
    connection: &Connection,
    progress: &mut dyn FnMut(Progress),
) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    // Rows first: a blob that is pushed during the walk is a file without a row, which is not a fault.
    let rows = Rows::read(connection)?;
    rows.count(&mut report);
    let (found, stray) = walk(layout)?;
    report.faults.extend(stray.into_iter().map(|path| CheckFault::Stray { path }));
    let mut sizes = BTreeMap::new();
    for (blob, real) in found.iter().zip(hash_all(&found, progress)?) {
        let digest = blob.digest.clone();
        match real {
            Hashed::Gone => continue,
            Hashed::NotAFile => {
                report.faults.push(CheckFault::NotAFile { digest });
                continue;
            }
            Hashed::Unreadable(cause) => {
                report.faults.push(CheckFault::CannotRead { digest, cause: cause.to_string() });
            }
            Hashed::Content(found) if found != digest && blob.size <= SMALL && !rows.name(&digest) => {
                // A crash during a push leaves a small file that was not flushed, and the next push of that blob replaces it.
                continue;
            }
            Hashed::Content(found) if found != digest => {
                report.faults.push(CheckFault::Corrupt { digest, found });
            }
            Hashed::Content(_) => {}
        }
        report.blobs += 1;
        report.bytes += blob.size;
        sizes.insert(&blob.digest, blob.size);
    }
    report.faults.extend(rows.confirmed(connection, layout, &sizes)?);
    let damaged = damaged(&report.faults);
    let manifests: BTreeMap<_, _> =
        rows.manifests.iter().map(|manifest| (&manifest.digest, &manifest.media_type)).collect();
    for (digest, media_type) in manifests {
        if sizes.contains_key(digest) && !damaged.contains(digest) {
            compare_sizes(layout, digest, media_type, &sizes, &mut report.faults)?;
        }
    }
    let expected = journal_length(connection)?;
    let length = fs::metadata(layout.journal()).map_or(0, |metadata| metadata.len());
    if length < expected {
        report.faults.push(CheckFault::JournalShort { found: length, expected });
    }
    let complaints = all(connection, "PRAGMA integrity_check", [], |row| Ok(row.get::<_, String>(0)?))?;
    let complaints = complaints.into_iter().filter(|message| message != "ok");
    report.faults.extend(complaints.map(|message| CheckFault::Database { message }));
    Ok(report)
}

fn damaged(faults: &[CheckFault]) -> BTreeSet<Digest> {
    let digest = |fault: &CheckFault| match fault {
        CheckFault::Corrupt { digest, .. } | CheckFault::CannotRead { digest, .. } => Some(digest.clone()),
        _ => None,
    };
    faults.iter().filter_map(digest).collect()
}

/// Compares the sizes in a manifest with those of the files.
fn compare_sizes(
    layout: &Layout,
    manifest: &Digest,
    media_type: &MediaType,
    sizes: &BTreeMap<&Digest, u64>,
    faults: &mut Vec<CheckFault>,
) -> Result<()> {
    // The manifest may be deleted and collected while the check runs.
    let Some(file) = BlobFile::open(layout, manifest)? else { return Ok(()) };
    let parsed = match read_manifest(layout, manifest, file, Some(media_type)) {
        Ok(parsed) => parsed,
        Err(Error::Invalid(error)) => {
            faults.push(CheckFault::Unreadable { digest: manifest.clone(), cause: error.to_string() });
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for described in parsed.blobs().chain(parsed.children()) {
        let (digest, said) = (described.digest.clone(), described.size);
        if let Some(found) = sizes.get(&digest).copied().filter(|found| *found != said) {
            faults.push(CheckFault::DescriptorSize { manifest: manifest.clone(), digest, said, found });
        }
    }
    Ok(())
}

/// A manifest in a repository.
struct ManifestEntry {
    repository: String,
    digest: Digest,
    size: u64,
    media_type: MediaType,
}

struct Rows {
    repositories: u64,
    manifests: Vec<ManifestEntry>,
    /// Repository, digest, size, and whether a manifest of the repository names it.
    blobs: Vec<(String, Digest, u64, bool)>,
    tags: Vec<(String, String, Digest)>,
}

impl Rows {
    fn read(connection: &Connection) -> Result<Self> {
        let manifests = "SELECT r.name, t.digest, t.size, t.media_type FROM manifests t
                         JOIN repositories r ON r.id = t.repository";
        let manifests = all(connection, manifests, [], |row| {
            let (repository, digest) = (row.get(0)?, parsed(row, 1)?);
            Ok(ManifestEntry { repository, digest, size: size(row, 2)?, media_type: parsed(row, 3)? })
        })?;
        let blobs = "SELECT r.name, t.digest, t.size,
                       EXISTS (SELECT 1 FROM edges e JOIN manifests m ON m.digest = e.parent
                               WHERE e.child = t.digest AND m.repository = t.repository)
                     FROM blobs t JOIN repositories r ON r.id = t.repository";
        let blobs =
            all(connection, blobs, [], |row| Ok((row.get(0)?, parsed(row, 1)?, size(row, 2)?, row.get(3)?)))?;
        let repositories = format!("SELECT count(*) FROM repositories WHERE true {}", present(connection)?);
        let tags = "SELECT r.name, t.tag, t.digest FROM tags t JOIN repositories r ON r.id = t.repository";
        Ok(Self {
            repositories: connection.query_row(&repositories, [], |row| size(row, 0))?,
            manifests,
            blobs,
            tags: all(connection, tags, [], |row| Ok((row.get(0)?, row.get(1)?, parsed(row, 2)?)))?,
        })
    }

    fn name(&self, digest: &Digest) -> bool {
        self.manifests.iter().any(|entry| entry.digest == *digest)
            || self.blobs.iter().any(|(_, named, ..)| named == digest)
    }

    fn count(&self, report: &mut CheckReport) {
        report.repositories = self.repositories;
        report.manifests = self.manifests.len() as u64;
        report.tags = self.tags.len() as u64;
    }

    /// The faults that remain when rows and files are read again: names and files may be removed meanwhile.
    fn confirmed(
        &self,
        connection: &Connection,
        layout: &Layout,
        sizes: &BTreeMap<&Digest, u64>,
    ) -> Result<Vec<CheckFault>> {
        let (mut faults, mut again) = (Vec::new(), Vec::new());
        self.compare(sizes, &mut faults);
        if !faults.is_empty() {
            Self::read(connection)?.compare(sizes, &mut again);
        }
        faults.retain(|fault| match fault {
            CheckFault::Missing { digest, .. } | CheckFault::StaleLink { digest, .. } => {
                again.contains(fault) && !layout.blob(digest).exists()
            }
            fault => again.contains(fault),
        });
        Ok(faults)
    }

    fn compare(&self, sizes: &BTreeMap<&Digest, u64>, faults: &mut Vec<CheckFault>) {
        let manifests =
            self.manifests.iter().map(|entry| (&entry.repository, &entry.digest, entry.size, true));
        let blobs = self.blobs.iter().map(|(name, digest, size, named)| (name, digest, *size, *named));
        for (repository, digest, expected, is_named) in manifests.chain(blobs) {
            let (repository, size) = (repository.clone(), sizes.get(digest));
            match size {
                None if is_named => faults.push(CheckFault::Missing { repository, digest: digest.clone() }),
                None => faults.push(CheckFault::StaleLink { repository, digest: digest.clone() }),
                Some(found) if *found != expected => {
                    faults.push(CheckFault::Size { digest: digest.clone(), expected, found: *found });
                }
                Some(_) => {}
            }
        }
        let present: BTreeSet<_> =
            self.manifests.iter().map(|entry| (&entry.repository, &entry.digest)).collect();
        for (repository, tag, digest) in &self.tags {
            if !present.contains(&(repository, digest)) {
                faults.push(CheckFault::DanglingTag { repository: repository.clone(), tag: tag.clone() });
            }
        }
    }
}
