//! Verifying from the files alone that a log is whole, and that it is consistent with an earlier state.

use std::path::Path;

use crate::merkle::{self, TreeHead};
use crate::tile::{self, WIDTH};
use crate::{Checkpoint, Error, Folder, Hash, Note, Policy, Result};

/// Reads every entry and tile up to the checkpoint's size, from their files alone, and compares entries with leaf
/// hashes, tiles with the tiles below them, and all of them with the signed root. Calls `each` with the index and the
/// bytes of every entry, in order.
///
/// # Errors
/// [`Error::Damaged`] names the first file that differs; [`Error::RootDiffers`] means a whole log that was never signed.
pub fn whole(path: &Path, policy: &Policy, each: &mut dyn FnMut(u64, &[u8])) -> Result<(Checkpoint, Note)> {
    since(path, 0, policy, each)
}

/// Like [`whole`], but skips the bundles before that of entry `first`, for callers that already have those entries.
/// Their hashes are still checked.
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

/// Checks that each hash above the lowest level is that of the full tile below it.
fn tiles(path: &Path, folder: &Folder) -> Result<()> {
    for id in tile::ids(folder.size()) {
        let Some(level) = id.level.filter(|level| *level > 0) else { continue };
        let hashes = folder.tile(level, id.index)?;
        for (hash, below) in hashes.iter().zip(id.index * WIDTH..) {
            if tile::fold(&folder.tile(level - 1, below)?) != *hash {
                return Err(Error::damaged(&path.join(id.path()), "a hash does not match the tile below"));
            }
        }
    }
    Ok(())
}

/// Checks that the log, now at `checkpoint`, extends the known state, and returns the proof.
///
/// # Errors
/// [`Error::RolledBack`] or [`Error::Forked`]; both prove misbehaviour, not a damaged medium.
pub fn consistency(folder: &Folder, checkpoint: &Checkpoint, known: TreeHead) -> Result<Vec<Hash>> {
    let origin = || checkpoint.origin.clone();
    if checkpoint.size < known.size {
        return Err(Error::RolledBack { origin: origin(), found: checkpoint.size, known: known.size });
    }
    if merkle::root(folder, known.size)? != known.root {
        return Err(Error::Forked { origin: origin(), known: known.size });
    }
    let proof = merkle::prove_consistency(folder, known.size, checkpoint.size)?;
    merkle::check_consistency(known, checkpoint.tree_head(), &proof)?;
    Ok(proof)
}
