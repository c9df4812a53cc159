//! Imports a set from one medium after the other. The signature and the log are verified first, and names are written last,
//! after all volumes: until then, the store has blobs without names.
//!
//! A volume is not requested if all its entries are in the store, so an interrupted import can resume. An entry that is cut
//! at the end of a volume is one stream with one digest, so both volumes are needed in the same run.

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

/// Media that are inserted one after the other.
pub struct SequentialMedia<'a> {
    /// The files of the volumes, or folders that contain them.
    pub paths: &'a [PathBuf],
    /// Requests the media.
    pub changer: &'a dyn Changer,
}

impl SequentialMedia<'_> {
    /// The volumes of this set on the current medium; `None` if it has no volume, or one of another set. The changer is then
    /// given the reason.
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
            Err(
                error
                @ (Error::NoVolume(_) | Error::NotVolume(_) | Error::Io { .. } | Error::OtherSet { .. }),
            ) => error,
            Err(error) => return Err(error),
        };
        self.changer.unfit(&unfit);
        Ok(None)
    }

    /// The medium with the sender's log, which is the last one. `media` is the current medium.
    ///
    /// # Errors
    /// [`Error::NotInserted`], or the error in an inserted medium.
    pub fn with_log(&self, media: Media) -> Result<Media, Error> {
        let claimed = media.unverified_manifest()?;
        if claimed.log.is_none() || media.has_log() {
            return Ok(media);
        }
        let (set, total) = (media.set().clone(), claimed.volumes);
        let mut current = Some(media);
        loop {
            if let Some(media) = current.take() {
                if media.has_log() {
                    return Ok(media);
                }
                if media.volumes().contains_key(&total) {
                    let origin = claimed.log.clone().unwrap_or_default();
                    self.changer.unfit(&DriveLogError::Missing(origin).into());
                }
            }
            // No file on the medium may be open while it is changed.
            self.changer.change(total, total, &claimed.volume_name(total))?;
            current = self.media_of(&set)?;
        }
    }
}

/// Imports an admitted set into the store, volume by volume. `media` is the current medium.
///
/// # Errors
/// Those of [`super::import`]; [`Error::NotInserted`] when a needed volume is not inserted.
pub fn import_in_turn(
    media: Media,
    admitted: &Admitted,
    store: &Store,
    reporter: &dyn Reporter,
    sequence: &SequentialMedia<'_>,
) -> Result<ImportReport, Error> {
    let mut report = plan(admitted, &media, store)?;
    let manifest = admitted.manifest().get();
    reporter.begin("import", manifest.content_size());
    let window_log = media.limits().window_log;
    let numbers = needed(manifest, store)?;
    let mut reader = Reader::new(media, admitted, sequence);
    let volumes = Volumes { numbers, window_log };
    report.healed = load(manifest, None, &volumes, &mut |number| reader.payload(number), store, reporter)?;
    check(manifest, store)?;
    store.commit(changes(manifest, store)?)?;
    reporter.end();
    Ok(report)
}

/// The volumes with content that the store lacks.
fn needed(manifest: &BundleManifest, store: &Store) -> Result<Vec<u32>, Error> {
    let mut lacking = BTreeSet::new();
    for entry in manifest.entries.iter().filter(|entry| entry.kind == EntryKind::Blob) {
        if store.has_blob(&entry.digest)? != Some(entry.size) {
            lacking.extend(entry.extents.iter().map(|extent| extent.volume));
        }
    }
    Ok(lacking.into_iter().collect())
}

/// Reads volumes as they are inserted.
pub(crate) struct Reader<'a> {
    set: Digest,
    current: Option<Media>,
    admitted: &'a Admitted,
    sequence: &'a SequentialMedia<'a>,
    /// Whether the next volume was already requested.
    was_requested: bool,
}

impl<'a> Reader<'a> {
    /// A reader; `media` is the current medium.
    pub(crate) fn new(media: Media, admitted: &'a Admitted, sequence: &'a SequentialMedia<'a>) -> Self {
        Self { set: media.set().clone(), current: Some(media), admitted, sequence, was_requested: false }
    }

    /// The current medium.
    pub(crate) fn last(&self) -> Option<&Media> {
        self.current.as_ref()
    }

    /// The payload of a volume, which is requested until it is inserted.
    pub(crate) fn payload(&mut self, number: u32) -> Result<Payload, Error> {
        let manifest = self.admitted.manifest().get();
        loop {
            if let Some(media) = &self.current
                && media.has_volume(manifest, number)?
            {
                self.was_requested = false;
                return media.payload(number);
            }
            if self.was_requested
                && let Some(media) = &self.current
            {
                let found = media.volumes().into_keys().collect();
                self.sequence.changer.unfit(&Error::OtherVolume { found, expected: number });
            }
            // No file on the medium may be open while it is changed.
            (self.current, self.was_requested) = (None, true);
            self.sequence.changer.change(number, manifest.volumes, &manifest.volume_name(number))?;
            self.current = self.sequence.media_of(&self.set)?;
        }
    }
}
