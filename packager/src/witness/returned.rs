//! Return media: the checkpoints of its senders' logs that a site saw, cosigned, and the checkpoint of its own log.
//!
//! ```text
//! airlock-return/SITE/key.pub          the site's witness key, for information; never trusted
//! airlock-return/SITE/logs/ID          a sender's checkpoint, cosigned by the site
//! airlock-return/SITE/checkpoint       the checkpoint of the site's own log, cosigned by the site
//! ```
//!
//! Several sites may use one return medium.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tlog::{Checkpoint, Note, cosignature};

use super::{Now, Witness};
use crate::bundle::Error;
use crate::drive_log::{DriveLogError, Publish, file_name};
use crate::media::Beneath;

/// The folder on the medium.
pub const FOLDER: &str = "airlock-return";
pub(crate) const LOGS: &str = "logs";
pub(super) const CHECKPOINT: &str = "checkpoint";

/// The content of a return medium.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReturnReport {
    /// The site, by the name of its witness key.
    pub site: String,
    /// The key, in the format of a trust file.
    pub key: String,
    /// The folder.
    pub folder: PathBuf,
    /// The senders' logs, with their sizes.
    pub logs: Vec<(String, u64)>,
    /// The site's own log, with its size.
    pub own: Option<(String, u64)>,
}

impl Witness {
    /// Writes a return medium for the senders. `own` is the signed checkpoint of the site's own log.
    ///
    /// # Errors
    /// A disk error, or [`DriveLogError::Record`].
    pub fn return_to(&self, target: &Path, own: Option<Note>, now: &Now) -> Result<ReturnReport, Error> {
        let _lock = self.lock()?;
        let key = self.key()?;
        let site = key.verifier().name().to_owned();
        let medium = Beneath::create(target)?;
        let folder = Path::new(FOLDER).join(&site);
        let mut publish = Publish::to(&medium);
        let mut logs = Vec::new();
        for (origin, note) in self.senders()? {
            let entries = Checkpoint::read(&note).map_err(DriveLogError::Own)?.size;
            publish.put(&folder.join(LOGS).join(file_name(&origin)), note.to_string().as_bytes())?;
            logs.push((origin, entries));
        }
        let own = own
            .map(|mut note| {
                let checkpoint = Checkpoint::read(&note).map_err(DriveLogError::Own)?;
                note.add(cosignature::cosign(&note, &key, now.seconds).map_err(DriveLogError::Own)?);
                publish.put(&folder.join(CHECKPOINT), note.to_string().as_bytes())?;
                Ok::<_, Error>((checkpoint.origin, checkpoint.size))
            })
            .transpose()?;
        let text = key.verifier().to_string();
        publish.put(&folder.join("key.pub"), format!("{text}\n").as_bytes())?;
        publish.flush()?;
        Ok(ReturnReport { site, key: text, folder: target.join(folder), logs, own })
    }
}
