//! The quarantine: decides whether a set is in it, and keeps the records of sets and sites that raised an alarm. A set with
//! the log that raised the alarm is quarantined until a user releases it, with a reason; both are recorded forever. The
//! same set with a valid log is admitted. For a site, the returned checkpoints are kept as proof.

use std::path::{Path, PathBuf};

use oci::Digest;
use serde::{Deserialize, Serialize};

use super::{LogVerdict, Now, Witness};
use crate::bundle::Error;
use crate::drive_log::{Alarm, DriveLogError, Finding, LogOwner};

/// The maximum number of events of a set; the first ones are kept.
const MOST_EVENTS: usize = 1000;

/// A set that raised an alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// The set.
    pub set: Digest,
    /// Its name.
    pub name: String,
    /// The key that signed it, by its name in the trust file.
    pub signer: String,
    /// The events, in order.
    pub events: Vec<Event>,
}

/// A site whose return medium raised an alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteRecord {
    /// The site, by the name of its witness key.
    pub site: String,
    /// The events, in order.
    pub events: Vec<Event>,
}

/// An event of a quarantined set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Event {
    /// It raised an alarm.
    Alarm {
        /// The time, RFC 3339.
        time: String,
        /// The code of the alarm.
        alarm: String,
        /// The alarm as text.
        detail: String,
        /// The log.
        origin: String,
        /// The signed checkpoint on the drive.
        found: String,
        /// The signed checkpoint that was known; together with the other one, it is the proof.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        known: Option<String>,
    },
    /// It was released.
    Release {
        /// The time, RFC 3339.
        time: String,
        /// The user.
        by: String,
        /// The reason.
        reason: String,
    },
}

/// The verdict on a drive, from the examination of its log and the record of its set. A released alarm is lifted. An alarm
/// that is an error is not in the record yet.
pub(super) fn decide(
    record: Option<&Record>,
    examined: Result<LogVerdict, Error>,
) -> Result<LogVerdict, Error> {
    let Some(record) = record else { return examined };
    let refused = |since: &str, alarm: String| {
        Error::from(DriveLogError::Quarantined { set: record.set.clone(), since: since.to_owned(), alarm })
    };
    match (examined, record.quarantined()) {
        (Err(Error::Alarm(alarm)), _) if record.is_released(&alarm) => {
            Ok(LogVerdict::Lifted { alarm: alarm.to_string() })
        }
        (Err(Error::Alarm(alarm)), _) => Err(match record.quarantined_since(&alarm) {
            Some(since) => refused(since, alarm.to_string()),
            None => Error::Alarm(alarm),
        }),
        // Without a log, this copy cannot be distinguished from the one that raised the alarm.
        (Ok(LogVerdict::NotAsked | LogVerdict::Without), Some((since, alarm))) => {
            Err(refused(since, alarm.to_owned()))
        }
        (Ok(LogVerdict::Proved(finding)), quarantined) => {
            let held = quarantined.map(|(since, alarm)| format!("{since}: {alarm}"));
            Ok(LogVerdict::Proved(Finding { held, ..finding }))
        }
        (examined, _) => examined,
    }
}

impl Record {
    /// The time and text of the alarm, if the set is quarantined.
    #[must_use]
    pub fn quarantined(&self) -> Option<(&str, &str)> {
        match self.events.last() {
            Some(Event::Alarm { time, detail, .. }) => Some((time, detail)),
            Some(Event::Release { .. }) | None => None,
        }
    }

    /// The last event of exactly this alarm: the same kind for the same checkpoint of the same log.
    fn raised(&self, raised: &Alarm) -> Option<usize> {
        self.events.iter().rposition(|event| match event {
            Event::Alarm { alarm, origin, found, .. } => {
                (alarm.as_str(), origin, found) == (raised.kind.code(), &raised.origin, &raised.found)
            }
            Event::Release { .. } => false,
        })
    }

    /// Whether exactly this alarm was released.
    fn is_released(&self, alarm: &Alarm) -> bool {
        self.raised(alarm)
            .is_some_and(|at| self.events.iter().skip(at).any(|event| matches!(event, Event::Release { .. })))
    }

    /// The time since which exactly this alarm quarantines the set.
    fn quarantined_since(&self, alarm: &Alarm) -> Option<&str> {
        let event =
            self.raised(alarm).filter(|_| !self.is_released(alarm)).and_then(|at| self.events.get(at));
        match event {
            Some(Event::Alarm { time, .. }) => Some(time),
            Some(Event::Release { .. }) | None => None,
        }
    }
}

impl Witness {
    fn quarantine(&self, set: &Digest) -> PathBuf {
        self.root.join("quarantine").join(format!("{}-{}.json", set.algorithm(), set.hex()))
    }

    /// The record of a set.
    ///
    /// # Errors
    /// [`DriveLogError::Record`] when it is damaged.
    pub fn record(&self, set: &Digest) -> Result<Option<Record>, Error> {
        self.check_folder()?;
        self.read(&self.quarantine(set))
    }

    /// All records, of quarantined and released sets.
    ///
    /// # Errors
    /// [`DriveLogError::Record`] when one is damaged.
    pub fn quarantined(&self) -> Result<Vec<Record>, Error> {
        let mut found = Vec::new();
        for path in self.records("quarantine")? {
            found.extend(self.read::<Record>(&path)?);
        }
        Ok(found)
    }

    /// Records an alarm, durably.
    pub(super) fn raise(&self, mut record: Record, alarm: &Alarm, now: &Now) -> Result<(), Error> {
        push(&mut record.events, alarm, now);
        self.write(&self.quarantine(&record.set), &record)
    }

    /// Records an alarm about a site's return medium, durably; the same alarm only once. `folder` is the site's folder on
    /// the medium.
    pub(super) fn raise_of_site(&self, folder: &Path, alarm: &Alarm, now: &Now) -> Result<(), Error> {
        let site = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = self.root.join("alarms").join(format!("{site}.json"));
        let known = self.read::<SiteRecord>(&path)?;
        let mut record = known.unwrap_or_else(|| SiteRecord { site, events: Vec::new() });
        let same = |event: &Event| match event {
            Event::Alarm { alarm: code, found, known, .. } => {
                (code.as_str(), found, known) == (alarm.kind.code(), &alarm.found, &alarm.known)
            }
            Event::Release { .. } => false,
        };
        if record.events.iter().any(same) {
            return Ok(());
        }
        push(&mut record.events, alarm, now);
        self.write(&path, &record)
    }

    /// Records an alarm about this store's own log, with the checkpoint that a site saw.
    pub(crate) fn keep_proof(&self, alarm: &Alarm, time: &str) -> Result<(), Error> {
        let LogOwner::Own { site } = &alarm.owner else { return Ok(()) };
        if self.store.is_read_only() {
            return Ok(());
        }
        let _lock = self.lock()?;
        self.raise_of_site(Path::new(site), alarm, &Now { text: time.to_owned(), seconds: 0 })
    }

    /// All sites whose return media raised an alarm.
    ///
    /// # Errors
    /// [`DriveLogError::Record`] when a record is damaged.
    pub fn alarmed_sites(&self) -> Result<Vec<SiteRecord>, Error> {
        let mut found = Vec::new();
        for path in self.records("alarms")? {
            found.extend(self.read::<SiteRecord>(&path)?);
        }
        Ok(found)
    }

    /// Releases a set from quarantine: it may be imported despite this alarm, but not despite another one.
    ///
    /// # Errors
    /// [`DriveLogError::NotQuarantined`].
    pub fn release(&self, set: &Digest, by: &str, reason: &str, now: &Now) -> Result<Record, Error> {
        let absent = || Error::from(DriveLogError::NotQuarantined(set.clone()));
        if self.record(set)?.is_none() {
            return Err(absent());
        }
        let _lock = self.lock()?;
        let mut record =
            self.record(set)?.filter(|record| record.quarantined().is_some()).ok_or_else(absent)?;
        let (by, reason) = (by.to_owned(), reason.to_owned());
        record.events.push(Event::Release { time: now.text.clone(), by, reason });
        self.write(&self.quarantine(set), &record)?;
        Ok(record)
    }
}

fn push(events: &mut Vec<Event>, alarm: &Alarm, now: &Now) {
    events.truncate(MOST_EVENTS - 1);
    events.push(Event::Alarm {
        time: now.text.clone(),
        alarm: alarm.kind.code().to_owned(),
        detail: alarm.to_string(),
        origin: alarm.origin.clone(),
        found: alarm.found.clone(),
        known: alarm.known.clone(),
    });
}
