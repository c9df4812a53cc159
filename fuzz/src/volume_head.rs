//! Any bytes as the head of a volume, and any JSON as the manifest in a head that is whole.

use std::path::Path;

use oci::Digest;
use packager::bundle::head::{Head, VolumeHeader, head_bytes};
use packager::bundle::{BundleManifest, Limits, extents};

/// One run.
pub fn run(bytes: &[u8]) {
    let head = if bytes.starts_with(b"{") {
        head_bytes(&VolumeHeader::new(Digest::sha256(bytes), 1, 1), bytes, b"{}")
    } else {
        bytes.to_vec()
    };
    let limits = Limits { manifest: 1 << 20, entries: 1000, ..Limits::default() };
    let Ok(Some(read)) = Head::read(&mut head.as_slice(), Path::new("volume"), &limits) else { return };
    assert!(read.len() <= head.len() as u64);
    let Ok(manifest) = BundleManifest::parse(&read.manifest, &limits) else { return };
    assert_eq!(BundleManifest::parse(&manifest.to_bytes(), &limits).expect("it was written here"), manifest);
    drop((manifest.content_size(), manifest.volume_name(1)));
    for volume in 0..=manifest.volumes.min(20) {
        let pieces = extents::pieces(&manifest, volume);
        for piece in pieces {
            drop(manifest.entries[piece.entry].tar_name(piece.extent));
        }
        assert!(extents::payload_len(&manifest, volume) >= 1024);
    }
}
