//! Updates of cosign's tags, such as `sha256-HEX.sig`, under which the signatures and attestations of an image accumulate.
//! Incoming evidence is merged with what the store has under such a tag. Otherwise a signature that was made here, and that
//! a gate counts, would be lost.

use bundle_signer::{Limits, attached};
use oci::{Digest, Manifest, RepositoryName, Selector, Tag};
use store::{Change, Store};

use super::Error;
use super::shape::is_evidence;

/// The update of a tag for an incoming manifest.
pub enum TagUpdate {
    /// The tag is set to the incoming manifest.
    Replace,
    /// The tag stays: it already contains the incoming evidence.
    Keep,
    /// The tag is set to a manifest that merges both.
    Merge(attached::Attachment),
}

/// Plans the update of a tag. Only evidence is kept: anything else under such a tag is replaced.
///
/// # Errors
/// When the store fails.
pub fn plan(
    store: &Store,
    repository: &RepositoryName,
    tag: &Tag,
    digest: &Digest,
    incoming: &Manifest,
) -> Result<TagUpdate, Error> {
    let Some(present) = present(store, repository, tag, digest)? else { return Ok(TagUpdate::Replace) };
    let lacking = |one: &Manifest, other: &Manifest| attached::lacking(one, other).map(|layers| layers.len());
    match (lacking(&present, incoming), lacking(incoming, &present)) {
        (_, Ok(0)) | (Err(_), _) => Ok(TagUpdate::Replace),
        (Ok(0), _) => Ok(TagUpdate::Keep),
        // A full attachment stays as it is.
        _ => {
            Ok(attached::join(&present, incoming, &Limits::default())
                .map_or(TagUpdate::Keep, TagUpdate::Merge))
        }
    }
}

/// Whether the content of a tag in the store is kept, alone or merged with the incoming manifest.
///
/// # Errors
/// When the store fails.
pub fn is_kept(
    store: &Store,
    repository: &RepositoryName,
    tag: &Tag,
    digest: &Digest,
) -> Result<bool, Error> {
    Ok(present(store, repository, tag, digest)?.is_some())
}

/// The digest from which a tag moves when it is set to another one; none if the tag is new, unchanged, or kept.
///
/// # Errors
/// When the store fails.
pub fn moves(
    store: &Store,
    repository: &RepositoryName,
    tag: &Tag,
    digest: &Digest,
) -> Result<Option<Digest>, Error> {
    let Some(from) = other_under(store, repository, tag, digest)? else { return Ok(None) };
    let is_kept = tag.is_attachment() && evidence(store, repository, &from)?.is_some();
    Ok((!is_kept).then_some(from))
}

/// The changes that set a tag. Stores the blobs that they need.
///
/// # Errors
/// When the store fails.
pub fn changes(
    store: &Store,
    repository: &RepositoryName,
    tag: &Tag,
    digest: &Digest,
    incoming: &Manifest,
) -> Result<Vec<Change>, Error> {
    let set = |digest: Digest| Change::SetTag { repository: repository.clone(), tag: tag.clone(), digest };
    match plan(store, repository, tag, digest, incoming)? {
        TagUpdate::Replace => Ok(vec![set(digest.clone())]),
        TagUpdate::Keep => Ok(Vec::new()),
        TagUpdate::Merge(attached::Attachment { manifest, config }) => {
            store.put_bytes(&config)?;
            let merged = manifest.digest();
            let repository = repository.clone();
            Ok(vec![Change::PutManifest { repository, digest: merged.clone(), manifest }, set(merged)])
        }
    }
}

/// The evidence that the store has under one of cosign's tags, if it differs from the incoming manifest.
fn present(
    store: &Store,
    repository: &RepositoryName,
    tag: &Tag,
    digest: &Digest,
) -> Result<Option<Manifest>, Error> {
    if !tag.is_attachment() {
        return Ok(None);
    }
    match other_under(store, repository, tag, digest)? {
        Some(present) => evidence(store, repository, &present),
        None => Ok(None),
    }
}

/// The digest of a tag in the store, if it differs from the incoming one.
fn other_under(
    store: &Store,
    repository: &RepositoryName,
    tag: &Tag,
    digest: &Digest,
) -> Result<Option<Digest>, Error> {
    let row = store.resolve(repository, &Selector::Tag(tag.clone()))?;
    Ok(row.map(|row| row.digest).filter(|present| present != digest))
}

/// The manifest with this digest, if it is evidence.
fn evidence(store: &Store, repository: &RepositoryName, digest: &Digest) -> Result<Option<Manifest>, Error> {
    let manifest = match store.manifest(repository, digest) {
        Ok(manifest) => manifest,
        Err(store::Error::Invalid(_)) => None,
        Err(error) => return Err(error.into()),
    };
    match manifest {
        Some(manifest) if is_evidence(store, &manifest)? => Ok(Some(manifest)),
        _ => Ok(None),
    }
}
