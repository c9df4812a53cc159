//! Writes a set to one medium after the other, such as discs in one drive.
//!
//! Each volume is flushed and read back before the next medium is requested. The store keeps the progress in
//! `pack/HEX.json`, with the set's signature, so that an interrupted run resumes with the next volume. The set is logged
//! after its last volume, so the log and the mark are on the last medium.

use std::fs;
use std::path::{Path, PathBuf};

use bundle_signer::{PrivateKey, sign_blob};
use mirror::reporter::Reporter;
use oci::{Algorithm, Digest};
use serde::{Deserialize, Serialize};
use store::Store;

use super::plan::PackPlan;
use super::targets::open_for;
use super::write::{PackReport, WriteOptions, Writer, bytes, finish, prepare};
use crate::bundle::Error;
use crate::bundle::head::{VolumeHeader, head_bytes};
use crate::drive_log::{SenderLog, publish, read_file};
use crate::media::{Beneath, Changer};
use crate::witness::Witness;

/// The maximum size of a record.
const MOST_RECORD: u64 = 1 << 20;

/// The progress of writing a set.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Progress {
    set: Digest,
    /// The signature, which is the same on all volumes.
    signature: String,
    /// The number of the last volume that was written.
    written: u32,
}

/// The user who inserts the media.
#[derive(Clone, Copy)]
pub struct Operator<'a> {
    /// Receives the progress.
    pub reporter: &'a dyn Reporter,
    /// Requests the media.
    pub changer: &'a dyn Changer,
}

/// Writes a set volume by volume to the only folder of the options; the operator inserts the media.
///
/// # Errors
/// Those of [`super::write()`]; [`Error::NotInserted`] when a needed medium is not inserted: the same command resumes.
pub fn write_in_turn(
    plan: &PackPlan,
    store: &Store,
    key: &PrivateKey,
    options: &WriteOptions,
    log: Option<&dyn SenderLog>,
    operator: Operator<'_>,
) -> Result<PackReport, Error> {
    let Operator { reporter, changer } = operator;
    let manifest = plan.manifest.to_bytes();
    let set = Digest::sha256(&manifest);
    let folder = options.targets.first().ok_or(Error::Inconsistent("no target folder was given"))?;
    let record = record(store, &set);
    let known = read_file(&record, MOST_RECORD)?.and_then(|text| serde_json::from_slice(&text).ok());
    let known = known.filter(|known: &Progress| known.set == set);
    let mut progress = if let Some(known) = known {
        known
    } else {
        let signature = sign_blob(key, &manifest).map_err(Error::Sign)?;
        let signature = String::from_utf8_lossy(&signature).into_owned();
        Progress { set: set.clone(), signature, written: 0 }
    };
    let acknowledged = log.map(|log| Witness::of(store).acknowledged(log.verifier().name()));
    let acknowledged = acknowledged.transpose()?.unwrap_or_default();
    reporter.begin("pack", bytes(plan));
    let mut writer = Writer::new(plan, store, reporter);
    let total = plan.manifest.volumes;
    // A run may have ended after the last volume, but before the log was written: that volume is then written again.
    let first = (progress.written + 1).min(total);
    for number in first..=total {
        let name = plan.manifest.volume_name(number);
        if number > first {
            changer.change(number, total, &name)?;
        }
        let is_first = number == first;
        let medium = fitting(plan, &set, folder, number, is_first, operator)?;
        prepare(&medium, store, log, &acknowledged, options)?;
        let header = VolumeHeader::new(set.clone(), number, total);
        let head = head_bytes(&header, &manifest, progress.signature.as_bytes());
        let written = writer.volume(&medium, &name, number, &head)?;
        medium.flush(Path::new(""))?;
        if options.read_back {
            read_back(&medium, &name, &written)?;
        }
        progress.written = number;
        let mut text = serde_json::to_vec(&progress).unwrap_or_default();
        text.push(b'\n');
        publish(&record, &text)?;
        if number == total {
            reporter.end();
            let report = finish(plan, &set, log, &acknowledged, &[&medium], options)?;
            // A record that remains only states that all volumes are written.
            let _ = fs::remove_file(&record);
            return Ok(report);
        }
    }
    Err(Error::Inconsistent("a set has no volumes"))
}

/// Opens the medium for a volume, and requests another one as long as it does not fit.
fn fitting(
    plan: &PackPlan,
    set: &Digest,
    folder: &Path,
    number: u32,
    is_first: bool,
    operator: Operator<'_>,
) -> Result<Beneath, Error> {
    loop {
        let unfit = match open_for(plan, set, folder, number, operator.reporter) {
            Err(error) if is_unfit(&error) => error,
            opened => return opened,
        };
        operator.changer.unfit(&unfit);
        let (total, name) = (plan.manifest.volumes, plan.manifest.volume_name(number));
        match operator.changer.change(number, total, &name) {
            // The first medium was never requested, so its error is the result.
            Err(_) if is_first => return Err(unfit),
            asked => asked?,
        }
    }
}

/// Whether another medium can be inserted instead: this one has volumes of another set or too little space, or cannot be
/// written to.
fn is_unfit(error: &Error) -> bool {
    matches!(
        error,
        Error::WouldOverwrite(_) | Error::NoSpace { .. } | Error::FileTooLarge { .. } | Error::Io { .. }
    )
}

fn record(store: &Store, set: &Digest) -> PathBuf {
    store.root().join("pack").join(format!("{}.json", set.hex()))
}

/// Reads a volume from the medium, not from the page cache.
fn read_back(medium: &Beneath, name: &str, written: &Digest) -> Result<(), Error> {
    let path = medium.path(Path::new(name));
    let file = medium.file(Path::new(name)).map_err(Error::io("open", &path))?;
    // This is a hint, which file systems in user space may ignore.
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    let found = Digest::of_reader(Algorithm::Sha256, file).map_err(Error::io("read", &path))?;
    if found == *written { Ok(()) } else { Err(Error::ReadBack(path)) }
}
