//! What a process asked of the file system, from strace's record.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One change of the file system, or an acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Mkdir(PathBuf),
    /// A file is made or, with `true`, emptied.
    Create(PathBuf, bool),
    Write(PathBuf, u64, Vec<u8>),
    Truncate(PathBuf, u64),
    SyncFile(PathBuf),
    SyncFolder(PathBuf),
    Rename(PathBuf, PathBuf),
    Unlink(PathBuf),
    /// A line that the process printed.
    Said(String),
}

const CALLS: &str = "trace=openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,link,linkat,\
    write,pwrite64,writev,pwritev,ftruncate,fallocate,fsync,fdatasync,lseek,close,dup,dup2,dup3,copy_file_range,sendfile";

/// Runs the command under strace; gives its calls below `root`, and what it said.
pub(super) fn record(command: &mut Command, root: &Path) -> Vec<Call> {
    let log = root.with_extension("trace");
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-xx", "-s", "1000000", "-e", CALLS, "-e", "signal=none", "-o"]).arg(&log);
    traced.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        traced.env(name, value.unwrap_or_default());
    }
    let done = traced.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    let mut reader = Reader { root, files: HashMap::new(), calls: Vec::new(), saying: String::new() };
    for line in whole_lines(&text) {
        reader.line(&line);
    }
    reader.calls
}

/// Calls that another thread interrupted in the record are put together again, in the order of their ends.
fn whole_lines(text: &str) -> Vec<String> {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        let Some((process, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(call) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(process, call);
        } else if call.starts_with("<... ") {
            let end = call.split_once(" resumed>").unwrap().1;
            lines.push(format!("{}{end}", begun.remove(process).unwrap()));
        } else {
            lines.push(call.to_owned());
        }
    }
    lines
}

struct Reader<'a> {
    root: &'a Path,
    /// Open files below the root: path and place.
    files: HashMap<i64, (PathBuf, u64)>,
    calls: Vec<Call>,
    /// What was printed of a line so far.
    saying: String,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) {
        let Some((name, rest)) = line.split_once('(') else { return };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { return };
        let arguments = arguments.trim_end().strip_suffix(')').unwrap_or(arguments);
        let Some(result) = result.split(' ').next().and_then(|text| text.parse::<i64>().ok()) else { return };
        if result < 0 {
            return;
        }
        let words: Vec<&str> = arguments.split(", ").collect();
        match name {
            "openat" => self.opened(&text(words[1]), words[2], result),
            "open" | "creat" => panic!("not expected: {line}"),
            "close" => {
                self.files.remove(&number(words[0]));
            }
            "mkdir" => self.with(&text(words[0]), Call::Mkdir),
            "mkdirat" => self.with(&text(words[1]), Call::Mkdir),
            "rename" => self.renamed(&text(words[0]), &text(words[1])),
            "renameat" | "renameat2" => self.renamed(&text(words[1]), &text(words[3])),
            "unlink" => self.with(&text(words[0]), Call::Unlink),
            "unlinkat" => self.with(&text(words[1]), Call::Unlink),
            "lseek" => {
                if let Some(file) = self.files.get_mut(&number(words[0])) {
                    file.1 = u64::try_from(result).unwrap();
                }
            }
            "write" => self.written(number(words[0]), &bytes(words[1]), None),
            "pwrite64" => self.written(number(words[0]), &bytes(words[1]), words[3].parse().ok()),
            "ftruncate" => {
                let length = words[1].parse().unwrap();
                self.on(words[0], |path| Call::Truncate(path, length));
            }
            "fsync" | "fdatasync" => {
                self.on(
                    words[0],
                    |path| {
                        if path.is_dir() { Call::SyncFolder(path) } else { Call::SyncFile(path) }
                    },
                );
            }
            // What the simulation does not know must not pass unseen.
            _ if self.is_known(number(words[0])) => panic!("not expected: {line}"),
            _ => {}
        }
    }

    fn below(&self, path: &str) -> Option<PathBuf> {
        let path = PathBuf::from(path);
        path.starts_with(self.root).then_some(path).filter(|path| !path.to_string_lossy().ends_with("-shm"))
    }

    fn is_known(&self, file: i64) -> bool {
        self.files.contains_key(&file)
    }

    fn with(&mut self, path: &str, call: impl FnOnce(PathBuf) -> Call) {
        self.calls.extend(self.below(path).map(call));
    }

    fn on(&mut self, file: &str, call: impl FnOnce(PathBuf) -> Call) {
        self.calls.extend(self.files.get(&number(file)).map(|(path, _)| call(path.clone())));
    }

    fn opened(&mut self, path: &str, flags: &str, file: i64) {
        let Some(path) = self.below(path) else { return };
        assert!(!flags.contains("O_APPEND") && !flags.contains("O_TMPFILE"), "not expected: {flags}");
        if flags.contains("O_CREAT") || flags.contains("O_TRUNC") {
            self.calls.push(Call::Create(path.clone(), flags.contains("O_TRUNC")));
        }
        self.files.insert(file, (path, 0));
    }

    fn renamed(&mut self, from: &str, to: &str) {
        let (Some(from), Some(to)) = (self.below(from), self.below(to)) else { return };
        for (path, _) in self.files.values_mut() {
            if *path == from {
                path.clone_from(&to);
            }
        }
        self.calls.push(Call::Rename(from, to));
    }

    fn written(&mut self, file: i64, bytes: &[u8], at: Option<u64>) {
        if file == 1 {
            // A long line comes in pieces.
            self.saying.push_str(&String::from_utf8_lossy(bytes));
            while let Some((line, rest)) = self.saying.split_once('\n') {
                self.calls.push(Call::Said(line.to_owned()));
                self.saying = rest.to_owned();
            }
        } else if let Some((path, place)) = self.files.get_mut(&file) {
            let begin = at.unwrap_or(*place);
            if at.is_none() {
                *place += bytes.len() as u64;
            }
            self.calls.push(Call::Write(path.clone(), begin, bytes.to_vec()));
        }
    }
}

fn number(word: &str) -> i64 {
    word.parse().unwrap_or(-1)
}

/// `"\x61\x62"` as bytes.
fn bytes(word: &str) -> Vec<u8> {
    assert!(!word.ends_with("..."), "strace cut a text");
    let digits = word.trim_matches('"').split("\\x").skip(1);
    digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect()
}

fn text(word: &str) -> String {
    String::from_utf8(bytes(word)).unwrap()
}
