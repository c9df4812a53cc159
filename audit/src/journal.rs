//! Writing to a log.
//!
//! A log is made whole in a folder of another name and then renamed, so that a log's folder without its key or
//! checkpoint is always damage, and never mistaken for a new one.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tlog::{Log, VerifierKey};

use crate::{Draft, Error, Event, EventType, Outcome, Result, Station, key};

/// The name of a log's folder in a store.
const FOLDER: &str = "log";

/// A log, open for writing; other processes may write to it, too.
pub struct Journal {
    log: Log,
    station: Station,
}

impl Journal {
    /// The folder of a store's log.
    #[must_use]
    pub fn folder(store: &Path) -> PathBuf {
        store.join(FOLDER)
    }

    /// Opens the log at `folder`; makes it, with a key of its own, if there is nothing. The folder above must be
    /// there.
    ///
    /// # Errors
    /// [`Error::Unlogged`] when the log is damaged or cannot be written, [`Error::Io`], or what is wrong with its key.
    pub fn open(folder: &Path, station: Station) -> Result<Self> {
        if !folder.exists() {
            make(folder, &station)?;
        }
        let unlogged = |source| Error::Unlogged { log: folder.to_owned(), source: Arc::new(source) };
        Ok(Self { log: Log::open(folder, key::load(folder)?).map_err(unlogged)?, station })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.log.path()
    }

    /// The public half of the log's key.
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        self.log.verifier()
    }

    /// Ends an event now and logs it; gives its entries' indexes. When this returned, the event is durable and under
    /// a signed checkpoint. Calls at the same time share one flush and one signature.
    ///
    /// # Errors
    /// [`Error::Unlogged`].
    pub fn record(&self, draft: Draft, outcome: &Outcome) -> Result<Range<u64>> {
        self.record_at(OffsetDateTime::now_utc(), vec![(draft, outcome)])
    }

    /// As [`Self::record`], for several events that ended at one time.
    ///
    /// # Errors
    /// [`Error::Unlogged`].
    pub fn record_at(&self, time: OffsetDateTime, ended: Vec<(Draft, &Outcome)>) -> Result<Range<u64>> {
        let time = text(time);
        let events = ended.into_iter().flat_map(|(draft, outcome)| draft.end(outcome, &self.station, &time));
        let entries = events.map(|event: Event| event.to_bytes()).collect();
        let unlogged = |source| Error::Unlogged { log: self.path().to_owned(), source };
        self.log.append(entries).map_err(unlogged)
    }
}

/// RFC 3339 in UTC, by the second.
pub(crate) fn text(time: OffsetDateTime) -> String {
    let time = time.to_offset(time::UtcOffset::UTC);
    let whole = time.replace_nanosecond(0).unwrap_or(time);
    // A year beyond 9999 has no such form.
    whole.format(&Rfc3339).unwrap_or_default()
}

/// Makes a log whose first entry says so. Of several that do so at once one wins, and the others use its log.
fn make(folder: &Path, station: &Station) -> Result<()> {
    let above = private::folder_of(folder);
    let temporary = tempfile::Builder::new()
        .prefix("log.new")
        .tempdir_in(above)
        .map_err(Error::io("make a log in", above))?;
    let path = temporary.path();
    private::restrict(path).map_err(Error::io("protect", path))?;
    let journal = Journal { log: Log::create(path, key::make(path)?)?, station: station.clone() };
    let mut draft = Draft::new(EventType::LogStart, "log", &journal.log.origin());
    draft.evidence("key", &journal.verifier());
    journal.record(draft, &Outcome::success())?;
    drop(journal);
    match private::rename(path, folder) {
        Ok(()) => private::sync_folder(above).map_err(Error::io("flush", above)),
        Err(_) if folder.exists() => Ok(()),
        Err(error) => Err(Error::io("make", folder)(error)),
    }
}
