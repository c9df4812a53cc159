//! NIST SP 800-53 revision 5: the controls that a log of airlock says something of.
//!
//! Identifiers are those of the catalog that NIST publishes in OSCAL, in the spelling of the printed one; which event
//! speaks for which control is our own reading.

use super::check::Check as C;
use super::framework::{Control, Rows};
use crate::Kind as K;

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

const SIGNED_IN: &[C] = &[C::ImportsVerified, C::PushesJudged, C::PolicyNamed];

pub(super) const CONTROLS: &[Control] = &[
    Control::new("AC-4", "Information goes only where it may", Rows::Of(&[K::Mirror, K::Pack, K::Import]), &[C::DrivesIdentified]).says(
        "Each crossing of the gap is an event with the set's digest, its outcome and who carried it out.",
        "That there is no other way across, and who approved the crossing.",
    ),
    Control::new("AC-6(9)", "Use of privileges is logged", Rows::Of(PRIVILEGED), &[C::Attributed]).says(
        "Keys, trust files, imports, deletions and repairs of the store, what is installed in clusters, each with who did it.",
        "What was done on the machine by other programs.",
    ),
    Control::new("AU-2", "Which events are logged", Rows::All, &[C::Gapless, C::FirstLeaf]).says(
        "The events that airlock logs, and how often each took place in the period.",
        "That these are the events that the organization chose, and that it reviews the choice.",
    ),
    Control::new("AU-3", "What an audit record says", Rows::All, &[C::SixFields]).says(
        "Every record tells what, when, where, from where, the outcome and who.",
        "Records of other programs.",
    ),
    Control::outside("AU-6", "Audit records are reviewed", "That somebody reviewed the records, and what they found. This report can be what is reviewed."),
    Control::new("AU-7", "Audit records are reduced and reported", Rows::All, &[C::Gapless]).says(
        "This report is made on demand from the log and changes nothing in it.",
        "Reports over other programs' records.",
    ),
    Control::new("AU-8", "Time stamps", Rows::All, &[C::TimeOrder]).says(
        "Every record has a time in UTC from the system's clock, by the second; their order is fixed by the log, not by the clock.",
        "That the clock was right. airlock does not know what it is set by.",
    ),
    Control::new("AU-9", "Audit records are protected", Rows::All, &[C::Gapless, C::FirstLeaf]).says(
        "Every leaf is proved under the signed checkpoint, so no record was changed, removed or put in before it.",
        "Who may read the records: that is for the file system's permissions.",
    ),
    Control::new("AU-9(2)", "Audit records are kept on another system, too", Rows::All, &[C::Cosigned]).says(
        "Witnesses on other systems hold this checkpoint, so that the log cannot be replaced unseen.",
        "That the records themselves are copied; witnesses keep checkpoints.",
    ),
    Control::new("AU-9(3)", "Audit records are protected by cryptography", Rows::All, &[C::Gapless, C::TrustedKey]).says(
        "A Merkle tree (RFC 6962, SHA-256) over all records, signed with Ed25519, checked by a key that did not come with the log.",
        "That the log's private key is kept from others.",
    ),
    Control::new("AU-10", "Nobody can deny what they did", Rows::Of(PRIVILEGED), &[C::Attributed, C::TrustedKey]).says(
        "Each change is tied to a name, in a record that cannot be changed.",
        "That the person behind the name did it: names are those of the operating system or the registry's password file, not personal signatures.",
    ),
    Control::new("AU-11", "Audit records are kept", Rows::Of(&[K::LogStart]), &[C::FirstLeaf, C::Gapless]).says(
        "All records since the log began are still there.",
        "For how long they must be kept.",
    ),
    Control::new("AU-12", "Audit records are made", Rows::All, &[C::FirstLeaf, C::Parts, C::ServeClosed]).says(
        "Records are made by the program itself, before it reports success, from the log's first entry on.",
        "Events of other programs; and that nobody ran an airlock that does not log.",
    ),
    Control::new("CM-3", "Changes of the configuration are controlled", Rows::Of(TRUST), &[C::Attributed]).says(
        "Each change of keys and trust files, with the digest of the file that held from then on.",
        "That the change was proposed, reviewed and approved.",
    ),
    Control::new("CM-5", "Who may change is restricted", Rows::Of(&[K::Push, K::Delete, K::Login, K::PolicyWrite, K::StoreGc, K::StoreRebuild]), &[C::Attributed]).says(
        "Each change of the registry's content, with who made it, and each log-in that was refused.",
        "Physical access, and the file system's permissions.",
    ),
    Control::new("CM-8", "Inventory of components", Rows::Of(CONTENT), &[C::DrivesIdentified]).says(
        "What came into the registry and went from it, by digest.",
        "What runs, and where.",
    ),
    Control::new("CM-14", "Only signed components are installed", Rows::Of(INTAKE), SIGNED_IN).says(
        "Each import and push, with the verdict on its signature, the key and the trust file.",
        "What is installed from elsewhere than this registry.",
    ),
    Control::new("IR-4", "Incidents are handled", Rows::Against(INTAKE), &[C::NoAlarms]).says(
        "Each refusal and alarm, with its reason and the digests it is about.",
        "What was done about it.",
    ),
    Control::new("MP-5", "Media are transported under control", Rows::Of(DRIVES), &[C::PacksSigned, C::DrivesIdentified]).says(
        "Which set was written or came in, when and by whom, under which signature.",
        "Who carried the medium, in what container, and whether it was encrypted.",
    ),
    Control::outside("MP-7", "Use of media is restricted", "Which devices may be plugged in, and whose they are."),
    Control::new("SC-12", "Keys are established and managed", Rows::Of(KEYS), &[C::Attributed]).says(
        "Each making, import, rotation and revocation of a key, with its public digest.",
        "How the private half is kept, who holds it, and its destruction.",
    ),
    Control::outside("SC-13", "Cryptography of the required kind is used", "Which kind is required. airlock uses ring: ECDSA P-256, Ed25519 and SHA-256, in a module without a FIPS 140 certificate."),
    Control::new("SI-7", "Integrity of software and information", Rows::Of(&[K::Verify, K::Import, K::StoreCheck, K::Alarm]), &[C::ImportsVerified, C::NoAlarms]).says(
        "Each comparison of content with its digests and signatures, and each that did not fit.",
        "Software that is not in the store, firmware, and airlock itself.",
    ),
    Control::new("SI-7(1)", "Integrity is checked", Rows::Of(CHECKED), &[C::ImportsVerified, C::PolicyNamed]).says(
        "When content was checked: at import, on demand, and when the store was compared with its digests.",
        "How often it must be checked.",
    ),
    Control::new("SI-7(7)", "Violations of integrity are detected and answered", Rows::Against(INTAKE), &[C::NoAlarms]).says(
        "Each refusal and alarm, with what was expected and what was found.",
        "The answer to it.",
    ),
    Control::new("SI-7(15)", "Code is authenticated before it is installed", Rows::Of(INTAKE), SIGNED_IN).says(
        "Each import and push, with the verdict on its signature, the key and the trust file.",
        "The check at installation, which is the cluster's.",
    ),
    Control::new("SR-4", "Provenance", Rows::Of(&[K::Mirror, K::Attest, K::Pack, K::Import]), &[C::SourcesLocked, C::DrivesIdentified]).says(
        "From the source's lock over the drive to the store, each step by digest.",
        "How the source's maker built it, beyond the attestations that came along.",
    ),
    Control::new("SR-4(3)", "Components are genuine and not altered", Rows::Of(&[K::Verify, K::Import]), &[C::ImportsVerified, C::PolicyNamed]).says(
        "Each drive, image and manifest that was proved, by which key and trust file.",
        "That the key's owner is who they say they are.",
    ),
    Control::new("SR-10", "Components are inspected", Rows::Of(CHECKED), &[C::PolicyNamed]).says(
        "When drives and the store were read through and compared.",
        "The inspection of hardware, and how often it must be.",
    ),
    Control::new("SR-11", "Counterfeits are kept out", Rows::Of(INTAKE), &[C::ImportsVerified, C::PushesJudged]).says(
        "What came in by whose signature, and what was refused.",
        "Training and reporting.",
    ),
];
