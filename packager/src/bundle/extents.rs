//! The positions of entries on volumes: the writer decides them, the reader checks them.

use super::tar::{self, BLOCK, MAX_ENTRY, TRAILER};
use super::{BundleManifest, Entry, Error, Extent};

/// The minimum size of a piece of a cut entry, unless a volume is smaller.
const LEAST_PIECE: u64 = 1 << 20;

/// Assigns extents to all entries, on volumes that have `capacity` bytes for entries; returns the number of volumes. An
/// entry that fits into the rest of a volume is not cut; a small entry moves to the next volume instead.
///
/// # Errors
/// [`Error::Inconsistent`] when a volume is too small for any entry.
pub fn place(entries: &mut [Entry], capacity: u64) -> Result<u32, Error> {
    // The longest header and one block of content must fit.
    if capacity < 8 * BLOCK {
        return Err(Error::Inconsistent("a volume has no room for any entry"));
    }
    let mut cursor = Cursor { volume: 1, used: 0, capacity };
    for entry in entries {
        entry.extents = vec![Extent { volume: 0, offset: 0, length: entry.encoded_size }];
        let header = tar::header_len(&entry.tar_name(0));
        let whole = header + entry.encoded_size + tar::padding(entry.encoded_size);
        if entry.encoded_size <= MAX_ENTRY
            && whole <= capacity
            && (whole <= cursor.room() || whole <= LEAST_PIECE)
        {
            if whole > cursor.room() {
                cursor.next_volume();
            }
            entry.extents = vec![cursor.take(header, entry.encoded_size)];
        } else {
            entry.extents = cut(entry, &mut cursor);
        }
    }
    Ok(cursor.volume)
}

fn cut(entry: &Entry, cursor: &mut Cursor) -> Vec<Extent> {
    // The names of a cut entry are longer, by `.part-0001`.
    let mut sample = entry.clone();
    sample.extents = vec![Extent { volume: 0, offset: 0, length: 0 }; 2];
    let header = tar::header_len(&sample.tar_name(0));
    let least = LEAST_PIECE.min(cursor.capacity - header);
    let mut extents = Vec::new();
    let mut left = entry.encoded_size;
    while left > 0 {
        if cursor.room() < header + least.min(left.next_multiple_of(BLOCK)) {
            cursor.next_volume();
        }
        let room = (cursor.room() - header) / BLOCK * BLOCK;
        let length = left.min(room).min(MAX_ENTRY);
        extents.push(cursor.take(header, length));
        left -= length;
    }
    extents
}

struct Cursor {
    volume: u32,
    used: u64,
    capacity: u64,
}

impl Cursor {
    fn room(&self) -> u64 {
        self.capacity - self.used
    }

    fn next_volume(&mut self) {
        self.volume += 1;
        self.used = 0;
    }

    fn take(&mut self, header: u64, length: u64) -> Extent {
        let extent = Extent { volume: self.volume, offset: self.used + header, length };
        self.used += header + length + tar::padding(length);
        extent
    }
}

/// One extent on a volume.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// The entry's index in the manifest.
    pub entry: usize,
    /// The extent's index in the entry.
    pub extent: usize,
}

/// The extents of a volume, in order.
#[must_use]
pub fn pieces(manifest: &BundleManifest, volume: u32) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (number, entry) in manifest.entries.iter().enumerate() {
        for (extent, piece) in entry.extents.iter().enumerate() {
            if piece.volume == volume {
                pieces.push(Piece { entry: number, extent });
            }
        }
    }
    pieces
}

/// The number of bytes of a volume after its head, including the end of the archive.
#[must_use]
pub fn payload_len(manifest: &BundleManifest, volume: u32) -> u64 {
    let extents = manifest.entries.iter().flat_map(|entry| &entry.extents);
    let last =
        extents.filter(|extent| extent.volume == volume).map(|extent| extent.offset + extent.length).max();
    last.unwrap_or(0).next_multiple_of(BLOCK) + TRAILER
}

/// Checks that the extents of all entries follow each other without gaps, volume after volume.
///
/// # Errors
/// [`Error::Inconsistent`] when an extent overlaps, leaves a gap, or goes back.
pub fn check_extents(manifest: &BundleManifest) -> Result<(), Error> {
    let (mut volume, mut used) = (1_u32, 0_u64);
    for entry in &manifest.entries {
        for (number, extent) in entry.extents.iter().enumerate() {
            if extent.volume == volume.saturating_add(1) {
                (volume, used) = (extent.volume, 0);
            }
            let offset = used.checked_add(tar::header_len(&entry.tar_name(number)));
            if extent.volume != volume || Some(extent.offset) != offset || extent.length > MAX_ENTRY {
                return Err(Error::Inconsistent("an extent is not where the entries before it end"));
            }
            let last = number + 1 == entry.extents.len();
            if !last && (extent.length == 0 || tar::padding(extent.length) != 0) {
                return Err(Error::Inconsistent("an entry is cut within a block"));
            }
            let end =
                extent.offset.checked_add(extent.length).and_then(|end| end.checked_next_multiple_of(BLOCK));
            used = end.ok_or(Error::Inconsistent("an extent is too large"))?;
        }
    }
    if volume == manifest.volumes { Ok(()) } else { Err(Error::Inconsistent("a volume has no entry")) }
}
