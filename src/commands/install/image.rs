//! A program of airlock as an image: one layer, the same bytes for the same program.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use evidence::EvidenceSource;
use flate2::Compression;
use flate2::write::GzEncoder;
use oci::{Digest, Manifest, Selector, Tag, media_type};
use serde_json::json;

use crate::failure::Usage;

/// Who the program runs as; not root, and nobody else.
const USER: &str = "65532:65532";
const PASSWD: &str = "airlock:x:65532:65532::/:/airlock\n";
const GROUP: &str = "airlock:x:65532:\n";

/// No build of airlock is larger, with all its debug information.
const MOST_PROGRAM: u64 = 2 << 30;

/// An image that was made, not yet anywhere.
pub(super) struct Image {
    pub(super) manifest: Manifest,
    pub(super) digest: Digest,
    pub(super) tag: Tag,
    blobs: Vec<Vec<u8>>,
}

impl Image {
    /// Wraps a program. It is held in memory, some ten MB, once.
    pub(super) fn of(program: &Path) -> anyhow::Result<Self> {
        let bytes = input::read(program, MOST_PROGRAM)
            .with_context(|| format!("cannot read `{}`", program.display()))?;
        let architecture = architecture(&bytes).map_err(|why| Usage {
            message: format!("`{}` cannot be an image of its own: {why}", program.display()),
            hint: "give a static Linux build of airlock by --binary",
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

    /// Puts it into a store or registry; says whether it was there.
    pub(super) async fn put(&mut self, place: &EvidenceSource) -> anyhow::Result<bool> {
        let selector = Selector::Tag(self.tag.clone());
        let there = place.manifest(&selector).await?.is_some_and(|there| there.digest() == self.digest);
        if !there {
            for blob in std::mem::take(&mut self.blobs) {
                place.put_blob(blob).await?;
            }
            place.put_manifest(&selector, &self.manifest).await?;
        }
        Ok(there)
    }
}

/// The layer: the program, and who it runs as. No time, no owner but root.
fn archive(program: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::with_capacity(program.len() + 10_240));
    let mut add = |path: &str, bytes: &[u8], mode, kind| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        header.set_mtime(0);
        archive.append_data(&mut header, path, bytes)
    };
    add("airlock", program, 0o755, tar::EntryType::Regular)?;
    add("etc/", &[], 0o755, tar::EntryType::Directory)?;
    add("etc/group", GROUP.as_bytes(), 0o644, tar::EntryType::Regular)?;
    add("etc/passwd", PASSWD.as_bytes(), 0o644, tar::EntryType::Regular)?;
    add("tmp/", &[], 0o1777, tar::EntryType::Directory)?;
    Ok(archive.into_inner()?)
}

/// Go's name of a program's architecture: of a 64-bit ELF file that asks for no loader, which an image of nothing
/// else could not give it.
fn architecture(program: &[u8]) -> Result<&'static str, &'static str> {
    const NO_PROGRAM: &str = "it is no program for 64-bit Linux";
    const LOADER: u32 = 3;
    let number = |at: usize, size: usize| -> Option<u64> {
        let bytes = program.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    if program.get(..6) != Some(b"\x7fELF\x02\x01") {
        return Err(NO_PROGRAM);
    }
    // ELF-64: e_machine at 18, e_phoff at 32, e_phentsize at 54, e_phnum at 56; p_type opens each program header.
    let name = match number(18, 2) {
        Some(62) => "amd64",
        Some(183) => "arm64",
        _ => return Err("it is for a processor that airlock is not built for"),
    };
    let header = |index: u64| {
        let at = number(32, 8)?.checked_add(number(54, 2)?.checked_mul(index)?)?;
        number(usize::try_from(at).ok()?, 4)
    };
    for index in 0..number(56, 2).ok_or(NO_PROGRAM)? {
        if header(index).ok_or(NO_PROGRAM)? == u64::from(LOADER) {
            return Err("it needs libraries of the system, which an image of it alone does not have");
        }
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head of a program with one program header.
    fn program(machine: u8, kind: u8) -> Vec<u8> {
        let mut bytes = vec![0; 128];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (bytes[18], bytes[32], bytes[54], bytes[56], bytes[64]) = (machine, 64, 56, 1, kind);
        bytes
    }

    #[test]
    fn only_a_program_that_needs_nothing_else_becomes_an_image() {
        assert_eq!(architecture(&program(62, 1)), Ok("amd64"));
        assert_eq!(architecture(&program(183, 1)), Ok("arm64"));
        assert!(architecture(&program(62, 3)).unwrap_err().contains("libraries"));
        assert!(architecture(&program(3, 1)).unwrap_err().contains("processor"));
        let mut broken = program(62, 1);
        broken[32..40].fill(0xff);
        for bytes in [&b"#!/bin/sh"[..], &program(62, 1)[..40], &broken] {
            assert!(architecture(bytes).is_err());
        }
    }

    #[test]
    fn the_same_program_is_the_same_image_and_another_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let image = |name: &str, kind| {
            let path = folder.path().join(name);
            std::fs::write(&path, program(62, kind)).unwrap();
            Image::of(&path).unwrap().digest
        };
        let first = image("a", 1);
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert_eq!(first, image("b", 1));
        assert_ne!(first, image("c", 2));
    }
}
