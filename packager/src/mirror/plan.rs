//! Decides what has to be fetched.

use std::collections::{BTreeMap, BTreeSet};

use oci::{Descriptor, Digest, Manifest, RegistryHost, RepositoryName, Selector, Tag};
use serde::Serialize;
use store::Store;

use super::resolve::{Resolved, ResolvedImage};
use super::{Error, ItemReport, MirrorReport, Totals, local};
use crate::config::{Location, MirrorConfig, Missing};
use crate::lock::{ItemKind, Lock, LockedItem, Unavailable};
use crate::reporter::State;
use crate::source::Wanted;
use crate::source::archive::Slice;

/// A run that only has to be done.
pub struct MirrorPlan {
    /// The set's name.
    pub(super) name: String,
    /// The platforms asked for.
    pub(super) platforms: Vec<String>,
    /// Whether signatures, attestations and SBOMs come along.
    pub(super) follow: bool,
    /// Whether the lock is satisfied and nothing is to be done.
    pub done: bool,
    /// Every item, in the mirror file's order.
    pub(super) items: Vec<PlannedItem>,
    /// Blobs to be fetched, once each.
    pub downloads: Vec<Download>,
    /// What is listed about images and missing, and tolerated.
    pub(super) unavailable: BTreeSet<Unavailable>,
    /// Whether a failure leaves the rest to be done.
    pub(super) keep_going: bool,
    /// What failed already, with `keep_going`.
    pub failed: Vec<Error>,
}

pub(super) struct PlannedItem {
    pub(super) report: ItemReport,
    pub(super) image: Option<ResolvedImage>,
    pub(super) wanted: Option<Wanted>,
    /// Blobs that this item brings.
    pub(super) fetches: u64,
}

/// A blob to be fetched.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Download {
    /// What for, for messages.
    pub name: String,
    /// The blob; of a file, its size is unknown and 0.
    pub blob: Descriptor,
    /// Where it comes from.
    pub origin: Origin,
    /// The size that the server of a file announces; 0 when it tells none. Only for the plan and its progress.
    pub announced: u64,
}

impl Download {
    /// How many bytes this is, as far as that is known.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blob.size.max(self.announced)
    }
}

/// Where a blob comes from.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// A registry.
    Registry(RegistryHost, RepositoryName),
    /// A URL.
    Url(String),
    /// Bytes within a local file.
    Slice(Slice),
}

impl MirrorPlan {
    /// Bytes of files whose size is only announced.
    pub(super) fn announced(&self) -> u64 {
        self.downloads.iter().map(|download| download.announced).fold(0, u64::saturating_add)
    }

    /// Whether all of the mirror file could be planned.
    ///
    /// # Errors
    /// What failed and left the rest to be planned.
    pub fn check(self) -> Result<(), Error> {
        if self.failed.is_empty() { Ok(()) } else { Err(Error::of(self.failed)) }
    }

    /// What the run would do, by what is known before it. Sizes are a registry's word: their sum may be any number.
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
        MirrorReport { items, totals, unavailable: self.unavailable.clone() }
    }
}

/// The plan for a lock that the store satisfies: nothing to do. `None` if something is missing, or the mirror
/// file asks for something that the lock lacks.
pub(super) fn satisfied(
    config: &MirrorConfig,
    wants: &[Wanted],
    lock: &Lock,
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
        if !still_asked_for(wanted, item, lock) || !local::is_unchanged(config, wanted, item, lock)? {
            return Ok(None);
        }
        let digest = Some(item.digest.to_string());
        let report = ItemReport { source, digest, state: State::Present, bytes: item.size };
        items.push(PlannedItem { report, image: None, wanted: None, fetches: 0 });
    }
    if config.missing == Missing::Refused && !lock.unavailable.is_empty() {
        return Ok(None);
    }
    if lock.items.len() != wants.len() || lock.name != config.name || lock.follow != config.follow {
        return Ok(None);
    }
    for repository in &lock.repositories {
        for manifest in &repository.manifests {
            let selector = Selector::Digest(manifest.digest.clone());
            let named = store.resolve(&repository.name, &selector)?.is_some();
            let blobs = manifest.blobs.iter().map(|blob| (&blob.digest, blob.size));
            let mut contents = std::iter::once((&manifest.digest, manifest.size)).chain(blobs);
            let whole = contents.try_fold(true, |whole, (digest, size)| {
                Ok::<_, Error>(whole && store.has_blob(digest)? == Some(size))
            })?;
            if !named || !whole {
                return Ok(None);
            }
        }
        for tag in &repository.tags {
            let found = store.resolve(&repository.name, &Selector::Tag(tag.tag.clone()))?;
            if found.is_none_or(|row| row.digest != tag.digest) {
                return Ok(None);
            }
        }
    }
    Ok(Some(MirrorPlan {
        name: config.name.clone(),
        platforms,
        follow: config.follow,
        done: true,
        items,
        downloads: Vec::new(),
        unavailable: lock.unavailable.clone(),
        keep_going: config.keep_going,
        failed: Vec::new(),
    }))
}

/// Whether a locked file has the name and a checksum that the mirror file gives now; if not, it is looked at anew.
fn still_asked_for(wanted: &Wanted, item: &LockedItem, lock: &Lock) -> bool {
    let Wanted::File { checksums, repository, tag, .. } = wanted else { return true };
    let manifests = lock.repositories.iter().flat_map(|repository| &repository.manifests);
    let mut blobs =
        manifests.filter(|manifest| manifest.digest == item.digest).flat_map(|found| &found.blobs);
    (&item.repository, item.tag.as_ref()) == (repository, Some(tag))
        && (checksums.is_empty() || blobs.any(|blob| checksums.contains(&blob.digest)))
}

/// The plan for what was resolved.
pub(super) fn plan(
    config: &MirrorConfig,
    resolved: Vec<Resolved>,
    store: &Store,
) -> Result<MirrorPlan, Error> {
    let mut downloads: BTreeMap<Digest, Download> = BTreeMap::new();
    let mut tags: BTreeMap<(RepositoryName, Tag), Digest> = BTreeMap::new();
    let (mut items, mut unavailable) = (Vec::new(), BTreeSet::new());
    for Resolved { wanted, image } in resolved {
        let mut fetches = 0_u64;
        let mut bytes = 0_u64;
        if let Some(image) = &image {
            let name = image.reference.to_string();
            let missing = image.unavailable.iter();
            unavailable
                .extend(missing.map(|digest| Unavailable { image: name.clone(), digest: digest.clone() }));
            for (tag, digest) in &image.tags {
                let place = (image.repository.clone(), tag.clone());
                if tags.insert(place, digest.clone()).is_some_and(|before| before != *digest) {
                    return Err(Error::Clash(format!("{}:{tag}", image.repository)));
                }
            }
            for blob in carried(image.manifests.values()) {
                bytes = bytes.saturating_add(blob.size);
                if store.has_blob(&blob.digest)? != Some(blob.size) && !downloads.contains_key(&blob.digest) {
                    fetches = fetches.saturating_add(blob.size);
                    let origin = origin(image, &blob.digest)?;
                    let name = image.reference.to_string();
                    downloads.insert(
                        blob.digest.clone(),
                        Download { name, blob: blob.clone(), origin, announced: 0 },
                    );
                }
            }
            let manifests = image.manifests.values().map(|manifest| manifest.bytes().len() as u64);
            bytes = manifests.fold(bytes, u64::saturating_add);
        }
        plan_file(&wanted, store, &mut downloads)?;
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
    let downloads = downloads.into_values().collect();
    let (name, follow) = (config.name.clone(), config.follow);
    let (done, keep_going, failed) = (false, config.keep_going, Vec::new());
    Ok(MirrorPlan { name, platforms, follow, done, items, downloads, unavailable, keep_going, failed })
}

fn origin(image: &ResolvedImage, digest: &Digest) -> Result<Origin, Error> {
    match &image.slices {
        None => Ok(Origin::Registry(image.reference.host().clone(), image.reference.repository().clone())),
        Some(slices) => {
            let slice = slices.get(digest).ok_or_else(|| Error::NotFound(digest.to_string()))?;
            Ok(Origin::Slice(slice.clone()))
        }
    }
}

/// A file of known checksum is fetched like a blob; a local one of unknown checksum is read when its turn comes.
fn plan_file(
    wanted: &Wanted,
    store: &Store,
    downloads: &mut BTreeMap<Digest, Download>,
) -> Result<(), Error> {
    let Wanted::File { source, location: Location::Url(url), checksums, .. } = wanted else { return Ok(()) };
    let Some(digest) = checksums.first() else { return Ok(()) };
    if store.has_blob(digest)?.is_none() {
        let kind = "application/octet-stream".parse().map_err(Error::Oci)?;
        let blob = Descriptor::new(kind, digest.clone(), 0);
        let origin = Origin::Url(url.clone());
        let download = Download { name: source.clone(), blob, origin, announced: 0 };
        downloads.insert(digest.clone(), download);
    }
    Ok(())
}

/// Whether the store has the image already under all its names.
fn is_named(image: &ResolvedImage, store: &Store) -> Result<bool, Error> {
    for digest in image.manifests.keys() {
        if store.resolve(&image.repository, &Selector::Digest(digest.clone()))?.is_none() {
            return Ok(false);
        }
    }
    for (tag, digest) in &image.tags {
        let found = store.resolve(&image.repository, &Selector::Tag(tag.clone()))?;
        if found.is_none_or(|row| row.digest != *digest) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The blobs that travel, once each: not those that may not be distributed.
pub(super) fn carried<'a>(manifests: impl Iterator<Item = &'a Manifest>) -> Vec<&'a Descriptor> {
    let mut seen = BTreeSet::new();
    manifests
        .flat_map(Manifest::blobs)
        .filter(|blob| !blob.media_type.is_foreign() && blob.urls.is_empty() && seen.insert(&blob.digest))
        .collect()
}
