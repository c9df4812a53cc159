//! What references mean now: manifests with everything below and about them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures::stream::{self, StreamExt as _};
use oci::{Content, Digest, Manifest, Platform, Reference, RegistryHost, RepositoryName, Selector, Tag};
use registry::client::Client;
use store::Store;

use super::closure::Closure;
use super::eks::{Eks, instead};
use super::failures::sorted;
use super::{Error, fetch};
use crate::complete;
use crate::config::{ChartLocation, ChartSource, Location, MirrorConfig, Missing, Source};
use crate::lock::{Absence, ItemKind, Lock};
use crate::reporter::Reporter;
use crate::source::archive::{self, Images, Slice};
use crate::source::{Wanted, chosen, is_about, named_after, title_of};

/// Items that are asked for at once.
const AT_ONCE: usize = 8;
/// Manifests of one image with all that is below and about it, and their bytes together.
const MOST_MANIFESTS: usize = 5_000;
const MOST_BYTES: usize = 64 << 20;

/// Something wanted, with what it comes to as far as that is known.
pub(super) struct Resolved {
    pub(super) wanted: Wanted,
    pub(super) image: Option<ResolvedImage>,
}

/// An image with all its manifests.
pub(super) struct ResolvedImage {
    pub(super) kind: ItemKind,
    pub(super) reference: Reference,
    pub(super) repository: RepositoryName,
    pub(super) root: Digest,
    pub(super) manifests: BTreeMap<Digest, Manifest>,
    pub(super) tags: BTreeMap<Tag, Digest>,
    /// What its manifests list and what is not to be carried.
    pub(super) absent: BTreeMap<Digest, Absence>,
    /// What is listed about it and missing.
    pub(super) unavailable: BTreeSet<Digest>,
    /// Where its blobs are, if not in a registry.
    pub(super) slices: Option<BTreeMap<Digest, Slice>>,
}

/// Reads the sources: what do they name?
pub(super) async fn wants(
    config: &MirrorConfig,
    client: &Client,
    known: (&Store, Option<&Lock>),
    reporter: &dyn Reporter,
) -> Result<Vec<Wanted>, Error> {
    let closure = Closure { client, store: known.0, lock: known.1, reporter };
    let eks = Eks { config, client, lock: known.1, reporter };
    let mut wants = Vec::new();
    for source in &config.sources {
        match source {
            Source::EksdRelease(location, bundles, signed) => {
                wants.extend(eks.release(location, bundles.as_ref(), signed).await?);
            }
            Source::PackageBundle(bundle) => wants.extend(eks.bundle(bundle).await?),
            Source::Image(reference) => {
                wants.push(Wanted::Image { kind: ItemKind::Image, reference: reference.clone() });
            }
            Source::Chart(ChartSource { location, images, .. }) => {
                wants.push(chart_want(location));
                if let Some(images) = images {
                    wants.extend(closure.images(location, images).await?);
                }
            }
            Source::Archive(format, path, image, reference) => {
                let all = archive_wants((*format, path), image.as_deref(), reference.as_ref(), closure.store);
                wants.extend(all.await?);
            }
            Source::File(file) => {
                let wanted = file_want(file, config)?;
                if let Wanted::File { location: Location::Url(url), .. } = &wanted
                    && let Some(hidden) = url.hidden()
                {
                    reporter.warn(&format!("{url}: its {hidden} is used to fetch it, and stored nowhere"));
                }
                wants.push(wanted);
            }
        }
    }
    once(wants)
}

/// The image of an archive that is asked for, or all.
async fn archive_wants(
    (format, path): (archive::Format, &std::path::Path),
    image: Option<&str>,
    reference: Option<&Reference>,
    store: &Store,
) -> Result<Vec<Wanted>, Error> {
    let wanted = |image: Option<String>, reference: Reference| Wanted::Archive {
        format,
        path: path.to_owned(),
        image,
        reference,
    };
    if let Some(reference) = reference {
        return Ok(vec![wanted(image.map(str::to_owned), reference.clone())]);
    }
    let (path, scratch) = (path.to_owned(), scratch(store));
    let all = fetch::blocking(move || Images { format, path: &path, scratch: &scratch }.references()).await?;
    Ok(all.into_iter().map(|(image, reference)| wanted(Some(image), reference)).collect())
}

/// Where compressed archives are unpacked: where the store removes what a killed run left.
pub(super) fn scratch(store: &Store) -> std::path::PathBuf {
    store.root().join("uploads")
}

/// Leaves out what is named again; what is named again with another meaning is nobody's to choose.
pub(super) fn once(wants: Vec<Wanted>) -> Result<Vec<Wanted>, Error> {
    let mut kept: Vec<Wanted> = Vec::new();
    let mut places = BTreeMap::new();
    for wanted in wants {
        match places.get(&wanted.place()).map(|place: &usize| kept[*place].agrees(&wanted)) {
            Some(true) => {}
            Some(false) => return Err(Error::Clash(wanted.name())),
            None => {
                places.insert(wanted.place(), kept.len());
                kept.push(wanted);
            }
        }
    }
    Ok(kept)
}

fn chart_want(location: &ChartLocation) -> Wanted {
    match location {
        ChartLocation::Path(path) => Wanted::Chart { path: path.clone() },
        ChartLocation::Reference(reference) => {
            Wanted::Image { kind: ItemKind::Chart, reference: reference.clone() }
        }
    }
}

fn file_want(file: &crate::config::FileSource, config: &MirrorConfig) -> Result<Wanted, Error> {
    let (source, location, default) = match &file.location {
        Location::Url(url) => {
            let place = named_after(url.name());
            let place = if file.name.is_some() { place.ok() } else { Some(place?) };
            (url.name().to_owned(), Location::Url(instead(config, url)?), place)
        }
        Location::Path(path) => (path.display().to_string(), file.location.clone(), None),
    };
    let own = || source.rsplit('/').next().unwrap_or_default().to_owned();
    let name = file.name.clone().unwrap_or_else(own);
    let named = || {
        let tag = crate::source::tag_of(&name).ok_or_else(|| Error::FileName(name.clone()))?;
        Ok::<_, Error>(("files".parse().map_err(Error::Oci)?, tag))
    };
    let (repository, tag) = match (default, &file.name) {
        (Some(place), None) => place,
        _ => named()?,
    };
    let title = match (&file.name, &file.location) {
        (Some(name), _) => name.clone(),
        (None, Location::Url(url)) => title_of(url.name()),
        (None, Location::Path(_)) => name,
    };
    Ok(Wanted::File { source, location, checksums: file.checksums.clone(), repository, tag, title })
}

/// Asks for every image's manifests, several images at once.
pub(super) async fn resolve(
    config: &MirrorConfig,
    client: &Client,
    wants: &[Wanted],
    lock: Option<&Lock>,
    store: &Store,
) -> Result<(Vec<Resolved>, Vec<Error>), Error> {
    let resolving = wants.iter().map(|wanted| async move {
        let image = match wanted {
            Wanted::Image { kind, reference } => {
                let locked = lock.and_then(|lock| {
                    let item = lock.items.iter().find(|item| item.source == reference.to_string())?;
                    Some(item.digest.clone())
                });
                let walk = Walk::new(config, client, *kind, reference)?;
                Some(walk.run(locked).await.map_err(|error| error.about(&reference.to_string()))?)
            }
            Wanted::Archive { format, path, image, reference } => {
                let (format, path, image) = (*format, path.clone(), image.clone());
                let (platforms, scratch) = (config.platforms.clone(), scratch(store));
                let found = fetch::blocking(move || {
                    let images = Images { format, path: &path, scratch: &scratch };
                    images.find(image.as_deref(), &platforms)
                });
                let found = found.await?;
                Some(on_disk(reference, found)?)
            }
            Wanted::File { .. } | Wanted::Chart { .. } => None,
        };
        Ok(Resolved { wanted: wanted.clone(), image })
    });
    sorted(stream::iter(resolving).buffered(AT_ONCE), config.keep_going, Vec::new()).await
}

/// An image from disk, under the name that the mirror file gives it.
fn on_disk(reference: &Reference, found: archive::Found) -> Result<ResolvedImage, Error> {
    let below = reference.host().as_repository().map_err(Error::Oci)?;
    let mut tags = found.tags;
    tags.extend(reference.tag().map(|tag| (tag.clone(), found.root.clone())));
    Ok(ResolvedImage {
        kind: ItemKind::Image,
        reference: reference.clone(),
        repository: reference.repository().below(&below).map_err(Error::Oci)?,
        root: found.root,
        manifests: found.manifests,
        tags,
        absent: found.absent,
        unavailable: BTreeSet::new(),
        slices: Some(found.blobs),
    })
}

/// The walk over one image.
struct Walk<'a> {
    config: &'a MirrorConfig,
    client: &'a Client,
    host: &'a RegistryHost,
    image: ResolvedImage,
    /// Manifests to be looked at.
    open: VecDeque<Manifest>,
    /// Bytes of all manifests.
    bytes: usize,
}

impl<'a> Walk<'a> {
    fn new(
        config: &'a MirrorConfig,
        client: &'a Client,
        kind: ItemKind,
        reference: &'a Reference,
    ) -> Result<Self, Error> {
        let host = reference.host();
        let below = host.as_repository().map_err(Error::Oci)?;
        let image = ResolvedImage {
            kind,
            reference: reference.clone(),
            repository: reference.repository().below(&below).map_err(Error::Oci)?,
            root: Digest::sha256(b""),
            manifests: BTreeMap::new(),
            tags: BTreeMap::new(),
            absent: BTreeMap::new(),
            unavailable: BTreeSet::new(),
            slices: None,
        };
        Ok(Self { config, client, host, image, open: VecDeque::new(), bytes: 0 })
    }

    async fn run(mut self, locked: Option<Digest>) -> Result<ResolvedImage, Error> {
        let selector = locked.map_or_else(|| self.image.reference.selector(), Selector::Digest);
        let root = self.manifest(&selector).await?;
        let root = root.ok_or_else(|| Error::NotFound(self.image.reference.to_string()))?;
        self.image.root = match &selector {
            Selector::Digest(digest) => digest.clone(),
            Selector::Tag(_) => root.digest(),
        };
        if let Some(tag) = self.image.reference.tag() {
            self.image.tags.insert(tag.clone(), self.image.root.clone());
        }
        self.take(self.image.root.clone(), root)?;
        while let Some(manifest) = self.open.pop_front() {
            self.children(&manifest).await?;
            if self.config.follow {
                self.attached(&manifest.digest()).await?;
            }
        }
        Ok(self.image)
    }

    async fn manifest(&self, selector: &Selector) -> Result<Option<Manifest>, Error> {
        let repository = self.image.reference.repository();
        self.client.manifest(self.host, repository, selector).await.map_err(|error| match error {
            registry::client::Error::Unsupported { reference, kind } => {
                Error::Unsupported { reference, kind }
            }
            error => Error::Client(error),
        })
    }

    async fn add(&mut self, digest: &Digest) -> Result<(), Error> {
        if self.image.manifests.contains_key(digest) {
            return Ok(());
        }
        let (image, digest) = (self.image.reference.to_string(), digest.clone());
        match self.manifest(&Selector::Digest(digest.clone())).await? {
            Some(manifest) => self.take(digest, manifest),
            None => Err(Error::Missing { image, digest }),
        }
    }

    /// Adds something that is said about the image. What is listed and missing may be tolerated; what cannot be asked
    /// never is.
    async fn add_about(&mut self, digest: &Digest) -> Result<(), Error> {
        match self.add(digest).await {
            Err(Error::Missing { image, digest }) => match self.config.missing {
                Missing::LeftOut => {
                    self.image.unavailable.insert(digest);
                    Ok(())
                }
                Missing::Refused => Err(Error::MissingReferrer { image, digest }),
            },
            outcome => outcome,
        }
    }

    /// Adds what is listed as a referrer of a subject, if it says so itself: anything can stand in a list under a tag, the
    /// subject's own platforms among it.
    async fn add_referrer(&mut self, digest: &Digest, subject: &Digest) -> Result<(), Error> {
        if self.image.manifests.contains_key(digest) {
            return Ok(());
        }
        let Some(manifest) = self.manifest(&Selector::Digest(digest.clone())).await? else {
            return self.add_about(digest).await;
        };
        if manifest.subject().is_none_or(|found| found.digest != *subject) {
            tracing::warn!(%digest, %subject, "not mirrored: it is listed as a referrer, and refers to something else");
            return Ok(());
        }
        self.take(digest.clone(), manifest)
    }

    /// Takes a manifest, to be looked at. An index or a list of referrers may name any number of others.
    fn take(&mut self, digest: Digest, manifest: Manifest) -> Result<(), Error> {
        let size = manifest.bytes().len();
        if self.image.manifests.insert(digest, manifest.clone()).is_none() {
            self.bytes += size;
            self.open.push_back(manifest);
        }
        let (limit, what) = match (self.image.manifests.len() > MOST_MANIFESTS, self.bytes > MOST_BYTES) {
            (true, _) => (MOST_MANIFESTS, "manifests"),
            (_, true) => (MOST_BYTES, "bytes of manifests"),
            _ => return Ok(()),
        };
        Err(Error::TooMany { reference: self.image.reference.to_string(), limit, what })
    }

    async fn children(&mut self, manifest: &Manifest) -> Result<(), Error> {
        let Content::Index(index) = manifest.content() else { return Ok(()) };
        let reference = self.image.reference.to_string();
        if let Some(kind) = index.manifests.iter().find_map(|child| child.media_type.unsupported()) {
            return Err(Error::Unsupported { reference, kind });
        }
        let chosen = chosen(manifest, &self.config.platforms);
        let left_out = complete::children(manifest).filter(|child| !chosen.contains(&child.digest));
        self.image.absent.extend(left_out.map(|child| (child.digest.clone(), Absence::Platform)));
        if chosen.is_empty() && complete::children(manifest).next().is_some() {
            let wanted: Vec<_> = self.config.platforms.iter().map(Platform::to_string).collect();
            return Err(Error::NoPlatform { reference, wanted: wanted.join(", ") });
        }
        for digest in chosen {
            let child = index.manifests.iter().find(|child| child.digest == digest);
            if child.is_some_and(is_about) {
                self.add_about(&digest).await?;
            } else {
                self.add(&digest).await?;
            }
        }
        Ok(())
    }

    /// Signatures, attestations and SBOMs: cosign's tags, and referrers.
    async fn attached(&mut self, subject: &Digest) -> Result<(), Error> {
        for suffix in ["sig", "att", "sbom"] {
            let Ok(tag) = Tag::of_attachment(subject, suffix) else { continue };
            if let Some(manifest) = self.manifest(&Selector::Tag(tag.clone())).await? {
                let digest = manifest.digest();
                self.image.tags.insert(tag, digest.clone());
                self.take(digest, manifest)?;
            }
        }
        let repository = self.image.reference.repository();
        let referrers = self.client.referrers(self.host, repository, subject).await.map_err(Error::Client)?;
        for referrer in referrers {
            self.add_referrer(&referrer.digest, subject).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_named_twice_is_taken_once_and_never_with_two_meanings() {
        let file = |name: &str| Wanted::File {
            source: "notice.txt".into(),
            location: Location::Path("notice.txt".into()),
            checksums: Vec::new(),
            repository: "files".parse().unwrap(),
            tag: name.parse().unwrap(),
            title: name.to_owned(),
        };
        let reference: Reference = "r.example/a/b:v1".parse().unwrap();
        let image = |kind| Wanted::Image { kind, reference: reference.clone() };
        assert_eq!(once(vec![file("one"), file("one")]).unwrap().len(), 1);
        assert_eq!(once(vec![image(ItemKind::Image), image(ItemKind::Chart)]).unwrap().len(), 1);
        assert!(
            matches!(once(vec![file("one"), file("two")]), Err(Error::Clash(name)) if name == "notice.txt")
        );
        let (format, path) = (archive::Format::OciArchive, "a.tar".into());
        let on_disk = Wanted::Archive { format, path, image: None, reference: reference.clone() };
        assert!(matches!(once(vec![image(ItemKind::Image), on_disk]), Err(Error::Clash(_))));
    }
}
