//! Writes to a log.
//!
//! A log is created completely in a folder with another name, which is then renamed. A log's folder without its key or
//! checkpoint is therefore always damaged, and never mistaken for a new log.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tlog::{Log, VerifierKey};

use crate::{Draft, Error, Event, EventSource, EventType, Outcome, Result, key};

/// The name of a log's folder in a store.
const FOLDER: &str = "log";

/// A log, open for writing. Other processes can write to it at the same time.
pub struct Journal {
    log: Log,
    source: EventSource,
}

impl Journal {
    /// The folder of a store's log.
    #[must_use]
    pub fn folder(store: &Path) -> PathBuf {
        store.join(FOLDER)
    }

    /// Opens the log at `folder`, or creates it with its own key if it does not exist. The parent folder must exist.
    ///
    /// # Errors
    /// [`Error::Unlogged`] when the log is damaged or cannot be written, [`Error::Io`], or an error of its key.
    pub fn open(folder: &Path, source: EventSource) -> Result<Self> {
        if !folder.exists() {
            create(folder, &source)?;
        }
        let unlogged = |source| Error::Unlogged { log: folder.to_owned(), source: Arc::new(source) };
        Ok(Self { log: Log::open(folder, key::load(folder)?).map_err(unlogged)?, source })
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

    /// Ends an event now, logs it and returns the indexes of its entries. When this returns, the event is durable and
    /// covered by a signed checkpoint. Concurrent calls share one flush and one signature.
    ///
    /// # Errors
    /// [`Error::Unlogged`].
    pub fn record(&self, draft: Draft, outcome: &Outcome) -> Result<Range<u64>> {
        self.record_at(OffsetDateTime::now_utc(), vec![(draft, outcome)])
    }

    /// Like [`Self::record`], for several events that ended at the same time.
    ///
    /// # Errors
    /// [`Error::Unlogged`].
    pub fn record_at(&self, time: OffsetDateTime, ended: Vec<(Draft, &Outcome)>) -> Result<Range<u64>> {
        let time = text(time);
        let events = ended.into_iter().flat_map(|(draft, outcome)| draft.end(outcome, &self.source, &time));
        let entries = events.map(|event: Event| event.to_bytes()).collect();
        let unlogged = |source| Error::Unlogged { log: self.path().to_owned(), source };
        self.log.append(entries).map_err(unlogged)
    }
}

/// RFC 3339 in UTC, to the second.
pub(crate) fn text(time: OffsetDateTime) -> String {
    let time = time.to_offset(time::UtcOffset::UTC);
    let whole = time.replace_nanosecond(0).unwrap_or(time);
    // RFC 3339 cannot express a year after 9999.
    whole.format(&Rfc3339).unwrap_or_default()
}

/// Creates a log with its start event. Of several concurrent calls, one wins, and the others use its log.
fn create(folder: &Path, source: &EventSource) -> Result<()> {
    let above = private::folder_of(folder);
    let temporary = tempfile::Builder::new()
        .prefix("log.new")
        .tempdir_in(above)
        .map_err(Error::io("create a log in", above))?;
    let path = temporary.path();
    private::restrict(path).map_err(Error::io("protect", path))?;
    let journal = Journal { log: Log::create(path, key::generate(path)?)?, source: source.clone() };
    let mut draft = Draft::new(EventType::LogStart, "log", &journal.log.origin());
    draft.evidence("key", &journal.verifier());
    journal.record(draft, &Outcome::success())?;
    drop(journal);
    match private::rename(path, folder) {
        Ok(()) => private::sync_folder(above).map_err(Error::io("flush", above)),
        Err(_) if folder.exists() => Ok(()),
        Err(error) => Err(Error::io("create", folder)(error)),
    }
}
