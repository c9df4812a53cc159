//! What a power cut leaves of a file system's changes, under several models of it. The crash tests of the commands use it,
//! too.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

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
    /// All is kept but half of what was not flushed.
    Half,
    /// All names and lengths are kept; data that was not flushed is what the disk had there before.
    Garbage,
    /// Everything is kept: the process was killed.
    Everything,
    /// Each file and each folder is as it was flushed, or as it was last, by chance.
    Chance(u64),
}

/// The first [`FEW`] in any case, the others when all is to be tried.
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

/// Files by path, below some folder; `None` is a folder.
pub(super) type Tree = BTreeMap<PathBuf, Option<Bytes>>;

type Entries = BTreeMap<OsString, usize>;

#[derive(Clone, Default)]
struct Node {
    now: Bytes,
    flushed: Bytes,
    /// Before the last write, if that was not flushed.
    before: Option<Bytes>,
    /// Of a folder, what is in it.
    folder: Option<Folder>,
}

#[derive(Clone, Default)]
struct Folder {
    now: Entries,
    /// When the folder was last flushed.
    flushed: Entries,
    /// When anything was last flushed.
    journal: Entries,
}

/// The file system as calls change it.
pub(super) struct Disk {
    base: PathBuf,
    nodes: Vec<Node>,
    /// Folders that changed since anything was flushed.
    changed: BTreeSet<usize>,
}

impl Disk {
    /// A file system that holds these below `base`, durably.
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

    /// The entries of the folder that holds a name.
    fn holder(&mut self, path: &Path) -> &mut Entries {
        let above = path.parent().unwrap();
        let folder = self.find(above).unwrap_or_else(|| panic!("{} is not there", above.display()));
        self.changed.insert(folder);
        &mut self.nodes[folder].folder.as_mut().unwrap().now
    }

    fn name(&mut self, path: &Path, node: usize) {
        self.holder(path).insert(path.file_name().unwrap().to_owned(), node);
    }

    fn unname(&mut self, path: &Path) -> usize {
        let name = path.file_name().unwrap();
        self.holder(path).remove(name).unwrap_or_else(|| panic!("{} is not there", path.display()))
    }

    fn add(&mut self, path: &Path, node: Node) {
        self.nodes.push(node);
        self.name(path, self.nodes.len() - 1);
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
                let node = self.unname(from);
                self.name(to, node);
            }
            Call::Link(from, to) => {
                let node = self.find(from).unwrap();
                self.name(to, node);
            }
            Call::Remove(path) => {
                self.unname(path);
            }
            Call::Said(_) => {}
        }
    }

    fn change(&mut self, path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
        if let Some(node) = self.find(path).map(|number| &mut self.nodes[number]) {
            node.before = Some(node.now.clone());
            how(Rc::make_mut(&mut node.now));
        }
    }

    /// What is there after a cut, below the base.
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

/// What differs from `before` reached the disk in part.
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

/// Everything below a folder, but what a database shares in memory.
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

/// Makes a tree below `to`, with the rights that a store keeps.
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
