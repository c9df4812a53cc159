//! DISA's Container Platform SRG: the requirements that a log of airlock says something of.
//!
//! Identifiers, group numbers and severities are those of version 2 release 4 (28 October 2025), looked up in public
//! copies of it; which event speaks for which requirement is our own reading. Requirements on the runtime, the
//! orchestrator and accounts are not here: they are about other programs.

use super::check::Check as C;
use super::framework::{Control, Rows};
use super::nist::{INTAKE, PRIVILEGED, TRUST};
use crate::Kind as K;

const CHANGES: &[K] = &[K::Push, K::Delete, K::Import, K::StoreGc];

pub(super) const CONTROLS: &[Control] = &[
    Control::outside("SRG-APP-000014-CTR-000035", "Images are carried by TLS 1.2 or later", "How connections were made. `serve` speaks TLS 1.2 and 1.3 when it has a certificate; the log does not tell of connections.").also("V-233015, CAT II"),
    Control::new("SRG-APP-000089-CTR-000150", "Audit records are made for the chosen events", Rows::All, &[C::Gapless, C::FirstLeaf]).also("V-233038, CAT II").says(
        "The events that airlock logs, and how often each took place.",
        "Events of the runtime and the orchestrator.",
    ),
    Control::new("SRG-APP-000092-CTR-000165", "Auditing begins at start-up", Rows::Of(&[K::LogStart, K::ServeStart, K::ServeStop]), &[C::FirstLeaf, C::ServeClosed]).also("V-233041, CAT II").says(
        "The log begins with its own start, and the registry's opening and closing are in it.",
        "The other components' start.",
    ),
    Control::new("SRG-APP-000095-CTR-000170", "Records tell the type of event", Rows::All, &[C::SixFields]).also("V-233042, CAT II").says("Each record's event.", "Other components' records."),
    Control::new("SRG-APP-000096-CTR-000175", "Records tell date and time", Rows::All, &[C::SixFields, C::TimeOrder]).also("V-233043, CAT II").says("Each record's time.", "Other components' records."),
    Control::new("SRG-APP-000097-CTR-000180", "Records tell where it took place", Rows::All, &[C::SixFields]).also("V-233044, CAT II").says("Each record's host and component.", "Other components' records."),
    Control::new("SRG-APP-000098-CTR-000185", "Records tell the source", Rows::All, &[C::SixFields]).also("V-233045, CAT II").says("Each record's actor, and a client's address.", "Other components' records."),
    Control::new("SRG-APP-000099-CTR-000190", "Records tell the result", Rows::All, &[C::SixFields]).also("V-233046, CAT II").says("Each record's outcome: success, refused or failed, and why.", "Other components' records."),
    Control::new("SRG-APP-000100-CTR-000195", "Records tell the user", Rows::Of(PRIVILEGED), &[C::Attributed]).also("V-233047, CAT II").says("The name or number of who made each change.", "That names are not shared between people."),
    Control::new("SRG-APP-000100-CTR-000200", "Records tell the containers", Rows::Of(CHANGES), &[C::DrivesIdentified]).also("V-233048, CAT II").says("The digests of the images and sets that each change was about.", "Containers: airlock runs none."),
    Control::outside("SRG-APP-000111-CTR-000220", "Records can be sent to a central place", "That they are sent. The log is a folder of files that other programs can read and copy.").also("V-233052, CAT II"),
    Control::new("SRG-APP-000116-CTR-000235", "Time stamps come from the system's clock", Rows::All, &[C::TimeOrder]).also("V-233055, CAT II").says("Each record names its time's source.", "What the clock is set by."),
    Control::outside("SRG-APP-000118-CTR-000240", "Audit records cannot be read by just anyone", "Who may read the log's files.").also("V-233056, CAT II"),
    Control::new("SRG-APP-000119-CTR-000245", "Audit records cannot be changed", Rows::All, &[C::Gapless, C::TrustedKey]).also("V-233057, CAT II").says("Every leaf is proved under a signed checkpoint, checked by a key that did not come with the log.", "The file system's permissions."),
    Control::new("SRG-APP-000120-CTR-000250", "Audit records cannot be deleted", Rows::All, &[C::Gapless, C::FirstLeaf, C::TrustedKey]).also("V-233058, CAT II").says("All leaves since the log began are there.", "Leaves after a checkpoint that nobody else has seen."),
    Control::lacking("SRG-APP-000126-CTR-000275", "The log's integrity is protected by FIPS-validated cryptography", "airlock's cryptography is ring, which has no FIPS 140 certificate.").also("V-233063, CAT II"),
    Control::new("SRG-APP-000131-CTR-000280", "Packages are verified", Rows::Of(&[K::Verify, K::Import]), &[C::ImportsVerified, C::PolicyNamed]).also("V-233064, CAT II").says("Each drive that came in, with the key and trust file that it was verified by.", "Packages that come on other ways."),
    Control::new("SRG-APP-000131-CTR-000285", "Container images are verified", Rows::Of(INTAKE), &[C::ImportsVerified, C::PushesJudged, C::PolicyNamed]).also("V-233065, CAT II").says("Each import and push, with the verdict on its signature.", "The check before a container starts, which is the cluster's."),
    Control::new("SRG-APP-000133-CTR-000290", "Few may change the registry", Rows::Of(&[K::Push, K::Delete, K::Login]), &[C::Attributed]).also("V-233066, CAT II").says("Who put something into the registry or took it out, and log-ins that were refused.", "Who may: the password file and the store's permissions."),
    Control::outside("SRG-APP-000141-CTR-000320", "The registry holds only what is offered", "What the platform offers. `airlock store list` tells what the registry holds.").also("V-233072, CAT II"),
    Control::new("SRG-APP-000181-CTR-000485", "Records can be reported on demand", Rows::All, &[C::Gapless]).also("V-233105, CAT II").says("This report, which changes nothing in the log.", "Reports over other components' records."),
    Control::outside("SRG-APP-000358-CTR-000805", "Records are kept in a second place", "Copies of the log's folder.").also("V-233169, CAT II"),
    Control::new("SRG-APP-000374-CTR-000865", "Time stamps are in UTC", Rows::All, &[C::TimeOrder]).also("V-233181, CAT II").says("Each record's time is in UTC.", "Other components' records."),
    Control::new("SRG-APP-000375-CTR-000870", "Time stamps are exact to a second", Rows::All, &[C::TimeOrder]).also("V-233182, CAT II").says("Each record's time is told by the second.", "Other components' records."),
    Control::new("SRG-APP-000378-CTR-000890", "Only the privileged change images in the registry", Rows::Of(CHANGES), &[C::Attributed]).also("V-233186, CAT II").says("Who made each change of the registry's content.", "Who may: the password file and the store's permissions."),
    Control::new("SRG-APP-000386-CTR-000920", "Only authorized images are let into the registry", Rows::Of(INTAKE), &[C::ImportsVerified, C::PushesJudged]).also("V-233192, CAT II").says("What was let in by whose signature, and what was refused.", "Which images the organization authorized."),
    Control::new("SRG-APP-000495-CTR-001235", "Changes of privileges are logged", Rows::Of(TRUST), &[C::Attributed]).also("V-233255, CAT II").says("Changes of keys and trust files, done or refused.", "Changes of the password file, which other programs write."),
    Control::new("SRG-APP-000496-CTR-001240", "Changes of security objects are logged", Rows::Of(TRUST), &[C::Attributed]).also("V-233256, CAT II").says("Changes of keys and trust files, done or refused.", "Other components' security objects."),
    Control::new("SRG-APP-000503-CTR-001275", "Log-ins are logged", Rows::Of(&[K::Login]), &[]).also("V-233263, CAT II").says("Log-ins that were refused.", "Log-ins that were good: the user stands in the record of what they did."),
    Control::new("SRG-APP-000504-CTR-001280", "Privileged activities are logged", Rows::Of(PRIVILEGED), &[C::Attributed]).also("V-233264, CAT II").says("Keys, trust files, imports, deletions and repairs of the store, each with who did it.", "What was done by other programs."),
];
