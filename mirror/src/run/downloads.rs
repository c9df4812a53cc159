//! The blobs to fetch, each once, with their origins.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::{Descriptor, Digest, RegistryHost, RepositoryName};
use serde::Serialize;
use store::Store;

use super::Error;
use super::about::LeftOut;
use super::resolve::ResolvedImage;
use crate::complete;
use crate::config::{Location, MirrorConfig};
use crate::source::archive::Slice;
use crate::source::{FileUrl, Wanted};

/// A blob to fetch.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Download {
    /// The item that needs it, for messages.
    pub name: String,
    /// The blob; the size of a file is unknown and set to 0.
    pub blob: Descriptor,
    /// Its origin.
    pub origin: Origin,
    /// Alternative origins: the URLs of a layer that its registry may lack.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Origin>,
    /// Whether the run requires it: not only referrers need it.
    #[serde(skip)]
    pub(super) essential: bool,
    /// The sizes that other manifests state for it, if only referrers list it.
    #[serde(skip)]
    pub(super) sizes: BTreeSet<u64>,
    /// The size of a file that its server announces; 0 if it announces none. Only for the plan and its progress.
    pub announced: u64,
}

impl Download {
    /// Its size; `None` for a file, which only its checksum identifies.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self.origin {
            Origin::Url(_) if self.blob.size == 0 => None,
            Origin::Url(_) | Origin::Registry(..) | Origin::Slice(_) | Origin::Inline(_) => {
                Some(self.blob.size)
            }
        }
    }

    /// Whether it is a layer that its registry may lack.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.blob.media_type.is_foreign() || !self.blob.urls.is_empty()
    }

    /// Its size in bytes, as far as known.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blob.size.max(self.announced)
    }
}

/// The origin of a blob.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// A registry.
    Registry(RegistryHost, RepositoryName),
    /// A URL, shown without its secrets.
    Url(FileUrl),
    /// Bytes within a local file.
    Slice(Slice),
    /// Bytes that are embedded in the manifest.
    #[serde(skip)]
    Inline(Vec<u8>),
}

/// Downloads, by digest.
#[derive(Default)]
pub(super) struct Downloads(BTreeMap<Digest, Download>);

impl Downloads {
    pub(super) fn into_list(self) -> Vec<Download> {
        self.0.into_values().collect()
    }

    /// Adds the blobs of an image that the store lacks, and returns the size of those that no other image needs.
    /// Referrers without an origin are left out.
    pub(super) fn want_image(
        &mut self,
        config: &MirrorConfig,
        image: &mut ResolvedImage,
        store: &Store,
    ) -> Result<u64, Error> {
        let own = image.own();
        let (mut fetches, mut unavailable) = (0_u64, LeftOut::new());
        for (digest, manifest) in &image.manifests {
            let essential = own.contains(digest);
            for blob in complete::blobs(manifest).filter(|blob| !image.absent.contains_key(&blob.digest)) {
                if store.has_blob(&blob.digest)? == Some(blob.size) {
                    continue;
                }
                match origins(config, image, blob) {
                    Ok(mut origins) => {
                        let origin = origins.remove(0);
                        fetches = fetches.saturating_add(self.want(Download {
                            name: image.reference.to_string(),
                            blob: blob.clone(),
                            origin,
                            others: origins,
                            essential,
                            sizes: BTreeSet::new(),
                            announced: 0,
                        }));
                    }
                    Err(error) if !essential && error.is_broken() => {
                        unavailable.insert(digest.clone(), Some(error.in_one_line()));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        if !unavailable.is_empty() {
            image.leave_out(unavailable);
        }
        Ok(fetches)
    }

    /// Adds a download; returns its size if it is the first for its digest. A descriptor in an image takes precedence over
    /// one in a referrer.
    fn want(&mut self, new: Download) -> u64 {
        let Some(known) = self.0.get_mut(&new.blob.digest) else {
            let size = new.blob.size;
            self.0.insert(new.blob.digest.clone(), new);
            return size;
        };
        let size = new.blob.size;
        if new.essential && !known.essential {
            *known = new;
        } else if known.blob.size != size && !known.essential {
            known.sizes.insert(size);
        }
        0
    }

    /// Adds a file with a checksum, which is fetched like a blob. A local file without one is read later.
    pub(super) fn want_file(&mut self, wanted: &Wanted, store: &Store) -> Result<(), Error> {
        let Wanted::File { source, location: Location::Url(url), checksums, .. } = wanted else {
            return Ok(());
        };
        let Some(digest) = checksums.first() else { return Ok(()) };
        if store.has_blob(digest)?.is_none() {
            let kind = "application/octet-stream".parse().map_err(Error::Oci)?;
            let download = Download {
                name: source.clone(),
                blob: Descriptor::new(kind, digest.clone(), 0),
                origin: Origin::Url(url.clone()),
                others: Vec::new(),
                essential: true,
                sizes: BTreeSet::new(),
                announced: 0,
            };
            self.0.insert(digest.clone(), download);
        }
        Ok(())
    }
}

/// The blobs of an image to include, each once.
pub(super) fn included_blobs(image: &ResolvedImage) -> Vec<&Descriptor> {
    let mut seen = BTreeSet::new();
    let blobs = image.manifests.values().flat_map(complete::blobs);
    blobs.filter(|blob| !image.absent.contains_key(&blob.digest) && seen.insert(&blob.digest)).collect()
}

impl ResolvedImage {
    /// The size of all its manifests and blobs, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let blobs = included_blobs(self).into_iter().map(|blob| blob.size);
        let manifests = self.manifests.values().map(|manifest| manifest.bytes().len() as u64);
        blobs.chain(manifests).fold(0, u64::saturating_add)
    }
}

/// The bytes that are embedded in the manifest, if they match the digest.
fn inline(blob: &Descriptor) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(blob.data.as_ref()?).ok()?;
    (Digest::of(blob.digest.algorithm(), &bytes) == blob.digest).then_some(bytes)
}

/// The origins of a blob in the order of preference; at least one.
fn origins(config: &MirrorConfig, image: &ResolvedImage, blob: &Descriptor) -> Result<Vec<Origin>, Error> {
    let inline = inline(blob).map(Origin::Inline);
    let mut origins: Vec<Origin> = inline.into_iter().collect();
    match &image.slices {
        None => origins
            .push(Origin::Registry(image.reference.host().clone(), image.reference.repository().clone())),
        Some(slices) => origins.extend(slices.get(&blob.digest).cloned().map(Origin::Slice)),
    }
    origins.extend(config.layer_urls(blob).into_iter().map(Origin::Url));
    if origins.is_empty() {
        let (image, layer) = (image.reference.to_string(), blob.digest.clone());
        return Err(Error::Layer { image, layer, reason: "neither on disk nor at an allowed URL" });
    }
    Ok(origins)
}
