//! Simulates what a power cut leaves of changes to a file system, under several models. The crash tests of the commands
//! also use it.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::trace::Call;

/// What a file system guarantees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    /// POSIX and no more: names survive only if their folder was flushed, data only if the file was flushed.
    Strict,
    /// Names survive in order, up to the last flush of anything; data survives if the file was flushed.
    Journal,
    /// All names survive; data survives only if the file was flushed.
    NamesOnly,
    /// All names and lengths survive; unflushed data is zeros.
    Zeros,
    /// All data survives; names survive only if their folder was flushed.
    DataOnly,
    /// Everything survives except half of the last write.
    Torn,
    /// Everything survives except half of the unflushed data.
    Half,
    /// All names and lengths survive; unflushed data is replaced with old content of the disk.
    Garbage,
    /// Everything survives: the process was killed.
    Everything,
    /// For each file and folder, chance decides between the last flushed and the current state.
    Chance(u64),
}

/// Every run tries the first [`FEW`]; long runs try all of them.
pub(super) const MODELS: [Model; 18] = [
    Model::Strict,
    Model::Journal,
    Model::NamesOnly,
    Model::Zeros,
    Model::DataOnly,
    Model::Torn,
    Model::Half,
    Model::Garbage,
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

/// How many models a sample tries.
pub(super) const FEW: usize = 11;

type Bytes = Rc<Vec<u8>>;

/// Files by path, relative to a folder; `None` is a folder.
pub(super) type Tree = BTreeMap<PathBuf, Option<Bytes>>;

type Entries = BTreeMap<OsString, usize>;

#[derive(Clone, Default)]
struct Node {
    now: Bytes,
    flushed: Bytes,
    /// The content before the last write, if that write was not flushed.
    before: Option<Bytes>,
    /// The entries, if this is a folder.
    folder: Option<Folder>,
}

#[derive(Clone, Default)]
struct Folder {
    now: Entries,
    /// The entries at the last flush of the folder.
    flushed: Entries,
    /// The entries at the last flush of anything.
    journal: Entries,
}

/// The simulated file system, which calls change.
pub(super) struct Disk {
    base: PathBuf,
    nodes: Vec<Node>,
    /// Folders that changed since the last flush of anything.
    changed: BTreeSet<usize>,
}

impl Disk {
    /// A file system that durably contains the tree below `base`.
    pub(super) fn holding(tree: &Tree, base: &Path) -> Self {
        let root = Node { folder: Some(Folder::default()), ..Node::default() };
        let mut disk = Self { base: base.to_owned(), nodes: vec![root], changed: BTreeSet::new() };
        for (path, content) in tree {
            let bytes = content.clone().unwrap_or_default();
            let folder = content.is_none().then(Folder::default);
            disk.add(&base.join(path), Node { now: bytes.clone(), flushed: bytes, before: None, folder });
        }
        for folder in disk.nodes.iter_mut().filter_map(|node| node.folder.as_mut()) {
            folder.flushed.clone_from(&folder.now);
        }
        disk.flush_journal();
        disk
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let below = path.strip_prefix(&self.base).unwrap();
        below.iter().try_fold(0, |folder, name| self.nodes[folder].folder.as_ref()?.now.get(name).copied())
    }

    /// The entries of the folder that contains a path.
    fn siblings(&mut self, path: &Path) -> &mut Entries {
        let parent = path.parent().unwrap();
        let folder = self.find(parent).unwrap_or_else(|| panic!("{} does not exist", parent.display()));
        self.changed.insert(folder);
        &mut self.nodes[folder].folder.as_mut().unwrap().now
    }

    fn link(&mut self, path: &Path, node: usize) {
        self.siblings(path).insert(path.file_name().unwrap().to_owned(), node);
    }

    fn unlink(&mut self, path: &Path) -> usize {
        let name = path.file_name().unwrap();
        self.siblings(path).remove(name).unwrap_or_else(|| panic!("{} does not exist", path.display()))
    }

    fn add(&mut self, path: &Path, node: Node) {
        self.nodes.push(node);
        self.link(path, self.nodes.len() - 1);
    }

    fn flush_journal(&mut self) {
        for folder in std::mem::take(&mut self.changed) {
            let folder = self.nodes[folder].folder.as_mut().unwrap();
            folder.journal.clone_from(&folder.now);
        }
    }

    pub(super) fn apply(&mut self, call: &Call) {
        match call {
            Call::Mkdir(path) => {
                self.add(path, Node { folder: Some(Folder::default()), ..Node::default() });
            }
            Call::Create(path, empty) => match (self.find(path), empty) {
                (None, _) => self.add(path, Node::default()),
                (Some(_), true) => self.change(path, Vec::clear),
                (Some(_), false) => {}
            },
            Call::Write(path, at, bytes) => self.change(path, |content| {
                let (at, end) = (usize::try_from(*at).unwrap(), usize::try_from(*at).unwrap() + bytes.len());
                content.resize(content.len().max(end), 0);
                content[at..end].copy_from_slice(bytes);
            }),
            Call::Append(path, bytes) => self.change(path, |content| content.extend(bytes)),
            Call::Truncate(path, len) => {
                self.change(path, |content| content.resize(usize::try_from(*len).unwrap(), 0));
            }
            Call::Sync(path) => {
                if let Some(node) = self.find(path).map(|number| &mut self.nodes[number]) {
                    node.flushed.clone_from(&node.now);
                    node.before = None;
                    if let Some(folder) = &mut node.folder {
                        folder.flushed.clone_from(&folder.now);
                    }
                }
                self.flush_journal();
            }
            Call::Rename(from, to) => {
                let node = self.unlink(from);
                self.link(to, node);
            }
            Call::Link(from, to) => {
                let node = self.find(from).unwrap();
                self.link(to, node);
            }
            Call::Remove(path) => {
                self.unlink(path);
            }
            Call::Said(_) => {}
        }
    }

    fn change(&mut self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        if let Some(node) = self.find(path).map(|number| &mut self.nodes[number]) {
            node.before = Some(node.now.clone());
            edit(Rc::make_mut(&mut node.now));
        }
    }

    /// The tree below the base after a cut.
    pub(super) fn survivors(&self, model: Model) -> Tree {
        let mut tree = Tree::new();
        self.survive(model, 0, Path::new(""), &mut tree);
        tree
    }

    fn survive(&self, model: Model, number: usize, path: &Path, tree: &mut Tree) {
        let Some(folder) = &self.nodes[number].folder else { return };
        let entries = match model {
            Model::Strict | Model::DataOnly => &folder.flushed,
            Model::Journal => &folder.journal,
            Model::Chance(seed) if !chance(number, seed) => &folder.flushed,
            _ => &folder.now,
        };
        for (name, child) in entries {
            let path = path.join(name);
            let node = &self.nodes[*child];
            tree.insert(path.clone(), node.folder.is_none().then(|| content(node, *child, model)));
            self.survive(model, *child, &path, tree);
        }
    }
}

fn chance(number: usize, seed: u64) -> bool {
    let mut hasher = DefaultHasher::new();
    (number, seed).hash(&mut hasher);
    hasher.finish().is_multiple_of(2)
}

fn content(node: &Node, number: usize, model: Model) -> Bytes {
    match model {
        Model::DataOnly | Model::Everything => node.now.clone(),
        Model::Zeros => {
            let mut bytes = node.flushed.to_vec();
            bytes.resize(node.now.len(), 0);
            bytes.into()
        }
        Model::Torn => torn(node, node.before.as_ref()),
        Model::Half => torn(node, Some(&node.flushed)),
        Model::Garbage => {
            let mut bytes = node.now.to_vec();
            for (at, byte) in bytes.iter_mut().enumerate() {
                if node.flushed.get(at) != Some(byte) {
                    *byte = (at * 167 + 13).to_le_bytes()[0] ^ 0x5a;
                }
            }
            bytes.into()
        }
        Model::Chance(seed) if chance(number, seed) => node.now.clone(),
        Model::Strict | Model::Journal | Model::NamesOnly | Model::Chance(_) => node.flushed.clone(),
    }
}

/// The content if only part of the difference from `before` reached the disk.
fn torn(node: &Node, before: Option<&Bytes>) -> Bytes {
    let Some(before) = before else { return node.now.clone() };
    let differs = |at: &usize| node.now.get(*at) != before.get(*at);
    let changed: Vec<usize> = (0..node.now.len()).filter(differs).collect();
    let Some(middle) = changed.get(changed.len() / 2) else { return node.now.clone() };
    let mut bytes = node.now.to_vec();
    for (at, byte) in bytes.iter_mut().enumerate().skip(*middle) {
        *byte = before.get(at).copied().unwrap_or(0);
    }
    bytes.into()
}

/// Everything below a folder, except SQLite's shared-memory files.
pub(super) fn tree_of(folder: &Path) -> Tree {
    fn collect(base: &Path, folder: &Path, tree: &mut Tree) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(base).unwrap().to_owned();
            if path.is_dir() {
                tree.insert(name, None);
                collect(base, &path, tree);
            } else if !path.to_string_lossy().ends_with("-shm") {
                tree.insert(name, Some(Rc::new(std::fs::read(&path).unwrap())));
            }
        }
    }
    let mut tree = Tree::new();
    collect(folder, folder, &mut tree);
    tree
}

/// Writes a tree below `to`.
pub(super) fn write(tree: &Tree, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for (path, content) in tree {
        let path = to.join(path);
        match content {
            None => std::fs::create_dir(&path).unwrap(),
            Some(bytes) => std::fs::write(&path, bytes.as_slice()).unwrap(),
        }
    }
}
