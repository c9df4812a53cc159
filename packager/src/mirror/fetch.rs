//! Does what the plan says: blobs into the store, then names, then the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use futures::stream::{self, StreamExt as _};
use oci::{Algorithm, Digest, Hasher, Manifest, RepositoryName, Tag};
use registry::client::Client;
use store::{Change, Store};

use super::failures::all_of;
use super::plan::{Download, MirrorPlan, PlannedItem, carried};
use super::{Error, MirrorReport, download};
use crate::config::Location;
use crate::lock::{
    ItemKind, Lock, LockedBlob, LockedItem, LockedManifest, LockedRepository, LockedTag, VERSION,
};
use crate::reporter::{Reporter, State};
use crate::source::{Artifact, Wanted, artifact, chart_artifact, chart_config};

/// Blobs that are fetched at once.
const AT_ONCE: usize = 4;
/// Files are read in pieces of this size.
const BATCH: usize = 512 * 1024;

/// Everything that gets a name, by repository.
#[derive(Default)]
struct Names {
    repositories: BTreeMap<RepositoryName, Named>,
    items: Vec<LockedItem>,
}

/// A repository's manifests and tags.
type Named = (BTreeMap<Digest, Manifest>, BTreeMap<Tag, Digest>);

/// Fetches, names, and gives the lock to be written.
pub(super) async fn fetch(
    mut plan: MirrorPlan,
    client: &Client,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<(Lock, MirrorReport), Error> {
    let total = plan.downloads.iter().map(Download::bytes).fold(0, u64::saturating_add);
    check_room(store, total)?;
    reporter.begin("mirror", total);
    let mut report = plan.report();
    let downloads = stream::iter(&plan.downloads).map(|wanted| async move {
        let size = download::download(wanted, client, store, reporter).await?;
        Ok::<_, Error>((wanted.name.clone(), if wanted.blob.size == 0 { size } else { 0 }))
    });
    let failed = std::mem::take(&mut plan.failed);
    let sizes = all_of(downloads.buffer_unordered(AT_ONCE), plan.keep_going, failed).await?;
    // Sizes of files are known only now.
    report.totals.fetched_bytes -= plan.announced();
    report.totals.fetched_bytes += sizes.iter().map(|(_, size)| size).sum::<u64>();
    let mut names = Names::default();
    for (item, line) in plan.items.into_iter().zip(&mut report.items) {
        let source = item.report.source.clone();
        let (locked, local) = name_item(item, &plan.platforms, store, &mut names).await?;
        line.digest = Some(locked.digest.to_string());
        line.bytes = locked.size;
        match local {
            Some((State::Fetched, size)) => report.totals.fetched_bytes += size,
            Some((state, size)) => {
                line.state = state;
                report.totals.reused_bytes += size;
            }
            None if locked.kind == ItemKind::File && !sizes.iter().any(|(name, _)| *name == source) => {
                line.state = State::Reused;
            }
            None => {}
        }
        reporter.item(&source, line.state);
        reporter.item(&source, State::Verified);
        names.items.push(locked);
    }
    report.totals.verified_bytes = report.totals.fetched_bytes;
    let (mut lock, changes) = finish(plan.name, plan.follow, names);
    lock.unavailable = plan.unavailable;
    let target = store.clone();
    blocking(move || Ok(target.commit(changes)?)).await?;
    reporter.end();
    Ok((lock, report))
}

/// Puts an item's manifests and tags among the names; makes the manifest of a file or chart.
async fn name_item(
    item: PlannedItem,
    platforms: &[String],
    store: &Store,
    names: &mut Names,
) -> Result<(LockedItem, Option<Local>), Error> {
    if let Some(image) = item.image {
        let size = item.report.bytes;
        let (manifests, tags) = names.repositories.entry(image.repository.clone()).or_default();
        let indexed = image.manifests.get(&image.root).is_some_and(|root| !root.children().is_empty());
        manifests.extend(image.manifests);
        tags.extend(image.tags);
        let platforms =
            if image.kind == ItemKind::Image || indexed { platforms.to_vec() } else { Vec::new() };
        let locked = LockedItem {
            kind: image.kind,
            source: image.reference.to_string(),
            tag: image.reference.tag().cloned(),
            repository: image.repository,
            digest: image.root,
            platforms,
            size,
        };
        return Ok((locked, None));
    }
    let store = store.clone();
    let wanted = item.wanted;
    let (kind, source, repository, tag, artifact, local) = blocking(move || make(wanted, &store)).await?;
    let digest = artifact.manifest.digest();
    let size = artifact.manifest.bytes().len() as u64
        + carried(std::iter::once(&artifact.manifest)).iter().map(|blob| blob.size).sum::<u64>();
    let (manifests, tags) = names.repositories.entry(repository.clone()).or_default();
    manifests.insert(digest.clone(), artifact.manifest);
    if tags.insert(tag.clone(), digest.clone()).is_some_and(|before| before != digest) {
        return Err(Error::Clash(format!("{repository}:{tag}")));
    }
    let locked = LockedItem { kind, source, repository, tag: Some(tag), digest, platforms: Vec::new(), size };
    Ok((locked, local))
}

/// Whether a local file's bytes came only now, and how many they are.
type Local = (State, u64);

type Made = (ItemKind, String, RepositoryName, Tag, Artifact, Option<Local>);

/// Checks a file against all its checksums and makes its artifact.
fn make(wanted: Option<Wanted>, store: &Store) -> Result<Made, Error> {
    match wanted {
        Some(Wanted::File { source, location, checksums, repository, tag }) => {
            let (digest, size, local) = match (&location, checksums.first()) {
                (Location::Path(path), _) => {
                    let (digest, size, state) = put_file(path, store)?;
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
            let artifact = artifact(tag.as_str(), &digest, size)?;
            put(store, &artifact.config)?;
            Ok((ItemKind::File, source, repository, tag, artifact, local))
        }
        Some(Wanted::Chart { path }) => {
            let name = path.display().to_string();
            let (digest, size, state) = put_file(&path, store)?;
            let blob = store.blob(&digest)?.ok_or_else(|| Error::NotFound(name.clone()))?;
            let config = chart_config(blob.file, &name)?;
            let text = |key: &str| config[key].as_str().unwrap_or_default().to_owned();
            let repository =
                format!("charts/{}", text("name").to_ascii_lowercase()).parse().map_err(Error::Oci)?;
            // Helm's rule: a tag has no plus sign.
            let tag = text("version").replace('+', "_").parse().map_err(Error::Oci)?;
            let file = format!("{}-{}.tgz", text("name"), text("version"));
            let artifact = chart_artifact(&config, &file, &digest, size)?;
            put(store, &artifact.config)?;
            Ok((ItemKind::Chart, name, repository, tag, artifact, Some((state, size))))
        }
        Some(Wanted::Image { .. } | Wanted::Archive { .. }) | None => Err(Error::Died),
    }
}

fn put_file(path: &Path, store: &Store) -> Result<(Digest, u64, State), Error> {
    let failed = |source| Error::File { path: path.display().to_string(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut writer = store.writer(Algorithm::Sha256)?;
    let mut buffer = vec![0; BATCH];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            count => writer.write(&buffer[..count])?,
        }
    }
    let there = store.has_blob(&writer.digest())? == Some(writer.len());
    let (digest, size) = writer.publish(None)?;
    Ok((digest, size, if there { State::Reused } else { State::Fetched }))
}

fn put(store: &Store, bytes: &[u8]) -> Result<(), Error> {
    let mut writer = store.writer(Algorithm::Sha256)?;
    writer.write(bytes)?;
    writer.publish(None)?;
    Ok(())
}

fn hash(store: &Store, digest: &Digest, algorithm: Algorithm) -> Result<Digest, Error> {
    let mut blob = store.blob(digest)?.ok_or_else(|| Error::NotFound(digest.to_string()))?;
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; BATCH];
    loop {
        let read = blob.file.read(&mut buffer);
        match read.map_err(|source| Error::File { path: digest.to_string(), source })? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// The lock, and the changes that name everything in it.
fn finish(name: String, follow: bool, names: Names) -> (Lock, Vec<Change>) {
    let mut changes = Vec::new();
    let mut repositories = Vec::new();
    for (repository, (manifests, tags)) in names.repositories {
        let mut locked =
            LockedRepository { name: repository.clone(), manifests: Vec::new(), tags: Vec::new() };
        for (digest, manifest) in manifests {
            let blobs = carried(std::iter::once(&manifest));
            let blobs = blobs.iter().map(|blob| LockedBlob { digest: blob.digest.clone(), size: blob.size });
            locked.manifests.push(LockedManifest {
                digest: digest.clone(),
                media_type: manifest.media_type().clone(),
                size: manifest.bytes().len() as u64,
                blobs: blobs.collect(),
            });
            changes.push(Change::PutManifest { repository: repository.clone(), digest, manifest });
        }
        for (tag, digest) in tags {
            locked.tags.push(LockedTag { tag: tag.clone(), digest: digest.clone() });
            changes.push(Change::SetTag { repository: repository.clone(), tag, digest });
        }
        repositories.push(locked);
    }
    let (unavailable, items) = (BTreeSet::new(), names.items);
    (Lock { version: VERSION, name, follow, unavailable, items, repositories }, changes)
}

fn check_room(store: &Store, needed: u64) -> Result<(), Error> {
    let path = store.root();
    let failed =
        |error: rustix::io::Errno| Error::File { path: path.display().to_string(), source: error.into() };
    let room = rustix::fs::statvfs(path).map_err(failed)?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if room.f_blocks > 0 && free < needed { Err(Error::NoSpace { free, needed }) } else { Ok(()) }
}

/// A whole small text.
pub(super) fn text(name: &str, bytes: &[u8]) -> Result<String, Error> {
    let text = std::str::from_utf8(bytes).map(str::to_owned);
    text.map_err(|error| {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        Error::File { path: name.to_owned(), source }
    })
}

/// Runs synchronous work on the blocking pool.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Died))
}

/// Temporary file, flush, rename, flush of the folder.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::File { path: path.display().to_string(), source };
    let temporary = path.with_extension("lock.new");
    let mut file = File::create(&temporary).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}
