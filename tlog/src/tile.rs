//! The tree cut into files (C2SP tlog-tiles): 256 hashes to a tile, 256 entries to a bundle.

use std::path::PathBuf;

use crate::{Error, Hash, Result};

/// Hashes in a full tile, entries in a full bundle.
pub const WIDTH: u64 = 256;
/// Tree levels that one tile spans.
pub const HEIGHT: u8 = 8;
/// The longest entry: its length is stored in 16 bits.
pub const MAX_ENTRY: usize = 65_535;

/// The position of a tile or an entry bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// The tile's level, each of which spans eight levels of the tree; `None` for a bundle of entries.
    pub level: Option<u8>,
    /// Counted from 0 within its level.
    pub index: u64,
    /// The number of its hashes or entries: 1 to 256.
    pub width: u64,
}

impl TileId {
    /// The path below the log's folder, for example `tile/0/x001/234.p/5`.
    #[must_use]
    pub fn path(self) -> PathBuf {
        let mut path = PathBuf::from("tile");
        match self.level {
            Some(level) => path.push(level.to_string()),
            None => path.push("entries"),
        }
        let mut groups = vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.insert(0, format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        let last = groups.pop().unwrap_or_default();
        path.extend(groups);
        if self.width == WIDTH {
            path.push(last);
        } else {
            path.push(last + ".p");
            path.push(self.width.to_string());
        }
        path
    }
}

/// All tiles and bundles of a log of `size` entries, the bundles first, then level by level.
#[must_use]
pub fn ids(size: u64) -> Vec<TileId> {
    let mut ids = level_ids(None, size);
    let (mut level, mut count) = (0, size);
    while count > 0 {
        ids.extend(level_ids(Some(level), count));
        level += 1;
        count /= WIDTH;
    }
    ids
}

fn level_ids(level: Option<u8>, count: u64) -> Vec<TileId> {
    let full = (0..count / WIDTH).map(|index| TileId { level, index, width: WIDTH });
    let rest = TileId { level, index: count / WIDTH, width: count % WIDTH };
    full.chain((rest.width > 0).then_some(rest)).collect()
}

/// The hashes of a tile.
#[must_use]
pub fn decode_hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<{ Hash::LEN }>();
    rest.is_empty().then(|| hashes.iter().map(|hash| Hash::from_bytes(*hash)).collect())
}

/// A tile's bytes.
#[must_use]
pub fn encode_hashes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// The entries of a bundle.
#[must_use]
pub fn decode_entries(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (entries, rest) = whole_entries(bytes);
    rest.is_empty().then_some(entries)
}

/// The entries before the first one that is cut off, and the remaining bytes.
pub(crate) fn whole_entries(mut bytes: &[u8]) -> (Vec<Vec<u8>>, &[u8]) {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>()
        && let Some((entry, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
    {
        entries.push(entry.to_vec());
        bytes = rest;
    }
    (entries, bytes)
}

/// Appends an entry to a bundle.
///
/// # Errors
/// [`Error::EntryTooLong`].
pub fn encode_entry(entry: &[u8], bundle: &mut Vec<u8>) -> Result<()> {
    let length = u16::try_from(entry.len()).map_err(|_| Error::EntryTooLong(entry.len()))?;
    bundle.extend(length.to_be_bytes());
    bundle.extend(entry);
    Ok(())
}

/// The hash of the subtree over some of a tile's hashes, whose number must be a power of two.
#[must_use]
pub fn fold(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => Hash::empty(),
        [hash] => *hash,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            Hash::node(fold(left), fold(right))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_the_specification() {
        let path = |level, index, width| TileId { level, index, width }.path().display().to_string();
        assert_eq!(path(Some(0), 0, 256), "tile/0/000");
        assert_eq!(path(Some(1), 1_234_067, 256), "tile/1/x001/x234/067");
        assert_eq!(path(None, 1_234_067, 5), "tile/entries/x001/x234/067.p/5");
    }

    #[test]
    fn a_log_of_seventy_thousand_entries_has_these_tiles() {
        let ids = ids(70_000);
        let count = |level| ids.iter().filter(|id| id.level == level).count();
        // 273 full and one partial, of 112; one full and one partial, of 17; one of 1.
        assert_eq!((count(None), count(Some(0)), count(Some(1)), count(Some(2))), (274, 274, 2, 1));
        assert_eq!(ids.last().unwrap().width, 1);
        assert!(super::ids(0).is_empty());
    }

    #[test]
    fn bundles_round_trip() {
        let entries = vec![vec![], vec![1; 300], b"x".to_vec()];
        let mut bytes = Vec::new();
        for entry in &entries {
            encode_entry(entry, &mut bytes).unwrap();
        }
        assert_eq!(decode_entries(&bytes).unwrap(), entries);
        assert!(decode_entries(&bytes[..bytes.len() - 1]).is_none());
        assert!(encode_entry(&vec![0; MAX_ENTRY + 1], &mut bytes).is_err());
    }
}
