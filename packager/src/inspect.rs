//! Shows a drive to users, without keys: as a list, as JSON, or as a page (`html`) for the officer who approves the transfer.

mod html;

use serde::Serialize;

pub use self::html::html;
use mirror::lock::{ItemKind, LockedItem};

use crate::bundle::{Encoding, EntryKind, Error};
use crate::drive_log::claimed::{ClaimedLog, claimed};
use crate::media::{Completion, Media};

/// The content of a drive by its own statement: the signature is not verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// Always false here; `airlock verify` verifies the signature.
    pub signature_checked: bool,
    /// The set: the digest of its manifest.
    pub set: String,
    /// Its name.
    pub name: String,
    /// The program that wrote it.
    pub created_by: String,
    /// The hint of the key that the signature states.
    pub key_hint: Option<String>,
    /// The volumes of the set.
    pub volumes: Vec<VolumeLine>,
    /// The items of the mirror file.
    pub items: Vec<LockedItem>,
    /// All tags, as `repository:tag`, with their digests.
    pub tags: Vec<(String, String)>,
    /// The number of blobs.
    pub blobs: u64,
    /// The size of the content in bytes.
    pub content_bytes: u64,
    /// The number of bytes that compression saved.
    pub saved_bytes: u64,
    /// The completion mark, if it exists.
    pub completion: Option<Completion>,
    /// The sender's log.
    pub log: Option<ClaimedLog>,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeLine {
    /// Its file name.
    pub name: String,
    /// Its size in bytes; `None` if it was not found.
    pub size: Option<u64>,
    /// The kind of the file in its place, if that is not a volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<&'static str>,
}

impl VolumeLine {
    /// What was found instead of the volume.
    #[must_use]
    pub fn instead(&self) -> &'static str {
        self.other.unwrap_or("not found")
    }
}

/// Collects the content of a drive.
///
/// # Errors
/// When the manifest is malformed.
pub fn inspect(media: &Media) -> Result<Contents, Error> {
    let manifest = media.unverified_manifest()?;
    let blobs = manifest.entries.iter().filter(|entry| entry.kind == EntryKind::Blob);
    let zstd = manifest.entries.iter().filter(|entry| entry.encoding == Encoding::Zstd);
    let tags = manifest.repositories.iter().flat_map(|repository| {
        repository.tags.iter().map(|tag| (format!("{}:{}", repository.name, tag.tag), tag.digest.to_string()))
    });
    Ok(Contents {
        signature_checked: false,
        set: media.set().to_string(),
        name: manifest.name.clone(),
        created_by: manifest.created_by.clone(),
        key_hint: bundle_signer::bundle::claimed_hint(media.signature()).ok(),
        volumes: (1..=manifest.volumes)
            .map(|number| {
                let name = manifest.volume_name(number);
                let size = media.volumes().get(&number).map(|volume| volume.size);
                let other = media.kind_in_place_of(&name).filter(|_| size.is_none());
                VolumeLine { name, size, other }
            })
            .collect(),
        tags: tags.collect(),
        blobs: blobs.count() as u64,
        content_bytes: manifest.content_size(),
        saved_bytes: zstd.map(|entry| entry.size.saturating_sub(entry.encoded_size)).sum(),
        completion: media.completion(&manifest),
        log: claimed(media, &manifest)?,
        items: manifest.items,
    })
}

/// Describes the sender's log in a line.
#[must_use]
pub fn log_line(log: Option<&ClaimedLog>) -> String {
    let Some(log) = log else { return "none".to_owned() };
    let Some((size, root)) = log.size.zip(log.root.as_ref()) else {
        return format!("{} (log not found on this medium)", log.origin);
    };
    let sites = log.acknowledged.iter().map(|(site, size)| format!("; {site} acknowledged {size}"));
    format!("{}, {size} entries, root {root}{}", log.origin, sites.collect::<String>())
}

/// The name of a kind.
#[must_use]
pub fn kind_name(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Image => "image",
        ItemKind::Chart => "chart",
        ItemKind::File => "file",
        ItemKind::Bundle => "package bundle",
    }
}
