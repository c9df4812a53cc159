//! The tree computed from the entries, compared with the tiles and the signed root.
//!
//! The hashes of the entries are not kept: they are read from the lowest tiles if these match, and computed from the entries
//! again otherwise. Only one hash for each 256 entries is kept.

use std::collections::BTreeMap;

use tlog::merkle::{self, Nodes};
use tlog::tile::{HEIGHT, TileId, WIDTH, encode_hashes, fold};
use tlog::{Checkpoint, Folder, Hash};

use super::entries::differences;
use super::{LogFault, MAX_LISTED, Part, Report, entries};
use crate::Event;

/// The hashes of tiles, level by level, as far as they can be computed from the entries.
pub(super) struct Tree<'a> {
    size: u64,
    folder: &'a Folder,
    /// For each bundle, a hash over the hashes of the entries that were read.
    found: Vec<Hash>,
    /// For each full bundle, the hash over its entries; `None` if entries are missing.
    bundles: Vec<Option<Hash>>,
    /// The levels above: a hash for each full tile below; `None` if entries are missing.
    above: Vec<Vec<Option<Hash>>>,
    /// The listed entries that are not events, and the number of others.
    non_events: Vec<(u64, String)>,
    more: u64,
}

impl<'a> Tree<'a> {
    pub(super) fn new(folder: &'a Folder) -> Self {
        let (found, bundles, above, non_events) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { size: folder.size(), folder, found, bundles, above, non_events, more: 0 }
    }

    /// Adds the next bundle.
    pub(super) fn add(&mut self, entries: &[Vec<u8>]) {
        let hashes: Vec<Hash> = entries.iter().map(|entry| Hash::leaf(entry)).collect();
        self.found.push(over(&hashes));
        self.bundles.push((hashes.len() as u64 == WIDTH).then(|| fold(&hashes)));
    }

    pub(super) fn add_non_event(&mut self, index: u64, reason: String) {
        if self.non_events.len() < MAX_LISTED {
            self.non_events.push((index, reason));
        } else {
            self.more += 1;
        }
    }

    /// The hash of an entry on disk.
    pub(super) fn leaf(&self, index: u64) -> Option<Hash> {
        self.leaves(index / WIDTH).get(at(index % WIDTH)).copied()
    }

    /// The hashes of a bundle's entries on disk.
    fn leaves(&self, bundle: u64) -> Vec<Hash> {
        // The tile may have changed since the entries were read.
        if let Ok(tile) = self.folder.tile(0, bundle)
            && self.found.get(at(bundle)) == Some(&over(&tile))
        {
            return tile.to_vec();
        }
        let entries = entries::read(self.folder, bundle).unwrap_or_default();
        entries.iter().map(|entry| Hash::leaf(entry)).collect()
    }

    /// Reports every tile and entry that does not match the signed root.
    pub(super) fn judge(&mut self, checkpoint: &Checkpoint, report: &mut Report) {
        self.compute_levels();
        let edge = self.edge(checkpoint);
        if edge.is_none() {
            let what = "neither the entries nor the tiles match the signed root";
            report.fault(Part::Checkpoint, None, what);
        }
        let mut tiles: Vec<Option<Vec<Hash>>> = Vec::new();
        for level in (1..levels(self.size)).rev() {
            let count = width(self.size, level).div_ceil(WIDTH);
            tiles = (0..count)
                .map(|index| self.signed_tile((level, index), (edge.as_ref(), &tiles), report))
                .collect();
        }
        let mut good = None;
        for bundle in 0..self.size.div_ceil(WIDTH) {
            let tile = self.signed_tile((0, bundle), (edge.as_ref(), &tiles), report);
            // If nothing matches the root, the tiles are the next best reference.
            let on_disk = if edge.is_none() {
                self.folder.tile(0, bundle).ok().map(|tile| tile.to_vec())
            } else {
                None
            };
            self.judge_bundle((bundle, tile.as_ref().or(on_disk.as_ref())), &mut good, report);
        }
        for (index, reason) in std::mem::take(&mut self.non_events) {
            report.fault(Part::Entry, Some(index), format!("it is not an event: {reason}"));
        }
        report.more += self.more;
    }

    /// The root over the first entries on disk.
    pub(super) fn root(&self, size: u64) -> Option<Hash> {
        merkle::root(self, size).ok()
    }

    /// Computes the levels above the entries.
    fn compute_levels(&mut self) {
        let mut hashes = std::mem::take(&mut self.bundles);
        hashes.truncate(at(self.size / WIDTH));
        while !hashes.is_empty() {
            let complete = |chunk: &[Option<Hash>]| chunk.iter().copied().collect::<Option<Vec<Hash>>>();
            let full = hashes.chunks_exact(at(WIDTH));
            let next = full.map(|chunk| complete(chunk).map(|hashes| fold(&hashes))).collect();
            self.above.push(std::mem::replace(&mut hashes, next));
        }
    }

    /// The number of hashes in a tile.
    fn width(&self, level: u8, index: u64) -> u64 {
        width(self.size, level).saturating_sub(index * WIDTH).min(WIDTH)
    }

    /// A tile computed from the entries.
    fn computed_tile(&self, level: u8, index: u64) -> Option<Vec<Hash>> {
        let width = self.width(level, index);
        let Some(below) = level.checked_sub(1) else {
            return Some(self.leaves(index)).filter(|hashes| hashes.len() as u64 == width);
        };
        let first = at(index * WIDTH);
        self.above.get(usize::from(below))?.get(first..first + at(width))?.iter().copied().collect()
    }

    /// The partial tiles that match the signed root: each is the one on disk or the one computed from the entries.
    fn edge(&self, checkpoint: &Checkpoint) -> Option<Edge> {
        let mut edges = vec![Edge::default()];
        for level in 0..levels(self.size) {
            let index = width(self.size, level) / WIDTH;
            if self.width(level, index) == 0 {
                continue;
            }
            let disk = self.folder.tile(level, index).ok().map(|tile| tile.to_vec());
            let computed = self.computed_tile(level, index).filter(|tile| disk.as_ref() != Some(tile));
            let choices: Vec<Vec<Hash>> = disk.into_iter().chain(computed).collect();
            let with = |edge: &Edge, tile: &Vec<Hash>| {
                let mut edge = edge.clone();
                edge.0.insert(level, tile.clone());
                edge
            };
            edges = edges.iter().flat_map(|edge| choices.iter().map(move |tile| with(edge, tile))).collect();
        }
        edges.into_iter().find(|edge| merkle::root(edge, self.size).is_ok_and(|root| root == checkpoint.root))
    }

    /// A tile of the signed tree, if it is known; a file that differs from it is reported.
    fn signed_tile(
        &self,
        (level, index): (u8, u64),
        (edge, above): (Option<&Edge>, &[Option<Vec<Hash>>]),
        report: &mut Report,
    ) -> Option<Vec<Hash>> {
        let expected = if self.width(level, index) < WIDTH {
            Expected::Tile(edge.and_then(|edge| edge.0.get(&level)))
        } else {
            let tile = above.get(at(index / WIDTH)).and_then(Option::as_ref);
            Expected::Hash(tile.and_then(|tile| tile.get(at(index % WIDTH))).copied())
        };
        let matches = |tile: &Vec<Hash>| match expected {
            Expected::Tile(expected) => expected == Some(tile),
            Expected::Hash(expected) => expected == Some(fold(tile)),
        };
        let disk = self.folder.tile(level, index).ok().map(|tile| tile.to_vec());
        if let Some(tile) = disk.as_ref().filter(|tile| matches(tile)) {
            return Some(tile.clone());
        }
        let computed = self.computed_tile(level, index).filter(matches);
        if matches!(expected, Expected::Tile(None) | Expected::Hash(None)) && disk.is_some() {
            // The fault above it was reported.
            return None;
        }
        let path = TileId { level: Some(level), index, width: self.width(level, index) }.path();
        let defect =
            if disk.is_some() { "does not match the signed tree" } else { "is missing or malformed" };
        let remedy =
            if computed.is_some() { "the entries can restore it" } else { "the entries cannot restore it" };
        let first = index.checked_shl(u32::from(HEIGHT) * (u32::from(level) + 1));
        report.fault(Part::Tile, first, format!("`{}` {defect}; {remedy}", path.display()));
        computed
    }

    /// Reports the entries of a bundle that do not match its tile.
    fn judge_bundle(
        &self,
        (bundle, tile): (u64, Option<&Vec<Hash>>),
        good: &mut Option<u64>,
        report: &mut Report,
    ) {
        let first = bundle * WIDTH;
        let found = self.leaves(bundle);
        let Some(tile) = tile else {
            let what = "it or another entry of its bundle may have been changed: the tile that would show it is damaged, too";
            let good_until = good.and_then(|index| time(self.folder, index));
            return report.push(LogFault {
                part: Part::Entry,
                entry: Some(first),
                what: what.to_owned(),
                good_until,
            });
        };
        let faults = differences(&found, tile);
        let is_intact = faults.is_empty();
        for (position, what) in faults {
            let index = first + position as u64;
            let before = position.checked_sub(1).filter(|before| found.get(*before) == tile.get(*before));
            *good = before.map(|before| first + before as u64).or(*good);
            let good_until = good.and_then(|index| time(self.folder, index));
            report.push(LogFault { part: Part::Entry, entry: Some(index), what, good_until });
        }
        if is_intact && !found.is_empty() {
            *good = Some(first + found.len() as u64 - 1);
        }
    }
}

/// The expected content of a tile.
#[derive(Clone, Copy)]
enum Expected<'a> {
    /// For a partial tile: the tile that matches the root, if any.
    Tile(Option<&'a Vec<Hash>>),
    /// For a full tile: the hash in the tile above, if that is known.
    Hash(Option<Hash>),
}

/// The partial tile of each level that has one: the root depends directly on these tiles only.
#[derive(Clone, Default)]
struct Edge(BTreeMap<u8, Vec<Hash>>);

impl Nodes for Edge {
    fn node(&self, level: u8, index: u64) -> tlog::Result<Hash> {
        let within = level % HEIGHT;
        let begin = at((index << within) % WIDTH);
        let tile = self.0.get(&(level / HEIGHT));
        let hashes = tile.and_then(|tile| tile.get(begin..begin + (1 << within)));
        hashes.map(fold).ok_or(tlog::Error::NoEntry { index, size: 0 })
    }
}

impl Nodes for Tree<'_> {
    fn node(&self, level: u8, index: u64) -> tlog::Result<Hash> {
        let missing = || tlog::Error::NoEntry { index, size: self.size };
        let begin = (index << (level % HEIGHT)) % WIDTH;
        let tile = (index << (level % HEIGHT)) / WIDTH;
        let hash = |place: u64| match (level / HEIGHT).checked_sub(1) {
            None => self.leaf(tile * WIDTH + place),
            Some(below) => self.above.get(usize::from(below))?.get(at(tile * WIDTH + place)).copied()?,
        };
        let hashes: Option<Vec<Hash>> = (begin..begin + (1 << (level % HEIGHT))).map(hash).collect();
        hashes.map(|hashes| fold(&hashes)).ok_or_else(missing)
    }
}

/// The time of an event on disk.
pub(super) fn time(folder: &Folder, index: u64) -> Option<String> {
    let entries = entries::read(folder, index / WIDTH).ok()?;
    Event::parse(entries.get(at(index % WIDTH))?).ok().map(|event| event.time)
}

/// A hash over hashes.
fn over(hashes: &[Hash]) -> Hash {
    Hash::leaf(&encode_hashes(hashes))
}

/// The number of levels of tiles in a log.
fn levels(size: u64) -> u8 {
    (0..8).take_while(|level| width(size, *level) > 0).count().try_into().unwrap_or(8)
}

/// The number of hashes in a level.
fn width(size: u64, level: u8) -> u64 {
    size >> (u32::from(level) * u32::from(HEIGHT))
}

fn at(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
