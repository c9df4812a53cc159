//! What a command did to the files below a folder, by the system calls that it made.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A change of files, or a flush.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Open { path: PathBuf, create: bool, truncate: bool, append: bool, fd: String },
    Write { path: PathBuf, fd: String, offset: Option<u64>, bytes: Vec<u8> },
    Seek { fd: String, offset: u64 },
    Truncate { path: PathBuf, length: u64 },
    Rename { from: PathBuf, to: PathBuf },
    Link { from: PathBuf, to: PathBuf },
    Remove(PathBuf),
    MakeFolder(PathBuf),
    Flush(PathBuf),
}

const CALLS: &str = "openat,openat2,open,creat,write,pwrite64,writev,pwritev,lseek,ftruncate,truncate,rename,renameat,\
                     renameat2,link,linkat,unlink,unlinkat,rmdir,mkdir,mkdirat,fsync,fdatasync,copy_file_range,sendfile";

/// Runs a command that must succeed; gives its calls in their order.
pub(crate) fn record(folder: &Path, home: &Path, arguments: &[&str]) -> Vec<Call> {
    let trace = home.join("trace");
    let output = Command::new("strace")
        .args(["-f", "-y", "-xx", "-s", "16777216", "-e", &format!("trace={CALLS}"), "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_airlock"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", home)
        .env("AIRLOCK_KEY_PASSWORD", "a password")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    calls(&std::fs::read_to_string(&trace).unwrap(), folder)
}

fn calls(trace: &str, folder: &Path) -> Vec<Call> {
    let mut begun: HashMap<&str, String> = HashMap::new();
    let mut found = Vec::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let whole = if let Some(first) = rest.strip_suffix("<unfinished ...>") {
            begun.insert(thread, first.trim_end().to_owned());
            continue;
        } else if rest.starts_with("<... ") {
            let Some((_, end)) = rest.split_once("resumed>") else { continue };
            begun.remove(thread).unwrap_or_default() + end
        } else {
            rest.to_owned()
        };
        // Short calls are padded with blanks.
        let Some((call, result)) = whole.rsplit_once(" = ") else { continue };
        let Some(call) = call.trim_end().strip_suffix(')') else { continue };
        if result.starts_with('-') || result.starts_with('?') {
            continue;
        }
        let Some((name, arguments)) = call.split_once('(') else { continue };
        found.extend(parsed(name, &split(arguments), result, folder));
    }
    found
}

fn parsed(name: &str, arguments: &[&str], result: &str, folder: &Path) -> Option<Call> {
    let below = |path: PathBuf| path.starts_with(folder).then_some(path);
    let count = || result.split_whitespace().next()?.parse::<usize>().ok();
    Some(match name {
        "openat" | "openat2" => {
            let flags = arguments.get(2)?;
            Call::Open {
                path: below(at(arguments.first()?, arguments.get(1)?))?,
                create: flags.contains("O_CREAT"),
                truncate: flags.contains("O_TRUNC"),
                append: flags.contains("O_APPEND"),
                fd: number(result).to_owned(),
            }
        }
        "write" | "pwrite64" => {
            let mut bytes = text(arguments.get(1)?);
            bytes.truncate(count()?);
            let offset = if name == "pwrite64" { Some(arguments.get(3)?.parse().ok()?) } else { None };
            let fd = arguments.first()?;
            Call::Write { path: below(shown(fd)?)?, fd: number(fd).to_owned(), offset, bytes }
        }
        "lseek" => {
            let fd = arguments.first()?;
            below(shown(fd)?)?;
            Call::Seek { fd: number(fd).to_owned(), offset: result.trim().parse().ok()? }
        }
        "ftruncate" => Call::Truncate {
            path: below(shown(arguments.first()?)?)?,
            length: arguments.get(1)?.parse().ok()?,
        },
        "rename" | "link" => {
            let (from, to) =
                (at_folder(folder, arguments.first()?), below(at_folder(folder, arguments.get(1)?))?);
            if name == "rename" { Call::Rename { from, to } } else { Call::Link { from, to } }
        }
        "renameat" | "renameat2" | "linkat" => {
            let from = at(arguments.first()?, arguments.get(1)?);
            let to = below(at(arguments.get(2)?, arguments.get(3)?))?;
            if name == "linkat" { Call::Link { from, to } } else { Call::Rename { from, to } }
        }
        "unlink" | "rmdir" => Call::Remove(below(at_folder(folder, arguments.first()?))?),
        "unlinkat" => Call::Remove(below(at(arguments.first()?, arguments.get(1)?))?),
        "mkdir" => Call::MakeFolder(below(at_folder(folder, arguments.first()?))?),
        "mkdirat" => Call::MakeFolder(below(at(arguments.first()?, arguments.get(1)?))?),
        "fsync" | "fdatasync" => Call::Flush(below(shown(arguments.first()?)?)?),
        other => {
            let touches =
                arguments.iter().filter_map(|argument| shown(argument)).any(|path| below(path).is_some());
            assert!(!touches, "a call that is not understood changes files: {other}");
            return None;
        }
    })
}

/// The arguments: commas within strings are written in hexadecimal digits.
fn split(arguments: &str) -> Vec<&str> {
    arguments.split(", ").collect()
}

/// The path of a descriptor as strace shows it: `5<PATH>`.
fn shown(descriptor: &str) -> Option<PathBuf> {
    let (_, path) = descriptor.split_once('<')?;
    let path = path.strip_suffix("(deleted)").unwrap_or(path).strip_suffix('>')?;
    Some(PathBuf::from(String::from_utf8(bytes(path)).ok()?))
}

fn number(descriptor: &str) -> &str {
    descriptor.split('<').next().unwrap_or(descriptor).trim()
}

/// A path in a folder's descriptor, or in the working folder, which strace shows as well.
fn at(descriptor: &str, path: &str) -> PathBuf {
    let path = PathBuf::from(String::from_utf8(text(path)).unwrap());
    let whole = shown(descriptor).map_or(path.clone(), |folder| folder.join(&path));
    // `.` within, as an opened folder of its own.
    whole.components().filter(|part| *part != std::path::Component::CurDir).collect()
}

/// A path that is relative to the working folder.
fn at_folder(folder: &Path, path: &str) -> PathBuf {
    let whole = folder.join(String::from_utf8(text(path)).unwrap());
    whole.components().filter(|part| *part != std::path::Component::CurDir).collect()
}

fn text(quoted: &str) -> Vec<u8> {
    let inner = quoted.trim_end_matches("...").strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    bytes(inner.unwrap_or_default())
}

/// `\x41\x42`, or as it is.
fn bytes(text: &str) -> Vec<u8> {
    if !text.starts_with("\\x") {
        return text.as_bytes().to_vec();
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0);
    let pairs = text.as_bytes().chunks(4).filter(|chunk| chunk.len() == 4);
    pairs.map(|chunk| u8::try_from(digit(chunk[2]) * 16 + digit(chunk[3])).unwrap()).collect()
}
