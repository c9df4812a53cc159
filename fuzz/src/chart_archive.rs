//! Any bytes as a packaged chart, in three depths: the archive itself, what a valid gzip holds, and the entries of
//! a valid tar. The first byte says which. What loads is rendered.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use helm::Chart;

use super::{limits, render_within};

/// Parts entries, and the kind, name and content of each; the second pair does so in an archive within the archive.
const MARKS: [[u8; 2]; 2] = [[0x1e, 0x1f], [0x1c, 0x1d]];

/// One run.
pub fn run(bytes: &[u8]) {
    let archive = match bytes.split_first() {
        Some((b't', tar)) => gzip(&with_checksums(tar.to_vec())),
        Some((b'e', entries)) => gzip(&tar_of(entries, &MARKS)),
        _ => bytes.to_vec(),
    };
    if let Ok(chart) = Chart::from_archive(archive.as_slice(), &limits()) {
        render_within(&chart);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(bytes).expect("memory takes all bytes");
    encoder.finish().expect("memory takes all bytes")
}

/// Where a header may stand its checksum is set, or no change would get past it.
fn with_checksums(mut tar: Vec<u8>) -> Vec<u8> {
    let mut next = 0;
    while let Some(block) = tar.get_mut(next..next + 512) {
        let mut header = tar::Header::from_byte_slice(block).clone();
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
        let size = usize::try_from(header.entry_size().unwrap_or(0)).unwrap_or(usize::MAX);
        next = size
            .checked_next_multiple_of(512)
            .and_then(|size| size.checked_add(next + 512))
            .unwrap_or(usize::MAX - 512);
    }
    tar
}

fn tar_of(entries: &[u8], marks: &[[u8; 2]]) -> Vec<u8> {
    let Some(([between, within], inner)) = marks.split_first() else { return entries.to_vec() };
    let mut tar = Vec::new();
    for entry in entries.split(|byte| byte == between) {
        let mut parts = entry.splitn(2, |byte| byte == within);
        let (kind, name) = parts.next().and_then(|head| head.split_first()).unwrap_or((&b'0', b""));
        let content = parts.next().unwrap_or_default();
        let content = if name.ends_with(b".tgz") { gzip(&tar_of(content, inner)) } else { content.to_vec() };
        let mut header = tar::Header::new_gnu();
        let name = name.get(..name.len().min(100)).unwrap_or_default();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.set_entry_type(tar::EntryType::new(*kind));
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.extend(header.as_bytes());
        tar.extend(&content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.extend([0; 1024]);
    tar
}
