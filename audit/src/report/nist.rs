//! NIST SP 800-53 revision 5: the controls that apply to a log of airlock.
//!
//! Identifiers are those of the catalog that NIST publishes in OSCAL, in the spelling of the printed catalog. Titles are the
//! catalog's. The mapping of events to controls is airlock's own interpretation.

use super::check::Check as C;
use super::framework::{Control, Rows};
use crate::EventType as K;

/// Changes of keys and of trust.
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

/// Changes of the content of a registry, or of the permissions to change it.
pub(super) const ACCESS: &[K] = &[
    K::Push,
    K::Delete,
    K::Login,
    K::RobotCreate,
    K::RobotRevoke,
    K::PolicyWrite,
    K::StoreGc,
    K::StoreRetention,
    K::StoreProtect,
    K::StoreRemove,
    K::TagRollback,
    K::InboxHold,
    K::InboxPromote,
    K::InboxDrop,
    K::InboxExpire,
    K::StoreRebuild,
    K::StoreRestore,
    K::ServeStart,
    K::ServeReload,
];

/// Privileged operations.
pub(super) const PRIVILEGED: &[K] = &[
    K::KeyGenerate,
    K::KeyImport,
    K::KeyRotate,
    K::KeyRevoke,
    K::RobotCreate,
    K::RobotRevoke,
    K::PolicyWrite,
    K::PolicyChange,
    K::Sign,
    K::Attest,
    K::Import,
    K::Push,
    K::Delete,
    K::StoreGc,
    K::StoreRetention,
    K::StoreProtect,
    K::StoreRemove,
    K::TagRollback,
    K::InboxPromote,
    K::InboxDrop,
    K::StoreRebuild,
    K::StoreHeal,
    K::StoreBackup,
    K::StoreRestore,
    K::ServeStart,
    K::ServeReload,
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

/// Operations that add content to a registry or remove it.
pub(super) const CONTENT: &[K] =
    &[K::Mirror, K::Import, K::Push, K::Delete, K::StoreGc, K::StoreRetention, K::StoreRemove];

/// Operations that admit content.
pub(super) const INTAKE: &[K] = &[K::Verify, K::Import, K::Push];

/// Operations on keys.
pub(super) const KEYS: &[K] = &[K::KeyGenerate, K::KeyImport, K::KeyRotate, K::KeyRevoke];

/// Operations that cross the air gap.
pub(super) const DRIVES: &[K] = &[K::Pack, K::Import, K::Return, K::Acknowledge];

/// Checks of content against its digests and signatures.
pub(super) const CHECKED: &[K] = &[K::Verify, K::Import, K::StoreCheck, K::StoreScrub, K::StoreDamage];

const SIGNED_INTAKE: &[C] = &[C::Gapless, C::ImportsVerified, C::PushesJudged, C::PolicyNamed];

pub(super) const CONTROLS: &[Control] = &[
    Control::partial("AC-4", "Information Flow Enforcement", Rows::Of(&[K::Mirror, K::Pack, K::Import]), &[C::DrivesIdentified, C::PacksSigned, C::ImportsVerified]).says(
        "Each crossing of the air gap is an event with the set's digest, the outcome and the user.",
        "Other ways across the air gap, and the approval of each crossing.",
    ),
    Control::partial("AC-6(9)", "Log Use of Privileged Functions", Rows::Of(PRIVILEGED), &[C::Gapless, C::Parts, C::Attributed]).says(
        "The use of keys and trust files, imports, pushes, deletions, store repairs and installations in clusters, each with the user.",
        "The organization's list of privileged functions, and their use outside the log, by other programs or directly on the files.",
    ),
    Control::partial("AU-2", "Event Logging", Rows::All, &[C::Gapless, C::FirstLeaf]).says(
        "The events that airlock logs, and the number of each in the period.",
        "The organization's selection of events, and its review of the selection.",
    ),
    Control::new("AU-3", "Content of Audit Records", Rows::All, &[C::Gapless, C::SixFields]).says(
        "Every record states what, when, where, the source, the outcome and the user.",
        "Records of other programs.",
    ),
    Control::outside("AU-6", "Audit Record Review, Analysis, and Reporting", "The review of the records, and its findings. This report can be the subject of the review."),
    Control::new("AU-7", "Audit Record Reduction and Report Generation", Rows::All, &[C::Gapless]).says(
        "This report is generated from the log on demand and does not change it.",
        "Reports on the records of other programs.",
    ),
    Control::new("AU-8", "Time Stamps", Rows::All, &[C::SystemClock, C::Utc, C::TellsWhen, C::TimeOrder]).says(
        "Every record has a UTC time stamp from the system clock, to the second; the log fixes the order of the records, not the clock.",
        "The accuracy of the clock. airlock does not know what synchronizes it.",
    ),
    Control::partial("AU-9", "Protection of Audit Information", Rows::All, &[C::Gapless, C::FirstLeaf]).says(
        "Every leaf is proved against the signed checkpoint, so no record before it was changed, removed or inserted.",
        "Read access to the records, which depends on file permissions, and a truncation of the newest records, which only checkpoints kept elsewhere show.",
    ),
    Control::partial("AU-9(2)", "Store on Separate Physical Systems or Components", Rows::All, &[C::Cosigned]).says(
        "Whether witnesses on other systems hold this checkpoint.",
        "Copies of the records on another system; witnesses keep checkpoints only.",
    ),
    Control::new("AU-9(3)", "Cryptographic Protection", Rows::All, &[C::Gapless, C::FirstLeaf, C::TrustedKey]).says(
        "A Merkle tree (RFC 6962, SHA-256) over all records, signed with Ed25519, verified with a key that did not come with the log.",
        "The protection of the log's private key.",
    ),
    Control::partial("AU-10", "Non-repudiation", Rows::Of(PRIVILEGED), &[C::Attributed, C::TrustedKey]).says(
        "Each change is tied to a name, in a record that cannot be changed.",
        "That the person behind the name made the change: names come from the operating system or the registry's password file, and are not personal signatures.",
    ),
    Control::partial("AU-11", "Audit Record Retention", Rows::Of(&[K::LogStart]), &[C::FirstLeaf, C::Gapless]).says(
        "All records since the start of the log still exist.",
        "The required retention period.",
    ),
    Control::partial("AU-12", "Audit Record Generation", Rows::All, &[C::Gapless, C::FirstLeaf, C::Parts, C::ServeClosed, C::LoggedFromStart]).says(
        "The program itself creates the records, before it reports success, from the first entry of the log.",
        "The permission to select the logged events, events of other programs, and runs of airlock without a log.",
    ),
    Control::partial("CM-3", "Configuration Change Control", Rows::Of(TRUST), &[C::Attributed]).says(
        "Each change of keys and trust files, with the digest of the file that was in force from then on.",
        "The proposal, review and approval of each change.",
    ),
    Control::partial("CM-5", "Access Restrictions for Change", Rows::Of(ACCESS), &[C::Attributed, C::ClosedToAll]).says(
        "Each change of the registry's content, with the user, each refused login, and whether a registry was open to everyone.",
        "The privileges of each user: the log contains names, not permissions. Also physical access and file permissions.",
    ),
    Control::partial("CM-8", "System Component Inventory", Rows::Of(CONTENT), &[C::DrivesIdentified]).says(
        "Content added to and removed from the registry, by digest.",
        "Running workloads, and their location.",
    ),
    Control::new("CM-14", "Signed Components", Rows::Of(INTAKE), SIGNED_INTAKE).says(
        "Each import and push, with the key and the trust file of the verification before it.",
        "Components that are installed from sources other than this registry.",
    ),
    Control::partial("IR-4", "Incident Handling", Rows::Against(INTAKE), &[C::NoAlarms]).says(
        "Each refusal and alarm, with the reason and the digests.",
        "Preparation for incidents, and the analysis, containment and closure of each.",
    ),
    Control::partial("MP-5", "Media Transport", Rows::Of(DRIVES), &[C::PacksSigned, C::DrivesIdentified]).says(
        "Which set was written or imported, when, by whom, and with which signature.",
        "The courier and the container of the medium, and its encryption.",
    ),
    Control::outside("MP-7", "Media Use", "The permitted devices, and their owners."),
    Control::partial("SC-12", "Cryptographic Key Establishment and Management", Rows::Of(KEYS), &[C::Attributed]).says(
        "Each generation, import, rotation and revocation of a key, with the digest of the public key.",
        "The storage, the holder and the destruction of each private key, and compliance of these events with the organization's rules.",
    ),
    Control::outside("SC-13", "Cryptographic Protection", "The required type of cryptography. airlock uses ring: ECDSA P-256, Ed25519 and SHA-256, in a module without a FIPS 140 certificate."),
    Control::new("SI-7", "Software, Firmware, and Information Integrity", Rows::Of(&[K::Verify, K::Import, K::StoreCheck, K::Alarm]), &[C::Gapless, C::ImportsVerified, C::StoresSound, C::NoAlarms]).says(
        "Each verification of a drive or image, each check of a store against its digests, and every mismatch.",
        "Software that is not in the store, firmware, and airlock itself.",
    ),
    Control::new("SI-7(1)", "Integrity Checks", Rows::Of(CHECKED), &[C::Gapless, C::ImportsVerified, C::StoresSound, C::PolicyNamed]).says(
        "The time of each check of content: at import, on demand, and when a store was checked against its digests.",
        "The required frequency of checks.",
    ),
    Control::partial("SI-7(7)", "Integration of Detection and Response", Rows::Against(CHECKED), &[C::NoAlarms]).says(
        "Each refusal and alarm, with the expected and the actual value.",
        "The response to each of them.",
    ),
    Control::new("SI-7(15)", "Code Authentication", Rows::Of(INTAKE), SIGNED_INTAKE).says(
        "Each import and push, with the key and the trust file of the verification before it.",
        "The check at installation, which the cluster performs.",
    ),
    Control::new("SR-4", "Provenance", Rows::Of(&[K::Mirror, K::Attest, K::Pack, K::Import]), &[C::Gapless, C::PacksTraced, C::SourcesLocked, C::DrivesIdentified]).says(
        "Each step from the source's lock to the drive, by digest, on the side that wrote the drive.",
        "How the vendor built the source, beyond the included attestations; on the other side, how the drive was written.",
    ),
    Control::new("SR-4(3)", "Validate as Genuine and Not Altered", Rows::Of(&[K::Verify, K::Import]), &[C::Gapless, C::ImportsVerified, C::PolicyNamed]).says(
        "Each verified drive, image and manifest, with the key and the trust file.",
        "The identity of the key's owner.",
    ),
    Control::partial("SR-10", "Inspection of Systems or Components", Rows::Of(CHECKED), &[C::StoresSound, C::PolicyNamed]).says(
        "When drives and the store were read completely and checked.",
        "The inspection of hardware, and the required frequency of inspections.",
    ),
    Control::partial("SR-11", "Component Authenticity", Rows::Of(INTAKE), &[C::ImportsVerified, C::PushesJudged]).says(
        "Accepted content with its signers, and refused content.",
        "An anti-counterfeit policy and procedures, training, and reporting.",
    ),
];
