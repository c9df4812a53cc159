//! Executes the plan: downloads the blobs into the store, then writes the names and the lock.

use std::path::Path;

use error_class::{Class, Classified as _};
use futures::stream::{self, StreamExt as _};
use oci::Digest;
use private::{Existing, Readers};
use registry::client::Client;
use store::Store;

use super::about::LeftOut;
use super::downloads::{Download, included_blobs};
use super::failures::sorted;
use super::make::{Local, Made, make};
use super::named::moved;
use super::names::Names;
use super::plan::{MirrorPlan, PlannedItem};
use super::{Error, MirrorReport, Mirrored, download};
use crate::config::Missing;
use crate::lock::{Absence, ItemKind, LockedItem};
use crate::reporter::{Reporter, State};

/// The number of blobs that are fetched concurrently.
const AT_ONCE: usize = 4;

/// Fetches and names the content, and returns the lock to write.
pub(super) async fn fetch(
    mut plan: MirrorPlan,
    client: &Client,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<Mirrored, Error> {
    let total = plan.downloads.iter().map(Download::bytes).fold(0, u64::saturating_add);
    check_room(store, total)?;
    reporter.begin("mirror", total);
    let mut report = plan.report();
    let sizes = download_all(&mut plan, &mut report, client, store, reporter).await?;
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
    for gone in names.keep_made(plan.made, store)? {
        reporter.warn(&format!("{}: removed from the lock, because the store no longer has it", gone.source));
    }
    let (settings, unavailable, target) = (plan.settings, plan.unavailable, store.clone());
    let lock = blocking(move || {
        let (mut lock, changes) = names.finish(settings, &target)?;
        lock.unavailable = unavailable;
        let tags = lock.repositories.iter().flat_map(|repository| {
            repository.tags.iter().map(move |tag| (&repository.name, &tag.tag, &tag.digest))
        });
        let moved = moved(tags, &target)?;
        target.commit(changes)?;
        Ok((lock, moved))
    });
    let (lock, moved) = lock.await?;
    report.moved = moved;
    reporter.end();
    Ok(Mirrored { report, lock })
}

/// Downloads all blobs, and leaves out referrers that cannot be fetched. Returns the sizes that were unknown before.
async fn download_all(
    plan: &mut MirrorPlan,
    report: &mut MirrorReport,
    client: &Client,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<Vec<(String, u64)>, Error> {
    let missing = plan.missing;
    let downloads = stream::iter(&plan.downloads).map(|wanted| async move {
        match download::download(wanted, client, store, reporter).await {
            Ok(size) => Ok(DownloadOutcome::Whole(
                wanted.name.clone(),
                if wanted.size().is_none() { size } else { 0 },
            )),
            Err(error) => left_out(wanted, error, missing),
        }
    });
    let (outcomes, more) = sorted(downloads.buffer_unordered(AT_ONCE), plan.keep_going).await?;
    // Failures from planning are reported with the others.
    let failed: Vec<_> = plan.failed.drain(..).chain(more).collect();
    if !failed.is_empty() {
        return Err(Error::of(failed));
    }
    let sizes: Vec<(String, u64)> = outcomes.iter().filter_map(DownloadOutcome::whole).collect();
    let broken: LeftOut = outcomes.into_iter().filter_map(DownloadOutcome::left_out).collect();
    // The sizes of files are known only now.
    report.totals.fetched_bytes -= plan.announced();
    report.totals.fetched_bytes += sizes.iter().map(|(_, size)| size).sum::<u64>();
    let gone = plan.downloads.iter().filter(|wanted| broken.contains_key(&wanted.blob.digest));
    report.totals.fetched_bytes -= gone.map(|wanted| wanted.blob.size).sum::<u64>();
    leave_out_misfits(plan, &broken, store, reporter)?;
    report.unavailable.clone_from(&plan.unavailable);
    Ok(sizes)
}

/// The outcome of a download.
enum DownloadOutcome {
    /// The store has the blob: the item that needs it, and its size if that was unknown before.
    Whole(String, u64),
    /// The blob cannot be fetched, and only referrers need it.
    LeftOut(Digest, Option<String>),
}

impl DownloadOutcome {
    fn whole(&self) -> Option<(String, u64)> {
        match self {
            Self::Whole(name, size) => Some((name.clone(), *size)),
            Self::LeftOut(..) => None,
        }
    }

    fn left_out(self) -> Option<(Digest, Option<String>)> {
        match self {
            Self::Whole(..) => None,
            Self::LeftOut(digest, reason) => Some((digest, reason)),
        }
    }
}

/// Decides whether the run can continue without a blob that failed to download.
fn left_out(wanted: &Download, error: Error, missing: Missing) -> Result<DownloadOutcome, Error> {
    let is_missing = matches!(&error, Error::Fetch { source, .. } if source.class() == Class::Missing);
    match (wanted.essential, is_missing, missing) {
        (false, true, Missing::Refused) => {
            Err(Error::MissingReferrer { image: wanted.name.clone(), digest: wanted.blob.digest.clone() })
        }
        (false, true, Missing::LeftOut) => Ok(DownloadOutcome::LeftOut(wanted.blob.digest.clone(), None)),
        (false, false, _) if error.is_broken() => {
            Ok(DownloadOutcome::LeftOut(wanted.blob.digest.clone(), Some(error.in_one_line())))
        }
        (true, ..) | (false, false, _) => Err(error),
    }
}

/// Leaves out and reports referrers that do not match the fetched content.
fn leave_out_misfits(
    plan: &mut MirrorPlan,
    broken: &LeftOut,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    for image in plan.items.iter_mut().filter_map(|item| item.image.as_mut()) {
        let misfits = image.misfits(broken, store)?;
        if misfits.is_empty() {
            continue;
        }
        image.leave_out(misfits);
        for left_out in image.reported() {
            if !plan.unavailable.contains(&left_out) {
                reporter.warn(&left_out.to_string());
                plan.unavailable.insert(left_out);
            }
        }
    }
    Ok(())
}

/// Adds an item's manifests and tags to the names. Creates the manifest of a file or chart.
async fn name_item(
    item: PlannedItem,
    platforms: &[String],
    store: &Store,
    names: &mut Names,
) -> Result<(LockedItem, Option<Local>), Error> {
    if let Some(image) = item.image {
        let size = image.bytes();
        let indexed = image.manifests.get(&image.root).is_some_and(|root| !root.children().is_empty());
        names.blobs.extend(included_blobs(&image).into_iter().map(|blob| blob.digest.clone()));
        let named = names.repositories.entry(image.repository.clone()).or_default();
        named.manifests.extend(image.manifests);
        named.tags.extend(image.tags);
        let unavailable = image.unavailable.into_keys().map(|digest| (digest, Absence::Unavailable));
        named.absent.extend(image.absent.into_iter().chain(unavailable));
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
    let made = blocking(move || make(wanted, &store)).await?;
    let Made { kind, source, repository, tag, artifact, local } = made;
    let digest = artifact.manifest.digest();
    let size =
        artifact.manifest.bytes().len() as u64 + artifact.manifest.blobs().map(|blob| blob.size).sum::<u64>();
    names.blobs.extend(artifact.manifest.blobs().map(|blob| blob.digest.clone()));
    let named = names.repositories.entry(repository.clone()).or_default();
    named.manifests.insert(digest.clone(), artifact.manifest);
    if named.tags.insert(tag.clone(), digest.clone()).is_some_and(|before| before != digest) {
        return Err(Error::Clash(format!("{repository}:{tag}")));
    }
    let locked = LockedItem { kind, source, repository, tag: Some(tag), digest, platforms: Vec::new(), size };
    Ok((locked, local))
}

fn check_room(store: &Store, needed: u64) -> Result<(), Error> {
    let path = store.root();
    let failed =
        |error: rustix::io::Errno| Error::File { path: path.display().to_string(), source: error.into() };
    let room = rustix::fs::statvfs(path).map_err(failed)?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if room.f_blocks > 0 && free < needed { Err(Error::NoSpace { free, needed }) } else { Ok(()) }
}

/// A small file as text.
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

/// Writes a file atomically, readable by all users.
///
/// # Errors
/// When the file cannot be written.
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    private::publish(path, bytes, Existing::Replace, Readers::All)
        .map_err(|source| Error::File { path: path.display().to_string(), source })
}
