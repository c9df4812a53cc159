//! NIST SP 800-53 revision 5: the controls that a log of airlock says something of.
//!
//! Identifiers are those of the catalog that NIST publishes in OSCAL, in the spelling of the printed one; which event
//! speaks for which control is our own reading. Titles are the catalog's.

use super::check::Check as C;
use super::framework::{Control, Rows};
use crate::EventType as K;

/// What changes keys, or who is believed.
pub(super) const TRUST: &[K] = &[
    K::KeyGenerate,
    K::KeyImport,
    K::KeyRotate,
    K::KeyRevoke,
    K::PolicyWrite,
    K::PolicyCheck,
    K::PolicyFirstUse,
    K::PolicyChange,
];

/// What changes what a registry serves, or who may.
pub(super) const ACCESS: &[K] =
    &[K::Push, K::Delete, K::Login, K::PolicyWrite, K::StoreGc, K::StoreRebuild, K::ServeStart];

/// What only some may do.
pub(super) const PRIVILEGED: &[K] = &[
    K::KeyGenerate,
    K::KeyImport,
    K::KeyRotate,
    K::KeyRevoke,
    K::PolicyWrite,
    K::PolicyChange,
    K::Sign,
    K::Attest,
    K::Import,
    K::Push,
    K::Delete,
    K::StoreGc,
    K::StoreRebuild,
    K::ServeStart,
    K::ServeStop,
    K::AlarmRelease,
    K::ClusterInstall,
    K::ClusterUninstall,
    K::PackageChange,
    K::PackageInstall,
    K::PackageUpgrade,
    K::PackageRollback,
    K::PackageRepair,
    K::PackageUninstall,
];

/// What a registry's content comes from and goes by.
pub(super) const CONTENT: &[K] = &[K::Mirror, K::Import, K::Push, K::Delete, K::StoreGc];

/// What lets content in.
pub(super) const INTAKE: &[K] = &[K::Verify, K::Import, K::Push];

/// The keys' lives.
pub(super) const KEYS: &[K] = &[K::KeyGenerate, K::KeyImport, K::KeyRotate, K::KeyRevoke];

/// What crosses the gap.
pub(super) const DRIVES: &[K] = &[K::Pack, K::Import, K::Return, K::Acknowledge];

/// Where content is compared with its digests and signatures.
pub(super) const CHECKED: &[K] = &[K::Verify, K::Import, K::StoreCheck];

const SIGNED_IN: &[C] = &[C::Gapless, C::ImportsVerified, C::PushesJudged, C::PolicyNamed];

pub(super) const CONTROLS: &[Control] = &[
    Control::partial("AC-4", "Information Flow Enforcement", Rows::Of(&[K::Mirror, K::Pack, K::Import]), &[C::DrivesIdentified, C::PacksSigned, C::ImportsVerified]).says(
        "Each crossing of the gap is an event with the set's digest, its outcome and who carried it out.",
        "That there is no other way across, and who approved the crossing.",
    ),
    Control::partial("AC-6(9)", "Log Use of Privileged Functions", Rows::Of(PRIVILEGED), &[C::Gapless, C::Parts, C::Attributed]).says(
        "Use of keys and trust files, imports, pushes, deletions and repairs of the store, what is installed in clusters, each with who did it.",
        "Which functions the organization calls privileged, and that none of them was used past the log, by other programs or on the files themselves.",
    ),
    Control::partial("AU-2", "Event Logging", Rows::All, &[C::Gapless, C::FirstLeaf]).says(
        "The events that airlock logs, and how often each took place in the period.",
        "That these are the events that the organization chose, and that it reviews the choice.",
    ),
    Control::new("AU-3", "Content of Audit Records", Rows::All, &[C::Gapless, C::SixFields]).says(
        "Every record tells what, when, where, from where, the outcome and who.",
        "Records of other programs.",
    ),
    Control::outside("AU-6", "Audit Record Review, Analysis, and Reporting", "That somebody reviewed the records, and what they found. This report can be what is reviewed."),
    Control::new("AU-7", "Audit Record Reduction and Report Generation", Rows::All, &[C::Gapless]).says(
        "This report is made on demand from the log and changes nothing in it.",
        "Reports over other programs' records.",
    ),
    Control::new("AU-8", "Time Stamps", Rows::All, &[C::SystemClock, C::Utc, C::TellsWhen, C::TimeOrder]).says(
        "Every record has a time in UTC from the system's clock, by the second; their order is fixed by the log, not by the clock.",
        "That the clock was right. airlock does not know what it is set by.",
    ),
    Control::partial("AU-9", "Protection of Audit Information", Rows::All, &[C::Gapless, C::FirstLeaf]).says(
        "Every leaf is proved under the signed checkpoint, so no record was changed, removed or put in before it.",
        "Who may read the records, and that the newest ones were not cut off: file permissions, and checkpoints kept elsewhere.",
    ),
    Control::partial("AU-9(2)", "Store on Separate Physical Systems or Components", Rows::All, &[C::Cosigned]).says(
        "Whether witnesses on other systems hold this checkpoint.",
        "Copies of the records on another system; witnesses keep checkpoints only.",
    ),
    Control::new("AU-9(3)", "Cryptographic Protection", Rows::All, &[C::Gapless, C::FirstLeaf, C::TrustedKey]).says(
        "A Merkle tree (RFC 6962, SHA-256) over all records, signed with Ed25519, checked by a key that did not come with the log.",
        "That the log's private key is kept from others.",
    ),
    Control::partial("AU-10", "Non-repudiation", Rows::Of(PRIVILEGED), &[C::Attributed, C::TrustedKey]).says(
        "Each change is tied to a name, in a record that cannot be changed.",
        "That the person behind the name did it: names are those of the operating system or the registry's password file, not personal signatures.",
    ),
    Control::partial("AU-11", "Audit Record Retention", Rows::Of(&[K::LogStart]), &[C::FirstLeaf, C::Gapless]).says(
        "All records since the log began are still there.",
        "For how long they must be kept.",
    ),
    Control::partial("AU-12", "Audit Record Generation", Rows::All, &[C::Gapless, C::FirstLeaf, C::Parts, C::ServeClosed, C::LoggedFromStart]).says(
        "Records are made by the program itself, before it reports success, from the log's first entry on.",
        "Who may choose which events are logged, events of other programs, and that nobody ran an airlock that does not log.",
    ),
    Control::partial("CM-3", "Configuration Change Control", Rows::Of(TRUST), &[C::Attributed]).says(
        "Each change of keys and trust files, with the digest of the file that held from then on.",
        "That the change was proposed, reviewed and approved.",
    ),
    Control::partial("CM-5", "Access Restrictions for Change", Rows::Of(ACCESS), &[C::Attributed, C::ClosedToAll]).says(
        "Each change of the registry's content, with who made it, each log-in that was refused, and whether a registry was open to all.",
        "Which users are privileged to change what: the log has names, and not the rights behind them. Also physical access and file permissions.",
    ),
    Control::partial("CM-8", "System Component Inventory", Rows::Of(CONTENT), &[C::DrivesIdentified]).says(
        "What came into the registry and went from it, by digest.",
        "What runs, and where.",
    ),
    Control::new("CM-14", "Signed Components", Rows::Of(INTAKE), SIGNED_IN).says(
        "Each import and push, with the key and the trust file that it was verified by before.",
        "What is installed from elsewhere than this registry.",
    ),
    Control::partial("IR-4", "Incident Handling", Rows::Against(INTAKE), &[C::NoAlarms]).says(
        "Each refusal and alarm, with its reason and the digests it is about.",
        "That incidents are prepared for, analyzed, contained and closed: what was done about each.",
    ),
    Control::partial("MP-5", "Media Transport", Rows::Of(DRIVES), &[C::PacksSigned, C::DrivesIdentified]).says(
        "Which set was written or came in, when and by whom, under which signature.",
        "Who carried the medium, in what container, and whether it was encrypted.",
    ),
    Control::outside("MP-7", "Media Use", "Which devices may be plugged in, and whose they are."),
    Control::partial("SC-12", "Cryptographic Key Establishment and Management", Rows::Of(KEYS), &[C::Attributed]).says(
        "Each making, import, rotation and revocation of a key, with its public digest.",
        "How the private half is kept, who holds it, its destruction, and that these events follow the organization's rules.",
    ),
    Control::outside("SC-13", "Cryptographic Protection", "Which kind is required. airlock uses ring: ECDSA P-256, Ed25519 and SHA-256, in a module without a FIPS 140 certificate."),
    Control::new("SI-7", "Software, Firmware, and Information Integrity", Rows::Of(&[K::Verify, K::Import, K::StoreCheck, K::Alarm]), &[C::Gapless, C::ImportsVerified, C::StoresSound, C::NoAlarms]).says(
        "Each verification of a drive or image, each comparison of a store with its digests, and what did not fit.",
        "Software that is not in the store, firmware, and airlock itself.",
    ),
    Control::new("SI-7(1)", "Integrity Checks", Rows::Of(CHECKED), &[C::Gapless, C::ImportsVerified, C::StoresSound, C::PolicyNamed]).says(
        "When content was checked: at import, on demand, and when the store was compared with its digests.",
        "How often it must be checked.",
    ),
    Control::partial("SI-7(7)", "Integration of Detection and Response", Rows::Against(CHECKED), &[C::NoAlarms]).says(
        "Each refusal and alarm, with what was expected and what was found.",
        "The answer to it.",
    ),
    Control::new("SI-7(15)", "Code Authentication", Rows::Of(INTAKE), SIGNED_IN).says(
        "Each import and push, with the key and the trust file that it was verified by before.",
        "The check at installation, which is the cluster's.",
    ),
    Control::new("SR-4", "Provenance", Rows::Of(&[K::Mirror, K::Attest, K::Pack, K::Import]), &[C::Gapless, C::PacksTraced, C::SourcesLocked, C::DrivesIdentified]).says(
        "From the source's lock to the drive, each step by digest, on the side that wrote the drive.",
        "How the source's maker built it, beyond the attestations that came along; on the other side, how the drive came about.",
    ),
    Control::new("SR-4(3)", "Validate as Genuine and Not Altered", Rows::Of(&[K::Verify, K::Import]), &[C::Gapless, C::ImportsVerified, C::PolicyNamed]).says(
        "Each drive, image and manifest that was proved, by which key and trust file.",
        "That the key's owner is who they say they are.",
    ),
    Control::partial("SR-10", "Inspection of Systems or Components", Rows::Of(CHECKED), &[C::StoresSound, C::PolicyNamed]).says(
        "When drives and the store were read through and compared.",
        "The inspection of hardware, and how often it must be.",
    ),
    Control::partial("SR-11", "Component Authenticity", Rows::Of(INTAKE), &[C::ImportsVerified, C::PushesJudged]).says(
        "What came in by whose signature, and what was refused.",
        "A policy and procedures against counterfeits, training and reporting.",
    ),
];
