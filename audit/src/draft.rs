//! An event that has not ended yet. The operation adds data as it goes, so that a failure is also logged with its object.

use std::collections::BTreeMap;

use crate::event::{Actor, Component, Event, EventType, Object, Outcome, Part, VERSION};

/// The maximum number of digests in an entry: with the longest ones, it stays below the 65,535 bytes of tlog-tiles.
const MAX_DIGESTS: usize = 256;

/// The maximum number of characters of a name or detail, which come from files, drives and clients.
const MAX_TEXT: usize = 1024;

/// The clock that gives events their time.
const TIME_SOURCE: &str = "system-clock";

/// An event that has not ended yet.
#[derive(Clone, Debug)]
pub struct Draft {
    kind: EventType,
    object: Object,
    evidence: BTreeMap<String, String>,
    actor: Option<Actor>,
}

/// The user, host and program: the same for all events of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSource {
    /// The user who runs the program.
    pub actor: Actor,
    /// The host name.
    pub host: String,
    /// The program.
    pub component: Component,
}

impl EventSource {
    /// The source of this process's events.
    #[must_use]
    pub fn of_process(name: &str, version: &str) -> Self {
        let uid = rustix::process::getuid().as_raw();
        Self {
            actor: Actor { user: user_name(uid), uid: Some(uid), address: None },
            host: cut(&rustix::system::uname().nodename().to_string_lossy()),
            component: Component { name: name.to_owned(), version: version.to_owned() },
        }
    }
}

/// The user name from `/etc/passwd`: a static binary has no other way to find it.
fn user_name(uid: u32) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let line = lines.find(|fields| fields.get(2).and_then(|field| field.parse().ok()) == Some(uid))?;
    line.first().map(|name| cut(name))
}

impl Draft {
    /// An event about an object, given by its kind and name.
    #[must_use]
    pub fn new(kind: EventType, object: &str, name: &str) -> Self {
        let object = Object { kind: object.to_owned(), name: cut(name), digests: Vec::new() };
        Self { kind, object, evidence: BTreeMap::new(), actor: None }
    }

    /// Changes the name of the object.
    pub fn name(&mut self, name: &str) {
        self.object.name = cut(name);
    }

    /// Adds digests of the object, without duplicates.
    pub fn digests(&mut self, digests: impl IntoIterator<Item = String>) {
        self.object.digests.extend(digests);
        self.object.digests.sort();
        self.object.digests.dedup();
    }

    /// Adds evidence that the outcome is based on.
    pub fn evidence(&mut self, name: &str, value: &(impl ToString + ?Sized)) {
        self.evidence.insert(name.to_owned(), cut(&value.to_string()));
    }

    /// Sets a user of the registry as the actor, instead of the user who runs the program.
    pub fn by(&mut self, user: Option<&str>, address: Option<&str>) {
        self.actor = Some(Actor { user: user.map(cut), uid: None, address: address.map(cut) });
    }

    /// Ends the event and returns its entries. `time` is RFC 3339, UTC.
    #[must_use]
    pub fn end(self, outcome: &Outcome, source: &EventSource, time: &str) -> Vec<Event> {
        let Self { kind, object, evidence, actor } = self;
        let actor = actor.unwrap_or_else(|| source.actor.clone());
        let mut parts: Vec<Vec<String>> =
            object.digests.chunks(MAX_DIGESTS).map(<[String]>::to_vec).collect();
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        let of = parts.len();
        let one = |(number, digests)| Event {
            v: VERSION,
            time: time.to_owned(),
            time_source: TIME_SOURCE.to_owned(),
            event: kind,
            actor: actor.clone(),
            host: source.host.clone(),
            component: source.component.clone(),
            object: Object { kind: object.kind.clone(), name: object.name.clone(), digests },
            outcome: outcome.clone(),
            evidence: evidence.clone(),
            part: (of > 1).then_some(Part { number, of }),
        };
        (1..).zip(parts).map(one).collect()
    }
}

/// Truncates a text to the length that an entry has room for, and escapes invisible characters.
#[must_use]
pub fn cut(text: &str) -> String {
    tlog::text::line(text).chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ending;

    #[test]
    fn an_event_with_too_many_digests_has_several_entries() {
        let mut draft = Draft::new(EventType::Mirror, "lock", &"\u{1}".repeat(5000));
        draft.digests((0..600).map(|number| format!("sha512:{number:0128}")));
        draft.digests(["sha512:".to_owned() + &"0".repeat(128)]);
        draft.evidence("lock", &"\u{1}".repeat(5000));
        let detail = Some(cut(&"\u{1}".repeat(5000)));
        let outcome = Outcome { result: Ending::Failed, reason: None, detail };
        let events = draft.end(&outcome, &EventSource::of_process("airlock", "0"), "2026-01-02T03:04:05Z");
        assert_eq!(events.iter().map(|event| event.object.digests.len()).sum::<usize>(), 600);
        assert_eq!(events[2].part, Some(Part { number: 3, of: 3 }));
        assert!(events.iter().all(|event| event.to_bytes().len() <= tlog::tile::MAX_ENTRY));
    }
}
