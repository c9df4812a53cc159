//! Reads a process's file system calls from strace's record. The crash tests of the commands also use it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

/// One change of the file system, or an acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Mkdir(PathBuf),
    /// A file is created or, with `true`, truncated.
    Create(PathBuf, bool),
    Write(PathBuf, u64, Vec<u8>),
    Append(PathBuf, Vec<u8>),
    Truncate(PathBuf, u64),
    /// A file or folder is flushed.
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Link(PathBuf, PathBuf),
    Remove(PathBuf),
    /// A line that the process printed, or the first line of an HTTP response with its `Docker-Content-Digest`.
    Said(String),
}

const CALLS: &str = "trace=openat,openat2,open,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,\
    write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,fdatasync,lseek,close,dup,dup2,dup3,fcntl,\
    copy_file_range,sendfile,sendto,sendmsg";

/// The command that runs a program and records its calls in `log`.
pub(super) fn traced(program: &Path, arguments: &[&str], log: &Path) -> Command {
    let mut traced = Command::new("strace");
    traced
        .args(["-f", "-y", "-qq", "-xx", "-s", "16777216", "-e", CALLS, "-e", "signal=none", "-o"])
        .arg(log);
    traced.arg(program).args(arguments);
    traced
}

/// The calls below `root` of a process that ran in the folder `work`, and its output. Removes the record.
pub(super) fn read(log: &Path, root: &Path, work: &Path) -> Vec<Call> {
    let text = std::fs::read_to_string(log).unwrap();
    std::fs::remove_file(log).unwrap();
    let (calls, partial_line) = (Vec::new(), String::new());
    let mut reader = Reader { root, work, files: HashMap::new(), calls, partial_line };
    for line in whole_lines(&text) {
        reader.line(&line);
    }
    reader.calls
}

/// Joins calls that the record splits because of another thread, in the order of their ends. A `close` counts
/// from its beginning: before it ends, another thread may open a file under the same number and use it.
fn whole_lines(text: &str) -> Vec<String> {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        let Some((process, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(call) = call.strip_suffix("<unfinished ...>") {
            let call = call.trim_end();
            if call.starts_with("close(") {
                lines.push(format!("{call}) = 0"));
            } else {
                begun.insert(process, call);
            }
        } else if let Some((_, end)) =
            call.strip_prefix("<... ").and_then(|call| call.split_once(" resumed>"))
        {
            match begun.remove(process) {
                Some(begin) => lines.push(format!("{begin}{end}")),
                None => assert!(call.starts_with("<... close "), "an end without a beginning: {line}"),
            }
        } else {
            lines.push(call.to_owned());
        }
    }
    lines
}

/// An open file. It has no path once its name is removed.
struct Open {
    path: Option<PathBuf>,
    offset: u64,
    appends: bool,
}

struct Reader<'a> {
    root: &'a Path,
    work: &'a Path,
    /// Open files below the root. Copies of a descriptor share the offset.
    files: HashMap<i64, Rc<RefCell<Open>>>,
    calls: Vec<Call>,
    /// The printed part of an unfinished line.
    partial_line: String,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) {
        let Some((name, rest)) = line.split_once('(') else { return };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { return };
        let arguments = arguments.trim_end().strip_suffix(')').unwrap_or(arguments);
        let result = number(result.split(' ').next().unwrap_or_default());
        if result < 0 {
            return;
        }
        let words: Vec<&str> = arguments.split(", ").collect();
        match name {
            "openat" | "openat2" => self.opened(&self.at(words[0], words[1]), words[2], result),
            "open" | "creat" => panic!("unexpected call: {line}"),
            "close" => {
                self.files.remove(&number(words[0]));
            }
            "dup" | "dup2" | "dup3" | "fcntl" => self.copied(&words, name == "fcntl", result),
            "mkdir" | "mkdirat" | "unlink" | "unlinkat" | "rmdir" | "rename" | "renameat" | "renameat2"
            | "link" | "linkat" => self.named(name, &words),
            "lseek" => {
                if let Some(file) = self.files.get(&number(words[0])) {
                    file.borrow_mut().offset = u64::try_from(result).unwrap();
                }
            }
            "write" => self.written(words[0], &bytes(words[1]), None, result),
            "pwrite64" => self.written(words[0], &bytes(words[1]), words[3].parse().ok(), result),
            "writev" => self.written(words[0], &pieces(&words), None, result),
            "sendto" => self.answered(words[0], &bytes(words[1])),
            "sendmsg" => self.answered(words[0], &pieces(&words)),
            "ftruncate" => {
                let length = words[1].parse().unwrap();
                self.on(words[0], |path| Call::Truncate(path, length));
            }
            "fsync" | "fdatasync" => self.on(words[0], Call::Sync),
            // A call that the simulation does not support must not be ignored.
            _ if words.iter().any(|word| self.is_known(number(word))) || name == "truncate" => {
                panic!("unexpected call: {line}")
            }
            _ => {}
        }
    }

    /// The path of a name in a folder that strace shows, or in the working folder.
    fn at(&self, folder: &str, name: &str) -> PathBuf {
        plain(&shown(folder).unwrap_or_else(|| self.work.to_owned()).join(text(name)))
    }

    fn below(&self, path: PathBuf) -> Option<PathBuf> {
        (path.starts_with(self.root) && !path.to_string_lossy().ends_with("-shm")).then_some(path)
    }

    fn is_known(&self, file: i64) -> bool {
        self.files.contains_key(&file)
    }

    fn on(&mut self, file: &str, call: impl FnOnce(PathBuf) -> Call) {
        let file = self.files.get(&number(file));
        self.calls.extend(file.and_then(|file| file.borrow().path.clone()).map(call));
    }

    fn opened(&mut self, path: &Path, flags: &str, file: i64) {
        let Some(path) = self.below(path.to_owned()) else { return };
        assert!(!flags.contains("O_TMPFILE"), "unexpected flags: {flags}");
        if flags.contains("O_CREAT") || flags.contains("O_TRUNC") {
            self.calls.push(Call::Create(path.clone(), flags.contains("O_TRUNC")));
        }
        let open = Open { path: Some(path), offset: 0, appends: flags.contains("O_APPEND") };
        self.files.insert(file, Rc::new(RefCell::new(open)));
    }

    fn copied(&mut self, words: &[&str], is_fcntl: bool, copy: i64) {
        if is_fcntl && !words.get(1).is_some_and(|word| word.starts_with("F_DUPFD")) {
            return;
        }
        match self.files.get(&number(words[0])).cloned() {
            Some(file) => drop(self.files.insert(copy, file)),
            None => drop(self.files.remove(&copy)),
        }
    }

    fn named(&mut self, call: &str, words: &[&str]) {
        let (from, to) = match call {
            "mkdirat" | "unlinkat" => (self.at(words[0], words[1]), None),
            "mkdir" | "unlink" | "rmdir" => (self.at("", words[0]), None),
            "rename" | "link" => (self.at("", words[0]), Some(self.at("", words[1]))),
            _ => (self.at(words[0], words[1]), Some(self.at(words[2], words[3]))),
        };
        match (call, self.below(from), to.and_then(|to| self.below(to))) {
            ("mkdir" | "mkdirat", Some(path), _) => self.calls.push(Call::Mkdir(path)),
            ("unlink" | "unlinkat" | "rmdir", Some(path), _) => {
                self.forget(&path);
                self.calls.push(Call::Remove(path));
            }
            ("link" | "linkat", Some(from), Some(to)) => self.calls.push(Call::Link(from, to)),
            (_, Some(from), Some(to)) => {
                self.forget(&to);
                for file in self.files.values() {
                    let mut file = file.borrow_mut();
                    let rest = file.path.as_ref().and_then(|path| path.strip_prefix(&from).ok());
                    if let Some(moved) = rest.map(|rest| plain(&to.join(rest))) {
                        file.path = Some(moved);
                    }
                }
                self.calls.push(Call::Rename(from, to));
            }
            (_, None, None) => {}
            _ => panic!("one of two paths is outside the root: {call} {words:?}"),
        }
    }

    /// Removes the path from open files, because it now leads to another file or to none.
    fn forget(&mut self, path: &Path) {
        for file in self.files.values() {
            let mut file = file.borrow_mut();
            if file.path.as_deref() == Some(path) {
                file.path = None;
            }
        }
    }

    fn written(&mut self, file: &str, bytes: &[u8], at: Option<u64>, count: i64) {
        let bytes = &bytes[..usize::try_from(count).unwrap()];
        if let Some(known) = self.files.get(&number(file)) {
            let mut known = known.borrow_mut();
            let begin = at.unwrap_or(known.offset);
            if at.is_none() {
                known.offset += bytes.len() as u64;
            }
            self.calls.extend(known.path.clone().map(|path| match (known.appends, at) {
                (true, None) => Call::Append(path, bytes.to_vec()),
                _ => Call::Write(path, begin, bytes.to_vec()),
            }));
        } else if number(file) == 1 {
            // A long line arrives in pieces.
            self.partial_line.push_str(&String::from_utf8_lossy(bytes));
            while let Some((line, rest)) = self.partial_line.split_once('\n') {
                self.calls.push(Call::Said(line.to_owned()));
                self.partial_line = rest.to_owned();
            }
        } else {
            self.answered(file, bytes);
        }
    }

    fn answered(&mut self, file: &str, bytes: &[u8]) {
        if bytes.starts_with(b"HTTP/1.1 ") && !self.is_known(number(file)) {
            let head = String::from_utf8_lossy(bytes).into_owned();
            let digest = head.lines().find(|line| line.to_lowercase().starts_with("docker-content-digest: "));
            let digest = digest.and_then(|line| line.split_once(": ")).map_or("", |(_, digest)| digest);
            let status = head.lines().next().unwrap_or_default();
            self.calls.push(Call::Said(format!("{status} {digest}")));
        }
    }
}

/// The path without `.` components, as the path of an open folder has them.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// The path of a descriptor: `5<PATH>`, or `AT_FDCWD<PATH>`.
fn shown(descriptor: &str) -> Option<PathBuf> {
    let path = descriptor.split_once('<')?.1.split_once('>')?.0;
    Some(PathBuf::from(text(path)))
}

fn number(word: &str) -> i64 {
    word.split('<').next().unwrap_or_default().parse().unwrap_or(-1)
}

/// `"\x61\x62"` as bytes.
fn bytes(word: &str) -> Vec<u8> {
    assert!(!word.ends_with("..."), "strace cut a text");
    let digits = word.trim_matches('"').split("\\x").skip(1);
    digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect()
}

/// The bytes of `writev` and `sendmsg`: `{iov_base="\x61", iov_len=1}`.
fn pieces(words: &[&str]) -> Vec<u8> {
    words.iter().filter_map(|word| word.split_once("iov_base=")).flat_map(|(_, word)| bytes(word)).collect()
}

fn text(word: &str) -> String {
    String::from_utf8(bytes(word)).unwrap()
}

#[test]
fn a_file_opened_while_another_one_closes_keeps_its_number() {
    let record = "1 close(7</w/a> <unfinished ...>\n2 openat(AT_FDCWD</w>, \"b\", O_RDWR|O_CREAT) = 7</w/b>\n\
                  1 <... close resumed>) = 0\n2 write(7</w/b>, \"x\", 1) = 1\n";
    let names: Vec<_> =
        whole_lines(record).iter().map(|line| line.split('(').next().unwrap().to_owned()).collect();
    assert_eq!(names, ["close", "openat", "write"]);
}
