//! Finds events: the index shows where to look, and the events are read from the log. Without an index, the whole log is
//! read.

use rusqlite::types::Value;
use time::OffsetDateTime;
use tlog::tile::WIDTH;

use crate::index::number;
use crate::journal::text;
use crate::{Ending, Event, EventType, Index, Reader, Result};

/// The wanted events: those that match all given members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Not before this time, to the second.
    pub since: Option<OffsetDateTime>,
    /// Before this time, to the second.
    pub until: Option<OffsetDateTime>,
    /// By this user.
    pub actor: Option<String>,
    /// About a digest with this prefix.
    pub digest: Option<String>,
    /// Of this type, or of this group of types, such as `policy`.
    pub event: Option<String>,
    /// With this result.
    pub outcome: Option<Ending>,
    /// About the object with exactly this name.
    pub object: Option<String>,
    /// At most this many of the newest events.
    pub limit: Option<u64>,
}

impl Filter {
    /// Whether an event is wanted, ignoring the limit.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        // All times in a log have the same format, so they can be compared as text.
        self.since.is_none_or(|since| event.time >= text(since))
            && self.until.is_none_or(|until| event.time < text(until))
            && self.actor.as_deref().is_none_or(|actor| event.actor.user.as_deref() == Some(actor))
            && self.event.as_deref().is_none_or(|word| event.event.is(word))
            && self.outcome.is_none_or(|outcome| event.outcome.result == outcome)
            && self.object.as_deref().is_none_or(|object| event.object.name == object)
            && self
                .digest
                .as_deref()
                .is_none_or(|digest| event.object.digests.iter().any(|known| known.starts_with(digest)))
    }

    /// The query for the newest events, in any order, and its values.
    pub(crate) fn sql(&self, below: u64) -> (String, Vec<Value>) {
        let (mut terms, mut values) = (vec!["idx < ?".to_owned()], vec![number(below)]);
        let mut term = |sql: &str, value: Value| {
            terms.push(sql.to_owned());
            values.push(value);
        };
        if let Some(since) = self.since {
            term("time >= ?", Value::Text(text(since)));
        }
        if let Some(until) = self.until {
            term("time < ?", Value::Text(text(until)));
        }
        if let Some(actor) = &self.actor {
            term("actor = ?", Value::Text(actor.clone()));
        }
        if let Some(outcome) = self.outcome {
            term("result = ?", Value::Text(outcome.name().to_owned()));
        }
        if let Some(object) = &self.object {
            term("object = ?", Value::Text(object.clone()));
        }
        if let Some(digest) = &self.digest {
            // The prefix followed by a character after all hexadecimal digits sorts after every digest with this prefix.
            terms.push("idx IN (SELECT idx FROM digests WHERE digest >= ? AND digest < ?)".to_owned());
            values.extend([Value::Text(digest.clone()), Value::Text(format!("{digest}\u{7f}"))]);
        }
        if let Some(word) = &self.event {
            let kinds = EventType::ALL.iter().filter(|kind| kind.is(word));
            let kinds: Vec<Value> = kinds.map(|kind| Value::Text(kind.name().to_owned())).collect();
            terms.push(format!("event IN ({})", vec!["?"; kinds.len()].join(", ")));
            values.extend(kinds);
        }
        let sql = format!("SELECT idx FROM events WHERE {} ORDER BY idx DESC", terms.join(" AND "));
        (self.limit.map_or_else(|| sql.clone(), |limit| format!("{sql} LIMIT {limit}")), values)
    }
}

/// Passes the wanted events to `each` in the order of the log, each proved first, and returns their number. Neither the
/// events nor their indexes are held in memory.
///
/// # Errors
/// An error of the index or the log, or the error of `each`.
pub fn search(
    reader: &Reader,
    index: &Index,
    filter: &Filter,
    each: &mut dyn FnMut(u64, Event) -> Result<()>,
) -> Result<u64> {
    let mut found = 0;
    let mut wanted = |number: u64, event: Event| {
        if !filter.wants(&event) {
            return Ok(());
        }
        found += 1;
        each(number, event)
    };
    match index.candidates(filter, reader.size())? {
        Some(candidates) => {
            candidates.each(&mut |number| wanted(number, reader.event(number)?))?;
        }
        None => scan(reader, begin(reader, filter)?, &mut wanted)?,
    }
    Ok(found)
}

/// Passes all events from an entry on to `each`.
fn scan(reader: &Reader, begin: u64, each: &mut dyn FnMut(u64, Event) -> Result<()>) -> Result<()> {
    for bundle in begin / WIDTH..reader.size().div_ceil(WIDTH) {
        let entries = reader.bundle(bundle)?;
        for (number, entry) in (bundle * WIDTH..).zip(&*entries).filter(|(number, _)| *number >= begin) {
            if let Ok(event) = Event::parse(entry) {
                each(number, event)?;
            }
        }
    }
    Ok(())
}

/// The index at which the newest wanted events begin, found from the end of the log.
fn begin(reader: &Reader, filter: &Filter) -> Result<u64> {
    let Some(mut left) = filter.limit else { return Ok(0) };
    for bundle in (0..reader.size().div_ceil(WIDTH)).rev() {
        let entries = reader.bundle(bundle)?;
        for (position, entry) in entries.iter().enumerate().rev() {
            if left == 0 {
                return Ok(bundle * WIDTH + position as u64 + 1);
            }
            left -= u64::from(Event::parse(entry).is_ok_and(|event| filter.wants(&event)));
        }
    }
    Ok(0)
}
