//! A set brought in from one medium after the other. The signature and the log are checked first, and names come last, when
//! every volume was there: until then the store has blobs that nothing names.
//!
//! A volume whose entries are all in the store is not asked for again, so that a run that ended goes on. An entry that is
//! cut at a volume's end is one stream that is hashed as a whole, so both volumes are needed in one run.

use std::collections::BTreeSet;
use std::path::PathBuf;

use mirror::reporter::Reporter;
use oci::Digest;
use store::Store;

use super::walk::Volumes;
use super::{ImportReport, changes, check, load, plan};
use crate::bundle::{BundleManifest, EntryKind, Error, Limits};
use crate::drive_log::DriveLogError;
use crate::media::{Changer, Media, Payload};
use crate::witness::Admitted;

/// Where volumes turn up, and who has them changed.
pub struct Turns<'a> {
    /// Files, or folders that hold them.
    pub paths: &'a [PathBuf],
    /// Who has the media changed.
    pub changer: &'a dyn Changer,
}

impl Turns<'_> {
    /// The volumes of this set that are there now; none if there is no volume, or one of another set. Whoever changes the
    /// media is told why.
    ///
    /// # Errors
    /// When a volume is damaged.
    fn media_of(&self, set: &Digest) -> Result<Option<Media>, Error> {
        let unfit = match Media::open(self.paths, Limits::default()) {
            Ok(media) if media.set() == set => return Ok(Some(media)),
            Ok(media) => {
                let path = self.paths.first().cloned().unwrap_or_default();
                Error::OtherSet { path, found: media.set().clone(), expected: set.clone() }
            }
            Err(error @ (Error::NoVolume(_) | Error::Io { .. } | Error::OtherSet { .. })) => error,
            Err(error) => return Err(error),
        };
        self.changer.unfit(&unfit);
        Ok(None)
    }

    /// The medium with the sender's log, which the last one has. `media` is what is there now.
    ///
    /// # Errors
    /// [`Error::NotInserted`], or what is wrong with what was inserted.
    pub fn with_log(&self, media: Media) -> Result<Media, Error> {
        let claimed = media.unverified_manifest()?;
        if claimed.log.is_none() || media.has_log() {
            return Ok(media);
        }
        let (set, total) = (media.set().clone(), claimed.volumes);
        let mut now = Some(media);
        loop {
            if let Some(media) = now.take() {
                if media.has_log() {
                    return Ok(media);
                }
                if media.volumes().contains_key(&total) {
                    let origin = claimed.log.clone().unwrap_or_default();
                    self.changer.unfit(&DriveLogError::Missing(origin).into());
                }
            }
            // Nothing of the medium is open while it is changed.
            self.changer.change(total, total, &claimed.volume_name(total))?;
            now = self.media_of(&set)?;
        }
    }
}

/// Brings a set that was let in into the store, volume by volume. `media` is what is there now.
///
/// # Errors
/// As [`super::import`]; [`Error::NotInserted`] when a volume is needed and nobody is there.
pub fn import_in_turn(
    media: Media,
    admitted: &Admitted,
    store: &Store,
    reporter: &dyn Reporter,
    turns: &Turns<'_>,
) -> Result<ImportReport, Error> {
    let mut report = plan(admitted, &media, store)?;
    let manifest = admitted.manifest().get();
    reporter.begin("import", manifest.content_size());
    let window_log = media.limits().window_log;
    let numbers = needed(manifest, store)?;
    let mut reader = Reader::new(media, admitted, turns);
    let volumes = Volumes { numbers, window_log };
    report.healed = load(manifest, (&volumes, &mut |number| reader.payload(number)), store, reporter)?;
    check(manifest, store)?;
    store.commit(changes(manifest, store)?)?;
    reporter.end();
    Ok(report)
}

/// The volumes that hold something that the store lacks.
fn needed(manifest: &BundleManifest, store: &Store) -> Result<Vec<u32>, Error> {
    let mut lacking = BTreeSet::new();
    for entry in manifest.entries.iter().filter(|entry| entry.kind == EntryKind::Blob) {
        if store.has_blob(&entry.digest)? != Some(entry.size) {
            lacking.extend(entry.extents.iter().map(|extent| extent.volume));
        }
    }
    Ok(lacking.into_iter().collect())
}

/// Reads volumes as they turn up.
pub(crate) struct Reader<'a> {
    set: Digest,
    now: Option<Media>,
    admitted: &'a Admitted,
    turns: &'a Turns<'a>,
    /// Whether the volume was asked for that is read next.
    was_asked: bool,
}

impl<'a> Reader<'a> {
    /// `media` is what is there now.
    pub(crate) fn new(media: Media, admitted: &'a Admitted, turns: &'a Turns<'a>) -> Self {
        Self { set: media.set().clone(), now: Some(media), admitted, turns, was_asked: false }
    }

    /// What was there last.
    pub(crate) fn last(&self) -> Option<&Media> {
        self.now.as_ref()
    }

    /// The payload of a volume, which is asked for until it is there.
    pub(crate) fn payload(&mut self, number: u32) -> Result<Payload, Error> {
        let manifest = self.admitted.manifest().get();
        loop {
            if let Some(media) = &self.now
                && media.has_volume(manifest, number)?
            {
                self.was_asked = false;
                return media.payload(number);
            }
            if self.was_asked
                && let Some(media) = &self.now
            {
                let found = media.volumes().into_keys().collect();
                self.turns.changer.unfit(&Error::OtherVolume { found, expected: number });
            }
            // Nothing of the medium may be open while it is changed.
            (self.now, self.was_asked) = (None, true);
            self.turns.changer.change(number, manifest.volumes, &manifest.volume_name(number))?;
            self.now = self.turns.media_of(&self.set)?;
        }
    }
}
