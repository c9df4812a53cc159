//! The checks of a report: each counts the events that must meet a condition, and those that meet it.
//!
//! A check is about the events of the period, but may compare them with events before it. Events are passed one by one, in
//! the order of the log, and none is kept: a check holds counts and the first and last indexes of its exceptions. Most checks
//! can only contradict a control: for example, the name of each actor does not show the actor's permissions.
//! [`Check::proves`] determines the checks that can show a control.
//!
//! - `records`: the fields and the order of records; `log_state`: the log before an event; `tally`: counts

mod log_state;
mod records;
mod tally;

use super::framework::Status;
use crate::{Ending, Event, EventType};

pub(crate) use self::log_state::LogState;
pub use self::tally::{CheckResult, CheckpointTrust};
pub(crate) use self::tally::{Checks, Class, Ends};

/// The names in an event's evidence for the trust file that was used.
pub(crate) const POLICY: &[&str] = &["trust", "policy"];

/// The names in an event's evidence for the key that signed.
pub(crate) const KEY: &[&str] = &["key", "signer"];

/// The values in an import's evidence for a drive that was accepted without its log or despite an alarm.
const BYPASSES: [&str; 2] = ["without", "alarm-released"];

/// The name in a verification's evidence for an unmet rule, if the trust file only warns.
const WARNED: &str = "warned";

/// The name in a push's evidence for a manifest that is a statement about another one, such as a signature.
const HOLDS: &str = "holds";

/// The names in an event's evidence for the lock that pins the sources of content.
pub(crate) const SOURCE: &[&str] = &["lock"];

/// The name in the evidence of a registry's start for whether pushes without a password are allowed.
const OPEN: &str = "anonymousPush";

macro_rules! checks {
    ($($check:ident = $name:literal, $title:literal;)*) => {
        /// A condition that is checked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Check { $(#[doc = $title] $check,)* }

        impl Check {
            /// All checks.
            pub(crate) const ALL: &[Self] = &[$(Self::$check,)*];

            /// Its name for programs.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$check => $name,)* }
            }

            /// The condition, as a sentence.
            pub(crate) fn title(self) -> &'static str {
                match self { $(Self::$check => $title,)* }
            }
        }
    };
}

checks! {
    Gapless = "gapless", "Every leaf of the log up to the checkpoint exists, is proved, and is an event";
    FirstLeaf = "first-leaf", "The log begins with its start event";
    Parts = "parts", "Every event with several leaves has all of them";
    SixFields = "six-fields", "Every event states what, when, where, the source, the outcome and the user";
    TellsWhat = "tells-what", "Every event states the operation and its object";
    TellsWhen = "tells-when", "Every event states its date and time, to the second";
    TellsWhere = "tells-where", "Every event states the host and the program";
    TellsSource = "tells-source", "Every event states its source: a client's address, or a user ID on the host";
    TellsOutcome = "tells-outcome", "Every event states its outcome, and the reason for a refusal or failure";
    SystemClock = "system-clock", "Every event names the system clock as its time source";
    Utc = "utc", "The time of every event is in UTC";
    TimeOrder = "time-order", "No event has an earlier time than the event that was logged before it";
    Attributed = "attributed", "Every change has a user name or user ID";
    ImportsVerified = "imports-verified", "Every successful import names the key and the trust file of its verification, or follows a verification of the same digests";
    PushesJudged = "pushes-judged", "Every pushed manifest was verified before it got a tag, with a key and a trust file that the log names; signatures and attestations need no verification";
    PolicyNamed = "policy-named", "Every successful verification names its trust file";
    PacksSigned = "packs-signed", "Every written drive names the key that signed it";
    DrivesIdentified = "drives-identified", "Every written or imported drive is identified by its digest";
    PacksTraced = "packs-traced", "Every written drive names the lock of a mirror run that was logged before it";
    SourcesLocked = "sources-locked", "Every successful mirror run names the lock that pins its sources";
    ServeClosed = "serve-closed", "Every start of the registry is followed by a clean stop";
    LoggedFromStart = "logged-from-start", "Every logged client request follows a start of the registry";
    ClosedToAll = "closed-to-all", "No registry was started that allows pushes without a password";
    StoresSound = "stores-sound", "Every check of a store against its digests found no fault";
    NoAlarms = "no-alarms", "No alarm was raised";
    TrustedKey = "trusted-key", "The log's signature was verified with a key that did not come with the log";
    Cosigned = "cosigned", "Witnesses elsewhere cosigned the checkpoint";
}

impl Check {
    /// The status of a control if the check fails.
    pub(crate) fn failure_status(self) -> Status {
        match self {
            Self::TrustedKey | Self::Cosigned | Self::PacksTraced => Status::NotAssessed,
            _ => Status::NotSatisfied,
        }
    }

    /// Whether an event that meets the condition can show a control: without the event, or with other content, the condition
    /// would not be met. All other checks can only contradict a control.
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

    /// Whether the event can show or contradict the condition.
    pub(crate) fn bears_on(self, event: &Event) -> bool {
        if self == Self::Gapless { event.event != EventType::LogStart } else { self.concerns(event) }
    }

    /// Whether the check is about this event.
    pub(super) fn concerns(self, event: &Event) -> bool {
        let succeeded = event.outcome.result == Ending::Success;
        match self {
            Self::SixFields
            | Self::TellsWhat
            | Self::TellsWhen
            | Self::TellsWhere
            | Self::TellsSource
            | Self::TellsOutcome
            | Self::SystemClock
            | Self::Utc => event.event != EventType::LogStart,
            // A refused operation changed nothing.
            Self::Attributed => succeeded && is_change(event.event),
            Self::ImportsVerified => succeeded && event.event == EventType::Import,
            // A signature needs no verification, and does not prove a signed image: only the verification does.
            Self::PushesJudged => {
                let is_image = event.object.kind != "blob" && !has_evidence(event, &[HOLDS]);
                succeeded && event.event == EventType::Push && is_image
            }
            Self::PolicyNamed => succeeded && event.event == EventType::Verify,
            Self::PacksSigned | Self::PacksTraced => succeeded && event.event == EventType::Pack,
            Self::DrivesIdentified => succeeded && matches!(event.event, EventType::Pack | EventType::Import),
            Self::SourcesLocked => succeeded && event.event == EventType::Mirror,
            Self::LoggedFromStart => is_by_client(event),
            Self::ClosedToAll => {
                let configures = matches!(event.event, EventType::ServeStart | EventType::ServeReload);
                succeeded && configures && event.evidence.contains_key(OPEN)
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

    /// Whether an event that the check is about meets the condition.
    pub(super) fn holds(self, state: &LogState, event: &Event) -> bool {
        match self {
            Self::SixFields => records::six_fields(event),
            Self::TellsWhat => records::has_object(event),
            Self::TellsWhen => records::has_time(event),
            Self::TellsWhere => records::has_host(event),
            Self::TellsSource => records::has_source(event),
            Self::TellsOutcome => records::has_outcome(event),
            Self::SystemClock => event.time_source == "system-clock",
            Self::Utc => records::is_utc(event),
            Self::Attributed => event.actor.user.is_some() || event.actor.uid.is_some(),
            Self::ImportsVerified => is_import_verified(state, event),
            Self::PushesJudged => {
                let digests = &event.object.digests;
                names_verification(event)
                    || !digests.is_empty() && digests.iter().all(|digest| state.was_verified(digest))
            }
            Self::PolicyNamed => has_evidence(event, POLICY),
            Self::PacksSigned => has_evidence(event, KEY),
            Self::PacksTraced => SOURCE
                .iter()
                .filter_map(|name| event.evidence.get(*name))
                .any(|lock| state.was_mirrored(lock)),
            Self::DrivesIdentified => !event.object.digests.is_empty(),
            Self::SourcesLocked => has_evidence(event, SOURCE),
            Self::LoggedFromStart => state.is_serving(),
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

/// Whether an event is a successful verification of its digests that names the key and the trust file.
pub(crate) fn is_verification(event: &Event) -> bool {
    event.event == EventType::Verify && event.outcome.result == Ending::Success && names_verification(event)
}

/// Whether a later verification counts for a push: a manifest without a tag is pushed before its signatures, and clients
/// find it only if they know its digest.
fn can_be_verified_later(check: Check, event: &Event) -> bool {
    check == Check::PushesJudged && event.object.name.contains('@') && !event.object.digests.is_empty()
}

/// Whether an event's own evidence names the signer and the trust file of a verification that passed.
fn names_verification(event: &Event) -> bool {
    has_evidence(event, POLICY)
        && has_evidence(event, KEY)
        && !event.evidence.contains_key(WARNED)
        && !is_bypass(event)
}

/// Whether an import names the key and the trust file of its verification, or its set or all its content was verified before.
fn is_import_verified(state: &LogState, event: &Event) -> bool {
    let digests = &event.object.digests;
    let before = match event.evidence.get("set") {
        Some(set) => state.was_verified(set),
        None => !digests.is_empty() && digests.iter().all(|digest| state.was_verified(digest)),
    };
    names_verification(event) || before && !event.evidence.contains_key(WARNED) && !is_bypass(event)
}

/// Whether a client of the registry caused the event: such events have no user ID of the host.
fn is_by_client(event: &Event) -> bool {
    let by_clients = matches!(
        event.event,
        EventType::Push
            | EventType::Delete
            | EventType::Login
            | EventType::InboxHold
            | EventType::InboxPromote
    );
    by_clients && event.actor.uid.is_none()
}

/// Whether a drive was imported without its log, or despite an alarm.
fn is_bypass(event: &Event) -> bool {
    event.evidence.get("log").is_some_and(|log| BYPASSES.contains(&log.as_str()))
}

/// Whether an event has evidence with one of these names.
pub(crate) fn has_evidence(event: &Event, names: &[&str]) -> bool {
    names.iter().any(|name| event.evidence.get(*name).is_some_and(|value| !value.is_empty()))
}

/// Whether events of this type change the served content or the trusted keys.
fn is_change(kind: EventType) -> bool {
    match kind {
        EventType::KeyGenerate
        | EventType::KeyImport
        | EventType::KeyRotate
        | EventType::KeyRevoke
        | EventType::RobotCreate
        | EventType::RobotRevoke
        | EventType::Sign
        | EventType::Attest
        | EventType::Mirror
        | EventType::Pack
        | EventType::Import
        | EventType::Push
        | EventType::Delete
        | EventType::PolicyWrite
        | EventType::StoreGc
        | EventType::StoreRetention
        | EventType::StoreProtect
        | EventType::StoreRemove
        | EventType::TagRollback
        | EventType::InboxPromote
        | EventType::InboxDrop
        | EventType::InboxExpire
        | EventType::StoreRebuild
        | EventType::StoreHeal
        | EventType::StoreRestore
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
        | EventType::ServeReload
        | EventType::ServeStop
        | EventType::PolicyCheck
        | EventType::PolicyFirstUse
        | EventType::PolicyChange
        | EventType::StoreCheck
        | EventType::InboxHold
        | EventType::StoreScrub
        | EventType::StoreDamage
        | EventType::StoreBackup
        | EventType::Alarm
        | EventType::Return
        | EventType::Acknowledge => false,
    }
}
