//! A gate and an observer that are counted.

use std::error::Error;
use std::sync::Arc;

use super::Metrics;
use super::labels::{DecisionLabels, OutcomeLabel};
use crate::server::gate::{Gate, GateError, Pull, Push};
use crate::server::observe::{Changed, Observer, Refused};

/// Counts the decisions of a gate.
pub(in crate::server) struct CountedGate {
    pub(in crate::server) gate: Arc<dyn Gate>,
    pub(in crate::server) metrics: Metrics,
}

impl CountedGate {
    fn count(&self, gate: &'static str, decision: Result<(), GateError>) -> Result<(), GateError> {
        let labels = DecisionLabels {
            gate,
            decision: match decision {
                Ok(()) => "allowed",
                Err(GateError::Denied { .. }) => "denied",
                Err(GateError::Failed(_)) => "failed",
            },
        };
        self.metrics.0.decisions.get_or_create(&labels).inc();
        decision
    }
}

impl Gate for CountedGate {
    fn pull(&self, pull: &Pull<'_>) -> Result<(), GateError> {
        self.count("pull", self.gate.pull(pull))
    }

    fn push(&self, push: &Push<'_>) -> Result<(), GateError> {
        self.count("push", self.gate.push(push))
    }
}

/// Counts the records of an observer.
pub(in crate::server) struct CountedObserver {
    pub(in crate::server) observer: Arc<dyn Observer>,
    pub(in crate::server) metrics: Metrics,
}

impl CountedObserver {
    fn count<T, E>(&self, recorded: Result<T, E>) -> Result<T, E> {
        let outcome = if recorded.is_ok() { "written" } else { "failed" };
        self.metrics.0.audit.get_or_create(&OutcomeLabel { outcome }).inc();
        recorded
    }
}

impl Observer for CountedObserver {
    fn changed(&self, change: &Changed) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.count(self.observer.changed(change))
    }

    fn refused(&self, attempt: &Refused) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.count(self.observer.refused(attempt))
    }
}
