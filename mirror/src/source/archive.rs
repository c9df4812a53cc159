//! Images on disk: OCI layouts as folders or tar files (OCI image specification, `image-layout.md`), and what
//! `docker save` writes. Archives are indexed once, and blobs are read from where they stand in them.

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

/// A manifest or list in an archive is not larger than this.
const MOST_JSON: u64 = 8 << 20;

/// What kind of thing is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A folder that is an OCI layout.
    OciLayout,
    /// A tar file that holds an OCI layout.
    OciArchive,
    /// A tar file of `docker save`.
    DockerArchive,
}

/// Bytes within a file.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Slice {
    /// The file.
    pub path: PathBuf,
    /// The first byte.
    pub offset: u64,
    /// How many.
    pub len: u64,
    /// Where the bytes are read, when the file is compressed: unpacked, until nobody needs it.
    #[serde(skip)]
    unpacked: Option<Arc<Scratch>>,
}

/// An image found on disk.
#[derive(Debug)]
pub struct Found {
    /// Its manifest or index.
    pub root: Digest,
    /// All its manifests, and what refers to them.
    pub manifests: BTreeMap<Digest, Manifest>,
    /// cosign's tags for them.
    pub tags: BTreeMap<Tag, Digest>,
    /// What they list and what `platforms` leave out.
    pub absent: BTreeMap<Digest, Absence>,
    /// Where the blobs are, as far as they are there.
    pub blobs: BTreeMap<Digest, Slice>,
    /// What is said about the image and cannot be read, each with the reason.
    pub left_out: BTreeMap<Digest, String>,
}

/// A folder or file with images.
pub struct Images<'a> {
    /// Of which format.
    pub format: Format,
    /// Where it is.
    pub path: &'a Path,
    /// The folder in which a compressed file is unpacked.
    pub scratch: &'a Path,
}

impl Images<'_> {
    /// Finds an image. `name` chooses among several: its containerd name or `ref.name`, its `RepoTags` entry, or its
    /// digest.
    ///
    /// # Errors
    /// When there is no such thing, several are there and none was chosen, or something hostile is in the archive.
    pub fn find(&self, name: Option<&str>, platforms: &[Platform]) -> Result<Found, Error> {
        match self.format {
            Format::OciLayout => layout::find(&Folder(self.path.to_owned()), self.path, name, platforms),
            Format::OciArchive => layout::find(&self.open()?, self.path, name, platforms),
            Format::DockerArchive => docker::find(&self.open()?, self.path, name),
        }
    }

    /// The full names of all images, for taking them all.
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

/// An image's place in an archive's list, with what it may be chosen by.
struct Entry {
    /// The digest of its manifest, or of the configuration where no manifest is there.
    digest: Digest,
    /// All its names.
    names: Vec<String>,
    /// Whether it is a part of an image, or said about one.
    is_part: bool,
}

impl Entry {
    /// Whether it is no image of its own: what has no name of its own and belongs to one, and what cosign attaches to one.
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

/// A name that says of which repository and tag an image is: `v1` alone does not.
fn full_name(name: &str) -> Option<(String, Reference)> {
    let reference: Reference = name.parse().ok()?;
    (name.contains(['/', ':'])).then(|| (name.to_owned(), reference))
}

/// Why no image was chosen.
#[derive(Clone, Copy)]
enum Choice<'a> {
    None,
    Ambiguous(&'a str),
    Missing(&'a str),
    Unnamed,
}

/// The one entry of that name; entries of one digest are one.
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
        Choice::None => "does not hold exactly one image".to_owned(),
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
    /// What the system says.
    pub fn open(&self) -> std::io::Result<impl Read + use<>> {
        let path = self.unpacked.as_ref().map_or(self.path.as_path(), |scratch| scratch.path());
        let mut file = input::open(path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(file.take(self.len))
    }

    fn read_json(&self) -> Result<Vec<u8>, Error> {
        let failed = |source| Error::File { path: self.path.display().to_string(), source };
        if self.len > MOST_JSON {
            return Err(Error::Archive { path: self.path.clone(), what: "a manifest of more than 8 MiB" });
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
