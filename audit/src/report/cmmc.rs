//! CMMC Level 2: the practices that a log of airlock says something of.
//!
//! Identifiers are those of the CMMC Assessment Guide Level 2, version 2.13, which are NIST SP 800-171 revision 2's
//! with the domain before them. Titles are the guide's; which event speaks for which practice is our own reading.

use super::check::Check as C;
use super::framework::{Control, Rows};
use super::nist::{ACCESS, CHECKED, CONTENT, DRIVES, INTAKE, KEYS, PRIVILEGED, TRUST};
use crate::EventType as K;

pub(super) const CONTROLS: &[Control] = &[
    Control::partial(
        "AC.L2-3.1.3",
        "Control CUI Flow",
        Rows::Of(&[K::Mirror, K::Pack, K::Import]),
        &[C::DrivesIdentified],
    )
    .says(
        "Each crossing of the gap is an event with the set's digest, its outcome and who carried it out.",
        "That there is no other way across, and what of the content is controlled information.",
    ),
    Control::partial(
        "AC.L2-3.1.7",
        "Privileged Functions",
        Rows::Of(PRIVILEGED),
        &[C::Attributed],
    )
    .says(
        "Keys, trust files, imports, deletions and repairs of the store, each with who did it.",
        "That others cannot do it, and that none of it was done past the log.",
    ),
    Control::partial(
        "AU.L2-3.3.1",
        "System Auditing",
        Rows::All,
        &[C::Gapless, C::FirstLeaf, C::Parts, C::SixFields],
    )
    .says(
        "All records since the log began, each with what, when, where, from where, the outcome and who.",
        "Which records are needed, for how long they must be kept, and records of other programs.",
    ),
    Control::partial("AU.L2-3.3.2", "User Accountability", Rows::Of(PRIVILEGED), &[C::Attributed])
        .says(
            "Each change is tied to a name, in a record that cannot be changed.",
            "That a name is one person's: names are those of the operating system or the registry's password file.",
        ),
    Control::outside(
        "AU.L2-3.3.3",
        "Event Review",
        "That somebody reviewed the choice.",
    ),
    Control::outside(
        "AU.L2-3.3.4",
        "Audit Failure Alerting",
        "That somebody is told. airlock refuses to report success when it cannot log, but sends no alert.",
    ),
    Control::outside(
        "AU.L2-3.3.5",
        "Audit Correlation",
        "The correlation with other systems' records.",
    ),
    Control::new("AU.L2-3.3.6", "Reduction & Reporting", Rows::All, &[C::Gapless]).says(
        "This report is made on demand from the log and changes nothing in it.",
        "Reports over other programs' records.",
    ),
    Control::partial("AU.L2-3.3.7", "Authoritative Time Source", Rows::All, &[C::TimeOrder])
        .says(
            "Every record has a time in UTC from the system's clock, and none is out of order.",
            "That the clock is compared with an authoritative source.",
        ),
    Control::partial("AU.L2-3.3.8", "Audit Protection", Rows::All, &[C::Gapless, C::TrustedKey]).says(
        "Every leaf is proved under a signed checkpoint, checked by a key that did not come with the log.",
        "Copies that show that the newest records were not cut off; who may read the records and run the tools: that is for the file system's permissions.",
    ),
    Control::outside(
        "AU.L2-3.3.9",
        "Audit Management",
        "Who may. airlock has no switch that turns logging off; who owns the files decides.",
    ),
    Control::partial(
        "CM.L2-3.4.1",
        "System Baselining",
        Rows::Of(CONTENT),
        &[C::DrivesIdentified, C::SourcesLocked],
    )
    .says(
        "What came into the registry and went from it, by digest, and the lock it came by.",
        "What runs, and the configuration of hardware and other software.",
    ),
    Control::partial("CM.L2-3.4.3", "System Change Management", Rows::Of(TRUST), &[C::Attributed]).says(
        "Each change of keys and trust files, with who made it.",
        "That the change was reviewed and approved.",
    ),
    Control::partial(
        "CM.L2-3.4.5",
        "Access Restrictions for Change",
        Rows::Of(ACCESS),
        &[C::Attributed, C::ClosedToAll],
    )
    .says(
        "Each change of the registry's content, with who made it, and each log-in that was refused.",
        "Which users are privileged to change what: the log has names, and not the rights behind them. Also physical access and file permissions.",
    ),
    Control::partial(
        "CM.L2-3.4.8",
        "Application Execution Policy",
        Rows::Of(INTAKE),
        &[C::ImportsVerified, C::PushesJudged, C::PolicyNamed],
    )
    .says(
        "What was let into the registry, and by which trust file.",
        "What runs: that is for the cluster's admission.",
    ),
    Control::partial(
        "MP.L2-3.8.5",
        "Media Accountability",
        Rows::Of(DRIVES),
        &[C::PacksSigned, C::DrivesIdentified],
    )
    .says(
        "Which set was written or came in, when and by whom, under which signature.",
        "Who carried the medium, and where it was in between.",
    ),
    Control::outside(
        "MP.L2-3.8.6",
        "Portable Storage Encryption",
        "Whether the medium is encrypted. airlock signs what it writes and does not encrypt it.",
    ),
    Control::outside(
        "MP.L2-3.8.7",
        "Removable Media",
        "Which devices may be plugged in.",
    ),
    Control::outside("MP.L2-3.8.8", "Shared Media", "Whose the device is."),
    Control::partial("SC.L2-3.13.10", "Key Management", Rows::Of(KEYS), &[C::Attributed]).says(
        "Each making, import, rotation and revocation of a key, with its public digest.",
        "How the private half is kept, who holds it, and its destruction.",
    ),
    Control::lacking(
        "SC.L2-3.13.11",
        "CUI Encryption",
        "airlock's cryptography is ring, which has no FIPS 140 certificate.",
    ),
    Control::partial(
        "SI.L2-3.14.1",
        "Flaw Remediation [CUI Data]",
        Rows::Against(CHECKED),
        &[C::NoAlarms],
    )
    .says(
        "Each refusal, failed check and alarm, with its reason.",
        "Flaws in what the images hold: scans are not made by airlock.",
    ),
];
