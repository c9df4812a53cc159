//! What all controllers share while this replica leads.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::again::Failures;
use super::bench::Bench;
use super::clusters::Clusters;
use super::signatures::Signatures;
use super::tell::Teller;
use super::world::World;
use crate::context::Context;

/// What all controllers share while this replica leads.
pub(super) struct Shared {
    pub(super) context: Context,
    pub(super) world: Arc<World>,
    pub(super) clusters: Clusters,
    pub(super) signatures: Signatures,
    pub(super) failures: Failures<String>,
    pub(super) namespaces: Namespaces,
    pub(super) teller: Arc<Teller>,
    pub(super) bench: Bench,
}

/// Namespaces that are known to be there.
#[derive(Default)]
pub(super) struct Namespaces(Mutex<HashSet<String>>);

impl Namespaces {
    pub(super) fn is_new(&self, name: &str) -> bool {
        !self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    pub(super) fn made(&self, name: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
    }
}
