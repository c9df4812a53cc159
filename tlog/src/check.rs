//! Proving from the files alone that a log is whole, and that it goes on from what was known of it.

use std::path::Path;

use crate::merkle;
use crate::tile::{self, WIDTH};
use crate::{Checkpoint, Error, Folder, Hash, Note, Policy, Result};

/// Reads every entry and tile up to the checkpoint's size, from their files alone, and compares: entries with leaf hashes,
/// tiles with those below, all with the signed root. `each` gets every entry with its index, in order.
///
/// # Errors
/// [`Error::Damaged`] names the first file that differs, [`Error::RootDiffers`] a whole log that was never signed.
pub fn whole(path: &Path, policy: &Policy, each: &mut dyn FnMut(u64, &[u8])) -> Result<(Checkpoint, Note)> {
    since(path, 0, policy, each)
}

/// As [`whole`], but without the bundles before that of entry `first`: who has those entries already can do without
/// them. Their hashes are checked all the same.
///
/// # Errors
/// As [`whole`].
pub fn since(
    path: &Path,
    first: u64,
    policy: &Policy,
    each: &mut dyn FnMut(u64, &[u8]),
) -> Result<(Checkpoint, Note)> {
    let note = Folder::checkpoint(path)?;
    let checkpoint = policy.verify(&note)?;
    let folder = Folder::new(path, checkpoint.size);
    for index in first / WIDTH..checkpoint.size.div_ceil(WIDTH) {
        let entries = folder.bundle(index)?;
        let hashes: Vec<Hash> = entries.iter().map(|entry| Hash::leaf(entry)).collect();
        if *folder.tile(0, index)? != hashes {
            let first =
                folder.tile(0, index)?.iter().zip(&hashes).take_while(|(tile, entry)| tile == entry).count();
            let entry = index * WIDTH + first as u64;
            return Err(Error::EntryDiffers { entry });
        }
        for (entry, number) in entries.iter().zip(index * WIDTH..) {
            each(number, entry);
        }
    }
    tiles(path, &folder)?;
    if merkle::root(&folder, checkpoint.size)? != checkpoint.root {
        return Err(Error::RootDiffers { size: checkpoint.size });
    }
    Ok((checkpoint, note))
}

/// That each hash above the lowest level is that of the full tile below it.
fn tiles(path: &Path, folder: &Folder) -> Result<()> {
    for place in tile::places(folder.size()) {
        let Some(level) = place.level.filter(|level| *level > 0) else { continue };
        let hashes = folder.tile(level, place.index)?;
        for (hash, below) in hashes.iter().zip(place.index * WIDTH..) {
            if tile::fold(&folder.tile(level - 1, below)?) != *hash {
                return Err(Error::damaged(&path.join(place.path()), "a hash is not that of the tile below"));
            }
        }
    }
    Ok(())
}

/// That the log, now at `checkpoint`, contains what it contained when it had the size and root `known`.
///
/// # Errors
/// [`Error::RolledBack`] or [`Error::Forked`]; both are proof of misbehaviour, not of a broken medium.
pub fn goes_on(folder: &Folder, checkpoint: &Checkpoint, known: (u64, Hash)) -> Result<Vec<Hash>> {
    let origin = || checkpoint.origin.clone();
    if checkpoint.size < known.0 {
        return Err(Error::RolledBack { origin: origin(), found: checkpoint.size, known: known.0 });
    }
    if merkle::root(folder, known.0)? != known.1 {
        return Err(Error::Forked { origin: origin(), known: known.0 });
    }
    let proof = merkle::prove_consistency(folder, known.0, checkpoint.size)?;
    merkle::check_consistency(known, (checkpoint.size, checkpoint.root), &proof)?;
    Ok(proof)
}
