//! Tar headers as bytes (POSIX.1-2017 `pax`, section "ustar Interchange Format"), and the diagnosis of headers that differ
//! from the expected ones.

use super::error::HeaderDefect;

/// The size of a tar block.
pub const BLOCK: u64 = 512;
const BLOCK_LEN: usize = 512;
/// The end of an archive: two zero blocks.
pub const TRAILER: u64 = 2 * BLOCK;
/// The maximum size of an extent: a ustar header has 11 octal digits for the size.
pub const MAX_ENTRY: u64 = (8 << 30) - BLOCK;

/// The number of zero bytes after content of this length.
#[must_use]
pub fn padding(length: u64) -> u64 {
    length.next_multiple_of(BLOCK) - length
}

/// The header of a regular file: one block, or three if the name needs a pax header.
#[must_use]
pub fn header(name: &str, size: u64) -> Vec<u8> {
    if name.len() <= 100 {
        return block(name, size, b'0').to_vec();
    }
    let record = pax_path(name);
    let mut bytes = block("pax", record.len() as u64, b'x').to_vec();
    bytes.extend_from_slice(&record);
    bytes.resize(bytes.len().next_multiple_of(BLOCK_LEN), 0);
    let short: String = name.chars().take(100).collect();
    bytes.extend_from_slice(&block(&short, size, b'0'));
    bytes
}

/// The number of bytes of [`header`] for the name.
#[must_use]
pub fn header_len(name: &str) -> u64 {
    header(name, 0).len() as u64
}

/// `LENGTH path=NAME\n`, where LENGTH counts itself.
fn pax_path(name: &str) -> Vec<u8> {
    let rest = format!(" path={name}\n");
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}").into_bytes()
}

fn block(name: &str, size: u64, kind: u8) -> [u8; BLOCK_LEN] {
    let mut block = [0; BLOCK_LEN];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    let sum = checksum(&block);
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// The sum of all bytes, with spaces in place of the checksum itself.
fn checksum(block: &[u8]) -> u32 {
    block
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
        .sum()
}

/// The fields of a header block, as far as they can be read.
struct Claimed {
    name: String,
    size: u64,
    kind: u8,
}

impl Claimed {
    fn read(block: &[u8]) -> Self {
        let text = |from: usize, to: usize| {
            let field = block.get(from..to).unwrap_or_default();
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
            String::from_utf8_lossy(&field[..end]).into_owned()
        };
        let prefix = text(345, 500);
        let name = if prefix.is_empty() { text(0, 100) } else { format!("{prefix}/{}", text(0, 100)) };
        let size = u64::from_str_radix(text(124, 136).trim(), 8).unwrap_or(u64::MAX);
        Self { name, size, kind: block.get(156).copied().unwrap_or_default() }
    }
}

/// Diagnoses `found`, which differs from the header of `name` with `size` bytes. `seen` returns whether an entry of a name
/// came before.
#[must_use]
pub fn diagnose(found: &[u8], name: &str, size: u64, seen: impl Fn(&str) -> bool) -> HeaderDefect {
    // In a long header, the last block has the kind and the size. A hostile header may be short instead.
    let block = found.get(..BLOCK_LEN).unwrap_or(found);
    if block.iter().all(|byte| *byte == 0) {
        return HeaderDefect::End(name.to_owned());
    }
    let stated = block.get(148..156).and_then(|field| std::str::from_utf8(field).ok());
    let stated = stated.and_then(|text| u32::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok());
    if stated != Some(checksum(block)) {
        return HeaderDefect::Checksum;
    }
    let claimed = Claimed::read(block);
    match claimed.kind {
        b'2' => return HeaderDefect::SymbolicLink(claimed.name),
        b'1' => return HeaderDefect::HardLink(claimed.name),
        b'3' | b'4' | b'6' => return HeaderDefect::Device(claimed.name),
        b'0' | 0 | b'x' => {}
        kind => return HeaderDefect::Kind { kind: char::from(kind), name: claimed.name },
    }
    if claimed.name.starts_with('/') {
        return HeaderDefect::AbsolutePath(claimed.name);
    }
    if claimed.name.split('/').any(|part| part == "..") {
        return HeaderDefect::PathTraversal(claimed.name);
    }
    let expected = name.to_owned();
    if claimed.name != expected {
        if seen(&claimed.name) {
            return HeaderDefect::Duplicate(claimed.name);
        }
        if name.len() <= 100 || claimed.kind != b'x' {
            return HeaderDefect::Unexpected { found: claimed.name, expected };
        }
        return HeaderDefect::Details(expected);
    }
    match claimed.size.cmp(&size) {
        std::cmp::Ordering::Greater => {
            HeaderDefect::TooLarge { name: expected, found: claimed.size, expected: size }
        }
        std::cmp::Ordering::Less => {
            HeaderDefect::TooSmall { name: expected, found: claimed.size, expected: size }
        }
        std::cmp::Ordering::Equal => HeaderDefect::Details(expected),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn another_tar_reader_understands_both_header_forms() {
        let long = format!("blobs/sha512/{}.zst.part-0001", "a".repeat(128));
        for name in ["index.json", &long] {
            let mut archive = header(name, 5);
            archive.extend_from_slice(b"hello");
            archive.resize(archive.len() + usize::try_from(padding(5) + TRAILER).unwrap(), 0);
            let mut archive = tar::Archive::new(&archive[..]);
            let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
            assert_eq!(entry.path().unwrap().to_str().unwrap(), name);
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            assert_eq!(content, "hello");
        }
    }

    #[test]
    fn each_defect_is_named() {
        let changed = |edit: &dyn Fn(&mut tar::Header)| {
            let mut header = tar::Header::new_ustar();
            header.set_path("a").unwrap();
            header.set_size(5);
            header.set_mode(0o600);
            edit(&mut header);
            header.set_cksum();
            diagnose(header.as_bytes(), "a", 5, |name| name == "seen")
        };
        let kind = |kind| changed(&|header: &mut tar::Header| header.set_entry_type(kind));
        assert_eq!(kind(tar::EntryType::Symlink), HeaderDefect::SymbolicLink("a".into()));
        assert_eq!(kind(tar::EntryType::Link), HeaderDefect::HardLink("a".into()));
        assert_eq!(kind(tar::EntryType::Char), HeaderDefect::Device("a".into()));
        assert_eq!(kind(tar::EntryType::Fifo), HeaderDefect::Device("a".into()));
        assert_eq!(kind(tar::EntryType::Directory), HeaderDefect::Kind { kind: '5', name: "a".into() });
        let named = |name: &'static str| {
            changed(&move |header: &mut tar::Header| {
                header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            })
        };
        assert_eq!(named("/etc/x"), HeaderDefect::AbsolutePath("/etc/x".into()));
        assert_eq!(named("../x"), HeaderDefect::PathTraversal("../x".into()));
        assert_eq!(named("seen"), HeaderDefect::Duplicate("seen".into()));
        assert_eq!(named("b"), HeaderDefect::Unexpected { found: "b".into(), expected: "a".into() });
        let sized = |size| changed(&move |header: &mut tar::Header| header.set_size(size));
        assert_eq!(sized(6), HeaderDefect::TooLarge { name: "a".into(), found: 6, expected: 5 });
        assert_eq!(sized(4), HeaderDefect::TooSmall { name: "a".into(), found: 4, expected: 5 });
        assert_eq!(sized(5), HeaderDefect::Details("a".into()));
        assert_eq!(diagnose(&[0; 512], "a", 5, |_| false), HeaderDefect::End("a".into()));
        assert_eq!(diagnose(&[1; 512], "a", 5, |_| false), HeaderDefect::Checksum);
    }
}
