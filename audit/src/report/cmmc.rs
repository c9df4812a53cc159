//! CMMC Level 2: the practices that a log of airlock says something of.
//!
//! Identifiers are those of the CMMC Assessment Guide Level 2, version 2.13, which are NIST SP 800-171 revision 2's
//! with the domain before them; which event speaks for which practice is our own reading.

use super::check::Check as C;
use super::framework::{Control, Rows};
use super::nist::{CHECKED, CONTENT, DRIVES, INTAKE, KEYS, PRIVILEGED, TRUST};
use crate::Kind as K;

pub(super) const CONTROLS: &[Control] = &[
    Control::new(
        "AC.L2-3.1.3",
        "Controlled information flows only where it may",
        Rows::Of(&[K::Mirror, K::Pack, K::Import]),
        &[C::DrivesIdentified],
    )
    .says(
        "Each crossing of the gap is an event with the set's digest, its outcome and who carried it out.",
        "That there is no other way across, and what of the content is controlled information.",
    ),
    Control::new(
        "AC.L2-3.1.7",
        "Use of privileged functions is logged",
        Rows::Of(PRIVILEGED),
        &[C::Attributed],
    )
    .says(
        "Keys, trust files, imports, deletions and repairs of the store, each with who did it.",
        "That others cannot do it: that is for the operating system.",
    ),
    Control::new(
        "AU.L2-3.3.1",
        "Audit records are made and kept",
        Rows::All,
        &[C::Gapless, C::FirstLeaf, C::Parts, C::SixFields],
    )
    .says(
        "All records since the log began, each with what, when, where, from where, the outcome and who.",
        "For how long they must be kept, and records of other programs.",
    ),
    Control::new("AU.L2-3.3.2", "Actions are traced to their users", Rows::Of(PRIVILEGED), &[C::Attributed])
        .says(
            "Each change is tied to a name, in a record that cannot be changed.",
            "That names are not shared between people.",
        ),
    Control::outside(
        "AU.L2-3.3.3",
        "The choice of logged events is reviewed",
        "That somebody reviewed the choice.",
    ),
    Control::outside(
        "AU.L2-3.3.4",
        "A failure of logging raises an alert",
        "That somebody is told. airlock refuses to report success when it cannot log, but sends no alert.",
    ),
    Control::outside(
        "AU.L2-3.3.5",
        "Review of records is correlated",
        "The correlation with other systems' records.",
    ),
    Control::new("AU.L2-3.3.6", "Audit records are reduced and reported", Rows::All, &[C::Gapless]).says(
        "This report is made on demand from the log and changes nothing in it.",
        "Reports over other programs' records.",
    ),
    Control::new("AU.L2-3.3.7", "Time stamps come from an authoritative source", Rows::All, &[C::TimeOrder])
        .says(
            "Every record has a time in UTC from the system's clock, and none is out of order.",
            "That the clock is compared with an authoritative source.",
        ),
    Control::new("AU.L2-3.3.8", "Audit records are protected", Rows::All, &[C::Gapless, C::TrustedKey]).says(
        "Every leaf is proved under a signed checkpoint, checked by a key that did not come with the log.",
        "Who may read the records and run the tools: that is for the file system's permissions.",
    ),
    Control::outside(
        "AU.L2-3.3.9",
        "Few may manage logging",
        "Who may. airlock has no switch that turns logging off; who owns the files decides.",
    ),
    Control::new(
        "CM.L2-3.4.1",
        "Baselines and inventories",
        Rows::Of(CONTENT),
        &[C::DrivesIdentified, C::SourcesLocked],
    )
    .says(
        "What came into the registry and went from it, by digest, and the lock it came by.",
        "What runs, and the configuration of hardware and other software.",
    ),
    Control::new("CM.L2-3.4.3", "Changes are tracked", Rows::Of(TRUST), &[C::Attributed]).says(
        "Each change of keys and trust files, with who made it.",
        "That the change was reviewed and approved.",
    ),
    Control::new(
        "CM.L2-3.4.5",
        "Who may change is restricted",
        Rows::Of(&[K::Push, K::Delete, K::Login, K::PolicyWrite, K::StoreGc, K::StoreRebuild]),
        &[C::Attributed],
    )
    .says(
        "Each change of the registry's content, with who made it, and each log-in that was refused.",
        "Physical access, and the file system's permissions.",
    ),
    Control::new(
        "CM.L2-3.4.8",
        "Software runs by exception only",
        Rows::Of(INTAKE),
        &[C::ImportsVerified, C::PushesJudged, C::PolicyNamed],
    )
    .says(
        "What was let into the registry, and by which trust file.",
        "What runs: that is for the cluster's admission.",
    ),
    Control::new(
        "MP.L2-3.8.5",
        "Media are accounted for in transport",
        Rows::Of(DRIVES),
        &[C::PacksSigned, C::DrivesIdentified],
    )
    .says(
        "Which set was written or came in, when and by whom, under which signature.",
        "Who carried the medium, and where it was in between.",
    ),
    Control::outside(
        "MP.L2-3.8.6",
        "Media are encrypted in transport",
        "Whether the medium is encrypted. airlock signs what it writes and does not encrypt it.",
    ),
    Control::outside(
        "MP.L2-3.8.7",
        "Use of removable media is controlled",
        "Which devices may be plugged in.",
    ),
    Control::outside("MP.L2-3.8.8", "No media without an owner", "Whose the device is."),
    Control::new("SC.L2-3.13.10", "Keys are established and managed", Rows::Of(KEYS), &[C::Attributed]).says(
        "Each making, import, rotation and revocation of a key, with its public digest.",
        "How the private half is kept, who holds it, and its destruction.",
    ),
    Control::lacking(
        "SC.L2-3.13.11",
        "Cryptography is FIPS-validated",
        "airlock's cryptography is ring, which has no FIPS 140 certificate.",
    ),
    Control::new(
        "SI.L2-3.14.1",
        "Flaws are found, reported and corrected",
        Rows::Against(CHECKED),
        &[C::NoAlarms],
    )
    .says(
        "Each refusal, failed check and alarm, with its reason.",
        "Flaws in what the images hold: scans are not made by airlock.",
    ),
];
