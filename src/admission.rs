//! Admission of drives by their log, for `import` and `verify`.

use std::path::Path;

use audit::{Ending, EventType, Outcome};
use bundle_signer::{TrustFile, Verified};
use oci::Digest;
use packager::bundle::BundleManifest;
use packager::media::{Media, mark_name};
use packager::witness::notes::{Purpose, note_policy, refuse_stale_policy};
use packager::witness::{AdmitOptions, Admitted, LogVerdict, MissingLog, Now, Witness, admit};

use crate::files::temporary_folder;
use crate::logged::{Logs, Work};
use crate::printer::{Printer, count};
use store::Store;

/// The records that a drive is compared with.
pub(crate) struct DriveRecords<'a> {
    /// The store that keeps the records.
    pub(crate) store: Option<&'a Store>,
    /// The time to record for this drive. Without it, the drive is not recorded.
    pub(crate) now: Option<Now>,
    pub(crate) missing_log: MissingLog,
}

/// Verifies a drive's log, and prints warnings about it.
pub(crate) fn admit_drive(
    media: &Media,
    manifest: Verified<BundleManifest>,
    trust: &TrustFile,
    records: DriveRecords<'_>,
    printer: &Printer,
) -> anyhow::Result<Admitted> {
    // An old trust file may accept a key that has since been revoked.
    if let Some(store) = records.store {
        let check_policy = if records.now.is_some() { note_policy } else { refuse_stale_policy };
        check_policy(store, Purpose::Content, trust.sequence())?;
    }
    let stage = temporary_folder("the copy of the drive's log")?;
    let witness = records.store.map(Witness::of);
    let options = AdmitOptions {
        trust,
        witness: witness.as_ref(),
        stage: stage.path(),
        missing_log: records.missing_log,
        now: records.now,
    };
    let admitted = admit(media, manifest, &options)?;
    if let Some(warning) = admitted.log().warning() {
        printer.say(&format!("warning: {warning}"));
    }
    let mut missing = match admitted.log() {
        LogVerdict::Proved(finding) => finding.missing.clone(),
        LogVerdict::NotAsked | LogVerdict::Without | LogVerdict::Lifted { .. } => Vec::new(),
    };
    let manifest = admitted.manifest().get();
    if media.completion(manifest).is_none() {
        missing.push(mark_name(&manifest.name));
    }
    for file in missing {
        printer.say(&format!(
            "warning: `{file}`, which `airlock pack` writes last, is missing next to the volumes: `airlock pack` did not \
             finish, or the file was not copied or was removed"
        ));
    }
    Ok(admitted)
}

/// Logs an alarm as a separate event, in addition to that of the work that raised it.
pub(crate) fn log_alarm<T>(
    result: &anyhow::Result<T>,
    logs: &Logs,
    store: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<()> {
    let Err(error) = result else { return Ok(()) };
    let found = error.chain().find_map(|cause| cause.downcast_ref::<packager::bundle::Error>());
    let Some(packager::bundle::Error::Alarm(alarm)) = found else { return Ok(()) };
    let mut work = logs.begin(EventType::Alarm, "log", &alarm.origin, store, printer)?;
    work.evidence("found", &Digest::sha256(alarm.found.as_bytes()));
    if let Some(known) = &alarm.known {
        work.evidence("known", &Digest::sha256(known.as_bytes()));
    }
    work.ended(&Outcome::because(Ending::Refused, alarm.kind.code(), &alarm.to_string()))
}

/// Adds evidence about a drive's log: its origin, its size and the drive's number, or the reason that it was not checked.
pub(crate) fn log_evidence(log: &LogVerdict, work: &mut Work<'_>) {
    match log {
        LogVerdict::NotAsked => work.evidence("log", "not-asked"),
        LogVerdict::Without => work.evidence("log", "without"),
        LogVerdict::Lifted { alarm } => {
            work.evidence("log", "alarm-released");
            work.evidence("alarm", alarm);
        }
        LogVerdict::Proved(finding) => {
            work.evidence("log", &finding.origin);
            work.evidence("logSize", &finding.size);
            work.evidence("driveNumber", &finding.number);
        }
    }
}

/// A line about the log, for reports.
pub(crate) fn log_line(log: &LogVerdict) -> String {
    use LogVerdict as V;
    match log {
        V::NotAsked | V::Without | V::Lifted { .. } => String::new(),
        V::Proved(finding) => {
            let sites = finding.witnesses.iter().map(|(site, size)| format!(", {site} saw {size}"));
            format!(
                "log {}: drive number {}, {}, {} of them already known{}\n",
                finding.origin,
                finding.number,
                count(finding.size, "entry"),
                finding.known,
                sites.collect::<String>()
            )
        }
    }
}
