//! Images on disk: OCI layouts as folders or tar files (OCI image specification, `image-layout.md`), and archives of
//! `docker save`. An archive is indexed once; blobs are then read directly from it.

mod docker;
mod layout;
mod tarball;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::{Algorithm, Digest, Manifest, Platform, Reference, Tag};

use self::layout::Folder;
use self::tarball::{Archive, Scratch};
use crate::Error;
use crate::lock::Absence;

/// The maximum size of a manifest or list in an archive.
const MOST_JSON: u64 = 8 << 20;

/// The format of an image on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A folder that is an OCI layout.
    OciLayout,
    /// A tar file that holds an OCI layout.
    OciArchive,
    /// A tar file written by `docker save`.
    DockerArchive,
}

/// Bytes within a file.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Slice {
    /// The file.
    pub path: PathBuf,
    /// The offset of the first byte.
    pub offset: u64,
    /// The number of bytes.
    pub len: u64,
    /// The unpacked copy of a compressed file; it is removed with its last user.
    #[serde(skip)]
    unpacked: Option<Arc<Scratch>>,
}

/// An image on disk.
#[derive(Debug)]
pub struct ImageOnDisk {
    /// Its manifest or index.
    pub root: Digest,
    /// All its manifests and referrers.
    pub manifests: BTreeMap<Digest, Manifest>,
    /// Cosign's tags of its referrers.
    pub tags: BTreeMap<Tag, Digest>,
    /// Manifests that are listed but excluded by `platforms`.
    pub absent: BTreeMap<Digest, Absence>,
    /// The locations of its blobs, as far as they exist.
    pub blobs: BTreeMap<Digest, Slice>,
    /// Referrers that cannot be read, each with the reason.
    pub left_out: BTreeMap<Digest, String>,
}

/// A folder or file that contains images.
pub struct Images<'a> {
    /// Its format.
    pub format: Format,
    /// Its path.
    pub path: &'a Path,
    /// The folder for unpacking a compressed file.
    pub scratch: &'a Path,
}

impl Images<'_> {
    /// Finds an image. `name` selects one of several: by its containerd name or `ref.name`, its `RepoTags` entry, or its
    /// digest.
    ///
    /// # Errors
    /// When no image matches, several match, or the archive is malformed or hostile.
    pub fn find(&self, name: Option<&str>, platforms: &[Platform]) -> Result<ImageOnDisk, Error> {
        match self.format {
            Format::OciLayout => layout::find(&Folder(self.path.to_owned()), self.path, name, platforms),
            Format::OciArchive => layout::find(&self.open()?, self.path, name, platforms),
            Format::DockerArchive => docker::find(&self.open()?, self.path, name),
        }
    }

    /// The full names of all images, for mirroring all of them.
    ///
    /// # Errors
    /// When an image has no full name, or the archive cannot be read.
    pub fn references(&self) -> Result<Vec<(String, Reference)>, Error> {
        let entries = match self.format {
            Format::OciLayout => layout::entries(&Folder(self.path.to_owned()), self.path)?,
            Format::OciArchive => layout::entries(&self.open()?, self.path)?,
            Format::DockerArchive => docker::entries(&self.open()?, self.path)?,
        };
        let mut references = BTreeMap::new();
        for entry in entries.iter().filter(|entry| !entry.is_attached()) {
            let full: Vec<_> = entry.names.iter().filter_map(|name| full_name(name)).collect();
            if full.is_empty() {
                return Err(choice(self.path, Choice::Unnamed, &entries));
            }
            references.extend(full.into_iter().map(|(name, reference)| (reference, name)));
        }
        Ok(references.into_iter().map(|(reference, name)| (name, reference)).collect())
    }

    fn open(&self) -> Result<Archive, Error> {
        Archive::open(self.path, self.scratch)
    }
}

/// An entry in an archive's list of images.
struct Entry {
    /// The digest of its manifest, or of its config if it has no manifest.
    digest: Digest,
    /// All its names.
    names: Vec<String>,
    /// Whether it is a part or a referrer of an image.
    is_part: bool,
}

impl Entry {
    /// Whether it is not an image itself: an unnamed part or referrer of an image, or an attachment of cosign.
    fn is_attached(&self) -> bool {
        if self.is_part && self.names.is_empty() {
            return true;
        }
        let tag = |name: &String| name.rsplit(':').next().and_then(|tag| tag.parse::<Tag>().ok());
        self.names.iter().filter_map(tag).any(|tag| tag.is_attachment())
    }

    fn is_named(&self, wanted: &str) -> bool {
        let reference: Option<Reference> = wanted.parse().ok();
        self.digest.to_string() == wanted
            || self.names.iter().any(|name| {
                name == wanted || reference.is_some() && full_name(name).map(|(_, full)| full) == reference
            })
    }
}

/// A name that contains a repository or a tag with a repository: `v1` alone is not one.
fn full_name(name: &str) -> Option<(String, Reference)> {
    let reference: Reference = name.parse().ok()?;
    (name.contains(['/', ':'])).then(|| (name.to_owned(), reference))
}

/// Why no image could be selected.
#[derive(Clone, Copy)]
enum Choice<'a> {
    None,
    Ambiguous(&'a str),
    Missing(&'a str),
    Unnamed,
}

/// The only entry with this name. Entries with the same digest count as one.
fn choose<'a>(entries: &'a [Entry], name: Option<&str>, path: &Path) -> Result<&'a Entry, Error> {
    let all: Vec<&Entry> = match name {
        Some(name) => entries.iter().filter(|entry| entry.is_named(name)).collect(),
        None => entries.iter().filter(|entry| !entry.is_attached()).collect(),
    };
    let distinct: BTreeSet<&Digest> = all.iter().map(|entry| &entry.digest).collect();
    match (all.first(), distinct.len(), name) {
        (Some(entry), 1, _) => Ok(entry),
        (None, _, Some(name)) => Err(choice(path, Choice::Missing(name), entries)),
        (_, _, Some(name)) => Err(choice(path, Choice::Ambiguous(name), entries)),
        (_, _, None) => Err(choice(path, Choice::None, entries)),
    }
}

fn choice(path: &Path, choice: Choice<'_>, entries: &[Entry]) -> Error {
    let what = match choice {
        Choice::None => "does not contain exactly one image".to_owned(),
        Choice::Ambiguous(name) => format!("has several images named `{name}`"),
        Choice::Missing(name) => format!("has no image named `{name}`"),
        Choice::Unnamed => "has an image without a full name".to_owned(),
    };
    let named = |entry: &Entry| {
        if entry.names.is_empty() {
            return entry.digest.to_string();
        }
        format!("{} ({})", entry.names.join(", "), entry.digest)
    };
    let names: BTreeSet<String> = entries.iter().map(named).collect();
    Error::ArchiveChoice { path: path.to_owned(), what, names: names.into_iter().collect() }
}

impl Slice {
    /// Opens the file at the first byte.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(&self) -> std::io::Result<impl Read + use<>> {
        let path = self.unpacked.as_ref().map_or(self.path.as_path(), |scratch| scratch.path());
        let mut file = input::open(path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(file.take(self.len))
    }

    fn read_json(&self) -> Result<Vec<u8>, Error> {
        let failed = |source| Error::File { path: self.path.display().to_string(), source };
        if self.len > MOST_JSON {
            return Err(Error::Archive { path: self.path.clone(), what: "a manifest larger than 8 MiB" });
        }
        let mut bytes = Vec::new();
        self.open().and_then(|mut reader| reader.read_to_end(&mut bytes)).map_err(failed)?;
        Ok(bytes)
    }

    fn digest(&self) -> Result<Digest, Error> {
        let failed = |source| Error::File { path: self.path.display().to_string(), source };
        self.open().and_then(|reader| Digest::of_reader(Algorithm::Sha256, reader)).map_err(failed)
    }
}

#[cfg(test)]
mod tests;
