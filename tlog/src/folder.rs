//! Reading a log's folder: checkpoint, tiles and bundles. The data is only as trustworthy as the root that it is
//! checked against.
//!
//! The last bundle and the last tile of the lowest level are not flushed until they are full, so a power cut may leave
//! them empty, torn or missing. The writer's `tail` holds their entries, flushed before the checkpoint:
//! [`Folder::signed`] reads them from there.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::merkle::{self, Nodes};
use crate::tile::{self, HEIGHT, TileId, WIDTH};
use crate::{Checkpoint, Error, Hash, Note, Result};

/// How often to look for a file that a writer may be replacing with a wider one.
const ATTEMPTS: usize = 8;

/// Tiles kept in memory, 8 KiB each.
const CACHED: usize = 512;

/// The files of a log up to some size.
pub struct Folder {
    path: PathBuf,
    size: u64,
    /// The entries of the incomplete bundle, if they are read from the writer's `tail`.
    newest: Option<Vec<Vec<u8>>>,
    tiles: Mutex<Tiles>,
}

/// Tiles by level and index.
type Tiles = HashMap<(u8, u64), Arc<Vec<Hash>>>;

impl Folder {
    /// The first `size` entries of the log at `path`.
    #[must_use]
    pub fn new(path: &Path, size: u64) -> Self {
        Self { path: path.to_owned(), size, newest: None, tiles: Mutex::default() }
    }

    /// The log at `path`, up to the size of `checkpoint`. If the entries of `tail` hash to the signed root, the newest
    /// entries are read from there: the files that should hold them are not flushed, and a power cut may damage them.
    #[must_use]
    pub fn signed(path: &Path, checkpoint: &Checkpoint) -> Self {
        let plain = Self::new(path, checkpoint.size);
        let Some(newest) = newest(path, checkpoint.size) else { return plain };
        let folder = Self { newest: Some(newest), ..Self::new(path, checkpoint.size) };
        let fits = merkle::root(&folder, checkpoint.size).is_ok_and(|root| root == checkpoint.root);
        if fits { folder } else { plain }
    }

    /// Whether the newest entries are read from `tail`.
    #[must_use]
    pub fn uses_tail(&self) -> bool {
        self.newest.is_some()
    }

    /// The newest entries, if this is the incomplete bundle or the incomplete tile of the lowest level.
    fn newest(&self, level: Option<u8>, index: u64) -> Option<&[Vec<u8>]> {
        let is_last = level.is_none_or(|level| level == 0) && index == self.size / WIDTH;
        self.newest.as_deref().filter(|_| is_last)
    }

    /// The signed checkpoint of the log at `path`, not verified. If a crash left a checkpoint file that is older than the one
    /// in `tail`, or damaged, it is the one in `tail`.
    ///
    /// # Errors
    /// [`Error::Absent`], [`Error::Note`], [`Error::Locked`] or an I/O error.
    pub fn checkpoint(path: &Path) -> Result<Note> {
        crate::log::newest(path)
    }

    /// The number of entries that are read.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The entries of the bundle with this index.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is missing or malformed.
    pub fn bundle(&self, index: u64) -> Result<Vec<Vec<u8>>> {
        if let Some(newest) = self.newest(None, index) {
            return Ok(newest.to_vec());
        }
        let width = self.size.saturating_sub(index.saturating_mul(WIDTH)).min(WIDTH);
        let (bytes, path) = self.read(TileId { level: None, index, width })?;
        let mut entries =
            tile::decode_entries(&bytes).ok_or_else(|| Error::damaged(&path, "malformed bundle"))?;
        if (entries.len() as u64) < width {
            return Err(Error::damaged(&path, "the bundle lacks entries"));
        }
        entries.truncate(usize::try_from(width).unwrap_or(usize::MAX));
        Ok(entries)
    }

    /// The entries of a damaged bundle that can still be read: its first entries, possibly none.
    ///
    /// # Errors
    /// [`Error::Io`] for failures other than damage.
    pub fn salvage(&self, index: u64) -> Result<Vec<Vec<u8>>> {
        let width = self.size.saturating_sub(index.saturating_mul(WIDTH)).min(WIDTH);
        let bytes = match self.read(TileId { level: None, index, width }) {
            Ok((bytes, _)) => bytes,
            Err(Error::Damaged { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut entries = tile::whole_entries(&bytes).0;
        entries.truncate(usize::try_from(width).unwrap_or(usize::MAX));
        Ok(entries)
    }

    /// One entry, not verified.
    ///
    /// # Errors
    /// [`Error::NoEntry`] or [`Error::Damaged`].
    pub fn entry(&self, index: u64) -> Result<Vec<u8>> {
        let missing = || Error::NoEntry { index, size: self.size };
        if index >= self.size {
            return Err(missing());
        }
        let mut entries = self.bundle(index / WIDTH)?;
        let offset = usize::try_from(index % WIDTH).unwrap_or(usize::MAX);
        if offset < entries.len() { Ok(entries.swap_remove(offset)) } else { Err(missing()) }
    }

    /// The hashes of a tile, as many as a log of this size has in it.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is missing or malformed.
    pub fn tile(&self, level: u8, index: u64) -> Result<Arc<Vec<Hash>>> {
        let mut tiles = self.tiles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tile) = tiles.get(&(level, index)) {
            return Ok(Arc::clone(tile));
        }
        if let Some(newest) = self.newest(Some(level), index) {
            let tile: Arc<Vec<Hash>> = Arc::new(newest.iter().map(|entry| Hash::leaf(entry)).collect());
            tiles.insert((level, index), Arc::clone(&tile));
            return Ok(tile);
        }
        let count = self.size.checked_shr(u32::from(level) * u32::from(HEIGHT)).unwrap_or(0);
        let width = count.saturating_sub(index.saturating_mul(WIDTH)).min(WIDTH);
        let (bytes, path) = self.read(TileId { level: Some(level), index, width })?;
        let mut hashes =
            tile::decode_hashes(&bytes).ok_or_else(|| Error::damaged(&path, "malformed tile"))?;
        if (hashes.len() as u64) < width {
            return Err(Error::damaged(&path, "the tile lacks hashes"));
        }
        hashes.truncate(usize::try_from(width).unwrap_or(usize::MAX));
        if tiles.len() >= CACHED {
            tiles.clear();
        }
        let tile = Arc::new(hashes);
        tiles.insert((level, index), Arc::clone(&tile));
        Ok(tile)
    }

    /// Reads a file of at least this width: when a log grows, wider files replace narrower ones.
    fn read(&self, id: TileId) -> Result<(Vec<u8>, PathBuf)> {
        let path = self.path.join(id.path());
        if id.width == 0 {
            return Err(Error::damaged(&path, "it is beyond the end of the log"));
        }
        // A wider file may itself be replaced between being found and being read.
        for _ in 0..ATTEMPTS {
            for found in [path.clone(), self.path.join(TileId { width: wider(&path, id.width), ..id }.path())]
            {
                match fs::read(&found) {
                    Ok(bytes) => return Ok((bytes, found)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(Error::io("read", &found)(error)),
                }
            }
        }
        Err(Error::damaged(&path, "the file is missing"))
    }
}

/// The entries of the incomplete bundle in a log of this size, read from the writer's `tail`; none if it lacks one of
/// them.
fn newest(path: &Path, size: u64) -> Option<Vec<Vec<u8>>> {
    let first = size / WIDTH * WIDTH;
    if first == size {
        return None;
    }
    let (base, entries) = crate::log::tail(path).ok()?;
    let begin = usize::try_from(first.checked_sub(base)?).ok()?;
    let end = usize::try_from(size - base).ok()?;
    Some(entries.get(begin..end)?.to_vec())
}

/// The smallest width above `width` of the files beside `path`; the full width if there is none.
fn wider(path: &Path, width: u64) -> u64 {
    let beside = path.parent().into_iter().flat_map(fs::read_dir).flatten().flatten();
    let widths = beside.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    widths.filter(|found| *found > width && *found < WIDTH).min().unwrap_or(WIDTH)
}

impl Nodes for Folder {
    fn node(&self, level: u8, index: u64) -> Result<Hash> {
        let within = level % HEIGHT;
        let first = index << within;
        let tile = self.tile(level / HEIGHT, first / WIDTH)?;
        let begin = usize::try_from(first % WIDTH).unwrap_or(usize::MAX);
        let hashes = tile.get(begin..begin.saturating_add(1 << within));
        hashes.map(tile::fold).ok_or(Error::NoEntry { index, size: self.size })
    }
}

/// The name of the file with the signed checkpoint.
pub const CHECKPOINT: &str = "checkpoint";
