//! DISA's Container Platform SRG: the requirements that apply to a log of airlock.
//!
//! Identifiers, group numbers, severities and titles are those of version 2 release 4 (28 October 2025), from public copies
//! of it. The mapping of events to requirements is airlock's own interpretation. Requirements on the runtime, the
//! orchestrator and accounts are omitted: they apply to other programs.

use super::check::Check as C;
use super::framework::{Control, Rows};
use super::nist::{ACCESS, INTAKE, PRIVILEGED, TRUST};
use crate::EventType as K;

const CHANGES: &[K] = &[
    K::Push,
    K::Delete,
    K::Import,
    K::StoreGc,
    K::StoreRetention,
    K::StoreRemove,
    K::TagRollback,
    K::InboxPromote,
];

/// Changes of the registry's content, and the starts of the registry, which record its access settings.
const REGISTRY: &[K] = &[
    K::Push,
    K::Delete,
    K::Import,
    K::StoreGc,
    K::StoreRetention,
    K::StoreRemove,
    K::TagRollback,
    K::InboxPromote,
    K::ServeStart,
    K::ServeReload,
];

pub(super) const CONTROLS: &[Control] = &[
    Control::outside("SRG-APP-000014-CTR-000035", "The container platform must use TLS 1.2 or greater for secure container image transport from trusted sources.", "The protocol of each connection. `serve` supports TLS 1.2 and 1.3 if it has a certificate; the log does not record connections.").also("V-233015, CAT II"),
    Control::partial("SRG-APP-000089-CTR-000150", "The container platform must generate audit records for all DoD-defined auditable events within all components in the platform.", Rows::All, &[C::Gapless, C::FirstLeaf]).also("V-233038, CAT II").says(
        "The events that airlock logs, and the number of each.",
        "The list of events to audit, and events of the runtime and the orchestrator.",
    ),
    Control::new("SRG-APP-000092-CTR-000165", "The container platform must initiate session auditing upon startup.", Rows::Of(&[K::LogStart, K::ServeStart, K::ServeStop, K::Push, K::Delete, K::Login]), &[C::Gapless, C::FirstLeaf, C::LoggedFromStart]).also("V-233041, CAT II").says(
        "The log begins with its own start, and contains the starts and stops of the registry.",
        "The start of other components.",
    ),
    Control::new("SRG-APP-000095-CTR-000170", "All audit records must identify what type of event has occurred within the container platform.", Rows::All, &[C::Gapless, C::TellsWhat]).also("V-233042, CAT II").says("The event type of each record.", "Records of other components."),
    Control::new("SRG-APP-000096-CTR-000175", "The container platform audit records must have a date and time association with all events.", Rows::All, &[C::Gapless, C::TellsWhen]).also("V-233043, CAT II").says("The time of each record.", "Records of other components."),
    Control::new("SRG-APP-000097-CTR-000180", "All audit records must identify where in the container platform the event occurred.", Rows::All, &[C::Gapless, C::TellsWhere]).also("V-233044, CAT II").says("The host and the component of each record.", "Records of other components."),
    Control::new("SRG-APP-000098-CTR-000185", "All audit records must identify the source of the event within the container platform.", Rows::All, &[C::Gapless, C::TellsSource]).also("V-233045, CAT II").says("The actor of each record, and the address of clients.", "Records of other components."),
    Control::new("SRG-APP-000099-CTR-000190", "All audit records must generate the event results within the container platform.", Rows::All, &[C::Gapless, C::TellsOutcome]).also("V-233046, CAT II").says("The outcome of each record: success, refused or failed, with the reason.", "Records of other components."),
    Control::partial("SRG-APP-000100-CTR-000195", "All audit records must identify any users associated with the event within the container platform.", Rows::All, &[C::Attributed]).also("V-233047, CAT II").says("The user name or user ID of each change.", "That a name belongs to only one person: names come from the operating system or the registry's password file."),
    Control::partial("SRG-APP-000100-CTR-000200", "All audit records must identify any containers associated with the event within the container platform.", Rows::Of(CHANGES), &[C::DrivesIdentified]).also("V-233048, CAT II").says("The digests of the images and sets of each change.", "The containers: the log contains the digests of images and sets, and airlock does not run containers."),
    Control::outside("SRG-APP-000111-CTR-000220", "The container platform components must provide the ability to send audit logs to a central enterprise repository for review and analysis.", "The transfer of the log. The log is a folder of files that other programs can read and copy.").also("V-233052, CAT II"),
    Control::new("SRG-APP-000116-CTR-000235", "The container platform must use internal system clocks to generate audit record time stamps.", Rows::All, &[C::Gapless, C::SystemClock]).also("V-233055, CAT II").says("The time source of each record.", "What synchronizes the clock."),
    Control::outside("SRG-APP-000118-CTR-000240", "The container platform must protect audit information from any type of unauthorized read access.", "Read access to the files of the log.").also("V-233056, CAT II"),
    Control::new("SRG-APP-000119-CTR-000245", "The container platform must protect audit information from unauthorized modification.", Rows::All, &[C::Gapless, C::FirstLeaf, C::TrustedKey]).also("V-233057, CAT II").says("Every leaf is proved against a signed checkpoint, verified with a key that did not come with the log.", "File permissions."),
    Control::partial("SRG-APP-000120-CTR-000250", "The container platform must protect audit information from unauthorized deletion.", Rows::All, &[C::Gapless, C::FirstLeaf, C::TrustedKey]).also("V-233058, CAT II").says("All leaves since the start of the log exist.", "The permission to delete the files of the log, and a truncation of the newest records, which only checkpoints kept elsewhere show."),
    Control::lacking("SRG-APP-000126-CTR-000275", "The container platform must use FIPS validated cryptographic mechanisms to protect the integrity of log information.", "airlock's cryptography library is ring, which has no FIPS 140 certificate.").also("V-233063, CAT II"),
    Control::partial("SRG-APP-000131-CTR-000280", "The container platform must be built from verified packages.", Rows::Of(&[K::Verify, K::Import]), &[C::ImportsVerified, C::PolicyNamed]).also("V-233064, CAT II").says("Each imported drive, with the key and the trust file of its verification.", "The components of the platform. The log contains only imported content, with the key and the trust file."),
    Control::new("SRG-APP-000131-CTR-000285", "The container platform must verify container images.", Rows::Of(INTAKE), &[C::Gapless, C::ImportsVerified, C::PushesJudged, C::PolicyNamed]).also("V-233065, CAT II").says("Each import and push, with the verdict on its signature.", "The check before a container starts, which the cluster performs."),
    Control::partial("SRG-APP-000133-CTR-000290", "The container platform must limit privileges to the container platform registry.", Rows::Of(ACCESS), &[C::Attributed, C::ClosedToAll]).also("V-233066, CAT II").says("The user of each push to the registry and each deletion from it, and refused logins.", "The users who may push and delete: the log contains names, not permissions. Show the password file and the permissions of the store."),
    Control::outside("SRG-APP-000141-CTR-000320", "The container platform registry must contain only container images for those capabilities being offered by the container platform.", "The capabilities of the platform. `airlock store list` lists the content of the registry.").also("V-233072, CAT II"),
    Control::new("SRG-APP-000181-CTR-000485", "The container platform must provide an audit reduction capability that supports on-demand reporting requirements.", Rows::All, &[C::Gapless]).also("V-233105, CAT II").says("This report, which does not change the log.", "Reports on the records of other components."),
    Control::outside("SRG-APP-000358-CTR-000805", "Audit records must be stored at a secondary location.", "Copies of the log's folder.").also("V-233169, CAT II"),
    Control::new("SRG-APP-000374-CTR-000865", "All audit records must use UTC or GMT time stamps.", Rows::All, &[C::Gapless, C::Utc]).also("V-233181, CAT II").says("The time of each record is in UTC.", "Records of other components."),
    Control::new("SRG-APP-000375-CTR-000870", "The container platform must record time stamps for audit records that meet a granularity of one second for a minimum degree of precision.", Rows::All, &[C::Gapless, C::TellsWhen]).also("V-233182, CAT II").says("The time of each record has a precision of one second.", "Records of other components."),
    Control::partial("SRG-APP-000378-CTR-000890", "The container platform registry must prohibit installation or modification of container images without explicit privileged status.", Rows::Of(REGISTRY), &[C::Attributed, C::ClosedToAll]).also("V-233186, CAT II").says("The user of each change of the registry's content.", "The users with the explicit privilege to change images: the log contains names, not permissions. Any user in the password file who may push can overwrite a tag."),
    Control::partial("SRG-APP-000386-CTR-000920", "The container platform registry must employ a deny-all, permit-by-exception (whitelist) policy to allow only authorized container images in the container platform.", Rows::Of(INTAKE), &[C::ImportsVerified, C::PushesJudged]).also("V-233192, CAT II").says("Accepted content with its signers, and refused content.", "The denial of all unauthorized images, and the list of authorized images: see the trust file and its gates."),
    Control::partial("SRG-APP-000495-CTR-001235", "The container platform must generate audit records when successful/unsuccessful attempts to modify privileges occur.", Rows::Of(TRUST), &[C::Attributed]).also("V-233255, CAT II").says("Successful and refused changes of keys and trust files.", "Changes of the password file and of the permissions of the log and the store, which other programs make and airlock does not log."),
    Control::partial("SRG-APP-000496-CTR-001240", "The container platform must generate audit records when successful/unsuccessful attempts to modify security objects occur.", Rows::Of(TRUST), &[C::Attributed]).also("V-233256, CAT II").says("Successful and refused changes of keys and trust files.", "Changes of keys and trust files by other programs, and security objects of other components."),
    Control::partial("SRG-APP-000503-CTR-001275", "The container platform must generate audit records when successful/unsuccessful logon attempts occur.", Rows::Of(&[K::Login]), &[C::Gapless, C::TellsOutcome]).also("V-233263, CAT II").says("Refused logins.", "Successful logins: they are not logged as such; the records of a user's operations contain the user name."),
    Control::partial("SRG-APP-000504-CTR-001280", "The container platform must generate audit record for privileged activities.", Rows::Of(PRIVILEGED), &[C::Attributed]).also("V-233264, CAT II").says("Operations on keys and trust files, imports, deletions and store repairs, each with the user.", "The list of privileged activities, and activities outside the log."),
];
