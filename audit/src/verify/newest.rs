//! The newest bundle and tile, which are not flushed: what a power cut leaves of them is told from an edit.
//!
//! `tail` has their entries, and their hashes give the signed root: nothing is lost, whatever these files hold. A cut
//! leaves a file that is missing, ends early, or has sectors that were never written. Other entries that read well are an
//! edit.

use std::fs;
use std::path::Path;

use tlog::tile::{self, TileId, WIDTH};
use tlog::{Folder, Hash};

use super::entries::differences;
use super::{LogFault, Part, Report, tree};

/// What a disk writes at once.
const SECTOR: usize = 512;
/// Of bytes that have nothing to do with each other, far fewer than one in so many are equal.
const ALIKE: usize = 8;

/// Compares both files with what `tail` says.
pub(super) fn judge(log: &Path, folder: &Folder, report: &mut Report) {
    let (index, width) = (folder.size() / WIDTH, folder.size() % WIDTH);
    let (Ok(entries), Ok(hashes)) = (folder.bundle(index), folder.tile(0, index)) else { return };
    let mut bundle = Vec::new();
    if entries.iter().try_for_each(|entry| tile::encode_entry(entry, &mut bundle)).is_err() {
        return;
    }
    for (level, written) in [(None, bundle), (Some(0), tile::encode_hashes(&hashes))] {
        let place = TileId { level, index, width };
        let found = fs::read(log.join(place.path())).ok();
        if found.as_ref() == Some(&written) || found.is_none() && has_grown(log, folder.size()) {
            continue;
        }
        let path = place.path();
        let edited = found.filter(|found| !is_spoiled(found, &written, level.is_none()));
        match (edited, level) {
            (None, _) => report.notices.push(format!(
                "`{}` is not as it was written, as after a power cut; `tail` has its entries, and the next event writes it \
                 again",
                path.display()
            )),
            (Some(_), None) => name_entries(log, folder, &hashes, report),
            (Some(_), Some(_)) => {
                let what = format!("`{}` is not what was signed; the entries can make it again", path.display());
                report.fault(Part::Tile, Some(index * WIDTH), what);
            }
        }
    }
}

/// Whether others have logged since: then the files have given way to wider ones.
fn has_grown(log: &Path, size: u64) -> bool {
    let now = Folder::checkpoint(log).and_then(|note| tlog::Checkpoint::read(&note));
    now.is_ok_and(|now| now.size > size)
}

/// Names the entries of the bundle's file that are not those that were logged.
fn name_entries(log: &Path, folder: &Folder, logged: &[Hash], report: &mut Report) {
    let first = folder.size() / WIDTH * WIDTH;
    let found = Folder::new(log, folder.size()).remains(first / WIDTH).unwrap_or_default();
    let found: Vec<Hash> = found.iter().map(|entry| Hash::leaf(entry)).collect();
    let mut faults = differences(&found, logged);
    if faults.is_empty() {
        faults.push((0, "its bundle is not what was logged: it was edited".to_owned()));
    }
    for (place, what) in faults {
        let entry = first + place as u64;
        let good_until = entry.checked_sub(1).and_then(|before| tree::time(folder, before));
        report.push(LogFault { part: Part::Entry, entry: Some(entry), what, good_until });
    }
}

/// Whether a cut can have left `found` where `written` was being written.
fn is_spoiled(found: &[u8], written: &[u8], is_bundle: bool) -> bool {
    if found.len() > written.len() {
        return false;
    }
    let sectors = || found.chunks(SECTOR).zip(written.chunks(SECTOR));
    // The beginning of what was written, and zeros: no disk promises that a sector is written whole.
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
        same * ALIKE < found.len()
    };
    sectors().all(|(found, written)| is_kept(found, written) || is_foreign(found, written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cut_leaves_is_told_from_an_edit() {
        let entries: Vec<Vec<u8>> =
            (0..40).map(|n| format!("{{\"event\":\"push\",\"n\":{n}}}").into_bytes()).collect();
        let mut written = Vec::new();
        for entry in &entries {
            tile::encode_entry(entry, &mut written).unwrap();
        }
        let noise: Vec<u8> =
            (0..written.len()).map(|n| u8::try_from(n * 151 % 251).unwrap() ^ 0xa5).collect();
        let zeros = vec![0; written.len()];
        for spoiled in [
            &b""[..],
            &written[..100],
            &zeros,
            &zeros[..7],
            &noise,
            &[&written[..512], &zeros[512..]].concat(),
            &[&written[..100], &zeros[100..]].concat(),
            &[&zeros[..512], &written[512..600], &zeros[600..]].concat(),
        ] {
            assert!(is_spoiled(spoiled, &written, true), "{} bytes", spoiled.len());
        }
        let edit = |place: usize| {
            let mut bytes = written.clone();
            bytes[place] ^= 1;
            bytes
        };
        let fewer = &written[2 + entries[0].len()..];
        for edited in [&edit(0)[..], &edit(written.len() - 1), fewer, &[&written[..], b"\0\x01x"].concat()] {
            assert!(!is_spoiled(edited, &written, true));
        }
    }
}
