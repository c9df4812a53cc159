//! An event that is not ended yet: work fills in what it meets, so that also a failure says what it was about.

use std::collections::BTreeMap;

use crate::event::{Actor, Component, Event, EventType, Object, Outcome, Part, VERSION};

/// Digests in one entry: with the longest ones it stays below tlog-tiles' 65,535 bytes.
const DIGESTS: usize = 256;

/// Characters of a name or detail. They come from files, drives and clients.
const TEXT: usize = 1024;

/// The clock that events are dated by.
const TIME_SOURCE: &str = "system-clock";

/// What is known of an event so far.
#[derive(Clone, Debug)]
pub struct Draft {
    kind: EventType,
    object: Object,
    evidence: BTreeMap<String, String>,
    actor: Option<Actor>,
}

/// Who, where and by which program: the same for all events of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Station {
    /// Who runs the program.
    pub actor: Actor,
    /// The machine.
    pub host: String,
    /// The program.
    pub component: Component,
}

impl Station {
    /// This process.
    #[must_use]
    pub fn of_process(name: &str, version: &str) -> Self {
        let uid = rustix::process::getuid().as_raw();
        Self {
            actor: Actor { user: login(uid), uid: Some(uid), address: None },
            host: cut(&rustix::system::uname().nodename().to_string_lossy()),
            component: Component { name: name.to_owned(), version: version.to_owned() },
        }
    }
}

/// The name that `/etc/passwd` gives; a static binary has no other way to ask.
fn login(uid: u32) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let line = lines.find(|fields| fields.get(2).and_then(|field| field.parse().ok()) == Some(uid))?;
    line.first().map(|name| cut(name))
}

impl Draft {
    /// An event about an object, by a word for what it is and its name.
    #[must_use]
    pub fn new(kind: EventType, object: &str, name: &str) -> Self {
        let object = Object { kind: object.to_owned(), name: cut(name), digests: Vec::new() };
        Self { kind, object, evidence: BTreeMap::new(), actor: None }
    }

    /// Names the object better.
    pub fn name(&mut self, name: &str) {
        self.object.name = cut(name);
    }

    /// Adds what it was done to; each digest once.
    pub fn digests(&mut self, digests: impl IntoIterator<Item = String>) {
        self.object.digests.extend(digests);
        self.object.digests.sort();
        self.object.digests.dedup();
    }

    /// Adds what the outcome rests on.
    pub fn evidence(&mut self, name: &str, value: &(impl ToString + ?Sized)) {
        self.evidence.insert(name.to_owned(), cut(&value.to_string()));
    }

    /// A user of the registry did it, not whoever runs the program.
    pub fn by(&mut self, user: Option<&str>, address: Option<&str>) {
        self.actor = Some(Actor { user: user.map(cut), uid: None, address: address.map(cut) });
    }

    /// Ends the event; gives its entries. `time` is RFC 3339, UTC.
    #[must_use]
    pub fn end(self, outcome: &Outcome, station: &Station, time: &str) -> Vec<Event> {
        let Self { kind, object, evidence, actor } = self;
        let actor = actor.unwrap_or_else(|| station.actor.clone());
        let mut parts: Vec<Vec<String>> = object.digests.chunks(DIGESTS).map(<[String]>::to_vec).collect();
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
            host: station.host.clone(),
            component: station.component.clone(),
            object: Object { kind: object.kind.clone(), name: object.name.clone(), digests },
            outcome: outcome.clone(),
            evidence: evidence.clone(),
            part: (of > 1).then_some(Part { number, of }),
        };
        (1..).zip(parts).map(one).collect()
    }
}

/// At most as much text as an entry has room for, in which nothing is hidden: whoever reads the log has it in the open.
#[must_use]
pub fn cut(text: &str) -> String {
    tlog::text::line(text).chars().take(TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ending;

    #[test]
    fn what_does_not_fit_into_one_entry_is_several() {
        let mut draft = Draft::new(EventType::Mirror, "lock", &"\u{1}".repeat(5000));
        draft.digests((0..600).map(|number| format!("sha512:{number:0128}")));
        draft.digests(["sha512:".to_owned() + &"0".repeat(128)]);
        draft.evidence("lock", &"\u{1}".repeat(5000));
        let detail = Some(cut(&"\u{1}".repeat(5000)));
        let outcome = Outcome { result: Ending::Failed, reason: None, detail };
        let events = draft.end(&outcome, &Station::of_process("airlock", "0"), "2026-01-02T03:04:05Z");
        assert_eq!(events.iter().map(|event| event.object.digests.len()).sum::<usize>(), 600);
        assert_eq!(events[2].part, Some(Part { number: 3, of: 3 }));
        assert!(events.iter().all(|event| event.to_bytes().len() <= tlog::tile::MAX_ENTRY));
    }
}
