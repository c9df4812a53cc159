//! What a power cut leaves of a file system's changes, under several models of it.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use super::trace::Call;

/// What a file system promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    /// POSIX and no more: names only when their folder was flushed, data only when the file was.
    Strict,
    /// Names are kept in order, up to the last flush of anything; data when the file was flushed.
    Journal,
    /// All names are kept; data only when the file was flushed.
    NamesOnly,
    /// All names and lengths are kept; data that was not flushed is zeros.
    Zeros,
    /// All data is kept; names only when their folder was flushed.
    DataOnly,
    /// All is kept but half of the last write.
    Torn,
    /// Everything is kept: the process was killed.
    Everything,
    /// Each file and each folder is as it was flushed, or as it was last, by chance.
    Chance(u64),
}

/// The first nine in any case, the others when all is to be tried.
pub(super) const MODELS: [Model; 16] = [
    Model::Strict,
    Model::Journal,
    Model::NamesOnly,
    Model::Zeros,
    Model::DataOnly,
    Model::Torn,
    Model::Everything,
    Model::Chance(1),
    Model::Chance(2),
    Model::Chance(3),
    Model::Chance(4),
    Model::Chance(5),
    Model::Chance(6),
    Model::Chance(7),
    Model::Chance(8),
    Model::Chance(9),
];

/// Files by path; `None` is a folder.
pub(super) type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

type Names = BTreeMap<PathBuf, usize>;

#[derive(Clone, Default)]
struct Node {
    is_folder: bool,
    now: Vec<u8>,
    flushed: Vec<u8>,
    /// Before the last write, if that was not flushed.
    before: Option<Vec<u8>>,
}

/// The file system as calls change it.
#[derive(Clone, Default)]
pub(super) struct Disk {
    nodes: Vec<Node>,
    now: Names,
    /// By folders that were flushed.
    flushed: Names,
    /// When anything was last flushed.
    journal: Names,
}

impl Disk {
    /// A file system that holds these, durably.
    pub(super) fn holding(tree: &Tree) -> Self {
        let mut disk = Self::default();
        for (path, content) in tree {
            let content = content.clone();
            let is_folder = content.is_none();
            let bytes = content.unwrap_or_default();
            disk.add(path, Node { is_folder, now: bytes.clone(), flushed: bytes, before: None });
        }
        disk.flushed.clone_from(&disk.now);
        disk.journal.clone_from(&disk.now);
        disk
    }

    fn add(&mut self, path: &Path, node: Node) {
        self.nodes.push(node);
        self.now.insert(path.to_owned(), self.nodes.len() - 1);
    }

    fn node(&mut self, path: &Path) -> &mut Node {
        let number = *self.now.get(path).unwrap_or_else(|| panic!("{} is not there", path.display()));
        &mut self.nodes[number]
    }

    pub(super) fn apply(&mut self, call: &Call) {
        match call {
            Call::Mkdir(path) => self.add(path, Node { is_folder: true, ..Node::default() }),
            Call::Create(path, empty) => match (self.now.contains_key(path), empty) {
                (false, _) => self.add(path, Node::default()),
                (true, true) => self.change(path, Vec::clear),
                (true, false) => {}
            },
            Call::Write(path, at, bytes) => self.change(path, |content| {
                let (at, end) = (usize::try_from(*at).unwrap(), usize::try_from(*at).unwrap() + bytes.len());
                content.resize(content.len().max(end), 0);
                content[at..end].copy_from_slice(bytes);
            }),
            Call::Truncate(path, len) => {
                self.change(path, |content| content.resize(usize::try_from(*len).unwrap(), 0));
            }
            Call::SyncFile(path) => {
                // A file whose name is gone is of no interest any more.
                if self.now.contains_key(path) {
                    let node = self.node(path);
                    node.flushed.clone_from(&node.now);
                    node.before = None;
                }
                self.journal.clone_from(&self.now);
            }
            Call::SyncFolder(folder) => {
                let is_in = |path: &PathBuf| path.parent() == Some(folder);
                self.flushed.retain(|path, _| !is_in(path));
                let names = self.now.iter().filter(|(path, _)| is_in(path));
                self.flushed.extend(names.map(|(path, node)| (path.clone(), *node)));
                self.journal.clone_from(&self.now);
            }
            Call::Rename(from, to) => {
                let node = self.now.remove(from).unwrap();
                self.now.insert(to.clone(), node);
            }
            Call::Unlink(path) => {
                self.now.remove(path);
            }
            Call::Said(_) => {}
        }
    }

    fn change(&mut self, path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
        if self.now.contains_key(path) {
            let node = self.node(path);
            node.before = Some(node.now.clone());
            how(&mut node.now);
        }
    }

    /// What is there after a cut.
    pub(super) fn survivors(&self, model: Model) -> Tree {
        let chance = |what: &dyn std::fmt::Debug, seed: u64| {
            let mut hasher = DefaultHasher::new();
            (format!("{what:?}"), seed).hash(&mut hasher);
            hasher.finish().is_multiple_of(2)
        };
        let names = match model {
            Model::Strict | Model::DataOnly => self.flushed.clone(),
            Model::Journal => self.journal.clone(),
            Model::NamesOnly | Model::Zeros | Model::Torn | Model::Everything => self.now.clone(),
            Model::Chance(seed) => {
                let kept = |path: &PathBuf| chance(&path.parent(), seed);
                let now = self.now.iter().filter(|(path, _)| kept(path));
                let flushed = self.flushed.iter().filter(|(path, _)| !kept(path));
                now.chain(flushed).map(|(path, node)| (path.clone(), *node)).collect()
            }
        };
        let content = |number: &usize| {
            let node = &self.nodes[*number];
            if node.is_folder {
                return None;
            }
            Some(match model {
                Model::DataOnly | Model::Everything => node.now.clone(),
                Model::Zeros => {
                    let mut bytes = node.flushed.clone();
                    bytes.resize(node.now.len(), 0);
                    bytes
                }
                Model::Torn => torn(node),
                Model::Chance(seed) if chance(number, seed) => node.now.clone(),
                Model::Strict | Model::Journal | Model::NamesOnly | Model::Chance(_) => node.flushed.clone(),
            })
        };
        names.iter().map(|(path, number)| (path.clone(), content(number))).collect()
    }
}

/// The last write reached the disk in part.
fn torn(node: &Node) -> Vec<u8> {
    let Some(before) = &node.before else { return node.now.clone() };
    let differs = |at: &usize| node.now.get(*at) != before.get(*at);
    let changed: Vec<usize> = (0..node.now.len()).filter(differs).collect();
    let Some(middle) = changed.get(changed.len() / 2) else { return node.now.clone() };
    let mut bytes = node.now.clone();
    for (at, byte) in bytes.iter_mut().enumerate().skip(*middle) {
        *byte = before.get(at).copied().unwrap_or(0);
    }
    bytes
}

/// Puts a tree below `to` that stood below `from`. What stands in a folder that is not there is lost.
pub(super) fn write(tree: &Tree, from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for (path, content) in tree {
        let Ok(path) = path.strip_prefix(from) else { continue };
        let path = to.join(path);
        match content {
            None => {
                let _ = std::fs::create_dir(&path);
            }
            Some(bytes) if path.parent().is_some_and(Path::is_dir) => std::fs::write(&path, bytes).unwrap(),
            Some(_) => {}
        }
    }
}
