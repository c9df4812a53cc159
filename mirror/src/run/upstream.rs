//! Verifies the upstream signatures that the mirror file requires.

use bundle_signer::ImageName;
use evidence::EvidenceSource;
use evidence::upstream::refusals;
use registry::client::Client;
use store::Store;

use super::Error;
use super::resolve::Resolved;
use crate::config::MirrorConfig;
use crate::lock::Lock;

/// Verifies the signatures in the registry of all images that must be signed. With `keep_going`, returns the failures.
///
/// # Errors
/// [`Error::Unsigned`], or when a request to a registry fails: the first failure, without `keep_going`.
pub(super) async fn verify(
    config: &MirrorConfig,
    client: &Client,
    resolved: &[Resolved],
) -> Result<Vec<Error>, Error> {
    let mut failed = Vec::new();
    for (reference, demand) in &config.demands {
        let images = resolved.iter().filter_map(|resolved| resolved.image.as_ref());
        for image in images.filter(|image| image.reference == *reference) {
            let (host, repository) = (reference.host().clone(), reference.repository().clone());
            let signatures = EvidenceSource::Registry(client.clone(), host, repository);
            let name = ImageName::from(reference);
            let error = match refusals(&signatures, &image.root, &name, demand).await {
                Ok(None) => continue,
                Ok(Some(reasons)) => Error::Unsigned { reference: reference.to_string(), reasons },
                Err(source) => Error::Evidence { reference: reference.to_string(), source: Box::new(source) },
            };
            if !config.keep_going {
                return Err(error);
            }
            failed.push(error);
        }
    }
    Ok(failed)
}

/// Whether the store has the required signatures for a lock that it satisfies. If not, the registries are asked, because
/// a requirement may be newer than the lock.
///
/// # Errors
/// When the store cannot be read.
pub(super) async fn holds_in_store(config: &MirrorConfig, lock: &Lock, store: &Store) -> Result<bool, Error> {
    for (reference, demand) in &config.demands {
        let source = reference.to_string();
        let Some(item) = lock.items.iter().find(|item| item.source == source) else { return Ok(false) };
        let signatures = EvidenceSource::Store(store.clone(), item.repository.clone());
        let found = refusals(&signatures, &item.digest, &ImageName::from(reference), demand).await;
        let failed = |error| Error::Evidence { reference: source, source: Box::new(error) };
        if found.map_err(failed)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}
