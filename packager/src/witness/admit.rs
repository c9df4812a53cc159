//! The last gate before a drive's content: its log is proved, compared with what is remembered, and remembered.

use std::path::Path;

use bundle_signer::{TrustFile, Verified};
use serde::Serialize;

use super::quarantine::Record;
use super::{Now, Witness};
use crate::bundle::{BundleManifest, Error};
use crate::drive_log::examine::Examination;
use crate::drive_log::{Alarm, DriveLogError, Finding, Whose};
use crate::media::Media;

/// What becomes of a drive that carries no log where the trust file asks for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Without {
    /// It is refused.
    #[default]
    Refuse,
    /// It is taken, if its manifest does not name a log either: an older airlock packed it.
    Allow,
}

/// By what a drive is let in.
pub struct Gatekeeper<'a> {
    /// Whose logs and witnesses count.
    pub trust: &'a TrustFile,
    /// What the site remembers; none where there is no store.
    pub witness: Option<&'a Witness>,
    /// An empty folder, where the log is copied to.
    pub stage: &'a Path,
    /// Drives of older versions.
    pub without: Without,
    /// When, for what is remembered; none to remember nothing, as in a dry run.
    pub now: Option<Now>,
}

/// A set that may be imported: its manifest's signature and its sender's log were proved.
#[derive(Debug)]
pub struct Admitted {
    manifest: Verified<BundleManifest>,
    log: LogVerdict,
}

/// What became of a drive's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "camelCase")]
pub enum LogVerdict {
    /// The trust file names no log, so none was looked at.
    NotAsked,
    /// There is none, and that was allowed.
    Without,
    /// It was proved, and goes on from what was known.
    Proved(Finding),
    /// It raised an alarm that somebody lifted.
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

    /// What became of its log.
    #[must_use]
    pub fn log(&self) -> &LogVerdict {
        &self.log
    }
}

/// Lets a drive in, or refuses it. An alarm is recorded before it is told.
///
/// # Errors
/// [`Error::Alarm`], [`Error::Log`] with a [`DriveLogError`], or what the disk says.
pub fn admit(
    media: &Media,
    manifest: Verified<BundleManifest>,
    keeper: &Gatekeeper<'_>,
) -> Result<Admitted, Error> {
    let remembering = keeper.witness.zip(keeper.now.as_ref());
    // Of two drives at the same time, the second one is compared with what the first one left.
    let _held = remembering.map(|(witness, _)| witness.lock()).transpose()?;
    let set = media.set();
    let record = keeper.witness.map(|witness| witness.record(set)).transpose()?.flatten();
    let held = record.as_ref().and_then(Record::held);
    let held = held.map(|(since, alarm)| (since.to_owned(), alarm.to_owned()));
    // The log first: who holds an old log beside a copy of a set must not keep sound copies of it out.
    let log = match (examine(media, manifest.get(), keeper), record) {
        (Err(Error::Alarm(alarm)), Some(record)) if record.lifted(&alarm) => {
            LogVerdict::Lifted { alarm: alarm.to_string() }
        }
        (Err(Error::Alarm(alarm)), Some(record)) if record.holds(&alarm).is_some() => {
            let since = record.holds(&alarm).unwrap_or_default().to_owned();
            return Err(
                DriveLogError::Quarantined { set: set.clone(), since, alarm: alarm.to_string() }.into()
            );
        }
        (Err(Error::Alarm(alarm)), record) => {
            if let Some((witness, now)) = remembering {
                let record = record.unwrap_or_else(|| new_record(media, &manifest));
                witness.raise(record, &alarm, now)?;
            }
            return Err(Error::Alarm(alarm));
        }
        (Ok(LogVerdict::NotAsked | LogVerdict::Without), _) if held.is_some() => {
            // No log speaks for this copy, so that it cannot be told from the one that raised the alarm.
            let (since, alarm) = held.unwrap_or_default();
            return Err(DriveLogError::Quarantined { set: set.clone(), since, alarm }.into());
        }
        (Ok(LogVerdict::Proved(mut finding)), _) => {
            finding.held = held.map(|(since, alarm)| format!("{since}: {alarm}"));
            LogVerdict::Proved(finding)
        }
        (outcome, _) => outcome?,
    };
    if let (LogVerdict::Proved(finding), Some((witness, now))) = (&log, remembering) {
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

fn examine(media: &Media, manifest: &BundleManifest, keeper: &Gatekeeper<'_>) -> Result<LogVerdict, Error> {
    if keeper.trust.logs().is_empty() {
        return Ok(LogVerdict::NotAsked);
    }
    let Some(origin) = &manifest.log else {
        return match keeper.without {
            Without::Allow => Ok(LogVerdict::Without),
            Without::Refuse => Err(DriveLogError::NoLog.into()),
        };
    };
    let known = keeper.witness.map(|witness| witness.known(origin)).transpose()?.flatten();
    let examination =
        Examination { media, manifest, trust: keeper.trust, known: known.as_ref(), stage: keeper.stage };
    let finding = examination.run(origin)?;
    if let Some((witness, known)) = keeper.witness.zip(known) {
        let drive = (media.set(), finding.number);
        if let Some(kind) = known.tags.moved_back(manifest, drive, &witness.store)? {
            let (origin, found) = (finding.origin, finding.note.to_string());
            let known = Some(known.note.to_string());
            return Err(Alarm { kind, whose: Whose::Sender, origin, found, known }.into());
        }
    }
    Ok(LogVerdict::Proved(finding))
}

impl LogVerdict {
    /// What whoever imports should know: that of a lifted alarm is told each time.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        match self {
            Self::NotAsked => Some(
                "the trust file names no log, so an older drive cannot be detected".to_owned(),
            ),
            Self::Without => {
                Some("the drive has no log, so an older drive cannot be detected".to_owned())
            }
            Self::Lifted { alarm } => Some(format!("this drive was released in spite of an alarm: {alarm}")),
            Self::Proved(finding) => finding.held.as_ref().map(|alarm| {
                format!(
                    "this drive's log is sound; another copy of the set, with another log, is quarantined since {alarm}"
                )
            }),
        }
    }
}
