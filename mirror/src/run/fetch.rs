//! Does what the plan says: blobs into the store, then names, then the lock.

use std::path::Path;

use error_class::{Class, Classified as _};
use futures::stream::{self, StreamExt as _};
use oci::Digest;
use private::{Existing, Readers};
use registry::client::Client;
use store::Store;

use super::about::LeftOut;
use super::downloads::{Download, carried};
use super::failures::sorted;
use super::make::{Local, make};
use super::named::moved;
use super::names::Names;
use super::plan::{MirrorPlan, PlannedItem};
use super::{Error, MirrorReport, download};
use crate::config::Missing;
use crate::lock::{Absence, ItemKind, Lock, LockedItem};
use crate::reporter::{Reporter, State};

/// Blobs that are fetched at once.
const AT_ONCE: usize = 4;

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
    let sizes = download_all(&mut plan, &mut report, (client, store), reporter).await?;
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
    for gone in names.carry(plan.made, store)? {
        reporter.warn(&format!(
            "{}: not in the lock any more, because the store does not have it any more",
            gone.source
        ));
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
    Ok((lock, report))
}

/// Downloads all that is wanted, and leaves out what cannot be had and is only said about images; gives the sizes of what
/// had none before.
async fn download_all(
    plan: &mut MirrorPlan,
    report: &mut MirrorReport,
    (client, store): (&Client, &Store),
    reporter: &dyn Reporter,
) -> Result<Vec<(String, u64)>, Error> {
    let missing = plan.missing;
    let downloads = stream::iter(&plan.downloads).map(|wanted| async move {
        match download::download(wanted, client, store, reporter).await {
            Ok(size) => Ok(Came::Whole(wanted.name.clone(), if wanted.size().is_none() { size } else { 0 })),
            Err(error) => left_out(wanted, error, missing),
        }
    });
    let (came, more) = sorted(downloads.buffer_unordered(AT_ONCE), plan.keep_going).await?;
    // What failed while it was planned is reported with the rest.
    let failed: Vec<_> = plan.failed.drain(..).chain(more).collect();
    if !failed.is_empty() {
        return Err(Error::of(failed));
    }
    let sizes: Vec<(String, u64)> = came.iter().filter_map(Came::whole).collect();
    let broken: LeftOut = came.into_iter().filter_map(Came::left_out).collect();
    // Sizes of files are known only now.
    report.totals.fetched_bytes -= plan.announced();
    report.totals.fetched_bytes += sizes.iter().map(|(_, size)| size).sum::<u64>();
    let gone = plan.downloads.iter().filter(|wanted| broken.contains_key(&wanted.blob.digest));
    report.totals.fetched_bytes -= gone.map(|wanted| wanted.blob.size).sum::<u64>();
    leave_out_misfits(plan, &broken, store, reporter)?;
    report.unavailable.clone_from(&plan.unavailable);
    Ok(sizes)
}

/// What became of a download.
enum Came {
    /// It is there: what for, and its size if that was not known before.
    Whole(String, u64),
    /// It cannot be had, and only what is said about images needs it.
    LeftOut(Digest, Option<String>),
}

impl Came {
    fn whole(&self) -> Option<(String, u64)> {
        match self {
            Self::Whole(name, size) => Some((name.clone(), *size)),
            Self::LeftOut(..) => None,
        }
    }

    fn left_out(self) -> Option<(Digest, Option<String>)> {
        match self {
            Self::Whole(..) => None,
            Self::LeftOut(digest, why) => Some((digest, why)),
        }
    }
}

/// Whether the run can do without a download that failed.
fn left_out(wanted: &Download, error: Error, missing: Missing) -> Result<Came, Error> {
    let is_missing = matches!(&error, Error::Fetch { source, .. } if source.class() == Class::Missing);
    match (wanted.essential, is_missing, missing) {
        (false, true, Missing::Refused) => {
            Err(Error::MissingReferrer { image: wanted.name.clone(), digest: wanted.blob.digest.clone() })
        }
        (false, true, Missing::LeftOut) => Ok(Came::LeftOut(wanted.blob.digest.clone(), None)),
        (false, false, _) if error.is_broken() => {
            Ok(Came::LeftOut(wanted.blob.digest.clone(), Some(error.in_one_line())))
        }
        (true, ..) | (false, false, _) => Err(error),
    }
}

/// Leaves out what is said about images and does not fit what came, and reports it.
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

/// Puts an item's manifests and tags among the names; makes the manifest of a file or chart.
async fn name_item(
    item: PlannedItem,
    platforms: &[String],
    store: &Store,
    names: &mut Names,
) -> Result<(LockedItem, Option<Local>), Error> {
    if let Some(image) = item.image {
        let size = image.bytes();
        let indexed = image.manifests.get(&image.root).is_some_and(|root| !root.children().is_empty());
        names.blobs.extend(carried(&image).into_iter().map(|blob| blob.digest.clone()));
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
    let (kind, source, repository, tag, artifact, local) = blocking(move || make(wanted, &store)).await?;
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

/// Writes a file for everybody who may read it: whole, or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    private::publish(path, bytes, Existing::Replace, Readers::All)
        .map_err(|source| Error::File { path: path.display().to_string(), source })
}
