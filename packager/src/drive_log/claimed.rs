//! What a drive states about its log, without verification.

use std::path::Path;

use serde::Serialize;
use tlog::folder::CHECKPOINT;
use tlog::{Checkpoint, Note};

use super::{FOLDER, MOST_WITNESSES, WITNESS};
use crate::bundle::{BundleManifest, Error};
use crate::media::{Beneath, Media};

/// A drive's own statements about its log, not verified; for display only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimedLog {
    /// The log that the manifest names.
    pub origin: String,
    /// The number of entries in the log's checkpoint, if it is on the drive.
    pub size: Option<u64>,
    /// The root, base64.
    pub root: Option<String>,
    /// The sites that acknowledged the log, each with the size.
    pub acknowledged: Vec<(String, u64)>,
}

/// Reads a drive's own statements about its log.
pub(crate) fn claimed(media: &Media, manifest: &BundleManifest) -> Result<Option<ClaimedLog>, Error> {
    let Some(origin) = manifest.log.clone() else { return Ok(None) };
    let read = |medium: &Beneath, path: &Path| -> Result<Option<Checkpoint>, Error> {
        let bytes = medium.read(path, tlog::note::MAX_LEN as u64)?;
        let note = bytes.and_then(|bytes| Note::parse(&bytes).ok());
        Ok(note.and_then(|note| Checkpoint::read(&note).ok()).filter(|found| found.origin == origin))
    };
    let mut claimed = ClaimedLog { origin: origin.clone(), size: None, root: None, acknowledged: Vec::new() };
    for folder in media.folders() {
        let (medium, log) = (Beneath::open(folder)?, Path::new(FOLDER));
        let Some(checkpoint) = read(&medium, &log.join(CHECKPOINT))? else { continue };
        claimed.size = Some(checkpoint.size);
        claimed.root = Some(checkpoint.root.to_string());
        let sites = medium.names(&log.join(WITNESS))?.into_iter().take(MOST_WITNESSES);
        let sites = sites.filter_map(|name| name.into_string().ok()).filter(|name| super::is_file_name(name));
        for site in sites {
            if let Some(seen) = read(&medium, &log.join(WITNESS).join(&site))? {
                claimed.acknowledged.push((site, seen.size));
            }
        }
        break;
    }
    Ok(Some(claimed))
}
