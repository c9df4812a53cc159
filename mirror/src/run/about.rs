//! Referrers of an image: its signatures, attestations and SBOMs. Anyone can attach a referrer to an image, so a broken
//! referrer is left out and reported, and the image is mirrored without it. The image itself is never left out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use error_class::{Class, Classified as _};
use oci::{Digest, Manifest, Tag};
use store::Store;

use super::Error;
use super::resolve::ResolvedImage;
use crate::complete;
use crate::lock::{Absence, Unavailable};
use crate::platforms::is_attestation;

/// Referrers that are left out, each with the reason why it is broken, or `None` if its registry does not have it.
pub(super) type LeftOut = BTreeMap<Digest, Option<String>>;

/// The suffixes of the tags under which cosign attaches referrers.
pub(super) const ATTACHMENTS: [&str; 3] = ["sig", "att", "sbom"];

impl Error {
    /// Whether the content itself is broken, so that a retry, or a retry with other permissions, gives the same result.
    pub(super) fn is_broken(&self) -> bool {
        match self {
            Self::Client(error) | Self::Fetch { source: error, .. } => {
                use registry::client::Error as Client;
                let of_rules = matches!(
                    error,
                    Client::TooMany { .. } | Client::Referrers { .. } | Client::Refused { .. }
                );
                error.class() == Class::Refused && !of_rules
            }
            Self::Unsupported { .. } | Self::NoPlatform { .. } | Self::Content(_) | Self::Layer { .. } => {
                true
            }
            _ => false,
        }
    }
}

impl ResolvedImage {
    /// The manifests of the image itself: its root and the manifests that the root lists, without referrers.
    pub(super) fn own(&self) -> BTreeSet<Digest> {
        self.reached(&BTreeMap::new(), false)
    }

    /// Leaves out referrers that are broken or missing, the manifests that list them, and their own referrers.
    pub(super) fn leave_out(&mut self, mut broken: LeftOut) {
        let own = self.own();
        loop {
            let lists_broken = |(digest, manifest): (&Digest, &Manifest)| {
                let (part, reason) = parts(manifest).find_map(|part| broken.get_key_value(part))?;
                let reason = reason.as_ref().map(|_| format!("it lists `{part}`, which is left out"));
                (!own.contains(digest) && !broken.contains_key(digest)).then(|| (digest.clone(), reason))
            };
            let more: Vec<_> = self.manifests.iter().filter_map(lists_broken).collect();
            if more.is_empty() {
                break;
            }
            broken.extend(more);
        }
        let kept = self.reached(&broken, true);
        self.manifests.retain(|digest, _| kept.contains(digest));
        let manifests = &self.manifests;
        self.tags.retain(|_, digest| manifests.contains_key(digest));
        self.unavailable.extend(broken);
        let listed =
            self.manifests.values().flat_map(complete::children).filter(|child| is_attestation(child));
        let gone = listed.filter(|child| !kept.contains(&child.digest)).map(|child| child.digest.clone());
        for digest in gone.collect::<Vec<_>>() {
            self.absent.entry(digest).or_insert(Absence::Unavailable);
        }
    }

    /// The manifests that are reachable from the root, without broken ones.
    fn reached(&self, broken: &LeftOut, with_referrers: bool) -> BTreeSet<Digest> {
        let mut about: BTreeMap<&Digest, Vec<&Digest>> = BTreeMap::new();
        for (digest, manifest) in self.manifests.iter().filter(|_| with_referrers) {
            if let Some(subject) = manifest.subject() {
                about.entry(&subject.digest).or_default().push(digest);
            }
            for child in complete::children(manifest).filter(|child| is_attestation(child)) {
                about.entry(digest).or_default().push(&child.digest);
            }
            for tag in ATTACHMENTS.iter().filter_map(|suffix| Tag::of_attachment(digest, suffix).ok()) {
                about.entry(digest).or_default().extend(self.tags.get(&tag));
            }
        }
        let mut reached = BTreeSet::new();
        let mut open = VecDeque::from([&self.root]);
        while let Some(digest) = open.pop_front() {
            let Some(manifest) = self.manifests.get(digest).filter(|_| !broken.contains_key(digest)) else {
                continue;
            };
            if reached.insert(digest.clone()) {
                open.extend(parts(manifest));
                open.extend(about.get(digest).into_iter().flatten());
            }
        }
        reached
    }

    /// Referrers that do not match the store's content: a blob could not be fetched, or its size differs from the size
    /// in the manifest.
    pub(super) fn misfits(&self, failed: &LeftOut, store: &Store) -> Result<LeftOut, Error> {
        let own = self.own();
        let mut broken = LeftOut::new();
        for (digest, manifest) in self.manifests.iter().filter(|(digest, _)| !own.contains(*digest)) {
            for blob in complete::blobs(manifest).filter(|blob| !self.absent.contains_key(&blob.digest)) {
                let reason = match (failed.get(&blob.digest), store.has_blob(&blob.digest)?) {
                    (_, Some(size)) if size == blob.size => continue,
                    (_, Some(size)) => Some(wrong_size(&blob.digest, blob.size, size)),
                    (Some(reason), None) => reason.clone(),
                    // A missing blob is a gap, which the check for completeness reports.
                    (None, None) => continue,
                };
                broken.insert(digest.clone(), reason);
            }
        }
        for (digest, manifest) in &self.manifests {
            for child in complete::children(manifest) {
                let Some(found) = self.manifests.get(&child.digest) else { continue };
                let (stated, size) = (child.size, found.bytes().len() as u64);
                // An index of the image itself stays. A child with the wrong size is left out, or is a gap if it belongs
                // to the image.
                let blamed = if own.contains(digest) { &child.digest } else { digest };
                if stated != size && !own.contains(blamed) {
                    broken.insert(blamed.clone(), Some(wrong_size(&child.digest, stated, size)));
                }
            }
        }
        Ok(broken)
    }

    /// The referrers that are left out, for the report and the lock.
    pub(super) fn reported(&self) -> impl Iterator<Item = Unavailable> {
        let image = self.reference.to_string();
        let entry = move |(digest, reason): (&Digest, &Option<String>)| Unavailable {
            image: image.clone(),
            digest: digest.clone(),
            broken: reason.clone(),
        };
        self.unavailable.iter().chain(&self.unreadable).map(entry).collect::<Vec<_>>().into_iter()
    }
}

fn wrong_size(digest: &Digest, stated: u64, found: u64) -> String {
    format!("`{digest}` is listed with {stated} bytes, but it has {found}")
}

/// The manifests that an index lists, without referrers.
fn parts(manifest: &Manifest) -> impl Iterator<Item = &Digest> {
    complete::children(manifest).filter(|child| !is_attestation(child)).map(|child| &child.digest)
}
