//! Evidence sources: a repository in a store, in a registry, or the part of a repository that is packed onto a drive.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

use bundle_signer::referrer;
use futures::StreamExt as _;
use futures::stream;
use oci::{Descriptor, Digest, Manifest, RegistryHost, RepositoryName, Selector};
use registry::client::{Client, Error as ClientError, NextPage, ReferrerPage};
use store::{Change, PageLimits, ReferrerPage as StorePage, ReferrerPosition, Store};

use super::Error;
use super::blocking::blocking;

/// The content of a drive or a similar shipment. It excludes other content of the store that it comes from.
pub trait Contents: Send + Sync {
    /// A manifest of the shipment.
    fn manifest(&self, repository: &RepositoryName, selector: &Selector) -> Option<&Manifest>;
    /// The referrers of a manifest in the shipment.
    fn referrers(&self, repository: &RepositoryName, subject: &Digest) -> &[Descriptor];
    /// Whether the shipment contains a blob.
    fn has_blob(&self, repository: &RepositoryName, digest: &Digest) -> bool;
    /// The store that the content is read from.
    fn store(&self) -> &Store;
}

/// The repository that contains an image with its signatures and attestations.
#[derive(Clone)]
pub enum EvidenceSource {
    /// A repository in a store.
    Store(Store, RepositoryName),
    /// A repository in a registry.
    Registry(Client, RegistryHost, RepositoryName),
    /// The part of a repository that is packed onto a drive, without other content of the store.
    Shipment(Arc<dyn Contents>, RepositoryName),
}

/// The limits of the first page of a store's referrers, and of each later page.
const FIRST_PAGE: PageLimits = PageLimits { entries: 16, bytes: 2 << 20, large: false };
const PAGE: PageLimits = PageLimits { entries: 1000, bytes: 2 << 20, large: true };

/// A referrer in a list.
pub(super) struct Entry {
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// Whether its artifact type is that of any signature or attestation.
    pub(super) is_statement: bool,
    /// Whether its artifact type is one of evidence that airlock reads.
    pub(super) is_likely: bool,
}

impl From<Descriptor> for Entry {
    fn from(listed: Descriptor) -> Self {
        let Descriptor { digest, size, artifact_type, .. } = listed;
        let kind = artifact_type.as_deref().unwrap_or_default();
        let is_likely = referrer::ARTIFACT_TYPES.contains(&kind);
        Self { digest, size, is_statement: store::is_statement(kind), is_likely }
    }
}

/// A page of an image's referrers.
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    /// Whether the page lists all artifact types, although one was requested.
    pub(super) whole: bool,
    /// How many bytes were read for it.
    pub(super) bytes: usize,
    pub(super) next: Option<PagePosition>,
}

/// The position in a list of referrers at which the next page starts.
#[derive(PartialEq, Eq)]
pub(super) enum PagePosition {
    Store(ReferrerPosition),
    Registry(NextPage),
}

impl fmt::Display for EvidenceSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(store, repository) => write!(f, "{repository} in {}", store.root().display()),
            Self::Registry(_, host, repository) => write!(f, "{host}/{repository}"),
            Self::Shipment(_, repository) => write!(f, "{repository} on the drive"),
        }
    }
}

impl EvidenceSource {
    /// The reference for a tag or a digest in this source: `name:tag` or `name@digest`.
    pub(crate) fn reference(&self, selector: &Selector) -> String {
        let separator = match selector {
            Selector::Tag(_) => ':',
            Selector::Digest(_) => '@',
        };
        match self {
            Self::Registry(_, host, repository) => format!("{host}/{repository}{separator}{selector}"),
            Self::Store(_, repository) | Self::Shipment(_, repository) => {
                format!("{repository}{separator}{selector}")
            }
        }
    }

    /// A manifest; none only if it certainly does not exist.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub async fn manifest(&self, selector: &Selector) -> Result<Option<Manifest>, Error> {
        match self {
            Self::Registry(client, host, repository) => {
                client.manifest(host, repository, selector).await.map_err(Error::Client)
            }
            Self::Store(store, repository) => {
                let (store, repository, selector) = (store.clone(), repository.clone(), selector.clone());
                blocking(move || {
                    let Some(row) = store.resolve(&repository, &selector)? else { return Ok(None) };
                    Ok(store.manifest(&repository, &row.digest)?)
                })
                .await
            }
            Self::Shipment(shipment, repository) => Ok(shipment.manifest(repository, selector).cloned()),
        }
    }

    /// A page of an image's referrers, of one artifact type or of all.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub(super) async fn referrers(
        &self,
        subject: &Digest,
        kind: Option<&str>,
        at: Option<&PagePosition>,
    ) -> Result<Page, Error> {
        let entries = |listed: Vec<Descriptor>| listed.into_iter().map(Entry::from).collect();
        Ok(match self {
            Self::Registry(client, host, repository) => {
                let at =
                    at.and_then(|at| if let PagePosition::Registry(next) = at { Some(next) } else { None });
                let page = client.referrer_page(host, repository, subject, kind, at).await;
                let ReferrerPage { entries: listed, filtered, bytes, next } = page.map_err(Error::Client)?;
                let whole = kind.is_some() && !filtered;
                Page { entries: entries(listed), whole, bytes, next: next.map(PagePosition::Registry) }
            }
            Self::Store(store, repository) => {
                let at = at.and_then(|at| {
                    if let PagePosition::Store(position) = at { Some(position.clone()) } else { None }
                });
                let limits = if at.is_some() { PAGE } else { FIRST_PAGE };
                let (store, repository, subject) = (store.clone(), repository.clone(), subject.clone());
                let kind = kind.map(str::to_owned);
                let page = blocking(move || {
                    Ok(store.referrer_page(&repository, &subject, kind.as_deref(), at.as_ref(), limits)?)
                });
                let StorePage { descriptors, next } = page.await?;
                let bytes = descriptors.iter().map(|listed| usize::try_from(listed.size).unwrap_or_default());
                let bytes = bytes.sum();
                Page {
                    entries: entries(descriptors),
                    whole: false,
                    bytes,
                    next: next.map(PagePosition::Store),
                }
            }
            Self::Shipment(shipment, repository) => {
                let listed = shipment.referrers(repository, subject).to_vec();
                Page { entries: entries(listed), whole: kind.is_some(), bytes: 0, next: None }
            }
        })
    }

    /// Reads and hashes a small blob. Its size comes from the manifest; the caller has checked it against a limit.
    ///
    /// # Errors
    /// When the blob cannot be read or does not match its digest.
    pub async fn blob(&self, blob: &Descriptor) -> Result<Vec<u8>, Error> {
        let wrong = || Error::Content(blob.digest.clone());
        let limit = usize::try_from(blob.size).map_err(|_| wrong())?;
        let bytes = match self {
            Self::Registry(client, host, repository) => {
                let received = client.small_blob(host, repository, blob, blob.size).await;
                let received = received.map_err(|error| match error {
                    ClientError::Digest { .. } | ClientError::TooLong { .. } | ClientError::Short { .. } => {
                        wrong()
                    }
                    error => Error::Client(error),
                });
                received?.to_vec()
            }
            Self::Store(store, _) => read(store.clone(), blob.clone()).await?,
            Self::Shipment(shipment, repository) if shipment.has_blob(repository, &blob.digest) => {
                read(shipment.store().clone(), blob.clone()).await?
            }
            Self::Shipment(..) => return Err(Error::NotFound(format!("{self}, {}", blob.digest))),
        };
        let same = bytes.len() == limit && Digest::of(blob.digest.algorithm(), &bytes) == blob.digest;
        if same { Ok(bytes) } else { Err(wrong()) }
    }

    /// Writes a small blob.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put_blob(&self, bytes: Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Registry(client, host, repository) => {
                let kind = "application/octet-stream".parse().map_err(Error::Oci)?;
                let blob = Descriptor::new(kind, Digest::sha256(&bytes), bytes.len() as u64);
                let bytes = bytes::Bytes::from(bytes);
                let open = move |from: u64| {
                    let from = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
                    Ok(stream::iter([Ok(bytes.slice(from..))]).boxed())
                };
                client.push_blob(host, repository, &blob, None, &open).await.map_err(Error::Client)?;
            }
            Self::Store(store, _) => {
                let store = store.clone();
                blocking(move || Ok(store.put_bytes(&bytes)?)).await?;
            }
            Self::Shipment(..) => return Err(Error::NotFound(format!("{self}, as a writable repository"))),
        }
        Ok(())
    }

    /// Writes a manifest whose blobs exist.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put_manifest(&self, selector: &Selector, manifest: &Manifest) -> Result<(), Error> {
        self.put_manifest_under(None, selector, manifest).await
    }

    /// Waits for the lock that signers of one store hold. A registry has none.
    ///
    /// # Errors
    /// When another process holds the lock for too long.
    pub(super) async fn lock(&self) -> Result<Option<Arc<File>>, Error> {
        let Self::Store(store, _) = self else { return Ok(None) };
        let store = store.clone();
        blocking(move || Ok(Some(Arc::new(store.lock_exclusive()?)))).await
    }

    /// Like [`Self::put_manifest`], under the source's lock: a write that has begun holds it until it ends, even if the
    /// caller is dropped.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) async fn put_manifest_under(
        &self,
        lock: Option<&Arc<File>>,
        selector: &Selector,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        match self {
            Self::Registry(client, host, repository) => {
                client.push_manifest(host, repository, selector, manifest).await.map_err(Error::Client)
            }
            Self::Store(store, repository) => {
                let digest = manifest.digest();
                let (repository, manifest) = (repository.clone(), manifest.clone());
                let mut changes = Change::expect_blobs(&repository, &manifest);
                changes.push(Change::PutManifest {
                    repository: repository.clone(),
                    digest: digest.clone(),
                    manifest,
                });
                if let Selector::Tag(tag) = selector {
                    changes.push(Change::SetTag { repository, tag: tag.clone(), digest });
                }
                let (store, lock) = (store.clone(), lock.cloned());
                blocking(move || {
                    let committed = store.commit(changes);
                    drop(lock);
                    Ok(committed?)
                })
                .await
            }
            Self::Shipment(..) => Err(Error::NotFound(format!("{self}, as a writable repository"))),
        }
    }
}

/// Reads a blob, and at most one byte more than its size.
async fn read(store: Store, blob: Descriptor) -> Result<Vec<u8>, Error> {
    blocking(move || {
        let Descriptor { digest, size, .. } = blob;
        let found = store.blob(&digest)?.ok_or_else(|| Error::NotFound(digest.to_string()))?;
        let mut bytes = Vec::new();
        match found.file.take(size.saturating_add(1)).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(source) => Err(Error::Read { digest, source }),
        }
    })
    .await
}

/// Whether an error is a failure of the source as a whole, and not of one item in it.
pub(super) fn is_outage(error: &Error, listed: bool) -> bool {
    use error_class::{Class, Classified as _};
    use registry::client::Error as E;
    match error {
        Error::Client(E::Refused { status, .. }) => match status.as_u16() {
            401 | 403 => !listed,
            408 | 429 => true,
            other => other >= 500,
        },
        Error::Client(E::Protocol { .. }) => !listed,
        Error::Client(error) if matches!(error.class(), Class::Refused | Class::Missing) => false,
        Error::Store(store::Error::Invalid(_)) => false,
        Error::Client(_) | Error::Store(_) | Error::Read { .. } | Error::Died => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_store_is_read_and_written_on_a_runtime_with_one_thread() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let source = EvidenceSource::Store(store, "team/app".parse().unwrap());
        let kind = oci::media_type::OCI_EMPTY;
        let config = Descriptor::new(kind.parse().unwrap(), Digest::sha256(b"{}"), 2);
        let layers: [Descriptor; 0] = [];
        let text = json!({
            "schemaVersion": 2, "mediaType": oci::media_type::OCI_MANIFEST, "config": config, "layers": layers,
        });
        let manifest = Manifest::parse(text.to_string().into(), None).unwrap();
        let tag = Selector::Tag("v1".parse().unwrap());
        source.put_blob(b"{}".to_vec()).await.unwrap();
        let lock = source.lock().await.unwrap();
        source.put_manifest_under(lock.as_ref(), &tag, &manifest).await.unwrap();
        assert_eq!(source.manifest(&tag).await.unwrap().unwrap().digest(), manifest.digest());
        assert_eq!(source.blob(&config).await.unwrap(), b"{}");
        assert!(source.referrers(&manifest.digest(), None, None).await.unwrap().entries.is_empty());
    }
}
