//! Finding events: the index says where to look, the log says what is there. Where no index can be kept, all of the log is
//! looked through.

use rusqlite::types::Value;
use time::OffsetDateTime;
use tlog::tile::WIDTH;

use crate::index::number;
use crate::journal::text;
use crate::{Ending, Event, EventType, Index, Reader, Result};

/// Which events are wanted: those that all that is given applies to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Not before this time, by the second.
    pub since: Option<OffsetDateTime>,
    /// Before this time, by the second.
    pub until: Option<OffsetDateTime>,
    /// By this user.
    pub actor: Option<String>,
    /// About a digest that begins like this.
    pub digest: Option<String>,
    /// Of this kind, or of the kinds that begin with this word: `push`, `policy`.
    pub event: Option<String>,
    /// That ended like this.
    pub outcome: Option<Ending>,
    /// About what has exactly this name.
    pub object: Option<String>,
    /// At most so many, the newest.
    pub limit: Option<u64>,
}

impl Filter {
    /// Whether an event is wanted. What is left out of account is the limit.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        // All times in a log have one form, so that their order is that of their text.
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

    /// Finds the newest so many, in any order.
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
            // Digests are hexadecimal: what begins so sorts before it followed by `g`.
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

/// Gives the wanted events in the order of the log, each proved. Neither the events nor their indexes are held in memory.
///
/// # Errors
/// What is wrong with the index or the log, or what `each` says.
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

/// Reads all events from an entry on.
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

/// The first of the newest events that are wanted, found from the end of the log.
fn begin(reader: &Reader, filter: &Filter) -> Result<u64> {
    let Some(mut left) = filter.limit else { return Ok(0) };
    for bundle in (0..reader.size().div_ceil(WIDTH)).rev() {
        let entries = reader.bundle(bundle)?;
        for (place, entry) in entries.iter().enumerate().rev() {
            if left == 0 {
                return Ok(bundle * WIDTH + place as u64 + 1);
            }
            left -= u64::from(Event::parse(entry).is_ok_and(|event| filter.wants(&event)));
        }
    }
    Ok(0)
}
