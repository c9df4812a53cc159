//! Verifies the signatures of bundles in the cluster.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use admission::keys::{BundleKeys, KeySource};
use error_text::one_line;
use package_api::PackageBundle;

use super::discover;

/// The cache of verdicts by bundle, each for one resource version and one set of keys.
#[derive(Default)]
pub(super) struct Signatures(Mutex<HashMap<String, CachedVerdict>>);

struct CachedVerdict {
    version: Option<String>,
    keys: String,
    verdict: Result<(), String>,
}

impl Signatures {
    /// Verifies that a bundle in the cluster is signed by a key that is trusted now. Admission checked it as well, but maybe
    /// with other keys, or it was not active.
    pub(super) fn verify(&self, keys: &KeySource, bundle: &PackageBundle) -> Result<(), String> {
        let keys = BundleKeys::load(keys).map_err(|error| one_line(&error))?;
        let version = bundle.metadata.resource_version.clone();
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = cache.get(bundle.name())
            && cached.version == version
            && cached.keys == keys.encoded
        {
            return cached.verdict.clone();
        }
        let verdict = discover::verify(bundle, &keys);
        let cached = CachedVerdict { version, keys: keys.encoded, verdict: verdict.clone() };
        cache.insert(bundle.name().to_owned(), cached);
        verdict
    }
}
