//! The newest bundle and tile and the checkpoint, which are not flushed: distinguishes the effects of a power cut from an
//! edit.
//!
//! `tail` has their entries, whose hashes give the signed root, and the checkpoint, so nothing is lost, whatever these files
//! contain. A power cut leaves a file that is missing or older, ends early, or has sectors that were never written. Other
//! entries that can be read are an edit.

use std::fs;
use std::path::Path;

use tlog::tile::{self, TileId, WIDTH};
use tlog::{Folder, Hash, Note};

use super::entries::differences;
use super::{LogFault, Part, Report, tree};
use crate::LogTrust;

/// The number of bytes that a disk writes at once.
const SECTOR: usize = 512;
/// Among unrelated bytes, far fewer than one in this many are equal.
const EQUAL_RATIO: usize = 8;

/// Compares the checkpoint's file with the newest checkpoint, which may be the one in `tail`. A power cut leaves a file that
/// is older, or shorter and no note any more, because a note ends with a whole signature line.
pub(super) fn judge_checkpoint(file: &[u8], newest: &Note, trust: &LogTrust, report: &mut Report) {
    let state = match Note::parse(file) {
        Ok(found) if found == *newest => return,
        Ok(found) if trust.policy().verify(&found).is_ok() => "older than the one in `tail`",
        Err(_) if file.len() <= newest.to_string().len() => "damaged",
        Ok(_) | Err(_) => {
            report.fault(Part::Checkpoint, None, "its file was edited; the signed one is in `tail`");
            return;
        }
    };
    report.notices.push(format!(
        "`checkpoint` is {state}, as after a power failure; `tail` has the newest one, and the next event that is logged \
         restores it"
    ));
}

/// Compares both files with `tail`.
pub(super) fn judge(log: &Path, folder: &Folder, report: &mut Report) {
    let (index, width) = (folder.size() / WIDTH, folder.size() % WIDTH);
    let (Ok(entries), Ok(hashes)) = (folder.bundle(index), folder.tile(0, index)) else { return };
    let mut bundle = Vec::new();
    if entries.iter().try_for_each(|entry| tile::encode_entry(entry, &mut bundle)).is_err() {
        return;
    }
    for (level, written) in [(None, bundle), (Some(0), tile::encode_hashes(&hashes))] {
        let tile = TileId { level, index, width };
        let found = fs::read(log.join(tile.path())).ok();
        if found.as_ref() == Some(&written) || found.is_none() && has_grown(log, folder.size()) {
            continue;
        }
        let path = tile.path();
        let edited = found.filter(|found| !is_cut_damage(found, &written, level.is_none()));
        match (edited, level) {
            (None, _) => report.notices.push(format!(
                "`{}` is damaged, as after a power failure; its entries are in `tail`, and the next event that is logged restores it",
                path.display()
            )),
            (Some(_), None) => name_entries(log, folder, &hashes, report),
            (Some(_), Some(_)) => {
                let what = format!("`{}` does not match the signed tree; the entries can restore it", path.display());
                report.fault(Part::Tile, Some(index * WIDTH), what);
            }
        }
    }
}

/// Whether events were logged in the meantime: then these files were replaced by larger ones.
fn has_grown(log: &Path, size: u64) -> bool {
    let now = Folder::checkpoint(log).and_then(|note| tlog::Checkpoint::read(&note));
    now.is_ok_and(|now| now.size > size)
}

/// Reports the entries in the bundle's file that differ from the logged ones.
fn name_entries(log: &Path, folder: &Folder, logged: &[Hash], report: &mut Report) {
    let first = folder.size() / WIDTH * WIDTH;
    let found = Folder::new(log, folder.size()).salvage(first / WIDTH).unwrap_or_default();
    let found: Vec<Hash> = found.iter().map(|entry| Hash::leaf(entry)).collect();
    let mut faults = differences(&found, logged);
    if faults.is_empty() {
        faults.push((0, "its bundle was edited after it was logged".to_owned()));
    }
    for (position, what) in faults {
        let entry = first + position as u64;
        let good_until = entry.checked_sub(1).and_then(|before| tree::time(folder, before));
        report.push(LogFault { part: Part::Entry, entry: Some(entry), what, good_until });
    }
}

/// Whether a power cut while `written` was being written can have left `found`.
fn is_cut_damage(found: &[u8], written: &[u8], is_bundle: bool) -> bool {
    if found.len() > written.len() {
        return false;
    }
    let sectors = || found.chunks(SECTOR).zip(written.chunks(SECTOR));
    // The beginning of the written bytes, followed by zeros: no disk guarantees that a sector is written completely.
    let is_kept = |found: &[u8], written: &[u8]| {
        let kept = found.iter().zip(written).take_while(|(found, written)| found == written).count();
        found.iter().skip(kept).all(|byte| *byte == 0)
    };
    if sectors().all(|(found, written)| is_kept(found, written)) {
        return true;
    }
    if is_bundle && tile::decode_entries(found).is_some() {
        return false;
    }
    let is_foreign = |found: &[u8], written: &[u8]| {
        let same = found.iter().zip(written).filter(|(found, written)| found == written).count();
        same * EQUAL_RATIO < found.len()
    };
    sectors().all(|(found, written)| is_kept(found, written) || is_foreign(found, written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_cut_is_distinguished_from_an_edit() {
        let entries: Vec<Vec<u8>> =
            (0..40).map(|n| format!("{{\"event\":\"push\",\"n\":{n}}}").into_bytes()).collect();
        let mut written = Vec::new();
        for entry in &entries {
            tile::encode_entry(entry, &mut written).unwrap();
        }
        let noise: Vec<u8> =
            (0..written.len()).map(|n| u8::try_from(n * 151 % 251).unwrap() ^ 0xa5).collect();
        let zeros = vec![0; written.len()];
        for damaged in [
            &b""[..],
            &written[..100],
            &zeros,
            &zeros[..7],
            &noise,
            &[&written[..512], &zeros[512..]].concat(),
            &[&written[..100], &zeros[100..]].concat(),
            &[&zeros[..512], &written[512..600], &zeros[600..]].concat(),
        ] {
            assert!(is_cut_damage(damaged, &written, true), "{} bytes", damaged.len());
        }
        let edit = |position: usize| {
            let mut bytes = written.clone();
            bytes[position] ^= 1;
            bytes
        };
        let fewer = &written[2 + entries[0].len()..];
        for edited in [&edit(0)[..], &edit(written.len() - 1), fewer, &[&written[..], b"\0\x01x"].concat()] {
            assert!(!is_cut_damage(edited, &written, true));
        }
    }
}
