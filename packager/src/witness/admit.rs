//! Admits drives, as the last check before their content is read: verifies a drive's log, compares it with the recorded
//! state, and records it.

use std::path::Path;

use bundle_signer::{TrustFile, Verified};
use serde::Serialize;

use super::quarantine::{self, Record};
use super::{Now, Witness};
use crate::bundle::{BundleManifest, Error};
use crate::drive_log::examine::Examination;
use crate::drive_log::{Alarm, DriveLogError, Finding, LogOwner};
use crate::media::Media;

/// How to handle a drive without a log if the trust file requires one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingLog {
    /// It is refused.
    #[default]
    Refuse,
    /// It is accepted if its manifest names no log either: an older version of airlock packed it.
    Allow,
}

/// Options for admitting a drive.
pub struct AdmitOptions<'a> {
    /// The trusted logs and witnesses.
    pub trust: &'a TrustFile,
    /// The site's records; `None` without a store.
    pub witness: Option<&'a Witness>,
    /// An empty folder for the copy of the log.
    pub stage: &'a Path,
    /// How to handle drives without a log.
    pub missing_log: MissingLog,
    /// The time for records; `None` to record nothing, as in a dry run.
    pub now: Option<Now>,
}

/// A set that may be imported: its manifest's signature and its sender's log are verified.
#[derive(Debug)]
pub struct Admitted {
    manifest: Verified<BundleManifest>,
    log: LogVerdict,
}

/// The verdict on a drive's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "camelCase")]
pub enum LogVerdict {
    /// The trust file lists no log, so the drive's log is not checked.
    NotAsked,
    /// The drive has no log, and that is allowed.
    Without,
    /// The log is verified, and continues the known state.
    Proved(Finding),
    /// The log raised an alarm that was released.
    Lifted {
        /// The alarm.
        alarm: String,
    },
}

impl Admitted {
    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Verified<BundleManifest> {
        &self.manifest
    }

    /// The verdict on its log.
    #[must_use]
    pub fn log(&self) -> &LogVerdict {
        &self.log
    }
}

/// Admits or refuses a drive. An alarm is recorded before it is returned.
///
/// # Errors
/// [`Error::Alarm`], [`Error::Log`] with a [`DriveLogError`], or a disk error.
pub fn admit(
    media: &Media,
    manifest: Verified<BundleManifest>,
    options: &AdmitOptions<'_>,
) -> Result<Admitted, Error> {
    let recording = options.witness.zip(options.now.as_ref());
    // Of two drives at the same time, the second one is compared with the records of the first one.
    let _lock = recording.map(|(witness, _)| witness.lock()).transpose()?;
    let record = options.witness.map(|witness| witness.record(media.set())).transpose()?.flatten();
    // The log decides first: otherwise, anyone could block a good drive by adding an old log to a copy of it.
    let verdict = quarantine::decide(record.as_ref(), examine(media, manifest.get(), options));
    if let (Err(Error::Alarm(alarm)), Some((witness, now))) = (&verdict, recording) {
        let record = record.unwrap_or_else(|| new_record(media, &manifest));
        witness.raise(record, alarm, now)?;
    }
    let log = verdict?;
    if let (LogVerdict::Proved(finding), Some((witness, now))) = (&log, recording) {
        witness.accept(finding, manifest.get(), now)?;
    }
    Ok(Admitted { manifest, log })
}

fn new_record(media: &Media, manifest: &Verified<BundleManifest>) -> Record {
    Record {
        set: media.set().clone(),
        name: manifest.get().name.clone(),
        signer: manifest.signer().name().to_owned(),
        events: Vec::new(),
    }
}

fn examine(
    media: &Media,
    manifest: &BundleManifest,
    options: &AdmitOptions<'_>,
) -> Result<LogVerdict, Error> {
    if options.trust.logs().is_empty() {
        return Ok(LogVerdict::NotAsked);
    }
    let Some(origin) = &manifest.log else {
        return match options.missing_log {
            MissingLog::Allow => Ok(LogVerdict::Without),
            MissingLog::Refuse => Err(DriveLogError::NoLog.into()),
        };
    };
    let known = options.witness.map(|witness| witness.known(origin)).transpose()?.flatten();
    let examination =
        Examination { media, manifest, trust: options.trust, known: known.as_ref(), stage: options.stage };
    let finding = examination.run(origin)?;
    if let Some((witness, known)) = options.witness.zip(known) {
        let kind = known.tags.moved_back(manifest, media.set(), finding.number, &witness.store)?;
        if let Some(kind) = kind {
            let (origin, found) = (finding.origin, finding.note.to_string());
            let known = Some(known.note.to_string());
            return Err(Alarm { kind, owner: LogOwner::Sender, origin, found, known }.into());
        }
    }
    Ok(LogVerdict::Proved(finding))
}

impl LogVerdict {
    /// The warning for the user; a released alarm is reported each time.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        match self {
            Self::NotAsked => Some(
                "the trust file lists no log, so an older drive cannot be detected".to_owned(),
            ),
            Self::Without => {
                Some("the drive has no log, so an older drive cannot be detected".to_owned())
            }
            Self::Lifted { alarm } => Some(format!("this drive was released despite an alarm: {alarm}")),
            Self::Proved(finding) => finding.held.as_ref().map(|alarm| {
                format!(
                    "this drive's log is valid; another copy of the set, with another log, has been quarantined since {alarm}"
                )
            }),
        }
    }
}
