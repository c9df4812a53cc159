//! Archives of `docker save`. These have no registry manifest; one is made for the layers as they are.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use oci::{Digest, Manifest, media_type};
use serde::Deserialize;
use serde_json::json;

use super::layout::Files as _;
use super::tarball::Archive;
use super::{Entry, ImageOnDisk, Slice, choose};
use crate::Error;

/// The media types of uncompressed and zstd-compressed layers.
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";

/// One image in the `manifest.json` of `docker save`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

fn list(files: &Archive, path: &Path) -> Result<Vec<Saved>, Error> {
    let broken = |what| Error::Archive { path: path.to_owned(), what };
    let list = files
        .slice("manifest.json")
        .ok_or_else(|| broken("no `manifest.json`, so it was not written by `docker save`"))?;
    serde_json::from_slice(&list.read_json()?).map_err(|_| broken("a malformed `manifest.json`"))
}

fn entries_of(files: &Archive, path: &Path, list: &[Saved]) -> Result<Vec<Entry>, Error> {
    let entry = |saved: &Saved| {
        let digest = slice(files, path, &saved.config)?.digest()?;
        Ok(Entry { digest, names: saved.repo_tags.clone().unwrap_or_default(), is_part: false })
    };
    list.iter().map(entry).collect()
}

/// All images of an archive, each with the digest of its config, which is its ID.
pub(super) fn entries(files: &Archive, path: &Path) -> Result<Vec<Entry>, Error> {
    entries_of(files, path, &list(files, path)?)
}

fn slice(files: &Archive, path: &Path, name: &str) -> Result<Slice, Error> {
    let what = "a missing layer or config, or a link that leads out of the archive";
    files.slice(name).ok_or_else(|| Error::Archive { path: path.to_owned(), what })
}

pub(super) fn find(files: &Archive, path: &Path, name: Option<&str>) -> Result<ImageOnDisk, Error> {
    let list = list(files, path)?;
    let entries = entries_of(files, path, &list)?;
    let chosen = choose(&entries, name, path)?;
    // Entries with the same config have the same layers: the config lists their diff IDs.
    let position = entries.iter().position(|entry| std::ptr::eq(entry, chosen)).unwrap_or_default();
    let saved = &list[position];
    let mut blobs = BTreeMap::new();
    let mut describe = |name: &str, kind: Option<&str>| {
        let slice = slice(files, path, name)?;
        let kind = match kind {
            Some(kind) => kind,
            None => layer_type(&slice)?,
        };
        let digest = slice.digest()?;
        let descriptor = json!({ "mediaType": kind, "digest": digest, "size": slice.len });
        blobs.insert(digest, slice);
        Ok::<_, Error>(descriptor)
    };
    let config = describe(&saved.config, Some(media_type::DOCKER_CONFIG))?;
    let layers = saved.layers.iter().map(|layer| describe(layer, None)).collect::<Result<Vec<_>, _>>()?;
    check_layers(&slice(files, path, &saved.config)?, &layers, path)?;
    let manifest = json!({ "schemaVersion": 2, "mediaType": media_type::DOCKER_MANIFEST, "config": config, "layers": layers });
    let bytes = serde_json::to_vec(&manifest).unwrap_or_default();
    let manifest = Manifest::parse(bytes.into(), None).map_err(Error::Oci)?;
    let root: Digest = manifest.digest();
    Ok(ImageOnDisk {
        root: root.clone(),
        manifests: BTreeMap::from([(root, manifest)]),
        tags: BTreeMap::new(),
        absent: BTreeMap::new(),
        blobs,
        left_out: BTreeMap::new(),
    })
}

/// Checks that uncompressed layers match the diff IDs in the config: the archive has no other digests of them.
fn check_layers(config: &Slice, layers: &[serde_json::Value], path: &Path) -> Result<(), Error> {
    #[derive(Default, Deserialize)]
    struct Config {
        #[serde(default)]
        rootfs: RootFs,
    }
    #[derive(Default, Deserialize)]
    struct RootFs {
        #[serde(default)]
        diff_ids: Vec<Digest>,
    }
    let config: Config = serde_json::from_slice(&config.read_json()?).unwrap_or_default();
    for (layer, expected) in layers.iter().zip(config.rootfs.diff_ids) {
        let found: Option<Digest> = layer["digest"].as_str().and_then(|text| text.parse().ok());
        if let Some(found) = found.filter(|found| layer["mediaType"] == LAYER && *found != expected) {
            let source_name = path.display().to_string();
            return Err(Error::Checksum { source_name, expected, found });
        }
    }
    Ok(())
}

/// Docker saves layers compressed if it uses containerd's image store.
fn layer_type(slice: &Slice) -> Result<&'static str, Error> {
    let failed = |source| Error::File { path: slice.path.display().to_string(), source };
    let mut magic = Vec::new();
    slice.open().and_then(|reader| reader.take(4).read_to_end(&mut magic)).map_err(failed)?;
    Ok(match magic[..] {
        [0x1f, 0x8b, ..] => media_type::DOCKER_LAYER_GZIP,
        [0x28, 0xb5, 0x2f, 0xfd] => LAYER_ZSTD,
        _ => LAYER,
    })
}
