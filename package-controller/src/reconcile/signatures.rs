//! Whether the bundles on the cluster are signed by a key that counts.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use admission::keys::{BundleKeys, KeySource};
use brief::words;
use package_api::PackageBundle;

use super::discover;

/// What is known of signatures: by bundle, for which version of it and which keys, and what came of it.
#[derive(Default)]
pub(super) struct Signatures(Mutex<HashMap<String, Judged>>);

struct Judged {
    version: Option<String>,
    keys: String,
    verdict: Result<(), String>,
}

impl Signatures {
    /// Whether a bundle on the cluster is signed by a key that counts now. Admission asked so, too; but it may have
    /// been another time, or switched off.
    pub(super) fn judge(&self, keys: &KeySource, bundle: &PackageBundle) -> Result<(), String> {
        let keys = BundleKeys::load(keys).map_err(|error| words(&error))?;
        let version = bundle.metadata.resource_version.clone();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(bundle.name())
            && known.version == version
            && known.keys == keys.told
        {
            return known.verdict.clone();
        }
        let verdict = discover::verify(bundle, &keys);
        let judged = Judged { version, keys: keys.told, verdict: verdict.clone() };
        known.insert(bundle.name().to_owned(), judged);
        verdict
    }
}
