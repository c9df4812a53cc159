//! What is counted: how many events there should be of which something is so, and of how many it is.
//!
//! A check is about the period's events. What it compares them with may stand before the period. Events come one by one, in
//! the order of the log, and none is kept: a check holds counts and the first and last indexes of its exceptions. Most checks
//! can only speak against a control: that each actor has a name shows nothing of what actors may do. What can speak for
//! one, [`Check::proves`] says.
//!
//! - `records`: what a record tells, and the order of records; `known`: what the log said before; `tally`: counts

mod known;
mod records;
mod tally;

use super::framework::Status;
use crate::{Ending, Event, EventType};

pub(crate) use self::known::Known;
pub use self::tally::{Checked, Vouched};
pub(crate) use self::tally::{Checks, Class, Ends};

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
        if self == Self::Gapless { event.event != EventType::LogStart } else { self.concerns(event) }
    }

    /// Whether the check is about this event.
    pub(super) fn concerns(self, event: &Event) -> bool {
        let done = event.outcome.result == Ending::Success;
        match self {
            Self::SixFields
            | Self::TellsWhat
            | Self::TellsWhen
            | Self::TellsWhere
            | Self::TellsSource
            | Self::TellsOutcome
            | Self::SystemClock
            | Self::Utc => event.event != EventType::LogStart,
            // What was refused changed nothing.
            Self::Attributed => done && changes(event.event),
            Self::ImportsVerified => done && event.event == EventType::Import,
            // A signature needs none, and is no proof that something was signed: who signed says the verification.
            Self::PushesJudged => {
                let kept = event.object.kind != "blob" && !names(event, &[HOLDS]);
                done && event.event == EventType::Push && kept
            }
            Self::PolicyNamed => done && event.event == EventType::Verify,
            Self::PacksSigned | Self::PacksTraced => done && event.event == EventType::Pack,
            Self::DrivesIdentified => done && matches!(event.event, EventType::Pack | EventType::Import),
            Self::SourcesLocked => done && event.event == EventType::Mirror,
            Self::LoggedFromStart => is_clients(event),
            Self::ClosedToAll => {
                done && event.event == EventType::ServeStart && event.evidence.contains_key(OPEN)
            }
            Self::StoresSound => event.event == EventType::StoreCheck,
            Self::NoAlarms => event.event == EventType::Alarm,
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
    pub(super) fn holds(self, known: &Known, event: &Event) -> bool {
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
            Self::ImportsVerified => import_verified(known, event),
            Self::PushesJudged => {
                let digests = &event.object.digests;
                is_judged(event)
                    || !digests.is_empty() && digests.iter().all(|digest| known.was_verified(digest))
            }
            Self::PolicyNamed => names(event, POLICY),
            Self::PacksSigned => names(event, KEY),
            Self::PacksTraced => SOURCE
                .iter()
                .filter_map(|name| event.evidence.get(*name))
                .any(|lock| known.was_mirrored(lock)),
            Self::DrivesIdentified => !event.object.digests.is_empty(),
            Self::SourcesLocked => names(event, SOURCE),
            Self::LoggedFromStart => known.is_open(),
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

/// Whether an event says that its digests are what somebody who is trusted signed: by a key, and by a trust file.
pub(crate) fn is_good(event: &Event) -> bool {
    event.event == EventType::Verify && event.outcome.result == Ending::Success && is_judged(event)
}

/// Whether a later verification counts for a push: a manifest without a tag comes before its signatures, and nobody finds
/// it who does not know its digest.
fn may_wait(check: Check, event: &Event) -> bool {
    check == Check::PushesJudged && event.object.name.contains('@') && !event.object.digests.is_empty()
}

/// Whether an event's own evidence says who signed, and by which trust file that was good enough.
fn is_judged(event: &Event) -> bool {
    names(event, POLICY) && names(event, KEY) && !event.evidence.contains_key(WARNED) && !is_bypass(event)
}

/// Whether an import names what it was verified by, or its set, or all that came, was verified before.
fn import_verified(known: &Known, event: &Event) -> bool {
    let digests = &event.object.digests;
    let before = match event.evidence.get("set") {
        Some(set) => known.was_verified(set),
        None => !digests.is_empty() && digests.iter().all(|digest| known.was_verified(digest)),
    };
    is_judged(event) || before && !event.evidence.contains_key(WARNED) && !is_bypass(event)
}

/// Whether a client of the registry asked for it: such events name nobody of the host.
fn is_clients(event: &Event) -> bool {
    matches!(event.event, EventType::Push | EventType::Delete | EventType::Login) && event.actor.uid.is_none()
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
fn changes(kind: EventType) -> bool {
    match kind {
        EventType::KeyGenerate
        | EventType::KeyImport
        | EventType::KeyRotate
        | EventType::KeyRevoke
        | EventType::Sign
        | EventType::Attest
        | EventType::Mirror
        | EventType::Pack
        | EventType::Import
        | EventType::Push
        | EventType::Delete
        | EventType::PolicyWrite
        | EventType::StoreGc
        | EventType::StoreRebuild
        | EventType::AlarmRelease
        | EventType::ClusterInstall
        | EventType::ClusterUninstall
        | EventType::PackageChange
        | EventType::PackageInstall
        | EventType::PackageUpgrade
        | EventType::PackageRollback
        | EventType::PackageRepair
        | EventType::PackageUninstall => true,
        EventType::LogStart
        | EventType::Verify
        | EventType::Login
        | EventType::ServeStart
        | EventType::ServeStop
        | EventType::PolicyCheck
        | EventType::PolicyFirstUse
        | EventType::PolicyChange
        | EventType::StoreCheck
        | EventType::Alarm
        | EventType::Return
        | EventType::Acknowledge => false,
    }
}
