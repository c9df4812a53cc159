//! Cosign's tags, `sha256-HEX.sig` and the like, under which what is said of an image gathers. What comes in under one is
//! added to what the store has there: a signature that was made here would be lost otherwise, and with it what a gate
//! counts.

use bundle_signer::{Limits, attached};
use oci::{Digest, Manifest, RepositoryName, Selector, Tag};
use store::{Change, Store};

use super::Error;
use super::shape::is_evidence;

/// What becomes of a tag when something comes in under it.
pub enum Gathered {
    /// It is set to what comes in.
    Taken,
    /// It stays: what comes in is there.
    Kept,
    /// It is set to both together.
    Joined(attached::Attachment),
}

/// What becomes of a tag. Only what is evidence stays: anything else under such a tag is replaced.
///
/// # Errors
/// When the store fails.
pub fn gather(
    store: &Store,
    repository: &RepositoryName,
    (tag, digest, incoming): (&Tag, &Digest, &Manifest),
) -> Result<Gathered, Error> {
    let Some(present) = present(store, repository, (tag, digest))? else { return Ok(Gathered::Taken) };
    let lacking = |one: &Manifest, other: &Manifest| attached::lacking(one, other).map(|layers| layers.len());
    match (lacking(&present, incoming), lacking(incoming, &present)) {
        (_, Ok(0)) | (Err(_), _) => Ok(Gathered::Taken),
        (Ok(0), _) => Ok(Gathered::Kept),
        // What is full stays as it is.
        _ => {
            Ok(attached::join(&present, incoming, &Limits::default())
                .map_or(Gathered::Kept, Gathered::Joined))
        }
    }
}

/// Whether what the store has under a tag stays there, alone or together with what comes in.
///
/// # Errors
/// When the store fails.
pub fn stays(store: &Store, repository: &RepositoryName, tag: &Tag, digest: &Digest) -> Result<bool, Error> {
    Ok(present(store, repository, (tag, digest))?.is_some())
}

/// What a tag is moved from when it is set to a digest; none for one that is new, is there already, or stays.
///
/// # Errors
/// When the store fails.
pub fn moves(
    store: &Store,
    repository: &RepositoryName,
    tag: &Tag,
    digest: &Digest,
) -> Result<Option<Digest>, Error> {
    let Some(from) = other_under(store, repository, (tag, digest))? else { return Ok(None) };
    let stays = tag.is_attachment() && evidence(store, repository, &from)?.is_some();
    Ok((!stays).then_some(from))
}

/// The changes that set a tag, and have the store hold what they name.
///
/// # Errors
/// When the store fails.
pub fn changes(
    store: &Store,
    repository: &RepositoryName,
    (tag, digest, incoming): (&Tag, &Digest, &Manifest),
) -> Result<Vec<Change>, Error> {
    let set = |digest: Digest| Change::SetTag { repository: repository.clone(), tag: tag.clone(), digest };
    match gather(store, repository, (tag, digest, incoming))? {
        Gathered::Taken => Ok(vec![set(digest.clone())]),
        Gathered::Kept => Ok(Vec::new()),
        Gathered::Joined(attached::Attachment { manifest, config }) => {
            store.put_bytes(&config)?;
            let joined = manifest.digest();
            let repository = repository.clone();
            Ok(vec![Change::PutManifest { repository, digest: joined.clone(), manifest }, set(joined)])
        }
    }
}

/// The evidence that the store has under one of cosign's tags, where it is not what comes in.
fn present(
    store: &Store,
    repository: &RepositoryName,
    (tag, digest): (&Tag, &Digest),
) -> Result<Option<Manifest>, Error> {
    if !tag.is_attachment() {
        return Ok(None);
    }
    match other_under(store, repository, (tag, digest))? {
        Some(present) => evidence(store, repository, &present),
        None => Ok(None),
    }
}

/// What the store has under a tag, where it is not what comes in.
fn other_under(
    store: &Store,
    repository: &RepositoryName,
    (tag, digest): (&Tag, &Digest),
) -> Result<Option<Digest>, Error> {
    let row = store.resolve(repository, &Selector::Tag(tag.clone()))?;
    Ok(row.map(|row| row.digest).filter(|present| present != digest))
}

/// The manifest of this digest, if it is evidence.
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
