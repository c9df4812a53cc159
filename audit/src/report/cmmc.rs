//! CMMC Level 2: the practices that apply to a log of airlock.
//!
//! Identifiers are those of the CMMC Assessment Guide Level 2, version 2.13: the identifiers of NIST SP 800-171 revision 2,
//! prefixed with the domain. Titles are the guide's. The mapping of events to practices is airlock's own interpretation.

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
        "Each crossing of the air gap is an event with the set's digest, the outcome and the user.",
        "Other ways across the air gap, and which content is controlled information.",
    ),
    Control::partial(
        "AC.L2-3.1.7",
        "Privileged Functions",
        Rows::Of(PRIVILEGED),
        &[C::Attributed],
    )
    .says(
        "Operations on keys and trust files, imports, deletions and store repairs, each with the user.",
        "The exclusion of other users, and operations outside the log.",
    ),
    Control::partial(
        "AU.L2-3.3.1",
        "System Auditing",
        Rows::All,
        &[C::Gapless, C::FirstLeaf, C::Parts, C::SixFields],
    )
    .says(
        "All records since the start of the log, each with what, when, where, the source, the outcome and the user.",
        "The required records, their retention period, and records of other programs.",
    ),
    Control::partial("AU.L2-3.3.2", "User Accountability", Rows::Of(PRIVILEGED), &[C::Attributed])
        .says(
            "Each change is tied to a name, in a record that cannot be changed.",
            "That a name belongs to only one person: names come from the operating system or the registry's password file.",
        ),
    Control::outside(
        "AU.L2-3.3.3",
        "Event Review",
        "The review of the selection of events.",
    ),
    Control::outside(
        "AU.L2-3.3.4",
        "Audit Failure Alerting",
        "The alert. airlock does not report success when it cannot log, but it sends no alert.",
    ),
    Control::outside(
        "AU.L2-3.3.5",
        "Audit Correlation",
        "The correlation with the records of other systems.",
    ),
    Control::new("AU.L2-3.3.6", "Reduction & Reporting", Rows::All, &[C::Gapless]).says(
        "This report is generated from the log on demand and does not change it.",
        "Reports on the records of other programs.",
    ),
    Control::partial("AU.L2-3.3.7", "Authoritative Time Source", Rows::All, &[C::TimeOrder])
        .says(
            "Every record has a UTC time stamp from the system clock, and none is out of order.",
            "The comparison of the clock with an authoritative source.",
        ),
    Control::partial("AU.L2-3.3.8", "Audit Protection", Rows::All, &[C::Gapless, C::TrustedKey]).says(
        "Every leaf is proved against a signed checkpoint, verified with a key that did not come with the log.",
        "Copies that would show a truncation of the newest records, and access to the records and the tools, which depends on file permissions.",
    ),
    Control::outside(
        "AU.L2-3.3.9",
        "Audit Management",
        "The users who may manage the log. airlock has no option to turn logging off; the owner of the files decides.",
    ),
    Control::partial(
        "CM.L2-3.4.1",
        "System Baselining",
        Rows::Of(CONTENT),
        &[C::DrivesIdentified, C::SourcesLocked],
    )
    .says(
        "Content added to and removed from the registry, by digest, and the lock of its source.",
        "Running workloads, and the configuration of hardware and other software.",
    ),
    Control::partial("CM.L2-3.4.3", "System Change Management", Rows::Of(TRUST), &[C::Attributed]).says(
        "Each change of keys and trust files, with the user.",
        "The review and approval of each change.",
    ),
    Control::partial(
        "CM.L2-3.4.5",
        "Access Restrictions for Change",
        Rows::Of(ACCESS),
        &[C::Attributed, C::ClosedToAll],
    )
    .says(
        "Each change of the registry's content, with the user, and each refused login.",
        "The privileges of each user: the log contains names, not permissions. Also physical access and file permissions.",
    ),
    Control::partial(
        "CM.L2-3.4.8",
        "Application Execution Policy",
        Rows::Of(INTAKE),
        &[C::ImportsVerified, C::PushesJudged, C::PolicyNamed],
    )
    .says(
        "Content admitted to the registry, with the trust file.",
        "Running workloads, which the cluster's admission controls.",
    ),
    Control::partial(
        "MP.L2-3.8.5",
        "Media Accountability",
        Rows::Of(DRIVES),
        &[C::PacksSigned, C::DrivesIdentified],
    )
    .says(
        "Which set was written or imported, when, by whom, and with which signature.",
        "The courier of the medium, and its location in between.",
    ),
    Control::outside(
        "MP.L2-3.8.6",
        "Portable Storage Encryption",
        "The encryption of the medium. airlock signs the data that it writes, but does not encrypt it.",
    ),
    Control::outside(
        "MP.L2-3.8.7",
        "Removable Media",
        "The permitted devices.",
    ),
    Control::outside("MP.L2-3.8.8", "Shared Media", "The owner of the device."),
    Control::partial("SC.L2-3.13.10", "Key Management", Rows::Of(KEYS), &[C::Attributed]).says(
        "Each generation, import, rotation and revocation of a key, with the digest of the public key.",
        "The storage, the holder and the destruction of each private key.",
    ),
    Control::lacking(
        "SC.L2-3.13.11",
        "CUI Encryption",
        "airlock's cryptography library is ring, which has no FIPS 140 certificate.",
    ),
    Control::partial(
        "SI.L2-3.14.1",
        "Flaw Remediation [CUI Data]",
        Rows::Against(CHECKED),
        &[C::NoAlarms],
    )
    .says(
        "Each refusal, failed check and alarm, with its reason.",
        "Flaws in the content of the images: airlock does not scan images.",
    ),
];
