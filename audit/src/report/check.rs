//! What is counted: how many events there should be of which something is so, and of how many it is.
//!
//! A check is about the period's events. What it compares them with may stand before the period.

use std::collections::BTreeSet;

use serde::Serialize;

use super::framework::Status;
use super::{Counts, moment};
use crate::{Ending, Event, Kind};

/// Names in an event's evidence for the trust file that decided.
pub(crate) const POLICY: &[&str] = &["trust", "policy"];

/// Names in an event's evidence for the key that signed.
pub(crate) const KEY: &[&str] = &["key", "signer", "verdict", "signature"];

/// What an import's evidence says of the drive's log where somebody took the drive all the same.
const BYPASSES: [&str; 2] = ["without", "alarm-released"];

/// The name in a verification's evidence for what was not good enough, where the trust file only warns.
const WARNED: &str = "warned";

/// Names in an event's evidence for what fixes where content came from.
const SOURCE: &[&str] = &["lock"];

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
    TimeOrder = "time-order", "No event is dated before the one that is logged before it, and all are in UTC";
    Attributed = "attributed", "Every change was made by somebody whose name is known";
    ImportsVerified = "imports-verified", "Every import that was done names the key and the trust file that it was verified by, or comes after a verification of the same digests";
    PushesJudged = "pushes-judged", "Every manifest that was pushed has a good verdict on its signature: its own, or a verification of its digest";
    PolicyNamed = "policy-named", "Every verification that succeeded names the trust file that decided";
    PacksSigned = "packs-signed", "Every drive that was written names the key that signed it";
    DrivesIdentified = "drives-identified", "Every drive that was written or came in is told by its digest";
    SourcesLocked = "sources-locked", "Every mirroring that was done names the lock that fixes what came from where";
    ServeClosed = "serve-closed", "Every time that the registry opened, it closed in order";
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
    /// The first leaf, whenever it was.
    pub(crate) first: Option<Kind>,
    /// Digests that were verified, each with the first leaf that says so.
    pub(crate) verified: &'a std::collections::BTreeMap<String, u64>,
    pub(crate) own_key: bool,
    pub(crate) witnessed: bool,
}

impl Check {
    /// What it means for a control when it is not so.
    pub(crate) fn otherwise(self) -> Status {
        match self {
            Self::TrustedKey | Self::Cosigned => Status::NoEvidence,
            _ => Status::NotSatisfied,
        }
    }

    pub(crate) fn run(self, facts: &Facts<'_>) -> Checked {
        let (expected, found, exceptions) = match self {
            Self::Gapless => (facts.counts.leaves, facts.counts.leaves - facts.counts.no_events, Vec::new()),
            Self::FirstLeaf => (1, u64::from(facts.first == Some(Kind::LogStart)), Vec::new()),
            Self::TrustedKey => (1, u64::from(!facts.own_key), Vec::new()),
            Self::Cosigned => (1, u64::from(facts.witnessed), Vec::new()),
            Self::TimeOrder => of_bad(facts, &out_of_order(facts)),
            Self::Parts => of_bad(facts, &incomplete(facts)),
            Self::ServeClosed => closed(facts),
            _ => facts.count(|event| self.concerns(event), |index, event| self.holds(facts, index, event)),
        };
        Checked { name: self.name(), title: self.title(), expected, found, exceptions, check: self }
    }

    /// Whether it is about the log or all of its leaves, and not about what was done.
    pub(crate) fn is_of_all(self) -> bool {
        matches!(
            self,
            Self::Gapless
                | Self::FirstLeaf
                | Self::Parts
                | Self::SixFields
                | Self::TimeOrder
                | Self::ServeClosed
                | Self::TrustedKey
                | Self::Cosigned
        )
    }

    /// Whether the check is about this event.
    fn concerns(self, event: &Event) -> bool {
        let done = event.outcome.result == Ending::Success;
        match self {
            Self::SixFields => true,
            // What was refused changed nothing.
            Self::Attributed => done && changes(event.event),
            Self::ImportsVerified => done && event.event == Kind::Import,
            Self::PushesJudged => done && event.event == Kind::Push && event.object.kind != "blob",
            Self::PolicyNamed => done && event.event == Kind::Verify,
            Self::PacksSigned => done && event.event == Kind::Pack,
            Self::DrivesIdentified => done && matches!(event.event, Kind::Pack | Kind::Import),
            Self::SourcesLocked => done && event.event == Kind::Mirror,
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
        let verified = |from: u64| {
            event
                .object
                .digests
                .iter()
                .any(|digest| facts.verified.get(digest).is_some_and(|leaf| *leaf < from))
        };
        match self {
            Self::SixFields => six_fields(event),
            Self::Attributed => event.actor.user.is_some() || event.actor.uid.is_some(),
            Self::ImportsVerified => {
                !is_bypass(event) && (names(event, POLICY) && names(event, KEY) || verified(index))
            }
            Self::PushesJudged => names(event, KEY) || verified(u64::MAX),
            Self::PolicyNamed => names(event, POLICY),
            Self::PacksSigned => names(event, KEY),
            Self::DrivesIdentified => !event.object.digests.is_empty(),
            Self::SourcesLocked => names(event, SOURCE),
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

/// Whether an event says that its digests are what somebody who is trusted signed.
pub(crate) fn is_good(event: &Event) -> bool {
    event.event == Kind::Verify
        && event.outcome.result == Ending::Success
        && !event.evidence.contains_key(WARNED)
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

fn six_fields(event: &Event) -> bool {
    let actor = &event.actor;
    !event.time.is_empty()
        && !event.host.is_empty()
        && !event.component.name.is_empty()
        && !event.object.kind.is_empty()
        && (actor.user.is_some() || actor.uid.is_some() || actor.address.is_some())
}

fn out_of_order(facts: &Facts<'_>) -> Vec<u64> {
    let (mut bad, mut last) = (Vec::new(), None);
    for (index, event) in facts.events {
        let time = moment(&event.time).filter(|time| time.offset().is_utc());
        if time.is_none() || last.is_some_and(|last| time < Some(last)) {
            bad.push(*index);
        }
        last = last.max(time);
    }
    bad
}

/// The parts of an event are leaves that follow each other.
fn incomplete(facts: &Facts<'_>) -> Vec<u64> {
    let mut bad = Vec::new();
    let indexes: BTreeSet<(u64, usize, usize)> = facts
        .events
        .iter()
        .filter_map(|(index, event)| event.part.map(|part| (*index, part.number, part.of)))
        .collect();
    for (index, number, of) in &indexes {
        let last = number == of || indexes.contains(&(index + 1, number + 1, *of));
        let first = *number == 1 || *index > 0 && indexes.contains(&(index - 1, number - 1, *of));
        if !last || !first {
            bad.push(*index);
        }
    }
    bad
}

/// Openings that no closing follows before the next one; that of a registry that still serves is the last leaf of
/// its kind, and is not counted.
fn closed(facts: &Facts<'_>) -> (u64, u64, Vec<u64>) {
    let turns = facts.events.iter().filter(|(_, e)| matches!(e.event, Kind::ServeStart | Kind::ServeStop));
    let (mut open, mut expected, mut bad) = (None, 0, Vec::new());
    for (index, event) in turns.filter(|(_, event)| event.outcome.result == Ending::Success) {
        if event.event == Kind::ServeStart {
            bad.extend(open.replace(*index));
            expected += 1;
        } else {
            open = None;
        }
    }
    expected -= u64::from(open.is_some());
    (expected, expected - bad.len() as u64, bad)
}
