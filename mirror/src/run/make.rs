//! Makes artifacts of files and charts that are on disk or were fetched.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use oci::{Algorithm, Digest, RepositoryName, Tag};
use store::Store;

use super::Error;
use super::provenance::MOST_PROVENANCE;
use crate::config::Location;
use crate::lock::ItemKind;
use crate::reporter::State;
use crate::source::{Artifact, Wanted, archive_name, artifact, chart_artifact, chart_config};

/// The size of a read.
const BATCH: usize = 512 * 1024;

/// Whether a local file's bytes are new to the store, and the file's size.
pub(super) type Local = (State, u64);

/// An artifact that was made, with its names.
pub(super) struct Made {
    pub(super) kind: ItemKind,
    /// Its name in the mirror file.
    pub(super) source: String,
    pub(super) repository: RepositoryName,
    pub(super) tag: Tag,
    pub(super) artifact: Artifact,
    pub(super) local: Option<Local>,
}

/// Checks a file against all its checksums, and makes its artifact.
pub(super) fn make(wanted: Option<Wanted>, store: &Store) -> Result<Made, Error> {
    match wanted {
        Some(Wanted::File { source, location, checksums, repository, tag, title }) => {
            let (digest, size, local) = match (&location, checksums.first()) {
                (Location::Path(path), _) => {
                    let (digest, size, state) = put_file(path, open(path)?, store)?;
                    (digest, size, Some((state, size)))
                }
                (Location::Url(_), Some(digest)) => {
                    let size = store.has_blob(digest)?.ok_or_else(|| Error::NotFound(source.clone()))?;
                    (digest.clone(), size, None)
                }
                (Location::Url(_), None) => return Err(Error::NotFound(source)),
            };
            for expected in checksums.iter().filter(|expected| **expected != digest) {
                let found = hash(store, &digest, expected.algorithm())?;
                if found != *expected {
                    return Err(Error::Checksum { source_name: source, expected: expected.clone(), found });
                }
            }
            let artifact = artifact(&title, &digest, size)?;
            store.put_bytes(&artifact.config)?;
            Ok(Made { kind: ItemKind::File, source, repository, tag, artifact, local })
        }
        Some(Wanted::Chart { path, archive }) => {
            let source = path.display().to_string();
            let (digest, size, state) = match archive {
                Some(archive) => put_file(&path, archive.as_ref(), store)?,
                None => put_file(&path, open(&path)?, store)?,
            };
            let blob = store.blob(&digest)?.ok_or_else(|| Error::NotFound(source.clone()))?;
            let config = chart_config(blob.file, &source)?;
            let text = |key: &str| config[key].as_str().unwrap_or_default().to_owned();
            let repository =
                format!("charts/{}", text("name").to_ascii_lowercase()).parse().map_err(Error::Oci)?;
            // Like Helm: a tag cannot contain a plus sign.
            let tag = text("version").replace('+', "_").parse().map_err(Error::Oci)?;
            let file = archive_name(&config);
            let provenance = provenance(&path, &digest)?;
            let artifact = chart_artifact(&config, &file, &digest, size, provenance.as_deref())?;
            store.put_bytes(&artifact.config)?;
            if let Some(text) = provenance {
                store.put_bytes(&text)?;
            }
            Ok(Made { kind: ItemKind::Chart, source, repository, tag, artifact, local: Some((state, size)) })
        }
        Some(Wanted::Image { .. } | Wanted::Archive { .. }) | None => Err(Error::Died),
    }
}

/// The provenance file next to a packaged chart, if it exists. It must state the chart's digest; its signature is not
/// verified here.
pub(super) fn provenance(chart: &Path, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
    let mut path = chart.as_os_str().to_owned();
    path.push(".prov");
    let path = Path::new(&path);
    let failed = |source| Error::File { path: path.display().to_string(), source };
    let mut text = Vec::new();
    match input::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => {
            opened.and_then(|file| file.take(MOST_PROVENANCE + 1).read_to_end(&mut text)).map_err(failed)?;
        }
    }
    let states = |text: &str| text.contains(&digest.to_string());
    if text.len() as u64 > MOST_PROVENANCE || !std::str::from_utf8(&text).is_ok_and(states) {
        return Err(Error::Provenance { path: path.display().to_string(), chart: digest.clone() });
    }
    Ok(Some(text))
}

fn open(path: &Path) -> Result<File, Error> {
    input::open(path).map_err(|source| Error::File { path: path.display().to_string(), source })
}

/// Stores the content of a file.
fn put_file(path: &Path, mut content: impl Read, store: &Store) -> Result<(Digest, u64, State), Error> {
    let failed = |source| Error::File { path: path.display().to_string(), source };
    let mut writer = store.writer(Algorithm::Sha256)?;
    let mut buffer = vec![0; BATCH];
    loop {
        match content.read(&mut buffer).map_err(failed)? {
            0 => break,
            count => writer.write(&buffer[..count])?,
        }
    }
    let there = store.has_blob(&writer.digest())? == Some(writer.len());
    let (digest, size) = writer.publish(None)?;
    Ok((digest, size, if there { State::Reused } else { State::Fetched }))
}

fn hash(store: &Store, digest: &Digest, algorithm: Algorithm) -> Result<Digest, Error> {
    let blob = store.blob(digest)?.ok_or_else(|| Error::NotFound(digest.to_string()))?;
    let failed = |source| Error::File { path: digest.to_string(), source };
    Digest::of_reader(algorithm, blob.file).map_err(failed)
}
