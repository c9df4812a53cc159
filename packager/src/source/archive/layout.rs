//! OCI layouts (OCI image specification, `image-layout.md`).

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use oci::{Digest, Manifest, Platform, Tag};

use super::{Entry, Found, Slice, choose};
use crate::complete;
use crate::lock::Absence;
use crate::mirror::Error;
use crate::source::chosen;

/// What an entry of `index.json` is called: a tag alone, or by some programs a whole name.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The whole name, as containerd and buildkit write it.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Where files of a layout are found.
pub(super) trait Files {
    fn slice(&self, name: &str) -> Option<Slice>;
}

pub(super) struct Folder(pub(super) PathBuf);

impl Files for Folder {
    fn slice(&self, name: &str) -> Option<Slice> {
        let path = self.0.join(name);
        let len = path.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        Some(Slice { path, offset: 0, len, unpacked: None })
    }
}

fn index(files: &dyn Files, path: &Path) -> Result<Manifest, Error> {
    let broken = |what| Error::Archive { path: path.to_owned(), what };
    let index = files.slice("index.json").ok_or_else(|| broken("no `index.json`, so no OCI layout"))?;
    let kind = oci::media_type::OCI_INDEX.parse().map_err(Error::Oci)?;
    Manifest::parse(index.read_json()?.into(), Some(&kind)).map_err(|_| broken("a malformed `index.json`"))
}

fn entries_of(index: &Manifest) -> Vec<Entry> {
    let entry = |descriptor: &oci::Descriptor| Entry {
        digest: descriptor.digest.clone(),
        names: [CONTAINERD_NAME, REF_NAME]
            .iter()
            .filter_map(|name| descriptor.annotations.get(*name).cloned())
            .collect(),
    };
    index.children().iter().map(entry).collect()
}

/// All images of a layout.
pub(super) fn entries(files: &dyn Files, path: &Path) -> Result<Vec<Entry>, Error> {
    Ok(entries_of(&index(files, path)?))
}

pub(super) fn find(
    files: &dyn Files,
    path: &Path,
    name: Option<&str>,
    platforms: &[Platform],
) -> Result<Found, Error> {
    let index = index(files, path)?;
    let entries = entries_of(&index);
    let root = choose(&entries, name, path)?.digest.clone();
    let mut found = Found {
        root: root.clone(),
        manifests: BTreeMap::new(),
        tags: BTreeMap::new(),
        absent: BTreeMap::new(),
        blobs: BTreeMap::new(),
    };
    let mut walk = Layout { files, path, platforms, found: &mut found };
    walk.take(&root)?;
    // What is about a taken manifest comes along: referrers, and cosign's tags.
    loop {
        let before = walk.found.manifests.len();
        for entry in index.children() {
            walk.take_if_about(&entry.digest, entry.annotations.get(REF_NAME).map(String::as_str))?;
        }
        if walk.found.manifests.len() == before {
            return Ok(found);
        }
    }
}

struct Layout<'a> {
    files: &'a dyn Files,
    path: &'a Path,
    platforms: &'a [Platform],
    found: &'a mut Found,
}

impl Layout<'_> {
    fn slice(&self, digest: &Digest) -> Option<Slice> {
        self.files.slice(&format!("blobs/{}/{}", digest.algorithm(), digest.hex()))
    }

    fn manifest(&self, digest: &Digest) -> Result<Manifest, Error> {
        let missing = || Error::NotFound(format!("{} in {}", digest, self.path.display()));
        let bytes = self.slice(digest).ok_or_else(missing)?.read_json()?;
        let found = Digest::of(digest.algorithm(), &bytes);
        if found != *digest {
            let source_name = self.path.display().to_string();
            return Err(Error::Checksum { source_name, expected: digest.clone(), found });
        }
        Manifest::parse(bytes.into(), None).map_err(Error::Oci)
    }

    fn take(&mut self, root: &Digest) -> Result<(), Error> {
        let mut open = VecDeque::from([root.clone()]);
        while let Some(digest) = open.pop_front() {
            if self.found.manifests.contains_key(&digest) {
                continue;
            }
            let manifest = self.manifest(&digest)?;
            let unsupported = manifest.children().iter().find_map(|child| child.media_type.unsupported());
            if let Some(kind) = unsupported {
                return Err(Error::Unsupported { reference: self.path.display().to_string(), kind });
            }
            let children = chosen(&manifest, self.platforms);
            let left_out = complete::children(&manifest).filter(|child| !children.contains(&child.digest));
            self.found.absent.extend(left_out.map(|child| (child.digest.clone(), Absence::Platform)));
            if children.is_empty() && complete::children(&manifest).next().is_some() {
                let wanted: Vec<_> = self.platforms.iter().map(Platform::to_string).collect();
                return Err(Error::NoPlatform {
                    reference: self.path.display().to_string(),
                    wanted: wanted.join(", "),
                });
            }
            open.extend(children);
            for blob in complete::blobs(&manifest) {
                if let Some(slice) = self.slice(&blob.digest) {
                    self.found.blobs.insert(blob.digest.clone(), slice);
                }
            }
            self.found.manifests.insert(digest, manifest);
        }
        Ok(())
    }

    fn take_if_about(&mut self, digest: &Digest, name: Option<&str>) -> Result<(), Error> {
        if self.found.manifests.contains_key(digest) {
            return Ok(());
        }
        let tag = name.and_then(|name| name.rsplit(':').next()?.parse::<Tag>().ok());
        let tag = tag.filter(|tag| {
            let subjects = self.found.manifests.keys().flat_map(|subject| {
                ["sig", "att", "sbom"]
                    .into_iter()
                    .filter_map(|suffix| Tag::of_attachment(subject, suffix).ok())
            });
            subjects.into_iter().any(|about| about == *tag)
        });
        let refers = self
            .manifest(digest)?
            .subject()
            .is_some_and(|subject| self.found.manifests.contains_key(&subject.digest));
        if refers || tag.is_some() {
            self.take(digest)?;
            self.found.tags.extend(tag.map(|tag| (tag, digest.clone())));
        }
        Ok(())
    }
}
