//! Sets that raised an alarm. Each stays out until somebody lifts it, with a reason; neither is ever forgotten.

use std::path::PathBuf;

use oci::Digest;
use serde::{Deserialize, Serialize};

use super::{Now, Witness};
use crate::bundle::Error;
use crate::drive_log::{Alarm, Refusal};

/// More events of one set than this are not kept: the first ones are.
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
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// Something that happened to a quarantined set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Event {
    /// It raised an alarm.
    Alarm {
        /// When, RFC 3339.
        time: String,
        /// A word for what it is.
        alarm: String,
        /// The same for people.
        detail: String,
        /// The log.
        origin: String,
        /// The signed checkpoint on the drive.
        found: String,
        /// The signed checkpoint that was known: with the other one, proof for everybody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        known: Option<String>,
    },
    /// It was lifted.
    Release {
        /// When, RFC 3339.
        time: String,
        /// Who says so.
        by: String,
        /// Why.
        reason: String,
    },
}

impl Record {
    /// Whether it is to stay out: the alarm's time and words.
    #[must_use]
    pub fn held(&self) -> Option<(&str, &str)> {
        match self.events.last() {
            Some(Event::Alarm { time, detail, .. }) => Some((time, detail)),
            Some(Event::Release { .. }) | None => None,
        }
    }

    /// Whether somebody lifted exactly this alarm: the same finding about the same log.
    pub(super) fn lifted(&self, alarm: &Alarm) -> bool {
        let last = self.events.iter().rev().find_map(|event| match event {
            Event::Alarm { alarm, origin, found, .. } => Some((alarm.as_str(), origin, found)),
            Event::Release { .. } => None,
        });
        self.held().is_none() && last == Some((alarm.kind.word(), &alarm.origin, &alarm.found))
    }
}

impl Witness {
    fn quarantine(&self, set: &Digest) -> PathBuf {
        self.root.join("quarantine").join(format!("{}-{}.json", set.algorithm(), set.hex()))
    }

    /// What is recorded of a set.
    ///
    /// # Errors
    /// [`Refusal::Record`] when it is damaged.
    pub fn record(&self, set: &Digest) -> Result<Option<Record>, Error> {
        self.read(&self.quarantine(set))
    }

    /// All records, of held and lifted sets.
    ///
    /// # Errors
    /// [`Refusal::Record`] when one is damaged.
    pub fn quarantined(&self) -> Result<Vec<Record>, Error> {
        let mut found = Vec::new();
        for path in self.records("quarantine")? {
            found.extend(self.read::<Record>(&path)?);
        }
        Ok(found)
    }

    /// Refuses a set that is held.
    pub(super) fn refuse_quarantined(&self, set: &Digest) -> Result<Option<Record>, Error> {
        let record = self.record(set)?;
        if let Some((since, alarm)) = record.as_ref().and_then(Record::held) {
            let (since, alarm) = (since.to_owned(), alarm.to_owned());
            return Err(Refusal::Quarantined { set: set.clone(), since, alarm }.into());
        }
        Ok(record)
    }

    /// Records an alarm, durably.
    pub(super) fn raise(&self, mut record: Record, alarm: &Alarm, now: &Now) -> Result<(), Error> {
        if record.events.len() >= MOST_EVENTS {
            record.events.truncate(MOST_EVENTS - 1);
        }
        record.events.push(Event::Alarm {
            time: now.text.clone(),
            alarm: alarm.kind.word().to_owned(),
            detail: alarm.to_string(),
            origin: alarm.origin.clone(),
            found: alarm.found.clone(),
            known: alarm.known.clone(),
        });
        self.write(&self.quarantine(&record.set), &record)
    }

    /// Lifts a quarantine: the set may be imported in spite of this alarm, and of no other.
    ///
    /// # Errors
    /// [`Refusal::NotQuarantined`].
    pub fn release(&self, set: &Digest, by: &str, reason: &str, now: &Now) -> Result<Record, Error> {
        let absent = || Error::from(Refusal::NotQuarantined(set.clone()));
        if self.record(set)?.is_none() {
            return Err(absent());
        }
        let _held = self.lock()?;
        let mut record = self.record(set)?.filter(|record| record.held().is_some()).ok_or_else(absent)?;
        let (by, reason) = (by.to_owned(), reason.to_owned());
        record.events.push(Event::Release { time: now.text.clone(), by, reason });
        self.write(&self.quarantine(set), &record)?;
        Ok(record)
    }
}
