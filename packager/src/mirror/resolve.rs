//! What references mean now: manifests with everything below and about them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures::stream::{self, StreamExt as _};
use oci::{Content, Digest, Manifest, Platform, Reference, RegistryHost, RepositoryName, Selector, Tag};
use registry::client::{Client, shown_url};
use store::Store;

use super::closure::Closure;
use super::failures::sorted;
use super::{Error, fetch};
use crate::config::{BundleLocation, ChartLocation, Location, MirrorConfig, Missing, Source};
use crate::lock::{ItemKind, Lock};
use crate::reporter::Reporter;
use crate::source::archive::{self, Slice};
use crate::source::{Wanted, bundle_wants, chosen, is_about, named_after, release_wants};

/// Items that are asked for at once.
const AT_ONCE: usize = 8;
/// Manifests of one image with all that is below and about it, and their bytes together.
const MOST_MANIFESTS: usize = 5_000;
const MOST_BYTES: usize = 64 << 20;
/// An EKS manifest is not larger than this.
const MOST_TEXT: u64 = 16 << 20;

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
    let mut wants = Vec::new();
    for source in &config.sources {
        match source {
            Source::EksdRelease(location) => {
                let (name, text) = text(config, client, location).await?;
                let (found, others) = release_wants(&text, &name, config)?;
                if !others.is_empty() {
                    reporter.warn(&format!("{name}: not mirrored, of another type: {}", others.join(", ")));
                }
                wants.extend(found);
            }
            Source::PackageBundle(location, host, prefix) => {
                let (name, text) = match location {
                    BundleLocation::Path(path) => {
                        text_of(&Location::Path(path.clone()), config, client).await?
                    }
                    BundleLocation::Reference(reference) => {
                        wants.push(Wanted::Image { kind: ItemKind::Bundle, reference: reference.clone() });
                        (reference.to_string(), bundle_text(client, reference).await?)
                    }
                };
                wants.extend(bundle_wants(&text, &name, host, prefix.as_ref())?);
            }
            Source::Image(reference) => {
                wants.push(Wanted::Image { kind: ItemKind::Image, reference: reference.clone() });
            }
            Source::Chart(location, images) => {
                wants.push(chart_want(location));
                if let Some(images) = images {
                    wants.extend(closure.images(location, images).await?);
                }
            }
            Source::Archive(format, path, image, reference) => wants.push(Wanted::Archive {
                format: *format,
                path: path.clone(),
                image: image.clone(),
                reference: reference.clone(),
            }),
            Source::File(file) => wants.push(file_want(file, config)?),
        }
    }
    once(wants)
}

/// Leaves out what is named again; what is named again with another meaning is nobody's to choose.
pub(super) fn once(wants: Vec<Wanted>) -> Result<Vec<Wanted>, Error> {
    let mut kept: Vec<Wanted> = Vec::new();
    let mut places = BTreeMap::new();
    for wanted in wants {
        match places.get(&wanted.name()).map(|place: &usize| kept[*place].agrees(&wanted)) {
            Some(true) => {}
            Some(false) => return Err(Error::Clash(wanted.name())),
            None => {
                places.insert(wanted.name(), kept.len());
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
        Location::Url(url) => (url.clone(), Location::Url(config.url(url)), Some(named_after(url)?)),
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
    Ok(Wanted::File { source, location, checksums: file.checksums.clone(), repository, tag })
}

async fn text(
    config: &MirrorConfig,
    client: &Client,
    location: &Location,
) -> Result<(String, String), Error> {
    text_of(location, config, client).await
}

async fn text_of(
    location: &Location,
    config: &MirrorConfig,
    client: &Client,
) -> Result<(String, String), Error> {
    match location {
        Location::Path(path) => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path);
            Ok((name.clone(), text.map_err(|source| Error::File { path: name, source })?))
        }
        Location::Url(url) => {
            let name = shown_url(url);
            let bytes = client.small_file(&config.url(url), MOST_TEXT).await;
            let bytes = bytes.map_err(|error| Error::Client(error).about(&name))?;
            Ok((name.clone(), fetch::text(&name, &bytes)?))
        }
    }
}

/// A package bundle is the first layer of its artifact, whatever its type.
async fn bundle_text(client: &Client, reference: &Reference) -> Result<String, Error> {
    let (host, repository) = (reference.host(), reference.repository());
    let name = reference.to_string();
    let failed = |error| Error::Client(error).about(&name);
    let manifest = client.manifest(host, repository, &reference.selector()).await.map_err(failed)?;
    let manifest = manifest.ok_or_else(|| Error::NotFound(name.clone()))?;
    let layer = manifest.blobs().nth(1).ok_or_else(|| Error::EmptyBundle(name.clone()))?;
    let bytes = client.small_blob(host, repository, layer, MOST_TEXT).await.map_err(failed)?;
    fetch::text(&name, &bytes)
}

/// Asks for every image's manifests, several images at once.
pub(super) async fn resolve(
    config: &MirrorConfig,
    client: &Client,
    wants: &[Wanted],
    lock: Option<&Lock>,
    _store: &Store,
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
                let platforms = config.platforms.clone();
                let found =
                    fetch::blocking(move || archive::find(format, &path, image.as_deref(), &platforms))
                        .await?;
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
        self.client.manifest(self.host, repository, selector).await.map_err(Error::Client)
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
        let chosen = chosen(&index.manifests, &self.config.platforms);
        let manifests = index.manifests.iter().filter(|child| child.media_type.is_manifest());
        if chosen.is_empty() && manifests.count() > 0 {
            let wanted: Vec<_> = self.config.platforms.iter().map(Platform::to_string).collect();
            return Err(Error::NoPlatform {
                reference: self.image.reference.to_string(),
                wanted: wanted.join(", "),
            });
        }
        for digest in chosen {
            let child = index.manifests.iter().find(|child| child.digest == digest);
            if child.is_some_and(is_about) {
                self.add_about(&digest).await?
            } else {
                self.add(&digest).await?
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
