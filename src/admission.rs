//! Drives let in by their log: what `import` and `verify` share.

use std::path::Path;

use audit::{Ending, EventType, Outcome};
use bundle_signer::{TrustFile, Verified};
use oci::Digest;
use packager::bundle::BundleManifest;
use packager::media::{Media, mark_name};
use packager::witness::notes::{Purpose, heed_policy, refuse_stale_policy};
use packager::witness::{Admitted, Gatekeeper, LogVerdict, Now, Without, Witness, admit};

use crate::commands::temporary_folder;
use crate::logged::{Logs, Work};
use crate::printer::{Printer, count};
use store::Store;

/// What a drive is compared with.
pub(crate) struct Memory<'a> {
    /// The store that remembers.
    pub(crate) store: Option<&'a Store>,
    /// Whether, and as of when, it is to remember this drive.
    pub(crate) now: Option<Now>,
    pub(crate) without: Without,
}

/// Proves a drive's log, and tells what people should know of it.
pub(crate) fn let_in(
    media: &Media,
    manifest: Verified<BundleManifest>,
    trust: &TrustFile,
    memory: Memory<'_>,
    printer: &Printer,
) -> anyhow::Result<Admitted> {
    // An old trust file may believe a key that was revoked since.
    if let Some(store) = memory.store {
        let heed = if memory.now.is_some() { heed_policy } else { refuse_stale_policy };
        heed(store, Purpose::Content, trust.sequence())?;
    }
    let stage = temporary_folder("the copy of the drive's log")?;
    let witness = memory.store.map(Witness::of);
    let keeper = Gatekeeper {
        trust,
        witness: witness.as_ref(),
        stage: stage.path(),
        without: memory.without,
        now: memory.now,
    };
    let admitted = admit(media, manifest, &keeper)?;
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
            "warning: `{file}` is not beside the volumes, though a pack that ends writes it: it was not finished, not \
             copied along, or removed"
        ));
    }
    Ok(admitted)
}

/// An alarm is an event of its own, beside that of the work which met it.
pub(crate) fn log_alarm<T>(
    result: &anyhow::Result<T>,
    logs: &Logs,
    store: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<()> {
    let Err(error) = result else { return Ok(()) };
    let found = error.chain().find_map(|cause| cause.downcast_ref::<packager::bundle::Error>());
    let Some(packager::bundle::Error::Alarm(alarm)) = found else { return Ok(()) };
    let mut work = logs.begin(EventType::Alarm, ("log", &alarm.origin), store, printer)?;
    work.evidence("found", &Digest::sha256(alarm.found.as_bytes()));
    if let Some(known) = &alarm.known {
        work.evidence("known", &Digest::sha256(known.as_bytes()));
    }
    work.ended(&Outcome::because(Ending::Refused, alarm.kind.word(), &alarm.to_string()))
}

/// What became of a drive's log, as evidence: its origin, size and the drive's number, or why it decided nothing.
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

/// Of the log in a line, for reports.
pub(crate) fn log_line(log: &LogVerdict) -> String {
    use LogVerdict as V;
    match log {
        V::NotAsked | V::Without | V::Lifted { .. } => String::new(),
        V::Proved(finding) => {
            let sites = finding.witnesses.iter().map(|(site, size)| format!(", {site} saw {size}"));
            format!(
                "log {}: drive number {}, {}, {} of them known before{}\n",
                finding.origin,
                finding.number,
                count(finding.size, "entry"),
                finding.known,
                sites.collect::<String>()
            )
        }
    }
}
