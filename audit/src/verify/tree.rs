//! The tree as the entries make it, held against the tiles and the signed root.
//!
//! Of the entries' own hashes none is kept: they are in the lowest tiles where these say the same, and are made again from
//! the entries where they do not. What is kept is one hash for each 256 entries.

use std::collections::BTreeMap;

use tlog::merkle::{self, Nodes};
use tlog::tile::{HEIGHT, TileId, WIDTH, encode_hashes, fold};
use tlog::{Checkpoint, Folder, Hash};

use super::entries::differences;
use super::{LogFault, NAMED, Part, Report, entries};
use crate::Event;

/// Hashes of tiles, level by level, as far as the entries give them.
pub(super) struct Tree<'a> {
    size: u64,
    folder: &'a Folder,
    /// For each bundle, a hash over the hashes of its entries as they were read.
    found: Vec<Hash>,
    /// For each full bundle, the hash over its entries; none where it lacks some.
    bundles: Vec<Option<Hash>>,
    /// The levels above: a hash for each full tile below, none where that lacks entries.
    above: Vec<Vec<Option<Hash>>>,
    /// Entries that are no events, as many as are named, and how many more there are.
    others: Vec<(u64, String)>,
    more: u64,
}

impl<'a> Tree<'a> {
    pub(super) fn new(folder: &'a Folder) -> Self {
        let (found, bundles, above, others) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { size: folder.size(), folder, found, bundles, above, others, more: 0 }
    }

    /// Adds the next bundle.
    pub(super) fn add(&mut self, entries: &[Vec<u8>]) {
        let hashes: Vec<Hash> = entries.iter().map(|entry| Hash::leaf(entry)).collect();
        self.found.push(over(&hashes));
        self.bundles.push((hashes.len() as u64 == WIDTH).then(|| fold(&hashes)));
    }

    pub(super) fn no_event(&mut self, index: u64, why: String) {
        if self.others.len() < NAMED { self.others.push((index, why)) } else { self.more += 1 }
    }

    /// The hash of an entry as it is on disk.
    pub(super) fn leaf(&self, index: u64) -> Option<Hash> {
        self.leaves(index / WIDTH).get(at(index % WIDTH)).copied()
    }

    /// The hashes of a bundle's entries as they are on disk.
    fn leaves(&self, bundle: u64) -> Vec<Hash> {
        // The tile may say something else by now than when the entries were read.
        if let Ok(tile) = self.folder.tile(0, bundle)
            && self.found.get(at(bundle)) == Some(&over(&tile))
        {
            return tile.to_vec();
        }
        let entries = entries::read(self.folder, bundle).unwrap_or_default();
        entries.iter().map(|entry| Hash::leaf(entry)).collect()
    }

    /// Names every tile and entry that is not under the signed root.
    pub(super) fn judge(&mut self, checkpoint: &Checkpoint, report: &mut Report) {
        self.rise();
        let edge = self.edge(checkpoint);
        if edge.is_none() {
            let what = "neither the entries nor the tiles come to the root that it signs";
            report.fault(Part::Checkpoint, None, what);
        }
        let mut tiles: Vec<Option<Vec<Hash>>> = Vec::new();
        for level in (1..levels(self.size)).rev() {
            let count = width(self.size, level).div_ceil(WIDTH);
            tiles = (0..count)
                .map(|index| self.true_tile((level, index), (edge.as_ref(), &tiles), report))
                .collect();
        }
        let mut good = None;
        for bundle in 0..self.size.div_ceil(WIDTH) {
            let tile = self.true_tile((0, bundle), (edge.as_ref(), &tiles), report);
            // Where the root tells nothing, the tiles are the next best.
            let told = if edge.is_none() {
                self.folder.tile(0, bundle).ok().map(|tile| tile.to_vec())
            } else {
                None
            };
            self.judge_bundle((bundle, tile.as_ref().or(told.as_ref())), &mut good, report);
        }
        for (index, why) in std::mem::take(&mut self.others) {
            report.fault(Part::Entry, Some(index), format!("it is no event: {why}"));
        }
        report.more += self.more;
    }

    /// The root over the first entries, as they are on disk.
    pub(super) fn root(&self, size: u64) -> Option<Hash> {
        merkle::root(self, size).ok()
    }

    /// Hashes upwards what the entries give.
    fn rise(&mut self) {
        let mut hashes = std::mem::take(&mut self.bundles);
        hashes.truncate(at(self.size / WIDTH));
        while !hashes.is_empty() {
            let whole = |chunk: &[Option<Hash>]| chunk.iter().copied().collect::<Option<Vec<Hash>>>();
            let full = hashes.chunks_exact(at(WIDTH));
            let next = full.map(|chunk| whole(chunk).map(|hashes| fold(&hashes))).collect();
            self.above.push(std::mem::replace(&mut hashes, next));
        }
    }

    /// How many hashes a tile has.
    fn width(&self, level: u8, index: u64) -> u64 {
        width(self.size, level).saturating_sub(index * WIDTH).min(WIDTH)
    }

    /// A tile as the entries make it.
    fn own(&self, level: u8, index: u64) -> Option<Vec<Hash>> {
        let width = self.width(level, index);
        let Some(below) = level.checked_sub(1) else {
            return Some(self.leaves(index)).filter(|hashes| hashes.len() as u64 == width);
        };
        let first = at(index * WIDTH);
        self.above.get(usize::from(below))?.get(first..first + at(width))?.iter().copied().collect()
    }

    /// The partial tiles that come to the signed root: each as it is on disk, or as the entries make it.
    fn edge(&self, checkpoint: &Checkpoint) -> Option<Edge> {
        let mut edges = vec![Edge::default()];
        for level in 0..levels(self.size) {
            let index = width(self.size, level) / WIDTH;
            if self.width(level, index) == 0 {
                continue;
            }
            let disk = self.folder.tile(level, index).ok().map(|tile| tile.to_vec());
            let own = self.own(level, index).filter(|own| disk.as_ref() != Some(own));
            let choices: Vec<Vec<Hash>> = disk.into_iter().chain(own).collect();
            let with = |edge: &Edge, tile: &Vec<Hash>| {
                let mut edge = edge.clone();
                edge.0.insert(level, tile.clone());
                edge
            };
            edges = edges.iter().flat_map(|edge| choices.iter().map(move |tile| with(edge, tile))).collect();
        }
        edges.into_iter().find(|edge| merkle::root(edge, self.size).is_ok_and(|root| root == checkpoint.root))
    }

    /// A tile as it was signed, if anything still tells; a file that is not so is named.
    fn true_tile(
        &self,
        (level, index): (u8, u64),
        (edge, above): (Option<&Edge>, &[Option<Vec<Hash>>]),
        report: &mut Report,
    ) -> Option<Vec<Hash>> {
        let known = if self.width(level, index) < WIDTH {
            Known::Tile(edge.and_then(|edge| edge.0.get(&level)))
        } else {
            let tile = above.get(at(index / WIDTH)).and_then(Option::as_ref);
            Known::Hash(tile.and_then(|tile| tile.get(at(index % WIDTH))).copied())
        };
        let fits = |tile: &Vec<Hash>| match known {
            Known::Tile(known) => known == Some(tile),
            Known::Hash(known) => known == Some(fold(tile)),
        };
        let disk = self.folder.tile(level, index).ok().map(|tile| tile.to_vec());
        if let Some(tile) = disk.as_ref().filter(|tile| fits(tile)) {
            return Some(tile.clone());
        }
        let own = self.own(level, index).filter(fits);
        if matches!(known, Known::Tile(None) | Known::Hash(None)) && disk.is_some() {
            // What is wrong above it was named.
            return None;
        }
        let path = TileId { level: Some(level), index, width: self.width(level, index) }.path();
        let defect = if disk.is_some() { "is not what was signed" } else { "is missing or malformed" };
        let rescue = if own.is_some() {
            "the entries can make it again"
        } else {
            "the entries below do not tell more"
        };
        let first = index.checked_shl(u32::from(HEIGHT) * (u32::from(level) + 1));
        report.fault(Part::Tile, first, format!("`{}` {defect}; {rescue}", path.display()));
        own
    }

    /// Names the entries of a bundle that are not those of its tile.
    fn judge_bundle(
        &self,
        (bundle, tile): (u64, Option<&Vec<Hash>>),
        good: &mut Option<u64>,
        report: &mut Report,
    ) {
        let first = bundle * WIDTH;
        let found = self.leaves(bundle);
        let Some(tile) = tile else {
            let what = "it or another entry of its bundle may not be what was logged: what would tell is damaged, too";
            let good_until = good.and_then(|index| time(self.folder, index));
            return report.push(LogFault {
                part: Part::Entry,
                entry: Some(first),
                what: what.to_owned(),
                good_until,
            });
        };
        let faults = differences(&found, tile);
        let whole = faults.is_empty();
        for (place, what) in faults {
            let index = first + place as u64;
            let before = place.checked_sub(1).filter(|before| found.get(*before) == tile.get(*before));
            *good = before.map(|before| first + before as u64).or(*good);
            let good_until = good.and_then(|index| time(self.folder, index));
            report.push(LogFault { part: Part::Entry, entry: Some(index), what, good_until });
        }
        if whole && !found.is_empty() {
            *good = Some(first + found.len() as u64 - 1);
        }
    }
}

/// What a tile is held against.
#[derive(Clone, Copy)]
enum Known<'a> {
    /// For one that is not full: what comes to the root, if anything does.
    Tile(Option<&'a Vec<Hash>>),
    /// For a full one: the hash in the tile above, if that is known.
    Hash(Option<Hash>),
}

/// The partial tile of each level that has one: all that the root depends on directly.
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

/// The time of an event as it is on disk.
pub(super) fn time(folder: &Folder, index: u64) -> Option<String> {
    let entries = entries::read(folder, index / WIDTH).ok()?;
    Event::parse(entries.get(at(index % WIDTH))?).ok().map(|event| event.time)
}

/// A hash over hashes.
fn over(hashes: &[Hash]) -> Hash {
    Hash::leaf(&encode_hashes(hashes))
}

/// How many levels of tiles a log has.
fn levels(size: u64) -> u8 {
    (0..8).take_while(|level| width(size, *level) > 0).count().try_into().unwrap_or(8)
}

/// How many hashes a level has.
fn width(size: u64, level: u8) -> u64 {
    size >> (u32::from(level) * u32::from(HEIGHT))
}

fn at(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
