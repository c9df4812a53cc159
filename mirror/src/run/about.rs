//! What is said about an image: signatures, attestations and SBOMs. Anybody may put such a thing beside an image, so one
//! that is broken is left out and reported, and the image comes without it. The image itself is never left out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use error_class::{Class, Classified as _};
use oci::{Digest, Manifest, Tag};
use store::Store;

use super::Error;
use super::resolve::ResolvedImage;
use crate::complete;
use crate::lock::{Absence, Unavailable};
use crate::source::is_about;

/// What is left out: what is broken with what is wrong with it, and what its registry does not have.
pub(super) type LeftOut = BTreeMap<Digest, Option<String>>;

/// Cosign's tags, beside those of an image.
pub(super) const ATTACHMENTS: [&str; 3] = ["sig", "att", "sbom"];

impl Error {
    /// Whether what came is not what it should be: asking again, or asking with other rights, gives the same.
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
    /// The manifests that are the image: its root and what that lists, without what is said about them.
    pub(super) fn own(&self) -> BTreeSet<Digest> {
        self.reached(&BTreeMap::new(), false)
    }

    /// Leaves out manifests that are broken or missing, those that list them, and what is said about those.
    pub(super) fn leave_out(&mut self, mut broken: LeftOut) {
        let own = self.own();
        loop {
            let lists_broken = |(digest, manifest): (&Digest, &Manifest)| {
                let (part, why) = parts(manifest).find_map(|part| broken.get_key_value(part))?;
                let why = why.as_ref().map(|_| format!("it lists `{part}`, which is left out"));
                (!own.contains(digest) && !broken.contains_key(digest)).then(|| (digest.clone(), why))
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
        let listed = self.manifests.values().flat_map(complete::children).filter(|child| is_about(child));
        let gone = listed.filter(|child| !kept.contains(&child.digest)).map(|child| child.digest.clone());
        for digest in gone.collect::<Vec<_>>() {
            self.absent.entry(digest).or_insert(Absence::Unavailable);
        }
    }

    /// The manifests that are reached from the root without those that are broken.
    fn reached(&self, broken: &LeftOut, with_what_is_about: bool) -> BTreeSet<Digest> {
        let mut about: BTreeMap<&Digest, Vec<&Digest>> = BTreeMap::new();
        for (digest, manifest) in self.manifests.iter().filter(|_| with_what_is_about) {
            if let Some(subject) = manifest.subject() {
                about.entry(&subject.digest).or_default().push(digest);
            }
            for child in complete::children(manifest).filter(|child| is_about(child)) {
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

    /// What is said about the image and does not fit what the store has: a blob that could not be had, or one with
    /// another size than the manifest states.
    pub(super) fn misfits(&self, failed: &LeftOut, store: &Store) -> Result<LeftOut, Error> {
        let own = self.own();
        let mut broken = LeftOut::new();
        for (digest, manifest) in self.manifests.iter().filter(|(digest, _)| !own.contains(*digest)) {
            for blob in complete::blobs(manifest).filter(|blob| !self.absent.contains_key(&blob.digest)) {
                let why = match (failed.get(&blob.digest), store.has_blob(&blob.digest)?) {
                    (_, Some(size)) if size == blob.size => continue,
                    (_, Some(size)) => Some(wrong_size(&blob.digest, blob.size, size)),
                    (Some(why), None) => why.clone(),
                    // What ought to be there is a gap, and not for this to judge.
                    (None, None) => continue,
                };
                broken.insert(digest.clone(), why);
            }
        }
        for (digest, manifest) in &self.manifests {
            for child in complete::children(manifest) {
                let Some(found) = self.manifests.get(&child.digest) else { continue };
                let (stated, size) = (child.size, found.bytes().len() as u64);
                // An index of the image itself stays: what it lists wrongly is left out, or is a gap if it is the image's.
                let blamed = if own.contains(digest) { &child.digest } else { digest };
                if stated != size && !own.contains(blamed) {
                    broken.insert(blamed.clone(), Some(wrong_size(&child.digest, stated, size)));
                }
            }
        }
        Ok(broken)
    }

    /// What is left out, for the report and the lock.
    pub(super) fn reported(&self) -> impl Iterator<Item = Unavailable> {
        let image = self.reference.to_string();
        let entry = move |(digest, why): (&Digest, &Option<String>)| Unavailable {
            image: image.clone(),
            digest: digest.clone(),
            broken: why.clone(),
        };
        self.unavailable.iter().chain(&self.unreadable).map(entry).collect::<Vec<_>>().into_iter()
    }
}

fn wrong_size(digest: &Digest, stated: u64, found: u64) -> String {
    format!("`{digest}` is listed with {stated} bytes, and it has {found}")
}

/// The manifests that an index consists of.
fn parts(manifest: &Manifest) -> impl Iterator<Item = &Digest> {
    complete::children(manifest).filter(|child| !is_about(child)).map(|child| &child.digest)
}
