//! `airlock store get`: copies a file out of the store, by its name in the store.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use oci::{Descriptor, Digest, Hasher, Manifest, RepositoryName, Selector};
use private::{Existing, Readers, Temporary};
use serde::Serialize;
use store::Store;

use crate::failure::{Missing, Status, Usage};
use crate::files::{Output, existing, stdout_for_bytes};
use crate::printer::{Printer, count, size};

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

pub(super) fn get(store: &Store, request: &GetRequest<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let manifest = find(store, request.name)?.ok_or_else(|| Missing {
        message: format!("the store has nothing named `{}`", request.name),
        hint: Some("`airlock store list` shows the names"),
    })?;
    let layer = choose(&manifest, request)?;
    let path = target(request.to, &layer);
    match Output::of(&path)? {
        Output::Stdout => {
            let bytes = print(store, &layer)?;
            printer.say(&format!("wrote {} to standard output", size(bytes)));
        }
        Output::File(file) => {
            let bytes = copy(store, &layer, file)?;
            let written = Written { file: file.to_owned(), digest: layer.digest, bytes };
            printer.result(&written, |written| {
                format!("wrote `{}`, {}\n", written.file.display(), size(written.bytes))
            })?;
        }
    }
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
        let message = format!("`{name}` is the name of {} artifacts: {}", names.len(), names.join(", "));
        return Err(Usage { message, hint: "give one of these names" }.into());
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
        let message = format!("`{}` is an index of images, not a file", request.name);
        return Err(Usage { message, hint: "give one of the images by its digest" }.into());
    };
    let by = request.title.or(Some(request.name));
    let is_asked = |layer: &&Descriptor| title(layer) == by || by == Some(layer.digest.to_string().as_str());
    if let Some(layer) = image.layers.iter().find(is_asked) {
        return Ok(layer.clone());
    }
    match (&image.layers[..], request.title) {
        ([layer], None) => Ok(layer.clone()),
        ([], _) => {
            let message = format!("`{}` contains no files", request.name);
            Err(Usage { message, hint: "`airlock store list` shows the names of files" }.into())
        }
        (layers, asked) => {
            let names =
                layers.iter().map(|layer| title(layer).map_or(layer.digest.to_string(), str::to_owned));
            let names: Vec<_> = names.map(|name| name.escape_debug().to_string()).collect();
            let named = format!("{}: {}", count(names.len(), "file"), names.join(", "));
            if let Some(asked) = asked {
                let message = format!("`{}` does not contain `{asked}`, only {named}", request.name);
                return Err(Missing { message, hint: Some("give one of these names with --title") }.into());
            }
            let message = format!("`{}` contains {named}", request.name);
            Err(Usage { message, hint: "select one with --title" }.into())
        }
    }
}

/// The given file, or a file in the given folder. A title comes from others, so it is only used if it is a plain file name.
fn target(to: &Path, layer: &Descriptor) -> PathBuf {
    if to == Path::new("-") || !to.is_dir() {
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
    let mut from = open(store, layer)?;
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => existing(target).into(),
        _ => anyhow::Error::from(error).context(format!("cannot write `{}`", target.display())),
    };
    let new = Temporary::beside(target, Existing::Keep, Readers::All).map_err(failed)?;
    let bytes = transfer(&mut from, new.file(), &layer.digest)
        .with_context(|| format!("cannot write `{}`", target.display()))?;
    new.publish().map_err(failed)?;
    Ok(bytes)
}

/// Prints the bytes. They are hashed first: printed bytes cannot be removed.
fn print(store: &Store, layer: &Descriptor) -> anyhow::Result<u64> {
    let mut from = open(store, layer)?;
    let mut out = stdout_for_bytes()?;
    let failed = || format!("cannot print `{}`", layer.digest);
    transfer(&mut from, std::io::sink(), &layer.digest).with_context(failed)?;
    from.rewind().with_context(failed)?;
    let bytes = transfer(&mut from, &mut out, &layer.digest).with_context(failed)?;
    out.flush()?;
    Ok(bytes)
}

fn open(store: &Store, layer: &Descriptor) -> anyhow::Result<File> {
    let blob = store.blob_to_hash(&layer.digest)?;
    Ok(blob.with_context(|| format!("the store does not have blob `{}`", layer.digest))?.file)
}

fn transfer(from: &mut File, mut to: impl Write, expected: &Digest) -> anyhow::Result<u64> {
    let mut hasher = Hasher::new(expected.algorithm());
    let mut buffer = vec![0; BUFFER];
    let mut bytes = 0;
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        bytes += read as u64;
    }
    let found = hasher.finish();
    if found != *expected {
        return Err(store::Error::DigestMismatch { expected: expected.clone(), found }.into());
    }
    Ok(bytes)
}
