//! What is counted: how many events there should be of which something is so, and of how many it is.
//!
//! A check is about the period's events. What it compares them with may stand before the period. Most checks can only
//! speak against a control: that each actor has a name shows nothing of what actors may do. What can speak for one,
//! [`Check::proves`] says.
//!
//! - `records`: what a record tells, and the order of records

mod records;

use std::collections::BTreeMap;

use serde::Serialize;

use super::Counts;
use super::framework::Status;
use crate::{Ending, Event, Kind};

/// Names in an event's evidence for the trust file that decided.
pub(crate) const POLICY: &[&str] = &["trust", "policy"];

/// Names in an event's evidence for the key that signed.
pub(crate) const KEY: &[&str] = &["key", "signer"];

/// What an import's evidence says of the drive's log where somebody took the drive all the same.
const BYPASSES: [&str; 2] = ["without", "alarm-released"];

/// The name in a verification's evidence for what was not good enough, where the trust file only warns.
const WARNED: &str = "warned";

/// The name in a push's evidence for what came in that only says something of others, such as a signature.
const HOLDS: &str = "holds";

/// Names in an event's evidence for what fixes where content came from.
pub(crate) const SOURCE: &[&str] = &["lock"];

/// The name in an opened registry's evidence for whether everybody may push.
const OPEN: &str = "anonymousPush";

macro_rules! checks {
    ($($check:ident = $name:literal, $title:literal;)*) => {
        /// Something that should be so.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Check { $(#[doc = $title] $check,)* }

        impl Check {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$check,)*];

            /// Its name for programs.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$check => $name,)* }
            }

            /// What should be so.
            pub(crate) fn title(self) -> &'static str {
                match self { $(Self::$check => $title,)* }
            }
        }
    };
}

checks! {
    Gapless = "gapless", "Every leaf of the log up to the checkpoint is there, proved, and an event";
    FirstLeaf = "first-leaf", "The log begins with the event that says so";
    Parts = "parts", "Of every event that is several leaves, all are there";
    SixFields = "six-fields", "Every event tells what, when, where, from where, the outcome and who";
    TellsWhat = "tells-what", "Every event tells what was done, and to what";
    TellsWhen = "tells-when", "Every event tells its date and time, to the second";
    TellsWhere = "tells-where", "Every event tells the host and the program";
    TellsSource = "tells-source", "Every event tells from where it was asked for: a client's address, or a user's number on the host";
    TellsOutcome = "tells-outcome", "Every event tells how it ended, and why if it was refused or failed";
    SystemClock = "system-clock", "Every event names the system's clock as the source of its time";
    Utc = "utc", "Every event is dated in UTC";
    TimeOrder = "time-order", "No event is dated before the one that is logged before it";
    Attributed = "attributed", "Every change was made by somebody whose name is known";
    ImportsVerified = "imports-verified", "Every import that was done names the key and the trust file that it was verified by, or comes after a verification of the same digests";
    PushesJudged = "pushes-judged", "Every manifest that was pushed was verified before it got a tag, by a key and a trust file that the log names; signatures and attestations need none";
    PolicyNamed = "policy-named", "Every verification that succeeded names the trust file that decided";
    PacksSigned = "packs-signed", "Every drive that was written names the key that signed it";
    DrivesIdentified = "drives-identified", "Every drive that was written or came in is told by its digest";
    PacksTraced = "packs-traced", "Every drive that was written names the lock of a mirroring that was logged before it";
    SourcesLocked = "sources-locked", "Every mirroring that was done names the lock that fixes what came from where";
    ServeClosed = "serve-closed", "Every time that the registry opened, it closed in order";
    LoggedFromStart = "logged-from-start", "Every request of the registry's clients was logged after the registry's opening";
    ClosedToAll = "closed-to-all", "No registry was opened to pushes without a password";
    StoresSound = "stores-sound", "Every comparison of a store with its digests found nothing wrong";
    NoAlarms = "no-alarms", "There was no alarm";
    TrustedKey = "trusted-key", "The log's signature was checked by a key that did not come with the log";
    Cosigned = "cosigned", "Witnesses elsewhere signed the checkpoint, too";
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Its name for programs.
    pub name: &'static str,
    /// What should be so.
    pub title: &'static str,
    /// Of how many it should be.
    pub expected: u64,
    /// Of how many it is.
    pub found: u64,
    /// The leaves of which it is not.
    pub exceptions: Vec<u64>,
    #[serde(skip)]
    pub(crate) check: Check,
}

/// What the checks look at.
pub(crate) struct Facts<'a> {
    pub(crate) counts: &'a Counts,
    pub(crate) events: &'a [(u64, Event)],
    pub(crate) known: &'a Known,
    pub(crate) own_key: bool,
    pub(crate) witnessed: bool,
}

/// What the whole log says, in the period or not.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The first leaf's kind.
    first: Option<Kind>,
    /// Digests that were verified, each with the first leaf that says so.
    verified: BTreeMap<String, u64>,
    /// Locks of what was mirrored, each with the first leaf that says so.
    locks: BTreeMap<String, u64>,
    /// How many registries are open.
    open: u64,
    /// Leaves of clients' requests while no registry was open.
    unopened: Vec<u64>,
}

impl Known {
    /// Takes the leaf with this index; all of them come in order.
    pub(crate) fn take(&mut self, index: u64, event: &Event) {
        if index == 0 {
            self.first = Some(event.event);
        }
        if is_good(event) {
            for digest in &event.object.digests {
                self.verified.entry(digest.clone()).or_insert(index);
            }
        }
        let done = event.outcome.result == Ending::Success;
        match event.event {
            Kind::Mirror if done => {
                let locks = SOURCE.iter().filter_map(|name| event.evidence.get(*name));
                locks.for_each(|lock| _ = self.locks.entry(lock.clone()).or_insert(index));
            }
            Kind::ServeStart if done => self.open += 1,
            Kind::ServeStop => self.open = self.open.saturating_sub(1),
            _ if is_clients(event) && self.open == 0 => self.unopened.push(index),
            _ => {}
        }
    }

    /// Whether a digest was verified before this leaf.
    fn was_verified(&self, digest: &str, before: u64) -> bool {
        self.verified.get(digest).is_some_and(|leaf| *leaf < before)
    }
}

impl Check {
    /// What it means for a control when it is not so.
    pub(crate) fn otherwise(self) -> Status {
        match self {
            Self::TrustedKey | Self::Cosigned | Self::PacksTraced => Status::NotAssessed,
            _ => Status::NotSatisfied,
        }
    }

    /// Whether an event of which it is so speaks for a control: without the event, or if the event said something
    /// else, it would not be so. All others can only speak against a control.
    pub(crate) fn proves(self) -> bool {
        match self {
            Self::Gapless
            | Self::SixFields
            | Self::TellsWhat
            | Self::TellsWhen
            | Self::TellsWhere
            | Self::TellsSource
            | Self::TellsOutcome
            | Self::SystemClock
            | Self::Utc
            | Self::ImportsVerified
            | Self::PushesJudged
            | Self::PacksTraced
            | Self::LoggedFromStart
            | Self::StoresSound => true,
            Self::FirstLeaf
            | Self::Parts
            | Self::TimeOrder
            | Self::Attributed
            | Self::PolicyNamed
            | Self::PacksSigned
            | Self::DrivesIdentified
            | Self::SourcesLocked
            | Self::ServeClosed
            | Self::ClosedToAll
            | Self::NoAlarms
            | Self::TrustedKey
            | Self::Cosigned => false,
        }
    }

    /// Whether this event is one that it is so of, or not.
    pub(crate) fn bears_on(self, event: &Event) -> bool {
        if self == Self::Gapless { event.event != Kind::LogStart } else { self.concerns(event) }
    }

    pub(crate) fn run(self, facts: &Facts<'_>) -> Checked {
        let (expected, found, exceptions) = match self {
            Self::Gapless => (facts.counts.leaves, facts.counts.leaves - facts.counts.no_events, Vec::new()),
            Self::FirstLeaf => (1, u64::from(facts.known.first == Some(Kind::LogStart)), Vec::new()),
            Self::TrustedKey => (1, u64::from(!facts.own_key), Vec::new()),
            Self::Cosigned => (1, u64::from(facts.witnessed), Vec::new()),
            Self::TimeOrder => of_bad(facts, &records::out_of_order(facts.events)),
            Self::Parts => of_bad(facts, &records::incomplete(facts.events)),
            Self::ServeClosed => records::closed(facts.events),
            _ => facts.count(|event| self.concerns(event), |index, event| self.holds(facts, index, event)),
        };
        Checked { name: self.name(), title: self.title(), expected, found, exceptions, check: self }
    }

    /// Whether the check is about this event.
    fn concerns(self, event: &Event) -> bool {
        let done = event.outcome.result == Ending::Success;
        match self {
            Self::SixFields
            | Self::TellsWhat
            | Self::TellsWhen
            | Self::TellsWhere
            | Self::TellsSource
            | Self::TellsOutcome
            | Self::SystemClock
            | Self::Utc => event.event != Kind::LogStart,
            // What was refused changed nothing.
            Self::Attributed => done && changes(event.event),
            Self::ImportsVerified => done && event.event == Kind::Import,
            // A signature needs none, and is no proof that something was signed: who signed says the verification.
            Self::PushesJudged => {
                let kept = event.object.kind != "blob" && !names(event, &[HOLDS]);
                done && event.event == Kind::Push && kept
            }
            Self::PolicyNamed => done && event.event == Kind::Verify,
            Self::PacksSigned | Self::PacksTraced => done && event.event == Kind::Pack,
            Self::DrivesIdentified => done && matches!(event.event, Kind::Pack | Kind::Import),
            Self::SourcesLocked => done && event.event == Kind::Mirror,
            Self::LoggedFromStart => is_clients(event),
            Self::ClosedToAll => done && event.event == Kind::ServeStart && event.evidence.contains_key(OPEN),
            Self::StoresSound => event.event == Kind::StoreCheck,
            Self::NoAlarms => event.event == Kind::Alarm,
            Self::Gapless
            | Self::FirstLeaf
            | Self::Parts
            | Self::TimeOrder
            | Self::ServeClosed
            | Self::TrustedKey
            | Self::Cosigned => false,
        }
    }

    /// Whether it is so of an event that it is about.
    fn holds(self, facts: &Facts<'_>, index: u64, event: &Event) -> bool {
        match self {
            Self::SixFields => records::six_fields(event),
            Self::TellsWhat => records::what(event),
            Self::TellsWhen => records::when(event),
            Self::TellsWhere => records::place(event),
            Self::TellsSource => records::source(event),
            Self::TellsOutcome => records::outcome(event),
            Self::SystemClock => event.time_source == "system-clock",
            Self::Utc => records::is_utc(event),
            Self::Attributed => event.actor.user.is_some() || event.actor.uid.is_some(),
            Self::ImportsVerified => import_verified(facts.known, index, event),
            Self::PushesJudged => {
                let digests = &event.object.digests;
                is_judged(event)
                    || !digests.is_empty()
                        && digests
                            .iter()
                            .all(|digest| facts.known.was_verified(digest, lets_in(index, event)))
            }
            Self::PolicyNamed => names(event, POLICY),
            Self::PacksSigned => names(event, KEY),
            Self::PacksTraced => SOURCE
                .iter()
                .filter_map(|name| event.evidence.get(*name))
                .any(|lock| facts.known.locks.get(lock).is_some_and(|leaf| *leaf < index)),
            Self::DrivesIdentified => !event.object.digests.is_empty(),
            Self::SourcesLocked => names(event, SOURCE),
            Self::LoggedFromStart => facts.known.unopened.binary_search(&index).is_err(),
            Self::ClosedToAll => event.evidence.get(OPEN).is_some_and(|open| open == "false"),
            Self::StoresSound => event.outcome.result == Ending::Success,
            Self::NoAlarms
            | Self::Gapless
            | Self::FirstLeaf
            | Self::Parts
            | Self::TimeOrder
            | Self::ServeClosed
            | Self::TrustedKey
            | Self::Cosigned => false,
        }
    }
}

impl Facts<'_> {
    /// Events, not leaves: of one that is several leaves, the first counts.
    fn count(
        &self,
        concerns: impl Fn(&Event) -> bool,
        holds: impl Fn(u64, &Event) -> bool,
    ) -> (u64, u64, Vec<u64>) {
        let whole = |event: &Event| event.part.is_none_or(|part| part.number == 1);
        let about: Vec<_> = self.events.iter().filter(|(_, event)| whole(event) && concerns(event)).collect();
        let bad: Vec<u64> =
            about.iter().filter(|(index, event)| !holds(*index, event)).map(|(index, _)| *index).collect();
        (about.len() as u64, (about.len() - bad.len()) as u64, bad)
    }
}

/// All leaves of the period but these are as they should be.
fn of_bad(facts: &Facts<'_>, bad: &[u64]) -> (u64, u64, Vec<u64>) {
    let all = facts.events.len() as u64;
    (all, all.saturating_sub(bad.len() as u64), bad.to_vec())
}

/// Whether an event says that its digests are what somebody who is trusted signed: by a key, and by a trust file.
pub(crate) fn is_good(event: &Event) -> bool {
    event.event == Kind::Verify && event.outcome.result == Ending::Success && is_judged(event)
}

/// Before which leaf a manifest that was pushed has to be verified. One without a tag is not let in by that yet: it comes
/// before its signatures, and nobody finds it who does not know its digest.
fn lets_in(index: u64, push: &Event) -> u64 {
    if push.object.name.contains('@') { u64::MAX } else { index }
}

/// Whether an event's own evidence says who signed, and by which trust file that was good enough.
fn is_judged(event: &Event) -> bool {
    names(event, POLICY) && names(event, KEY) && !event.evidence.contains_key(WARNED) && !is_bypass(event)
}

/// Whether an import names what it was verified by, or its set, or all that came, was verified before.
fn import_verified(known: &Known, index: u64, event: &Event) -> bool {
    let digests = &event.object.digests;
    let before = match event.evidence.get("set") {
        Some(set) => known.was_verified(set, index),
        None => !digests.is_empty() && digests.iter().all(|digest| known.was_verified(digest, index)),
    };
    is_judged(event) || before && !event.evidence.contains_key(WARNED) && !is_bypass(event)
}

/// Whether a client of the registry asked for it: such events name nobody of the host.
fn is_clients(event: &Event) -> bool {
    matches!(event.event, Kind::Push | Kind::Delete | Kind::Login) && event.actor.uid.is_none()
}

/// Whether a drive came in without its log, or in spite of an alarm.
fn is_bypass(event: &Event) -> bool {
    event.evidence.get("log").is_some_and(|log| BYPASSES.contains(&log.as_str()))
}

/// Whether evidence of one of these names is there.
pub(crate) fn names(event: &Event, names: &[&str]) -> bool {
    names.iter().any(|name| event.evidence.get(*name).is_some_and(|value| !value.is_empty()))
}

/// Whether an event of this kind changes what is served, or by whose word.
fn changes(kind: Kind) -> bool {
    match kind {
        Kind::KeyGenerate
        | Kind::KeyImport
        | Kind::KeyRotate
        | Kind::KeyRevoke
        | Kind::Sign
        | Kind::Attest
        | Kind::Mirror
        | Kind::Pack
        | Kind::Import
        | Kind::Push
        | Kind::Delete
        | Kind::PolicyWrite
        | Kind::StoreGc
        | Kind::StoreRebuild
        | Kind::AlarmRelease
        | Kind::ClusterInstall
        | Kind::ClusterUninstall
        | Kind::PackageChange
        | Kind::PackageInstall
        | Kind::PackageUpgrade
        | Kind::PackageRollback
        | Kind::PackageRepair
        | Kind::PackageUninstall => true,
        Kind::LogStart
        | Kind::Verify
        | Kind::Login
        | Kind::ServeStart
        | Kind::ServeStop
        | Kind::PolicyCheck
        | Kind::PolicyFirstUse
        | Kind::PolicyChange
        | Kind::StoreCheck
        | Kind::Alarm
        | Kind::Return
        | Kind::Acknowledge => false,
    }
}
