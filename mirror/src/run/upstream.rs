//! The signatures of upstream that the mirror file demands.

use bundle_signer::ImageName;
use evidence::EvidenceSource;
use evidence::upstream::refusals;
use registry::client::Client;
use store::Store;

use super::Error;
use super::resolve::Resolved;
use crate::config::MirrorConfig;
use crate::lock::Lock;

/// Looks at the signatures in the registry of everything that must be signed; gives the failures with which the run goes
/// on.
///
/// # Errors
/// [`Error::Unsigned`], or when a registry cannot be asked: the first, unless the run keeps going.
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
            let place = EvidenceSource::Registry(client.clone(), host, repository);
            let name = ImageName::from(reference);
            let error = match refusals(&place, &image.root, &name, demand).await {
                Ok(None) => continue,
                Ok(Some(why)) => Error::Unsigned { reference: reference.to_string(), why },
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

/// Whether the store holds the signatures with which a lock that it satisfies meets the demands. If it does not,
/// registries are asked: a demand may be newer than the lock.
///
/// # Errors
/// When the store cannot be read.
pub(super) async fn holds_in_store(config: &MirrorConfig, lock: &Lock, store: &Store) -> Result<bool, Error> {
    for (reference, demand) in &config.demands {
        let source = reference.to_string();
        let Some(item) = lock.items.iter().find(|item| item.source == source) else { return Ok(false) };
        let place = EvidenceSource::Store(store.clone(), item.repository.clone());
        let found = refusals(&place, &item.digest, &ImageName::from(reference), demand).await;
        let failed = |error| Error::Evidence { reference: source, source: Box::new(error) };
        if found.map_err(failed)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}
