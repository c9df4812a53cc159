//! `airlock store get`: copies a file out of the store, by its name in the store.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use error_class::{Class, Classified};
use oci::{Descriptor, Digest, Hasher, Manifest, RepositoryName, Selector};
use private::{Existing, Readers, Temporary};
use serde::Serialize;
use store::Store;

use crate::failure::Status;
use crate::printer::{Printer, size};

/// The annotation with a file's own name.
const TITLE: &str = "org.opencontainers.image.title";

const BUFFER: usize = 256 * 1024;

/// The requested file.
pub(super) struct GetRequest<'a> {
    pub(super) name: &'a str,
    pub(super) to: &'a Path,
    pub(super) title: Option<&'a str>,
}

#[derive(Serialize)]
struct Written {
    file: PathBuf,
    digest: Digest,
    bytes: u64,
}

/// No object in the store has this name.
#[derive(Debug, thiserror::Error)]
#[error("the store has nothing named `{0}`: `airlock store list` shows the names")]
pub(crate) struct NoName(String);

impl Classified for NoName {
    fn class(&self) -> Class {
        Class::Missing
    }
}

pub(super) fn get(store: &Store, request: &GetRequest<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let manifest = find(store, request.name)?.ok_or_else(|| NoName(request.name.to_owned()))?;
    let layer = choose(&manifest, request)?;
    let file = target(request.to, &layer);
    let bytes = copy(store, &layer, &file)?;
    let written = Written { file, digest: layer.digest, bytes };
    printer.result(&written, |written| {
        format!("wrote `{}`, {}\n", written.file.display(), size(written.bytes))
    })?;
    Ok(Status::Done)
}

/// By `REPOSITORY:TAG` or `REPOSITORY@DIGEST`, else by the name of a file, else by a repository with one tag.
fn find(store: &Store, name: &str) -> anyhow::Result<Option<Manifest>> {
    if let Some((repository, selector)) = reference(name)
        && let Some(row) = store.resolve(&repository, &selector)?
    {
        return Ok(store.manifest(&repository, &row.digest)?);
    }
    let mut found: Vec<(String, Manifest)> = Vec::new();
    for repository in store.repositories(None, None)? {
        for (tag, digest) in store.tags(&repository, None, None)? {
            let Ok(Some(manifest)) = store.manifest(&repository, &digest) else { continue };
            if repository.as_str() == name || manifest.blobs().any(|blob| title(blob) == Some(name)) {
                found.push((format!("{repository}:{tag}"), manifest));
            }
        }
    }
    found.dedup_by(|a, b| a.1 == b.1);
    if found.len() > 1 {
        let names: Vec<_> = found.into_iter().map(|(name, _)| name).collect();
        bail!("`{name}` is the name of {} artifacts: give one of {}", names.len(), names.join(", "));
    }
    Ok(found.pop().map(|(_, manifest)| manifest))
}

fn reference(name: &str) -> Option<(RepositoryName, Selector)> {
    if let Some((repository, digest)) = name.split_once('@') {
        return Some((repository.parse().ok()?, Selector::Digest(digest.parse().ok()?)));
    }
    let (repository, tag) = name.rsplit_once(':')?;
    Some((repository.parse().ok()?, Selector::Tag(tag.parse().ok()?)))
}

fn title(layer: &Descriptor) -> Option<&str> {
    layer.annotations.get(TITLE).map(String::as_str)
}

fn choose(manifest: &Manifest, request: &GetRequest<'_>) -> anyhow::Result<Descriptor> {
    let oci::Content::Image(image) = manifest.content() else {
        bail!("`{}` is an index of images, not a file: give one of them by its digest", request.name);
    };
    let by = request.title.or(Some(request.name));
    let is_asked = |layer: &&Descriptor| title(layer) == by || by == Some(layer.digest.to_string().as_str());
    if let Some(layer) = image.layers.iter().find(is_asked) {
        return Ok(layer.clone());
    }
    match (&image.layers[..], request.title) {
        ([layer], None) => Ok(layer.clone()),
        ([], _) => bail!("`{}` contains no files", request.name),
        (layers, _) => {
            let names =
                layers.iter().map(|layer| title(layer).map_or(layer.digest.to_string(), str::to_owned));
            let names: Vec<_> = names.map(|name| name.escape_debug().to_string()).collect();
            bail!(
                "`{}` contains {} files: select one with `--title`: {}",
                request.name,
                names.len(),
                names.join(", ")
            )
        }
    }
}

/// The given file, or a file in the given folder. A title comes from others, so it is only used if it is a plain file name.
fn target(to: &Path, layer: &Descriptor) -> PathBuf {
    if !to.is_dir() {
        return to.to_owned();
    }
    let plain = title(layer).map(Path::new).filter(|title| {
        let mut parts = title.components();
        matches!((parts.next(), parts.next()), (Some(Component::Normal(name)), None) if name == title.as_os_str())
    });
    match plain {
        Some(title) => to.join(title),
        None => to.join(layer.digest.hex()),
    }
}

/// Writes a new file. It is removed if its content is wrong.
fn copy(store: &Store, layer: &Descriptor, target: &Path) -> anyhow::Result<u64> {
    let blob = store.blob_to_hash(&layer.digest)?;
    let mut from = blob.with_context(|| format!("the store does not have blob `{}`", layer.digest))?.file;
    let failed = |error: io::Error| {
        let never = match error.kind() {
            ErrorKind::AlreadyExists => ": existing files are never overwritten",
            _ => "",
        };
        anyhow::Error::from(error).context(format!("cannot write `{}`{never}", target.display()))
    };
    let new = Temporary::beside(target, Existing::Keep, Readers::All).map_err(failed)?;
    let bytes = transfer(&mut from, new.file(), &layer.digest)
        .with_context(|| format!("cannot write `{}`", target.display()))?;
    new.publish().map_err(failed)?;
    Ok(bytes)
}

fn transfer(from: &mut File, mut to: &File, expected: &Digest) -> anyhow::Result<u64> {
    let mut hasher = Hasher::new(expected.algorithm());
    let mut buffer = vec![0; BUFFER];
    let mut bytes = 0;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        to.write_all(&buffer[..count])?;
        bytes += count as u64;
    }
    let found = hasher.finish();
    if found != *expected {
        return Err(store::Error::DigestMismatch { expected: expected.clone(), found }.into());
    }
    Ok(bytes)
}
