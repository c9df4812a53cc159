//! Decides what a run fetches.

use std::collections::{BTreeMap, BTreeSet};

use oci::{Digest, RepositoryName, Selector, Tag};
use store::Store;

use super::downloads::Downloads;
pub use super::downloads::{Download, Origin};
use super::named::{is_gathered, is_named, moved};
use super::names::Settings;
use super::resolve::{Resolved, ResolvedImage};
use super::{Error, ItemReport, MirrorReport, Totals, local, provenance};
use crate::MovedTag;
use crate::complete;
use crate::config::{MirrorConfig, Missing};
use crate::lock::{Absence, ItemKind, Lock, LockedBlob, LockedItem, LockedRepository, Unavailable, VERSION};
use crate::reporter::State;
use crate::source::{Wanted, artifact};

/// The plan of a run.
pub struct MirrorPlan {
    /// The settings of the mirror file that the lock records.
    pub(super) settings: Settings,
    /// The requested platforms.
    pub(super) platforms: Vec<String>,
    /// The items that were made here and are kept from the previous lock.
    pub(super) made: Vec<LockedItem>,
    /// The lock, if the store satisfies it, so that there is nothing to do.
    pub(super) satisfied: Option<Lock>,
    /// All items, in the mirror file's order.
    pub(super) items: Vec<PlannedItem>,
    /// The blobs to fetch, each once.
    pub downloads: Vec<Download>,
    /// Tags of images that point to another digest in the store.
    pub(super) moved: Vec<MovedTag>,
    /// Referrers that are listed but left out.
    pub(super) unavailable: BTreeSet<Unavailable>,
    /// How to handle referrers that are listed but missing.
    pub(super) missing: Missing,
    /// Whether to continue after a failure.
    pub(super) keep_going: bool,
    /// Failures so far, with `keep_going`.
    pub failed: Vec<Error>,
}

pub(super) struct PlannedItem {
    pub(super) report: ItemReport,
    pub(super) image: Option<ResolvedImage>,
    pub(super) wanted: Option<Wanted>,
    /// The size of the blobs to fetch for this item, in bytes.
    pub(super) fetches: u64,
}

impl MirrorPlan {
    /// The total size that servers announced for files.
    pub(super) fn announced(&self) -> u64 {
        self.downloads.iter().map(|download| download.announced).fold(0, u64::saturating_add)
    }

    /// Checks that the whole mirror file could be planned.
    ///
    /// # Errors
    /// The failures during planning.
    pub fn check(self) -> Result<(), Error> {
        if self.failed.is_empty() { Ok(()) } else { Err(Error::of(self.failed)) }
    }

    /// The expected result of the run. Sizes are as stated by registries, so their sum may overflow.
    #[must_use]
    pub fn report(&self) -> MirrorReport {
        let mut totals = Totals::default();
        let add = |total: &mut u64, bytes: u64| *total = total.saturating_add(bytes);
        for item in &self.items {
            match item.report.state {
                State::Present => add(&mut totals.present_bytes, item.report.bytes),
                State::Reused | State::Verified | State::Fetched => {
                    add(&mut totals.reused_bytes, item.report.bytes.saturating_sub(item.fetches));
                    add(&mut totals.fetched_bytes, item.fetches);
                }
            }
        }
        add(&mut totals.fetched_bytes, self.announced());
        totals.verified_bytes = totals.fetched_bytes;
        let items = self.items.iter().map(|item| item.report.clone()).collect();
        let (moved, unavailable) = (self.moved.clone(), self.unavailable.clone());
        MirrorReport { items, totals, moved, unavailable }
    }
}

/// The plan for a lock that the store satisfies: nothing to do. `None` if content is missing, or the mirror file
/// requests content that the lock lacks.
pub(super) fn satisfied(
    config: &MirrorConfig,
    wants: &[Wanted],
    lock: Lock,
    store: &Store,
) -> Result<Option<MirrorPlan>, Error> {
    let platforms: Vec<String> = config.platforms.iter().map(ToString::to_string).collect();
    let mut items = Vec::new();
    for wanted in wants {
        let source = wanted.name();
        let Some(item) = lock.items.iter().find(|item| item.source == source) else { return Ok(None) };
        if item.kind == ItemKind::Image && item.platforms != platforms {
            return Ok(None);
        }
        if !still_requested(wanted, item, &lock) || !local::is_unchanged(config, wanted, item, &lock, store)?
        {
            return Ok(None);
        }
        let digest = Some(item.digest.to_string());
        let report = ItemReport { source, digest, state: State::Present, bytes: item.size };
        items.push(PlannedItem { report, image: None, wanted: None, fetches: 0 });
    }
    if lock.items.len() != wants.len() + lock.made_here().count()
        || lock.name != config.name
        || lock.follow != config.follow
        || lock.version != VERSION
        || lock.unverified != config.unverified()
        || !as_declared(config, &lock)
        || lacks_required(config, &lock)
    {
        return Ok(None);
    }
    if !has_content(&lock.repositories, store)? {
        return Ok(None);
    }
    provenance::check_stored(config, &lock, store)?;
    Ok(Some(MirrorPlan {
        settings: settings(config),
        platforms,
        made: Vec::new(),
        items,
        downloads: Vec::new(),
        moved: Vec::new(),
        unavailable: lock.unavailable.clone(),
        satisfied: Some(lock),
        missing: config.missing,
        keep_going: config.keep_going,
        failed: Vec::new(),
    }))
}

/// Whether the store has the locked content, completely and under its names.
fn has_content(repositories: &[LockedRepository], store: &Store) -> Result<bool, Error> {
    for repository in repositories {
        for manifest in &repository.manifests {
            let selector = Selector::Digest(manifest.digest.clone());
            let named = store.resolve(&repository.name, &selector)?.is_some();
            let blobs = manifest.blobs.iter().map(|blob| (&blob.digest, blob.size));
            let mut contents = std::iter::once((&manifest.digest, manifest.size)).chain(blobs);
            let whole = contents.try_fold(true, |whole, (digest, size)| {
                Ok::<_, Error>(whole && store.has_blob(digest)? == Some(size))
            })?;
            if !named || !whole {
                return Ok(false);
            }
        }
        for tag in &repository.tags {
            let found = store.resolve(&repository.name, &Selector::Tag(tag.tag.clone()))?;
            let moved = found.is_none_or(|row| row.digest != tag.digest);
            if moved && !is_gathered(&repository.name, tag, repository, store)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn settings(config: &MirrorConfig) -> Settings {
    let (name, unverified, keyrings) = (config.name.clone(), config.unverified(), config.keyrings());
    Settings { name, follow: config.follow, unverified, keyrings }
}

/// Whether a referrer was left out because it was missing, and the mirror file no longer allows that.
fn lacks_required(config: &MirrorConfig, lock: &Lock) -> bool {
    let is_missing = |left_out: &Unavailable| left_out.broken.is_none();
    config.missing == Missing::Refused && lock.unavailable.iter().any(is_missing)
}

/// Whether the layers that were left out are those that the mirror file declares absent now.
fn as_declared(config: &MirrorConfig, lock: &Lock) -> bool {
    let manifests = || lock.repositories.iter().flat_map(|repository| &repository.manifests);
    let absent: BTreeSet<_> = manifests()
        .flat_map(|manifest| &manifest.absent)
        .filter(|absent| absent.why == Absence::Declared)
        .map(|absent| &absent.digest)
        .collect();
    let declared: BTreeSet<_> = config.foreign.absent.iter().map(|(_, layer)| layer).collect();
    let is_included =
        |layer: &&Digest| manifests().flat_map(|manifest| &manifest.blobs).any(|blob| blob.digest == **layer);
    absent.is_subset(&declared) && !declared.difference(&absent).any(is_included)
}

/// Whether a locked file has the name and a checksum that the mirror file states now; if not, it is resolved again.
fn still_requested(wanted: &Wanted, item: &LockedItem, lock: &Lock) -> bool {
    let Wanted::File { checksums, repository, tag, title, .. } = wanted else { return true };
    let manifests = lock.repositories.iter().flat_map(|repository| &repository.manifests);
    let mut blobs =
        manifests.filter(|manifest| manifest.digest == item.digest).flat_map(|found| &found.blobs);
    let made_of = |blob: &LockedBlob| {
        let made = artifact(title, &blob.digest, blob.size);
        made.is_ok_and(|made| made.manifest.digest() == item.digest)
            && (checksums.is_empty() || checksums.contains(&blob.digest))
    };
    (&item.repository, item.tag.as_ref()) == (repository, Some(tag)) && blobs.any(made_of)
}

/// The tags of all images, by repository.
type Tags = BTreeMap<(RepositoryName, Tag), Digest>;

/// Adds an image's tags. A tag cannot point to two digests.
fn add_tags(image: &ResolvedImage, tags: &mut Tags) -> Result<(), Error> {
    for (tag, digest) in &image.tags {
        let key = (image.repository.clone(), tag.clone());
        if tags.insert(key, digest.clone()).is_some_and(|before| before != *digest) {
            return Err(Error::Clash(format!("{}:{tag}", image.repository)));
        }
    }
    Ok(())
}

/// The plan for resolved items.
pub(super) fn plan(
    config: &MirrorConfig,
    resolved: Vec<Resolved>,
    store: &Store,
) -> Result<MirrorPlan, Error> {
    let mut downloads = Downloads::default();
    let mut tags = Tags::new();
    let (mut items, mut unavailable) = (Vec::new(), BTreeSet::new());
    for Resolved { wanted, image } in resolved {
        let (mut fetches, mut bytes) = (0_u64, 0_u64);
        let mut image = image.map(|image| declare(config, image));
        if let Some(image) = &mut image {
            fetches = downloads.want_image(config, image, store)?;
            unavailable.extend(image.reported());
            add_tags(image, &mut tags)?;
            bytes = image.bytes();
        }
        downloads.want_file(&wanted, store)?;
        let named = image.as_ref().map_or(Ok(false), |image| is_named(image, store))?;
        let state = match (fetches, named) {
            (0, true) => State::Present,
            (0, false) if image.is_some() => State::Reused,
            _ => State::Fetched,
        };
        let digest = image.as_ref().map(|image| image.root.to_string());
        let report = ItemReport { source: wanted.name(), digest, state, bytes };
        items.push(PlannedItem { report, image, wanted: Some(wanted), fetches });
    }
    let platforms = config.platforms.iter().map(ToString::to_string).collect();
    let downloads = downloads.into_list();
    let moved = moved(tags.iter().map(|((repository, tag), digest)| (repository, tag, digest)), store)?;
    let (settings, made) = (settings(config), Vec::new());
    let (satisfied, keep_going, failed) = (None, config.keep_going, Vec::new());
    Ok(MirrorPlan {
        settings,
        platforms,
        made,
        satisfied,
        items,
        downloads,
        moved,
        unavailable,
        missing: config.missing,
        keep_going,
        failed,
    })
}

/// Marks the layers of an image that the mirror file declares absent.
fn declare(config: &MirrorConfig, mut image: ResolvedImage) -> ResolvedImage {
    let layers = image.manifests.values().flat_map(complete::blobs);
    let declared: Vec<_> = layers
        .filter(|layer| config.is_declared_absent(&image.reference, &layer.digest))
        .map(|layer| (layer.digest.clone(), Absence::Declared))
        .collect();
    image.absent.extend(declared);
    image
}
