//! What has to be fetched, once each, and from where.

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
    /// Where else it may be had, if it is not there: the URLs of a layer that its registry need not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Origin>,
    /// Whether the run cannot do without it: it is not only about an image.
    #[serde(skip)]
    pub(super) essential: bool,
    /// The sizes that other manifests state for it, where what is only said about images names it.
    #[serde(skip)]
    pub(super) sizes: BTreeSet<u64>,
    /// The size that the server of a file announces; 0 when it tells none. Only for the plan and its progress.
    pub announced: u64,
}

impl Download {
    /// Its size; none of a file, which only its checksum tells.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self.origin {
            Origin::Url(_) if self.blob.size == 0 => None,
            Origin::Url(_) | Origin::Registry(..) | Origin::Slice(_) | Origin::Inline(_) => {
                Some(self.blob.size)
            }
        }
    }

    /// Whether it is a layer that its registry need not have.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.blob.media_type.is_foreign() || !self.blob.urls.is_empty()
    }

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
    /// A URL, of which only the name is shown.
    Url(FileUrl),
    /// Bytes within a local file.
    Slice(Slice),
    /// Bytes that stand in the manifest.
    #[serde(skip)]
    Inline(Vec<u8>),
}

/// Downloads by what they bring.
#[derive(Default)]
pub(super) struct Downloads(BTreeMap<Digest, Download>);

impl Downloads {
    pub(super) fn into_list(self) -> Vec<Download> {
        self.0.into_values().collect()
    }

    /// Adds what an image needs and the store lacks; gives the bytes of what no other one asked for. What is said about
    /// the image and can be had nowhere is left out.
    pub(super) fn want_image(
        &mut self,
        config: &MirrorConfig,
        image: &mut ResolvedImage,
        store: &Store,
    ) -> Result<u64, Error> {
        let own = image.own();
        let (mut fetches, mut nowhere) = (0_u64, LeftOut::new());
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
                        nowhere.insert(digest.clone(), Some(error.in_one_line()));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        if !nowhere.is_empty() {
            image.leave_out(nowhere);
        }
        Ok(fetches)
    }

    /// Adds one; gives its bytes if it is the first. What an image itself says of it counts more than what is said about
    /// images.
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

    /// A file of known checksum is fetched like a blob; a local one of unknown checksum is read when its turn comes.
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

/// The blobs of an image to be carried, once each.
pub(super) fn carried(image: &ResolvedImage) -> Vec<&Descriptor> {
    let mut seen = BTreeSet::new();
    let blobs = image.manifests.values().flat_map(complete::blobs);
    blobs.filter(|blob| !image.absent.contains_key(&blob.digest) && seen.insert(&blob.digest)).collect()
}

impl ResolvedImage {
    /// Bytes of all its manifests and blobs.
    pub(super) fn bytes(&self) -> u64 {
        let blobs = carried(self).into_iter().map(|blob| blob.size);
        let manifests = self.manifests.values().map(|manifest| manifest.bytes().len() as u64);
        blobs.chain(manifests).fold(0, u64::saturating_add)
    }
}

/// The bytes that stand in the manifest itself, if they are those of the digest.
fn inline(blob: &Descriptor) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(blob.data.as_ref()?).ok()?;
    (Digest::of(blob.digest.algorithm(), &bytes) == blob.digest).then_some(bytes)
}

/// Where a blob may be had, the first first; there is one at least.
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
        return Err(Error::Layer { image, layer, why: "neither on disk nor at an allowed URL" });
    }
    Ok(origins)
}
