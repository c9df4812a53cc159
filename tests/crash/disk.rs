//! What a power cut leaves: all that was flushed, and of the rest what a model says.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::record::Call;

/// What becomes of changes that were not flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// All are there: the process was killed, the machine lived on.
    All,
    /// None is there: all that POSIX promises.
    Strict,
    /// Names are there, content is not: files are empty.
    Empty,
    /// Names and lengths are there, content is not: files are zeros.
    Zeros,
    /// Names are there, and of each write its first half.
    Torn,
    /// Content is there, names are not.
    Nameless,
    /// Names and lengths are there, and content is what the disk had there before.
    Garbage,
}

pub(crate) const MODELS: [Model; 7] =
    [Model::All, Model::Strict, Model::Empty, Model::Zeros, Model::Torn, Model::Nameless, Model::Garbage];

#[derive(Clone, Debug)]
enum Op {
    Name(PathBuf, usize),
    Folder(PathBuf),
    Move(PathBuf, PathBuf, Option<usize>),
    Unname(PathBuf),
    Write(usize, u64, Vec<u8>),
    Cut(usize, u64),
    FlushFile(usize),
    FlushFolder(PathBuf),
}

/// Files before the command, and what it did to them.
pub(crate) struct Recording {
    before: BTreeMap<PathBuf, usize>,
    folders: Vec<PathBuf>,
    content: Vec<Vec<u8>>,
    ops: Vec<Op>,
}

impl Recording {
    /// `before` is a copy of the folder as it was; `folder` is where the calls were made.
    #[expect(clippy::too_many_lines, reason = "one arm for each call")]
    pub(crate) fn of(before: &Path, folder: &Path, calls: &[Call]) -> Self {
        let mut recording =
            Self { before: BTreeMap::new(), folders: Vec::new(), content: Vec::new(), ops: Vec::new() };
        recording.load(before, before);
        let mut names = recording.before.clone();
        let mut folders = recording.folders.clone();
        let mut lengths: Vec<u64> = recording.content.iter().map(|content| content.len() as u64).collect();
        let mut places: HashMap<String, (u64, bool)> = HashMap::new();
        let within = |path: &Path| path.strip_prefix(folder).unwrap().to_owned();
        for call in calls {
            match call {
                Call::Open { path, create, truncate, append, fd } => {
                    let path = within(path);
                    if !names.contains_key(&path) && *create {
                        lengths.push(0);
                        names.insert(path.clone(), lengths.len() - 1);
                        recording.ops.push(Op::Name(path.clone(), lengths.len() - 1));
                    }
                    if let Some(node) = names.get(&path).copied() {
                        if *truncate && lengths[node] > 0 {
                            lengths[node] = 0;
                            recording.ops.push(Op::Cut(node, 0));
                        }
                        places.insert(fd.clone(), (0, *append));
                    }
                }
                Call::Write { path, fd, offset, bytes } => {
                    let Some(node) = names.get(&within(path)).copied() else { continue };
                    let place = places.entry(fd.clone()).or_default();
                    let at = offset.unwrap_or(if place.1 { lengths[node] } else { place.0 });
                    if offset.is_none() {
                        place.0 = at + bytes.len() as u64;
                    }
                    lengths[node] = lengths[node].max(at + bytes.len() as u64);
                    recording.ops.push(Op::Write(node, at, bytes.clone()));
                }
                Call::Seek { fd, offset } => places.entry(fd.clone()).or_default().0 = *offset,
                Call::Truncate { path, length } => {
                    let Some(node) = names.get(&within(path)).copied() else { continue };
                    lengths[node] = *length;
                    recording.ops.push(Op::Cut(node, *length));
                }
                Call::Rename { from, to } => {
                    let (from, to) = (within(from), within(to));
                    let node = names.remove(&from);
                    if let Some(node) = node {
                        names.insert(to.clone(), node);
                    } else {
                        let below: Vec<_> =
                            names.keys().filter(|path| path.starts_with(&from)).cloned().collect();
                        for path in below {
                            let node = names.remove(&path).unwrap();
                            names.insert(to.join(path.strip_prefix(&from).unwrap()), node);
                        }
                        folders.push(to.clone());
                    }
                    recording.ops.push(Op::Move(from, to, node));
                }
                Call::Link { from, to } => {
                    let Some(node) = names.get(&within(from)).copied() else { continue };
                    names.insert(within(to), node);
                    recording.ops.push(Op::Name(within(to), node));
                }
                Call::Remove(path) => {
                    names.remove(&within(path));
                    recording.ops.push(Op::Unname(within(path)));
                }
                Call::MakeFolder(path) => {
                    folders.push(within(path));
                    recording.ops.push(Op::Folder(within(path)));
                }
                Call::Flush(path) => {
                    let path = within(path);
                    let op =
                        names.get(&path).map_or(Op::FlushFolder(path.clone()), |node| Op::FlushFile(*node));
                    recording.ops.push(op);
                }
            }
        }
        recording
    }

    fn load(&mut self, root: &Path, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.path().strip_prefix(root).unwrap().to_owned());
            if path.is_dir() {
                self.folders.push(name);
                self.load(root, &path);
            } else {
                self.content.push(std::fs::read(&path).unwrap());
                self.before.insert(name, self.content.len() - 1);
            }
        }
    }

    /// How many points there are to cut at; at the last one the command has ended.
    pub(crate) fn points(&self) -> usize {
        self.ops.len() + 1
    }

    /// Makes what is left when the power is cut after the first `cut` operations.
    #[expect(clippy::too_many_lines, reason = "one arm for each operation")]
    pub(crate) fn leave(&self, cut: usize, model: Model, to: &Path) {
        let ops = &self.ops[..cut];
        let file_flushed = |at: usize, node: usize| {
            ops[at..].iter().any(|op| matches!(op, Op::FlushFile(flushed) if *flushed == node))
        };
        let name_flushed = |at: usize, path: &Path| {
            let above = path.parent().unwrap_or(Path::new(""));
            ops[at..].iter().any(|op| matches!(op, Op::FlushFolder(flushed) if flushed == above))
        };
        let all_names = !matches!(model, Model::Strict | Model::Nameless);
        let mut names = self.before.clone();
        let mut folders = self.folders.clone();
        let mut content = self.content.clone();
        let grow = |content: &mut Vec<Vec<u8>>, node: usize| {
            if content.len() <= node {
                content.resize(node + 1, Vec::new());
            }
        };
        for (at, op) in ops.iter().enumerate() {
            match op {
                Op::Name(path, node) if all_names || name_flushed(at, path) => {
                    names.insert(path.clone(), *node);
                }
                Op::Folder(path) if all_names || name_flushed(at, path) => folders.push(path.clone()),
                Op::Unname(path) if all_names || name_flushed(at, path) => {
                    names.remove(path);
                    folders.retain(|folder| folder != path);
                }
                Op::Move(from, to, Some(node)) if all_names || name_flushed(at, to) => {
                    names.remove(from);
                    names.insert(to.clone(), *node);
                }
                Op::Move(from, to, None) if all_names || name_flushed(at, to) => {
                    let moved = |path: &PathBuf| match path.strip_prefix(from) {
                        Ok(rest) => to.join(rest),
                        Err(_) => path.clone(),
                    };
                    names = names.iter().map(|(path, node)| (moved(path), *node)).collect();
                    folders = folders.iter().map(moved).collect();
                }
                Op::Write(node, offset, bytes) => {
                    grow(&mut content, *node);
                    let flushed = file_flushed(at, *node);
                    let bytes = match model {
                        _ if flushed => bytes.clone(),
                        Model::All | Model::Nameless => bytes.clone(),
                        Model::Strict | Model::Empty => continue,
                        Model::Zeros => vec![0; bytes.len()],
                        Model::Torn => bytes[..bytes.len() / 2].to_vec(),
                        Model::Garbage => {
                            (0..bytes.len()).map(|n| (n * 167 + 13).to_le_bytes()[0] ^ 0x5a).collect()
                        }
                    };
                    let (begin, end) =
                        (usize::try_from(*offset).unwrap(), usize::try_from(*offset).unwrap() + bytes.len());
                    if content[*node].len() < end {
                        content[*node].resize(end, 0);
                    }
                    content[*node][begin..end].copy_from_slice(&bytes);
                }
                Op::Cut(node, length) => {
                    grow(&mut content, *node);
                    if file_flushed(at, *node) || !matches!(model, Model::Strict) {
                        content[*node].resize(usize::try_from(*length).unwrap(), 0);
                    }
                }
                Op::Name(..)
                | Op::Folder(_)
                | Op::Unname(_)
                | Op::Move(..)
                | Op::FlushFile(_)
                | Op::FlushFolder(_) => {}
            }
        }
        write(&names, &folders, &content, to);
    }
}

fn write(names: &BTreeMap<PathBuf, usize>, folders: &[PathBuf], content: &[Vec<u8>], to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).unwrap();
    let mut known = folders.to_vec();
    known.sort();
    for folder in &known {
        // What lies in a folder whose own name was lost is lost with it.
        let _ = std::fs::create_dir(to.join(folder));
    }
    for (path, node) in names {
        let empty = Vec::new();
        let _ = std::fs::write(to.join(path), content.get(*node).unwrap_or(&empty));
    }
}
