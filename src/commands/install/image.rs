//! The airlock binary as an image: one layer, reproducible for the same binary.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use evidence::EvidenceSource;
use flate2::Compression;
use flate2::write::GzEncoder;
use oci::{Digest, Manifest, Selector, Tag, media_type};
use serde_json::json;

use crate::failure::Usage;

/// The user of the container: not root, and not shared with other programs.
const USER: &str = "65532:65532";
const PASSWD: &str = "airlock:x:65532:65532::/:/airlock\n";
const GROUP: &str = "airlock:x:65532:\n";

/// The maximum size of the binary. No build of airlock is larger, even with debug information.
const MAX_BINARY: u64 = 2 << 30;

/// An image that is built, but not yet pushed or stored.
pub(super) struct Image {
    pub(super) manifest: Manifest,
    pub(super) digest: Digest,
    pub(super) tag: Tag,
    blobs: Vec<Vec<u8>>,
}

impl Image {
    /// Builds the image of a binary. It is held in memory once, a few tens of MB.
    pub(super) fn of(binary: &Path) -> anyhow::Result<Self> {
        let bytes =
            input::read(binary, MAX_BINARY).with_context(|| format!("cannot read `{}`", binary.display()))?;
        let architecture = architecture(&bytes).map_err(|reason| Usage {
            message: format!("`{}` cannot be packaged as an image: {reason}", binary.display()),
            hint: "give a static Linux build of airlock with --binary",
        })?;
        let plain = archive(&bytes)?;
        drop(bytes);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&plain)?;
        let (layer, diff_id) = (gzip.finish()?, Digest::sha256(&plain));
        let config = json!({
            "os": "linux", "architecture": architecture,
            "config": {
                "Entrypoint": ["/airlock"], "User": USER, "WorkingDir": "/",
                "Labels": {
                    "org.opencontainers.image.title": "airlock",
                    "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
                },
            },
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        });
        let config = serde_json::to_vec(&config)?;
        let descriptor = |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": Digest::sha256(bytes), "size": bytes.len() });
        let body = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": descriptor(media_type::OCI_CONFIG, &config),
            "layers": [descriptor(media_type::OCI_LAYER_GZIP, &layer)],
        });
        let manifest = Manifest::parse(serde_json::to_vec(&body)?.into(), None)?;
        let (digest, tag) = (manifest.digest(), env!("CARGO_PKG_VERSION").parse()?);
        Ok(Self { manifest, digest, tag, blobs: vec![config, layer] })
    }

    /// Writes it to a store or registry. Returns whether it existed already.
    pub(super) async fn put(&mut self, destination: &EvidenceSource) -> anyhow::Result<bool> {
        let selector = Selector::Tag(self.tag.clone());
        let exists =
            destination.manifest(&selector).await?.is_some_and(|found| found.digest() == self.digest);
        if !exists {
            for blob in std::mem::take(&mut self.blobs) {
                destination.put_blob(blob).await?;
            }
            destination.put_manifest(&selector, &self.manifest).await?;
        }
        Ok(exists)
    }
}

/// The layer: the binary and its user. No timestamps; root owns everything.
fn archive(binary: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::with_capacity(binary.len() + 10_240));
    let mut add = |path: &str, bytes: &[u8], mode, kind| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        header.set_mtime(0);
        archive.append_data(&mut header, path, bytes)
    };
    add("airlock", binary, 0o755, tar::EntryType::Regular)?;
    add("etc/", &[], 0o755, tar::EntryType::Directory)?;
    add("etc/group", GROUP.as_bytes(), 0o644, tar::EntryType::Regular)?;
    add("etc/passwd", PASSWD.as_bytes(), 0o644, tar::EntryType::Regular)?;
    add("tmp/", &[], 0o1777, tar::EntryType::Directory)?;
    Ok(archive.into_inner()?)
}

/// Go's name for the architecture of a binary. It must be a 64-bit ELF file without a dynamic loader, which the image
/// does not contain.
fn architecture(binary: &[u8]) -> Result<&'static str, &'static str> {
    const NOT_A_BINARY: &str = "it is not a binary for 64-bit Linux";
    const LOADER: u32 = 3;
    let number = |at: usize, size: usize| -> Option<u64> {
        let bytes = binary.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    if binary.get(..6) != Some(b"\x7fELF\x02\x01") {
        return Err(NOT_A_BINARY);
    }
    // ELF-64: e_machine at 18, e_phoff at 32, e_phentsize at 54, e_phnum at 56; p_type opens each program header.
    let name = match number(18, 2) {
        Some(62) => "amd64",
        Some(183) => "arm64",
        _ => return Err("it is for a processor architecture that airlock does not support"),
    };
    let header = |index: u64| {
        let at = number(32, 8)?.checked_add(number(54, 2)?.checked_mul(index)?)?;
        number(usize::try_from(at).ok()?, 4)
    };
    for index in 0..number(56, 2).ok_or(NOT_A_BINARY)? {
        if header(index).ok_or(NOT_A_BINARY)? == u64::from(LOADER) {
            return Err("it needs shared libraries, which the image does not contain");
        }
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head of a binary with one program header.
    fn binary(machine: u8, kind: u8) -> Vec<u8> {
        let mut bytes = vec![0; 128];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (bytes[18], bytes[32], bytes[54], bytes[56], bytes[64]) = (machine, 64, 56, 1, kind);
        bytes
    }

    #[test]
    fn only_a_static_binary_becomes_an_image() {
        assert_eq!(architecture(&binary(62, 1)), Ok("amd64"));
        assert_eq!(architecture(&binary(183, 1)), Ok("arm64"));
        assert!(architecture(&binary(62, 3)).unwrap_err().contains("libraries"));
        assert!(architecture(&binary(3, 1)).unwrap_err().contains("processor"));
        let mut broken = binary(62, 1);
        broken[32..40].fill(0xff);
        for bytes in [&b"#!/bin/sh"[..], &binary(62, 1)[..40], &broken] {
            assert!(architecture(bytes).is_err());
        }
    }

    #[test]
    fn the_same_binary_gives_the_same_image_and_another_gives_another() {
        let folder = tempfile::tempdir().unwrap();
        let image = |name: &str, kind| {
            let path = folder.path().join(name);
            std::fs::write(&path, binary(62, kind)).unwrap();
            Image::of(&path).unwrap().digest
        };
        let first = image("a", 1);
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert_eq!(first, image("b", 1));
        assert_ne!(first, image("c", 2));
    }
}
