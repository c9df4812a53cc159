//! Images on disk: OCI layouts as folders or tar files (OCI image specification, `image-layout.md`), and what
//! `docker save` writes. Archives are indexed once, and blobs are read from where they stand in them.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use oci::{Algorithm, Digest, Hasher, Manifest, Platform, Tag, media_type};
use serde::Deserialize;
use serde_json::json;

use crate::mirror::Error;
use crate::source::chosen;

/// An archive with more entries is refused.
const MOST_ENTRIES: usize = 100_000;
/// A manifest or list in an archive is not larger than this.
const MOST_JSON: u64 = 8 << 20;
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

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
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Slice {
    /// The file.
    pub path: PathBuf,
    /// The first byte.
    pub offset: u64,
    /// How many.
    pub len: u64,
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
    /// Where the blobs are.
    pub blobs: BTreeMap<Digest, Slice>,
}

/// Finds an image. `name` chooses among several: its `ref.name`, or its `RepoTags` entry.
///
/// # Errors
/// When there is no such thing, several are there and none was chosen, or something hostile is in the archive.
pub fn find(format: Format, path: &Path, name: Option<&str>, platforms: &[Platform]) -> Result<Found, Error> {
    match format {
        Format::OciLayout => layout(&Folder(path.to_owned()), path, name, platforms),
        Format::OciArchive => layout(&Archive::open(path)?, path, name, platforms),
        Format::DockerArchive => docker(&Archive::open(path)?, path, name),
    }
}

/// Where files of a layout are found.
trait Files {
    fn slice(&self, name: &str) -> Option<Slice>;
}

struct Folder(PathBuf);

impl Files for Folder {
    fn slice(&self, name: &str) -> Option<Slice> {
        let path = self.0.join(name);
        let len = path.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        Some(Slice { path, offset: 0, len })
    }
}

struct Archive {
    path: PathBuf,
    entries: BTreeMap<String, (u64, u64)>,
}

impl Archive {
    /// Reads the headers only. Links and special files are not followed: they are as good as absent.
    fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File { path: path.display().to_string(), source };
        let mut entries = BTreeMap::new();
        let mut archive = tar::Archive::new(File::open(path).map_err(failed)?);
        for entry in archive.entries_with_seek().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = entry.path().map_err(failed)?.to_string_lossy().trim_start_matches("./").to_owned();
            let place = (entry.raw_file_position(), entry.size());
            if entries.insert(name.clone(), place).is_some() || entries.len() > MOST_ENTRIES {
                return Err(Error::Archive {
                    path: path.to_owned(),
                    what: "an entry twice, or too many entries",
                });
            }
        }
        Ok(Self { path: path.to_owned(), entries })
    }
}

impl Files for Archive {
    fn slice(&self, name: &str) -> Option<Slice> {
        let (offset, len) = *self.entries.get(name)?;
        Some(Slice { path: self.path.clone(), offset, len })
    }
}

impl Slice {
    /// Opens the file at the first byte.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(&self) -> std::io::Result<impl Read + use<>> {
        let mut file = File::open(&self.path)?;
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
        let mut reader = self.open().map_err(failed)?;
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match reader.read(&mut buffer).map_err(failed)? {
                0 => return Ok(hasher.finish()),
                count => hasher.update(&buffer[..count]),
            }
        }
    }
}

fn layout(
    files: &dyn Files,
    path: &Path,
    name: Option<&str>,
    platforms: &[Platform],
) -> Result<Found, Error> {
    let broken = |what| Error::Archive { path: path.to_owned(), what };
    let index = files.slice("index.json").ok_or_else(|| broken("no `index.json`, so no OCI layout"))?;
    let kind = media_type::OCI_INDEX.parse().map_err(Error::Oci)?;
    let index = Manifest::parse(index.read_json()?.into(), Some(&kind))
        .map_err(|_| broken("a malformed `index.json`"))?;
    let named = |wanted: &str| {
        index.children().iter().find(|entry| entry.annotations.get(REF_NAME).is_some_and(|n| n == wanted))
    };
    let root = match (name, index.children()) {
        (Some(name), _) => named(name).ok_or_else(|| broken("no image of that name"))?,
        (None, [only]) => only,
        (None, _) => return Err(broken("not exactly one image: choose one by `image`")),
    };
    let mut found = Found {
        root: root.digest.clone(),
        manifests: BTreeMap::new(),
        tags: BTreeMap::new(),
        blobs: BTreeMap::new(),
    };
    let mut walk = Layout { files, path, platforms, found: &mut found };
    walk.take(&root.digest)?;
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
    fn slice(&self, digest: &Digest) -> Result<Slice, Error> {
        let name = format!("blobs/{}/{}", digest.algorithm(), digest.hex());
        self.files
            .slice(&name)
            .ok_or_else(|| Error::NotFound(format!("{} in {}", digest, self.path.display())))
    }

    fn manifest(&self, digest: &Digest) -> Result<Manifest, Error> {
        let bytes = self.slice(digest)?.read_json()?;
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
            let children = chosen(manifest.children(), self.platforms);
            if children.is_empty() && !manifest.children().is_empty() {
                let wanted: Vec<_> = self.platforms.iter().map(Platform::to_string).collect();
                return Err(Error::NoPlatform {
                    reference: self.path.display().to_string(),
                    wanted: wanted.join(", "),
                });
            }
            open.extend(children);
            for blob in manifest.blobs().filter(|blob| !blob.media_type.is_foreign() && blob.urls.is_empty())
            {
                self.found.blobs.insert(blob.digest.clone(), self.slice(&blob.digest)?);
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

/// One image in the `manifest.json` of `docker save`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// `docker save` writes no registry manifest: one is made, with the layers as they are, uncompressed.
fn docker(files: &Archive, path: &Path, name: Option<&str>) -> Result<Found, Error> {
    let broken = |what| Error::Archive { path: path.to_owned(), what };
    let list = files
        .slice("manifest.json")
        .ok_or_else(|| broken("no `manifest.json`, so nothing of `docker save`"))?;
    let list: Vec<Saved> =
        serde_json::from_slice(&list.read_json()?).map_err(|_| broken("a malformed `manifest.json`"))?;
    let has =
        |saved: &&Saved| name.is_none_or(|name| saved.repo_tags.iter().flatten().any(|tag| tag == name));
    let matching: Vec<&Saved> = list.iter().filter(has).collect();
    let [saved] = matching[..] else {
        return Err(broken("not exactly one image of that name: choose one by `image`"));
    };
    let mut blobs = BTreeMap::new();
    let mut describe = |name: &str, kind: &str| {
        let slice =
            files.slice(name).ok_or_else(|| broken("a layer or configuration that is missing or a link"))?;
        let digest = slice.digest()?;
        let descriptor = json!({ "mediaType": kind, "digest": digest, "size": slice.len });
        blobs.insert(digest, slice);
        Ok::<_, Error>(descriptor)
    };
    let config = describe(&saved.config, media_type::DOCKER_CONFIG)?;
    let layers =
        saved.layers.iter().map(|layer| describe(layer, DOCKER_LAYER)).collect::<Result<Vec<_>, _>>()?;
    let manifest = json!({ "schemaVersion": 2, "mediaType": media_type::DOCKER_MANIFEST, "config": config, "layers": layers });
    let bytes = serde_json::to_vec(&manifest).unwrap_or_default();
    let manifest = Manifest::parse(bytes.into(), None).map_err(Error::Oci)?;
    let root = manifest.digest();
    Ok(Found {
        root: root.clone(),
        manifests: BTreeMap::from([(root, manifest)]),
        tags: BTreeMap::new(),
        blobs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(builder: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, bytes).unwrap();
    }

    fn write(folder: &Path, builder: tar::Builder<Vec<u8>>) -> PathBuf {
        let path = folder.join("image.tar");
        std::fs::write(&path, builder.into_inner().unwrap()).unwrap();
        path
    }

    #[test]
    fn a_saved_image_gets_a_manifest_over_its_layers() {
        let folder = tempfile::tempdir().unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        entry(&mut builder, "abc.json", b"{}");
        entry(&mut builder, "l/layer.tar", b"layer");
        entry(
            &mut builder,
            "manifest.json",
            br#"[{"Config":"abc.json","RepoTags":["a:b"],"Layers":["l/layer.tar"]}]"#,
        );
        let path = write(folder.path(), builder);
        let found = find(Format::DockerArchive, &path, Some("a:b"), &[]).unwrap();
        let slice = &found.blobs[&Digest::sha256(b"layer")];
        let mut bytes = Vec::new();
        slice.open().unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"layer");
        assert_eq!(found.manifests[&found.root].blobs().count(), 2);
        assert!(matches!(find(Format::DockerArchive, &path, Some("x:y"), &[]), Err(Error::Archive { .. })));
        assert!(matches!(find(Format::OciArchive, &path, None, &[]), Err(Error::Archive { .. })));
    }

    #[test]
    fn a_layer_that_is_a_link_or_comes_twice_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let list = br#"[{"Config":"abc.json","Layers":["l"]}]"#;
        let mut builder = tar::Builder::new(Vec::new());
        entry(&mut builder, "abc.json", b"{}");
        entry(&mut builder, "manifest.json", list);
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "l", "/etc/passwd").unwrap();
        let path = write(folder.path(), builder);
        assert!(matches!(find(Format::DockerArchive, &path, None, &[]), Err(Error::Archive { .. })));
        let mut builder = tar::Builder::new(Vec::new());
        entry(&mut builder, "abc.json", b"{}");
        entry(&mut builder, "abc.json", b"[]");
        let path = write(folder.path(), builder);
        assert!(matches!(find(Format::DockerArchive, &path, None, &[]), Err(Error::Archive { .. })));
    }
}
