//! The state that all controllers share while this replica is the leader.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::backoff::Failures;
use super::cluster_state::ClusterState;
use super::clusters::Clusters;
use super::events::EventReporter;
use super::signatures::Signatures;
use super::slots::WorkSlots;
use crate::context::Context;

/// The state that all controllers share while this replica is the leader.
pub(super) struct Shared {
    pub(super) context: Context,
    pub(super) state: Arc<ClusterState>,
    pub(super) clusters: Clusters,
    pub(super) signatures: Signatures,
    pub(super) failures: Failures<String>,
    pub(super) namespaces: Namespaces,
    pub(super) reporter: Arc<EventReporter>,
    pub(super) slots: WorkSlots,
}

/// Namespaces that are known to exist.
#[derive(Default)]
pub(super) struct Namespaces(Mutex<HashSet<String>>);

impl Namespaces {
    pub(super) fn is_new(&self, name: &str) -> bool {
        !self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    pub(super) fn add(&self, name: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
    }
}
