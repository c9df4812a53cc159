//! Walks from an image's reference to all its manifests and all its referrers.

use std::collections::{BTreeMap, VecDeque};

use oci::{Content, Digest, Manifest, Platform, Reference, RegistryHost, Selector, Tag};
use registry::client::Client;

use super::Error;
use super::about::ATTACHMENTS;
use super::pins::digest_of;
use super::resolve::ResolvedImage;
use crate::complete;
use crate::config::{MirrorConfig, Missing};
use crate::lock::{Absence, ItemKind};
use crate::platforms::{chosen, is_attestation};

/// The maximum number of manifests of one image with its referrers, and their maximum total size.
const MOST_MANIFESTS: usize = 5_000;
const MOST_BYTES: usize = 64 << 20;

/// A referrer of an image.
struct Referrer {
    digest: Digest,
    /// The manifest, if already known.
    manifest: Option<Manifest>,
    /// The subject that the manifest must refer to, if only a list states that it does.
    subject: Option<Digest>,
}

/// The walk over one image.
pub(super) struct Walk<'a> {
    config: &'a MirrorConfig,
    client: &'a Client,
    host: &'a RegistryHost,
    image: ResolvedImage,
    /// Manifests whose children are not yet read.
    open: VecDeque<Manifest>,
    /// Referrers that are read once all manifests of the image itself are known.
    referrers: VecDeque<Referrer>,
    /// The manifests that were taken, in order.
    taken: Vec<Digest>,
    /// The total size of all manifests.
    bytes: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
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
            unavailable: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            slices: None,
        };
        let (open, referrers) = (VecDeque::new(), VecDeque::new());
        Ok(Self { config, client, host, image, open, referrers, taken: Vec::new(), bytes: 0 })
    }

    pub(super) async fn run(mut self, selector: &Selector) -> Result<ResolvedImage, Error> {
        let root = self.manifest(selector).await?;
        let root = root.ok_or_else(|| Error::NotFound(self.image.reference.to_string()))?;
        self.image.root = digest_of(selector, &root);
        if let Some(tag) = self.image.reference.tag() {
            self.image.tags.insert(tag.clone(), self.image.root.clone());
        }
        self.take(self.image.root.clone(), root)?;
        // The image itself first, to distinguish its manifests from its referrers.
        while let Some(manifest) = self.open.pop_front() {
            self.children(&manifest).await?;
        }
        if self.config.follow {
            for digest in self.taken.clone() {
                self.attached(&digest).await?;
            }
        }
        while let Some(referrer) = self.referrers.pop_front() {
            self.add_referrer(referrer).await?;
        }
        self.image.leave_out(self.image.unavailable.clone());
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

    /// Adds a referrer of the image, with its own children and referrers. A missing referrer is left out if the mirror file
    /// allows that, and a broken one always; a failed request is an error.
    async fn add_referrer(&mut self, referrer: Referrer) -> Result<(), Error> {
        let Referrer { digest, manifest, subject } = referrer;
        if self.image.manifests.contains_key(&digest) || self.image.unavailable.contains_key(&digest) {
            return Ok(());
        }
        let found = match manifest {
            Some(manifest) => Ok(Some(manifest)),
            None => self.manifest(&Selector::Digest(digest.clone())).await,
        };
        let (bytes, before) = (self.bytes, self.taken.len());
        let outcome = match found {
            Ok(Some(manifest)) => self.take_referrer(&digest, manifest, subject.as_ref()).await,
            Ok(None) => {
                Err(Error::Missing { image: self.image.reference.to_string(), digest: digest.clone() })
            }
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            // Take a referrer completely or not at all. A child of it may also belong to another manifest, and is then
            // read again.
            self.open.clear();
            self.bytes = bytes;
            for taken in self.taken.drain(before..) {
                self.image.manifests.remove(&taken);
            }
        }
        match outcome {
            Err(Error::Missing { image, digest: missing }) => match self.config.missing {
                Missing::LeftOut => {
                    self.image.unavailable.insert(missing, None);
                    Ok(())
                }
                Missing::Refused => Err(Error::MissingReferrer { image, digest: missing }),
            },
            Err(error) if error.is_broken() => {
                self.image.unavailable.insert(digest, Some(error.in_one_line()));
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Takes a referrer if its manifest refers to the subject: a list under a tag can contain any manifest, even the
    /// subject's own platforms.
    async fn take_referrer(
        &mut self,
        digest: &Digest,
        manifest: Manifest,
        subject: Option<&Digest>,
    ) -> Result<(), Error> {
        if let Some(subject) = subject
            && manifest.subject().is_none_or(|found| found.digest != *subject)
        {
            tracing::warn!(%digest, %subject, "not mirrored: it is listed as a referrer, but refers to another subject");
            return Ok(());
        }
        self.take(digest.clone(), manifest)?;
        while let Some(below) = self.open.pop_front() {
            self.children(&below).await?;
            if self.config.follow {
                self.attached(&below.digest()).await?;
            }
        }
        Ok(())
    }

    /// Takes a manifest, whose children are read later. An index or a list of referrers may list any number of manifests.
    fn take(&mut self, digest: Digest, manifest: Manifest) -> Result<(), Error> {
        let size = manifest.bytes().len();
        if self.image.manifests.insert(digest.clone(), manifest.clone()).is_none() {
            self.taken.push(digest);
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
            if child.is_some_and(is_attestation) {
                self.referrers.push_back(Referrer { digest, manifest: None, subject: None });
            } else {
                self.add(&digest).await?;
            }
        }
        Ok(())
    }

    /// Finds signatures, attestations and SBOMs: under cosign's tags, and as referrers.
    async fn attached(&mut self, subject: &Digest) -> Result<(), Error> {
        for suffix in ATTACHMENTS {
            let Ok(tag) = Tag::of_attachment(subject, suffix) else { continue };
            let found = match self.manifest(&Selector::Tag(tag.clone())).await {
                Err(error) if error.is_broken() => {
                    self.unreadable(subject, tag.as_str(), &error);
                    continue;
                }
                found => found?,
            };
            if let Some(manifest) = found {
                let digest = manifest.digest();
                self.image.tags.insert(tag, digest.clone());
                self.referrers.push_back(Referrer { digest, manifest: Some(manifest), subject: None });
            }
        }
        let repository = self.image.reference.repository();
        let referrers = self.client.referrers(self.host, repository, subject).await.map_err(Error::Client);
        let referrers = match referrers {
            Err(error) if error.is_broken() => {
                self.unreadable(subject, "its list of referrers", &error);
                return Ok(());
            }
            referrers => referrers?,
        };
        let subject = Some(subject.clone());
        let referrer = |descriptor: oci::Descriptor| Referrer {
            digest: descriptor.digest,
            manifest: None,
            subject: subject.clone(),
        };
        self.referrers.extend(referrers.into_iter().map(referrer));
        Ok(())
    }

    fn unreadable(&mut self, subject: &Digest, what: &str, error: &Error) {
        let reason = format!("{what} cannot be read: {}", error.in_one_line());
        self.image.unreadable.entry(subject.clone()).or_default().get_or_insert(reason);
    }
}
