//! Compares the names in the store with the names of a run: tags that move, and tags that gather signatures.

use evidence::tag_update::{self, TagUpdate};
use oci::{Digest, RepositoryName, Selector, Tag};
use store::Store;

use super::Error;
use super::names::unread;
use super::resolve::ResolvedImage;
use crate::MovedTag;
use crate::lock::{LockedRepository, LockedTag};

/// Whether a tag has all of upstream's signatures and, in addition, signatures that were made here.
pub(super) fn is_gathered(
    name: &RepositoryName,
    tag: &LockedTag,
    repository: &LockedRepository,
    store: &Store,
) -> Result<bool, Error> {
    if !repository.manifests.iter().any(|manifest| manifest.digest == tag.digest) {
        return Ok(false);
    }
    let Some(upstreams) = store.manifest(name, &tag.digest)? else { return Ok(false) };
    let update = tag_update::plan(store, name, &tag.tag, &tag.digest, &upstreams);
    Ok(matches!(update.map_err(|source| unread(name, source))?, TagUpdate::Keep))
}

/// The tags that point to another digest in the store.
pub(super) fn moved<'a>(
    tags: impl Iterator<Item = (&'a RepositoryName, &'a Tag, &'a Digest)>,
    store: &Store,
) -> Result<Vec<MovedTag>, Error> {
    let mut moved = Vec::new();
    for (repository, tag, to) in tags {
        let from =
            tag_update::moves(store, repository, tag, to).map_err(|source| unread(repository, source))?;
        let (repository, tag, to) = (repository.clone(), tag.clone(), to.clone());
        moved.extend(from.map(|from| MovedTag { repository, tag, from, to }));
    }
    Ok(moved)
}

/// Whether the store already has the image under all its names.
pub(super) fn is_named(image: &ResolvedImage, store: &Store) -> Result<bool, Error> {
    for digest in image.manifests.keys() {
        if store.resolve(&image.repository, &Selector::Digest(digest.clone()))?.is_none() {
            return Ok(false);
        }
    }
    for (tag, digest) in &image.tags {
        let found = store.resolve(&image.repository, &Selector::Tag(tag.clone()))?;
        if found.is_none_or(|row| row.digest != *digest) {
            let is_kept = tag_update::is_kept(store, &image.repository, tag, digest);
            if !is_kept.map_err(|source| unread(&image.repository, source))? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
