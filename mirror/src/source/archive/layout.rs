//! OCI layouts (OCI image specification, `image-layout.md`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use oci::{Digest, Manifest, Platform, Tag};

use super::{Entry, ImageOnDisk, Slice, choose};
use crate::Error;
use crate::complete;
use crate::lock::Absence;
use crate::platforms::{chosen, is_attestation};

/// The annotation with the name of an entry in `index.json`: a tag or, from some programs, a full name.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation with the full name, as containerd and buildkit write it.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Access to the files of a layout.
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
    let index =
        files.slice("index.json").ok_or_else(|| broken("no `index.json`, so it is not an OCI layout"))?;
    let kind = oci::media_type::OCI_INDEX.parse().map_err(Error::Oci)?;
    Manifest::parse(index.read_json()?.into(), Some(&kind)).map_err(|_| broken("a malformed `index.json`"))
}

fn entries_of(index: &Manifest, files: &dyn Files) -> Vec<Entry> {
    let read = |descriptor: &oci::Descriptor| {
        let bytes = files.slice(&path_of(&descriptor.digest))?.read_json().ok()?;
        Manifest::parse(bytes.into(), None).ok()
    };
    let manifests: Vec<Option<Manifest>> = index.children().iter().map(read).collect();
    let listed: BTreeSet<&Digest> =
        manifests.iter().flatten().flat_map(complete::children).map(|child| &child.digest).collect();
    let entry = |(descriptor, manifest): (&oci::Descriptor, &Option<Manifest>)| Entry {
        digest: descriptor.digest.clone(),
        names: [CONTAINERD_NAME, REF_NAME]
            .iter()
            .filter_map(|name| descriptor.annotations.get(*name).cloned())
            .collect(),
        // Some programs list all manifests of a layout, not only the images.
        is_part: !descriptor.media_type.is_manifest()
            || listed.contains(&descriptor.digest)
            || manifest.as_ref().is_some_and(|manifest| manifest.subject().is_some()),
    };
    index.children().iter().zip(&manifests).map(entry).collect()
}

fn path_of(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// All images of a layout.
pub(super) fn entries(files: &dyn Files, path: &Path) -> Result<Vec<Entry>, Error> {
    Ok(entries_of(&index(files, path)?, files))
}

pub(super) fn find(
    files: &dyn Files,
    path: &Path,
    name: Option<&str>,
    platforms: &[Platform],
) -> Result<ImageOnDisk, Error> {
    let index = index(files, path)?;
    let entries = entries_of(&index, files);
    let root = choose(&entries, name, path)?.digest.clone();
    let mut found = ImageOnDisk {
        root: root.clone(),
        manifests: BTreeMap::new(),
        tags: BTreeMap::new(),
        absent: BTreeMap::new(),
        blobs: BTreeMap::new(),
        left_out: BTreeMap::new(),
    };
    let mut walk = Layout { files, path, platforms, found: &mut found };
    walk.take(&root)?;
    // Also take the referrers of taken manifests, including those under cosign's tags.
    loop {
        let before = walk.found.manifests.len();
        for entry in complete::children(&index) {
            walk.take_if_referrer(&entry.digest, entry.annotations.get(REF_NAME).map(String::as_str));
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
    found: &'a mut ImageOnDisk,
}

impl Layout<'_> {
    fn slice(&self, digest: &Digest) -> Option<Slice> {
        self.files.slice(&path_of(digest))
    }

    fn manifest(&self, digest: &Digest) -> Result<Manifest, Error> {
        let missing = || Error::ArchiveLacks { path: self.path.to_owned(), digest: digest.clone() };
        let bytes = self.slice(digest).ok_or_else(missing)?.read_json()?;
        let found = Digest::of(digest.algorithm(), &bytes);
        if found != *digest {
            let source_name = self.path.display().to_string();
            return Err(Error::Checksum { source_name, expected: digest.clone(), found });
        }
        Manifest::parse(bytes.into(), None).map_err(Error::Oci)
    }

    /// Takes an image. Referrers that cannot be read are left out.
    fn take(&mut self, root: &Digest) -> Result<(), Error> {
        let attestations = self.take_all(root)?;
        for digest in attestations {
            self.take_referrer(&digest);
        }
        Ok(())
    }

    /// Takes a manifest and its children; returns the attestations that it lists.
    fn take_all(&mut self, root: &Digest) -> Result<Vec<Digest>, Error> {
        let (mut open, mut attestations) = (VecDeque::from([root.clone()]), Vec::new());
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
            for digest in children {
                let child = complete::children(&manifest).find(|child| child.digest == digest);
                if child.is_some_and(is_attestation) {
                    attestations.push(digest);
                } else {
                    open.push_back(digest);
                }
            }
            for blob in complete::blobs(&manifest) {
                if let Some(slice) = self.slice(&blob.digest) {
                    self.found.blobs.insert(blob.digest.clone(), slice);
                }
            }
            self.found.manifests.insert(digest, manifest);
        }
        Ok(attestations)
    }

    /// Takes a referrer completely or not at all. A referrer that cannot be read is left out.
    fn take_referrer(&mut self, digest: &Digest) {
        let mut open = VecDeque::from([digest.clone()]);
        while let Some(digest) = open.pop_front() {
            let before = self.found.manifests.clone();
            match self.take_all(&digest) {
                Ok(more) => open.extend(more),
                Err(error) => {
                    self.found.manifests = before;
                    self.found.left_out.insert(digest, error.in_one_line());
                }
            }
        }
    }

    fn take_if_referrer(&mut self, digest: &Digest, name: Option<&str>) {
        if self.found.manifests.contains_key(digest) || self.found.left_out.contains_key(digest) {
            return;
        }
        let tag = name.and_then(|name| name.rsplit(':').next()?.parse::<Tag>().ok());
        let tag = tag.filter(|tag| {
            let subjects = self.found.manifests.keys().flat_map(|subject| {
                ["sig", "att", "sbom"]
                    .into_iter()
                    .filter_map(|suffix| Tag::of_attachment(subject, suffix).ok())
            });
            subjects.into_iter().any(|attachment| attachment == *tag)
        });
        // An entry that cannot be read and has no such name may be a referrer of any image, or an image itself.
        let manifest = self.manifest(digest).ok();
        let subject = manifest.as_ref().and_then(Manifest::subject);
        let refers = subject.is_some_and(|subject| self.found.manifests.contains_key(&subject.digest));
        if refers || tag.is_some() {
            self.take_referrer(digest);
            if self.found.manifests.contains_key(digest) {
                self.found.tags.extend(tag.map(|tag| (tag, digest.clone())));
            }
        }
    }
}
